//! Objects as log records, by namespace.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource as Named;
use serde_json::{Value as Json, json};

use crate::receivers::kubernetes::follow::Change;
use crate::receivers::kubernetes::otlp;

/// Objects as they were read.
pub(super) fn pulled(plural: &str, objects: impl Iterator<Item = Json>, now: u64) -> Vec<ResourceLogs> {
    by_namespace(objects.map(|object| (namespace_of(&object), record(plural, object, Vec::new(), now))))
}

/// Changes of objects, each with what became of it.
pub(super) fn watched(plural: &str, changes: impl Iterator<Item = Change>, now: u64) -> Vec<ResourceLogs> {
    by_namespace(changes.map(|change| {
        let name = change.object["metadata"]["name"].as_str().unwrap_or_default();
        let more = match name {
            "" => Vec::new(),
            name => vec![otlp::text("event.domain", "k8s"), otlp::text("event.name", name)],
        };
        let namespace = namespace_of(&change.object);
        let body = json!({"type": change.kind, "object": change.object});
        (namespace, record(plural, body, more, now))
    }))
}

fn namespace_of(object: &Json) -> String {
    object["metadata"]["namespace"].as_str().unwrap_or_default().to_owned()
}

fn record(plural: &str, body: Json, more: Vec<KeyValue>, now: u64) -> LogRecord {
    let mut attributes = vec![otlp::text("k8s.resource.name", plural)];
    attributes.extend(more);
    LogRecord { observed_time_unix_nano: now, body: Some(otlp::any(body)), attributes, ..LogRecord::default() }
}

fn by_namespace(records: impl Iterator<Item = (String, LogRecord)>) -> Vec<ResourceLogs> {
    let mut namespaces: BTreeMap<String, Vec<LogRecord>> = BTreeMap::new();
    for (namespace, record) in records {
        namespaces.entry(namespace).or_default().push(record);
    }
    let logs = |(namespace, log_records): (String, Vec<LogRecord>)| {
        let named = (!namespace.is_empty()).then(|| otlp::text("k8s.namespace.name", namespace));
        let scope =
            otlp::scope("github.com/open-telemetry/opentelemetry-collector-contrib/receiver/k8sobjectsreceiver");
        ResourceLogs {
            resource: Some(Named { attributes: named.into_iter().collect(), ..Named::default() }),
            scope_logs: vec![ScopeLogs { scope: Some(scope), log_records, schema_url: String::new() }],
            schema_url: String::new(),
        }
    };
    namespaces.into_iter().map(logs).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &str, namespace: Option<&str>) -> Json {
        json!({"kind": "Pod", "metadata": {"name": name, "namespace": namespace}})
    }

    #[test]
    fn what_was_pulled_is_the_body_and_each_namespace_a_resource() {
        let objects = [object("a", Some("x")), object("b", None), object("c", Some("x"))];
        let told = serde_json::to_value(pulled("pods", objects.into_iter(), 9)).unwrap();
        assert_eq!(told.as_array().unwrap().len(), 2);
        assert!(told[0]["resource"]["attributes"].as_array().unwrap().is_empty());
        assert_eq!(told[1]["resource"]["attributes"][0]["value"]["stringValue"], "x");
        let records = told[1]["scopeLogs"][0]["logRecords"].as_array().unwrap();
        assert_eq!(records.len(), 2);
        assert_eq!(records[0]["attributes"].as_array().unwrap().len(), 1);
        assert_eq!(records[0]["attributes"][0]["value"]["stringValue"], "pods");
        assert_eq!(records[0]["observedTimeUnixNano"], "9");
        assert_eq!(records[0]["body"]["kvlistValue"]["values"][0]["key"], "kind");
    }

    #[test]
    fn what_was_watched_says_what_became_of_it() {
        let change = Change { kind: "DELETED", object: object("a", Some("x")) };
        let told = serde_json::to_value(watched("pods", std::iter::once(change), 9)).unwrap();
        let record = &told[0]["scopeLogs"][0]["logRecords"][0];
        let attributes: Vec<(&str, &str)> = record["attributes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|pair| (pair["key"].as_str().unwrap(), pair["value"]["stringValue"].as_str().unwrap()))
            .collect();
        assert_eq!(attributes, [("k8s.resource.name", "pods"), ("event.domain", "k8s"), ("event.name", "a")]);
        let body = &record["body"]["kvlistValue"]["values"];
        let of = |key: &str| body.as_array().unwrap().iter().find(|pair| pair["key"] == key).unwrap()["value"].clone();
        assert_eq!(of("type")["stringValue"], "DELETED");
        assert!(of("object")["kvlistValue"].is_object());
        assert_eq!(told[0]["resource"]["attributes"][0]["key"], "k8s.namespace.name");
    }
}
