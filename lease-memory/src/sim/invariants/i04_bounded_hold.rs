//! I4: whoever acts is within its hold, or stopping within `S` of its end; and a hold counts from the send of a write
//! of its own that really happened.

use lease_core::{Instant, Timing};

use super::{Verdict, letter};
use crate::sim::judged::Judged;

pub(in crate::sim) const NAME: &str = "bounded_hold";

/// The work of a candidate that is neither paused nor hanging, at this moment of its own.
pub(in crate::sim) fn acts(node: usize, judged: &Judged, timing: &Timing, local: Instant) -> Verdict {
    let Some(work) = judged.working() else { return Ok(()) };
    if work.hangs || !local.has_reached_either(work.valid_until + timing.stop_timeout() + ROUNDING) {
        return Ok(());
    }
    Err((NAME, format!("{} acts at its {local}, and its hold ended at {}", letter(node), work.valid_until)))
}

/// A hold is said to last until then.
pub(in crate::sim) fn holds_until(node: usize, judged: &Judged, timing: &Timing, valid_until: Instant) -> Verdict {
    if judged.applied.iter().rev().any(|sent_at| *sent_at + timing.renew_deadline() == valid_until) {
        return Ok(());
    }
    Err((NAME, format!("{} holds until its {valid_until}, which no applied write of its own gives", letter(node))))
}

/// What the rates of two clocks make of a nanosecond.
const ROUNDING: std::time::Duration = std::time::Duration::from_nanos(2);
