//! What stands between a pipeline and an endpoint: a bounded queue, and whoever sends what it holds until it is taken.

mod complaints;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::join_all;
use lease_core::Pretty;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use self::complaints::Complaints;
use super::counters::Counters;
use super::retry::{Backoff, RetrySettings};
use super::settings::{QueueSettings, Sizer};
use crate::component::{Consumer, Refused, Work};
use crate::data::{Batch, Signal, Telemetry};

/// A request to an endpoint, ready to be sent any number of times.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Which service it is for.
    pub(crate) signal: Signal,
    /// The points, records or spans in it.
    pub(crate) items: u64,
    /// The encoded message.
    pub(crate) body: Bytes,
}

/// What an endpoint that took a request says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// How many items it has rejected for good.
    pub(crate) rejected: u64,
    /// Why; or a remark, when nothing was rejected.
    pub(crate) message: String,
}

/// Why a request was not taken. The message says what to do, if that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Another attempt would fail as well.
    Permanent(String),
    /// Another attempt may succeed, but not before `after`.
    Retryable {
        /// What happened.
        message: String,
        /// The wait that the endpoint asks for.
        after: Option<Duration>,
    },
}

/// The way to an endpoint.
#[async_trait]
pub(crate) trait Transport: fmt::Debug + Send + Sync {
    /// How telemetry is written on this way.
    fn encode(&self, telemetry: Telemetry) -> Bytes;
    /// One attempt. It ends within the timeout of the exporter.
    async fn send(&self, request: &Request) -> Result<Taken, Failure>;
}

/// How long the sending of what is left goes on after the stop.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// An endpoint that has taken nothing for so long, and fails once more, is away: a flush and the stop wait for it no longer.
/// One that restarts is back by then, and it is less than what a flush has at the end of a term.
const AWAY_AFTER: Duration = Duration::from_millis(1_500);
/// Between two attempts while a flush or the stop waits, where `initial_interval` is not shorter.
const PAUSE_IN_FLUSH: Duration = Duration::from_millis(500);

/// The consumer of an exporter that sends.
#[derive(Debug)]
pub(crate) struct Sending {
    transport: Arc<dyn Transport>,
    queue: QueueSettings,
    retry: RetrySettings,
    counters: Counters,
    complaints: Complaints,
    state: Mutex<State>,
    /// There is something to send.
    filled: Notify,
    /// Counts the requests that are no longer pending.
    finished: watch::Sender<u64>,
    /// Counts the flushes: whoever waits to try again does so at once.
    hurried: watch::Sender<u64>,
    /// What ends a flush before all is sent.
    away: watch::Sender<Away>,
    stop: CancellationToken,
    stop_deadline: OnceLock<Instant>,
}

/// What says that the endpoint takes nothing for now.
#[derive(Clone, Copy, Debug, Default)]
struct Away {
    /// When the first attempt of those that have failed in a row was begun. One after which the endpoint asks for a wait
    /// counts for none: the endpoint is there.
    failing_since: Option<Instant>,
    /// The attempts that have failed after [`AWAY_AFTER`] of that.
    found: u64,
    /// Until when the endpoint wants nothing to be sent.
    until: Option<Instant>,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Queued>,
    /// Of what waits and what is being sent, as the reference counts it.
    size: u64,
    next: u64,
    /// The numbers of what waits and what is being sent.
    pending: BTreeSet<u64>,
    /// After the stop the endpoint was found away, so no further attempt is made.
    given_up: bool,
    /// The flushes that wait now.
    flushes: usize,
}

#[derive(Debug)]
struct Queued {
    number: u64,
    size: u64,
    request: Request,
}

/// Why a request was not taken in.
enum NoRoom {
    /// It is given back.
    Full(Request),
    Closed,
}

