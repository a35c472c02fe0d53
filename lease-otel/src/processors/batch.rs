//! The processor `batch`: many small batches become few large ones.

mod split;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::select_all;
use lease_core::{Lost, Validity};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::component::{Consumer, Kind, Meter, Processor, ProcessorFactory, Refused, Work};
use crate::config::{ComponentId, Fields};
use crate::data::{Batch, Signal, Telemetry, while_held};
use crate::telemetry::names;

/// The kind `batch`.
#[derive(Clone, Copy, Debug, Default)]
pub struct BatchKind;

impl ProcessorFactory for BatchKind {
    fn kind(&self) -> Kind {
        Kind {
            name: "batch",
            aliases: &[],
            summary: "Puts telemetry together into larger batches",
            signals: &Signal::ALL,
        }
    }

    fn configure(&self, fields: &mut Fields<'_>) -> Box<dyn Processor> {
        let mut size = |key, default| {
            let size = fields.count(key, 0, u32::MAX.into()).unwrap_or(default);
            usize::try_from(size).unwrap_or(usize::MAX)
        };
        let settings = Settings {
            send_batch_size: size("send_batch_size", 8192),
            send_batch_max_size: size("send_batch_max_size", 0),
            timeout: fields.duration("timeout").map_or(Duration::from_millis(200), |found| found.value),
        };
        let (most, least) = (settings.send_batch_max_size, settings.send_batch_size);
        if most > 0 && most < least {
            let message = format!("{most} is less than send_batch_size, which is {least}: write 0, or {least} or more");
            fields.error("send_batch_max_size", message);
        }
        let keys = fields.texts("metadata_keys").unwrap_or_default();
        for (index, key) in keys.iter().enumerate() {
            if keys[..index].iter().any(|other| other.value.eq_ignore_ascii_case(&key.value)) {
                let message = format!("`{}` is there twice; case does not count", key.value);
                fields.problems().error(&key.place, key.path.clone(), message);
            }
        }
        fields.accepted(&["metadata_keys", "metadata_cardinality_limit"]);
        Box::new(settings)
    }
}

/// The keys of the section.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Settings {
    /// From this many points, records or spans on a batch is handed on.
    send_batch_size: usize,
    /// No batch that is handed on has more; zero is no bound.
    send_batch_max_size: usize,
    /// By then it is handed on, however small.
    timeout: Duration,
}

impl Settings {
    /// Whether anything is kept back.
    fn waits(&self) -> bool {
        !self.timeout.is_zero() && self.send_batch_size > 0
    }
}

/// What waits to be taken in holds its receiver up.
const INBOX: usize = 4;

impl Processor for Settings {
    fn start(
        &self,
        id: &ComponentId,
        next: Arc<dyn Consumer>,
        stop: CancellationToken,
        telemetry: Arc<dyn Meter>,
    ) -> (Arc<dyn Consumer>, Option<Work>) {
        let (sender, inbox) = mpsc::channel(INBOX);
        let dropped = Dropped { id: id.clone(), telemetry };
        // There from the start, so that a rate shows the first drop.
        dropped.add(0);
        let inlet = Inlet { sender, next: Arc::clone(&next), dropped: dropped.clone() };
        let batcher = Batcher {
            settings: self.clone(),
            next,
            dropped,
            open: Vec::new(),
            passing: 0,
            inbox,
            stop,
            refused: Refusals::default(),
        };
        (Arc::new(inlet), Some(batcher.run().boxed()))
    }
}

#[derive(Debug)]
enum Message {
    Batch(Batch),
    /// Everything that came before is handed on, and then the sender is dropped.
    Flush(oneshot::Sender<()>),
}

/// The consumer in front of the task.
#[derive(Debug)]
struct Inlet {
    sender: mpsc::Sender<Message>,
    next: Arc<dyn Consumer>,
    dropped: Dropped,
}

#[async_trait]
impl Consumer for Inlet {
    async fn consume(&self, batch: Batch) -> Result<(), Refused> {
        let (term, signal, items) = (batch.term.clone(), batch.telemetry.signal(), batch.telemetry.len());
        let send = async { self.sender.send(Message::Batch(batch)).await.map_err(|_| Refused::Closed) };
        let Some(term) = term else { return send.await };
        let outcome = while_held(&term, send).await.and_then(|sent| sent);
        if let Err(Refused::Lost(lost)) = &outcome {
            self.dropped.add(items);
            // Its receiver is told.
            tracing::debug!(processor = %self.dropped.id, %signal, items, %lost, "dropped what was read in a term that is over");
        }
        outcome
    }

