//! `k8sobjects`: any objects of a cluster as log records, read at intervals or as they change.

mod config;
mod tell;

use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use kube::Client;
use kube::runtime::watcher::DefaultBackoff;
use lease_k8s::Access;
use tokio::time::sleep;

pub(super) use self::config::Config;
use self::config::{ErrorMode, Mode, Object};
use super::hand_over::Outlet;
use super::kubernetes::discovery::{NotFound, Served};
use super::kubernetes::follow::{Follow, typed};
use super::kubernetes::rest::{Resource, Selectors};
use super::kubernetes::rounds::Rounds;
use super::kubernetes::seen::Seen;
use super::kubernetes::trouble::Trouble;
use super::kubernetes::{Configured, Reader, otlp, places, with_causes};
use crate::component::{Kind, Receiver, ReceiverFactory, Registry};
use crate::config::Fields;
use crate::data::{Signal, Telemetry};

/// The kind `k8sobjects`.
#[derive(Clone, Copy, Debug, Default)]
pub struct K8sObjects;

impl ReceiverFactory for K8sObjects {
    fn kind(&self) -> Kind {
        Kind {
            name: "k8sobjects",
            aliases: &["k8s_objects"],
            summary: "any Kubernetes objects, at intervals or as they change",
            signals: &[Signal::Logs],
        }
    }

    fn configure(&self, fields: &mut Fields<'_>, _: &Registry) -> Box<dyn Receiver> {
        Box::new(Configured::<Config>::read(fields))
    }
}

impl Reader for Config {
    const SIGNAL: Signal = Signal::Logs;

    fn read(fields: &mut Fields<'_>) -> Self {
        Self::of(fields)
    }

    fn access(&self) -> &Access {
        &self.access
    }

    async fn run(mut self, client: Client, outlet: Outlet) {
        let wanted = std::mem::take(&mut self.objects);
        if let Err(error) = run(&self, wanted, &client, &outlet).await {
            tracing::error!(receiver = %outlet.id(), "{error}");
        }
    }
}

/// What is read, and what reads it.
type Readings<'a> = FuturesUnordered<BoxFuture<'a, ()>>;

/// Finds what is wanted, and reads each from then on. Ends only when something is wanted that the server does not have.
async fn run(config: &Config, mut wanted: Vec<Object>, client: &Client, outlet: &Outlet) -> Result<(), String> {
    let mut readings = Readings::new();
    let mut backoff = DefaultBackoff::default();
    let mut said = None;
    while !wanted.is_empty() {
        let unclear = match meanwhile(&mut readings, Served::ask(client)).await {
            Ok(served) => {
                let mut unclear = None;
                let mut left = Vec::new();
                for object in wanted {
                    match served.find(&object.name, object.group.as_deref()) {
                        Ok(place) => readings.extend(read(&object, &place, client, outlet)),
                        Err(NotFound::Absent(why)) => config.error_mode.absent(why, outlet)?,
                        Err(NotFound::Unclear(why)) => {
                            unclear = Some(why);
                            left.push(object);
                        }
                    }
                }
                wanted = left;
                unclear
            }
            Err(error) => Some(format!("the server does not tell which resources it has: {}", with_causes(&error))),
        };
        let Some(why) = unclear else { break };
        if said.as_ref() != Some(&why) {
            tracing::warn!(receiver = %outlet.id(), "{why}; it is asked again");
            said = Some(why);
        }
        meanwhile(&mut readings, sleep(backoff.next().unwrap_or(PAUSE_MAX))).await;
    }
    if readings.is_empty() {
        return Err("none of the objects that are to be read is on the server".to_owned());
    }
    // None of them ever ends.
    while readings.next().await.is_some() {}
    Ok(())
}

/// Does something while everything that is read already goes on.
async fn meanwhile<T>(readings: &mut Readings<'_>, done: impl Future<Output = T>) -> T {
    let on_and_on = async {
        while readings.next().await.is_some() {}
        std::future::pending().await
    };
    tokio::select! {
        done = done => done,
        never = on_and_on => never,
    }
}

impl ErrorMode {
    /// The server does not have a resource.
    fn absent(self, why: String, outlet: &Outlet) -> Result<(), String> {
        match self {
            Self::Propagate => return Err(why),
            Self::Ignore => tracing::info!(receiver = %outlet.id(), "{why}"),
            Self::Silent => {}
        }
        Ok(())
    }
}

/// What reads an object at its place: one for each namespace.
fn read<'a>(
    object: &Object,
    (group, version): &(String, String),
    client: &'a Client,
    outlet: &'a Outlet,
) -> Vec<BoxFuture<'a, ()>> {
    let at =
        |namespace| Resource { group: group.clone(), version: version.clone(), plural: object.name.clone(), namespace };
    let read = |resource| {
        let Object { selectors, mode, .. } = object.clone();
        match mode {
            Mode::Pull { interval, version } => pull(client, resource, selectors, (interval, version), outlet).boxed(),
            Mode::Watch { begin, excluded } => {
                let follow = Follow::new(outlet.id().clone(), client.clone(), resource, selectors, begin);
                watch(follow, excluded, outlet).boxed()
            }
        }
    };
    places(&object.namespaces).map(at).map(read).collect()
}

/// Reads everything at once and then at every interval; what cannot be read, again after a pause. Never ends.
async fn pull(
    client: &Client,
    resource: Resource,
    selectors: Selectors,
    (interval, version): (Duration, Option<String>),
    outlet: &Outlet,
) {
    let mut said: Option<Trouble> = None;
    let mut rounds = Rounds::new(interval);
    let mut seen = Seen::default();
    loop {
        let mut trouble = None;
        let mut pages = resource.pages(client, &selectors, version.as_deref());
        let mut read = outlet.reading();
        while let Some(page) = pages.next().await {
            match page {
                Ok(page) => {
                    // What a read that broke off has handed over is not handed over again in the same round.
                    let items = page.items.into_iter().filter(|item| seen.change(item).is_some());
                    let items = items.map(|item| typed(item, &page.api_version, &page.kind));
                    let told = tell::pulled(&resource.plural, items, otlp::nanos(SystemTime::now()));
                    read.hand_over(Telemetry::Logs(told)).await;
                    read = outlet.reading();
                }
                Err(error) => {
                    trouble = Some(Trouble::of(&error, "list"));
                    break;
                }
            }
        }
        if let Some(trouble) = trouble.as_ref().filter(|trouble| said.as_ref() != Some(trouble)) {
            tracing::warn!(receiver = %outlet.id(), "{}", trouble.about_list(&resource.target()));
        }
        said = trouble;
        if said.is_none() {
            // Not kept until the next round: it is as long as the list.
            seen = Seen::default();
        }
        if rounds.wait(said.is_some()).await {
            seen = Seen::default();
        }
    }
}

/// Hands over changes as they come. Never ends.
async fn watch(follow: Follow, excluded: Vec<&'static str>, outlet: &Outlet) {
    let plural = follow.plural().to_owned();
    let mut changes = follow.changes().boxed().ready_chunks(BATCH_MAX);
    while let Some(some) = changes.next().await {
        let read = outlet.reading();
        let wanted = some.into_iter().filter(|change| !excluded.contains(&change.kind));
        let told = tell::watched(&plural, wanted, otlp::nanos(SystemTime::now()));
        read.hand_over(Telemetry::Logs(told)).await;
    }
}

/// Most changes in one batch.
const BATCH_MAX: usize = 64;
const PAUSE_MAX: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
