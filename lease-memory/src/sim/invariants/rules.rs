//! Rules of the protocol that can be seen from outside and are no invariants of their own.

use lease_core::{
    Elector, Instant, LeaseRecord, Notice, Op, PhaseKind, Purpose, Reason, Refusal, Timestamp, Timing, Won,
};

use super::{Verdict, letter};
use crate::sim::clocks::unscale;
use crate::sim::judged::Judged;
use crate::sim::schedule::nanos;

pub(in crate::sim) const AT_ONCE: &str = "r3_at_once";
pub(in crate::sim) const BOUNDED_DRAIN: &str = "r5_bounded_drain";
pub(in crate::sim) const LEAK: &str = "r5_leak";
pub(in crate::sim) const ACQUISITION: &str = "r7_acquisition";
pub(in crate::sim) const RETRY_AFTER: &str = "r9_retry_after";
pub(in crate::sim) const REGRESS: &str = "r12_regress";
pub(in crate::sim) const EPOCH: &str = "r12_epoch";
pub(in crate::sim) const HINT: &str = "r14_hint";
pub(in crate::sim) const HOLD_BACK: &str = "r15_hold_back";
pub(in crate::sim) const SUCCESSOR: &str = "r16_successor";
pub(in crate::sim) const REQUEST: &str = "r16_request";
pub(in crate::sim) const VOID_REQUEST: &str = "r16_void_request";
pub(in crate::sim) const STRICT: &str = "strict";

/// What a reply has just shown to a process that waited for it.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::sim) struct Shown {
    /// That the record is gone.
    pub(in crate::sim) gone: bool,
    /// That the store went back.
    pub(in crate::sim) loss: Option<Loss>,
    /// A record that is no write of its own.
    pub(in crate::sim) foreign: bool,
    /// When the term began that it is asked to hand over.
    pub(in crate::sim) asked: Option<Timestamp>,
}

/// What tells that a store has lost writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) enum Loss {
    /// A revision below one that was shown before.
    Below,
    /// A revision that was shown before, at another record. Who has not written that one itself need not notice.
    GivenOutAgain,
}

/// R3, R4, R12, R16: what ends a term ends it in the very step that shows it.
pub(in crate::sim) fn replied(node: usize, elector: &Elector, shown: Shown) -> Verdict {
    if !matches!(elector.phase(), PhaseKind::Leading | PhaseKind::Draining) {
        return Ok(());
    }
    match shown {
        Shown { gone: true, .. } => Err((AT_ONCE, format!("{} leads on although its record is gone", letter(node)))),
        Shown { loss: Some(_), .. } => {
            Err((REGRESS, format!("{} leads on although the store went back", letter(node))))
        }
        Shown { foreign: true, .. } => {
            Err((AT_ONCE, format!("{} leads on although the record is not its own", letter(node))))
        }
        Shown { asked: Some(asked), .. } if elector.phase() == PhaseKind::Leading => {
            if elector.term().is_none_or(|term| term.acquire_time != asked) {
                return Ok(());
            }
            Err((REQUEST, format!("{} does not drain although it is asked to", letter(node))))
        }
        _ => Ok(()),
    }
}

/// R14: what a watch tells ends no term.
pub(in crate::sim) fn hinted(node: usize, notice: &Notice) -> Verdict {
    match notice {
        // What is over by now is so whatever the event is.
        Notice::MustStop { why: Reason::Expired | Reason::DrainTimeout, .. } => Ok(()),
        Notice::MustStop { why, .. } | Notice::Drain { why, .. } => {
            Err((HINT, format!("{}'s term ends ({why}) by a hint alone", letter(node))))
        }
        _ => Ok(()),
    }
}

/// R5: a drain that takes too long turns into a stop.
pub(in crate::sim) fn drains(node: usize, judged: &Judged, local: Instant) -> Verdict {
    let Some(work) = judged.working() else { return Ok(()) };
    if work.must_stop_by.is_none() && work.drain_by.is_some_and(|by| local.has_reached_either(by)) {
        return Err((BOUNDED_DRAIN, format!("{} drains on at its {local}", letter(node))));
    }
    Ok(())
}

