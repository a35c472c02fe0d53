//! Remembers what was missing when a request was denied, to say how it is granted.

use std::sync::{Mutex, PoisonError};

use lease_core::{Instant, Observation, Observer};

use crate::exit;

/// Sees every request of the election.
#[derive(Debug, Default)]
pub(super) struct Denials(Mutex<Option<String>>);

impl Denials {
    /// What an operator has to do, as of the last request that was denied.
    pub(super) fn help(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Observer for Denials {
    fn observe(&self, _at: Instant, what: Observation<'_>) {
        let Observation::Request { error: Some(error), .. } = what else { return };
        let Some(help) = exit::way_out(error) else { return };
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref() != Some(&help) {
            // The driver reports the denial itself, again and again; this is said once for each.
            tracing::error!("{help}");
            *last = Some(help);
        }
    }
}