impl Sending {
    /// The consumer, and the work of sending.
    pub(crate) fn start(
        transport: Arc<dyn Transport>,
        queue: QueueSettings,
        retry: RetrySettings,
        counters: Counters,
        stop: CancellationToken,
    ) -> (Arc<Self>, Work) {
        counters.queue_capacity(queue.queue_size);
        counters.queue_size(0);
        let complaints = Complaints::new(counters.id());
        let sending = Arc::new(Self {
            transport,
            queue,
            retry,
            counters,
            complaints,
            state: Mutex::default(),
            filled: Notify::new(),
            finished: watch::Sender::new(0),
            hurried: watch::Sender::new(0),
            away: watch::Sender::default(),
            stop,
            stop_deadline: OnceLock::new(),
        });
        let worker = Arc::clone(&sending);
        let work = async move {
            // Dropped after the senders, also where they are cut short.
            let _end = End(&worker);
            let consumers = (0..worker.queue.num_consumers).map(|_| worker.send_queued());
            join_all(consumers).await;
        };
        (sending, work.boxed())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One of the senders: it ends when it finds nothing to send after the stop.
    async fn send_queued(&self) {
        loop {
            // Both under one lock, as in `enqueue`, so that nothing comes in after the last sender has gone.
            let (next, stopped) = {
                let mut state = self.state();
                (state.waiting.pop_front(), self.stop.is_cancelled())
            };
            if let Some(queued) = next {
                let mut sent = Sent { sending: self, queued, settled: false };
                self.deliver(&sent.queued.request).await;
                sent.settled = true;
            } else if stopped {
                return;
            } else {
                tokio::select! {
                    () = self.filled.notified() => {}
                    () = self.stop.cancelled() => {}
                }
            }
        }
    }

    fn finish(&self, queued: &Queued) {
        let size = {
            let mut state = self.state();
            state.size -= queued.size;
            state.pending.remove(&queued.number);
            state.size
        };
        self.counters.queue_size(size);
        self.finished.send_modify(|count| *count += 1);
    }

    /// Takes a request in; it is for the caller to deliver when there is no queue.
    fn enqueue(&self, request: Request, size: u64) -> Result<Option<Queued>, NoRoom> {
        let mut state = self.state();
        if self.stop.is_cancelled() {
            return Err(NoRoom::Closed);
        }
        if self.queue.enabled && state.size.saturating_add(size) > self.queue.queue_size {
            return Err(NoRoom::Full(request));
        }
        let number = state.next;
        state.next += 1;
        state.size += size;
        state.pending.insert(number);
        let queued = Queued { number, size, request };
        let direct = if self.queue.enabled {
            state.waiting.push_back(queued);
            None
        } else {
            Some(queued)
        };
        let size = state.size;
        drop(state);
        self.counters.queue_size(size);
        self.filled.notify_one();
        Ok(direct)
    }

    fn refuse(&self, request: &Request) -> Refused {
        let size = self.state().size;
        let capacity = self.queue.queue_size;
        self.counters.enqueue_failed(request.signal, request.items);
        self.complaints.queue_full(request, size, capacity);
        Refused::Full { exporter: self.counters.id().clone(), size, capacity }
    }

    /// Tries until the request is taken or has to be dropped; either is counted.
    async fn deliver(&self, request: &Request) {
        let give_up_at = Instant::now().checked_add(self.retry.max_elapsed_time);
        let mut backoff = Backoff::new(&self.retry);
        loop {
            if self.state().given_up {
                return self.drop_request(request, "the endpoint takes nothing");
            }
            let began = Instant::now();
            let (message, after) = match self.attempt(request).await {
                Ok(taken) => return self.taken(request, &taken),
                Err(Failure::Permanent(message)) => {
                    self.away.send_if_modified(|away| away.failing_since.take().is_some());
                    return self.drop_request(request, &message);
                }
                Err(Failure::Retryable { message, after }) => (message, after),
            };
            // Before the failure is noted: a flush either sees the failure or is seen here.
            let hurried = self.hurried.subscribe();
            let is_away = after.is_none() && self.has_failed(began);
            if !self.retry.enabled {
                self.state().given_up |= is_away && self.stop.is_cancelled();
                return self.drop_request(request, &message);
            }
            let Some(wait) = self.next_wait(&mut backoff, after, is_away) else {
                self.state().given_up = true;
                return self.drop_request(request, &message);
            };
            let at = Instant::now().checked_add(wait);
            if after.is_some() {
                self.away.send_modify(|away| away.until = at);
            }
            if !self.retry.max_elapsed_time.is_zero() && at.is_none_or(|at| give_up_at.is_some_and(|end| end < at)) {
                return self.drop_request(request, &format!("no attempt is left: {message}"));
            }
            self.complaints.tries_again(&message, wait);
            self.wait(wait, after.is_some(), hurried).await;
        }
    }

    /// Notes that an attempt has failed; true if that says that the endpoint is away.
    fn has_failed(&self, began: Instant) -> bool {
        let mut is_away = false;
        self.away.send_modify(|away| {
            let since = *away.failing_since.get_or_insert(began);
            is_away = since.elapsed() >= AWAY_AFTER;
            away.found += u64::from(is_away);
        });
        is_away
    }

    /// How long to wait before the next attempt; none where the stop leaves no time for one, or would wait in vain.
    fn next_wait(&self, backoff: &mut Backoff<'_>, after: Option<Duration>, is_away: bool) -> Option<Duration> {
        let stops = self.stop.is_cancelled();
        let own = if stops || self.state().flushes > 0 {
            backoff.shortest(PAUSE_IN_FLUSH)
        } else {
            backoff.next(fastrand::f64())
        };
        let wait = own.max(after.unwrap_or_default());
        let in_time = !stops || Instant::now().checked_add(wait).is_some_and(|at| at < self.stop_deadline());
        (in_time && !(stops && is_away)).then_some(wait)
    }

    /// Until when the stop leaves time for attempts. To be asked for after the stop.
    fn stop_deadline(&self) -> Instant {
        *self.stop_deadline.get_or_init(|| Instant::now() + STOP_GRACE)
    }

    /// An attempt, which the stop leaves only a little time.
    async fn attempt(&self, request: &Request) -> Result<Taken, Failure> {
        let limit = async {
            self.stop.cancelled().await;
            sleep_until(self.stop_deadline()).await;
        };
        tokio::select! {
            biased;
            outcome = self.transport.send(request) => outcome,
            () = limit => Err(Failure::Retryable {
                message: format!("the endpoint has not answered within {}", Pretty(STOP_GRACE)),
                after: None,
            }),
        }
    }

    /// Waits. A stop ends it, unless the endpoint has asked for the wait and is asked again in time; so does a flush, unless the
    /// endpoint has asked for it.
    async fn wait(&self, wait: Duration, asked_for: bool, mut hurried: watch::Receiver<u64>) {
        let end = Instant::now().checked_add(wait);
        let stops = self.stop.is_cancelled();
        let stop = async {
            self.stop.cancelled().await;
            if stops || (asked_for && end.is_some_and(|end| end < self.stop_deadline())) {
                std::future::pending::<()>().await;
            }
        };
        let hurry = async {
            if asked_for || hurried.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = sleep(wait) => {}
            () = stop => {}
            () = hurry => {}
        }
    }

    fn taken(&self, request: &Request, taken: &Taken) {
        let rejected = taken.rejected.min(request.items);
        self.counters.sent(request.signal, request.items - rejected);
        self.counters.send_failed(request.signal, rejected);
        self.away.send_if_modified(|away| {
            let news = away.until.is_some() || away.failing_since.is_some();
            (away.until, away.failing_since) = (None, None);
            news
        });
        self.complaints.taken();
        if rejected > 0 || !taken.message.is_empty() {
            self.complaints.partial(request, rejected, &taken.message);
        }
    }

    fn drop_request(&self, request: &Request, message: &str) {
        self.counters.send_failed(request.signal, request.items);
        if self.stop.is_cancelled() {
            self.complaints.dropped_at_stop(request, message);
        } else {
            self.complaints.dropped(request, message);
        }
    }
}

/// A request of the queue that a sender has taken up. A sender that is cut short leaves it unsettled.
struct Sent<'a> {
    sending: &'a Sending,
    queued: Queued,
    settled: bool,
}

