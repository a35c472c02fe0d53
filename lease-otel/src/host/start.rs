//! Brings a collector up: every component, and the pipelines between them.

use std::collections::HashMap;
use std::sync::Arc;

use super::flow::{TermGuard, fork};
use super::group::Group;
use super::seat::Seat;
use super::{Host, HostError};
use crate::component::{
    Consumer, ElectorChoice, Exporter, Extension, Meter, Outputs, Processor, Receiver, StartError, Work,
};
use crate::config::{Collector, ComponentId, Pipeline};
use crate::data::Signal;
use crate::elector::LeaderElector;
use crate::http::{Answers, Server};
use crate::telemetry::{Telemetry, names};

type Consumers = HashMap<ComponentId, Arc<dyn Consumer>>;

/// Where the pipelines that have a receiver begin.
type Entries = HashMap<ComponentId, Vec<(Signal, Arc<dyn Consumer>)>>;

impl Host {
    pub(super) async fn bring_up(&mut self, collector: Collector, telemetry: &Arc<Telemetry>) -> Result<(), HostError> {
        let Collector { extensions, receivers, processors, exporters, pipelines, telemetry: own } = collector;
        if let Some(endpoint) = own.metrics {
            self.serve_metrics(&endpoint.host, endpoint.port, telemetry).await?;
        }
        self.export_own(own.exports, own.resource, telemetry).await?;
        let meter: Arc<dyn Meter> = Arc::clone(telemetry) as Arc<dyn Meter>;
        let receivers: Vec<(ComponentId, Arc<dyn Receiver>)> =
            receivers.into_iter().map(|(id, receiver)| (id, Arc::from(receiver))).collect();
        let mut electors = HashMap::new();
        for (id, extension) in &extensions {
            self.start_extension("extension", id, &**extension, &meter, &mut electors).await?;
        }
        for (id, receiver) in &receivers {
            if let Some(ElectorChoice::Own(extension)) = receiver.elector() {
                self.start_extension("receiver", id, &**extension, &meter, &mut electors).await?;
            }
        }
        let sinks = self.start_exporters(exporters, &meter).await?;
        let entries = self.start_processors(&processors, &pipelines, &sinks, &meter)?;
        self.seat(receivers, &electors, entries, &meter).await
    }

    async fn serve_metrics(&mut self, host: &str, port: u16, telemetry: &Arc<Telemetry>) -> Result<(), HostError> {
        let telemetry = Arc::clone(telemetry);
        let answers: Answers =
            Arc::new(move |path| (path == "/metrics").then(|| (http::StatusCode::OK, OPEN_METRICS, telemetry.text())));
        let endpoint = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let server = Server::listen(&endpoint, answers).await.map_err(|error| HostError {
            what: "service",
            id: "telemetry".parse().expect("a name"),
            source: format!("it cannot listen on {endpoint}: {error}").into(),
        })?;
        tracing::info!(address = %server.address(), "metrics are served at /metrics");
        self.metrics = Some(server);
        Ok(())
    }

    async fn start_extension(
        &mut self,
        what: &'static str,
        id: &ComponentId,
        extension: &dyn Extension,
        meter: &Arc<dyn Meter>,
        electors: &mut HashMap<ComponentId, Arc<dyn LeaderElector>>,
    ) -> Result<(), HostError> {
        let started = extension.start(id, Arc::clone(meter)).await;
        let running = started.map_err(|source| HostError { what, id: id.clone(), source })?;
        if let Some(elector) = running.elector() {
            electors.insert(id.clone(), elector);
        }
        tracing::debug!(what, %id, "started");
        self.extensions.push((id.clone(), running));
        Ok(())
    }

    async fn start_exporters(
        &mut self,
        exporters: Vec<(ComponentId, Box<dyn Exporter>)>,
        meter: &Arc<dyn Meter>,
    ) -> Result<Consumers, HostError> {
        let mut sinks: Consumers = HashMap::new();
        for (id, exporter) in exporters {
            let started = exporter.start(&id, self.exporters.stop.clone(), Arc::clone(meter)).await;
            let (consumer, work) = started.map_err(|source| HostError { what: "exporter", id: id.clone(), source })?;
            self.exporters.running.spawn(endured(id.clone(), work));
            let guard = TermGuard::new(id.clone(), consumer, Arc::clone(meter));
            sinks.insert(id, Arc::new(guard));
        }
        Ok(sinks)
    }

