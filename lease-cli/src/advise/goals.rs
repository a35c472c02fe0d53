//! What somebody wants of an election, and what a set of durations gives.

use std::fmt;
use std::time::Duration;

use lease_core::Pretty;

use super::search::Candidate;

/// What is wanted; none for what nobody spoke of.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Goals {
    pub(super) failover_p99: Option<Duration>,
    pub(super) outage: Option<Duration>,
    pub(super) writes_per_minute: Option<f64>,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    Failover,
    Outage,
    Writes,
}

impl Goal {
    pub(super) const ALL: [Self; 3] = [Self::Failover, Self::Outage, Self::Writes];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Failover => "failover p99",
            Self::Outage => "outage survived",
            Self::Writes => "writes a minute",
        }
    }

    /// In seconds, or writes a minute.
    pub(super) fn derived(self, candidate: &Candidate) -> f64 {
        let timing = &candidate.timing;
        match self {
            // A crash comes at any moment between two renewals, and in one of a hundred right after one.
            Self::Failover => {
                let at_most = timing.lease_duration() + TAKEOVER;
                at_most.saturating_sub(timing.retry_period() / 100).as_secs_f64()
            }
            Self::Outage => timing.outage_survived().saturating_sub(ROUND_TRIPS).as_secs_f64(),
            Self::Writes => 60.0 / timing.retry_period().as_secs_f64(),
        }
    }

    /// Whether the value is as good as what is wanted.
    pub(super) fn is_met(self, value: f64, wanted: f64) -> bool {
        match self {
            Self::Failover | Self::Writes => value <= wanted + TINY,
            Self::Outage => value >= wanted - TINY,
        }
    }

    pub(super) fn shown(self, value: f64) -> String {
        match self {
            Self::Writes => number(value),
            _ => pretty(Duration::from_millis(millis(value))),
        }
    }

    /// The flag that asks for this.
    pub(super) fn flag(self, value: f64) -> String {
        match self {
            Self::Failover => format!("--failover-p99 {}", self.shown(value)),
            Self::Outage => format!("--survive-outage {}", self.shown(value)),
            Self::Writes => format!("--max-writes-per-min {}", number(value)),
        }
    }

    /// To a tenth, and never to what asks for more.
    pub(super) fn rounded(self, value: f64) -> f64 {
        match self {
            Self::Failover | Self::Writes => (value * 10.0 - TINY).ceil() / 10.0,
            Self::Outage => (value * 10.0 + TINY).floor() / 10.0,
        }
    }

    /// What asks for a little less than this.
    pub(super) fn loosened(self, value: f64) -> f64 {
        match self {
            Self::Failover | Self::Writes => self.rounded(value * LOOSER + TENTH),
            Self::Outage => self.rounded(value / LOOSER - TENTH),
        }
    }
}

impl Goals {
    pub(super) fn value(&self, goal: Goal) -> Option<f64> {
        match goal {
            Goal::Failover => self.failover_p99.map(|goal| goal.as_secs_f64()),
            Goal::Outage => self.outage.map(|goal| goal.as_secs_f64()),
            Goal::Writes => self.writes_per_minute,
        }
    }

    pub(super) fn given(&self) -> Vec<Goal> {
        Goal::ALL.into_iter().filter(|goal| self.value(*goal).is_some()).collect()
    }

    /// With another value for one of them.
    pub(super) fn with(self, goal: Goal, value: f64) -> Self {
        let duration = Duration::from_millis(millis(value));
        match goal {
            Goal::Failover => Self { failover_p99: Some(duration), ..self },
            Goal::Outage => Self { outage: Some(duration), ..self },
            Goal::Writes => Self { writes_per_minute: Some(value), ..self },
        }
    }

    /// Without one of them.
    pub(super) fn without(self, goal: Goal) -> Self {
        match goal {
            Goal::Failover => Self { failover_p99: None, ..self },
            Goal::Outage => Self { outage: None, ..self },
            Goal::Writes => Self { writes_per_minute: None, ..self },
        }
    }

    /// Those that the derived figures of a candidate do not meet.
    pub(super) fn missed(&self, candidate: &Candidate) -> Vec<Goal> {
        let is_missed =
            |goal: &Goal| self.value(*goal).is_some_and(|wanted| !goal.is_met(goal.derived(candidate), wanted));
        Goal::ALL.into_iter().filter(is_missed).collect()
    }

    pub(super) fn wanted(&self, goal: Goal) -> String {
        let word = if goal == Goal::Outage { "at least" } else { "at most" };
        match (goal, self.value(goal)) {
            (_, None) => "-".to_owned(),
            // As it was given: what misses it by little must not look like what it misses.
            (Goal::Writes, Some(value)) => format!("{word} {value}"),
            (_, Some(value)) => format!("{word} {}", goal.shown(value)),
        }
    }

    /// What is wanted of these durations, in parentheses where nobody asked for it.
    pub(super) fn wanted_of(&self, goal: Goal, candidate: &Candidate) -> String {
        let capped = self.capped();
        let fifth = candidate.timing.lease_duration() / OUTAGE_SHARE;
        let usual = Self { outage: capped.outage.or(Some(fifth)), ..capped };
        match (self.value(goal), usual.value(goal)) {
            (None, Some(_)) => format!("({})", usual.wanted(goal)),
            _ => self.wanted(goal),
        }
    }

    /// With a goal that nobody gave and that the search needs to end somewhere.
    pub(super) fn capped(&self) -> Self {
        let writes = self.writes_per_minute.or_else(|| self.failover_p99.is_none().then_some(USUAL_WRITES));
        Self { writes_per_minute: writes, ..*self }
    }

    /// What the next setting in the order of the search would save.
    pub(super) fn next_is(&self) -> &'static str {
        if self.failover_p99.is_some() { "cheaper" } else { "quicker" }
    }
}

impl fmt::Display for Goals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let given = self.given();
        for (index, goal) in given.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{} {}", goal.name(), self.wanted(*goal))?;
        }
        Ok(())
    }
}

/// Three digits that say something, and one after the point at least.
fn number(value: f64) -> String {
    let (mut decimals, mut scaled) = (1, value);
    while scaled < 10.0 && decimals < DECIMALS_MAX {
        (decimals, scaled) = (decimals + 1, scaled * 10.0);
    }
    let text = format!("{value:.decimals$}");
    let trimmed = text.trim_end_matches('0');
    if trimmed.ends_with('.') { format!("{trimmed}0") } else { trimmed.to_owned() }
}

/// Nothing has the unit that everything else has.
pub(super) fn pretty(duration: Duration) -> String {
    if duration.is_zero() { "0s".to_owned() } else { Pretty(duration).to_string() }
}

fn millis(seconds: f64) -> u64 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive number of milliseconds")]
    let millis = (seconds * 1_000.0).round() as u64;
    millis
}

/// From the end of the wait to the start of the next term: a read, a write and a wake.
const TAKEOVER: Duration = Duration::from_millis(50);
/// A read and a write after a blind attempt, over the links that are played: 1ms to 5ms one way.
pub(super) const ROUND_TRIPS: Duration = Duration::from_millis(20);
/// Where nobody says how long an outage has to be survived, this part of the lease duration.
pub(super) const OUTAGE_SHARE: u32 = 5;
/// As many as by default.
const USUAL_WRITES: f64 = 30.0;
const DECIMALS_MAX: usize = 9;
/// By which factor and how much a goal is let down at a time.
const LOOSER: f64 = 1.02;
const TENTH: f64 = 0.1;
/// What sums of decimal fractions may be off by.
const TINY: f64 = 1e-9;
