//! Every field of every point, record and span.

mod points;

use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{Span, span};

use crate::data::Telemetry;
use crate::exporters::go::{hex, value_kind, value_text};

pub(super) fn text(telemetry: &Telemetry) -> String {
    let mut page = Page::default();
    match telemetry {
        Telemetry::Metrics(resources) => {
            for (index, resource) in resources.iter().enumerate() {
                page.resource("ResourceMetrics", index, &resource.schema_url, resource.resource.as_ref());
                for (index, scope) in resource.scope_metrics.iter().enumerate() {
                    page.scope("ScopeMetrics", index, &scope.schema_url, scope.scope.as_ref());
                    for (index, metric) in scope.metrics.iter().enumerate() {
                        page.line(format_args!("Metric #{index}"));
                        page.metric(metric);
                    }
                }
            }
        }
        Telemetry::Logs(resources) => {
            for (index, resource) in resources.iter().enumerate() {
                page.resource("ResourceLog", index, &resource.schema_url, resource.resource.as_ref());
                for (index, scope) in resource.scope_logs.iter().enumerate() {
                    page.scope("ScopeLogs", index, &scope.schema_url, scope.scope.as_ref());
                    for (index, record) in scope.log_records.iter().enumerate() {
                        page.line(format_args!("LogRecord #{index}"));
                        page.record(record);
                    }
                }
            }
        }
        Telemetry::Traces(resources) => {
            for (index, resource) in resources.iter().enumerate() {
                page.resource("ResourceSpans", index, &resource.schema_url, resource.resource.as_ref());
                for (index, scope) in resource.scope_spans.iter().enumerate() {
                    page.scope("ScopeSpans", index, &scope.schema_url, scope.scope.as_ref());
                    for (index, span) in scope.spans.iter().enumerate() {
                        page.line(format_args!("Span #{index}"));
                        page.span(span);
                    }
                }
            }
        }
    }
    page.text
}

#[derive(Debug, Default)]
struct Page {
    text: String,
}

impl Page {
    fn line(&mut self, line: impl fmt::Display) {
        self.text.push_str(&line.to_string());
        self.text.push('\n');
    }

    /// A line `name: value`.
    fn field(&mut self, name: &str, value: impl fmt::Display) {
        self.line(format_args!("{name}: {value}"));
    }

    /// One whose colons stand below each other.
    fn aligned(&mut self, name: &str, value: impl fmt::Display) {
        self.line(format_args!("    {name:<15}: {value}"));
    }

    fn attributes(&mut self, header: &str, attributes: &[KeyValue]) {
        if attributes.is_empty() {
            return;
        }
        self.line(format_args!("{header}:"));
        let indent = header.split_once("->").map_or("", |(indent, _)| indent);
        for entry in attributes {
            let value = typed(entry.value.as_ref());
            self.line(format_args!("{indent}     -> {}: {value}", entry.key));
        }
    }

