//! I9: start and stop strictly alternate, and stop comes before the end.

use lease_core::{Term, TermId};

use super::{Verdict, letter};
use crate::sim::judged::{Judged, Work};

pub(in crate::sim) const NAME: &str = "alternation";

pub(in crate::sim) fn started(node: usize, judged: &mut Judged, term: &Term) -> Verdict {
    if judged.work.is_some() || judged.last_term >= Some(term.id) {
        return Err((NAME, format!("{} starts {} before the last one was closed", letter(node), term.id)));
    }
    judged.last_term = Some(term.id);
    Ok(())
}

/// The work is told to drain or to stop.
pub(in crate::sim) fn told(
    node: usize,
    judged: &mut Judged,
    term: TermId,
) -> Result<&mut Work, (&'static str, String)> {
    match &mut judged.work {
        Some(work) if work.term.id == term => Ok(work),
        _ => Err((NAME, format!("{} is told to stop {term}, which is not running", letter(node)))),
    }
}

pub(in crate::sim) fn stopped(node: usize, judged: &mut Judged, term: TermId) -> Verdict {
    match judged.work.take() {
        Some(work) if work.term.id == term && !work.acts && work.told => Ok(()),
        Some(work) if work.acts => Err((NAME, format!("{} closes {term} while its work goes on", letter(node)))),
        _ => Err((NAME, format!("{} closes {term}, which was not told to stop", letter(node)))),
    }
}
