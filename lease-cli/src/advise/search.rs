//! The durations that may be advised, and the order in which they are preferred.
//!
//! The lease duration and the retry period are steps of a grid. The renew deadline follows from them: two thirds of the
//! lease, more where an outage asks for it, and never so much that the work had no time to stop.

use std::time::Duration;

use lease_core::{Constraints, Pretty, Timing};

use super::goals::{Goal, Goals, OUTAGE_SHARE, ROUND_TRIPS};
use crate::exit::{Code, Failure};

/// Durations that go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) timing: Timing,
}

/// What durations a backend can carry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    step: Duration,
    constraints: Constraints,
}

impl Grid {
    pub(super) fn of(backend: &str) -> Result<Self, Failure> {
        let scheme = backend.split_once(':').map_or(backend, |(scheme, _)| scheme);
        match scheme {
            "k8s" => Ok(Self { step: Duration::from_secs(1), constraints: Constraints::WHOLE_SECONDS }),
            "memory" | "etcd" | "redis" => {
                Ok(Self { step: Duration::from_millis(100), constraints: Constraints::FINE })
            }
            _ => Err(Failure::new(Code::Usage, format!("unknown backend {scheme:?}")).help("use --backend k8s")),
        }
    }

    /// What is asked of all durations, whatever the goals are.
    pub(super) fn bounds() -> String {
        let (longest, least) = (Pretty(LONGEST), Pretty(STOP_MIN));
        format!(
            "only lease durations of at most {longest} are advised, and a tenth of them, at least {least}, is left to the \
             work for stopping"
        )
    }

    /// All that meet the goals by their derived figures, the best first.
    pub(super) fn best(&self, goals: &Goals) -> Vec<Candidate> {
        let capped = goals.capped();
        let mut found: Vec<Candidate> = self.all(&capped).filter(|one| capped.missed(one).is_empty()).collect();
        found.sort_by_key(|one| order(goals, one));
        found
    }

    /// What the search would have liked better than what it took, and why not: the next step of what it minimizes.
    pub(super) fn next_cheaper(&self, goals: &Goals, advised: &Candidate) -> Option<Candidate> {
        let capped = goals.capped();
        let (lease, retry) = (advised.timing.lease_duration(), advised.timing.retry_period());
        let by_writes = goals.failover_p99.is_some();
        // Also those that survive as much as they can and still not enough.
        let loose = capped.without(Goal::Outage);
        let all = self.all(&capped).chain(self.all(&loose).filter_map(|one| self.longest_hold(&one)));
        // By how much each would be better; none where it would not.
        let gain = |one: &Candidate| {
            if by_writes {
                one.timing.retry_period().checked_sub(retry)
            } else {
                lease.checked_sub(one.timing.lease_duration())
            }
        };
        let better: Vec<(Duration, Candidate)> =
            all.filter_map(|one| Some((gain(&one).filter(|gain| !gain.is_zero())?, one))).collect();
        let nearest = better.iter().map(|(gain, _)| *gain).min()?;
        let excess = |one: &Candidate| {
            let of = |goal: Goal| {
                let wanted = capped.value(goal).unwrap_or(1.0).max(TINY);
                ((goal.derived(one) - wanted) / wanted).abs()
            };
            let missed = capped.missed(one);
            (missed.len(), missed.into_iter().map(of).sum::<f64>())
        };
        let found = better.into_iter().filter(|(gain, _)| *gain == nearest).map(|(_, one)| one);
        found.min_by(|a, b| excess(a).partial_cmp(&excess(b)).expect("no figure is NaN"))
    }

    /// The best value of one goal that the others leave room for.
    pub(super) fn reachable(&self, goals: &Goals, goal: Goal) -> Option<f64> {
        let others = match goal {
            Goal::Writes => goals.without(goal),
            _ => goals.capped().without(goal),
        };
        let all = self.all(&others).filter(|one| others.missed(one).is_empty());
        let values = all.map(|one| match goal {
            // As much of the hold as can be, whatever would be proportionate.
            Goal::Outage => self.longest_hold(&one).map_or(0.0, |best| goal.derived(&best)),
            _ => goal.derived(&one),
        });
        let better = |one: f64, other: f64| if goal == Goal::Outage { one.max(other) } else { one.min(other) };
        values.reduce(better).filter(|value| *value > 0.0)
    }

    fn all(&self, goals: &Goals) -> impl Iterator<Item = Candidate> + use<> {
        let outage = goals.outage;
        let grid = *self;
        self.steps().flat_map(move |lease| {
            let retries = grid.steps().take_while(move |retry| 2 * *retry < lease);
            retries.filter_map(move |retry| grid.candidate(lease, retry, outage))
        })
    }

    /// Every second, or in finer steps where the backend has them and they matter.
    fn steps(&self) -> impl Iterator<Item = Duration> + use<> {
        let step = self.step;
        let second = Duration::from_secs(1);
        let next = move |last: &Duration| Some(*last + if *last < FINE_BELOW { step } else { second });
        std::iter::successors(Some(step), next).take_while(|value| *value <= LONGEST)
    }

    fn candidate(&self, lease: Duration, retry: Duration, outage: Option<Duration>) -> Option<Candidate> {
        let needed = 2 * retry + ROUND_TRIPS + outage.unwrap_or(lease / OUTAGE_SHARE).max(Duration::from_millis(1));
        let renew = self.up(needed.max(self.down(lease * 2 / 3)));
        (renew <= self.hold_max(lease)).then(|| self.build(lease, renew, retry)).flatten()
    }

    fn longest_hold(&self, one: &Candidate) -> Option<Candidate> {
        let lease = one.timing.lease_duration();
        self.build(lease, self.hold_max(lease), one.timing.retry_period())
    }

    fn build(&self, lease: Duration, renew: Duration, retry: Duration) -> Option<Candidate> {
        let timing = Timing::builder(lease, renew, retry).constraints(self.constraints).build().ok()?;
        Some(Candidate { timing })
    }

    /// The longest renew deadline that leaves the work a tenth of the lease for stopping, and a moment.
    fn hold_max(&self, lease: Duration) -> Duration {
        let fence = lease * 98 / 100;
        self.down(fence.saturating_sub((lease / STOP_SHARE).max(STOP_MIN)))
    }

    fn down(&self, duration: Duration) -> Duration {
        let steps = duration.as_nanos() / self.step.as_nanos();
        self.step * u32::try_from(steps).unwrap_or(u32::MAX)
    }

    fn up(&self, duration: Duration) -> Duration {
        let steps = duration.as_nanos().div_ceil(self.step.as_nanos());
        self.step * u32::try_from(steps).unwrap_or(u32::MAX)
    }
}

/// With a goal for failovers the fewest writes, and otherwise the quickest failover.
fn order(goals: &Goals, one: &Candidate) -> (Duration, Duration) {
    let (lease, retry) = (one.timing.lease_duration(), one.timing.retry_period());
    let seldom = LONGEST.saturating_sub(retry);
    if goals.failover_p99.is_some() { (seldom, lease) } else { (lease, seldom) }
}

/// A leader that is gone for longer than that before anybody notices is none.
const LONGEST: Duration = Duration::from_mins(10);
const FINE_BELOW: Duration = Duration::from_secs(10);
/// Which part of the lease duration the work has for stopping at least: most work needs some, and what is told to stop
/// may be busy. Beside the margin that is kept free anyway.
const STOP_SHARE: u32 = 10;
const STOP_MIN: Duration = Duration::from_millis(500);
const TINY: f64 = 1e-9;
