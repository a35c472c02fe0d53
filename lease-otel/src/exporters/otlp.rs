//! What both ways of OTLP share.

use std::time::Duration;

use bytes::Bytes;
use lease_core::Pretty;
use opentelemetry_proto::tonic::logs::v1::LogsData;
use opentelemetry_proto::tonic::metrics::v1::MetricsData;
use opentelemetry_proto::tonic::trace::v1::TracesData;
use prost::Message;

use crate::data::Telemetry;

/// The protobuf message of an export request, which is also what a file of that format holds.
///
/// The data message of a signal and its request are written alike.
pub(crate) fn encode_request(telemetry: Telemetry) -> Bytes {
    match telemetry {
        Telemetry::Metrics(resource_metrics) => MetricsData { resource_metrics }.encode_to_vec(),
        Telemetry::Logs(resource_logs) => LogsData { resource_logs }.encode_to_vec(),
        Telemetry::Traces(resource_spans) => TracesData { resource_spans }.encode_to_vec(),
    }
    .into()
}

/// What is said of an endpoint that did not answer in time.
pub(crate) fn pretty_timeout(endpoint: &str, limit: Duration) -> String {
    format!("`{endpoint}` has not answered within {}, which `timeout` sets", Pretty(limit))
}
