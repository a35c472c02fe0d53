//! Liveness: once everything is quiet somebody leads within the bound, and then nothing changes.

use std::time::Duration;

use super::{Verdict, letter};

pub(in crate::sim) const NAME: &str = "liveness";

/// Since when it is quiet, and by when somebody has to lead.
#[derive(Debug)]
#[allow(clippy::struct_field_names, reason = "units are last in names")]
pub(in crate::sim) struct Liveness {
    /// When what was done last has had all its consequences.
    calm_from_ns: u64,
    /// How long a takeover may take from then on.
    bound_ns: u64,
    /// When to look next.
    due_ns: u64,
}

impl Liveness {
    pub(in crate::sim) fn new(bound_ns: u64) -> Self {
        Self { calm_from_ns: 0, bound_ns, due_ns: bound_ns }
    }

    /// Something happens, whose consequences last until then.
    pub(in crate::sim) fn disturbed(&mut self, until_ns: u64) {
        self.calm_from_ns = self.calm_from_ns.max(until_ns);
        self.due_ns = self.calm_from_ns.saturating_add(self.bound_ns);
    }

    /// When [`Liveness::check`] is to be asked.
    pub(in crate::sim) fn due_ns(&self) -> u64 {
        self.due_ns
    }

    /// So many lead now, and somebody could.
    pub(in crate::sim) fn check(&mut self, leaders: usize, somebody_could: bool) -> Verdict {
        self.due_ns = u64::MAX;
        if leaders > 0 || !somebody_could {
            return Ok(());
        }
        let bound = Duration::from_nanos(self.bound_ns);
        Err((NAME, format!("nobody leads {bound:?} after the last disturbance has had its consequences")))
    }

    /// A term ends.
    pub(in crate::sim) fn ended(&self, node: usize, why: &str, now_ns: u64) -> Verdict {
        if now_ns <= self.calm_from_ns.saturating_add(self.bound_ns) {
            return Ok(());
        }
        Err((NAME, format!("{}'s term ends ({why}) although nothing happens", letter(node))))
    }
}