impl Drop for Sent<'_> {
    fn drop(&mut self) {
        if !self.settled {
            self.sending.drop_request(&self.queued.request, CUT_SHORT);
        }
        self.sending.finish(&self.queued);
    }
}

/// The end of the sending, which may come while requests are queued: they are counted, and all that was dropped is told.
struct End<'a>(&'a Sending);

impl Drop for End<'_> {
    fn drop(&mut self) {
        let rest = std::mem::take(&mut self.0.state().waiting);
        for queued in rest {
            self.0.drop_request(&queued.request, CUT_SHORT);
            self.0.finish(&queued);
        }
        self.0.complaints.tell_rest();
    }
}

/// Why a request is dropped that a hastened stop left no time for.
const CUT_SHORT: &str = "it was cut short before the endpoint had taken them";

/// A flush that waits: meanwhile attempts follow each other quickly.
struct Flush<'a>(&'a Sending);

impl<'a> Flush<'a> {
    fn begin(sending: &'a Sending) -> Self {
        sending.state().flushes += 1;
        Self(sending)
    }
}

impl Drop for Flush<'_> {
    fn drop(&mut self) {
        self.0.state().flushes -= 1;
    }
}

/// A request that its receiver waits for. When the receiver does no longer, nothing else does either.
struct Direct<'a> {
    sending: &'a Sending,
    queued: Queued,
}

