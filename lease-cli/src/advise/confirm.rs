//! Durations played: crashes for the failover, outages for what they survive, quiet for what they cost.

use std::time::Duration;

use indicatif::ProgressBar;
use lease_core::Pretty;
use lease_memory::sim::{Measure, Measured, RuleName, Scenario, Setting};

use super::goals::{Goal, Goals, ROUND_TRIPS, pretty};
use super::search::Candidate;
use crate::cli::Global;
use crate::exit::{Code, Failure};
use crate::simulate::{progress, shown_ns};

/// How the figures are confirmed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Play<'a> {
    /// The first seed.
    pub(super) seed: u64,
    /// How many runs there are of each kind.
    pub(super) runs: u64,
    pub(super) global: &'a Global,
}

/// What a simulation has shown of one set of durations.
#[derive(Clone, Copy, Debug)]
pub(super) struct Confirmed {
    pub(super) failover_p99: Duration,
    /// How long each outage was.
    pub(super) outage: Duration,
    /// How many of them there were, and how many terms they have cost.
    pub(super) outages: u64,
    pub(super) lost: u64,
    pub(super) writes_per_minute: f64,
}

impl Confirmed {
    pub(super) fn of(candidate: &Candidate, goals: &Goals, play: &Play<'_>) -> Result<Self, Failure> {
        let timing = &candidate.timing;
        let (lease, retry) = (timing.lease_duration(), timing.retry_period());
        let outage = goals.outage.unwrap_or_else(|| timing.outage_survived().saturating_sub(ROUND_TRIPS));
        // Late enough for everybody to have started, and at any moment between two renewals.
        let from = Duration::from_mins(1) + 3 * retry;
        let at = format!("at: {}..{}", Pretty(from), Pretty(from + retry));
        let until = Pretty(from + retry + outage + 3 * lease + Duration::from_mins(1));
        let crash = format!("until: {until}\nevents:\n  - {at}\n    what: crash\n    back: 5s..30s\n");
        let cut = format!(
            "until: {until}\nevents:\n  - {at}\n    what: partition\n    who: everybody\n    for: {}\n",
            Pretty(outage)
        );
        let quiet = format!("until: {}\n", Pretty(QUIET.max(60 * retry)));
        let bar = progress(2 * play.runs + QUIET_RUNS, play.global);
        let begun = |yaml: &str, runs| play_one(candidate, yaml, play.seed, runs, &bar);
        let (crashes, outages, quiet) =
            (begun(&crash, play.runs)?, begun(&cut, play.runs)?, begun(&quiet, QUIET_RUNS)?);
        bar.finish_and_clear();
        Ok(Self {
            failover_p99: crashes.leaderless_percentile_ns(99).map_or(Duration::MAX, Duration::from_nanos),
            outage,
            outages: outages.runs,
            lost: outages.stats.false_failovers,
            writes_per_minute: quiet.writes_per_minute(),
        })
    }

    /// Whether the outage that these durations are said to survive was seen to cost a leader, asked for or not.
    pub(super) fn loses_leaders(&self) -> bool {
        self.lost > 0
    }

    /// The first goal that was seen not to be met.
    pub(super) fn missed(&self, goals: &Goals) -> Option<Goal> {
        goals.given().into_iter().find(|goal| match goal {
            Goal::Failover => goals.failover_p99.is_some_and(|wanted| self.failover_p99 > wanted),
            Goal::Outage => self.lost > 0,
            Goal::Writes => goals.writes_per_minute.is_some_and(|wanted| self.writes_per_minute > wanted + SLACK),
        })
    }

    pub(super) fn told(&self, goal: Goal) -> String {
        match goal {
            Goal::Failover if self.failover_p99 == Duration::MAX => "nobody led again".to_owned(),
            Goal::Failover => shown_ns(u64::try_from(self.failover_p99.as_nanos()).unwrap_or(u64::MAX)),
            Goal::Outage => {
                format!("{} of {} leaders lost by outages of {}", self.lost, self.outages, pretty(self.outage))
            }
            Goal::Writes => goal.shown(self.writes_per_minute),
        }
    }
}

fn play_one(candidate: &Candidate, yaml: &str, seed: u64, runs: u64, bar: &ProgressBar) -> Result<Measured, Failure> {
    let scenario = Scenario::from_yaml(yaml).map_err(|error| Failure::of(Code::System, &error))?;
    let setting = Setting::new(candidate.three(), RuleName::Ours, false)
        .map_err(|error| Failure::of(Code::Configuration, &error))?;
    let measure = Measure { scenario: &scenario, settings: &[setting], seed, runs, threads: None };
    let before = bar.position();
    let measured =
        measure.play(&|done| bar.set_position(before + done)).map_err(|error| Failure::of(Code::System, &error))?;
    measured.into_iter().next().ok_or_else(|| Failure::new(Code::System, "nothing was played"))
}

/// Cheap to play, and long enough for a steady rate.
const QUIET: Duration = Duration::from_mins(30);
const QUIET_RUNS: u64 = 20;
/// The first acquisition is a write too.
const SLACK: f64 = 0.1;
