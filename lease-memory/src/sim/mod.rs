//! The deterministic simulator: the very machine that ships, on the memory backend's store, in virtual time.
//!
//! A [`Schedule`] is everything that happens in a run, as data: candidates with their durations, clocks and links, and
//! a list of faults. [`run`] plays it, checks every invariant of the protocol after every step, and tells what was
//! seen. It reads no clock of the system, draws nothing and starts no thread, so one schedule always gives one run.
//!
//! What mutual exclusion rests on (clock rates within their bound, work that stops in time, a record that only
//! candidates write, a store that loses nothing) may be broken by a schedule. An assumption monitor knows for whom
//! and for how long, and exclusion is demanded of everybody else.

mod assumptions;
mod batch;
pub mod client_go;
mod clocks;
mod conduct;
mod draw;
mod edits;
mod faults;
mod invariants;
mod judged;
mod measure;
mod network;
mod oracle;
mod peers;
mod process;
mod queue;
mod replay;
mod scenario;
mod schedule;
mod shrink;
mod stats;
mod store;
mod telling;
mod words;
mod world;

pub use assumptions::Excuse;
pub use batch::{Batch, BatchOutcome, Finding};
pub use draw::Family;
pub use invariants::Violation;
pub use measure::{Measure, Measured, SeedOverlap, percentile};
pub use replay::{Replay, ReplayError};
pub use scenario::{
    Amount, Between, Event, Kind, Preset, RuleName, Scenario, ScenarioError, ScenarioFault, Setting, SettingError,
    Span, Three, Who,
};
pub use schedule::*;
pub use shrink::shrink;
pub use stats::{Overlap, Seen, Stats};
pub use telling::{Keep, Timeline};

use telling::Telling;
use world::World;

/// What is demanded of a run beside the invariants that hold whatever happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demands {
    /// Mutual exclusion between candidates of ours while the assumptions hold. Without it overlaps are only counted.
    pub exclusion: bool,
    /// That somebody leads once everything is quiet. Without it nobody needs to.
    pub liveness: bool,
}

impl Demands {
    /// Everything.
    pub const ALL: Self = Self { exclusion: true, liveness: true };
}

/// What a run has come to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The first violation; none for a good run.
    pub violation: Option<Violation>,
    /// The figures.
    pub stats: Stats,
    /// The story, if it was to be kept.
    pub story: Vec<String>,
    /// The picture, if it was to be kept.
    pub timeline: Option<Timeline>,
    /// The hash over every step, if it was to be kept.
    pub hash: Option<u128>,
}

/// Plays a schedule.
///
/// # Errors
/// When the schedule cannot be run at all.
pub fn run(schedule: &Schedule, demands: Demands, keep: Keep) -> Result<Outcome, ScheduleError> {
    let mut world = World::new(schedule, demands, Telling::new(keep, schedule.nodes.len()))?;
    let violation = world.run().err();
    if let Some(violation) = &violation {
        world.oracle.end(violation.at_ns);
        world.telling.end(violation.at_ns);
    }
    let (story, timeline, hash) = world.telling.finish();
    Ok(Outcome { violation, stats: world.oracle.stats, story, timeline, hash })
}
