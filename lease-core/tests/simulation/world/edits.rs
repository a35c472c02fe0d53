//! What a person does to the record, once in a run, behind the candidates' backs.

use std::sync::Arc;
use std::time::Duration;

use lease_core::{HandoverRequest, Hint, HolderIdentity, LeaseRecord, Op, Timestamp, Versioned};

use super::{Happening, Node, World, nanos};

impl World {
    /// One edit of a held record. Whether mutual exclusion survives it depends on who could have known.
    pub(super) fn edit(&mut self) {
        let Some(stored) = self.store.current().cloned() else { return };
        let Some(holder) = stored.record.holder.clone() else { return };
        let transitions = stored.record.transitions;
        self.oracle.exclusion_holds = self.all_know(&stored);
        if self.rng.bool() {
            self.cut_off(&holder);
        }
        if self.rng.bool() {
            self.start_afresh(&holder);
        }
        let (what, record) = match self.rng.u8(0..12) {
            0 => {
                self.oracle.saw("edit: delete");
                self.note(format!("edit: delete of {holder}'s record"));
                self.store.delete();
                self.edited = true;
                return self.tell_watchers(&Hint::Deleted);
            }
            1 => {
                self.oracle.saw("edit: garbage");
                self.note("edit: garbage");
                self.store.put(stored.record);
                self.store.unreadable = true;
                self.edited = true;
                return;
            }
            2 => ("edit: restore", self.store.history[self.rng.usize(0..self.store.history.len())].clone()),
            3 => {
                let release = self.store.history.iter().rfind(|record| record.released.is_some());
                let Some(release) = release.cloned() else { return };
                ("edit: restore a release", release)
            }
            4 => ("edit: made anew", LeaseRecord::default()),
            5 => ("edit: label", stored.record),
            6 | 7 => self.edit_of_the_request(stored.record, holder),
            8 | 9 => self.edit_of_the_duration(stored.record),
            _ => self.edit_of_the_holder(stored.record),
        };
        // An older term's release is believed by whoever saw nothing since that term.
        let informed = |node: &Node| node.elector.observed().is_some_and(|seen| seen.record.transitions >= transitions);
        if record.released.is_some() && !self.nodes.iter().all(informed) {
            self.oracle.exclusion_holds = false;
        }
        self.oracle.saw(what);
        self.note(format!("{what}: {record:?}"));
        let stored = self.store.put(record);
        self.edited = true;
        self.tell_watchers(&Hint::Changed(stored));
    }

    /// A process that never saw the record, and a create under way, cannot know better. One that knows saw
    /// a holder, and waits for as long as the present one asks for, by itself or because it saw this term.
    fn all_know(&self, stored: &Versioned) -> bool {
        let creating = self.happenings.values().any(
            |happening| matches!(happening, Happening::Apply { request, .. } if matches!(request.op, Op::Create(_))),
        );
        let asked = stored.record.lease_duration;
        !creating
            && self.nodes.iter().all(|node| {
                let seen = node.elector.observed().filter(|seen| seen.record.holder.is_some());
                let own = node.plan.timing.lease_duration();
                let this_term = |record: &LeaseRecord| record.transitions == stored.record.transitions;
                seen.is_some_and(|seen| asked <= own || this_term(&seen.record) && asked <= seen.record.lease_duration)
            })
    }

    /// The holder cannot see the edit, and the others must wait for it all the same.
    fn cut_off(&mut self, holder: &HolderIdentity) {
        let cut_until_ns = self.now_ns + nanos(Duration::from_secs(20));
        for node in self.nodes.iter_mut().filter(|node| node.elector.config().identity == *holder) {
            node.cut_until_ns = cut_until_ns;
        }
    }

    /// Another process takes the place of one that stood by, and knows nothing of what was before the edit.
    fn start_afresh(&mut self, holder: &HolderIdentity) {
        let acting: Vec<usize> = self.oracle.acting().collect();
        let idle = |index: &usize| !acting.contains(index) && self.nodes[*index].elector.config().identity != *holder;
        let Some(index) = (0..self.nodes.len()).rfind(idle) else { return };
        self.oracle.saw("fresh process after an edit");
        self.note(format!("n{index} starts afresh"));
        self.oracle.crashed(index);
        self.oracle.excuse(index);
        self.restart(index);
    }

    fn edit_of_the_holder(&mut self, mut record: LeaseRecord) -> (&'static str, LeaseRecord) {
        let now = self.wall();
        let what = match self.rng.u8(0..5) {
            0 => {
                record.holder = None;
                "edit: clear"
            }
            4 => {
                (record.holder, record.renew_time, record.acquire_time) = (None, None, None);
                "edit: wiped"
            }
            1 => {
                record.holder = HolderIdentity::from_record("intruder");
                if self.rng.bool() {
                    record.renew_time = Some(now);
                }
                "edit: overwrite"
            }
            2 => {
                let other = self.rng.usize(0..self.nodes.len());
                record.holder = Some(self.nodes[other].elector.config().identity.clone());
                record.renew_time = Some(now);
                "edit: overwrite with a candidate"
            }
            _ => {
                // As client-go writes it, on the present count or on that of an older observation.
                record.holder = None;
                record.lease_duration = Duration::from_secs(1);
                (record.renew_time, record.acquire_time) = (Some(now), Some(now));
                record.transitions = record.transitions.saturating_sub(self.rng.u32(0..2));
                "edit: foreign release"
            }
        };
        (what, record)
    }

    fn edit_of_the_duration(&mut self, mut record: LeaseRecord) -> (&'static str, LeaseRecord) {
        record.lease_duration = Duration::from_secs(1);
        if self.rng.bool() {
            return ("edit: lower duration", record);
        }
        // As if the holder had renewed for a shorter time.
        record.renew_time = Some(self.wall());
        ("edit: lower duration and renew", record)
    }

    fn edit_of_the_request(&mut self, mut record: LeaseRecord, holder: HolderIdentity) -> (&'static str, LeaseRecord) {
        let meant = self.rng.bool();
        let own = record.acquire_time.expect("a held record has one");
        let acquire_time = if meant { own } else { self.wall() };
        record.request = Some(Arc::new(HandoverRequest { holder, acquire_time, successor: None, draining: false }));
        (if meant { "edit: request" } else { "edit: void request" }, record)
    }

    fn wall(&self) -> Timestamp {
        Timestamp::from_unix_micros(i64::try_from(self.now_ns / 1_000).expect("a short run"))
    }
}
