//! From the win to the release: rules R1, R3, R5, R8, R10 and R16 for the holder.
//!
//! A hold is counted from when the acknowledged write was sent, and ends by whichever clock is first.
//! Nothing in here can prolong a term that has ended.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use super::view::RELEASE_DURATION;
use super::{
    Actions, Attempt, Config, Elector, Failure, Hint, Notice, Op, Outstanding, Phase, Purpose, Reason, Term, TermId,
    Won,
};
use crate::lock::LockErrorKind;
use crate::record::{HandoverRequest, LeaseRecord, TermMark, Versioned};
use crate::time::{Instant, Now, Timestamp};

/// A term being held.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own, and all of them combine")]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Tenure {
    pub(super) term: Term,
    /// The record as last acknowledged, for the next write to build on.
    pub(super) seen: Versioned,
    /// Whether the work was told to start.
    pub(super) started: bool,
    /// When to tell it, for a term that was won by creation under `strict`.
    pub(super) starts_at: Option<Instant>,
    pub(super) began_at: Instant,
    /// When the next request is due.
    pub(super) next_at: Instant,
    /// When the last write was sent, for the pace of renewals.
    pub(super) written_at: Instant,
    /// Whether the record must be read before anything is written, because the last write's outcome is
    /// unknown or it conflicted.
    pub(super) must_read: bool,
    /// Whether a hint contradicts what is known.
    pub(super) read_wanted: bool,
    /// Whether the last write repeats one at once that another's had kept away.
    pub(super) repeated: bool,
}

/// A graceful stop under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Drain {
    pub(super) by: Instant,
    pub(super) why: Reason,
    pub(super) to: Option<Arc<str>>,
}

/// A release under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Release {
    pub(super) why: Reason,
    pub(super) to: Option<Arc<str>>,
    /// Whether it was sent before, so that the next attempt keeps the pace of a renewal.
    pub(super) sent: bool,
}

/// A term that is lost while its work may still run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Stopping {
    pub(super) tenure: Tenure,
    pub(super) why: Reason,
    /// Whom the drain that took too long was for.
    pub(super) to: Option<Arc<str>>,
}

/// When the renewal after a write is due: a retry period later, or at the moment before that at which all renewals of
/// this phase go out.
fn renewal_due(written_at: Instant, config: &Config) -> Instant {
    let retry_period = config.timing.retry_period();
    let due = written_at + retry_period;
    let Some(phase) = config.renew_phase else { return due };
    let every = (retry_period / COMMON_RENEWALS).max(Duration::from_nanos(1));
    // By one of the two clocks the last write may have been sent a little before its moment.
    let moment = due + retry_period / COMMON_RENEWALS_TOLERANCE;
    let before_phase_ns = every.as_nanos() - phase.as_nanos() % every.as_nanos();
    let beyond_ns = (u128::from(moment.boottime_nanos()) + before_phase_ns) % every.as_nanos();
    let beyond_ns = u64::try_from(beyond_ns).unwrap_or(0);
    due.earliest(Instant::from_nanos(
        moment.boottime_nanos().saturating_sub(beyond_ns),
        moment.raw_nanos().saturating_sub(beyond_ns),
    ))
}

/// How many moments a retry period has at which elections renew together.
const COMMON_RENEWALS: u32 = 4;
/// More than what the rates of two clocks make of a retry period: 1.6 %.
const COMMON_RENEWALS_TOLERANCE: u32 = 64;

impl Tenure {
    fn is_over(&self, now: Instant) -> bool {
        now.has_reached_either(self.term.valid_until)
    }

    /// R1: an acknowledged write holds from when it was sent.
    fn extend(&mut self, sent_at: Instant, config: &Config) {
        self.term.valid_until = sent_at + config.timing.renew_deadline();
        self.term.fence = sent_at + config.timing.fence();
    }

