//! The state machine of one candidate: all rules of the protocol, and no IO.
//!
//! [`Elector::step`] takes the time and one [`Event`] and answers with [`Actions`]. It never fails, never
//! panics, reads no clock, draws no random number but from its seed, and allocates nothing in its
//! steady state. The driver, the simulator and the model checker run this very type, so what is
//! simulated is what ships.
//!
//! A step reads: drop what is stale, expire what is due, answer the event, act, arm the wake. What ends
//! a term is said before anything else in the same step.

mod candidate;
#[cfg(feature = "exploration")]
mod canonical;
mod event;
mod explain;
mod tenure;
mod view;

use std::sync::Arc;
use std::time::Duration;

use arrayvec::ArrayVec;

#[cfg(feature = "exploration")]
pub use self::canonical::Renaming;
pub use self::event::*;
pub use self::explain::Stance;
use self::tenure::{Drain, Release, Stopping, Tenure};
use self::view::{Found, View, is_regress};
use crate::lock::LockErrorKind;
use crate::record::{HolderIdentity, LeaseRecord, Versioned};
use crate::time::{Instant, Now, Timestamp};
use crate::timing::Timing;

/// What a candidate is told about itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    /// Who it is.
    pub identity: HolderIdentity,
    /// Its durations. Candidates of one lease may differ: each waits for the longer of its own and the
    /// record's.
    pub timing: Timing,
    /// The least step between two renew times: the store's
    /// [`renew_time_tick`](crate::Constraints::renew_time_tick).
    pub renew_time_tick: Duration,
    /// The epoch of its tokens. Raised by an operator, for all candidates, after the store was restored
    /// from a backup; a candidate with a lower epoch than the record's refuses to lead. Default 0.
    pub epoch: u32,
    /// Whether a term that was won by creating the record starts to act only one lease duration later,
    /// because a record that vanished before this process started may have had a live holder. Default
    /// false.
    pub strict: bool,
    /// Elections with one phase and one retry period renew together, up to a quarter of that period early; with none,
    /// each when it is due. One process then wakes once for all that it holds: waking up costs more than renewing.
    pub renew_phase: Option<Duration>,
    /// The seed of all jitter; none for no jitter, for exhaustive exploration.
    pub seed: Option<u64>,
}

/// The phase a candidate is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PhaseKind {
    /// It stands by.
    Candidate,
    /// Its work may act.
    Leading,
    /// Its work is finishing, while the lease is being renewed.
    Draining,
    /// Its work has stopped and the lease is being released.
    Releasing,
    /// The term is lost and its work must stop.
    Stopping,
    /// It has shut down.
    Stopped,
}

impl PhaseKind {
    /// The name as it appears in logs, metrics and status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Candidate => "candidate",
            Self::Leading => "leading",
            Self::Draining => "draining",
            Self::Releasing => "releasing",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        }
    }
}

impl std::fmt::Display for PhaseKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Phase {
    Candidate,
    Leading(Tenure),
    Draining(Tenure, Drain),
    Releasing(Tenure, Release),
    Stopping(Stopping),
    Stopped,
}

/// One candidate for one lease.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Elector {
    config: Config,
    phase: Phase,
    view: View,
    outstanding: Option<Outstanding>,
    /// Own writes of this candidacy or term that may yet be found in the record.
    attempts: ArrayVec<Attempt, ATTEMPTS_MAX>,
    last_stamp: Option<Timestamp>,
    pace: Pace,
    refusal: Option<Refusal>,
    /// Whether the application wants no more terms.
    shutdown: bool,
    jitter: Jitter,
    next_request: u64,
    next_term: u64,
}

/// The request that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Outstanding {
    id: RequestId,
    purpose: Purpose,
    sent_at: Instant,
    deadline: Instant,
    /// R12: the highest revision that was known when this was sent. An answer to an earlier request may come late and show
    /// more than this one was shown.
    floor: Option<u128>,
}

/// A write of ours: known by its renew time, and worth a hold from when it was sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Attempt {
    renew_time: Timestamp,
    sent_at: Instant,
    /// How the term is won if this write is found to have begun it.
    won: Won,
}

