//! I12: what the application was told agrees with what the machine says of itself, from which status and metrics are
//! made; and the machine asks to be woken in time, but not over and over.

use lease_core::{Elector, PhaseKind};

use super::{Verdict, letter};
use crate::sim::judged::Judged;

pub(in crate::sim) const NAME: &str = "agreement";

/// After a step.
pub(in crate::sim) fn stepped(node: usize, judged: &Judged, elector: &Elector) -> Verdict {
    let phase = elector.phase();
    let told = judged.work.as_ref().map(|work| (work.told, work.must_stop_by.is_some(), work.acts));
    let agrees = match phase {
        PhaseKind::Leading => told == Some((false, false, true)),
        PhaseKind::Draining => told == Some((true, false, true)),
        // A drain that took too long was lost, and may yet be released.
        PhaseKind::Releasing => told.is_none_or(|(told, _, acts)| told && !acts),
        PhaseKind::Stopping => matches!(told, Some((true, true, _))),
        PhaseKind::Candidate | PhaseKind::Stopped => told.is_none(),
    };
    if !agrees {
        return Err((NAME, format!("{} is {phase}, and its work (told, lost, acting) is {told:?}", letter(node))));
    }
    if let (PhaseKind::Leading | PhaseKind::Draining, Some(work), Some(term)) = (phase, &judged.work, elector.term()) {
        let Some((told, really)) = Some((work.valid_until, term.valid_until)).filter(|(a, b)| a != b) else {
            return Ok(());
        };
        return Err((NAME, format!("{} was told to hold until {told}, and holds until {really}", letter(node))));
    }
    Ok(())
}

/// Wakes that come one after the other without any time passing between them.
#[derive(Debug, Default)]
pub(in crate::sim) struct Spinning {
    at_ns: u64,
    steps: u32,
}

impl Spinning {
    pub(in crate::sim) fn woken(&mut self, node: usize, now_ns: u64) -> Verdict {
        self.steps = if now_ns == self.at_ns { self.steps + 1 } else { 0 };
        self.at_ns = now_ns;
        if self.steps > STEPS_MAX {
            return Err((NAME, format!("{} asks to be woken {} times at one moment", letter(node), self.steps)));
        }
        Ok(())
    }
}

/// More than anything that happens at once.
const STEPS_MAX: u32 = 1_000;
