//! What a check costs, and a step of the machine: no peer has either, so a floor of the same run stands beside them.

use std::hint::black_box;
use std::time::{Duration, Instant};

use lease_core::{Clock, FencingToken, SystemClock, testing};

use super::candidate::Peer;
use super::{CompareError, Rig};
use crate::hot_paths::{Story, timed};

pub(super) fn run(rig: &Rig<'_>) -> Result<(), CompareError> {
    let (leadership, _term) = testing::grant(Some(FencingToken { epoch: 0, revision: 7 }));
    let each = [
        (CLOCKS, nanos(|count| looped(count, || SystemClock.instant()))),
        (CHECK, nanos(|count| looped(count, || leadership.check().is_ok()))),
        (STEP_LEADER, nanos(|count| timed(count, Story::leading()))),
        (STEP_STANDBY, nanos(|count| timed(count, Story::standing_by()))),
    ];
    each.into_iter().try_for_each(|(what, nanos)| rig.record.used(what, Peer::Ours, nanos))
}

fn looped<T>(count: u64, mut work: impl FnMut() -> T) -> Duration {
    let begun = Instant::now();
    for _ in 0..count {
        black_box(work());
    }
    begun.elapsed()
}

/// The median over some rounds.
fn nanos(mut round: impl FnMut(u64) -> Duration) -> f64 {
    round(COUNT);
    let mut rounds = [Duration::ZERO; ROUNDS].map(|_| round(COUNT));
    rounds.sort_unstable();
    let median = rounds[ROUNDS / 2].as_secs_f64();
    median * 1e9 / f64::from(u32::try_from(COUNT).unwrap_or(u32::MAX))
}

/// The two clocks that a check reads.
pub(super) const CLOCKS: &str = "clocks_ns";
pub(super) const CHECK: &str = "check_ns";
pub(super) const STEP_LEADER: &str = "step_leader_ns";
pub(super) const STEP_STANDBY: &str = "step_standby_ns";
const ROUNDS: usize = 31;
const COUNT: u64 = 64_000;
