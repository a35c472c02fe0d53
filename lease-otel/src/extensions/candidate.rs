//! What every elector is configured with: durations, a name for this replica, and when it begins to contend.

use std::collections::HashSet;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use lease_core::{Constraints, HolderIdentity, IdentityError, Setting, Timing, TimingError, TimingFault, WayOut};

use crate::config::Fields;

/// This replica as a candidate.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) timing: Timing,
    constraints: Constraints,
    /// Its name, without the random part.
    name: String,
    pub(crate) start_when: StartWhen,
}

impl Candidate {
    /// Its identity on a lease: the name, and a random part that all electors of this process share, so that an operator
    /// finds one name for a replica on all its leases.
    ///
    /// A second start for the same lease gets a part of its own: two candidates of one identity could not be told apart.
    pub(crate) fn identity(&self, namespace: &str, lease: &str) -> Result<HolderIdentity, IdentityError> {
        static PROCESS: LazyLock<Result<HolderIdentity, IdentityError>> = LazyLock::new(|| HolderIdentity::unique(""));
        static STARTED: LazyLock<Mutex<HashSet<(String, String)>>> = LazyLock::new(Mutex::default);
        let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
        if started.insert((namespace.to_owned(), lease.to_owned())) {
            let suffix = PROCESS.as_ref().map_err(Clone::clone)?.as_str();
            HolderIdentity::exact(&format!("{}{suffix}", self.name))
        } else {
            HolderIdentity::unique(&self.name)
        }
    }

    /// A receiver may take so long to stop: the lease is held for that time, and for what it has read to be sent.
    pub(crate) fn allow_stop(&mut self, stop_timeout: Duration) {
        let needed = stop_timeout.saturating_add(SENDING);
        if needed > self.timing.drain_max() {
            let (lease, renew, retry) =
                (self.timing.lease_duration(), self.timing.renew_deadline(), self.timing.retry_period());
            let longer = Timing::builder(lease, renew, retry).constraints(self.constraints).drain_max(needed).build();
            // No other duration depends on it, and a time to stop is less than the longest that there may be.
            self.timing = longer.unwrap_or(self.timing);
        }
    }
}

/// Between the stop of the last receiver and the release.
const SENDING: Duration = Duration::from_secs(5);

/// From when on an elector contends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum StartWhen {
    /// When data can flow: who leads collects.
    #[default]
    Ready,
    /// At its start, as the reference does.
    Immediately,
}

/// The three durations. None when they do not go together, which is noted.
pub(crate) fn timing(fields: &mut Fields<'_>, constraints: Constraints) -> Option<Timing> {
    let default = Timing::default();
    let lease = fields.duration("lease_duration").map_or(default.lease_duration(), |found| found.value);
    let renew = fields.duration("renew_deadline").map_or(default.renew_deadline(), |found| found.value);
    let retry = fields.duration("retry_period").map_or(default.retry_period(), |found| found.value);
    match Timing::builder(lease, renew, retry).constraints(constraints).build() {
        Ok(timing) => Some(timing),
        Err(error) => {
            fields.error(key(&error), &error);
            None
        }
    }
}

/// The key at which a refusal is told: the duration that is wrong, or the first that could be changed.
fn key(error: &TimingError) -> &'static str {
    let setting = match (error.fault(), error.ways_out().first()) {
        (TimingFault::TooShort { what, .. } | TimingFault::TooLong { what, .. }, _) => *what,
        (TimingFault::NotWholeSeconds { .. }, _) => Setting::LeaseDuration,
        (TimingFault::RetryBelowTick { .. }, _) => Setting::RetryPeriod,
        (_, Some(WayOut::AtLeast(setting, _) | WayOut::AtMost(setting, _) | WayOut::Exactly(setting, _))) => *setting,
        _ => Setting::RenewDeadline,
    };
    match setting {
        Setting::LeaseDuration => "lease_duration",
        Setting::RetryPeriod => "retry_period",
        _ => "renew_deadline",
    }
}

/// All of a candidate.
pub(crate) fn candidate(fields: &mut Fields<'_>, constraints: Constraints) -> Option<Candidate> {
    let timing = timing(fields, constraints);
    let name = name(fields);
    let start_when = fields
        .word("start_when", &[("ready", StartWhen::Ready), ("immediately", StartWhen::Immediately)])
        .unwrap_or_default();
    Some(Candidate { timing: timing?, constraints, name: name?, start_when })
}

/// The name of this replica: as configured, or from the environment, or the host's.
fn name(fields: &mut Fields<'_>) -> Option<String> {
    let name =
        fields.text("identity").map_or_else(|| default_name(|name| std::env::var(name).ok()), |found| found.value);
    // What makes it unique is added at each start; here only whether it can be a name at all.
    match HolderIdentity::unique(&name) {
        Ok(_) if !name.is_empty() => Some(name),
        Ok(_) => {
            fields.error("identity", "a name is missing; leave the key out for the name of the pod or the host");
            None
        }
        Err(error) => {
            fields.error("identity", error);
            None
        }
    }
}

fn default_name(variable: impl Fn(&str) -> Option<String>) -> String {
    let variable = |name| variable(name).filter(|value| !value.is_empty());
    variable("LEASE_HOLDER_ID").or_else(|| variable("POD_NAME")).unwrap_or_else(|| {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        host.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_is_named_by_its_environment_or_its_host() {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        for (holder, pod, name) in [
            (Some("holder"), Some("pod"), "holder"),
            (None, Some("pod"), "pod"),
            (Some(""), Some("pod"), "pod"),
            (None, None, host.as_str()),
            (Some(""), Some(""), host.as_str()),
        ] {
            let found = default_name(|variable| match variable {
                "LEASE_HOLDER_ID" => holder.map(str::to_owned),
                "POD_NAME" => pod.map(str::to_owned),
                _ => None,
            });
            assert_eq!(found, name, "{holder:?} {pod:?}");
        }
    }

    #[test]
    fn the_electors_of_a_process_have_one_identity_and_two_on_one_lease_have_two() {
        let timing = Timing::default();
        let named = |name: &str| {
            let name = name.to_owned();
            Candidate { timing, constraints: Constraints::FINE, name, start_when: StartWhen::Ready }
        };
        let (pod, other) = (named("pod-0"), named("other"));
        let first = pod.identity("one-identity", "a").unwrap();
        assert_eq!(first.name(), "pod-0");
        assert_eq!(pod.identity("one-identity", "b").unwrap(), first);
        let suffix = first.as_str().strip_prefix("pod-0").unwrap();
        assert_eq!(other.identity("one-identity", "c").unwrap().as_str(), format!("other{suffix}"));
        let again = pod.identity("one-identity", "a").unwrap();
        assert_eq!(again.name(), "pod-0");
        assert_ne!(again, first);
    }
}
