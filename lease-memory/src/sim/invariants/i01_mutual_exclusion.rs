//! I1: at most one acting holder, while the assumptions hold.
//!
//! Of two peers by client-go's rule it is not demanded, and of one beside ours where that peer keeps to its own lease.

use std::time::Duration;

use super::{Verdict, letter};
use crate::sim::assumptions::{Assumptions, Excuse};
use crate::sim::conduct::Conduct;
use crate::sim::judged::Judged;
use crate::sim::stats::Overlap;

pub(in crate::sim) const NAME: &str = "mutual_exclusion";

/// Somebody starts to act: nobody else may, unless an assumption was broken for one of the two.
pub(in crate::sim) fn started(
    node: usize,
    nodes: &[Judged],
    assumptions: &Assumptions,
    conduct: &Conduct,
    now_ns: u64,
) -> Verdict {
    for (other, judged) in nodes.iter().enumerate() {
        if other == node || !judged.acts {
            continue;
        }
        let is_demanded = match (nodes[node].is_ours, judged.is_ours) {
            (true, true) => true,
            (true, false) => conduct.keeps_away(other, now_ns),
            (false, true) => conduct.keeps_away(node, now_ns),
            (false, false) => false,
        };
        if is_demanded && assumptions.excuse(other, node, now_ns).is_none() && !judged.is_late {
            return Err((NAME, format!("{} starts to act while {} does", letter(node), letter(other))));
        }
    }
    Ok(())
}

/// Two act on together after what excused it when the second one began.
pub(in crate::sim) fn acts_on(overlap: &Overlap, now_ns: u64) -> Verdict {
    let ([first, second], since) = ([overlap.nodes.0, overlap.nodes.1].map(letter), now_ns - overlap.from_ns);
    let excuse = overlap.excuse.map_or("nothing", Excuse::as_str);
    let since = Duration::from_nanos(since);
    Err((NAME, format!("{first} and {second} act together for {since:?}, beyond what excused it: {excuse}")))
}
