//! Whole configurations. Kinds that are not there yet, or of which a test wants only the name, are made up here.

mod bad;
mod examples;
mod random;

use std::env::VarError;
use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::component::{
    Consumer, ElectorChoice, Exporter, ExporterFactory, Kind, Meter, Processor, ProcessorFactory, Receiver,
    ReceiverFactory, Scope, StartError, Work,
};
use crate::config::Fields;
use crate::data::Signal;
use crate::elector;

/// A kind that takes these keys, and starts nothing.
#[derive(Clone, Copy, Debug)]
struct Fake {
    name: &'static str,
    aliases: &'static [&'static str],
    signals: &'static [Signal],
    keys: &'static [&'static str],
}

const METRICS: &[Signal] = &[Signal::Metrics];
const LOGS: &[Signal] = &[Signal::Logs];
const ALL: &[Signal] = &[Signal::Metrics, Signal::Logs, Signal::Traces];

const RECEIVERS: [Fake; 4] = [
    Fake {
        name: "k8s_cluster",
        aliases: &[],
        signals: METRICS,
        keys: &[
            "auth_type",
            "context",
            "collection_interval",
            "node_conditions_to_report",
            "allocatable_types_to_report",
            "metrics",
            "resource_attributes",
            "namespaces",
        ],
    },
    Fake { name: "kymastats", aliases: &[], signals: METRICS, keys: &["resources", "collection_interval"] },
    Fake { name: "k8s_events", aliases: &[], signals: LOGS, keys: &["auth_type", "namespaces"] },
    Fake { name: "k8sobjects", aliases: &[], signals: LOGS, keys: &["auth_type", "objects"] },
];
const PROCESSORS: [Fake; 2] = [
    Fake { name: "batch", aliases: &[], signals: ALL, keys: &["timeout", "send_batch_size"] },
    Fake { name: "memory_limiter", aliases: &[], signals: ALL, keys: &["check_interval", "limit_mib"] },
];
const EXPORTERS: [Fake; 4] = [
    Fake { name: "debug", aliases: &[], signals: ALL, keys: &["verbosity"] },
    Fake { name: "otlp", aliases: &["otlp_grpc"], signals: ALL, keys: &["endpoint", "headers"] },
    Fake { name: "otlphttp", aliases: &["otlp_http"], signals: ALL, keys: &["endpoint", "headers"] },
    Fake { name: "file", aliases: &[], signals: ALL, keys: &["path"] },
];

impl Fake {
    fn kind(self) -> Kind {
        Kind { name: self.name, aliases: self.aliases, summary: "", signals: self.signals }
    }

    fn read(self, fields: &mut Fields<'_>) {
        for key in self.keys {
            fields.node(key);
        }
    }
}

#[derive(Debug)]
struct Nothing(Option<ElectorChoice>);

impl ReceiverFactory for Fake {
    fn kind(&self) -> Kind {
        Self::kind(*self)
    }

    fn configure(&self, fields: &mut Fields<'_>, _: &Registry) -> Box<dyn Receiver> {
        self.read(fields);
        Box::new(Nothing(elector::chosen(fields)))
    }
}

impl ProcessorFactory for Fake {
    fn kind(&self) -> Kind {
        Self::kind(*self)
    }

    fn configure(&self, fields: &mut Fields<'_>) -> Box<dyn Processor> {
        self.read(fields);
        Box::new(Nothing(None))
    }
}

impl ExporterFactory for Fake {
    fn kind(&self) -> Kind {
        Self::kind(*self)
    }

    fn configure(&self, fields: &mut Fields<'_>) -> Box<dyn Exporter> {
        self.read(fields);
        Box::new(Nothing(None))
    }
}

#[async_trait]
impl Receiver for Nothing {
    fn elector(&self) -> Option<&ElectorChoice> {
        self.0.as_ref()
    }

    async fn start(&self, _: Scope) -> Result<Work, StartError> {
        Err("nothing is started here".into())
    }
}

impl Processor for Nothing {
    fn start(
        &self,
        _: &crate::config::ComponentId,
        next: Arc<dyn Consumer>,
        _: CancellationToken,
        _: Arc<dyn Meter>,
    ) -> (Arc<dyn Consumer>, Option<Work>) {
        (next, None)
    }
}

#[async_trait]
impl Exporter for Nothing {
    async fn start(
        &self,
        _: &crate::config::ComponentId,
        _: CancellationToken,
        _: Arc<dyn Meter>,
    ) -> Result<(Arc<dyn Consumer>, Option<Work>), StartError> {
        Err("nothing is started here".into())
    }
}

/// Every kind that there is, and those above that are not.
fn registry() -> Registry {
    let mut registry = crate::registry();
    for fake in RECEIVERS {
        if registry.receiver(fake.name).is_none() {
            registry = registry.with_receiver(fake);
        }
    }
    for fake in PROCESSORS {
        if registry.processor(fake.name).is_none() {
            registry = registry.with_processor(fake);
        }
    }
    for fake in EXPORTERS {
        if registry.exporter(fake.name).is_none() {
            registry = registry.with_exporter(fake);
        }
    }
    registry
}

fn environment(name: &str) -> Result<String, VarError> {
    match name {
        "LEASE" => Ok("leader".to_owned()),
        "ENDPOINT" => Ok("collector:4317".to_owned()),
        _ => Err(VarError::NotPresent),
    }
}

fn load_all(texts: &[&str]) -> Result<Loaded, Problems> {
    let sources: Vec<Source> = texts.iter().map(|text| Source::Yaml((*text).to_owned())).collect();
    load(&sources, &environment, &registry())
}

/// What is wrong, a line each; the source, which is always `yaml`, is left out.
fn errors(texts: &[&str]) -> Vec<String> {
    let problems = load_all(texts).expect_err("something is wrong");
    assert!(!problems.errors.is_empty());
    problems.errors.iter().map(|error| error.to_string().trim_start_matches("yaml:").to_owned()).collect()
}

fn ids<T: ?Sized>(components: &[(crate::config::ComponentId, Box<T>)]) -> Vec<String> {
    components.iter().map(|(id, _)| id.to_string()).collect()
}
