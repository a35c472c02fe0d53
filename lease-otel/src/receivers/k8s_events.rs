//! `k8s_events`: the events of a cluster as log records.

use std::time::SystemTime;

use futures_util::StreamExt;
use futures_util::stream::SelectAll;
use kube::Client;
use lease_k8s::Access;
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use opentelemetry_proto::tonic::resource::v1::Resource as Named;
use serde_json::Value as Json;

use super::hand_over::Outlet;
use super::kubernetes::follow::{Begin, Change, Follow};
use super::kubernetes::rest::{Resource, Selectors};
use super::kubernetes::{Configured, Reader, access, otlp, places};
use crate::component::{Kind, Receiver, ReceiverFactory, Registry};
use crate::config::Fields;
use crate::data::{Signal, Telemetry};

/// The kind `k8s_events`.
#[derive(Clone, Copy, Debug, Default)]
pub struct K8sEvents;

#[derive(Clone, Debug)]
pub(super) struct Config {
    access: Access,
    /// Empty for all of them.
    namespaces: Vec<String>,
}

impl ReceiverFactory for K8sEvents {
    fn kind(&self) -> Kind {
        Kind {
            name: "k8s_events",
            aliases: &[],
            summary: "the events of a Kubernetes cluster, as they come",
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
        let namespaces = fields.texts("namespaces").unwrap_or_default();
        fields.accepted(&["storage", "dedup_interval"]);
        Self { access: access(fields), namespaces: namespaces.into_iter().map(|found| found.value).collect() }
    }

    fn access(&self) -> &Access {
        &self.access
    }

    async fn run(self, client: Client, outlet: Outlet) {
        run(&client, &self.namespaces, &outlet).await;
    }
}

/// Hands over events as they come. Never ends.
async fn run(client: &Client, namespaces: &[String], outlet: &Outlet) {
    let mut changes = SelectAll::new();
    for namespace in places(namespaces) {
        let events =
            Resource { group: String::new(), version: "v1".to_owned(), plural: "events".to_owned(), namespace };
        let follow = Follow::new(outlet.id().clone(), client.clone(), events, Selectors::default(), Begin::Now);
        changes.push(follow.changes().boxed());
    }
    let mut changes = changes.ready_chunks(BATCH_MAX);
    while let Some(some) = changes.next().await {
        let read = outlet.reading();
        // That an event has expired is no event.
        let told = some.iter().filter(|change| change.kind != "DELETED").map(tell).collect();
        read.hand_over(Telemetry::Logs(told)).await;
    }
}

/// An event as a log record of its own resource.
fn tell(change: &Change) -> ResourceLogs {
    let event = &change.object;
    let of = |part: &Json, key: &str| part[key].as_str().unwrap_or_default().to_owned();
    let (about, meta, source) = (&event["involvedObject"], &event["metadata"], &event["source"]);
    let mut attributes = vec![
        otlp::text("k8s.event.reason", of(event, "reason")),
        otlp::text("k8s.event.action", of(event, "action")),
        otlp::text("k8s.event.start_time", start_time(&of(meta, "creationTimestamp"))),
        otlp::text("k8s.event.name", of(meta, "name")),
        otlp::text("k8s.event.uid", of(meta, "uid")),
        otlp::text("k8s.namespace.name", of(about, "namespace")),
    ];
    if let Some(count) = event["count"].as_i64().filter(|count| *count != 0) {
        attributes.push(otlp::attribute("k8s.event.count", Value::IntValue(count)));
    }
    let kind = of(event, "type");
    let severity = match kind.to_ascii_lowercase().as_str() {
        "normal" => Some(SeverityNumber::Info),
        "warning" => Some(SeverityNumber::Warn),
        "error" => Some(SeverityNumber::Error),
        "critical" => Some(SeverityNumber::Fatal),
        _ => None,
    };
    let record = LogRecord {
        time_unix_nano: time_of(event),
        observed_time_unix_nano: otlp::nanos(SystemTime::now()),
        severity_number: severity.map_or(0, i32::from),
        severity_text: if severity.is_some() { kind } else { String::new() },
        body: Some(AnyValue { value: Some(Value::StringValue(of(event, "message"))) }),
        attributes,
        ..LogRecord::default()
    };
    let resource = vec![
        otlp::text("k8s.node.name", of(source, "host")),
        otlp::text("k8s.object.kind", of(about, "kind")),
        otlp::text("k8s.object.name", of(about, "name")),
        otlp::text("k8s.object.uid", of(about, "uid")),
        otlp::text("k8s.object.fieldpath", of(about, "fieldPath")),
        otlp::text("k8s.object.api_version", of(about, "apiVersion")),
        otlp::text("k8s.object.resource_version", of(about, "resourceVersion")),
    ];
    let scope = otlp::scope("github.com/open-telemetry/opentelemetry-collector-contrib/receiver/k8seventsreceiver");
    ResourceLogs {
        resource: Some(Named { attributes: resource, ..Named::default() }),
        scope_logs: vec![ScopeLogs { scope: Some(scope), log_records: vec![record], schema_url: String::new() }],
        schema_url: String::new(),
    }
}

/// When it happened: an event has one of three times, the newest form first, and at least that of its creation.
fn time_of(event: &Json) -> u64 {
    let times = [
        &event["eventTime"],
        &event["lastTimestamp"],
        &event["firstTimestamp"],
        &event["metadata"]["creationTimestamp"],
    ];
    let found = times.into_iter().find_map(|time| time.as_str()?.parse::<jiff::Timestamp>().ok());
    found.and_then(|time| u64::try_from(time.as_nanosecond()).ok()).unwrap_or(0)
}

/// As Go prints a time: the form that is queried for.
fn start_time(text: &str) -> String {
    match text.parse::<jiff::Timestamp>() {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string(),
        Err(_) => "0001-01-01 00:00:00 +0000 UTC".to_owned(),
    }
}

/// Most events in one batch.
const BATCH_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::receivers::testing::section;

