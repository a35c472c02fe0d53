//! Telemetry as the Collector wrote it: `testdata/otlp`, made by `testdata/otlp/record`.

use opentelemetry_proto::tonic::logs::v1::LogsData;
use opentelemetry_proto::tonic::metrics::v1::MetricsData;
use opentelemetry_proto::tonic::trace::v1::TracesData;
use prost::Message;

use crate::data::Telemetry;

/// What was recorded of one signal.
pub(crate) struct Recorded {
    pub(crate) telemetry: Telemetry,
    /// The line of the file exporter.
    pub(crate) json: &'static str,
    /// What the debug exporter prints at each verbosity.
    pub(crate) basic: &'static str,
    pub(crate) normal: &'static str,
    pub(crate) detailed: &'static str,
}

macro_rules! recorded {
    ($signal:literal, $telemetry:expr) => {
        Recorded {
            telemetry: $telemetry(include_bytes!(concat!("../../testdata/otlp/", $signal, ".pb"))),
            json: include_str!(concat!("../../testdata/otlp/", $signal, ".jsonl")),
            basic: include_str!(concat!("../../testdata/otlp/", $signal, ".basic.txt")),
            normal: include_str!(concat!("../../testdata/otlp/", $signal, ".normal.txt")),
            detailed: include_str!(concat!("../../testdata/otlp/", $signal, ".detailed.txt")),
        }
    };
}

/// All three signals.
pub(crate) fn all() -> [Recorded; 3] {
    [
        recorded!("metrics", |data: &[u8]| Telemetry::Metrics(MetricsData::decode(data).unwrap().resource_metrics)),
        recorded!("logs", |data: &[u8]| Telemetry::Logs(LogsData::decode(data).unwrap().resource_logs)),
        recorded!("traces", |data: &[u8]| Telemetry::Traces(TracesData::decode(data).unwrap().resource_spans)),
    ]
}
