//! From a receiver to its pipelines: under the term in which it was read, or not at all.

use std::sync::Arc;

use futures_util::FutureExt;
use lease_core::{Leadership, Validity};

use crate::component::{Consumer, Refused, Scope, Work};
use crate::data::{Batch, Signal, Telemetry};

/// Counts what was read and did not reach all pipelines: its term was lost, or the receiver was stopped before that.
const DROPPED: &str = "lease_receiver_points_dropped_total";
/// Counts what all pipelines took.
const TAKEN: &str = "lease_receiver_points_total";
/// Counts what a pipeline refused for another reason.
const REFUSED: &str = "lease_receiver_points_refused_total";

/// Where the telemetry of a receiver goes.
#[derive(Clone, Debug)]
pub(crate) struct Outlet {
    scope: Scope,
    term: Option<Validity>,
    consumer: Arc<dyn Consumer>,
}

/// A read that is under way, and the right under which it began. What it holds when it is dropped counts as dropped.
#[derive(Debug)]
pub(crate) struct Reading<'a> {
    outlet: &'a Outlet,
    term: Option<Validity>,
    points: usize,
}

/// The work that `run` makes of the outlet, until the receiver is to stop. Without a pipeline of that signal nothing is
/// read, and the work waits for the stop: if it ended by itself its elector would step down.
pub(crate) fn until_stopped<F>(scope: Scope, signal: Signal, run: impl FnOnce(Outlet) -> F + Send + 'static) -> Work
where
    F: Future<Output = ()> + Send + 'static,
{
    async move {
        let stop = scope.stop.clone();
        let Some(outlet) = Outlet::new(scope, signal) else { return stop.cancelled().await };
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = run(outlet) => {}
        }
    }
    .boxed()
}

impl Outlet {
    /// None when no pipeline of that signal has the receiver.
    pub(crate) fn new(scope: Scope, signal: Signal) -> Option<Self> {
        let consumer = Arc::clone(scope.outputs.of(signal)?);
        for counter in [DROPPED, REFUSED] {
            // There from the start, so that a rate shows the first.
            scope.telemetry.add(counter, &scope.id, 0);
        }
        let term = scope.leadership.as_ref().map(Leadership::validity);
        Some(Self { scope, term, consumer })
    }

    /// The same without a share in the leadership: what is still to be handed over does not keep the term.
    pub(crate) fn without_hold(mut self) -> Self {
        self.scope.leadership = None;
        self
    }

    /// The name of the receiver in the configuration.
    pub(crate) fn id(&self) -> &crate::config::ComponentId {
        &self.scope.id
    }

    /// Begins a read, before the first request of it is sent.
    pub(crate) fn reading(&self) -> Reading<'_> {
        Reading { outlet: self, term: self.term.clone(), points: 0 }
    }
}

impl Reading<'_> {
    /// So many points have been read so far.
    pub(crate) fn holds(&mut self, points: usize) {
        self.points = points;
    }

    /// Hands over what was read, unless its term is lost. Waits while the pipelines have no room.
    pub(crate) async fn hand_over(mut self, telemetry: Telemetry) {
        self.points = telemetry.len();
        if self.points == 0 {
            return;
        }
        let batch = Batch { telemetry, term: self.term.take() };
        let outcome = match batch.check() {
            Ok(()) => self.outlet.consumer.consume(batch).await,
            Err(lost) => Err(Refused::Lost(lost)),
        };
        let id = &self.outlet.scope.id;
        let points = std::mem::take(&mut self.points);
        let counter = match &outcome {
            Ok(()) => TAKEN,
            Err(Refused::Lost(_)) => DROPPED,
            Err(_) => REFUSED,
        };
        self.outlet.count(counter, points);
        match outcome {
            Ok(()) => {}
            Err(Refused::Lost(lost)) => {
                tracing::debug!(receiver = %id, points, %lost, "dropped what was read in a lost term");
            }
            Err(Refused::Closed) => tracing::debug!(receiver = %id, points, "the pipeline has been shut down"),
            Err(error) => tracing::warn!(receiver = %id, points, %error, "the pipeline refused what was read"),
        }
    }
}

