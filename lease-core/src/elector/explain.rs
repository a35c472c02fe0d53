//! Why a candidate does, or does not, act: for people, in traces and status.

use std::fmt;
use std::time::Duration;

use super::candidate::Decision;
use super::view::{Found, Free};
use super::{Elector, Phase, PhaseKind, Purpose, Reason, Refusal};
use crate::record::HolderIdentity;
use crate::time::Instant;

/// What a machine is about at some moment, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stance {
    /// A request is under way.
    Requesting(Purpose),
    /// Nothing was read yet.
    NotReadYet,
    /// The outcome of a write or the present record is not known.
    Unsure,
    /// The lease is left alone.
    Refusing(Refusal),
    /// The record has not stayed unchanged for long enough.
    Waiting {
        /// Who holds it; none when it was deleted, emptied, or cannot be understood.
        holder: Option<HolderIdentity>,
        /// For how long there was no renewal.
        unchanged: Duration,
        /// For how long there must be none.
        wait: Duration,
        /// The rest.
        rest: Duration,
    },
    /// The lease is free, but left to others for a moment.
    HoldingBack {
        /// For how long.
        rest: Duration,
    },
    /// The lease is about to be taken.
    Taking,
    /// The lease is held, but its work does not start yet: whoever held a record that vanished may not
    /// know of it.
    Settling {
        /// For how long.
        rest: Duration,
    },
    /// In a term.
    Holding {
        /// In which phase of it.
        phase: PhaseKind,
        /// For how long the hold still lasts.
        rest: Duration,
    },
    /// The term is lost, and its work is awaited.
    AwaitingStop(Reason),
    /// Shut down.
    Stopped,
}

impl fmt::Display for Stance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requesting(purpose) => write!(f, "{purpose} under way"),
            Self::NotReadYet => f.write_str("not taking over: the record was not read yet"),
            Self::Unsure => f.write_str("not writing: the record must be read first"),
            Self::Refusing(refusal) => write!(f, "not taking over: {refusal}"),
            Self::Waiting { holder, unchanged, wait, rest } => {
                let what = if holder.is_some() { "record unchanged" } else { "record gone, emptied or unreadable" };
                write!(
                    f,
                    "not taking over: {what} for {} of {}, {} to wait",
                    Secs(*unchanged),
                    Secs(*wait),
                    Secs(*rest)
                )
            }
            Self::HoldingBack { rest } => write!(f, "not taking over: left to others for {}", Secs(*rest)),
            Self::Taking => f.write_str("taking over"),
            Self::Settling { rest } => write!(f, "holding, but not acting for {}: strict", Secs(*rest)),
            Self::Holding { phase, rest } => write!(f, "{phase}, for {} more", Secs(*rest)),
            Self::AwaitingStop(why) => write!(f, "term lost ({why}), waiting for its work to stop"),
            Self::Stopped => f.write_str("stopped"),
        }
    }
}

/// Seconds to a tenth, as people want to read them.
struct Secs(Duration);

impl fmt::Display for Secs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1}s", self.0.as_secs_f64())
    }
}

impl Elector {
    /// What this machine is about, and why it does not act if it does not.
    pub fn stance(&self, now: Instant) -> Stance {
        if let Some(tenure) = self.tenure() {
            if let Some(starts_at) = tenure.starts_at {
                return Stance::Settling { rest: now.until_both(starts_at) };
            }
            return Stance::Holding { phase: self.phase(), rest: now.until_either(tenure.term.valid_until) };
        }
        match &self.phase {
            Phase::Stopping(stopping) => return Stance::AwaitingStop(stopping.why),
            Phase::Stopped => return Stance::Stopped,
            _ => debug_assert!(self.is_candidate(), "every other phase has a tenure"),
        }
        if let Some(outstanding) = &self.outstanding {
            return Stance::Requesting(outstanding.purpose);
        }
        if let Some(refusal) = self.refusal {
            return Stance::Refusing(refusal);
        }
        match (&self.view.found, self.decide(now)) {
            (_, Decision::Write(_)) => Stance::Taking,
            (Found::Unread, _) => Stance::NotReadYet,
            _ if self.pace.must_read && !now.has_reached_both(self.pace.hold_back_until) => {
                Stance::HoldingBack { rest: now.until_both(self.pace.hold_back_until) }
            }
            _ if self.pace.must_read => Stance::Unsure,
            (found, _) => self.waiting(now, matches!(found, Found::Present { free: Some(Free::Released), .. })),
        }
    }

    fn waiting(&self, now: Instant, released: bool) -> Stance {
        let rest = now.until_both(self.view.wait_until);
        if released || rest.is_zero() {
            return Stance::HoldingBack { rest: now.until_both(self.ready_at()) };
        }
        let unchanged = now.since(self.view.since);
        Stance::Waiting { holder: self.view.holder().cloned(), unchanged, wait: unchanged + rest, rest }
    }
}
