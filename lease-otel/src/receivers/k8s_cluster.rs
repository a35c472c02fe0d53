//! `k8s_cluster`: the state of a cluster's objects as metrics.

mod catalog;
mod config;
mod emit;
mod informer;
mod kinds;
mod objects;

use std::future::pending;
use std::time::SystemTime;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kube::Client;
use lease_k8s::Access;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use self::config::Config;
use self::emit::Emission;
use self::informer::Informer;
use super::hand_over::Outlet;
use super::kubernetes::{Configured, Reader, otlp};
use crate::component::{Kind, Receiver, ReceiverFactory, Registry};
use crate::config::Fields;
use crate::data::{Signal, Telemetry};

/// The kind `k8s_cluster`.
#[derive(Clone, Copy, Debug, Default)]
pub struct K8sCluster;

impl ReceiverFactory for K8sCluster {
    fn kind(&self) -> Kind {
        Kind {
            name: "k8s_cluster",
            aliases: &[],
            summary: "nodes, pods and workloads of a Kubernetes cluster, one resource for each",
            signals: &[Signal::Metrics],
        }
    }

    fn configure(&self, fields: &mut Fields<'_>, _: &Registry) -> Box<dyn Receiver> {
        Box::new(Configured::<Config>::read(fields))
    }
}

impl Reader for Config {
    const SIGNAL: Signal = Signal::Metrics;

    fn read(fields: &mut Fields<'_>) -> Self {
        Self::of(fields)
    }

    fn access(&self) -> &Access {
        &self.access
    }

    async fn run(self, client: Client, outlet: Outlet) {
        let informer = Informer::new(outlet.id(), &client, &self.namespaces);
        run(self, informer, outlet).await;
    }
}

/// Tells what is known once at the first sync, and then at every interval. Never ends.
async fn run(config: Config, mut informer: Informer, outlet: Outlet) {
    let started = otlp::nanos(SystemTime::now());
    while !informer.is_settled() {
        informer.next().await;
    }
    tracing::debug!(?informer, "the cluster is known");
    let mut ticks = interval_at(Instant::now(), config.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // While a batch waits for room, the watches go on: a server drops those that nobody reads.
    let mut sending: Option<BoxFuture<'_, ()>> = None;
    loop {
        let is_free = sending.is_none();
        tokio::select! {
            () = async { match &mut sending { Some(sending) => sending.await, None => pending().await } } => sending = None,
            _ = ticks.tick(), if is_free => {
                let read = outlet.reading();
                let now = otlp::nanos(SystemTime::now());
                let mut emission = Emission { report: &config.report, started, now, resources: Vec::new() };
                informer.tell(&mut emission);
                sending = Some(read.hand_over(Telemetry::Metrics(emission.resources)).boxed());
            }
            () = informer.next() => {}
        }
    }
}

#[cfg(test)]
mod recorded;
#[cfg(test)]
mod tables;

#[cfg(test)]
mod live;