impl Outlet {
    fn count(&self, counter: &'static str, points: usize) {
        self.scope.telemetry.add(counter, &self.scope.id, u64::try_from(points).unwrap_or(u64::MAX));
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        if self.points > 0 {
            tracing::debug!(receiver = %self.outlet.scope.id, points = self.points, "dropped at the stop");
            self.outlet.count(DROPPED, self.points);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;
    use lease_core::Reason;
    use lease_core::testing::grant;

    use super::*;
    use crate::component::{Meter, Outputs};
    use crate::receivers::testing::{Crowded, points, scope};
    use crate::telemetry::Telemetry;

    #[tokio::test]
    async fn what_was_read_in_a_lost_term_is_dropped_and_counted() {
        let (leadership, control) = grant(None);
        let (mut scope, mut batches, counts) = scope(Signal::Metrics);
        scope.leadership = Some(leadership);
        let outlet = Outlet::new(scope, Signal::Metrics).unwrap();
        outlet.reading().hand_over(points(2)).await;
        assert_eq!(batches.recv().await.unwrap().telemetry.len(), 2);
        let read = outlet.reading();
        control.lose(Reason::TakenOver);
        read.hand_over(points(3)).await;
        assert!(batches.try_recv().is_err());
        assert_eq!((counts.of(TAKEN), counts.of(DROPPED), counts.of(REFUSED)), (2, 3, 0));
    }

    #[tokio::test]
    async fn an_outlet_without_a_hold_does_not_keep_the_term() {
        let (leadership, control) = grant(None);
        let (mut scope, _batches, counts) = scope(Signal::Metrics);
        scope.leadership = Some(leadership);
        let outlet = Outlet::new(scope, Signal::Metrics).unwrap();
        control.drain(Reason::Shutdown);
        outlet.reading().hand_over(points(2)).await;
        let outlet = outlet.without_hold();
        outlet.reading().hand_over(points(3)).await;
        assert_eq!((counts.of(TAKEN), counts.of(DROPPED), counts.of(REFUSED)), (2, 3, 0));
    }

    #[tokio::test]
    async fn at_the_stop_nothing_waits_for_room_and_what_was_read_counts_as_dropped() {
        let (mut scope, _batches, counts) = scope(Signal::Logs);
        let crowded = Arc::new(Crowded::default());
        scope.outputs = Outputs(vec![(Signal::Logs, Arc::clone(&crowded) as Arc<dyn Consumer>)]);
        let stop = scope.stop.clone();
        let work = tokio::spawn(until_stopped(scope, Signal::Logs, async |outlet| {
            outlet.reading().hand_over(points(4)).await;
        }));
        crowded.0.notified().await;
        stop.cancel();
        let ended = tokio::time::timeout(std::time::Duration::from_secs(10), work).await;
        ended.expect("it does not wait for room").unwrap();
        assert_eq!((counts.of(TAKEN), counts.of(DROPPED), counts.of(REFUSED)), (0, 4, 0));
    }

    #[tokio::test]
    async fn what_is_read_when_the_stop_comes_counts_as_dropped() {
        let (scope, _batches, counts) = scope(Signal::Metrics);
        let stop = scope.stop.clone();
        let mut work = until_stopped(scope, Signal::Metrics, async |outlet| {
            let mut read = outlet.reading();
            read.holds(3);
            std::future::pending::<()>().await;
        });
        assert!(poll!(&mut work).is_pending());
        stop.cancel();
        work.await;
        assert_eq!(counts.of(DROPPED), 3);
    }

    #[tokio::test]
    async fn what_a_closed_pipeline_does_not_take_counts_as_refused() {
        let (scope, batches, counts) = scope(Signal::Logs);
        drop(batches);
        let outlet = Outlet::new(scope, Signal::Logs).unwrap();
        outlet.reading().hand_over(points(1)).await;
        assert_eq!((counts.of(TAKEN), counts.of(DROPPED), counts.of(REFUSED)), (0, 0, 1));
    }

    #[tokio::test]
    async fn what_may_be_lost_is_there_from_the_start_as_0() {
        let (mut scope, ..) = scope(Signal::Logs);
        let telemetry = Arc::new(Telemetry::new());
        scope.telemetry = Arc::clone(&telemetry) as Arc<dyn Meter>;
        let _outlet = Outlet::new(scope, Signal::Logs).unwrap();
        let text = telemetry.text();
        for counter in [DROPPED, REFUSED] {
            assert!(text.contains(&format!("{counter}{{component=\"x\"}} 0\n")), "{text}");
        }
    }

    #[tokio::test]
    async fn without_a_pipeline_nothing_is_read_and_the_stop_is_waited_for() {
        let (scope, ..) = scope(Signal::Logs);
        let stop = scope.stop.clone();
        let mut work = until_stopped(scope, Signal::Metrics, async |_| panic!("nothing is to be read"));
        assert!(poll!(&mut work).is_pending());
        stop.cancel();
        work.await;
    }
}
