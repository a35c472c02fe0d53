//! I5: nobody replaces a held record that was not observed for its full wait, and a read confirms it before.

use std::time::Duration;

use lease_core::{LeaseRecord, Timing};

use super::{Verdict, letter};
use crate::sim::clocks::unscale;
use crate::sim::schedule::nanos;

pub(in crate::sim) const NAME: &str = "full_wait";

/// A candidate of ours has replaced this record, which a candidate had stored.
pub(in crate::sim) struct Taken<'a> {
    pub(in crate::sim) node: usize,
    pub(in crate::sim) timing: &'a Timing,
    pub(in crate::sim) before: &'a LeaseRecord,
    /// When it was renewed, when its taker last had an answer to a read, if it still runs, and now.
    pub(in crate::sim) renewed_at_ns: u64,
    pub(in crate::sim) read_at_ns: Option<u64>,
    pub(in crate::sim) now_ns: u64,
    /// The largest error of any clock.
    pub(in crate::sim) error_ppm: u32,
}

pub(in crate::sim) fn taken(taken: &Taken<'_>) -> Verdict {
    if taken.before.holder.is_none() {
        return Ok(());
    }
    let node = letter(taken.node);
    let wait = taken.before.lease_duration.max(taken.timing.lease_duration());
    let least_ns = unscale(nanos(wait), taken.error_ppm);
    let unchanged_ns = taken.now_ns - taken.renewed_at_ns;
    if unchanged_ns < least_ns {
        let unchanged = Duration::from_nanos(unchanged_ns);
        return Err((NAME, format!("{node} takes a record that was renewed {unchanged:?} ago, and not {wait:?}")));
    }
    if taken.read_at_ns.is_some_and(|read_at_ns| read_at_ns < taken.renewed_at_ns + least_ns) {
        return Err((NAME, format!("{node} takes a record that it has not read after the wait")));
    }
    Ok(())
}
