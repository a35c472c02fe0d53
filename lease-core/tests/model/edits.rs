//! What is done to the record behind the candidates' backs, and who could not know.

use std::time::Duration;

use lease_core::{LeaseRecord, Timestamp};

use crate::plan::{Edit, Ignorance};
use crate::print::describe;
use crate::turn::Turn;
use crate::world::{Call, Process, Wire, Write};

impl Turn<'_> {
    pub(crate) fn edit(&mut self, edit: Edit) {
        self.state.spent.edits += 1;
        self.excuse(edit);
        self.state.excused_for = self.plan.steps_of_a_hold();
        self.state.wall_s += 1;
        let store = &mut self.state.store;
        match edit {
            Edit::Delete => {
                store.current = None;
                store.revision += 1;
                self.log.note("the record is deleted by hand");
                return;
            }
            Edit::LoseWrite => {
                store.current.clone_from(&store.past.before);
                store.revision -= 1;
                self.log.note("the store loses its last write");
                return;
            }
            _ => {}
        }
        let Some(record) = self.edited(edit) else { return };
        let stored = self.state.store.put(record);
        self.log.note(format_args!(
            "{edit:?} by hand: version {}, {}",
            stored.version,
            describe::record(&stored.record)
        ));
    }

    /// What the record is made to be; nothing where there is nothing to restore.
    fn edited(&self, edit: Edit) -> Option<LeaseRecord> {
        let past = &self.state.store.past;
        let mut record = self.state.store.current.as_ref()?.record.clone();
        let now = Some(Timestamp::from_unix_micros(self.plan.wall_seconds(self.state.wall_s) * 1_000_000));
        match edit {
            Edit::Clear => record.holder = None,
            Edit::Overwrite | Edit::OverwriteAndRenew => {
                let other =
                    self.state.processes().find(|(_, process)| !record.is_held_by(&process.elector.config().identity));
                record.holder = Some(other?.1.elector.config().identity.clone());
                if edit == Edit::OverwriteAndRenew {
                    record.renew_time = now;
                }
            }
            Edit::LowerDuration => record.lease_duration = SHORT,
            Edit::LowerDurationAndRenew => (record.lease_duration, record.renew_time) = (SHORT, now),
            Edit::RestoreWrite => record = past.before.clone()?.record,
            Edit::RestoreTerm => record = past.term_before.clone()?,
            Edit::RestoreRelease => record = past.release.clone()?,
            Edit::ForeignRelease | Edit::StaleForeignRelease => {
                let transitions = record.transitions.saturating_sub(u32::from(edit == Edit::StaleForeignRelease));
                let (acquired, released) = (record.acquired, record.released);
                record = LeaseRecord {
                    lease_duration: SHORT,
                    acquire_time: now,
                    renew_time: now,
                    transitions,
                    acquired,
                    released,
                    ..LeaseRecord::default()
                };
            }
            Edit::Delete | Edit::LoseWrite => return None,
        }
        Some(record)
    }

    /// Notes who does not know that somebody may act.
    fn excuse(&mut self, edit: Edit) {
        let current = self.state.store.current.clone();
        let lost = self.state.store.revision;
        for node in 0..self.plan.candidates {
            let Some(process) = self.state.nodes[node].process.as_deref() else { continue };
            let holds =
                current.as_ref().is_some_and(|current| current.record.is_held_by(&process.elector.config().identity));
            let ignorance = if edit == Edit::LoseWrite {
                (process.revision_seen < Some(lost)).then_some(Ignorance::BeforeTheLoss)
            } else if is_creating(process) || self.has_late_create(node) {
                Some(Ignorance::Creating)
            } else if holds {
                None
            } else if !process.elector.has_read() {
                Some(Ignorance::Fresh)
            } else {
                let present = current.as_ref().map_or(0, |current| current.record.transitions);
                let seen = process.elector.observed().map(|seen| &seen.record);
                // Whoever saw any holder waits; but a release is believed by whoever saw nothing of a later term.
                let knows = seen.is_some_and(|seen| match edit {
                    Edit::RestoreRelease => seen.transitions >= present,
                    _ => seen.holder.is_some(),
                });
                (!knows).then_some(Ignorance::Missed)
            };
            self.state.nodes[node].ignorance = ignorance;
        }
    }

    fn has_late_create(&self, node: usize) -> bool {
        self.state
            .late
            .iter()
            .any(|late| late.write.on.is_none() && late.sender.is_some_and(|(sender, _)| sender == node))
    }
}

fn is_creating(process: &Process) -> bool {
    matches!(&process.wire, Wire::Sent { call: Call::Write(Write { on: None, .. }), .. })
}

/// As a release has it, and shorter than any hold.
const SHORT: Duration = Duration::from_secs(1);
