//! Scenarios: what happens to candidates, written down for people, from which a schedule is drawn for every seed.
//!
//! A scenario says what may happen and when, with ranges where the exact value does not matter; a seed chooses within
//! them. One seed chooses the same for every setting, so that settings are compared on the same runs. The presets are
//! scenario files like any other. Every key is described in `docs/simulate.md`.
//!
//! What is meant for "the leader" needs to know who that is: the run is played up to that moment, and the candidate
//! that acts then is written into the schedule, which is plain data and needs nothing of this to be played again.

mod draw;
mod event;
mod file;
mod refusal;
mod setting;
#[cfg(test)]
mod tests;
mod values;

use std::time::Duration;

use serde::Deserialize;

pub use self::event::{Event, Kind, Who};
pub use self::file::ScenarioError;
pub use self::setting::{RuleName, Setting, SettingError, Three};
pub use self::values::{Amount, Between, Span};
use super::schedule::{NODES_MAX, RATE_PPM_MAX};

/// What happens to whom, when, and on what machines.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it is about, in a few words.
    #[serde(default = "of_its_own")]
    pub about: String,
    /// How many candidates there are, 1 to 7; by default 3.
    #[serde(default = "three", deserialize_with = "file::nodes")]
    pub nodes: usize,
    /// When a run ends.
    #[serde(deserialize_with = "file::until")]
    pub until: Duration,
    /// How many runs are played of each setting; by default 1000.
    #[serde(default = "thousand", deserialize_with = "file::runs")]
    pub runs: u64,
    /// The seed of the first run; the next ones have the numbers that follow. By default 1.
    #[serde(default = "one")]
    pub seed: u64,
    /// The durations to compare; by default 15s/10s/2s.
    #[serde(default = "usual", deserialize_with = "file::compare")]
    pub compare: Vec<Three>,
    /// Whose rules the candidates follow; by default ours.
    #[serde(default)]
    pub rule: RuleName,
    /// Whether candidates watch the record; client-go's never do. By default they do.
    #[serde(default = "yes")]
    pub watch: bool,
    /// How long a message takes in one direction while all is well; by default 1ms..5ms.
    #[serde(default = "near")]
    pub latency: Between,
    /// How wrong clocks are from the start.
    #[serde(default)]
    pub clocks: Clocks,
    /// How much of the time that it has for stopping the work of a candidate uses; by default anything, 0..100.
    #[serde(default = "anything", deserialize_with = "file::stop_percent")]
    pub stop_percent: Amount,
    /// How long work takes to drain when it is asked to; by default 0s..1s.
    #[serde(default = "up_to_a_second")]
    pub drain: Between,
    /// What happens.
    #[serde(default)]
    pub events: Vec<Event>,
}

/// How wrong clocks are from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Clocks {
    /// By how much a clock is too fast or too slow at most, in parts per million; by default 200, as crystals are.
    #[serde(deserialize_with = "file::rate")]
    pub rate_error_ppm: u32,
    /// By how much a wall clock is ahead or behind at most; by default 1s.
    pub wall_error: Span,
}

impl Default for Clocks {
    fn default() -> Self {
        Self { rate_error_ppm: 200, wall_error: Span(Duration::from_secs(1)) }
    }
}

/// What a scenario cannot have, although each of its values makes sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScenarioFault {
    /// It has nobody, or a crowd.
    #[error("a run has 1 to {NODES_MAX} candidates, not {0}")]
    Nodes(usize),
    /// It ends before it begins, or never.
    #[error("a run lasts 1s to {}, not {}", lease_core::Pretty(UNTIL_MAX), lease_core::Pretty(*.0))]
    Until(Duration),
    /// It plays nothing, or for ever.
    #[error("1 to {RUNS_MAX} runs are played, not {0}")]
    Runs(u64),
    /// It compares nothing, or more than anybody could.
    #[error("1 to {SETTINGS_MAX} settings are compared, not {0}")]
    Settings(usize),
    /// Time would run backwards.
    #[error("a rate error of {0} ppm is beyond {RATE_PPM_MAX} ppm")]
    Rate(u32),
    /// A share that is none.
    #[error("stop_percent is 0 to 100, not {}..{}", .0.from, .0.until)]
    StopPercent(Amount),
    /// A duration that no run is long enough for.
    #[error(
        "{key} may be as long as {longest}, but the whole run lasts {until}",
        longest = lease_core::Pretty(*.longest),
        until = lease_core::Pretty(*.until)
    )]
    Outlasts {
        /// The key.
        key: &'static str,
        /// How long it may be.
        longest: Duration,
        /// How long the run is.
        until: Duration,
    },
    /// The same for an event.
    #[error(
        "{key} of {what} may be as long as {longest}, but the whole run lasts {until}",
        longest = lease_core::Pretty(*.longest),
        until = lease_core::Pretty(*.until)
    )]
    EventOutlasts {
        /// The key.
        key: &'static str,
        /// The kind of event.
        what: Kind,
        /// How long it may be.
        longest: Duration,
        /// How long the run is.
        until: Duration,
    },
    /// An event lies, or may lie, beyond the end.
    #[error(
        "{what} may come as late as {latest}, but the run ends at {until}",
        latest = lease_core::Pretty(*.latest),
        until = lease_core::Pretty(*.until)
    )]
    TooLate {
        /// The kind of event.
        what: Kind,
        /// When it may come at the latest.
        latest: Duration,
        /// When the run ends.
        until: Duration,
    },
    /// An event is about somebody who is not there.
    #[error(
        "there is no candidate {name}: the {nodes} candidates are a to {last}",
        last = super::invariants::letter(.nodes - 1)
    )]
    NoSuchNode {
        /// Whom it names.
        name: char,
        /// How many there are.
        nodes: usize,
    },
    /// A key that this kind of event has no use for.
    #[error("{key} means nothing to {what}, which takes {}", .what.takes())]
    Useless {
        /// The key.
        key: &'static str,
        /// The kind of event.
        what: Kind,
    },
    /// A key without which this kind of event means nothing.
    #[error("{what} needs {key}: it takes {}", .what.takes())]
    Missing {
        /// The key.
        key: &'static str,
        /// The kind of event.
        what: Kind,
    },
    /// A value beyond what makes sense for this kind of event.
    #[error("{key} of {what} is {range}")]
    Beyond {
        /// The key.
        key: &'static str,
        /// The kind of event.
        what: Kind,
        /// What it may be.
        range: &'static str,
    },
}

