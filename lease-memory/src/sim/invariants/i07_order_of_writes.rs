//! I7: while draining only renewals, after the drain only the release, after the hold nothing is written for a term.

use lease_core::{Instant, Purpose};

use super::{Verdict, letter};
use crate::sim::judged::Judged;

pub(in crate::sim) const NAME: &str = "order_of_writes";

/// `valid_until` is the end of the hold as the machine says, which is judged on its own.
pub(in crate::sim) fn writes(
    node: usize,
    judged: &Judged,
    purpose: Purpose,
    local: Instant,
    valid_until: Option<Instant>,
) -> Verdict {
    let node = letter(node);
    let Some(work) = &judged.work else {
        // Under `strict`, or after a shutdown, a lease is held without a term that anybody was told of.
        return Ok(());
    };
    if purpose == Purpose::Acquire {
        return Err((NAME, format!("{node} acquires within a term")));
    }
    if local.has_reached_either(valid_until.unwrap_or(work.valid_until)) {
        return Err((NAME, format!("{node} writes a {purpose} after its hold")));
    }
    match purpose {
        Purpose::Renew if work.must_stop_by.is_some() => Err((NAME, format!("{node} renews a term that is lost"))),
        Purpose::Renew if !work.acts => Err((NAME, format!("{node} renews after its work has stopped"))),
        Purpose::Release if !work.told => Err((NAME, format!("{node} releases without having told its work"))),
        _ => Ok(()),
    }
}
