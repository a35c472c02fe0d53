//! OTLP as JSON, byte by byte as the Collector writes it.
//!
//! The types' own serialization is another form of the same: it writes what is empty, too, and other numbers.

mod metrics;
mod writer;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span};

use self::writer::Object;
use crate::data::Telemetry;

/// One object without a line break: a line of a file, or a request.
pub(crate) fn encode(telemetry: &Telemetry) -> String {
    let mut out = String::new();
    let mut object = Object::open(&mut out);
    match telemetry {
        Telemetry::Metrics(resources) => object.objects("resourceMetrics", resources, metrics::resource_metrics),
        Telemetry::Logs(resources) => object.objects("resourceLogs", resources, resource_logs),
        Telemetry::Traces(resources) => object.objects("resourceSpans", resources, resource_spans),
    }
    object.close();
    out
}

fn resource(object: &mut Object<'_>, resource: Option<&Resource>) {
    object.object("resource", |object| {
        let Some(resource) = resource else { return };
        attributes(object, &resource.attributes);
        object.count("droppedAttributesCount", resource.dropped_attributes_count);
        object.objects("entityRefs", &resource.entity_refs, |object, entity| {
            object.text("schemaUrl", &entity.schema_url);
            object.text("type", &entity.r#type);
            object.texts("idKeys", &entity.id_keys);
            object.texts("descriptionKeys", &entity.description_keys);
        });
    });
}

fn scope(object: &mut Object<'_>, scope: Option<&InstrumentationScope>) {
    object.object("scope", |object| {
        let Some(scope) = scope else { return };
        object.text("name", &scope.name);
        object.text("version", &scope.version);
        attributes(object, &scope.attributes);
        object.count("droppedAttributesCount", scope.dropped_attributes_count);
    });
}

fn attributes(object: &mut Object<'_>, attributes: &[KeyValue]) {
    object.objects("attributes", attributes, key_value);
}

fn key_value(object: &mut Object<'_>, entry: &KeyValue) {
    object.text("key", &entry.key);
    object.object("value", |object| any_value(object, entry.value.as_ref()));
}

fn any_value(object: &mut Object<'_>, value: Option<&AnyValue>) {
    match value.and_then(|value| value.value.as_ref()) {
        None => {}
        Some(Value::StringValue(text)) => object.any_text("stringValue", text),
        Some(Value::BoolValue(value)) => object.bare("boolValue", value),
        Some(Value::IntValue(value)) => object.quoted_number("intValue", value),
        Some(Value::DoubleValue(value)) => object.any_double("doubleValue", *value),
        Some(Value::ArrayValue(list)) => object.object("arrayValue", |object| {
            object.objects("values", &list.values, |object, value| any_value(object, Some(value)));
        }),
        Some(Value::KvlistValue(map)) => object.object("kvlistValue", |object| {
            object.objects("values", &map.values, key_value);
        }),
        Some(Value::BytesValue(bytes)) => object.base64("bytesValue", bytes),
        Some(Value::StringValueStrindex(index)) => object.bare("stringValueStrindex", index),
    }
}

/// What stands below a resource or a scope: a list, with its key.
type Below<'a, T> = (&'a str, &'a [T], fn(&mut Object<'_>, &T));

/// A resource of any signal, and its scopes.
fn of_resource<T>(object: &mut Object<'_>, of: Option<&Resource>, (key, scopes, write): Below<'_, T>, schema: &str) {
    resource(object, of);
    object.objects(key, scopes, write);
    object.text("schemaUrl", schema);
}

/// A scope of any signal, and what it holds.
fn of_scope<T>(
    object: &mut Object<'_>,
    of: Option<&InstrumentationScope>,
    (key, items, write): Below<'_, T>,
    schema: &str,
) {
    scope(object, of);
    object.objects(key, items, write);
    object.text("schemaUrl", schema);
}

fn resource_logs(object: &mut Object<'_>, logs: &ResourceLogs) {
    of_resource(object, logs.resource.as_ref(), ("scopeLogs", &logs.scope_logs, scope_logs), &logs.schema_url);
}

fn scope_logs(object: &mut Object<'_>, logs: &ScopeLogs) {
    of_scope(object, logs.scope.as_ref(), ("logRecords", &logs.log_records, log_record), &logs.schema_url);
}

fn log_record(object: &mut Object<'_>, record: &LogRecord) {
    object.nanos("timeUnixNano", record.time_unix_nano);
    object.nanos("observedTimeUnixNano", record.observed_time_unix_nano);
    object.number("severityNumber", record.severity_number);
    object.text("severityText", &record.severity_text);
    object.object("body", |object| any_value(object, record.body.as_ref()));
    attributes(object, &record.attributes);
    object.count("droppedAttributesCount", record.dropped_attributes_count);
    object.count("flags", record.flags);
    object.hex("traceId", &record.trace_id);
    object.hex("spanId", &record.span_id);
    object.text("eventName", &record.event_name);
}

fn resource_spans(object: &mut Object<'_>, spans: &ResourceSpans) {
    of_resource(object, spans.resource.as_ref(), ("scopeSpans", &spans.scope_spans, scope_spans), &spans.schema_url);
}

fn scope_spans(object: &mut Object<'_>, spans: &ScopeSpans) {
    of_scope(object, spans.scope.as_ref(), ("spans", &spans.spans, span), &spans.schema_url);
}

fn span(object: &mut Object<'_>, span: &Span) {
    object.hex("traceId", &span.trace_id);
    object.hex("spanId", &span.span_id);
    object.text("traceState", &span.trace_state);
    object.hex("parentSpanId", &span.parent_span_id);
    object.count("flags", span.flags);
    object.text("name", &span.name);
    object.number("kind", span.kind);
    object.nanos("startTimeUnixNano", span.start_time_unix_nano);
    object.nanos("endTimeUnixNano", span.end_time_unix_nano);
    attributes(object, &span.attributes);
    object.count("droppedAttributesCount", span.dropped_attributes_count);
    object.objects("events", &span.events, event);
    object.count("droppedEventsCount", span.dropped_events_count);
    object.objects("links", &span.links, link);
    object.count("droppedLinksCount", span.dropped_links_count);
    object.object("status", |object| status(object, span.status.as_ref()));
}

fn event(object: &mut Object<'_>, event: &span::Event) {
    object.nanos("timeUnixNano", event.time_unix_nano);
    object.text("name", &event.name);
    attributes(object, &event.attributes);
    object.count("droppedAttributesCount", event.dropped_attributes_count);
}

fn link(object: &mut Object<'_>, link: &span::Link) {
    object.hex("traceId", &link.trace_id);
    object.hex("spanId", &link.span_id);
    object.text("traceState", &link.trace_state);
    attributes(object, &link.attributes);
    object.count("droppedAttributesCount", link.dropped_attributes_count);
    object.count("flags", link.flags);
}

fn status(object: &mut Object<'_>, status: Option<&Status>) {
    let Some(status) = status else { return };
    object.text("message", &status.message);
    object.number("code", status.code);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exporters::recorded;

    #[test]
    fn lines_are_those_of_the_collector() {
        for recorded in recorded::all() {
            let line = encode(&recorded.telemetry) + "\n";
            assert!(line == recorded.json, "ours:\n{line}\nthe Collector's:\n{}", recorded.json);
        }
    }
}