/// When a candidate may do what.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Pace {
    /// When the record is read next, whatever happens.
    read_at: Instant,
    /// When the last read was sent, to bound the reads that hints cause.
    read_sent_at: Option<Instant>,
    /// Until when the store is left alone: it said so, or nothing but an operator can help.
    leave_alone_until: Instant,
    /// Until when the lease is left to others: after a resignation, a conflict, or a failed term.
    hold_back_until: Instant,
    /// Whether a watch is live.
    watched: bool,
    /// Whether what is known may no longer be written upon, because a write just failed on it.
    must_read: bool,
    /// Whether a read after the end of the wait has confirmed the record.
    confirmed: bool,
    /// Conflicts in a row: how many others contend.
    conflicts: u32,
    /// Terms in a row that ended because their work did.
    failed_terms: u32,
}

impl Elector {
    /// A candidate that has not read anything yet.
    pub fn new(config: Config, now: Instant) -> Self {
        let mut jitter = Jitter::new(config.seed);
        let first_read = now + jitter.below(config.timing.retry_period());
        Self {
            view: View::new(now),
            phase: Phase::Candidate,
            outstanding: None,
            attempts: ArrayVec::new(),
            last_stamp: None,
            pace: Pace {
                read_at: first_read,
                read_sent_at: None,
                leave_alone_until: now,
                hold_back_until: now,
                watched: false,
                must_read: false,
                confirmed: false,
                conflicts: 0,
                failed_terms: 0,
            },
            refusal: None,
            shutdown: false,
            jitter,
            next_request: 0,
            next_term: 0,
            config,
        }
    }

    /// Answers one event. Total: any event in any phase, at any time that does not run backwards.
    pub fn step(&mut self, now: Now, event: Event) -> Actions {
        let mut actions = Actions { request: None, abandon: false, notices: ArrayVec::new(), wake_in: Duration::MAX };
        let holder_before = self.view.holder().cloned();
        self.expire_due(now.instant, &mut actions);
        self.answer(now, event, &mut actions);
        self.expire_request(now, &mut actions);
        self.act(now, &mut actions);
        if self.view.holder() != holder_before.as_ref() {
            actions.notices.push(Notice::HolderChanged(self.view.holder().cloned()));
        }
        actions.wake_in = self.wake_in(now.instant);
        actions
    }

    /// What this candidate was told about itself.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The phase it is in.
    pub fn phase(&self) -> PhaseKind {
        match &self.phase {
            Phase::Candidate => PhaseKind::Candidate,
            // Under `strict` the lease is held before its work may act.
            Phase::Leading(tenure) if !tenure.started => PhaseKind::Candidate,
            Phase::Leading(_) => PhaseKind::Leading,
            Phase::Draining(..) => PhaseKind::Draining,
            Phase::Releasing(..) => PhaseKind::Releasing,
            Phase::Stopping(_) => PhaseKind::Stopping,
            Phase::Stopped => PhaseKind::Stopped,
        }
    }

    /// The term it is in, until the work of that term has stopped.
    pub fn term(&self) -> Option<&Term> {
        match &self.phase {
            Phase::Leading(tenure) | Phase::Draining(tenure, _) | Phase::Releasing(tenure, _) => Some(&tenure.term),
            Phase::Stopping(stopping) => Some(&stopping.tenure.term),
            Phase::Candidate | Phase::Stopped => None,
        }
    }

    /// The record as last seen.
    pub fn observed(&self) -> Option<&Versioned> {
        self.view.seen()
    }

    /// Whether the record, or its absence, was ever read.
    pub fn has_read(&self) -> bool {
        self.view.found != Found::Unread
    }

