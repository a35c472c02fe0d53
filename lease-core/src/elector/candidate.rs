//! Standing by: when to read, when to write, and when to leave the lease to others.
//!
//! Rules R2, R4, R6, R14 and R15 for a candidate. What it knows of the record is in [`super::view`].

use std::time::Duration;

use super::view::{Found, Free};
use super::{Actions, Attempt, Elector, Failure, Notice, Op, Outstanding, Phase, Purpose, Refusal, Won};
use crate::lock::LockErrorKind;
use crate::record::{LeaseRecord, TermMark, Versioned};
use crate::time::{Instant, Now, Timestamp};

/// What a candidate does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Read,
    Write(Won),
    Wait(Duration),
}

impl Elector {
    pub(super) fn candidate_answered(
        &mut self,
        now: Instant,
        request: &Outstanding,
        reply: Option<Versioned>,
        actions: &mut Actions,
    ) {
        if let Some(found) = &reply
            && let Some(Attempt { sent_at, won, .. }) = self.attempt_shown(&found.record).cloned()
            && !now.has_reached_either(sent_at + self.config.timing.renew_deadline())
        {
            return self.win(now, found.clone(), sent_at, won, actions);
        }
        if request.purpose != Purpose::Read {
            // A reply that does not show the write it answers is worth nothing.
            return self.candidate_failed(now, request, &LockErrorKind::Unknown.into());
        }
        match reply {
            Some(found) => {
                self.notice_namesake(&found, actions);
                self.view.saw(now, found, &self.config.timing);
            }
            None => self.view.saw_absence(now),
        }
        self.note_read(now, request);
    }

    pub(super) fn note_read(&mut self, now: Instant, request: &Outstanding) {
        let timing = &self.config.timing;
        let pace = if self.pace.watched { timing.lease_duration() } else { timing.retry_period() };
        self.pace.read_at = now.latest(request.sent_at + pace);
        self.pace.must_read = false;
        self.pace.confirmed = now.has_reached_both(self.view.wait_until);
        if self.shutdown {
            // The read has resolved what was unknown: nothing here is ours to release.
            self.attempts.clear();
        }
    }

    /// R4: somebody who renews under this candidate's identity is another, and people should know. With a live watch a
    /// read shows nothing new, so hints count here: nothing is decided by it.
    pub(super) fn notice_namesake(&mut self, found: &Versioned, actions: &mut Actions) {
        let Some(before) = self.view.seen() else { return };
        let renewed = before.record.renew_time != found.record.renew_time;
        let own = found.record.renew_time == self.last_stamp || self.attempt_shown(&found.record).is_some();
        if renewed && found.record.is_held_by(&self.config.identity) && !own {
            actions.notices.push(Notice::IdentityConflict);
        }
    }

    pub(super) fn candidate_failed(&mut self, now: Instant, request: &Outstanding, failure: &Failure) {
        let timing = self.config.timing;
        let mut asked = now + failure.retry_after.unwrap_or_default();
        if failure.kind == LockErrorKind::Denied {
            // An operator has to act, and that takes its time.
            asked = asked.latest(request.sent_at + timing.lease_duration());
        }
        self.pace.leave_alone_until = asked;
        let paced = asked.latest(request.sent_at + timing.retry_period());
        if request.purpose == Purpose::Read {
            if let Some(unreadable) = &failure.unreadable {
                self.view.saw_malformed(now, Versioned::clone(unreadable), &timing);
                self.note_read(now, request);
                return;
            }
            // Whatever is known, the store is to be left alone until then: also when the wait is over.
            self.pace.must_read = true;
            self.pace.read_at = paced;
            return;
        }
        self.pace.must_read = true;
        self.pace.confirmed = false;
        self.pace.read_at = match failure.kind {
            LockErrorKind::Conflict => asked.latest(self.back_off(now)),
            LockErrorKind::Unavailable | LockErrorKind::Denied => paced,
            _ => {
                // The read may come at once; another write keeps the pace, or a store that answers every
                // write with an error would be written to without a pause.
                self.pace.hold_back_until = self.pace.hold_back_until.latest(request.sent_at + timing.retry_period());
                asked
            }
        };
        if matches!(failure.kind, LockErrorKind::Unavailable | LockErrorKind::Denied) {
            self.forget_attempt(request);
        }
    }

    /// R15: a conflict shows that others contend too. Many in a row show a store that answers so to all, and
    /// each costs a read and a write: at two retry periods the mean is no more than polling and one read.
    fn back_off(&mut self, now: Instant) -> Instant {
        let base = if self.free().is_some() { RELEASE_JITTER_MAX } else { EXPIRY_JITTER_MAX };
        let bound = base * (1 << self.pace.conflicts.min(CONFLICT_DOUBLINGS_MAX));
        self.pace.conflicts += 1;
        now + self.jitter.below(bound.min(2 * self.config.timing.retry_period()))
    }

    fn free(&self) -> Option<Free> {
        match &self.view.found {
            Found::Present { free, .. } => *free,
            _ => None,
        }
    }

    pub(super) fn act_as_candidate(&mut self, now: Now, actions: &mut Actions) {
        if self.shutdown && !self.has_unresolved_attempt(now.instant) {
            return self.become_stopped(actions);
        }
        self.refuse(self.refusal_by_record(), actions);
        match self.decide(now.instant) {
            Decision::Read => {
                let no_later = now.instant + self.config.timing.attempt_timeout();
                self.send(now.instant, Purpose::Read, Op::Get, no_later, actions);
            }
            Decision::Write(won) => self.acquire(now, won, actions),
            Decision::Wait(_) => {}
        }
    }

