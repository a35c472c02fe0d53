//! A line for each point, record or span.

use std::fmt::Write;

use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogramDataPoint, HistogramDataPoint, Metric, NumberDataPoint, SummaryDataPoint, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;

use crate::data::Telemetry;
use crate::exporters::go::{fixed, general, hex, value_text};

pub(super) fn text(telemetry: &Telemetry) -> String {
    let mut out = String::new();
    match telemetry {
        Telemetry::Metrics(resources) => {
            for (index, resource) in resources.iter().enumerate() {
                resource_line(&mut out, "ResourceMetrics", index, &resource.schema_url, resource.resource.as_ref());
                for scope in &resource.scope_metrics {
                    scope_line(&mut out, "ScopeMetrics", index, scope.scope.as_ref(), &scope.schema_url);
                    scope.metrics.iter().for_each(|metric| metric_lines(&mut out, metric));
                }
            }
        }
        Telemetry::Logs(resources) => {
            for (index, resource) in resources.iter().enumerate() {
                resource_line(&mut out, "ResourceLog", index, &resource.schema_url, resource.resource.as_ref());
                for scope in &resource.scope_logs {
                    scope_line(&mut out, "ScopeLog", index, scope.scope.as_ref(), &scope.schema_url);
                    for record in &scope.log_records {
                        let body = value_text(record.body.as_ref());
                        line(&mut out, format_args!("{body} {}", attributes(&record.attributes, " ")));
                    }
                }
            }
        }
        Telemetry::Traces(resources) => {
            for (index, resource) in resources.iter().enumerate() {
                resource_line(&mut out, "ResourceTraces", index, &resource.schema_url, resource.resource.as_ref());
                for scope in &resource.scope_spans {
                    scope_line(&mut out, "ScopeTraces", index, scope.scope.as_ref(), &scope.schema_url);
                    for span in &scope.spans {
                        let (trace, id) = (hex(&span.trace_id), hex(&span.span_id));
                        let attributes = spaced(&span.attributes);
                        line(&mut out, format_args!("{} {trace} {id}{attributes}", span.name));
                    }
                }
            }
        }
    }
    out
}

fn line(out: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a text cannot fail.
    let _ = writeln!(out, "{line}");
}

/// Entries as `key=value`.
fn attributes(attributes: &[KeyValue], between: &str) -> String {
    let all: Vec<String> =
        attributes.iter().map(|entry| format!("{}={}", entry.key, value_text(entry.value.as_ref()))).collect();
    all.join(between)
}

/// The same with a space before, if there are any.
fn spaced(entries: &[KeyValue]) -> String {
    if entries.is_empty() { String::new() } else { format!(" {}", attributes(entries, " ")) }
}

fn resource_line(out: &mut String, name: &str, index: usize, schema_url: &str, resource: Option<&Resource>) {
    let schema = if schema_url.is_empty() { String::new() } else { format!(" [{schema_url}]") };
    let attributes = resource.map_or_else(String::new, |resource| spaced(&resource.attributes));
    line(out, format_args!("{name} #{index}{schema}{attributes}"));
}

/// The number is that of the resource: so it is in the Collector.
fn scope_line(out: &mut String, name: &str, index: usize, scope: Option<&InstrumentationScope>, schema_url: &str) {
    let none = InstrumentationScope::default();
    let scope = scope.unwrap_or(&none);
    let mut details = scope.name.clone();
    if !scope.version.is_empty() {
        details.push('@');
        details.push_str(&scope.version);
    }
    if !schema_url.is_empty() {
        if !details.is_empty() {
            details.push(' ');
        }
        let _ = write!(details, "[{schema_url}]");
    }
    if !details.is_empty() {
        details.insert(0, ' ');
    }
    line(out, format_args!("{name} #{index}{details}{}", spaced(&scope.attributes)));
}

fn metric_lines(out: &mut String, metric: &Metric) {
    let name = &metric.name;
    let mut point = |entries: &[KeyValue], value: String| {
        line(out, format_args!("{name}{{{}}} {value}", attributes(entries, ",")));
    };
    match &metric.data {
        None => {}
        Some(Data::Gauge(gauge)) => gauge.data_points.iter().for_each(|p| point(&p.attributes, number(p))),
        Some(Data::Sum(sum)) => sum.data_points.iter().for_each(|p| point(&p.attributes, number(p))),
        Some(Data::Histogram(data)) => data.data_points.iter().for_each(|p| point(&p.attributes, histogram(p))),
        Some(Data::ExponentialHistogram(data)) => {
            data.data_points.iter().for_each(|p| point(&p.attributes, exponential(p)));
        }
        Some(Data::Summary(summary)) => summary.data_points.iter().for_each(|p| point(&p.attributes, quantiles(p))),
    }
}

fn number(point: &NumberDataPoint) -> String {
    match point.value {
        None => String::new(),
        Some(number_data_point::Value::AsInt(value)) => value.to_string(),
        Some(number_data_point::Value::AsDouble(value)) => general(value),
    }
}

fn moments(count: u64, sum: Option<f64>, min: Option<f64>, max: Option<f64>) -> String {
    let mut text = format!("count={count}");
    for (name, value) in [("sum", sum), ("min", min), ("max", max)] {
        if let Some(value) = value {
            let _ = write!(text, " {name}={}", general(value));
        }
    }
    text
}

fn histogram(point: &HistogramDataPoint) -> String {
    let mut text = moments(point.count, point.sum, point.min, point.max);
    for (index, count) in point.bucket_counts.iter().enumerate() {
        let bound =
            point.explicit_bounds.get(index).map_or_else(String::new, |bound| format!("le{}=", general(*bound)));
        let _ = write!(text, " {bound}{count}");
    }
    text
}

fn exponential(point: &ExponentialHistogramDataPoint) -> String {
    let mut text = moments(point.count, point.sum, point.min, point.max);
    let factor = std::f64::consts::LN_2 * (-f64::from(point.scale)).exp2();
    if let Some(buckets) = &point.negative {
        let mut index = f64::from(buckets.offset) + length(&buckets.bucket_counts);
        for count in buckets.bucket_counts.iter().rev() {
            index -= 1.0;
            let _ = write!(text, " le{}={count}", general(-(index * factor).exp()));
        }
    }
    if point.zero_count != 0 {
        let _ = write!(text, " zero={}", point.zero_count);
    }
    if let Some(buckets) = &point.positive {
        let mut index = f64::from(buckets.offset);
        for count in &buckets.bucket_counts {
            index += 1.0;
            let _ = write!(text, " le{}={count}", general((index * factor).exp()));
        }
    }
    text
}

#[allow(clippy::cast_precision_loss, reason = "nobody has 2^53 buckets")]
fn length(counts: &[u64]) -> f64 {
    counts.len() as f64
}

fn quantiles(point: &SummaryDataPoint) -> String {
    let mut text = format!("count={} sum={}", point.count, fixed(point.sum));
    for value in &point.quantile_values {
        let _ = write!(text, " q{}={}", general(value.quantile), general(value.value));
    }
    text
}
