//! Explores a world to its end, or to the first violation.

use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model};

use crate::judge::{Sight, Verdict};
use crate::plan::Plan;
use crate::print::{Log, tell};
use crate::world::{State, World};

/// Explores every state, with none violating an invariant, and demands that it was not vacuous.
pub(crate) fn exhaust(plan: &Plan, threads: usize, wanted: &[Sight]) {
    let begun = Instant::now();
    let checker =
        World::new(plan.clone()).checker().threads(threads).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    report(plan, &checker, begun);
    if let Some((name, path)) = checker.discoveries().into_iter().next() {
        panic!("{} violates {name}:\n{}", plan.name, tell(plan, &path.into_actions()).join("\n"));
    }
    let sights = &checker.model().sights;
    for sight in wanted {
        assert!(sights.count(*sight) > 0, "{} never came across {sight:?}", plan.name);
    }
}

/// Explores until an invariant is violated, and tells how.
pub(crate) fn refute(plan: &Plan) -> Verdict {
    let begun = Instant::now();
    let checker = World::new(plan.clone()).checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    report(plan, &checker, begun);
    let discoveries = checker.discoveries();
    let shortest = discoveries.into_values().map(stateright::Path::into_actions).min_by_key(Vec::len);
    let steps = shortest.unwrap_or_else(|| panic!("{} was to be refuted, and is clean", plan.name));
    println!("{}", tell(plan, &steps).join("\n"));
    let world = World::new(plan.clone());
    let last = steps.iter().fold(State::first(plan), |state, step| world.take(&state, *step, &mut Log::default()));
    last.verdict.expect("a path to a violation ends with one")
}

fn report(plan: &Plan, checker: &impl Checker<World>, begun: Instant) {
    println!(
        "{}: {} states, {} steps, {} deep, in {:.1} s",
        plan.name,
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        begun.elapsed().as_secs_f64()
    );
}
