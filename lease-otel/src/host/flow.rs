//! What stands between components: the term that a receiver's telemetry is given, the fork where it goes several ways, and
//! the guard in front of an exporter.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use futures_util::future::join_all;
use lease_core::Validity;

use crate::component::{Consumer, Meter, Outputs, Refused};
use crate::config::ComponentId;
use crate::data::{Batch, while_held};
use crate::telemetry::names;

/// In front of an exporter: what was read in a term that is lost meanwhile does not get through, and is counted.
#[derive(Debug)]
pub(super) struct TermGuard {
    id: ComponentId,
    next: Arc<dyn Consumer>,
    telemetry: Arc<dyn Meter>,
}

impl TermGuard {
    pub(super) fn new(id: ComponentId, next: Arc<dyn Consumer>, telemetry: Arc<dyn Meter>) -> Self {
        // There from the start, so that a rate shows the first drop.
        telemetry.add(names::DROPPED, &id, 0);
        Self { id, next, telemetry }
    }
}

#[async_trait]
impl Consumer for TermGuard {
    async fn consume(&self, batch: Batch) -> Result<(), Refused> {
        let Some(term) = batch.term.clone() else { return self.next.consume(batch).await };
        let points = u64::try_from(batch.telemetry.len()).unwrap_or(u64::MAX);
        // An exporter without room may keep it waiting for longer than the term lasts.
        let taken = while_held(&term, self.next.consume(batch)).await.and_then(|taken| taken);
        if let Err(Refused::Lost(lost)) = &taken {
            self.telemetry.add(names::DROPPED, &self.id, points);
            tracing::debug!(exporter = %self.id, points, %lost, "dropped what was read in a lost term");
        }
        taken
    }

    async fn flush(&self, deadline: Instant) {
        self.next.flush(deadline).await;
    }
}

/// The outputs of a receiver in this term: what it hands on is of the term, also where the receiver has not said so.
pub(super) fn of_term(outputs: &Outputs, term: &Validity) -> Outputs {
    let stamped = |next: &Arc<dyn Consumer>| -> Arc<dyn Consumer> {
        Arc::new(OfTerm { term: term.clone(), next: Arc::clone(next) })
    };
    Outputs(outputs.0.iter().map(|(signal, consumer)| (*signal, stamped(consumer))).collect())
}

#[derive(Debug)]
struct OfTerm {
    term: Validity,
    next: Arc<dyn Consumer>,
}

#[async_trait]
impl Consumer for OfTerm {
    async fn consume(&self, batch: Batch) -> Result<(), Refused> {
        let term = batch.term.or_else(|| Some(self.term.clone()));
        self.next.consume(Batch { term, ..batch }).await
    }

    async fn flush(&self, deadline: Instant) {
        self.next.flush(deadline).await;
    }
}

/// Hands each batch to several consumers, which do not wait for each other.
#[derive(Debug)]
struct Fork(Vec<Arc<dyn Consumer>>);

/// One consumer that is all of these.
pub(super) fn fork(mut consumers: Vec<Arc<dyn Consumer>>) -> Arc<dyn Consumer> {
    match consumers.pop() {
        Some(only) if consumers.is_empty() => only,
        last => {
            consumers.extend(last);
            Arc::new(Fork(consumers))
        }
    }
}

#[async_trait]
impl Consumer for Fork {
    /// The first refusal, when one of them refuses; the others have it then. Who refuses counts for itself alone, and the
    /// receiver, which learns of one outcome, counts what did not get everywhere.
    async fn consume(&self, batch: Batch) -> Result<(), Refused> {
        let Some((last, others)) = self.0.split_last() else { return Ok(()) };
        let copies: Vec<Batch> = others.iter().map(|_| batch.clone()).collect();
        let others = others.iter().zip(copies).map(|(consumer, copy)| consumer.consume(copy));
        let taken = join_all(others.chain(std::iter::once(last.consume(batch)))).await;
        taken.into_iter().collect()
    }

    async fn flush(&self, deadline: Instant) {
        join_all(self.0.iter().map(|consumer| consumer.flush(deadline))).await;
    }
}