    fn resource(&mut self, name: &str, index: usize, schema_url: &str, resource: Option<&Resource>) {
        self.line(format_args!("{name} #{index}"));
        self.field("Resource SchemaURL", schema_url);
        let Some(resource) = resource else { return };
        self.attributes("Resource attributes", &resource.attributes);
        if resource.entity_refs.is_empty() {
            return;
        }
        self.line("Resource entity refs:");
        for (index, entity) in resource.entity_refs.iter().enumerate() {
            self.line(format_args!("     -> Entity ref #{index}:"));
            self.line(format_args!("          -> Type: {}", entity.r#type));
            if !entity.schema_url.is_empty() {
                self.line(format_args!("          -> Schema URL: {}", entity.schema_url));
            }
            for (header, keys) in [("ID", &entity.id_keys), ("Description", &entity.description_keys)] {
                if !keys.is_empty() {
                    self.line(format_args!("          -> {header} keys:"));
                }
                for key in keys {
                    self.line(format_args!("               -> {key}"));
                }
            }
        }
    }

    fn scope(&mut self, name: &str, index: usize, schema_url: &str, scope: Option<&InstrumentationScope>) {
        self.line(format_args!("{name} #{index}"));
        self.field(&format!("{name} SchemaURL"), schema_url);
        let none = InstrumentationScope::default();
        let scope = scope.unwrap_or(&none);
        self.line(format_args!("InstrumentationScope {} {}", scope.name, scope.version));
        self.attributes("InstrumentationScope attributes", &scope.attributes);
    }

    fn metric(&mut self, metric: &Metric) {
        self.line("Descriptor:");
        self.field("     -> Name", &metric.name);
        self.field("     -> Description", &metric.description);
        self.field("     -> Unit", &metric.unit);
        self.field("     -> DataType", points::kind(metric.data.as_ref()));
        self.attributes("     -> Metadata", &metric.metadata);
        if let Some(data) = &metric.data {
            self.points(data);
        }
    }

    fn record(&mut self, record: &LogRecord) {
        self.field("ObservedTimestamp", time(record.observed_time_unix_nano));
        self.field("Timestamp", time(record.time_unix_nano));
        self.field("SeverityText", &record.severity_text);
        let number = record.severity_number;
        self.field("SeverityNumber", format_args!("{}({number})", severity(number)));
        if !record.event_name.is_empty() {
            self.field("EventName", &record.event_name);
        }
        self.field("Body", typed(record.body.as_ref()));
        self.attributes("Attributes", &record.attributes);
        self.field("Trace ID", hex(&record.trace_id));
        self.field("Span ID", hex(&record.span_id));
        self.field("Flags", record.flags);
    }

    fn span(&mut self, span: &Span) {
        self.aligned("Trace ID", hex(&span.trace_id));
        self.aligned("Parent ID", hex(&span.parent_span_id));
        self.aligned("ID", hex(&span.span_id));
        self.aligned("Name", &span.name);
        self.aligned("Kind", word(span.kind, &["Unspecified", "Internal", "Server", "Client", "Producer", "Consumer"]));
        if !span.trace_state.is_empty() {
            self.aligned("TraceState", &span.trace_state);
        }
        self.aligned("Start time", time(span.start_time_unix_nano));
        self.aligned("End time", time(span.end_time_unix_nano));
        let (code, message) = span.status.as_ref().map_or((0, ""), |status| (status.code, &status.message));
        self.aligned("Status code", word(code, &["Unset", "Ok", "Error"]));
        self.aligned("Status message", message);
        self.aligned("DroppedAttributesCount", span.dropped_attributes_count);
        self.aligned("DroppedEventsCount", span.dropped_events_count);
        self.aligned("DroppedLinksCount", span.dropped_links_count);
        self.attributes("Attributes", &span.attributes);
        self.events(&span.events);
        self.links(&span.links);
    }

    fn events(&mut self, events: &[span::Event]) {
        if !events.is_empty() {
            self.line("Events:");
        }
        for (index, event) in events.iter().enumerate() {
            self.line(format_args!("SpanEvent #{index}"));
            self.field("     -> Name", &event.name);
            self.field("     -> Timestamp", time(event.time_unix_nano));
            self.field("     -> DroppedAttributesCount", event.dropped_attributes_count);
            self.attributes("     -> Attributes:", &event.attributes);
        }
    }

    fn links(&mut self, links: &[span::Link]) {
        if !links.is_empty() {
            self.line("Links:");
        }
        for (index, link) in links.iter().enumerate() {
            self.line(format_args!("SpanLink #{index}"));
            self.field("     -> Trace ID", hex(&link.trace_id));
            self.field("     -> ID", hex(&link.span_id));
            self.field("     -> TraceState", &link.trace_state);
            self.field("     -> DroppedAttributesCount", link.dropped_attributes_count);
            self.attributes("     -> Attributes:", &link.attributes);
        }
    }
}

/// A value with its kind.
fn typed(value: Option<&AnyValue>) -> String {
    format!("{}({})", value_kind(value), value_text(value))
}

/// The word for a number; empty for one that has none.
fn word(number: i32, words: &[&'static str]) -> &'static str {
    usize::try_from(number).ok().and_then(|index| words.get(index)).copied().unwrap_or_default()
}

/// Six levels of four numbers each, the first of which has none in its name.
fn severity(number: i32) -> String {
    const LEVELS: [&str; 6] = ["Trace", "Debug", "Info", "Warn", "Error", "Fatal"];
    match number {
        0 => "Unspecified".to_owned(),
        1..=24 => {
            let level = word((number - 1) / 4, &LEVELS);
            match (number - 1) % 4 {
                0 => level.to_owned(),
                further => format!("{level}{}", further + 1),
            }
        }
        _ => String::new(),
    }
}

/// A time in UTC, with as many digits as it needs.
fn time(nanos: u64) -> String {
    let Ok(time) = Timestamp::from_nanosecond(nanos.into()) else { return nanos.to_string() };
    let time = time.to_zoned(TimeZone::UTC);
    time.strftime("%Y-%m-%d %H:%M:%S%.f +0000 UTC").to_string()
}
