//! `k8sobjects`: any objects of a cluster as log records, read at intervals or as they change.

mod config;
mod tell;

use std::time::SystemTime;

use async_trait::async_trait;
use futures_util::future::{BoxFuture, join_all};
use futures_util::{FutureExt, StreamExt};
use kube::Client;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use self::config::{Config, ErrorMode, Mode, Object};
use super::hand_over::Outlet;
use super::kubernetes::follow::{Follow, typed};
use super::kubernetes::rest::{Resource, served};
use super::kubernetes::trouble::Trouble;
use super::kubernetes::{connect, otlp};
use crate::component::{ElectorChoice, Kind, Receiver, ReceiverFactory, Registry, Scope, StartError, Work};
use crate::config::Fields;
use crate::data::{Signal, Telemetry};
use crate::elector::chosen;

/// The kind `k8sobjects`.
#[derive(Clone, Copy, Debug, Default)]
pub struct K8sObjects;

#[derive(Debug)]
pub(super) struct Configured {
    config: Config,
    elector: Option<ElectorChoice>,
}

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
        Box::new(Configured { elector: chosen(fields), config: Config::read(fields) })
    }
}

#[async_trait]
impl Receiver for Configured {
    fn elector(&self) -> Option<&ElectorChoice> {
        self.elector.as_ref()
    }

    async fn start(&self, scope: Scope) -> Result<Work, StartError> {
        let client = connect(&self.config.access).await?;
        self.work(client, scope).await
    }
}

impl Configured {
    pub(super) async fn work(&self, client: Client, scope: Scope) -> Result<Work, StartError> {
        let Some(outlet) = Outlet::new(&scope, Signal::Logs) else { return Ok(async {}.boxed()) };
        let found = self.config.find(&client).await?;
        let all: Vec<BoxFuture<'static, ()>> = found
            .into_iter()
            .map(|(object, resource)| {
                let (client, outlet) = (client.clone(), outlet.clone());
                match &object.mode {
                    Mode::Pull { .. } => pull(client, object, resource, outlet).boxed(),
                    Mode::Watch { .. } => watch(client, object, resource, outlet).boxed(),
                }
            })
            .collect();
        Ok(async move {
            tokio::select! {
                () = scope.stop.cancelled() => {}
                _ = join_all(all) => {}
            }
        }
        .boxed())
    }
}

impl Config {
    /// Asks the server where each resource is; one for each namespace.
    async fn find(&self, client: &Client) -> Result<Vec<(Object, Resource)>, StartError> {
        let served = served(client).await.map_err(|error| {
            format!("the server does not tell which resources it has: {}", super::kubernetes::with_causes(&error))
        })?;
        let mut found = Vec::new();
        for object in &self.objects {
            let places = served.get(&object.name).map(Vec::as_slice).unwrap_or_default();
            let place = places.iter().find(|(group, _)| *group == object.group).or(places.first());
            let Some((group, version)) = place else {
                let message =
                    format!("the server has no resource `{}`; `kubectl api-resources` lists all", object.name);
                match self.error_mode {
                    ErrorMode::Propagate => return Err(message.into()),
                    ErrorMode::Ignore => tracing::info!(receiver = "k8sobjects", "{message}"),
                    ErrorMode::Silent => {}
                }
                continue;
            };
            let everywhere = object.namespaces.is_empty().then_some(None);
            for namespace in everywhere.into_iter().chain(object.namespaces.iter().cloned().map(Some)) {
                let (group, version, plural) = (group.clone(), version.clone(), object.name.clone());
                found.push((object.clone(), Resource { group, version, plural, namespace }));
            }
        }
        if found.is_empty() {
            Err("none of the objects that are to be read is on the server".into())
        } else {
            Ok(found)
        }
    }
}

/// Reads everything at once and then at every interval. Never ends.
async fn pull(client: Client, object: Object, resource: Resource, outlet: Outlet) {
    let Mode::Pull { interval, version } = &object.mode else { return };
    let mut said: Option<Trouble> = None;
    let mut ticks = interval_at(Instant::now(), *interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let mut trouble = None;
        let mut pages = resource.pages(&client, &object.selectors, version.as_deref());
        let mut read = outlet.reading();
        while let Some(page) = pages.next().await {
            match page {
                Ok(page) => {
                    let items = page.items.into_iter().map(|item| typed(item, &page.api_version, &page.kind));
                    let told = tell::pulled(&resource.plural, items, otlp::nanos(SystemTime::now()));
                    outlet.hand_over(Telemetry::Logs(told), read).await;
                    read = outlet.reading();
                }
                Err(error) => {
                    trouble = Some(Trouble::of(&error, "list"));
                    break;
                }
            }
        }
        if let Some(trouble) = trouble.as_ref().filter(|trouble| said.as_ref() != Some(trouble)) {
            tracing::warn!(receiver = "k8sobjects", "{}", trouble.about(&resource.target()));
        }
        said = trouble;
    }
}

/// Hands over changes as they come. Never ends.
async fn watch(client: Client, object: Object, resource: Resource, outlet: Outlet) {
    let Mode::Watch { begin, excluded } = object.mode else { return };
    let plural = resource.plural.clone();
    let follow = Follow::new("k8sobjects", client, resource, object.selectors, begin);
    let mut changes = follow.changes().boxed().ready_chunks(BATCH_MAX);
    while let Some(some) = changes.next().await {
        let read = outlet.reading();
        let wanted = some.into_iter().filter(|change| !excluded.contains(&change.kind));
        let told = tell::watched(&plural, wanted, otlp::nanos(SystemTime::now()));
        outlet.hand_over(Telemetry::Logs(told), read).await;
    }
}

/// Most changes in one batch.
const BATCH_MAX: usize = 64;

/// Read by a test.
#[cfg(test)]
pub(super) fn testing(fields: &mut Fields<'_>) -> Configured {
    Configured { elector: chosen(fields), config: Config::read(fields) }
}
