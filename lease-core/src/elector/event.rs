//! What goes into the machine and what comes out of it: plain data.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arrayvec::ArrayVec;

use crate::lock::{LockError, LockErrorKind};
use crate::record::{FencingToken, HolderIdentity, LeaseRecord, Versioned};
use crate::time::{Instant, Timestamp};

/// Something that happened. Every event is answered in every phase.
#[derive(Clone, Debug)]
pub enum Event {
    /// The time that the last step asked to be woken at has come.
    Wake,
    /// A request was answered, or is known to have failed.
    Completed {
        /// Which request.
        request: RequestId,
        /// The record after it; none when a read found no record.
        result: Result<Option<Versioned>, Failure>,
    },
    /// A watch told of a change. Late, repeated and untrue hints may only delay.
    Hint(Hint),
    /// The watch is live.
    WatchReady,
    /// The watch is not live.
    WatchLost,
    /// The application gives the lease up, for this term.
    Resign {
        /// Who should lead next, an identity or the name before its suffix; none for anyone.
        to: Option<Arc<str>>,
    },
    /// The application wants no more terms.
    Shutdown,
    /// The work has ended by itself, but parts of it may still run: they are told to drain.
    WorkEnded {
        /// The term of the work.
        term: TermId,
    },
    /// The guarded work has fully stopped; also when it ended by itself.
    Drained {
        /// The term of the work.
        term: TermId,
    },
    /// A check found the hold of this term over before the machine did.
    ExpirySeen {
        /// The expired term.
        term: TermId,
    },
}

/// What a watch tells of the record.
#[derive(Clone, Debug)]
pub enum Hint {
    /// It is, or was, like this.
    Changed(Versioned),
    /// It is, or was, gone.
    Deleted,
}

/// A failed request, as far as the machine needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What the caller has to do next.
    pub kind: LockErrorKind,
    /// How long the store asked to be left alone.
    pub retry_after: Option<Duration>,
    /// The version of a record that cannot be understood.
    pub unreadable: Option<Box<Versioned>>,
}

impl From<LockErrorKind> for Failure {
    fn from(kind: LockErrorKind) -> Self {
        Self { kind, retry_after: None, unreadable: None }
    }
}

impl From<&LockError> for Failure {
    fn from(error: &LockError) -> Self {
        Self {
            kind: error.kind(),
            retry_after: error.retry_after(),
            unreadable: error.unreadable().cloned().map(Box::new),
        }
    }
}

/// Numbers the requests of one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub(super) u64);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

/// Numbers the terms of one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TermId(pub(crate) u64);

impl fmt::Display for TermId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "term {}", self.0)
    }
}

/// What is to be done after a step.
#[derive(Clone, Debug)]
#[must_use = "a step that is not carried out stalls the election"]
pub struct Actions {
    /// A request to send to the lock. There is at most one at a time: a new one says that the machine no
    /// longer waits for the one before.
    pub request: Option<Request>,
    /// Whether the request before is given up: its future is to be dropped.
    pub abandon: bool,
    /// What the application and observers have to know, in this order.
    pub notices: ArrayVec<Notice, NOTICES_MAX>,
    /// When to send [`Event::Wake`] unless another event comes first; [`Duration::MAX`] for never.
    pub wake_in: Duration,
}

/// The most that one step has to say.
pub const NOTICES_MAX: usize = 8;

/// A request to the lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// To be named in its [`Event::Completed`].
    pub id: RequestId,
    /// What it is for.
    pub purpose: Purpose,
    /// The call.
    pub op: Op,
    /// After how long the machine gives it up.
    pub timeout: Duration,
}

/// Which method of the lock to call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// `get`.
    Get,
    /// `create`.
    Create(LeaseRecord),
    /// `update`.
    Update {
        /// The version to replace.
        seen: Versioned,
        /// The record to store.
        record: LeaseRecord,
    },
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// To see the record.
    Read,
    /// To become the holder.
    Acquire,
    /// To stay the holder.
    Renew,
    /// To let others hold at once.
    Release,
}

impl Purpose {
    /// The name as it appears in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Acquire => "acquire",
            Self::Renew => "renew",
            Self::Release => "release",
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Something to tell the application or an observer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The work may start.
    Started(Term),
    /// The hold of the term now reaches further.
    Renewed {
        /// The term.
        term: TermId,
        /// When the hold ends.
        valid_until: Instant,
        /// By when all work must have stopped if the hold ends.
        fence: Instant,
    },
    /// The work is to finish and stop; the lease is being renewed meanwhile.
    Drain {
        /// The term.
        term: TermId,
        /// When this turns into `MustStop`.
        by: Instant,
        /// Why.
        why: Reason,
    },
    /// The work must stop now.
    MustStop {
        /// The term.
        term: TermId,
        /// By when it must have stopped.
        by: Instant,
        /// Why.
        why: Reason,
    },
    /// The term is over and its work has stopped.
    Stopped {
        /// The term.
        term: TermId,
        /// Why it ended.
        why: Reason,
        /// Whether the lease was released, so that another can take it at once.
        released: bool,
    },
    /// The record shows another holder than before; none when nobody holds it.
    HolderChanged(Option<HolderIdentity>),
    /// Somebody else writes the record under this candidate's own identity.
    IdentityConflict,
    /// This candidate will not contend, and why; none when it does again.
    Refusing(Option<Refusal>),
    /// An acknowledgement came too late to count.
    LateAcknowledgement,
    /// No further event is needed: the machine has stopped.
    Finished,
}