    async fn flush(&self, deadline: std::time::Instant) {
        let (done, flushed) = oneshot::channel();
        let hand_on = async {
            if self.sender.send(Message::Flush(done)).await.is_ok() {
                // It is dropped when everything has been handed on, also when the task ends.
                let _ = flushed.await;
            }
        };
        if timeout_at(deadline.into(), hand_on).await.is_ok() {
            // Not by the task, which other receivers wait for meanwhile.
            self.next.flush(deadline).await;
        }
    }
}

/// What is being put together for one term.
#[derive(Debug)]
struct Open {
    term: Option<Validity>,
    telemetry: Telemetry,
    items: usize,
    due: Instant,
}

impl Open {
    fn check(&self) -> Result<(), Lost> {
        self.term.as_ref().map_or(Ok(()), Validity::check)
    }

    /// Batches of different terms are kept apart: one term can be lost while another holds.
    fn is_for(&self, term: Option<&Validity>, signal: Signal) -> bool {
        let same_term = match (&self.term, term) {
            (None, None) => true,
            (Some(a), Some(b)) => a.is_same_term(b),
            _ => false,
        };
        same_term && self.telemetry.signal() == signal
    }
}

#[derive(Debug)]
struct Batcher {
    settings: Settings,
    next: Arc<dyn Consumer>,
    dropped: Dropped,
    open: Vec<Open>,
    /// How many items the next consumer is asked to take now.
    passing: usize,
    inbox: mpsc::Receiver<Message>,
    stop: CancellationToken,
    refused: Refusals,
}

/// What the next consumer has refused since the stop: told once, at the end.
#[derive(Debug, Default)]
struct Refusals {
    batches: usize,
    items: usize,
    /// Why the first was.
    why: Option<Refused>,
}

