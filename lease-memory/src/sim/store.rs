//! The store of a run: the memory backend's own state, and what an oracle wants to know about it.

use std::collections::VecDeque;
use std::sync::Arc;

use lease_core::{Failure, LeaseRecord, LockErrorKind, Op, Timestamp, Versioned};

use super::edits::is_marked_release;
use crate::store::{Labels, Snapshot, State};

/// One lease in a memory store.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact about the store or its present record")]
pub(super) struct Store {
    state: State,
    name: Arc<str>,
    /// Whether an update of what is gone is answered with "not found", as some stores do, and not with a conflict.
    says_not_found: bool,
    /// The latest versions there were, for what tells of the past.
    past: VecDeque<Versioned>,
    /// The latest release there was.
    release: Option<LeaseRecord>,
    /// The latest states, the present one last, where the run has a use for them.
    snapshots: Option<VecDeque<Snapshot>>,
    /// When the present record was stored.
    pub(super) stored_at_ns: u64,
    /// When a candidate first stored it with the renew time, the holder and the count that it has.
    pub(super) renewed_at_ns: u64,
    /// Whether a candidate of ours stored it, rather than a person, a peer or a backup.
    pub(super) is_ours: bool,
    /// Whether a peer did.
    pub(super) is_peers: bool,
    /// The transitions of the latest record that a candidate of ours has stored, whatever became of it since.
    pub(super) count: u32,
    /// The renew time of every release, and the revision that it was stored at first.
    releases: Vec<(Timestamp, u128)>,
    /// The renewals that were edited, each of which has begun a wait anew: by the next edit it need not.
    edited: Vec<Timestamp>,
    /// How many edits there were since a candidate of ours has stored anything.
    pub(super) edits_in_a_row: u32,
    /// The revision of what a candidate of ours has stored last.
    pub(super) ours_revision: u128,
    /// Whether an older one was put back since.
    pub(super) is_restored: bool,
    /// The revisions of the records that somebody has put there by hand.
    by_hand: Vec<u128>,
    /// Whether it can be understood.
    pub(super) is_readable: bool,
    /// The highest epoch that was ever stored.
    pub(super) epoch_max: u32,
}

impl Store {
    pub(super) fn new(says_not_found: bool, keeps_snapshots: bool) -> Self {
        Self {
            state: State::default(),
            name: "lease".into(),
            says_not_found,
            past: VecDeque::with_capacity(PAST_MAX),
            release: None,
            snapshots: keeps_snapshots.then(VecDeque::new),
            stored_at_ns: 0,
            renewed_at_ns: 0,
            is_ours: false,
            is_peers: false,
            count: 0,
            releases: Vec::new(),
            edited: Vec::new(),
            edits_in_a_row: 0,
            ours_revision: 0,
            is_restored: false,
            by_hand: Vec::new(),
            is_readable: true,
            epoch_max: 0,
        }
    }

    /// The present record, readable or not; none when there is none.
    pub(super) fn current(&self) -> Option<&Versioned> {
        if self.exists() { self.past.back() } else { None }
    }

    pub(super) fn exists(&self) -> bool {
        self.state.labels(&self.name).is_some()
    }

    pub(super) fn labels(&self) -> Option<&Arc<Labels>> {
        self.state.labels(&self.name)
    }

    /// The version of so many writes ago, or the oldest that is still known.
    pub(super) fn past(&self, writes_ago: usize) -> Option<&Versioned> {
        let last = self.past.len().checked_sub(1)?;
        self.past.get(last.saturating_sub(writes_ago))
    }

    pub(super) fn latest_release(&self) -> Option<&LeaseRecord> {
        self.release.as_ref()
    }

    /// At which revision this release was stored first, before anybody put it back.
    pub(super) fn first_stored(&self, release: &LeaseRecord) -> Option<u128> {
        let stored = self.releases.iter().find(|(renew_time, _)| Some(*renew_time) == release.renew_time);
        stored.map(|(_, revision)| *revision)
    }