    /// The request to the holder that the record carries, if it is meant for this term.
    fn request<'a>(&self, record: &'a LeaseRecord, config: &Config) -> Option<&'a Arc<HandoverRequest>> {
        record
            .request
            .as_ref()
            .filter(|request| request.holder == config.identity && request.acquire_time == self.term.acquire_time)
    }

    fn mark(&self, config: &Config) -> TermMark {
        TermMark { identity: config.identity.clone(), transitions: self.term.transitions }
    }

    /// R10: a renewal is one conditional write on the record as last seen.
    fn renewal(&self, stamp: Timestamp, draining: bool, config: &Config) -> LeaseRecord {
        let mut record = self.seen.record.clone();
        record.holder = Some(config.identity.clone());
        record.lease_duration = config.timing.lease_duration();
        record.acquire_time = Some(self.term.acquire_time);
        record.renew_time = Some(stamp);
        record.transitions = self.term.transitions;
        // An operator who raises it in the record means whoever comes next.
        record.epoch = config.epoch.max(record.epoch);
        record.acquired = Some(self.mark(config));
        record.released = record.released.filter(|mark| mark.transitions < self.term.transitions);
        record.successor = None;
        record.request = self.request(&self.seen.record, config).cloned();
        if let Some(request) = record.request.as_mut().filter(|request| request.draining != draining) {
            Arc::make_mut(request).draining = draining;
        }
        record
    }

    /// R5: what lets others hold at once.
    fn release(&self, stamp: Timestamp, successor: Option<Arc<str>>, config: &Config) -> LeaseRecord {
        LeaseRecord {
            holder: None,
            lease_duration: RELEASE_DURATION,
            acquire_time: Some(stamp),
            renew_time: Some(stamp),
            transitions: self.term.transitions,
            epoch: config.epoch.max(self.seen.record.epoch),
            acquired: Some(self.mark(config)),
            released: Some(self.mark(config)),
            successor,
            request: None,
            strategy: self.seen.record.strategy.clone(),
        }
    }
}

impl Elector {
    /// Ends what is over by now, before anything else is looked at.
    pub(super) fn expire_due(&mut self, now: Instant, actions: &mut Actions) {
        match &mut self.phase {
            Phase::Leading(tenure) | Phase::Draining(tenure, _) | Phase::Releasing(tenure, _)
                if tenure.is_over(now) =>
            {
                self.end_term(now, Reason::Expired, actions);
            }
            Phase::Draining(_, drain) if now.has_reached_either(drain.by) => {
                self.end_term(now, Reason::DrainTimeout, actions);
            }
            Phase::Leading(tenure) if tenure.starts_at.is_some_and(|at| now.has_reached_both(at)) => {
                tenure.starts_at = None;
                tenure.started = true;
                actions.notices.push(Notice::Started(tenure.term.clone()));
            }
            _ => {}
        }
    }

    /// R8: a term ends once and never revives. Without a term, nothing happens.
    pub(super) fn end_term(&mut self, now: Instant, why: Reason, actions: &mut Actions) {
        let (tenure, to) = match mem::replace(&mut self.phase, Phase::Candidate) {
            Phase::Leading(tenure) => (tenure, None),
            Phase::Draining(tenure, drain) => (tenure, drain.to),
            Phase::Releasing(tenure, release) => return self.finish_term(now, &tenure, release.why, false, actions),
            other => {
                self.phase = other;
                return;
            }
        };
        let unresolved = self.abandon_request(actions);
        if !tenure.started {
            return self.become_candidate(now, Duration::ZERO, actions);
        }
        let by = now.earliest(tenure.term.valid_until) + self.config.timing.stop_timeout();
        let must_read = tenure.must_read || unresolved;
        if why != Reason::DrainTimeout {
            self.attempts.clear();
        }
        self.become_stopping(Stopping { tenure: Tenure { must_read, ..tenure }, why, to }, by, actions);
    }

