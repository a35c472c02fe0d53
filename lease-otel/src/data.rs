//! What flows through a pipeline.

use std::fmt;

use lease_core::{Lost, Validity};
use opentelemetry_proto::tonic::logs::v1::ResourceLogs;
use opentelemetry_proto::tonic::metrics::v1::{ResourceMetrics, metric};
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;

use crate::component::Refused;

/// A kind of telemetry. A pipeline carries one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Signal {
    /// Metric points.
    Metrics,
    /// Log records.
    Logs,
    /// Spans.
    Traces,
}

impl Signal {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Metrics, Self::Logs, Self::Traces];
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Metrics => "metrics",
            Self::Logs => "logs",
            Self::Traces => "traces",
        })
    }
}

/// Telemetry of one signal, by resource, as OTLP carries it.
#[derive(Clone, Debug, PartialEq)]
pub enum Telemetry {
    /// Metric points.
    Metrics(Vec<ResourceMetrics>),
    /// Log records.
    Logs(Vec<ResourceLogs>),
    /// Spans.
    Traces(Vec<ResourceSpans>),
}

impl Telemetry {
    /// What it is.
    pub fn signal(&self) -> Signal {
        match self {
            Self::Metrics(_) => Signal::Metrics,
            Self::Logs(_) => Signal::Logs,
            Self::Traces(_) => Signal::Traces,
        }
    }

    /// How many points, records or spans it holds: what queues and counters count.
    pub fn len(&self) -> usize {
        match self {
            Self::Metrics(resources) => points_of(resources),
            Self::Logs(resources) => {
                resources.iter().flat_map(|resource| &resource.scope_logs).map(|scope| scope.log_records.len()).sum()
            }
            Self::Traces(resources) => {
                resources.iter().flat_map(|resource| &resource.scope_spans).map(|scope| scope.spans.len()).sum()
            }
        }
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How many points these hold.
pub(crate) fn points_of(resources: &[ResourceMetrics]) -> usize {
    let scopes = resources.iter().flat_map(|resource| &resource.scope_metrics);
    scopes.flat_map(|scope| &scope.metrics).map(|metric| metric.data.as_ref().map_or(0, points)).sum()
}

fn points(data: &metric::Data) -> usize {
    match data {
        metric::Data::Gauge(gauge) => gauge.data_points.len(),
        metric::Data::Sum(sum) => sum.data_points.len(),
        metric::Data::Histogram(histogram) => histogram.data_points.len(),
        metric::Data::ExponentialHistogram(histogram) => histogram.data_points.len(),
        metric::Data::Summary(summary) => summary.data_points.len(),
    }
}

/// Telemetry on its way from a receiver to an exporter, and the term in which it was read.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The telemetry.
    pub telemetry: Telemetry,
    /// The term in which it was read; none where no elector is asked.
    pub term: Option<Validity>,
}

/// Waits for what is done with telemetry of a term, but not beyond the loss of that term.
pub(crate) async fn while_held<T>(term: &Validity, work: impl Future<Output = T>) -> Result<T, Refused> {
    term.check()?;
    let ended = term.ended();
    tokio::select! {
        biased;
        done = work => Ok(done),
        () = ended.cancelled() => {
            term.check()?;
            Err(Refused::Closed)
        }
    }
}

impl Batch {
    /// Whether it may still be handed to an exporter. What an exporter has queued by then is sent.
    pub fn check(&self) -> Result<(), Lost> {
        self.term.as_ref().map_or(Ok(()), Validity::check)
    }
}
