//! I11: what is not ours in the stored object survives our writes.

use std::sync::Arc;

use lease_core::LeaseRecord;

use super::{Verdict, letter};
use crate::store::Labels;

pub(in crate::sim) const NAME: &str = "foreign_fields";

/// The labels before and after an update, and the records.
pub(in crate::sim) fn updated(
    node: usize,
    labels: (Option<&Arc<Labels>>, Option<&Arc<Labels>>),
    before: &LeaseRecord,
    after: &LeaseRecord,
) -> Verdict {
    let same = match labels {
        (Some(before), Some(after)) => Arc::ptr_eq(before, after) || before == after,
        (before, _) => before.is_none(),
    };
    if !same {
        return Err((NAME, format!("{}'s write changes the labels", letter(node))));
    }
    if before.strategy != after.strategy {
        return Err((NAME, format!("{}'s write changes the strategy", letter(node))));
    }
    Ok(())
}
