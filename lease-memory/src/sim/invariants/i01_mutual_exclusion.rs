//! I1: at most one acting holder, while the assumptions hold.

use super::{Verdict, letter};
use crate::sim::assumptions::Assumptions;
use crate::sim::judged::Judged;

pub(in crate::sim) const NAME: &str = "mutual_exclusion";

/// Somebody starts to act: nobody else may, unless an assumption was broken for one of the two.
pub(in crate::sim) fn started(node: usize, nodes: &[Judged], assumptions: &Assumptions, now_ns: u64) -> Verdict {
    for (other, judged) in nodes.iter().enumerate() {
        if other == node || !judged.acts || !judged.is_ours || !nodes[node].is_ours {
            continue;
        }
        if assumptions.excuse(other, node, now_ns).is_none() && !judged.is_late {
            return Err((NAME, format!("{} starts to act while {} does", letter(node), letter(other))));
        }
    }
    Ok(())
}
