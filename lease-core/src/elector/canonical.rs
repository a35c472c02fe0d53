//! The same machine at another time and under other names, so that the states of a small world repeat.
//!
//! A model checker can exhaust a world only if it comes back to states that it has seen. The machine counts time, requests,
//! terms and revisions upwards for ever, but decides by what lies between them: moved to another origin it acts as before.
//! What is here changes no decision, and nothing here is compiled into what ships: it is behind the feature `exploration`.
//! What is lost is only what explains (`stance`, and the numbers of requests and terms).
//!
//! A machine with a seed or a `renew_phase` is refused, because it depends on more than differences of time. The model
//! checker's test `a_world_that_is_renamed_at_every_step_acts_as_one_that_is_not` holds all of this.

use std::time::Duration;

use super::tenure::FAILED_TERM_DOUBLINGS_MAX;
use super::view::{Found, View};
use super::{Elector, Pace, Phase, Reason, RequestId, Stopping, Tenure, TermId};
use crate::record::Versioned;
use crate::time::{Instant, Timestamp};

/// Other names for what a world counts upwards: the same name in all machines, messages and records of one state.
///
/// What is only compared for equality may get any other name, and what is ordered must keep its order.
pub trait Renaming {
    /// A record as it was stored; its version, revision and times are renamed in place.
    fn versioned(&mut self, seen: &mut Versioned);
    /// A revision beside a record. Ordered.
    fn revision(&mut self, revision: &mut u128);
    /// A renew time beside a record: of an attempt, or the last one that was written.
    fn renew_time(&mut self, renew_time: &mut Timestamp);
    /// The acquire time of a term. Compared only with other acquire times.
    fn acquire_time(&mut self, acquire_time: &mut Timestamp);
    /// A count of transitions beside a record. Ordered, and counted upwards by one.
    fn transitions(&mut self, transitions: &mut u32);
}

impl Elector {
    /// The request that this machine waits for.
    pub fn awaits(&self) -> Option<RequestId> {
        self.outstanding.as_ref().map(|outstanding| outstanding.id)
    }

    /// Shows every name in this machine to `renaming`, which may replace it.
    pub fn rename(&mut self, renaming: &mut impl Renaming) {
        match &mut self.view.found {
            Found::Present { seen, .. } => renaming.versioned(seen),
            Found::Absent { transitions_before: Some(before) } => renaming.transitions(before),
            Found::Absent { transitions_before: None } | Found::Unread => {}
        }
        if let Some(transitions) = &mut self.view.transitions_max {
            renaming.transitions(transitions);
        }
        if let Some(revision) = &mut self.view.revision_max {
            renaming.revision(revision);
        }
        if let Some(floor) = self.outstanding.as_mut().and_then(|outstanding| outstanding.floor.as_mut()) {
            renaming.revision(floor);
        }
        if let Some(renew_time) = &mut self.view.renewed_at_max {
            renaming.renew_time(renew_time);
        }
        if let Some(tenure) = self.any_tenure() {
            renaming.versioned(&mut tenure.seen);
            renaming.acquire_time(&mut tenure.term.acquire_time);
            renaming.transitions(&mut tenure.term.transitions);
            if let Some(token) = &mut tenure.term.token {
                renaming.revision(&mut token.revision);
            }
        }
        for attempt in &mut self.attempts {
            renaming.renew_time(&mut attempt.renew_time);
        }
        if let Some(stamp) = &mut self.last_stamp {
            renaming.renew_time(stamp);
        }
    }

    /// Forgets own writes that no record can show any more, and the last stamp if it no longer counts.
    ///
    /// An attempt is only ever looked up by the renew time of a record that is found. Says whether there is one left.
    pub fn forget(&mut self, is_findable: impl Fn(Timestamp) -> bool, counts: impl Fn(Timestamp) -> bool) -> bool {
        self.attempts.retain(|attempt| is_findable(attempt.renew_time));
        self.last_stamp = self.last_stamp.filter(|stamp| counts(*stamp));
        !self.attempts.is_empty()
    }

    /// Moves this machine in time, from `now` to `to`, and forgets how long ago that was which can only be over.
    ///
    /// `longest` is no shorter than any duration in a record that this machine will ever see.
    ///
    /// # Panics
    /// When the machine draws jitter or renews at common moments.
    pub fn rebase(&mut self, now: Instant, to: Instant, longest: Duration) {
        assert!(self.jitter.0.is_none(), "a machine with a seed depends on what it has drawn");
        assert!(self.config.renew_phase.is_none(), "a renew phase depends on the absolute time");
        let timing = self.config.timing;
        let shift =
            Shift { now, to, longest: longest.max(timing.lease_duration()), retry_period: timing.retry_period() };
        self.view.rebase(&shift);
        let is_candidate = self.is_candidate();
        self.pace.rebase(&shift, is_candidate);
        self.next_request = u64::from(self.outstanding.is_some());
        if let Some(outstanding) = &mut self.outstanding {
            outstanding.id = RequestId(0);
            shift.back_to(&mut outstanding.sent_at, shift.longest);
            shift.clamped(&mut outstanding.deadline);
        }
        for attempt in &mut self.attempts {
            shift.back_to(&mut attempt.sent_at, timing.renew_deadline());
        }
        let failed_terms = self.pace.failed_terms;
        let in_term = self.any_tenure().map(|tenure| tenure.rebase(&shift, failed_terms)).is_some();
        self.next_term = u64::from(in_term);
        match &mut self.phase {
            Phase::Draining(_, drain) => shift.clamped(&mut drain.by),
            Phase::Stopping(stopping) => stopping.rebase(to),
            Phase::Candidate | Phase::Leading(_) | Phase::Releasing(..) | Phase::Stopped => {}
        }
    }