impl Drop for Direct<'_> {
    fn drop(&mut self) {
        self.sending.finish(&self.queued);
    }
}

#[async_trait]
impl Consumer for Sending {
    async fn consume(&self, batch: Batch) -> Result<(), Refused> {
        let items = u64::try_from(batch.telemetry.len()).unwrap_or(u64::MAX);
        if items == 0 {
            return Ok(());
        }
        batch.check()?;
        let Batch { telemetry, term } = batch;
        let signal = telemetry.signal();
        let mut request = Request { signal, items, body: self.transport.encode(telemetry) };
        let size = match self.queue.sizer {
            Sizer::Requests => 1,
            Sizer::Items => items,
            Sizer::Bytes => u64::try_from(request.body.len()).unwrap_or(u64::MAX),
        };
        let mut finished = self.finished.subscribe();
        loop {
            // What had to wait for room may have outlived its term.
            term.as_ref().map_or(Ok(()), lease_core::Validity::check)?;
            request = match self.enqueue(request, size) {
                Ok(None) => return Ok(()),
                Ok(Some(queued)) => {
                    let direct = Direct { sending: self, queued };
                    self.deliver(&direct.queued.request).await;
                    return Ok(());
                }
                Err(NoRoom::Full(request)) => request,
                Err(NoRoom::Closed) => {
                    self.counters.enqueue_failed(signal, items);
                    return Err(Refused::Closed);
                }
            };
            if !self.queue.block_on_overflow || size > self.queue.queue_size {
                return Err(self.refuse(&request));
            }
            tokio::select! {
                _ = finished.changed() => {}
                () = self.stop.cancelled() => {}
            }
        }
    }

    async fn flush(&self, deadline: std::time::Instant) {
        let mut finished = self.finished.subscribe();
        let mut away = self.away.subscribe();
        let _waits = Flush::begin(self);
        let found = away.borrow().found;
        let end = self.state().next;
        self.hurried.send_modify(|count| *count += 1);
        while self.state().pending.first().is_some_and(|oldest| *oldest < end) {
            let now = *away.borrow_and_update();
            // What is queued is sent later; who waits for it here would wait in vain.
            if now.found > found || now.until.is_some_and(|until| until > deadline.into()) {
                return;
            }
            tokio::select! {
                _ = finished.changed() => {}
                _ = away.changed() => {}
                () = sleep_until(deadline.into()) => return,
            }
        }
    }
}
