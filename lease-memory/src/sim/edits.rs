//! What a person, or a program that is no candidate, does to the record behind the candidates' backs.

use std::sync::Arc;
use std::time::Duration;

use lease_core::{HandoverRequest, Hint, HolderIdentity, LeaseRecord, Op, Purpose, Timestamp, Versioned};

use super::schedule::Edit;
use super::world::{Happening, World};

impl World<'_> {
    /// One edit. Who could know what was there before is noted, because exclusion is demanded of those.
    pub(super) fn edit(&mut self, edit: Edit) {
        let Some(stored) = self.store.current().cloned() else { return };
        self.make(edit, &stored);
        self.store.note_edited(&stored.record);
    }

    fn make(&mut self, edit: Edit, stored: &Versioned) {
        match edit {
            Edit::Label => {
                let labelled = self.store.edit_label(self.now_ns);
                return labelled.into_iter().for_each(|labelled| self.tell_watchers(&Hint::Changed(labelled)));
            }
            Edit::Garbage => {
                self.note_who_knows(edit, stored, None);
                return self.store.corrupt(self.now_ns);
            }
            Edit::Delete => {
                self.note_who_knows(edit, stored, None);
                self.store.delete(self.now_ns);
                self.telling.holds(None, self.now_ns);
                return self.tell_watchers(&Hint::Deleted);
            }
            _ => {}
        }
        let Some(record) = self.edited(edit, stored) else { return };
        self.note_who_knows(edit, stored, Some(&record));
        if let Some(put) = self.store.edit(self.now_ns, |current| *current = record) {
            self.store.is_restored |= matches!(edit, Edit::Restore(_));
            self.telling.holds(put.record.holder.as_ref(), self.now_ns);
            self.tell_watchers(&Hint::Changed(put));
        }
    }

    /// What becomes of the record; none when there is nothing to do.
    fn edited(&self, edit: Edit, stored: &Versioned) -> Option<LeaseRecord> {
        let mut record = stored.record.clone();
        let now = self.wall();
        match edit {
            Edit::Delete | Edit::Garbage | Edit::Label => return None,
            Edit::Clear => record.holder = None,
            Edit::Wipe => (record.holder, record.renew_time, record.acquire_time) = (None, None, None),
            Edit::Overwrite => record.holder = HolderIdentity::from_record("intruder"),
            Edit::OverwriteRenewed => {
                record.holder = HolderIdentity::from_record("intruder");
                record.renew_time = Some(now);
            }
            Edit::OverwriteWith(node) => {
                record.holder = Some(self.identity_of(node));
                record.renew_time = Some(now);
            }
            Edit::ForeignRelease | Edit::StaleForeignRelease => {
                record.holder = None;
                record.lease_duration = Duration::from_secs(1);
                (record.renew_time, record.acquire_time) = (Some(now), Some(now));
                if edit == Edit::StaleForeignRelease {
                    record.transitions = record.transitions.saturating_sub(1);
                }
            }
            Edit::LowerDuration => record.lease_duration = Duration::from_secs(1),
            Edit::LowerDurationRenewed => {
                record.lease_duration = Duration::from_secs(1);
                record.renew_time = Some(now);
            }
            Edit::Restore(writes_ago) => record = self.store.past(writes_ago)?.record.clone(),
            Edit::RestoreRelease => record = self.store.latest_release()?.clone(),
            Edit::MadeAnew => record = LeaseRecord::default(),
            Edit::Request | Edit::VoidRequest => {
                let holder = record.holder.clone()?;
                let meant = if edit == Edit::Request { record.acquire_time? } else { now };
                let request = HandoverRequest { holder, acquire_time: meant, successor: None, draining: false };
                record.request = Some(Arc::new(request));
            }
            Edit::Strategy => record.strategy = Some("OldestEmulationVersion".into()),
            Edit::NoStrategy => record.strategy = None,
        }
        Some(record)
    }

    /// A process that never saw the holder, and a create under way, cannot know better. One that knows saw a holder,
    /// and waits for as long as the present one asks for, by itself or because it saw this term.
    fn note_who_knows(&mut self, edit: Edit, stored: &Versioned, changed: Option<&LeaseRecord>) {
        if changed.map_or(0, |record| record.epoch) < self.store.epoch_max {
            self.oracle.assumptions.epoch_lost();
        }
        if matches!(edit, Edit::Request | Edit::VoidRequest) {
            return;
        }
        self.oracle.conduct.edited(self.now_ns);
        if changed.is_some_and(|record| self.shows_itself(stored, record)) {
            return;
        }
        let asked = stored.record.lease_duration;
        let transitions = stored.record.transitions;
        let released = changed.filter(|record| is_marked_release(record));
        let released_at = released.and_then(|release| self.store.first_stored(release));
        let latest = self.store.count.max(transitions);
        let is_unmarked = changed.is_some_and(|record| is_foreign_release(record) && !is_marked(record));
        // A count that rises says to everybody that somebody has acquired, so that the wait for the one before is over.
        let deceives = |known: Option<u32>| {
            let latest = known.map_or(latest, |known| known.max(latest));
            changed.is_some_and(|put| put.transitions > latest && (released.is_some() || put.lease_duration < asked))
        };
        // R6: a holder that is emptied is no renewal; on a record that was put back it hides that.
        let hides = self.store.is_restored;
        // What the record was like before is known for one edit back, not for two.
        let is_second = self.store.edits_in_a_row > 1;
        let was_held = is_held(&stored.record);
        let informed: Vec<bool> = self
            .processes
            .iter()
            .zip(&self.oracle.nodes)
            .enumerate()
            .map(|(node, (process, judged))| {
                // Whoever holds what is stored now knows of himself.
                if judged.acts && stored.record.is_held_by(&self.identity_of(node)) {
                    return true;
                }
                let Some(seen) = process.elector.observed() else { return false };
                let own = process.timing.lease_duration();
                let observed = is_held(&seen.record).then_some((seen.record.transitions, seen.record.lease_duration));
                // What only a watch has told since does not end the wait for what an answer has shown.
                let waits_for = [observed, judged.answered].into_iter().flatten();
                let knows = !was_held
                    || waits_for
                        .into_iter()
                        .any(|(count, duration)| asked <= own || count == transitions && asked <= duration);
                // R2: one renewal begins the wait anew once, however often it is edited.
                let is_used = |put: &LeaseRecord| {
                    put.renew_time == seen.record.renew_time
                        && put.renew_time.is_some_and(|time| self.store.was_edited(time))
                        && (process.spec.watches || judged.changed_at == put.renew_time)
                };
                let knows = knows && !changed.is_some_and(is_used);
                // The answer to a release of its own shows what was free then, whatever became of it since.
                let knows = knows && !matches!(judged.unresolved, Some((_, Purpose::Release)));
                // A release without marks is believed by whoever last saw a holder that leaves none, or saw none.
                let is_holder_marked =
                    if seen.record.is_untouched() { judged.is_holder_marked } else { is_marked(&seen.record) };
                let knows = knows && (!is_unmarked || is_holder_marked);
                // An older term's release is believed by whoever saw nothing that was stored since; by whoever saw last what
                // was put there by hand, and nothing of what was stored since that; and by whoever only knows of terms that
                // count from a new beginning.
                let latest = judged.revision_max;
                let knows = knows
                    && released_at.is_none_or(|revision| latest > revision && !self.store.was_by_hand(latest))
                    && released.is_none_or(|release| Some(release.transitions) <= judged.count_max);
                let knows = knows && !(is_second && judged.revision_max < self.store.ours_revision);
                knows && process.runs && !deceives(judged.count_max) && !hides
            })
            .collect();
        let creates = self.queue.iter().filter_map(|(at_ns, happening)| match happening {
            Happening::Arrive { message, .. } if matches!(message.op, Op::Create(_)) => Some(at_ns),
            _ => None,
        });
        let under_way_until_ns = creates.max();
        let hidden = self.hidden_from(edit, asked, changed);
        self.oracle.assumptions.edited(&informed, &hidden, under_way_until_ns, self.now_ns);
    }

    /// From which processes that start afresh the edit hides how long they have to wait: they do so for as long as what is
    /// left asks for, or they themselves; what is gone, or looks free, asks for nothing.
    fn hidden_from(&self, edit: Edit, asked: Duration, left: Option<&LeaseRecord>) -> Vec<bool> {
        let looks_free = match left {
            None => edit == Edit::Delete,
            Some(put) => put.holder.is_none() && !is_emptied(put),
        };
        let asks_for = left.map_or(Duration::ZERO, |put| put.lease_duration);
        let waits = self.processes.iter().map(|process| asks_for.max(process.timing.lease_duration()));
        waits.map(|wait| looks_free || asked > wait).collect()
    }

    /// Whether a holder was emptied so that the record tells even who sees it first for how long to wait.
    fn shows_itself(&self, stored: &Versioned, put: &LeaseRecord) -> bool {
        self.store.is_ours
            && self.store.is_readable
            && is_emptied(put)
            && put.lease_duration == stored.record.lease_duration
    }

    fn wall(&self) -> Timestamp {
        let us = i64::try_from(self.now_ns / 1_000).unwrap_or(i64::MAX / 2);
        Timestamp::from_unix_micros(1_700_000_000_000_000 + us)
    }
}

/// Whether a holder that has not released it may act by this record.
pub(super) fn is_held(record: &LeaseRecord) -> bool {
    record.holder.is_some() || is_emptied(record)
}

/// R6: whether the marks beside a holder that was emptied tell that somebody held it, and has not released it.
fn is_emptied(record: &LeaseRecord) -> bool {
    is_marked(record) && record.holder.is_none() && !is_marked_release(record)
}

/// Whether the record bears the mark of its own term, also where its holder was emptied.
pub(super) fn is_marked(record: &LeaseRecord) -> bool {
    record.acquired.as_ref().is_some_and(|mark| {
        mark.transitions == record.transitions && record.holder.as_ref().is_none_or(|holder| *holder == mark.identity)
    })
}

/// Whether it has the form of a release, by somebody who leaves no marks.
fn is_foreign_release(record: &LeaseRecord) -> bool {
    record.holder.is_none() && record.renew_time.is_some() && !is_marked_release(record)
}

/// Whether it is the release of its own term, by one of ours: whoever acquires upon it keeps the mark.
pub(super) fn is_marked_release(record: &LeaseRecord) -> bool {
    record.holder.is_none() && record.released.as_ref().is_some_and(|mark| mark.transitions == record.transitions)
}