impl ScenarioFault {
    /// The key of an event whose value it is about; none where that is about a key which is not there.
    fn key(&self) -> Option<&'static str> {
        match self {
            Self::EventOutlasts { key, .. } | Self::Useless { key, .. } | Self::Beyond { key, .. } => Some(key),
            Self::TooLate { .. } => Some("at"),
            Self::NoSuchNode { .. } => Some("who"),
            _ => None,
        }
    }
}

impl Scenario {
    /// A scenario from a file.
    ///
    /// # Errors
    /// What is wrong with it, and where: the first value that makes no sense, or else all that only the whole can tell.
    pub fn from_yaml(text: &str) -> Result<Self, ScenarioError> {
        file::read(text)
    }

    /// Where in its file one of the settings to compare is: line and column.
    pub fn place_of_compared(text: &str, index: usize) -> Option<(u64, u64)> {
        file::place_of_compared(text, index)
    }

    /// A preset.
    pub fn preset(preset: Preset) -> Self {
        Self::from_yaml(preset.yaml()).expect("a test reads every preset")
    }

    /// Checks what only the whole can tell.
    ///
    /// # Errors
    /// The first fault, with the index of the event where it is one of an event.
    pub fn check(&self) -> Result<(), (Option<usize>, ScenarioFault)> {
        self.faults().into_iter().next().map_or(Ok(()), Err)
    }

    /// All that only the whole can tell to be wrong, of each event the first fault; with the index of the event.
    pub fn faults(&self) -> Vec<(Option<usize>, ScenarioFault)> {
        let mut faults = Vec::new();
        let mut demand = |is_met: bool, fault: ScenarioFault| faults.extend((!is_met).then_some((None, fault)));
        demand((1..=NODES_MAX).contains(&self.nodes), ScenarioFault::Nodes(self.nodes));
        demand((UNTIL_MIN..=UNTIL_MAX).contains(&self.until), ScenarioFault::Until(self.until));
        demand((1..=RUNS_MAX).contains(&self.runs), ScenarioFault::Runs(self.runs));
        let percent = self.stop_percent;
        demand(percent.from >= 0 && percent.until <= 100, ScenarioFault::StopPercent(percent));
        for (key, between) in [("latency", self.latency), ("drain", self.drain)] {
            let (longest, until) = (between.until, self.until);
            demand(longest <= until, ScenarioFault::Outlasts { key, longest, until });
        }
        // Without candidates, or without an end, every event is wrong.
        if faults.is_empty() {
            let of_events = self.events.iter().enumerate();
            faults.extend(of_events.filter_map(|(index, event)| Some((Some(index), event.check(self).err()?))));
        }
        faults
    }
}

/// The scenarios that everybody needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// The leader is killed.
    Crash,
    /// The leader is cut off.
    Partition,
    /// Clocks are as wrong as they may be, and wall clocks jump.
    Skew,
    /// The API server is slow, refuses, loses messages and is down.
    SlowApi,
    /// Every replica is replaced in turn.
    RollingUpdate,
}

impl Preset {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Crash, Self::Partition, Self::Skew, Self::SlowApi, Self::RollingUpdate];

    /// The name on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Partition => "partition",
            Self::Skew => "skew",
            Self::SlowApi => "slow-api",
            Self::RollingUpdate => "rolling-update",
        }
    }

    /// Its scenario file.
    pub const fn yaml(self) -> &'static str {
        match self {
            Self::Crash => include_str!("scenario/presets/crash.yaml"),
            Self::Partition => include_str!("scenario/presets/partition.yaml"),
            Self::Skew => include_str!("scenario/presets/skew.yaml"),
            Self::SlowApi => include_str!("scenario/presets/slow-api.yaml"),
            Self::RollingUpdate => include_str!("scenario/presets/rolling-update.yaml"),
        }
    }
}

fn of_its_own() -> String {
    "a scenario".to_owned()
}

const fn three() -> usize {
    3
}

const fn thousand() -> u64 {
    1_000
}

const fn one() -> u64 {
    1
}

const fn yes() -> bool {
    true
}

fn usual() -> Vec<Three> {
    vec![Three::USUAL]
}

fn near() -> Between {
    Between { from: Duration::from_millis(1), until: Duration::from_millis(5) }
}

fn up_to_a_second() -> Between {
    Between { from: Duration::ZERO, until: Duration::from_secs(1) }
}

const fn anything() -> Amount {
    Amount { from: 0, until: 100 }
}

/// Below this nothing can happen.
const UNTIL_MIN: Duration = Duration::from_secs(1);
/// A run is kept in memory while it is drawn, and a month shows no more than a day.
const UNTIL_MAX: Duration = Duration::from_hours(24 * 31);
const RUNS_MAX: u64 = 10_000_000;
/// More cannot be told apart in a table or a picture.
const SETTINGS_MAX: usize = 20;
