//! The whole configuration, checked: what the host takes and runs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::id::ComponentId;
use super::named::Named;
use super::problems::Problem;
use crate::component::{Exporter, Extension, Processor, Receiver};
use crate::data::Signal;

/// A collector as configured: every component that runs, and how they are connected.
///
/// Every name in it leads to a component that is here and can carry the signal. A receiver that
/// [names](crate::component::ElectorChoice::Named) an elector names one of the extensions here, and that one
/// [is an elector](Extension::is_elector).
#[derive(Debug)]
pub struct Collector {
    /// In the order of `service.extensions`, in which they are started; what `service.extensions` does not name is not here.
    pub extensions: Vec<(ComponentId, Box<dyn Extension>)>,
    /// Those that a pipeline has, once each, in the order of their section.
    pub receivers: Vec<(ComponentId, Box<dyn Receiver>)>,
    /// Those that a pipeline has, once each, in the order of their section.
    pub processors: Vec<(ComponentId, Box<dyn Processor>)>,
    /// Those that a pipeline has, once each, in the order of their section.
    pub exporters: Vec<(ComponentId, Box<dyn Exporter>)>,
    /// In the order of `service.pipelines`.
    pub pipelines: Vec<Pipeline>,
    /// How the collector tells of itself.
    pub telemetry: Telemetry,
}

impl Collector {
    /// The longest time that the configuration leaves one of its receivers to stop, where it says so of any.
    pub fn stop_timeout(&self) -> Option<Duration> {
        self.receivers.iter().filter_map(|(_, receiver)| receiver.stop_timeout()).max()
    }
}

/// From receivers through processors to exporters: telemetry of one signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pipeline {
    /// Its name.
    pub id: PipelineId,
    /// Where it comes from: at least one, each once.
    pub receivers: Vec<ComponentId>,
    /// What it goes through, in this order, each once.
    pub processors: Vec<ComponentId>,
    /// Where it goes: at least one, each once.
    pub exporters: Vec<ComponentId>,
}

/// The name of a pipeline: its signal, and after a `/` what tells it from others of that signal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PipelineId {
    /// What it carries.
    pub signal: Signal,
    /// What stands after the `/`; empty if nothing does.
    pub name: Box<str>,
}

impl fmt::Display for PipelineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.signal)?;
        if self.name.is_empty() { Ok(()) } else { write!(f, "/{}", self.name) }
    }
}

/// What `service.telemetry` says.
#[derive(Clone, Debug, Default)]
pub struct Telemetry {
    /// Where the collector's own metrics can be read in the text format of Prometheus; none unless the configuration says so.
    pub metrics: Option<MetricsEndpoint>,
    /// To where they are sent, besides that.
    pub exports: Vec<PeriodicExport>,
    /// What is said of the collector where its metrics are sent to; one without a value is left out.
    pub resource: Vec<(String, Option<String>)>,
}

/// The collector's own metrics are sent to an endpoint again and again.
#[derive(Clone, Debug)]
pub struct PeriodicExport {
    /// From one time to the next.
    pub interval: Duration,
    /// How long one time may take, with everything that is tried again.
    pub timeout: Duration,
    /// Who sends.
    pub exporter: Arc<dyn Exporter>,
}

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsEndpoint {
    /// A name or an address.
    pub host: String,
    /// The port; 0 for any that is free.
    pub port: u16,
}

/// A configuration in which nothing is wrong.
#[derive(Debug)]
pub struct Loaded {
    /// What it says.
    pub collector: Collector,
    /// What is doubtful in it.
    pub warnings: Vec<Problem>,
    /// The files, directories and programs that it names, which have to be where it runs.
    pub named: Vec<Named>,
}
