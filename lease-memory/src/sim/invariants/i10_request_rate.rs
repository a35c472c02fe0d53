//! I10: the rate of requests is bounded, whatever the store answers.

use std::collections::VecDeque;

use super::{Verdict, letter};

pub(in crate::sim) const NAME: &str = "request_rate";

/// When the latest requests of a process were sent, in true time.
#[derive(Debug, Default)]
pub(in crate::sim) struct RequestRate {
    sent_at_ns: VecDeque<u64>,
}

impl RequestRate {
    /// A request is sent. In ten retry periods, wherever they lie, there are at most [`REQUESTS_MAX`].
    pub(in crate::sim) fn sent(&mut self, node: usize, retry_ns: u64, now_ns: u64) -> Verdict {
        self.sent_at_ns.push_back(now_ns);
        if self.sent_at_ns.len() <= REQUESTS_MAX {
            return Ok(());
        }
        let first_ns = self.sent_at_ns.pop_front().unwrap_or(now_ns);
        if now_ns - first_ns < 10 * retry_ns {
            let window_ms = (now_ns - first_ns) / 1_000_000;
            return Err((NAME, format!("{} sends {} requests in {window_ms} ms", letter(node), REQUESTS_MAX + 1)));
        }
        Ok(())
    }
}

/// Two requests a period, and what a term's end, a release and a few conflicts add.
const REQUESTS_MAX: usize = 42;