    fn answer(&mut self, now: Now, event: Event, actions: &mut Actions) {
        match event {
            Event::Wake => {}
            Event::Completed { request, result } => self.completed(now, request, result, actions),
            Event::Hint(hint) => self.hinted(now.instant, hint, actions),
            Event::WatchReady => self.pace.watched = true,
            Event::WatchLost => {
                self.pace.watched = false;
                self.hurry_read(now.instant);
            }
            Event::Resign { to } => self.give_up(now.instant, Reason::Resigned, to, actions),
            Event::Shutdown => {
                self.shutdown = true;
                self.give_up(now.instant, Reason::Shutdown, None, actions);
            }
            Event::WorkEnded { term } => {
                if self.term().is_some_and(|current| current.id == term) {
                    self.give_up(now.instant, Reason::WorkEnded, None, actions);
                }
            }
            Event::Drained { term } => self.drained(now.instant, term, actions),
            Event::ExpirySeen { term } => {
                if self.term().is_some_and(|current| current.id == term) {
                    self.end_term(now.instant, Reason::Expired, actions);
                }
            }
        }
    }

    fn completed(
        &mut self,
        now: Now,
        id: RequestId,
        result: Result<Option<Versioned>, Failure>,
        actions: &mut Actions,
    ) {
        let Some(outstanding) = self.outstanding.take_if(|outstanding| outstanding.id == id) else {
            // R12: it counts for nothing, but what it shows was in the store.
            match &result {
                Ok(reply) => {
                    if let Some(found) = reply {
                        self.view.note_reply(found);
                    }
                    actions.notices.push(Notice::LateAcknowledgement);
                }
                Err(failure) => failure.unreadable.iter().for_each(|found| self.view.note_reply(found)),
            }
            return;
        };
        match result {
            Ok(reply) => self.succeeded(now, &outstanding, reply, actions),
            Err(failure) => self.failed(now, &outstanding, &failure, actions),
        }
    }

    fn succeeded(&mut self, now: Now, request: &Outstanding, reply: Option<Versioned>, actions: &mut Actions) {
        if let Some(found) = &reply {
            if is_regress(found.revision, request.floor) || self.is_given_out_again(found) {
                self.view.saw(now.instant, found.clone(), &self.config.timing);
                return self.regressed(now.instant, request, actions);
            }
            self.view.note_reply(found);
        }
        match &self.phase {
            Phase::Candidate => self.candidate_answered(now.instant, request, reply, actions),
            Phase::Leading(_) | Phase::Draining(..) | Phase::Releasing(..) => {
                self.tenure_answered(now.instant, request, reply, actions);
            }
            // Whoever ended the term has dropped its request.
            Phase::Stopping(_) | Phase::Stopped => {}
        }
    }

    /// R12: a write of ours is shown at a revision at which another record was. In a store that has lost nothing it is
    /// above all that was, and so is its token.
    fn is_given_out_again(&self, found: &Versioned) -> bool {
        self.attempt_shown(&found.record).is_some() && self.view.is_given_out_again(found)
    }

    /// R12: the store has lost writes.
    fn regressed(&mut self, now: Instant, request: &Outstanding, actions: &mut Actions) {
        self.refuse(Some(Refusal::Regressed), actions);
        self.note_read(now, request);
        // Whoever refuses to lead must not come to lead by a write that is found later.
        self.attempts.clear();
        self.end_term(now, Reason::Regressed, actions);
    }

    fn failed(&mut self, now: Now, request: &Outstanding, failure: &Failure, actions: &mut Actions) {
        if let Some(unreadable) = failure.unreadable.as_deref().filter(|_| request.purpose == Purpose::Read) {
            if is_regress(unreadable.revision, request.floor) {
                self.view.saw_malformed(now.instant, unreadable.clone(), &self.config.timing);
                return self.regressed(now.instant, request, actions);
            }
            self.view.note_reply(unreadable);
        }
        match &self.phase {
            Phase::Candidate => self.candidate_failed(now.instant, request, failure),
            Phase::Leading(_) | Phase::Draining(..) | Phase::Releasing(..) => {
                self.tenure_failed(now.instant, request, failure, actions);
            }
            Phase::Stopping(_) | Phase::Stopped => {}
        }
    }