    fn told(object: Json) -> Json {
        serde_json::to_value(tell(&Change { kind: "ADDED", object })).unwrap()
    }

    fn texts(pairs: &Json) -> Vec<(&str, &str)> {
        let pairs = pairs.as_array().unwrap().iter();
        pairs
            .map(|pair| (pair["key"].as_str().unwrap(), pair["value"]["stringValue"].as_str().unwrap_or("?")))
            .collect()
    }

    #[test]
    fn an_event_is_a_log_record() {
        let told = told(json!({
            "metadata": {"name": "web.1", "namespace": "shop", "uid": "u1", "creationTimestamp": "2026-01-02T03:04:05Z"},
            "involvedObject": {"kind": "Pod", "name": "web", "namespace": "shop", "uid": "u2", "apiVersion": "v1",
                "resourceVersion": "7", "fieldPath": "spec.containers{nginx}"},
            "source": {"component": "kubelet", "host": "node-1"}, "reason": "BackOff", "action": "", "type": "Warning",
            "message": "Back-off restarting", "count": 4,
            "firstTimestamp": "2026-01-02T03:04:05Z", "lastTimestamp": "2026-01-02T03:05:00Z", "eventTime": null,
        }));
        let expected = [
            ("k8s.node.name", "node-1"),
            ("k8s.object.kind", "Pod"),
            ("k8s.object.name", "web"),
            ("k8s.object.uid", "u2"),
            ("k8s.object.fieldpath", "spec.containers{nginx}"),
            ("k8s.object.api_version", "v1"),
            ("k8s.object.resource_version", "7"),
        ];
        assert_eq!(texts(&told["resource"]["attributes"]), expected);
        let record = &told["scopeLogs"][0]["logRecords"][0];
        let expected = [
            ("k8s.event.reason", "BackOff"),
            ("k8s.event.action", ""),
            ("k8s.event.start_time", "2026-01-02 03:04:05 +0000 UTC"),
            ("k8s.event.name", "web.1"),
            ("k8s.event.uid", "u1"),
            ("k8s.namespace.name", "shop"),
            ("k8s.event.count", "?"),
        ];
        assert_eq!(texts(&record["attributes"]), expected);
        assert_eq!(record["body"]["stringValue"], "Back-off restarting");
        assert_eq!((&record["severityNumber"], &record["severityText"]), (&json!(13), &json!("Warning")));
        assert_eq!(record["timeUnixNano"], "1767323100000000000");
    }

    #[test]
    fn the_newest_form_of_time_counts_and_a_missing_one_is_that_of_the_creation() {
        let event = json!({"eventTime": "2026-01-02T03:04:05.250000Z", "lastTimestamp": "2026-01-02T03:05:00Z"});
        assert_eq!(time_of(&event), 1_767_323_045_250_000_000);
        assert_eq!(
            time_of(&json!({"metadata": {"creationTimestamp": "2026-01-02T03:04:05Z"}})),
            1_767_323_045_000_000_000
        );
        assert_eq!(time_of(&json!({})), 0);
    }

    #[test]
    fn an_unknown_type_has_no_severity_and_no_count_is_none() {
        let told = told(json!({"type": "Odd", "message": "m"}));
        let record = &told["scopeLogs"][0]["logRecords"][0];
        assert_eq!((&record["severityNumber"], &record["severityText"]), (&json!(0), &json!("")));
        assert!(!record["attributes"].to_string().contains("k8s.event.count"));
    }

    #[test]
    fn keys_are_read() {
        let (config, problems) = section(
            &json!({"namespaces": ["a", "b"], "storage": "file_storage", "dedup_interval": "1m", "leader_elector": "e"}),
            Configured::<Config>::read,
        );
        assert_eq!(config.reader.namespaces, ["a", "b"]);
        assert!(config.elector().is_some() && problems.errors.is_empty());
        assert_eq!(problems.warnings.len(), 2, "{problems:?}");
    }
}
