//! I8: a term never becomes valid again once it is lost, and no acquisition begins two terms.

use lease_core::{Instant, Term, TermId};

use super::{Verdict, letter};
use crate::sim::judged::Judged;

pub(in crate::sim) const NAME: &str = "no_revival";

/// A term begins by this acquisition.
pub(in crate::sim) fn started(node: usize, judged: &mut Judged, term: &Term) -> Verdict {
    let before = judged.acquired_at.replace(term.acquire_time);
    if before == Some(term.acquire_time) {
        return Err((NAME, format!("{} begins {} by an acquisition that began another", letter(node), term.id)));
    }
    Ok(())
}

/// The hold of a term is prolonged.
pub(in crate::sim) fn renewed(node: usize, judged: &Judged, term: TermId, local: Instant) -> Verdict {
    match &judged.work {
        Some(work) if work.term.id != term || work.must_stop_by.is_some() => {
            Err((NAME, format!("{} prolongs {term} after it was lost", letter(node))))
        }
        // Whoever asks between its end and this learns that it is over, and what is over does not come back.
        Some(work) if local.has_reached_either(work.valid_until) => {
            Err((NAME, format!("{} prolongs {term}, whose hold ended at {}", letter(node), work.valid_until)))
        }
        _ => Ok(()),
    }
}
