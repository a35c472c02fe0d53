//! What is known of an election at any moment.

use std::sync::Arc;

use crate::elector::{Config, PhaseKind, Reason, Refusal};
use crate::leadership::Released;
use crate::lock::LockErrorKind;
use crate::record::{FencingToken, HolderIdentity};
use crate::time::{Instant, Timestamp};

/// What is known of an election at any moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Status {
    /// Who this candidate is.
    pub identity: HolderIdentity,
    /// What it is doing.
    pub phase: PhaseKind,
    /// Who holds the lease, as last seen; none when nobody does, or nothing was read yet.
    pub holder: Option<HolderIdentity>,
    /// Since when, by that holder's clock, as its record says.
    pub held_since: Option<Timestamp>,
    /// Whether the record was ever read.
    pub read: bool,
    /// The fencing token of the present term.
    pub token: Option<FencingToken>,
    /// When the hold of the present term ends unless it is renewed.
    pub valid_until: Option<Instant>,
    /// Why the last term ended, or the present one is ending.
    pub reason: Option<Reason>,
    /// Why this candidate does not contend.
    pub refusal: Option<Refusal>,
    /// The last failure of the backend; none since its last success. That a write was denied stays, whatever
    /// reads say, until one is not.
    pub last_error: Option<LastError>,
    /// Whether a watch is live.
    pub watching: bool,
    /// Why there is no watch, where the backend refused it.
    pub watch_error: Option<Arc<str>>,
    /// Whether somebody else was seen to write under this candidate's identity.
    pub identity_conflict: bool,
    /// How many terms this candidate has had.
    pub terms: u64,
    /// In how many of them the work, or a callback, has panicked.
    pub work_panics: u64,
    /// How the last term was closed.
    pub released: Option<Released>,
}

/// A failure of the backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastError {
    /// What is to be done about it: [`LockErrorKind::Denied`] needs an operator.
    pub kind: LockErrorKind,
    /// What was tried and what the backend answered.
    pub message: Arc<str>,
    /// When it last happened, by the wall clock.
    pub at: Timestamp,
    /// How often in a row.
    pub count: u64,
}

impl Status {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            identity: config.identity.clone(),
            phase: PhaseKind::Candidate,
            holder: None,
            held_since: None,
            read: false,
            token: None,
            valid_until: None,
            reason: None,
            refusal: None,
            last_error: None,
            watching: false,
            watch_error: None,
            identity_conflict: false,
            terms: 0,
            work_panics: 0,
            released: None,
        }
    }

    /// Whether this candidate's work may act, as far as the driver knows. Before a side effect ask
    /// [`Leadership::check`](crate::Leadership::check), which asks the clock.
    pub fn is_leader(&self) -> bool {
        matches!(self.phase, PhaseKind::Leading | PhaseKind::Draining)
    }
}
