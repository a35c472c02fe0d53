//! What an exporter says about an endpoint that does not take what it is sent: at once, and then now and again.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lease_core::Pretty;
use tokio::time::Instant;

use super::Request;
use crate::config::ComponentId;

/// One kind of trouble is told this often.
const INTERVAL: Duration = Duration::from_secs(10);

/// The troubles of one exporter.
#[derive(Debug)]
pub(super) struct Complaints {
    id: ComponentId,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failing: Trouble,
    dropped: Trouble,
    full: Trouble,
    partial: Trouble,
    at_stop: Option<AtStop>,
}

/// What is dropped while the collector stops: told once, at the end.
#[derive(Debug)]
struct AtStop {
    requests: u64,
    items: u64,
    /// Why the first was.
    message: String,
}

/// When one kind was told last, and what has come since.
#[derive(Debug, Default)]
struct Trouble {
    told: Option<Instant>,
    times: u64,
    items: u64,
}

impl Trouble {
    /// Counts; gives how often and how many items since it was told last, if it is to be told now.
    fn note(&mut self, items: u64) -> Option<(u64, u64)> {
        self.times += 1;
        self.items += items;
        let now = Instant::now();
        if self.told.is_some_and(|told| now.duration_since(told) < INTERVAL) {
            return None;
        }
        self.told = Some(now);
        Some((std::mem::take(&mut self.times), std::mem::take(&mut self.items)))
    }
}

impl Complaints {
    pub(super) fn new(id: &ComponentId) -> Self {
        Self { id: id.clone(), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tries_again(&self, message: &str, wait: Duration) {
        if let Some((failures, _)) = self.state().failing.note(0) {
            let retry_in = Pretty(wait);
            tracing::warn!(exporter = %self.id, failures, %retry_in, "nothing was sent: {message}");
        }
    }

    pub(super) fn taken(&self) {
        let mut state = self.state();
        if state.failing.told.take().is_some() {
            let failures = std::mem::take(&mut state.failing.times);
            drop(state);
            tracing::info!(exporter = %self.id, failures, "the endpoint takes what it is sent again");
        }
    }

    pub(super) fn dropped(&self, request: &Request, message: &str) {
        if let Some((requests, items)) = self.state().dropped.note(request.items) {
            let signal = request.signal;
            tracing::error!(exporter = %self.id, %signal, requests, items, "dropped: {message}");
        }
    }

    /// Keeps it for [`tell_rest`](Self::tell_rest).
    pub(super) fn dropped_at_stop(&self, request: &Request, message: &str) {
        let mut state = self.state();
        let found = state.at_stop.get_or_insert_with(|| AtStop { requests: 0, items: 0, message: message.to_owned() });
        found.requests += 1;
        found.items += request.items;
    }

    /// The end: tells what was not told yet, each kind with its number.
    pub(super) fn tell_rest(&self) {
        let State { dropped, full, partial, at_stop, .. } = std::mem::take(&mut *self.state());
        for (trouble, what) in [
            (dropped, "dropped before the stop, since that was last told"),
            (full, "dropped because the queue was full, since that was last told"),
        ] {
            let Trouble { times: requests, items, .. } = trouble;
            if requests > 0 {
                tracing::error!(exporter = %self.id, requests, items, "{what}");
            }
        }
        let Trouble { times: requests, items: rejected, .. } = partial;
        if requests > 0 {
            tracing::warn!(
                exporter = %self.id, requests, rejected,
                "the endpoint took a part, or made a remark, since that was last told"
            );
        }
        if let Some(AtStop { requests, items, message }) = at_stop {
            tracing::error!(exporter = %self.id, requests, items, "dropped: the collector stops, and {message}");
        }
    }

    pub(super) fn queue_full(&self, request: &Request, size: u64, capacity: u64) {
        if let Some((requests, items)) = self.state().full.note(request.items) {
            let signal = request.signal;
            tracing::error!(
                exporter = %self.id, %signal, requests, items, size, capacity,
                "dropped: the queue is full; the endpoint is slower than what comes in, or takes nothing. \
                 Raise sending_queue.queue_size, or set sending_queue.block_on_overflow to hold the receivers up"
            );
        }
    }

    pub(super) fn partial(&self, request: &Request, rejected: u64, message: &str) {
        if let Some((requests, items)) = self.state().partial.note(rejected) {
            let signal = request.signal;
            let what =
                if items > 0 { "took a part of what it was sent" } else { "took what it was sent, with a remark" };
            tracing::warn!(exporter = %self.id, %signal, requests, rejected = items, "the endpoint {what}: {message}");
        }
    }
}
