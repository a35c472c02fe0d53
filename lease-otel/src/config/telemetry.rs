//! The section `service.telemetry`: where the collector's own metrics can be read.

use super::fields::Fields;
use super::service::{MetricsEndpoint, Telemetry};
use super::tree::{Located, Value};

/// Reads the section.
pub(super) fn read(fields: &mut Fields<'_>) -> Telemetry {
    fields.accepted(&["logs", "traces", "resource"]);
    let metrics = fields.section("metrics").and_then(|mut metrics| {
        let endpoint = endpoint(&mut metrics);
        metrics.finish();
        endpoint
    });
    Telemetry { metrics }
}

fn endpoint(fields: &mut Fields<'_>) -> Option<MetricsEndpoint> {
    fields.accepted(&["views"]);
    let levels = [("none", false), ("basic", true), ("normal", true), ("detailed", true)];
    let is_on = fields.word("level", &levels).unwrap_or(true);
    let address = fields.text("address").and_then(|address| from_address(&address, fields));
    let reader = readers(fields);
    if address.is_some() && reader.is_some() {
        fields.error("address", "the address is in `readers` too; leave out one of the two");
    }
    reader.or(address).filter(|_| is_on)
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

/// The one reader that is known here: `pull: {exporter: {prometheus: {host, port}}}`.
fn readers(fields: &mut Fields<'_>) -> Option<MetricsEndpoint> {
    let path = fields.path_of("readers");
    let readers = fields.node("readers")?;
    let items = match &readers.value {
        Value::List(items) => items.as_slice(),
        Value::Null => &[],
        other => {
            fields.error("readers", format_args!("a list is expected here, not {}", other.kind()));
            &[]
        }
    };
    let mut found = None;
    for (index, item) in items.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let mut reader = Fields::new(item, path.clone(), fields.problems());
        reader.accepted(&["periodic"]);
        let endpoint = reader.section("pull").and_then(|mut pull| {
            let endpoint = pull.section("exporter").and_then(|mut exporter| {
                let endpoint = exporter.section("prometheus").and_then(|mut prometheus| prometheus_at(&mut prometheus));
                exporter.finish();
                endpoint
            });
            pull.finish();
            endpoint
        });
        reader.finish();
        if endpoint.is_some() && found.is_some() {
            fields.problems().error(&item.place, path, "one such reader is enough");
        }
        found = found.or(endpoint);
    }
    found
}

fn prometheus_at(fields: &mut Fields<'_>) -> Option<MetricsEndpoint> {
    fields.accepted(&["without_scope_info", "without_type_suffix", "without_units", "with_resource_constant_labels"]);
    let host = fields.text("host").map_or_else(|| "localhost".to_owned(), |host| host.value);
    let port = fields.count("port", 0, u64::from(u16::MAX)).and_then(|port| u16::try_from(port).ok());
    if fields.node("port").is_none() {
        fields.error("port", "the port to listen on is missing; the OpenTelemetry Collector's is 8888");
    }
    Some(MetricsEndpoint { host, port: port? })
}