    /// Drops the request under way; says whether it was a write.
    fn abandon_request(&mut self, actions: &mut Actions) -> bool {
        actions.request = None;
        let Some(outstanding) = self.outstanding.take() else { return false };
        actions.abandon = true;
        outstanding.purpose != Purpose::Read
    }

    /// A resignation, a shutdown, or a request to hand over.
    pub(super) fn give_up(&mut self, now: Instant, why: Reason, to: Option<Arc<str>>, actions: &mut Actions) {
        match mem::replace(&mut self.phase, Phase::Candidate) {
            Phase::Leading(tenure) if tenure.started => {
                let by = now + self.config.timing.drain_max();
                self.become_draining(tenure, Drain { by, why, to }, actions);
            }
            Phase::Leading(tenure) => self.start_release(now, tenure, why, to),
            other => {
                self.phase = other;
                let reading = self.outstanding.as_ref().is_some_and(|request| request.purpose == Purpose::Read);
                if self.shutdown && self.is_candidate() && reading && !self.has_unresolved_attempt(now) {
                    self.abandon_request(actions);
                }
            }
        }
    }

    /// R5: only when the work has stopped is the lease released.
    pub(super) fn drained(&mut self, now: Instant, term: TermId, actions: &mut Actions) {
        if self.term().is_none_or(|current| current.id != term) {
            return;
        }
        match mem::replace(&mut self.phase, Phase::Candidate) {
            Phase::Leading(tenure) if tenure.started => {
                let why = Reason::WorkEnded;
                actions.notices.push(Notice::Drain { term, by: now, why });
                self.start_release(now, tenure, why, None);
            }
            Phase::Draining(tenure, drain) => self.start_release(now, tenure, drain.why, drain.to),
            Phase::Stopping(Stopping { tenure, why: Reason::DrainTimeout, to }) if !tenure.is_over(now) => {
                self.start_release(now, tenure, Reason::DrainTimeout, to);
            }
            Phase::Stopping(Stopping { tenure, why, .. }) => self.finish_term(now, &tenure, why, false, actions),
            other => self.phase = other,
        }
    }

    fn start_release(&mut self, now: Instant, mut tenure: Tenure, why: Reason, to: Option<Arc<str>>) {
        // A renewal that failed a moment ago must not make others wait for the rest of a retry period.
        tenure.next_at = now;
        self.become_releasing(tenure, why, to);
    }

    fn finish_term(&mut self, now: Instant, tenure: &Tenure, why: Reason, released: bool, actions: &mut Actions) {
        self.abandon_request(actions);
        if tenure.started {
            actions.notices.push(Notice::Stopped { term: tenure.term.id, why, released });
        }
        let retry_period = self.config.timing.retry_period();
        let lasted = now.since(tenure.began_at);
        if why != Reason::WorkEnded || lasted >= 2 * self.config.timing.lease_duration() {
            self.pace.failed_terms = 0;
        }
        let hold_back = match why {
            // Two periods, so that a standby that polls sees the release before this candidate is back.
            // A drain that took too long was for one of the two, too.
            Reason::Resigned | Reason::HandedOver | Reason::DrainTimeout => 2 * retry_period,
            Reason::WorkEnded => {
                let doublings = self.pace.failed_terms.min(FAILED_TERM_DOUBLINGS_MAX);
                self.pace.failed_terms += 1;
                let least = retry_period * (2 << doublings);
                // Candidates whose work fails alike would otherwise come back together, again and again.
                least + self.jitter.below(least / 2)
            }
            _ => Duration::ZERO,
        };
        self.become_candidate(now, hold_back, actions);
    }