impl Batcher {
    async fn run(mut self) {
        loop {
            let due = self.open.iter().map(|open| open.due).min();
            let timer = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            let lost = lost(&self.open);
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                () = lost => self.drop_lost(),
                message = self.inbox.recv() => match message {
                    Some(message) => self.take(message).await,
                    None => break,
                },
                () = timer => self.hand_on_due().await,
            }
        }
        self.inbox.close();
        while let Some(message) = self.inbox.recv().await {
            self.take(message).await;
        }
        self.hand_on_all().await;
    }

    async fn take(&mut self, message: Message) {
        match message {
            Message::Batch(batch) => self.add(batch).await,
            Message::Flush(done) => {
                self.hand_on_all().await;
                drop(done);
            }
        }
    }

    async fn add(&mut self, batch: Batch) {
        let (signal, items) = (batch.telemetry.signal(), batch.telemetry.len());
        if items == 0 {
            return;
        }
        let index = if let Some(index) = self.open_for(batch.term.as_ref(), signal) {
            split::append(&mut self.open[index].telemetry, batch.telemetry);
            self.open[index].items += items;
            index
        } else {
            let due = Instant::now() + self.settings.timeout;
            self.open.push(Open { term: batch.term, telemetry: batch.telemetry, items, due });
            self.open.len() - 1
        };
        let threshold = if self.settings.waits() { self.settings.send_batch_size } else { 1 };
        if self.open[index].items < threshold {
            return;
        }
        // None of the others has so many. While it waits it may be dropped, so it is looked for each time.
        while let Some(index) = self.open.iter().position(|open| open.items >= threshold) {
            // For what is left of it.
            self.open[index].due = Instant::now() + self.settings.timeout;
            self.hand_on_some(index).await;
        }
    }

    fn open_for(&self, term: Option<&Validity>, signal: Signal) -> Option<usize> {
        self.open.iter().position(|open| open.is_for(term, signal))
    }

    /// Hands on as much as a batch may have. The rest stays where the end of its term and that of the work find it.
    async fn hand_on_some(&mut self, index: usize) {
        let most = self.settings.send_batch_max_size;
        let open = &mut self.open[index];
        if open.check().is_err() {
            return self.drop_lost();
        }
        let (telemetry, items) = if most > 0 && open.items > most {
            (split::take_first(&mut open.telemetry, most), most)
        } else {
            (split::take_all(&mut open.telemetry), open.items)
        };
        open.items -= items;
        let signal = telemetry.signal();
        let term = open.term.clone();
        if open.items == 0 {
            self.open.remove(index);
        }
        self.passing = items;
        let refused = self.pass_on(Batch { telemetry, term: term.clone() }).await;
        self.passing = 0;
        // Whoever refuses it has counted it; its receiver was told that it was taken, so it is said here.
        let Err(refused) = refused else { return };
        if let Refused::Lost(lost) = refused {
            // The rest goes with it, so that one number is told.
            let rest = self.open_for(term.as_ref(), signal).map_or(0, |index| self.open.remove(index).items);
            self.dropped.add(rest);
            self.dropped.tell(signal, items + rest, lost);
        } else if self.stop.is_cancelled() {
            self.refused.batches += 1;
            self.refused.items += items;
            self.refused.why.get_or_insert(refused);
        } else {
            tracing::warn!(processor = %self.dropped.id, %signal, items, "dropped: {refused}");
        }
    }

    /// Waits until the next consumer has taken it. It may have no room for long; meanwhile nothing is kept of a term that ends.
    async fn pass_on(&mut self, batch: Batch) -> Result<(), Refused> {
        let (term, items) = (batch.term.clone(), batch.telemetry.len());
        let next = Arc::clone(&self.next);
        let mut taken = next.consume(batch);
        loop {
            let own = term.as_ref().map(Validity::ended);
            let own = async {
                match own {
                    Some(own) => own.cancelled().await,
                    None => std::future::pending().await,
                }
            };
            let lost = lost(&self.open);
            tokio::select! {
                biased;
                // First, so that whoever is behind and sees the end too has counted it.
                taken = &mut taken => return taken,
                () = own => if let Err(lost) = term.as_ref().map_or(Ok(()), Validity::check) {
                    self.dropped.add(items);
                    return Err(lost.into());
                },
                () = lost => self.drop_lost(),
            }
        }
    }

    /// Keeps nothing of a lost term back until its time is over.
    fn drop_lost(&mut self) {
        let dropped = &self.dropped;
        self.open.retain(|open| match open.check() {
            Ok(()) => true,
            Err(lost) => {
                dropped.add(open.items);
                dropped.tell(open.telemetry.signal(), open.items, lost);
                false
            }
        });
    }

    async fn hand_on_due(&mut self) {
        let now = Instant::now();
        while let Some(index) = self.open.iter().position(|open| open.due <= now) {
            self.hand_on_some(index).await;
        }
    }

    async fn hand_on_all(&mut self) {
        while !self.open.is_empty() {
            self.hand_on_some(0).await;
        }
    }
}

/// The end, which may come before everything was handed on: what is left is counted, and all that was dropped is told.
impl Drop for Batcher {
    fn drop(&mut self) {
        let id = &self.dropped.id;
        if let Refusals { batches, items, why: Some(why) } = &self.refused {
            tracing::error!(processor = %id, batches, items, "dropped: the collector stops, and {why}");
        }
        self.inbox.close();
        let waiting = std::iter::from_fn(|| self.inbox.try_recv().ok()).map(|message| match message {
            Message::Batch(batch) => batch.telemetry.len(),
            Message::Flush(_) => 0,
        });
        let open = self.open.iter().map(|open| open.items);
        let items = waiting.chain(open).sum::<usize>() + self.passing;
        if items > 0 {
            self.dropped.add(items);
            tracing::error!(processor = %id, items, "dropped: it was cut short before they could be handed on");
        }
    }
}

/// Waits until one of these terms is over.
fn lost(open: &[Open]) -> impl Future<Output = ()> + use<> {
    let terms: Vec<_> = open.iter().filter_map(|open| open.term.as_ref()).map(Validity::ended).collect();
    async move {
        if terms.is_empty() {
            return std::future::pending().await;
        }
        select_all(terms.iter().map(|ended| Box::pin(ended.cancelled()))).await;
    }
}

/// Counts and tells what was read in a term that was over before it could be handed on.
#[derive(Clone, Debug)]
struct Dropped {
    id: ComponentId,
    telemetry: Arc<dyn Meter>,
}

impl Dropped {
    fn add(&self, items: usize) {
        self.telemetry.add(names::DROPPED, &self.id, u64::try_from(items).unwrap_or(u64::MAX));
    }

    /// For what its receiver was told was taken.
    fn tell(&self, signal: Signal, items: usize, lost: Lost) {
        tracing::warn!(processor = %self.id, %signal, items, "dropped: {lost}");
    }
}
