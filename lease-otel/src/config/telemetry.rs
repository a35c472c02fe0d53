//! The section `service.telemetry`: where the collector's own metrics can be read, and to where they are sent.
//!
//! The keys are those of the OpenTelemetry configuration file, version 0.3, as the Collector takes them; its durations are
//! whole milliseconds.

use std::time::Duration;

use super::fields::Fields;
use super::service::{MetricsEndpoint, PeriodicExport, Telemetry};
use super::tree::{Located, Value};
use crate::exporters::own;

/// Reads the section.
pub(super) fn read(fields: &mut Fields<'_>) -> Telemetry {
    fields.accepted(&["logs", "traces"]);
    let mut telemetry = Telemetry::default();
    if let Some(mut metrics) = fields.section("metrics") {
        metrics_of(&mut metrics, &mut telemetry);
        metrics.finish();
    }
    telemetry.resource = resource(fields);
    if !telemetry.resource.is_empty() && telemetry.exports.is_empty() {
        fields.warning("resource", "has no effect here without a periodic reader in `metrics.readers`");
    }
    telemetry
}

fn metrics_of(fields: &mut Fields<'_>, telemetry: &mut Telemetry) {
    fields.accepted(&["views"]);
    let levels = [("none", false), ("basic", true), ("normal", true), ("detailed", true)];
    let is_on = fields.word("level", &levels).unwrap_or(true);
    let address = fields.text("address").and_then(|address| from_address(&address, fields));
    let Readers { pull, periodic } = readers(fields);
    if address.is_some() && pull.is_some() {
        fields.error("address", "the address is in `readers` too; leave out one of the two");
    }
    if is_on {
        telemetry.metrics = pull.or(address);
        telemetry.exports = periodic;
    }
}

/// What is said of the collector: names, and texts or nothing.
fn resource(fields: &mut Fields<'_>) -> Vec<(String, Option<String>)> {
    let Some(mut section) = fields.section("resource") else { return Vec::new() };
    let mut attributes = Vec::new();
    for (key, node) in section.all() {
        match (node.text(), &node.value) {
            (Some(text), _) if !matches!(node.value, Value::List(_) | Value::Map(_)) => {
                attributes.push((key.name.clone(), Some(text)));
            }
            (_, Value::Null) => attributes.push((key.name.clone(), None)),
            _ => section.error(&key.name, format_args!("a text is expected here, not {}", node.value.kind())),
        }
    }
    attributes
}

/// `HOST:PORT`, as older versions of the OpenTelemetry Collector have it; without a host it is every address.
fn from_address(address: &Located<String>, fields: &mut Fields<'_>) -> Option<MetricsEndpoint> {
    let parts = address.value.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let Some((host, port)) = parts else {
        let message = "HOST:PORT is expected here, such as localhost:8888";
        fields.problems().error(&address.place, address.path.clone(), message);
        return None;
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Some(MetricsEndpoint { host: if host.is_empty() { "0.0.0.0" } else { host }.to_owned(), port })
}

/// What `readers` names.
#[derive(Default)]
struct Readers {
    /// `pull: {exporter: {prometheus: {host, port}}}`, of which there may be one.
    pull: Option<MetricsEndpoint>,
    /// `periodic: {interval, timeout, exporter: {otlp: {...}}}`.
    periodic: Vec<PeriodicExport>,
}

fn readers(fields: &mut Fields<'_>) -> Readers {
    let mut found = Readers::default();
    let path = fields.path_of("readers");
    let Some(readers) = fields.node("readers") else { return found };
    let items = match &readers.value {
        Value::List(items) => items.as_slice(),
        Value::Null => &[],
        other => {
            fields.error("readers", format_args!("a list is expected here, not {}", other.kind()));
            &[]
        }
    };
    for (index, item) in items.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let mut reader = Fields::new(item, path.clone(), fields.problems());
        reader.accepted(&["producers"]);
        let is_periodic = reader.node("periodic").is_some();
        let is_pull = reader.node("pull").is_some();
        let periodic = reader.section("periodic").and_then(|mut section| {
            let found = periodic(&mut section);
            section.finish();
            found
        });
        let pull = reader.section("pull").and_then(|mut section| {
            let found = pull(&mut section);
            section.finish();
            found
        });
        if is_periodic == is_pull {
            reader.error("periodic", "a reader is one of `pull` and `periodic`; write an item for each");
        }
        reader.finish();
        if pull.is_some() && found.pull.is_some() {
            fields.problems().error(&item.place, path, "one reader with `pull` is enough");
        }
        found.pull = found.pull.or(pull);
        found.periodic.extend(periodic);
    }
    found
}

fn pull(fields: &mut Fields<'_>) -> Option<MetricsEndpoint> {
    let mut endpoint = None;
    if let Some(mut exporter) = fields.section("exporter") {
        if let Some(mut prometheus) = exporter.section("prometheus") {
            endpoint = prometheus_at(&mut prometheus);
            prometheus.finish();
        } else if exporter.is_empty() {
            exporter.error("prometheus", "an exporter is missing: prometheus, with host and port");
        }
        exporter.finish();
    } else {
        fields.error("exporter", "an exporter is missing: prometheus, with host and port");
    }
    endpoint
}

fn periodic(fields: &mut Fields<'_>) -> Option<PeriodicExport> {
    let interval = fields.milliseconds("interval").unwrap_or(INTERVAL);
    let timeout = fields.milliseconds("timeout").unwrap_or(TIMEOUT);
    let missing = "an exporter is missing: otlp, with protocol and endpoint";
    let mut sender = None;
    if let Some(mut exporter) = fields.section("exporter") {
        exporter.accepted(&["console"]);
        if let Some(mut otlp) = exporter.section("otlp") {
            sender = own::read(&mut otlp);
            otlp.finish();
        } else if exporter.is_empty() {
            exporter.error("otlp", missing);
        }
        exporter.finish();
    } else {
        fields.error("exporter", missing);
    }
    Some(PeriodicExport { interval, timeout, exporter: sender? })
}

/// As the OpenTelemetry SDK has them.
const INTERVAL: Duration = Duration::from_mins(1);
const TIMEOUT: Duration = Duration::from_secs(30);

fn prometheus_at(fields: &mut Fields<'_>) -> Option<MetricsEndpoint> {
    fields.accepted(&["without_scope_info", "without_type_suffix", "without_units", "with_resource_constant_labels"]);
    let host = fields.text("host").map_or_else(|| "localhost".to_owned(), |host| host.value);
    let port = fields.count("port", 0, u64::from(u16::MAX)).and_then(|port| u16::try_from(port).ok());
    if fields.node("port").is_none() {
        fields.error("port", "the port to listen on is missing; the OpenTelemetry Collector's is 8888");
    }
    Some(MetricsEndpoint { host, port: port? })
}
