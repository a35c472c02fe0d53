//! What is known of one candidate from outside: what its application was told, and what it sent.

use std::collections::VecDeque;
use std::time::Duration;

use lease_core::{HolderIdentity, Instant, LeaseRecord, Purpose, Term, TermId, Timestamp, Versioned};

use super::assumptions::Excuse;
use super::edits::{is_held, is_marked};
use super::invariants::i10_request_rate::RequestRate;
use super::invariants::i12_agreement::Spinning;
use super::invariants::rules::{Loss, Shown};

/// What the work of one candidate is doing.
#[derive(Clone, Debug)]
pub(super) struct Work {
    pub(super) term: Term,
    pub(super) valid_until: Instant,
    /// When its drain is to end.
    pub(super) drain_by: Option<Instant>,
    /// Whether it was told to drain or to stop.
    pub(super) told: bool,
    pub(super) must_stop_by: Option<Instant>,
    /// Whether it still goes on; its term stays open a little longer.
    pub(super) acts: bool,
    /// Whether it goes on beyond its time, because it hangs.
    pub(super) hangs: bool,
}

impl Work {
    /// That of a term that begins.
    pub(super) fn of(term: &Term) -> Self {
        Self {
            term: term.clone(),
            valid_until: term.valid_until,
            drain_by: None,
            told: false,
            must_stop_by: None,
            acts: true,
            hangs: false,
        }
    }
}

/// One candidate, since its process started.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own, and all of them combine")]
#[derive(Debug, Default)]
pub(super) struct Judged {
    pub(super) is_ours: bool,
    /// Whether its work goes on: also that of a peer.
    pub(super) acts: bool,
    /// Whether its work goes on beyond the time to stop, because it is paused or hangs: an assumption is broken.
    pub(super) is_late: bool,
    /// Whether its process is stopped, so that it does nothing until it goes on.
    pub(super) is_paused: bool,
    /// When it last went on after a pause: what it does at that moment it could not do before.
    pub(super) went_on_at_ns: Option<u64>,
    pub(super) work: Option<Work>,
    pub(super) last_term: Option<TermId>,
    pub(super) acquired_at: Option<Timestamp>,
    /// The renew times of the latest writes that it has sent, the last one last.
    written: VecDeque<Timestamp>,
    /// The send times of its latest writes that the store has applied.
    pub(super) applied: Vec<Instant>,
    /// When it sent the write whose outcome it does not know yet, and what for.
    pub(super) unresolved: Option<(Instant, Purpose)>,
    pub(super) requests: RequestRate,
    pub(super) spinning: Spinning,
    /// When it gave a term up.
    pub(super) gave_up_at: Option<Instant>,
    /// Until when the store has asked to be left alone.
    pub(super) leave_alone_until: Option<Instant>,
    /// When its last read was answered, in true time.
    pub(super) read_at_ns: u64,
    /// When a record of its was created, in true time.
    pub(super) created_at_ns: u64,
    /// The count and the duration of the held record that its latest answer has shown: what a watch tells ends no wait.
    pub(super) answered: Option<(u32, Duration)>,
    /// Whether the latest holder that answers have shown, and not its release, leaves marks.
    pub(super) is_holder_marked: bool,
    /// The highest revision and the highest epoch of any answer.
    pub(super) revision_max: u128,
    /// The renew time that it showed.
    pub(super) renewed_at_max: Option<Timestamp>,
    pub(super) epoch_max: u32,
    /// Whether an answer that counts has shown that the store has lost writes.
    pub(super) knows_of_the_loss: bool,
    /// The highest count of transitions that a read has shown: that of a write may have come too late to count.
    pub(super) count_max: Option<u32>,
    /// The renew time and the revision that an answer has shown last.
    shown_last: Option<(Option<Timestamp>, u128)>,
    /// At which renew time answers have shown a change that is no renewal.
    pub(super) changed_at: Option<Timestamp>,
}

impl Judged {
    pub(super) fn new(is_ours: bool) -> Self {
        Self { is_ours, ..Self::default() }
    }

    /// The work of ours that goes on.
    pub(super) fn working(&self) -> Option<&Work> {
        self.work.as_ref().filter(|work| work.acts)
    }

    /// Why its work goes on beyond its time.
    pub(super) fn why_late(&self) -> Excuse {
        let hangs = self.working().is_some_and(|work| work.hangs);
        if hangs { Excuse::Late } else { Excuse::Paused }
    }

    /// Whether a renew time is that of a write of its own.
    pub(super) fn has_written(&self, renew_time: Timestamp) -> bool {
        self.written.iter().rev().any(|written| *written == renew_time)
    }

    /// What a record in an answer tells it of its term.
    pub(super) fn shown(&self, found: Option<&Versioned>, own: &HolderIdentity) -> Shown {
        let Some(record) = found.map(|found| &found.record) else { return Shown::default() };
        let is_own = record.is_held_by(own) && record.renew_time.is_some_and(|time| self.has_written(time));
        let asked = record.request.as_ref().filter(|request| request.holder == *own);
        Shown { foreign: !is_own, asked: asked.map(|request| request.acquire_time), ..Shown::default() }
    }

    pub(super) fn note_written(&mut self, renew_time: Timestamp) {
        if self.written.len() == WRITTEN_MAX {
            self.written.pop_front();
        }
        self.written.push_back(renew_time);
    }

    /// A reply shows this revision, 0 for none; says how the store must have lost writes for it.
    pub(super) fn saw_revision(&mut self, revision: u128, found: Option<&Versioned>) -> Option<Loss> {
        let renewed_at = found.and_then(|found| found.record.renew_time);
        if found.is_some() {
            let before = self.shown_last.replace((renewed_at, revision));
            if before.is_some_and(|before| before.0 == renewed_at && before.1 != revision) {
                self.changed_at = renewed_at;
            }
        }
        if revision > self.revision_max {
            (self.revision_max, self.renewed_at_max) = (revision, renewed_at);
            return None;
        }
        self.is_below(revision).or((revision != 0 && renewed_at != self.renewed_at_max).then_some(Loss::GivenOutAgain))
    }

    /// A reply shows a record at this revision that cannot be understood; says whether the store must have lost writes.
    pub(super) fn saw_unreadable(&mut self, unreadable: &Versioned) -> Option<Loss> {
        let revision = unreadable.revision?;
        if revision > self.revision_max {
            (self.revision_max, self.renewed_at_max) = (revision, unreadable.record.renew_time);
        }
        self.is_below(revision)
    }

    fn is_below(&self, revision: u128) -> Option<Loss> {
        (revision != 0 && revision < self.revision_max).then_some(Loss::Below)
    }

    /// An answer shows this record, or that there is none: what is gone, or was made anew, releases nobody.
    pub(super) fn saw_marks(&mut self, found: Option<&LeaseRecord>) {
        let Some(record) = found.filter(|record| !record.is_untouched()) else { return };
        self.is_holder_marked = is_held(record) && is_marked(record);
    }

    pub(super) fn note_applied(&mut self, sent_at: Instant) {
        if self.applied.len() == APPLIED_MAX {
            self.applied.remove(0);
        }
        self.applied.push(sent_at);
    }
}

/// More writes than can be under way at once, and late.
const APPLIED_MAX: usize = 32;
/// More writes than a machine could take for its own.
const WRITTEN_MAX: usize = 32;