    /// A hint can only bring a read forward, or show a candidate a record to wait for or to write upon.
    fn hinted(&mut self, now: Instant, hint: Hint, actions: &mut Actions) {
        match (&self.phase, hint) {
            (Phase::Candidate, Hint::Changed(found)) => {
                if !self.view.is_old_news(&found) && !matches!(self.view.found, Found::Unread) {
                    self.pace.confirmed = false;
                    self.notice_namesake(&found, actions);
                    self.view.heard(now, found, &self.config.timing);
                }
            }
            (Phase::Candidate, Hint::Deleted) => {
                if self.view.seen().is_some() {
                    self.hurry_read(now);
                }
            }
            (Phase::Leading(_) | Phase::Draining(..), hint) => self.tenure_hinted(now, &hint),
            (Phase::Releasing(..) | Phase::Stopping(_) | Phase::Stopped, _) => {}
        }
    }

    /// R14: brings the next read forward, but never above the pace of polling, and never while the store asks to be left
    /// alone (R9).
    fn hurry_read(&mut self, now: Instant) {
        let paced = self.pace.read_sent_at.map_or(now, |sent_at| sent_at + self.config.timing.retry_period());
        let soonest = now.latest(paced).latest(self.pace.leave_alone_until);
        self.pace.read_at = self.pace.read_at.earliest(soonest);
    }

    fn refuse(&mut self, refusal: Option<Refusal>, actions: &mut Actions) {
        // Only a restart with a higher epoch ends this one.
        if self.refusal == Some(Refusal::Regressed) || self.refusal == refusal {
            return;
        }
        self.refusal = refusal;
        actions.notices.push(Notice::Refusing(refusal));
    }

    /// R9: a request that was not answered in time is given up, and its outcome is unknown.
    fn expire_request(&mut self, now: Now, actions: &mut Actions) {
        let Some(due) = self.outstanding.take_if(|request| now.instant.has_reached_either(request.deadline)) else {
            return;
        };
        actions.abandon = true;
        let kind = if due.purpose == Purpose::Read { LockErrorKind::Unavailable } else { LockErrorKind::Unknown };
        self.failed(now, &due, &kind.into(), actions);
    }

    fn act(&mut self, now: Now, actions: &mut Actions) {
        if self.outstanding.is_some() {
            return;
        }
        match &self.phase {
            Phase::Candidate => self.act_as_candidate(now, actions),
            Phase::Leading(_) | Phase::Draining(..) | Phase::Releasing(..) => self.act_in_tenure(now, actions),
            Phase::Stopping(_) | Phase::Stopped => {}
        }
    }

    fn send(&mut self, now: Instant, purpose: Purpose, op: Op, deadline: Instant, actions: &mut Actions) {
        let id = RequestId(self.next_request);
        self.next_request += 1;
        let deadline = deadline.earliest(now + self.config.timing.attempt_timeout());
        if purpose == Purpose::Read {
            self.pace.read_sent_at = Some(now);
        }
        let floor = self.view.revision_max;
        self.outstanding = Some(Outstanding { id, purpose, sent_at: now, deadline, floor });
        actions.request = Some(Request { id, purpose, op, timeout: now.until_either(deadline) });
    }

    /// R7: the renew time of the next attempt, unlike that of the record and of every attempt before.
    fn stamp(&mut self, wall: Timestamp, record_renewed: Option<Timestamp>) -> Timestamp {
        let tick = self.config.renew_time_tick;
        let mut stamp = wall;
        for previous in [record_renewed, self.last_stamp].into_iter().flatten() {
            stamp = stamp.after(previous, tick);
        }
        if stamp.unix_micros().saturating_sub(wall.unix_micros()) > micros(tick) {
            // The wall clock is well behind the record, so candidates that share an identity would all come
            // to the same stamp and could not tell their attempts apart.
            let salt_us = micros(self.jitter.below(SALT_MAX));
            stamp = Timestamp::from_unix_micros(stamp.unix_micros().saturating_add(salt_us));
        }
        self.last_stamp = Some(stamp);
        stamp
    }

    /// Remembers a write; the oldest is forgotten first, which can only cost authority.
    fn remember_attempt(&mut self, attempt: Attempt) {
        if self.attempts.is_full() {
            self.attempts.remove(0);
        }
        self.attempts.push(attempt);
    }