    pub(super) fn tenure_answered(
        &mut self,
        now: Instant,
        request: &Outstanding,
        reply: Option<Versioned>,
        actions: &mut Actions,
    ) {
        match (request.purpose, reply) {
            (Purpose::Read, found) => self.judge(now, found, actions),
            (Purpose::Release, Some(found)) => {
                self.view.saw(now, found, &self.config.timing);
                self.finish_release(now, true, actions);
            }
            (_, Some(found)) if self.attempt_shown(&found.record).is_some() => {
                self.adopt(now, found, Some(request.sent_at), actions);
            }
            // A reply that does not show the write it answers is worth nothing.
            _ => self.tenure_failed(now, request, &LockErrorKind::Unknown.into(), actions),
        }
    }

    fn finish_release(&mut self, now: Instant, released: bool, actions: &mut Actions) {
        match mem::replace(&mut self.phase, Phase::Candidate) {
            Phase::Releasing(tenure, release) => self.finish_term(now, &tenure, release.why, released, actions),
            other => self.phase = other,
        }
    }

    /// R1 and R3: what a read says of the term.
    fn judge(&mut self, now: Instant, found: Option<Versioned>, actions: &mut Actions) {
        let Some(found) = found else {
            self.view.saw_absence(now);
            return self.end_term(now, Reason::Deleted, actions);
        };
        let Some(tenure) = self.tenure() else { return };
        if !found.record.is_held_by(&self.config.identity) {
            let released = self.shows_own_release(&found.record);
            let why = if found.record.holder.is_some() { Reason::TakenOver } else { Reason::Cleared };
            self.view.saw(now, found, &self.config.timing);
            if released {
                return self.finish_release(now, true, actions);
            }
            return self.end_term(now, why, actions);
        }
        if found.record.renew_time == tenure.seen.record.renew_time {
            return self.adopt(now, found, None, actions);
        }
        if let Some(sent_at) = self.attempt_shown(&found.record).map(|attempt| attempt.sent_at) {
            return self.adopt(now, found, Some(sent_at), actions);
        }
        self.view.saw(now, found, &self.config.timing);
        actions.notices.push(Notice::IdentityConflict);
        self.end_term(now, Reason::IdentityConflict, actions);
    }

    /// Whether the record shows, by our mark or by an acquisition since, that the release was applied:
    /// nobody can have acquired it otherwise while the hold lasts.
    fn shows_own_release(&self, record: &LeaseRecord) -> bool {
        let Phase::Releasing(tenure, Release { sent: true, .. }) = &self.phase else { return false };
        match &record.holder {
            Some(_) => record.transitions > tenure.term.transitions,
            None => record.released.as_ref() == Some(&tenure.mark(&self.config)),
        }
    }

    /// Takes the record as the base of the next write; with the send time of the write it shows, the
    /// hold is counted from there.
    fn adopt(&mut self, now: Instant, found: Versioned, sent_at: Option<Instant>, actions: &mut Actions) {
        self.view.saw(now, found.clone(), &self.config.timing);
        let config = &self.config;
        let (releasing, release_sent) = match &self.phase {
            Phase::Releasing(_, release) => (true, release.sent),
            _ => (false, false),
        };
        let (Phase::Leading(tenure) | Phase::Draining(tenure, _) | Phase::Releasing(tenure, _)) = &mut self.phase
        else {
            return;
        };
        let moved = found.version != tenure.seen.version;
        // Somebody else has written, and the write that this has kept away is still due. Once a period, or a stranger who
        // writes without a pause would make this candidate do so too.
        let repeats = moved && tenure.must_read && sent_at.is_none() && !tenure.repeated;
        if moved {
            // Writes that built on the version before can no longer be applied.
            self.attempts.clear();
        }
        tenure.seen = found;
        tenure.must_read = false;
        tenure.read_wanted = false;
        tenure.repeated = repeats;
        if let Some(sent_at) = sent_at {
            tenure.extend(sent_at, config);
            let Term { id, valid_until, fence, .. } = tenure.term;
            if !releasing {
                actions.notices.push(Notice::Renewed { term: id, valid_until, fence });
            }
        }
        let due = renewal_due(tenure.written_at, config);
        tenure.next_at = if repeats || releasing && !release_sent { now } else { now.latest(due) };
        self.obey_request(now, actions);
    }

