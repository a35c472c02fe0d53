//! The host: it builds the pipelines of a configured collector, and starts and stops everything in the right order.
//!
//! **Start**: extensions, exporters, processors, receivers. A receiver that names an elector is not started but registered
//! with it, and runs in its terms. Then every extension is told that the pipelines are ready; electors contend from then
//! on, unless their `start_when` says otherwise.
//!
//! **Term**: the receivers of an elector are started in their order, each as a fresh instance with the leadership of the
//! term. When it drains they are stopped and joined, and what they have read is handed to the exporters; then the lease is
//! released. When it is lost they are stopped, and dropped 50 ms later where they have not stopped; what they have read and
//! no exporter has taken over yet is dropped and counted.
//!
//! **Trouble**: a receiver that does not start makes its elector step down, so that another replica may try; this one
//! contends again after a while that grows from time to time. A receiver that ends by itself or panics is started again in
//! the same term, after a pause that grows; when that does not help, its elector steps down. Other electors and their
//! receivers are not touched by any of it.
//!
//! **Shutdown**: extensions are told; electors drain and release; receivers without elector stop; pipelines are flushed;
//! processors stop, then exporters, then the other extensions.

mod flow;
mod group;
mod own;
mod seat;
mod start;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join, join_all};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use self::group::{Group, flush, join_all_of};
use crate::component::{Consumer, RunningExtension, StartError};
use crate::config::{Collector, ComponentId};
use crate::http::Server;
use crate::telemetry::Telemetry;

/// A collector that runs.
///
/// Dropping it stops everything without order, and releases no lease before its work is gone.
#[derive(Debug)]
pub struct Host {
    /// In the order in which they were started.
    extensions: Vec<(ComponentId, Box<dyn RunningExtension>)>,
    /// The receivers without elector.
    always: Option<Arc<Group>>,
    always_stop: CancellationToken,
    /// Where telemetry enters the pipelines.
    entries: Vec<Arc<dyn Consumer>>,
    processors: Tasks,
    exporters: Tasks,
    metrics: Option<Server>,
    /// Who sends the own metrics.
    own: Tasks,
    hasten: CancellationToken,
}

/// Tasks of components that stop together.
#[derive(Debug, Default)]
struct Tasks {
    stop: CancellationToken,
    running: JoinSet<()>,
}

/// A component did not start. What had started before it has been stopped again.
#[derive(Debug, thiserror::Error)]
#[error("{what} {id} did not start")]
pub struct HostError {
    what: &'static str,
    id: ComponentId,
    #[source]
    source: StartError,
}

/// What became of a start that could be called off.
#[derive(Debug)]
pub enum Started<T> {
    /// The collector runs.
    Running(Host),
    /// It was called off, and why. What had started by then runs until it is [shut down](Host::shutdown).
    CalledOff(T, Host),
}

/// How a shutdown went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Everything has stopped, and what was held has been released.
    InOrder,
    /// Everything has stopped, but it was hastened: what was not done by then has been dropped.
    CutShort,
    /// Not in time: something may still run, and its lease is left to expire.
    Hung,
}

impl Host {
    /// Starts the collector. Its own metrics go to `telemetry`.
    ///
    /// Must be called within a tokio runtime, whose time and IO are turned on.
    pub async fn start(collector: Collector, telemetry: Arc<Telemetry>) -> Result<Self, HostError> {
        let never = std::future::pending::<std::convert::Infallible>();
        match Self::start_unless(collector, telemetry, never).await? {
            Started::Running(host) => Ok(host),
            Started::CalledOff(never, _) => match never {},
        }
    }

    /// Starts the collector, unless it is called off before it has. When a component does not start, what had started is
    /// stopped again in order, within the time that its receivers may take; being called off hastens that.
    ///
    /// Must be called within a tokio runtime, whose time and IO are turned on.
    pub async fn start_unless<T>(
        collector: Collector,
        telemetry: Arc<Telemetry>,
        called_off: impl Future<Output = T>,
    ) -> Result<Started<T>, HostError> {
        let mut host = Self {
            extensions: Vec::new(),
            always: None,
            always_stop: CancellationToken::new(),
            entries: Vec::new(),
            processors: Tasks::default(),
            exporters: Tasks::default(),
            metrics: None,
            own: Tasks::default(),
            hasten: CancellationToken::new(),
        };
        let stop_timeout = FAILED_START_MAX.saturating_add(collector.stop_timeout().unwrap_or_default());
        let mut called_off = pin!(called_off);
        let outcome = tokio::select! {
            biased;
            why = &mut called_off => return Ok(Started::CalledOff(why, host)),
            outcome = host.bring_up(collector, &telemetry) => outcome.and_then(|()| host.ready()),
        };
        let Err(error) = outcome else { return Ok(Started::Running(host)) };
        let hasten = host.hasten();
        let mut shutdown = pin!(host.shutdown(stop_timeout));
        tokio::select! {
            biased;
            _ = &mut shutdown => {}
            _ = called_off => {
                hasten.cancel();
                shutdown.await;
            }
        }
        Err(error)
    }