    /// Forgets the write of a request that certainly was not applied.
    fn forget_attempt(&mut self, request: &Outstanding) {
        self.attempts.retain(|attempt| attempt.sent_at != request.sent_at);
    }

    /// R1: the attempt of ours that a record shows, if it shows one.
    fn attempt_shown(&self, record: &LeaseRecord) -> Option<&Attempt> {
        let renew_time = record.renew_time.filter(|_| record.is_held_by(&self.config.identity))?;
        self.attempts.iter().find(|attempt| attempt.renew_time == renew_time)
    }

    fn wake_in(&self, now: Instant) -> Duration {
        if let Phase::Stopped = self.phase {
            return Duration::MAX;
        }
        let request = self.outstanding.as_ref().map_or(Duration::MAX, |request| now.until_either(request.deadline));
        let phase = match &self.phase {
            Phase::Candidate if self.outstanding.is_none() => self.candidate_wake_in(now),
            Phase::Leading(tenure) | Phase::Releasing(tenure, _) => self.tenure_wake_in(now, tenure, None),
            Phase::Draining(tenure, drain) => self.tenure_wake_in(now, tenure, Some(drain.by)),
            Phase::Candidate | Phase::Stopping(_) | Phase::Stopped => Duration::MAX,
        };
        request.min(phase)
    }

    fn become_candidate(&mut self, now: Instant, hold_back: Duration, actions: &mut Actions) {
        self.attempts.clear();
        self.pace.hold_back_until = now + hold_back;
        self.pace.must_read = true;
        self.pace.confirmed = false;
        self.pace.conflicts = 0;
        self.pace.read_at = now + hold_back;
        self.phase = Phase::Candidate;
        if self.shutdown {
            self.become_stopped(actions);
        }
    }

    fn become_leading(&mut self, tenure: Tenure, actions: &mut Actions) {
        if tenure.started {
            actions.notices.push(Notice::Started(tenure.term.clone()));
        }
        self.phase = Phase::Leading(tenure);
    }

    fn become_draining(&mut self, tenure: Tenure, drain: Drain, actions: &mut Actions) {
        actions.notices.push(Notice::Drain { term: tenure.term.id, by: drain.by, why: drain.why });
        self.phase = Phase::Draining(tenure, drain);
    }

    fn become_releasing(&mut self, tenure: Tenure, why: Reason, to: Option<Arc<str>>) {
        // It starts no more, and must not be woken for it.
        let tenure = Tenure { starts_at: None, ..tenure };
        self.phase = Phase::Releasing(tenure, Release { why, to, sent: false });
    }

    fn become_stopping(&mut self, stopping: Stopping, by: Instant, actions: &mut Actions) {
        actions.notices.push(Notice::MustStop { term: stopping.tenure.term.id, by, why: stopping.why });
        self.phase = Phase::Stopping(stopping);
    }

    fn become_stopped(&mut self, actions: &mut Actions) {
        self.outstanding = None;
        actions.abandon = true;
        actions.notices.push(Notice::Finished);
        self.phase = Phase::Stopped;
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Random waits from a seed, so that a run can be repeated.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Jitter(Option<u64>);

impl Jitter {
    fn new(seed: Option<u64>) -> Self {
        Self(seed)
    }

    /// A duration below `bound`; zero without a seed.
    fn below(&mut self, bound: Duration) -> Duration {
        let Some(seed) = self.0 else { return Duration::ZERO };
        let mut generator = fastrand::Rng::with_seed(seed);
        let bound_ns = u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX).max(1);
        let drawn = Duration::from_nanos(generator.u64(0..bound_ns));
        self.0 = Some(generator.get_seed());
        drawn
    }
}

/// How many own writes with an unknown outcome are remembered; each was followed by a read, so more than
/// one is rare.
const ATTEMPTS_MAX: usize = 8;
/// Below any tick that other clients could notice, and enough to tell a handful of candidates apart.
const SALT_MAX: Duration = Duration::from_millis(1);