    /// R16: a request that names this term is answered by draining.
    fn obey_request(&mut self, now: Instant, actions: &mut Actions) {
        let Phase::Leading(tenure) = &mut self.phase else { return };
        let Some(request) = tenure.request(&tenure.seen.record, &self.config) else { return };
        let to = request.successor.clone();
        tenure.next_at = now;
        self.give_up(now, Reason::HandedOver, to, actions);
    }

    pub(super) fn tenure_failed(
        &mut self,
        now: Instant,
        request: &Outstanding,
        failure: &Failure,
        actions: &mut Actions,
    ) {
        let is_write = request.purpose != Purpose::Read;
        let retry_period = self.config.timing.retry_period();
        match failure.kind {
            LockErrorKind::NotFound if is_write => {
                self.view.saw_absence(now);
                return self.end_term(now, Reason::Deleted, actions);
            }
            LockErrorKind::Malformed if !is_write => {
                // An answer that shows no version is not the record's: it tells no more than none.
                if let Some(unreadable) = &failure.unreadable {
                    self.view.saw_malformed(now, Versioned::clone(unreadable), &self.config.timing);
                    return self.end_term(now, Reason::Malformed, actions);
                }
            }
            LockErrorKind::Unavailable | LockErrorKind::Denied => self.forget_attempt(request),
            _ => {}
        }
        let unresolved = is_write && !matches!(failure.kind, LockErrorKind::Unavailable | LockErrorKind::Denied);
        // R9: a holder cannot wait as long as a busy store may ask it to.
        let pause = failure.retry_after.unwrap_or_default().min(retry_period);
        let Some(tenure) = self.tenure_mut() else { return };
        tenure.must_read |= unresolved;
        tenure.next_at = match unresolved {
            true => now + pause,
            // A read that only a hint had asked for does not put a renewal off.
            false if !is_write && !tenure.must_read => tenure.next_at,
            false => now.latest(request.sent_at + retry_period),
        };
    }

    /// A hint that contradicts only brings a read forward; one that cannot be newer does nothing.
    pub(super) fn tenure_hinted(&mut self, now: Instant, hint: &Hint) {
        let Some(tenure) = self.tenure() else { return };
        let contradicts = match hint {
            Hint::Deleted => true,
            Hint::Changed(found) if found.version == tenure.seen.version => false,
            Hint::Changed(found) => {
                let seen = &tenure.seen;
                let old = matches!((found.revision, seen.revision), (Some(hint), Some(known)) if hint < known);
                let own = found.record.is_held_by(&self.config.identity)
                    && (found.record.renew_time == seen.record.renew_time
                        || self.attempt_shown(&found.record).is_some());
                !old && (!own || tenure.request(&found.record, &self.config).is_some())
            }
        };
        let retry_period = self.config.timing.retry_period();
        let allowed = self.pace.read_sent_at.is_none_or(|sent_at| now.has_reached_either(sent_at + retry_period));
        if let Some(tenure) = self.tenure_mut() {
            tenure.read_wanted |= contradicts && allowed;
        }
    }