/// R12, R16 and `strict`: what is behind a notice.
pub(in crate::sim) fn noticed(
    node: usize,
    judged: &Judged,
    elector: &Elector,
    notice: &Notice,
    local: Instant,
    (now_ns, error_ppm): (u64, u32),
) -> Verdict {
    match notice {
        Notice::Finished => finishes(node, judged, &elector.config().timing, local),
        Notice::Started(term) if elector.config().strict && term.won == Won::Created => {
            let least_ns = unscale(nanos(elector.config().timing.lease_duration()), error_ppm);
            if now_ns - judged.created_at_ns < least_ns {
                return Err((STRICT, format!("{} starts too soon after its record was created", letter(node))));
            }
            Ok(())
        }
        Notice::Started(_) if judged.knows_of_the_loss => {
            Err((REGRESS, format!("{} starts although it was shown that the store went back", letter(node))))
        }
        Notice::Started(term) if term.token.is_some_and(|token| token.revision < judged.revision_max) => {
            let (token, max) = (term.token, judged.revision_max);
            Err((REGRESS, format!("{} starts with {token:?}, but has seen {max}", letter(node))))
        }
        Notice::Started(term) if term.token.is_some_and(|token| token.epoch < judged.epoch_max) => {
            let (token, max) = (term.token, judged.epoch_max);
            Err((EPOCH, format!("{} starts with {token:?}, but has seen epoch {max}", letter(node))))
        }
        Notice::Drain { why: Reason::HandedOver, .. } => {
            let asked = elector.observed().and_then(|seen| seen.record.request.as_ref());
            let meant = elector.term().map(|term| term.acquire_time);
            if asked.map(|request| request.acquire_time) == meant {
                return Ok(());
            }
            Err((VOID_REQUEST, format!("{} obeys a request that is meant for another term", letter(node))))
        }
        _ => Ok(()),
    }
}

/// R12: nobody refuses to lead because of a loss that never was.
pub(in crate::sim) fn refuses(node: usize, refusal: Refusal, has_rolled_back: bool) -> Verdict {
    if refusal != Refusal::Regressed || has_rolled_back {
        return Ok(());
    }
    Err((REGRESS, format!("{} refuses to lead although the store has lost nothing", letter(node))))
}

/// R5: nobody shuts down with an acquisition behind it that was applied, and that it neither knows of nor has waited out.
fn finishes(node: usize, judged: &Judged, timing: &Timing, local: Instant) -> Verdict {
    let Some((sent_at, Purpose::Acquire)) = judged.unresolved else { return Ok(()) };
    if !judged.applied.contains(&sent_at) || local.has_reached_either(sent_at + timing.renew_deadline()) {
        return Ok(());
    }
    Err((LEAK, format!("{} shuts down although its acquisition of {sent_at} holds the lease", letter(node))))
}

/// R9, R15: whether a candidate may send anything at all.
pub(in crate::sim) fn sent(node: usize, judged: &Judged, timing: &Timing, purpose: Purpose, local: Instant) -> Verdict {
    let alone = judged.leave_alone_until.is_some_and(|until| !local.has_reached_either(until));
    if alone && judged.work.is_none() && matches!(purpose, Purpose::Read | Purpose::Acquire) {
        return Err((RETRY_AFTER, format!("{} does not leave the store alone", letter(node))));
    }
    let back = judged.gave_up_at.is_some_and(|gave_up| local.since(gave_up) < 2 * timing.retry_period());
    if purpose == Purpose::Acquire && back {
        return Err((HOLD_BACK, format!("{} is back at once after it gave its term up", letter(node))));
    }
    Ok(())
}

/// R16: a release that names somebody is his for one retry period.
pub(in crate::sim) fn succeeds(
    node: usize,
    elector: &Elector,
    stored: &LeaseRecord,
    since_ns: u64,
    error_ppm: u32,
) -> Verdict {
    let Some(named) = stored.successor.as_ref().filter(|_| stored.holder.is_none()) else { return Ok(()) };
    let least_ns = unscale(nanos(elector.config().timing.retry_period()), error_ppm);
    if !elector.config().identity.is_called(named) && since_ns < least_ns {
        return Err((SUCCESSOR, format!("{} does not hold back for {named}", letter(node))));
    }
    Ok(())
}

/// R7, R12: what an acquisition leaves in the record.
pub(in crate::sim) fn acquires(node: usize, op: &Op, before: &LeaseRecord) -> Verdict {
    let Op::Update { record, seen } = op else { return Ok(()) };
    // A store that went back gives versions out again: who read the first of two records may write upon the second.
    if record.epoch < before.epoch.min(seen.record.epoch) {
        return Err((EPOCH, format!("{} acquires a record of a higher epoch", letter(node))));
    }
    if record.acquire_time != record.renew_time {
        return Err((ACQUISITION, format!("{} leaves the time of the acquisition as it was", letter(node))));
    }
    Ok(())
}
