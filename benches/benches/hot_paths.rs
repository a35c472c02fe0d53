//! The hot paths, in detail: see [`benches::hot_paths`].

use benches::hot_paths::{Story, timed};
use criterion::Criterion;
use lease_core::{Clock, FencingToken, SystemClock, testing};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    check(&mut criterion);
    step(&mut criterion);
    criterion.final_summary();
}

fn check(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("check");
    group.bench_function("floor: the clocks it reads", |bencher| bencher.iter(|| SystemClock.instant()));
    let (leadership, _term) = testing::grant(Some(FencingToken { epoch: 0, revision: 7 }));
    group.bench_function("leadership", |bencher| bencher.iter(|| leadership.check().is_ok()));
    group.finish();
}

fn step(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("step");
    group.bench_function("leader", |bencher| bencher.iter_custom(|steps| timed(steps, Story::leading())));
    group.bench_function("standby", |bencher| bencher.iter_custom(|steps| timed(steps, Story::standing_by())));
    group.finish();
}