    pub(super) fn act_in_tenure(&mut self, now: Now, actions: &mut Actions) {
        let Some(tenure) = self.tenure() else { return };
        let valid_until = tenure.term.valid_until;
        let due = now.instant.has_reached_either(tenure.next_at);
        // A renewal that is due tells as much as a read.
        if (tenure.read_wanted && !due) || (due && tenure.must_read) {
            if let Some(tenure) = self.tenure_mut() {
                tenure.read_wanted = false;
            }
            return self.send(now.instant, Purpose::Read, Op::Get, valid_until, actions);
        }
        if !due {
            return;
        }
        let stamp = self.stamp(now.wall, self.tenure().and_then(|tenure| tenure.seen.record.renew_time));
        let config = &self.config;
        let (purpose, tenure, record) = match &mut self.phase {
            Phase::Leading(tenure) => {
                let record = tenure.renewal(stamp, false, config);
                (Purpose::Renew, tenure, record)
            }
            Phase::Draining(tenure, _) => {
                let record = tenure.renewal(stamp, true, config);
                (Purpose::Renew, tenure, record)
            }
            Phase::Releasing(tenure, release) => {
                let record = tenure.release(stamp, release.to.clone(), config);
                release.sent = true;
                (Purpose::Release, tenure, record)
            }
            Phase::Candidate | Phase::Stopping(_) | Phase::Stopped => return,
        };
        tenure.written_at = now.instant;
        let op = Op::Update { seen: tenure.seen.clone(), record };
        if purpose == Purpose::Renew {
            let won = tenure.term.won;
            self.remember_attempt(Attempt { renew_time: stamp, sent_at: now.instant, won });
        }
        self.send(now.instant, purpose, op, valid_until, actions);
    }

    pub(super) fn tenure_wake_in(&self, now: Instant, tenure: &Tenure, drain_by: Option<Instant>) -> Duration {
        let mut wake_in = now.until_either(tenure.term.valid_until);
        if self.outstanding.is_none() {
            wake_in = wake_in.min(now.until_either(tenure.next_at));
        }
        if let Some(by) = drain_by {
            wake_in = wake_in.min(now.until_either(by));
        }
        if let Some(at) = tenure.starts_at {
            wake_in = wake_in.min(now.until_both(at));
        }
        wake_in
    }

    /// A write was acknowledged, or found, that makes this candidate the holder.
    pub(super) fn win(&mut self, now: Instant, found: Versioned, sent_at: Instant, won: Won, actions: &mut Actions) {
        let timing = self.config.timing;
        let term = Term {
            id: TermId(self.next_term),
            token: found.revision.map(|revision| crate::FencingToken { epoch: self.config.epoch, revision }),
            acquire_time: found.record.acquire_time.unwrap_or(Timestamp::from_unix_micros(0)),
            transitions: found.record.transitions,
            valid_until: sent_at + timing.renew_deadline(),
            fence: sent_at + timing.fence(),
            won,
        };
        self.next_term += 1;
        self.attempts.clear();
        self.pace.conflicts = 0;
        self.view.saw(now, found.clone(), &timing);
        let waits = self.config.strict && won == Won::Created;
        let tenure = Tenure {
            term,
            seen: found,
            started: !waits && !self.shutdown,
            starts_at: waits.then(|| now + timing.lease_duration()),
            began_at: now,
            next_at: now.latest(renewal_due(sent_at, &self.config)),
            written_at: sent_at,
            must_read: false,
            read_wanted: false,
            repeated: false,
        };
        if self.shutdown {
            self.start_release(now, tenure, Reason::Shutdown, None);
        } else {
            self.become_leading(tenure, actions);
            // Where a read shows the acquisition, somebody may have asked for its end already.
            self.obey_request(now, actions);
        }
    }

    pub(super) fn tenure(&self) -> Option<&Tenure> {
        match &self.phase {
            Phase::Leading(tenure) | Phase::Draining(tenure, _) | Phase::Releasing(tenure, _) => Some(tenure),
            Phase::Candidate | Phase::Stopping(_) | Phase::Stopped => None,
        }
    }

    fn tenure_mut(&mut self) -> Option<&mut Tenure> {
        match &mut self.phase {
            Phase::Leading(tenure) | Phase::Draining(tenure, _) | Phase::Releasing(tenure, _) => Some(tenure),
            Phase::Candidate | Phase::Stopping(_) | Phase::Stopped => None,
        }
    }
}

/// A work that ends again and again is tried at most this many doublings of two retry periods apart.
pub(super) const FAILED_TERM_DOUBLINGS_MAX: u32 = 4;
