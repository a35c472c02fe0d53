//! From a receiver to its pipelines: under the term in which it was read, or not at all.

use std::sync::Arc;

use lease_core::Validity;

use crate::component::{Consumer, Refused, Scope};
use crate::data::{Batch, Signal, Telemetry};

/// Counts what did not reach the pipelines because the term was lost in which it was read.
const DROPPED: &str = "lease_receiver_points_dropped_total";
/// Counts what the pipelines took.
const TAKEN: &str = "lease_receiver_points_total";
/// Counts what the pipelines refused for another reason.
const REFUSED: &str = "lease_receiver_points_refused_total";

/// The right under which something is read. Taken before the read begins.
#[derive(Clone, Debug)]
pub(crate) struct ReadUnder(Option<Validity>);

/// Where the telemetry of a receiver goes.
#[derive(Clone, Debug)]
pub(crate) struct Outlet {
    scope: Scope,
    consumer: Arc<dyn Consumer>,
}

impl Outlet {
    /// None when no pipeline of that signal has the receiver.
    pub(crate) fn new(scope: &Scope, signal: Signal) -> Option<Self> {
        let consumer = Arc::clone(scope.outputs.of(signal)?);
        Some(Self { scope: scope.clone(), consumer })
    }

    /// The right to read now.
    pub(crate) fn reading(&self) -> ReadUnder {
        ReadUnder(self.scope.leadership.as_ref().map(lease_core::Leadership::validity))
    }

    /// Hands over what was read, unless its term is lost. Waits while the pipelines have no room, but not beyond the stop.
    pub(crate) async fn hand_over(&self, telemetry: Telemetry, read: ReadUnder) {
        let points = u64::try_from(telemetry.len()).unwrap_or(u64::MAX);
        if points == 0 {
            return;
        }
        let batch = Batch { telemetry, term: read.0 };
        let outcome = if let Err(lost) = batch.check() {
            Err(Refused::Lost(lost))
        } else {
            tokio::select! {
                biased;
                outcome = self.consumer.consume(batch) => outcome,
                () = self.scope.stop.cancelled() => Err(Refused::Closed),
            }
        };
        let id = &self.scope.id;
        let counter = match &outcome {
            Ok(()) => TAKEN,
            Err(Refused::Lost(_)) => DROPPED,
            Err(_) => REFUSED,
        };
        self.scope.telemetry.add(counter, id, points);
        match outcome {
            Ok(()) => {}
            Err(Refused::Lost(lost)) => {
                tracing::debug!(receiver = %id, points, %lost, "dropped what was read in a lost term");
            }
            Err(Refused::Closed) => tracing::debug!(receiver = %id, points, "dropped at the stop"),
            Err(error) => tracing::warn!(receiver = %id, points, %error, "the pipeline refused what was read"),
        }
    }
}

#[cfg(test)]
mod tests {
    use lease_core::{HolderIdentity, LeaderElection, Leadership};
    use lease_memory::MemoryStore;

    use super::*;
    use crate::receivers::testing::{points, scope};

    async fn term() -> (lease_core::Election, Leadership) {
        let lock = MemoryStore::new().lock("x");
        let election = LeaderElection::new(lock, HolderIdentity::exact("a").unwrap()).start().unwrap();
        let leadership = election.campaign().await.unwrap();
        (election, leadership)
    }

    #[tokio::test]
    async fn what_was_read_in_a_lost_term_is_dropped_and_counted() {
        let (election, leadership) = term().await;
        let (mut scope, mut batches, counts) = scope(Signal::Metrics);
        scope.leadership = Some(leadership);
        let outlet = Outlet::new(&scope, Signal::Metrics).unwrap();
        outlet.hand_over(points(2), outlet.reading()).await;
        assert_eq!(batches.recv().await.unwrap().telemetry.len(), 2);

        let read = outlet.reading();
        // The term ends when nobody holds it any more.
        drop(outlet);
        scope.leadership = None;
        let outlet = Outlet::new(&scope, Signal::Metrics).unwrap();
        election.shutdown().await;
        outlet.hand_over(points(3), read).await;
        assert!(batches.try_recv().is_err());
        assert_eq!((counts.of(TAKEN), counts.of(DROPPED), counts.of(REFUSED)), (2, 3, 0));
    }

    #[tokio::test]
    async fn at_the_stop_nothing_waits_for_room() {
        let (scope, batches, counts) = scope(Signal::Logs);
        scope.stop.cancel();
        drop(batches);
        assert!(Outlet::new(&scope, Signal::Metrics).is_none(), "no pipeline of metrics has it");
        let outlet = Outlet::new(&scope, Signal::Logs).unwrap();
        outlet.hand_over(points(1), outlet.reading()).await;
        assert_eq!((counts.of(TAKEN), counts.of(REFUSED)), (0, 1));
    }
}