/// One time of holding the lease.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Term {
    /// Its number on this candidate.
    pub id: TermId,
    /// Greater than that of every earlier term of anybody; none where the store has no order of writes.
    pub token: Option<FencingToken>,
    /// As the record says when it began.
    pub acquire_time: Timestamp,
    /// The record's count of acquisitions.
    pub transitions: u32,
    /// When the hold ends unless it is renewed.
    pub valid_until: Instant,
    /// By when all work must have stopped if the hold ends.
    pub fence: Instant,
    /// How it was won.
    pub won: Won,
}

/// How a term was won.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Won {
    /// There was no record.
    Created,
    /// The holder before had released it, or there had been none.
    Released,
    /// The holder before had not renewed it for its whole duration.
    Expired,
}

impl Won {
    /// The name as it appears in logs, metrics and status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Released => "released",
            Self::Expired => "expired",
        }
    }
}

/// Why a term ends: the one list for logs, metrics, events and status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// No renewal was acknowledged in time.
    Expired,
    /// The record shows another holder.
    TakenOver,
    /// The record was deleted.
    Deleted,
    /// The holder was emptied by somebody else.
    Cleared,
    /// The record can no longer be understood.
    Malformed,
    /// The store went back to an earlier state.
    Regressed,
    /// Somebody else writes the record under the same identity.
    IdentityConflict,
    /// The work did not stop in the time that draining may take.
    DrainTimeout,
    /// The application gave the lease up.
    Resigned,
    /// An operator asked for it.
    HandedOver,
    /// The application shuts down.
    Shutdown,
    /// The work ended by itself.
    WorkEnded,
    /// The driver of the election has failed. No machine says this; its driver does.
    DriverEnded,
}

impl Reason {
    /// The name as it appears in logs, metrics and status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::TakenOver => "taken_over",
            Self::Deleted => "deleted",
            Self::Cleared => "cleared",
            Self::Malformed => "malformed",
            Self::Regressed => "regressed",
            Self::IdentityConflict => "identity_conflict",
            Self::DrainTimeout => "drain_timeout",
            Self::Resigned => "resigned",
            Self::HandedOver => "handed_over",
            Self::Shutdown => "shutdown",
            Self::WorkEnded => "work_ended",
            Self::DriverEnded => "driver_ended",
        }
    }

    /// Whether the lease was lost rather than given up.
    pub const fn is_loss(self) -> bool {
        !matches!(self, Self::Resigned | Self::HandedOver | Self::Shutdown | Self::WorkEnded)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a candidate does not contend although the lease may be free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// The store was seen to go back to an earlier state: an operator must raise the epoch.
    Regressed,
    /// The record's epoch is higher than this candidate's: its configuration is out of date.
    EpochTooLow {
        /// This candidate's.
        own: u32,
        /// The record's.
        record: u32,
    },
    /// The record has a strategy: Kubernetes' coordinated election manages it.
    ForeignStrategy,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Regressed => {
                f.write_str("the store went back to an earlier state; raise the epoch of all candidates")
            }
            Self::EpochTooLow { own, record } => write!(f, "epoch {own} is lower than the record's epoch {record}"),
            Self::ForeignStrategy => f.write_str("the record has a strategy, so coordinated election manages it"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_terms_are_told_apart_in_logs() {
        assert_eq!(RequestId(7).to_string(), "r7");
        assert_eq!(TermId(7).to_string(), "term 7");
    }

    #[test]
    fn no_two_things_have_the_same_name() {
        use super::super::PhaseKind::{self, Candidate, Draining, Leading, Releasing, Stopped, Stopping};
        let phases = [Candidate, Leading, Draining, Releasing, Stopping, Stopped].map(PhaseKind::as_str);
        assert_eq!(phases, ["candidate", "leading", "draining", "releasing", "stopping", "stopped"]);
        let purposes = [Purpose::Read, Purpose::Acquire, Purpose::Renew, Purpose::Release].map(Purpose::as_str);
        assert_eq!(purposes, ["read", "acquire", "renew", "release"]);
        assert_eq!([Won::Created, Won::Released, Won::Expired].map(Won::as_str), ["created", "released", "expired"]);
    }

    #[test]
    fn a_failure_is_told_with_all_that_its_error_says() {
        let busy = LockError::new(LockErrorKind::Unavailable, "busy").with_retry_after(Some(Duration::from_secs(3)));
        let failure = Failure::from(&busy);
        assert_eq!((failure.kind, failure.retry_after), (LockErrorKind::Unavailable, Some(Duration::from_secs(3))));
        assert_eq!(failure.unreadable, None);
    }

    #[test]
    fn what_was_given_up_is_not_lost() {
        for given_up in [Reason::Resigned, Reason::HandedOver, Reason::Shutdown, Reason::WorkEnded] {
            assert!(!given_up.is_loss(), "{given_up}");
        }
        for lost in [Reason::Expired, Reason::TakenOver, Reason::Deleted, Reason::DrainTimeout, Reason::DriverEnded] {
            assert!(lost.is_loss(), "{lost}");
            assert!(!lost.to_string().is_empty());
        }
    }
}