    /// Answers a request of a candidate.
    pub(super) fn apply(&mut self, op: &Op, now_ns: u64, is_ours: bool) -> Result<Option<Versioned>, Failure> {
        let answer = match op {
            Op::Get => return self.state.get(&self.name).map_err(|error| Failure::from(&error)),
            Op::Create(record) => self.state.create(&self.name, record),
            Op::Update { .. } if self.says_not_found && !self.exists() => return Err(LockErrorKind::NotFound.into()),
            Op::Update { seen, record } => self.state.update(&self.name, seen, record),
        };
        let stored = answer.map_err(|error| Failure::from(&error))?;
        self.is_readable = true;
        let renewal = |record: &LeaseRecord| (record.renew_time, record.transitions, record.holder.clone());
        if self.current().is_none_or(|before| renewal(&before.record) != renewal(&stored.record)) {
            self.renewed_at_ns = now_ns;
        }
        self.note(&stored, now_ns, is_ours);
        self.is_peers = !is_ours;
        if is_ours {
            self.count = stored.record.transitions;
            self.is_restored = false;
            self.edits_in_a_row = 0;
            self.ours_revision = stored.revision.unwrap_or(0);
        }
        Ok(Some(stored))
    }

    /// Whether the record of this renewal was edited, while it was the present one or after it was put back.
    pub(super) fn was_edited(&self, renew_time: Timestamp) -> bool {
        self.edited.contains(&renew_time)
    }

    /// Whether what this revision showed was put there by hand.
    pub(super) fn was_by_hand(&self, revision: u128) -> bool {
        self.by_hand.contains(&revision)
    }

    pub(super) fn note_edited(&mut self, before: &LeaseRecord) {
        self.edited.extend(before.renew_time);
        self.edits_in_a_row += 1;
    }

    /// Changes the record by hand; none when there is none.
    pub(super) fn edit(&mut self, now_ns: u64, change: impl FnOnce(&mut LeaseRecord)) -> Option<Versioned> {
        let stored = self.state.edit(&self.name, change)?;
        self.is_readable = true;
        self.by_hand.extend(stored.revision);
        self.note(&stored, now_ns, false);
        Some(stored)
    }

    pub(super) fn edit_label(&mut self, now_ns: u64) -> Option<Versioned> {
        let value = now_ns.to_string();
        let stored = self.state.edit_labels(&self.name, |labels| drop(labels.insert("edited-at".into(), value)))?;
        self.note(&stored, now_ns, false);
        Some(stored)
    }

    pub(super) fn corrupt(&mut self, now_ns: u64) {
        if self.state.corrupt(&self.name) {
            self.is_readable = false;
            // What it looks like to whoever writes without reading is the same record at another version.
            if let Err(error) = self.state.get(&self.name)
                && let Some(unreadable) = error.unreadable().cloned()
            {
                let record = self.past.back().map(|before| before.record.clone()).unwrap_or_default();
                self.note(&Versioned { record, ..unreadable }, now_ns, false);
            }
        }
    }

    pub(super) fn delete(&mut self, now_ns: u64) {
        self.state.delete(&self.name);
        (self.stored_at_ns, self.is_readable) = (now_ns, true);
        (self.is_ours, self.is_peers) = (false, false);
        self.keep_snapshot();
    }

    /// Goes back by so many writes, or to the oldest that is still known; says by how many.
    pub(super) fn roll_back(&mut self, writes: usize, now_ns: u64) -> usize {
        let Some(snapshots) = &mut self.snapshots else { return 0 };
        let lost = writes.min(snapshots.len().saturating_sub(1));
        snapshots.truncate(snapshots.len() - lost);
        let Some(back) = snapshots.back().filter(|_| lost > 0) else { return 0 };
        self.state.restore(back);
        if let Ok(Some(stored)) = self.state.get(&self.name) {
            self.past.push_back(stored);
        }
        (self.stored_at_ns, self.is_readable) = (now_ns, true);
        (self.is_ours, self.is_peers) = (false, false);
        lost
    }

    fn note(&mut self, stored: &Versioned, now_ns: u64, is_ours: bool) {
        if is_marked_release(&stored.record) {
            self.release = Some(stored.record.clone());
            if self.first_stored(&stored.record).is_none() {
                self.releases.extend(stored.record.renew_time.zip(stored.revision));
            }
        }
        self.epoch_max = self.epoch_max.max(stored.record.epoch);
        if self.past.len() == PAST_MAX {
            self.past.pop_front();
        }
        self.past.push_back(stored.clone());
        (self.stored_at_ns, self.is_ours, self.is_peers) = (now_ns, is_ours, false);
        self.keep_snapshot();
    }

    fn keep_snapshot(&mut self) {
        let Some(snapshots) = &mut self.snapshots else { return };
        if snapshots.len() == PAST_MAX {
            snapshots.pop_front();
        }
        snapshots.push_back(self.state.snapshot());
    }
}

/// More than any edit or lie reaches back.
const PAST_MAX: usize = 32;
/// How many writes a store can lose: the state before them is known.
pub(super) const LOST_MAX: usize = PAST_MAX - 1;