    /// Tells every extension that data can flow, up to the first that cannot go on.
    fn ready(&self) -> Result<(), HostError> {
        self.extensions.iter().try_for_each(|(id, extension)| {
            extension.ready().map_err(|source| HostError { what: "extension", id: id.clone(), source })
        })
    }

    /// Where the collector's own metrics are served, where the configuration asks for it.
    pub fn metrics_address(&self) -> Option<std::net::SocketAddr> {
        self.metrics.as_ref().map(Server::address)
    }

    /// Cancel it, and a shutdown waits for nothing but for processes to die.
    pub fn hasten(&self) -> CancellationToken {
        self.hasten.clone()
    }

    /// Stops everything in order. At the deadline, or when [`hasten`](Self::hasten) is cancelled, what is not done by then is
    /// dropped; and a second later this returns in any case.
    pub async fn shutdown(self, within: Duration) -> Stopped {
        let (hasten, hastened) = (self.hasten.clone(), self.hasten.clone());
        let late = async {
            if timeout(within, hasten.cancelled()).await.is_err() {
                tracing::warn!(?within, "the shutdown takes too long, and is hastened");
                hasten.cancel();
            }
            tokio::time::sleep(LAST_CALL).await;
        };
        tokio::select! {
            biased;
            () = self.stop() => if hastened.is_cancelled() { Stopped::CutShort } else { Stopped::InOrder },
            () = late => {
                tracing::error!("something does not stop; leases that it needs are left to expire");
                Stopped::Hung
            }
        }
    }

    async fn stop(mut self) {
        for (_, extension) in &self.extensions {
            extension.not_ready();
        }
        let (electors, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.extensions).into_iter().partition(|(_, extension)| extension.elector().is_some());
        self.always_stop.cancel();
        let always = async {
            if let Some(group) = &self.always {
                group.stop().await;
            }
        };
        join(join_all(electors.into_iter().map(|(_, elector)| elector.shutdown())), always).await;
        let deadline = Instant::now() + FLUSH_MAX;
        tokio::select! {
            biased;
            () = self.hasten.cancelled() => {}
            () = flush(&self.entries, FLUSH_MAX) => {}
        }
        tokio::select! {
            biased;
            () = self.processors.stop(&self.hasten) => {}
            // What a full queue holds up is counted and let go by its exporter, once that stops.
            () = sleep_until(deadline.max(Instant::now() + PROCESSORS_MIN)) => {
                self.exporters.stop.cancel();
                self.processors.stop(&self.hasten).await;
            }
        }
        self.exporters.stop(&self.hasten).await;
        for (_, extension) in others.into_iter().rev() {
            extension.shutdown().await;
        }
        // They tell of all that has happened until now.
        self.own.stop(&self.hasten).await;
        if let Some(metrics) = self.metrics {
            metrics.shutdown().await;
        }
    }
}

impl Tasks {
    async fn stop(&mut self, hasten: &CancellationToken) {
        self.stop.cancel();
        tokio::select! {
            biased;
            () = join_all_of(&mut self.running) => {}
            () = hasten.cancelled() => self.running.shutdown().await,
        }
    }
}

/// How long what had started may take to stop when something else did not start, beyond what its receivers may take.
const FAILED_START_MAX: Duration = Duration::from_secs(5);
/// From when nothing is waited for to when even that is given up.
const LAST_CALL: Duration = Duration::from_secs(1);
/// How long the pipelines may take to hand on what they keep back, once all receivers have stopped.
const FLUSH_MAX: Duration = Duration::from_secs(5);
/// How long the processors may take to end, however long the flush has taken, before the exporters stop too.
const PROCESSORS_MIN: Duration = Duration::from_millis(500);