    fn any_tenure(&mut self) -> Option<&mut Tenure> {
        match &mut self.phase {
            Phase::Leading(tenure) | Phase::Draining(tenure, _) | Phase::Releasing(tenure, _) => Some(tenure),
            Phase::Stopping(stopping) => Some(&mut stopping.tenure),
            Phase::Candidate | Phase::Stopped => None,
        }
    }
}

impl View {
    fn rebase(&mut self, shift: &Shift) {
        shift.clamped(&mut self.wait_until);
        shift.clamped(&mut self.vanished_until);
        let keep = match &self.found {
            // It is when those begin to hold back who are not named as the successor.
            Found::Present { seen, free: Some(_), .. } if seen.record.successor.is_some() => shift.retry_period,
            Found::Present { free: None, .. } => shift.longest,
            // The next change starts another wait, and this only explains.
            _ => Duration::ZERO,
        };
        shift.back_to(&mut self.since, keep);
    }
}

impl Pace {
    fn rebase(&mut self, shift: &Shift, is_candidate: bool) {
        shift.clamped(&mut self.leave_alone_until);
        // Without jitter they back off by nothing.
        self.conflicts = 0;
        self.failed_terms = self.failed_terms.min(FAILED_TERM_DOUBLINGS_MAX);
        self.read_sent_at =
            self.read_sent_at.filter(|sent_at| !shift.now.has_reached_both(*sent_at + shift.retry_period));
        if let Some(sent_at) = &mut self.read_sent_at {
            shift.back_to(sent_at, shift.retry_period);
        }
        if !is_candidate {
            // Whoever becomes a candidate again sets all of these.
            (self.read_at, self.hold_back_until) = (shift.to, shift.to);
            (self.must_read, self.confirmed) = (true, false);
            return;
        }
        shift.clamped(&mut self.read_at);
        shift.clamped(&mut self.hold_back_until);
        // The read that must come first says it anew.
        self.confirmed &= !self.must_read;
    }
}

impl Tenure {
    fn rebase(&mut self, shift: &Shift, failed_terms: u32) {
        self.term.id = TermId(0);
        shift.back_to(&mut self.term.valid_until, shift.longest);
        shift.back_to(&mut self.term.fence, shift.longest);
        if let Some(starts_at) = &mut self.starts_at {
            shift.clamped(starts_at);
        }
        // How long a term has lasted decides only whether earlier failures are forgotten.
        let lasted = if failed_terms == 0 { Duration::ZERO } else { 2 * shift.longest };
        shift.back_to(&mut self.began_at, lasted);
        shift.clamped(&mut self.next_at);
        shift.back_to(&mut self.written_at, shift.retry_period);
    }
}

impl Stopping {
    /// Of a term that is lost, only one whose drain took too long may yet be released.
    fn rebase(&mut self, to: Instant) {
        if self.why == Reason::DrainTimeout {
            return;
        }
        let tenure = &mut self.tenure;
        (tenure.term.valid_until, tenure.term.fence) = (to, to);
        (tenure.next_at, tenure.written_at) = (to, to);
        (tenure.must_read, tenure.read_wanted) = (false, false);
    }
}

/// From one origin of time to another.
struct Shift {
    now: Instant,
    to: Instant,
    longest: Duration,
    retry_period: Duration,
}

impl Shift {
    /// For what is only asked whether it was reached: once it was, it stays so.
    fn clamped(&self, instant: &mut Instant) {
        self.back_to(instant, Duration::ZERO);
    }

    /// For what a duration of at most `keep` is added to: what lies farther back makes no difference.
    fn back_to(&self, instant: &mut Instant, keep: Duration) {
        let keep_ns = u64::try_from(keep.as_nanos()).unwrap_or(u64::MAX);
        let moved = |x: u64, now: u64, to: u64| match x.checked_sub(now) {
            Some(ahead) => to.saturating_add(ahead),
            None => to.saturating_sub((now - x).min(keep_ns)),
        };
        *instant = Instant::from_nanos(
            moved(instant.boottime_nanos(), self.now.boottime_nanos(), self.to.boottime_nanos()),
            moved(instant.raw_nanos(), self.now.raw_nanos(), self.to.raw_nanos()),
        );
    }
}
