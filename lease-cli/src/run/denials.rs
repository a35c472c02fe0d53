//! Remembers which right was missing, to say how it is granted.

use std::sync::{Mutex, PoisonError};

use lease_core::{Instant, Observation, Observer};
use lease_k8s::MissingRule;

use crate::exit;

/// Sees every request of the election.
#[derive(Debug, Default)]
pub(super) struct Denials(Mutex<Option<MissingRule>>);

impl Denials {
    /// What an operator has to grant, as of the last request that was denied.
    pub(super) fn help(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(exit::grant)
    }
}

impl Observer for Denials {
    fn observe(&self, _at: Instant, what: Observation<'_>) {
        let Observation::Request { error: Some(error), .. } = what else { return };
        let Some(rule) = MissingRule::of(error) else { return };
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref() != Some(rule) {
            // The driver reports the denial itself, again and again; this is said once for each rule.
            tracing::error!("{}", exit::grant(rule));
            *last = Some(rule.clone());
        }
    }
}
