//! I10: the rate of requests is bounded, whatever the store answers; and whom nothing disturbs sends what R10 says.

use std::collections::VecDeque;
use std::time::Duration;

use lease_core::Purpose;

use super::{Verdict, letter};
use crate::sim::clocks::unscale;

pub(in crate::sim) const NAME: &str = "request_rate";

/// When the latest requests of a process were sent, in true time.
#[derive(Debug, Default)]
pub(in crate::sim) struct RequestRate {
    sent_at_ns: VecDeque<u64>,
    /// From when on nothing of what has disturbed it so far explains a request.
    calm_from_ns: u64,
    /// The latest request that was sent in calm.
    last: Option<(Purpose, u64)>,
}

/// A request, and what bounds the pace of whoever sends it.
pub(in crate::sim) struct Sent {
    pub(in crate::sim) node: usize,
    pub(in crate::sim) purpose: Purpose,
    /// Whether it is in a term.
    pub(in crate::sim) in_term: bool,
    /// Whether somebody renews the record: where nobody does, the wait ends with one read more.
    pub(in crate::sim) is_kept: bool,
    pub(in crate::sim) retry_ns: u64,
    /// Whether it renews together with others: up to a quarter of a period early.
    pub(in crate::sim) has_phase: bool,
    /// How fast the faster of its clocks is.
    pub(in crate::sim) error_ppm: u32,
    pub(in crate::sim) now_ns: u64,
}

impl RequestRate {
    /// Something happens that may make it send more, until then and for two periods more.
    pub(in crate::sim) fn disturbed(&mut self, until_ns: u64, retry_ns: u64) {
        self.calm_from_ns = self.calm_from_ns.max(until_ns.saturating_add(2 * retry_ns));
        self.last = None;
    }

    /// A request is sent.
    pub(in crate::sim) fn sent(&mut self, sent: &Sent) -> Verdict {
        if self.sent_at_ns.is_empty() {
            self.disturbed(sent.now_ns, sent.retry_ns);
        }
        self.in_calm(sent)?;
        self.in_any_case(sent)
    }

    /// R10: in its term one write a period and nothing else; standing by one read a period.
    fn in_calm(&mut self, sent: &Sent) -> Verdict {
        let &Sent { purpose, now_ns, .. } = sent;
        if now_ns < self.calm_from_ns {
            return Ok(());
        }
        let node = letter(sent.node);
        if sent.in_term && purpose == Purpose::Read {
            return Err((NAME, format!("{node} reads in its term, in which nothing disturbs it")));
        }
        let before = self.last.replace((purpose, now_ns));
        if !(purpose == Purpose::Renew || purpose == Purpose::Read && sent.is_kept) {
            return Ok(());
        }
        let early_ns = if purpose == Purpose::Renew && sent.has_phase { sent.retry_ns / 4 } else { 0 };
        let least_ns = unscale(sent.retry_ns - early_ns, sent.error_ppm).saturating_sub(ROUNDING_NS);
        match before.filter(|(before, _)| *before == purpose).map(|(_, at_ns)| now_ns - at_ns) {
            Some(passed_ns) if passed_ns < least_ns => {
                let since = Duration::from_nanos(passed_ns);
                Err((NAME, format!("{node} sends a {purpose} {since:?} after the last one, and nothing disturbs it")))
            }
            _ => Ok(()),
        }
    }

    /// In ten retry periods, wherever they lie, there are at most [`REQUESTS_MAX`].
    fn in_any_case(&mut self, sent: &Sent) -> Verdict {
        let &Sent { node, retry_ns, now_ns, .. } = sent;
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
/// What the rates of two clocks make of a nanosecond.
const ROUNDING_NS: u64 = 4;
