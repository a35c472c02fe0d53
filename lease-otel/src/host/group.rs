//! The receivers of one elector, which run while it leads; or those that have none, which always run.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use lease_core::Leadership;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::HostError;
use super::seat::{Seat, Stint};
use crate::component::{Consumer, Work};
use crate::config::ComponentId;
use crate::elector::Candidacy;
use crate::errors::with_causes;

/// Receivers that start and stop together, in their order.
#[derive(Debug)]
pub(super) struct Group {
    seats: Vec<Arc<Seat>>,
    /// What they are called.
    members: Arc<[ComponentId]>,
    candidacy: Option<Candidacy>,
    /// Everything that they feed, to be flushed when they have stopped.
    sinks: Vec<Arc<dyn Consumer>>,
    /// Cancelled when nothing is waited for any more.
    hasten: CancellationToken,
    current: Mutex<Option<Current>>,
}

/// What runs now.
#[derive(Debug)]
struct Current {
    stint: Stint,
    tasks: JoinSet<()>,
    /// Those that keep to the fence by themselves, and are never dropped.
    guarded: JoinSet<()>,
}

impl Group {
    pub(super) fn new(seats: Vec<Arc<Seat>>, candidacy: Option<Candidacy>, hasten: CancellationToken) -> Arc<Self> {
        let mut sinks: Vec<Arc<dyn Consumer>> = Vec::new();
        for (_, sink) in seats.iter().flat_map(|seat| &seat.outputs.0) {
            if !sinks.iter().any(|known| Arc::ptr_eq(known, sink)) {
                sinks.push(Arc::clone(sink));
            }
        }
        let members = seats.iter().map(|seat| seat.id.clone()).collect();
        Arc::new(Self { seats, members, candidacy, sinks, hasten, current: Mutex::new(None) })
    }

    /// A term begins. A receiver that does not start ends it for all: its elector is told to let another replica try.
    pub(super) async fn lead(&self, leadership: Leadership) {
        let stop = leadership.draining().child_token();
        let stint = self.stint(Some(leadership), stop);
        if let Err((seat, error)) = self.start(stint.clone()).await {
            stint.step_down(&seat, &format!("it did not start: {}", with_causes(&*error)));
        }
    }

    /// The collector begins. A receiver that does not start keeps it from that.
    pub(super) async fn run(&self, stop: CancellationToken) -> Result<(), HostError> {
        self.start(self.stint(None, stop)).await.map_err(|(seat, source)| HostError {
            what: "receiver",
            id: seat.id.clone(),
            source,
        })
    }

    fn stint(&self, leadership: Option<Leadership>, stop: CancellationToken) -> Stint {
        Stint { leadership, candidacy: self.candidacy.clone(), members: Arc::clone(&self.members), stop }
    }

    async fn start(&self, stint: Stint) -> Result<(), (Arc<Seat>, crate::component::StartError)> {
        let current = Current { stint: stint.clone(), tasks: JoinSet::new(), guarded: JoinSet::new() };
        let before = self.replace(Some(current));
        debug_assert!(before.is_none(), "a term begins when the last one has stopped");
        for seat in &self.seats {
            match seat.start(&stint).await {
                Ok(Some(work)) => self.spawn(seat, work, &stint),
                Ok(None) => return Ok(()),
                Err(error) => return Err((Arc::clone(seat), error)),
            }
        }
        Ok(())
    }

    fn spawn(&self, seat: &Arc<Seat>, work: Work, stint: &Stint) {
        if let Some(current) = &mut *self.current.lock().unwrap_or_else(PoisonError::into_inner) {
            let tasks = if seat.receiver.keeps_to_the_fence() { &mut current.guarded } else { &mut current.tasks };
            tasks.spawn(Arc::clone(seat).run(work, stint.clone()));
        }
    }

    fn replace(&self, current: Option<Current>) -> Option<Current> {
        std::mem::replace(&mut *self.current.lock().unwrap_or_else(PoisonError::into_inner), current)
    }

    /// Stops all receivers and waits for them. When that is not because the term was lost, what they have read is handed
    /// to the exporters. Only then the leadership is let go.
    pub(super) async fn stop(&self) {
        let Some(mut current) = self.replace(None) else { return };
        current.stint.stop.cancel();
        current.join(&self.hasten).await;
        let lost = current.lost();
        tokio::select! {
            biased;
            () = lost => {}
            () = self.hasten.cancelled() => {}
            () = flush(&self.sinks, FLUSH_MAX) => {}
        }
    }
}

/// Hands on what is kept back, within this time.
pub(super) async fn flush(sinks: &[Arc<dyn Consumer>], within: Duration) {
    let deadline = Instant::now() + within;
    let all = join_all(sinks.iter().map(|sink| sink.flush(deadline)));
    // Each is to keep to the deadline by itself.
    if tokio::time::timeout(within + FLUSH_GRACE, all).await.is_err() {
        tracing::warn!("what was read has not been sent in time");
    }
}

impl Current {
    /// Waits until the term is lost.
    fn lost(&self) -> impl Future<Output = ()> + use<> {
        let ended = self.stint.leadership.as_ref().map(Leadership::ended);
        async move {
            match ended {
                Some(ended) => ended.cancelled().await,
                None => std::future::pending().await,
            }
        }
    }

    async fn join(&mut self, hasten: &CancellationToken) {
        let lost = self.lost();
        let late = async {
            tokio::select! {
                () = async { lost.await; sleep(LOSS_GRACE).await } => {}
                () = sleep(STOP_MAX) => {}
                () = hasten.cancelled() => {}
            }
        };
        tokio::select! {
            biased;
            () = join_all_of(&mut self.tasks) => {}
            () = late => {
                tracing::warn!(count = self.tasks.len(), "receivers did not stop in time, and are dropped");
                self.tasks.abort_all();
                join_all_of(&mut self.tasks).await;
            }
        }
        tokio::select! {
            biased;
            () = join_all_of(&mut self.guarded) => {}
            // They kill what they guard then, and keep the leadership until that is done.
            () = hasten.cancelled() => self.guarded.shutdown().await,
        }
    }
}

pub(super) async fn join_all_of(tasks: &mut JoinSet<()>) {
    while let Some(joined) = tasks.join_next().await {
        // What receivers do is caught before it gets here.
        if let Err(error) = joined.as_ref()
            && error.is_panic()
        {
            tracing::error!(%error, "a task panicked");
        }
    }
}

/// How long after a loss a receiver may take to stop by itself. Half of what a loss may take in all.
const LOSS_GRACE: Duration = Duration::from_millis(50);
/// How long it may take otherwise, while the lease is renewed: a scrape that is under way may end.
const STOP_MAX: Duration = Duration::from_secs(10);
/// How long the next replica waits for what this one has read to be sent. Exporters go on for longer with what they have.
const FLUSH_MAX: Duration = Duration::from_secs(2);
const FLUSH_GRACE: Duration = Duration::from_millis(100);