    /// Whether an acquisition may have happened that a shutdown would have to release.
    pub(super) fn has_unresolved_attempt(&self, now: Instant) -> bool {
        let renew_deadline = self.config.timing.renew_deadline();
        self.attempts.iter().any(|attempt| !now.has_reached_either(attempt.sent_at + renew_deadline))
    }

    /// For how long at most an acquisition that may have happened would hold.
    fn unresolved_for(&self, now: Instant) -> Duration {
        let renew_deadline = self.config.timing.renew_deadline();
        let ends = self.attempts.iter().map(|attempt| now.until_either(attempt.sent_at + renew_deadline));
        ends.max().unwrap_or(Duration::MAX)
    }

    fn refusal_by_record(&self) -> Option<Refusal> {
        if let Found::Present { seen, malformed: false, .. } = &self.view.found
            && seen.record.strategy.is_some()
        {
            return Some(Refusal::ForeignStrategy);
        }
        // Whatever became of the record: terms of a higher epoch had higher tokens.
        let seen = self.view.seen().map_or(0, |seen| seen.record.epoch);
        let (own, record) = (self.config.epoch, self.view.epoch_max.max(seen));
        (record > own).then_some(Refusal::EpochTooLow { own, record })
    }

    /// Read, write, or wait: the one place where a candidate decides.
    pub(super) fn decide(&self, now: Instant) -> Decision {
        let read_due = now.has_reached_either(self.pace.read_at);
        let must_read = self.pace.must_read || self.view.found == Found::Unread;
        if must_read || self.refusal.is_some() || self.shutdown {
            return if read_due { Decision::Read } else { Decision::Wait(now.until_either(self.pace.read_at)) };
        }
        let ready_at = self.ready_at();
        if now.has_reached_both(ready_at) {
            return match &self.view.found {
                Found::Absent { .. } => Decision::Write(Won::Created),
                Found::Present { free: Some(_), .. } => Decision::Write(Won::Released),
                // R2: a read after the end of the wait confirms the record before it is replaced.
                _ if self.pace.confirmed => Decision::Write(Won::Expired),
                _ => Decision::Read,
            };
        }
        if read_due {
            return Decision::Read;
        }
        Decision::Wait(now.until_either(self.pace.read_at).min(now.until_both(ready_at)))
    }

    /// When the lease may be taken, if nothing changes.
    pub(super) fn ready_at(&self) -> Instant {
        let mut ready_at = self.view.wait_until.latest(self.pace.hold_back_until);
        if let Found::Present { seen, free: Some(_), .. } = &self.view.found
            && let Some(successor) = &seen.record.successor
            && !self.config.identity.is_called(successor)
        {
            ready_at = ready_at.latest(self.view.since + self.config.timing.retry_period());
        }
        ready_at
    }

    pub(super) fn candidate_wake_in(&self, now: Instant) -> Duration {
        match self.decide(now) {
            // What may have happened need not be read any more once it would hold no more.
            Decision::Wait(wait) if self.shutdown => wait.min(self.unresolved_for(now)),
            Decision::Wait(wait) => wait,
            Decision::Read | Decision::Write(_) => Duration::ZERO,
        }
    }

    fn acquire(&mut self, now: Now, won: Won, actions: &mut Actions) {
        let stamp = self.stamp(now.wall, self.view.seen().and_then(|seen| seen.record.renew_time));
        let transitions = self.view.next_transitions();
        let op = match &self.view.found {
            Found::Present { seen, malformed, .. } => {
                let base = if *malformed { LeaseRecord::default() } else { seen.record.clone() };
                Op::Update { record: self.acquisition(base, transitions, stamp), seen: seen.clone() }
            }
            Found::Absent { .. } => Op::Create(self.acquisition(LeaseRecord::default(), transitions, stamp)),
            Found::Unread => return,
        };
        self.remember_attempt(Attempt { renew_time: stamp, sent_at: now.instant, won });
        let no_later = now.instant + self.config.timing.renew_deadline();
        self.send(now.instant, Purpose::Acquire, op, no_later, actions);
    }

    fn acquisition(&self, base: LeaseRecord, transitions: u32, stamp: Timestamp) -> LeaseRecord {
        let transitions = transitions.min(LeaseRecord::TRANSITIONS_MAX);
        let identity = self.config.identity.clone();
        let is_release = base.holder.is_none() && base.released == base.acquired;
        LeaseRecord {
            holder: Some(identity.clone()),
            lease_duration: self.config.timing.lease_duration(),
            acquire_time: Some(stamp),
            renew_time: Some(stamp),
            transitions,
            epoch: self.config.epoch,
            acquired: Some(TermMark { identity, transitions }),
            // It tells whoever missed the release that the term it saw is over.
            released: base.released.filter(|_| is_release),
            successor: None,
            request: None,
            strategy: base.strategy,
        }
    }

    /// Whether this is a candidate at all.
    pub(super) fn is_candidate(&self) -> bool {
        matches!(self.phase, Phase::Candidate)
    }
}

const RELEASE_JITTER_MAX: Duration = Duration::from_millis(100);
const EXPIRY_JITTER_MAX: Duration = Duration::from_millis(250);
const CONFLICT_DOUBLINGS_MAX: u32 = 6;