    fn start_processors(
        &mut self,
        processors: &[(ComponentId, Box<dyn Processor>)],
        pipelines: &[Pipeline],
        sinks: &Consumers,
        meter: &Arc<dyn Meter>,
    ) -> Result<Entries, HostError> {
        let mut entries: Entries = HashMap::new();
        for pipeline in pipelines {
            let found =
                pipeline.exporters.iter().map(|id| sinks.get(id).cloned().ok_or_else(|| missing("exporter", id)));
            let mut next = fork(found.collect::<Result<_, _>>()?);
            for id in pipeline.processors.iter().rev() {
                let found = processors.iter().find(|(known, _)| known == id);
                let (_, processor) = found.ok_or_else(|| missing("processor", id))?;
                let (consumer, work) = processor.start(id, next, self.processors.stop.clone(), Arc::clone(meter));
                self.processors.running.spawn(endured(id.clone(), work));
                next = consumer;
            }
            self.entries.push(Arc::clone(&next));
            for id in &pipeline.receivers {
                entries.entry(id.clone()).or_default().push((pipeline.id.signal, Arc::clone(&next)));
            }
        }
        Ok(entries)
    }

    /// Registers the receivers that have an elector with it, and starts the others.
    async fn seat(
        &mut self,
        receivers: Vec<(ComponentId, Arc<dyn Receiver>)>,
        electors: &HashMap<ComponentId, Arc<dyn LeaderElector>>,
        mut entries: Entries,
        meter: &Arc<dyn Meter>,
    ) -> Result<(), HostError> {
        let mut always = Vec::new();
        let mut led: Vec<(ComponentId, Vec<Arc<Seat>>)> = Vec::new();
        for (id, receiver) in receivers {
            let elector = receiver.elector().map(|choice| match choice {
                ElectorChoice::Named(name) => name.value.clone(),
                ElectorChoice::Own(_) => id.clone(),
            });
            // There from the start, so that a rate shows the first failure.
            meter.add(names::FAILURES, &id, 0);
            if elector.is_some() {
                meter.add(names::STEP_DOWNS, &id, 0);
            }
            let outputs = outputs(entries.remove(&id).unwrap_or_default());
            let seat = Arc::new(Seat { id, receiver, outputs, telemetry: Arc::clone(meter) });
            match elector {
                None => always.push(seat),
                Some(elector) => match led.iter_mut().find(|(known, _)| *known == elector) {
                    Some((_, seats)) => seats.push(seat),
                    None => led.push((elector, vec![seat])),
                },
            }
        }
        let always = self.always.insert(Group::new(always, None, self.hasten.clone()));
        always.run(self.always_stop.clone()).await?;
        for (id, seats) in led {
            let elector = electors.get(&id).ok_or_else(|| HostError {
                what: "receiver",
                id: seats[0].id.clone(),
                source: unknown_elector(&id),
            })?;
            let leading = Group::new(seats, elector.candidacy(), self.hasten.clone());
            let stopped = Arc::clone(&leading);
            elector.set_callbacks(
                Box::new(move |leadership| {
                    let group = Arc::clone(&leading);
                    Box::pin(async move { group.lead(leadership).await })
                }),
                Box::new(move || {
                    let group = Arc::clone(&stopped);
                    Box::pin(async move { group.stop().await })
                }),
            );
        }
        Ok(())
    }
}

/// What a receiver is given: one consumer for each signal.
fn outputs(entries: Vec<(Signal, Arc<dyn Consumer>)>) -> Outputs {
    let mut outputs: Vec<(Signal, Vec<Arc<dyn Consumer>>)> = Vec::new();
    for (signal, consumer) in entries {
        match outputs.iter_mut().find(|(known, _)| *known == signal) {
            Some((_, consumers)) => consumers.push(consumer),
            None => outputs.push((signal, vec![consumer])),
        }
    }
    Outputs(outputs.into_iter().map(|(signal, consumers)| (signal, fork(consumers))).collect())
}

/// The task of a component that has one; a panic ends that component alone, and is told.
async fn endured(id: ComponentId, work: Option<Work>) {
    use futures_util::FutureExt;
    let Some(work) = work else { return };
    if std::panic::AssertUnwindSafe(work).catch_unwind().await.is_err() {
        tracing::error!(component = %id, "the component has panicked, and takes nothing more");
    }
}

/// A pipeline names what is not there. What the configuration is read by sees to it that it does not.
fn missing(what: &'static str, id: &ComponentId) -> HostError {
    HostError { what, id: id.clone(), source: "a pipeline names it, and it is not configured".into() }
}

/// As the OpenTelemetry Collector says it.
fn unknown_elector(id: &ComponentId) -> StartError {
    format!("unknown k8s leader elector {:?}", id.to_string()).into()
}

/// The format that Prometheus prefers.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
