//! I6: a release only after the work has stopped.

use super::{Verdict, letter};
use crate::sim::judged::Judged;

pub(in crate::sim) const NAME: &str = "release_after_stop";

pub(in crate::sim) fn releases(node: usize, judged: &Judged) -> Verdict {
    if judged.working().is_none() {
        return Ok(());
    }
    Err((NAME, format!("{} releases while its work goes on", letter(node))))
}
