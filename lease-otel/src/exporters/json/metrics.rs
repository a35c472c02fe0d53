//! The metrics of OTLP as JSON.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogramDataPoint, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, SummaryDataPoint, exemplar, number_data_point,
};

use super::writer::Object;
use super::{Below, attributes, key_value, of_resource, of_scope};

pub(super) fn resource_metrics(object: &mut Object<'_>, metrics: &ResourceMetrics) {
    let scopes: Below<'_, _> = ("scopeMetrics", &metrics.scope_metrics, scope_metrics);
    of_resource(object, metrics.resource.as_ref(), scopes, &metrics.schema_url);
}

fn scope_metrics(object: &mut Object<'_>, metrics: &ScopeMetrics) {
    of_scope(object, metrics.scope.as_ref(), ("metrics", &metrics.metrics, metric), &metrics.schema_url);
}

fn metric(object: &mut Object<'_>, metric: &Metric) {
    object.text("name", &metric.name);
    object.text("description", &metric.description);
    object.text("unit", &metric.unit);
    match &metric.data {
        None => {}
        Some(Data::Gauge(gauge)) => object.object("gauge", |object| {
            object.objects("dataPoints", &gauge.data_points, number_point);
        }),
        Some(Data::Sum(sum)) => object.object("sum", |object| {
            object.objects("dataPoints", &sum.data_points, number_point);
            object.number("aggregationTemporality", sum.aggregation_temporality);
            object.flag("isMonotonic", sum.is_monotonic);
        }),
        Some(Data::Histogram(histogram)) => object.object("histogram", |object| {
            object.objects("dataPoints", &histogram.data_points, histogram_point);
            object.number("aggregationTemporality", histogram.aggregation_temporality);
        }),
        Some(Data::ExponentialHistogram(histogram)) => object.object("exponentialHistogram", |object| {
            object.objects("dataPoints", &histogram.data_points, exponential_point);
            object.number("aggregationTemporality", histogram.aggregation_temporality);
        }),
        Some(Data::Summary(summary)) => object.object("summary", |object| {
            object.objects("dataPoints", &summary.data_points, summary_point);
        }),
    }
    object.objects("metadata", &metric.metadata, key_value);
}

/// What a point of any kind begins with.
fn stamped(object: &mut Object<'_>, of: &[KeyValue], start: u64, time: u64) {
    attributes(object, of);
    object.nanos("startTimeUnixNano", start);
    object.nanos("timeUnixNano", time);
}

fn number_point(object: &mut Object<'_>, point: &NumberDataPoint) {
    stamped(object, &point.attributes, point.start_time_unix_nano, point.time_unix_nano);
    match point.value {
        None => {}
        Some(number_data_point::Value::AsDouble(value)) => object.any_double("asDouble", value),
        Some(number_data_point::Value::AsInt(value)) => object.quoted_number("asInt", value),
    }
    object.objects("exemplars", &point.exemplars, exemplar);
    object.count("flags", point.flags);
}

fn histogram_point(object: &mut Object<'_>, point: &HistogramDataPoint) {
    stamped(object, &point.attributes, point.start_time_unix_nano, point.time_unix_nano);
    object.nanos("count", point.count);
    optional(object, "sum", point.sum);
    object.quoted_numbers("bucketCounts", &point.bucket_counts);
    object.doubles("explicitBounds", &point.explicit_bounds);
    object.objects("exemplars", &point.exemplars, exemplar);
    object.count("flags", point.flags);
    optional(object, "min", point.min);
    optional(object, "max", point.max);
}

fn exponential_point(object: &mut Object<'_>, point: &ExponentialHistogramDataPoint) {
    stamped(object, &point.attributes, point.start_time_unix_nano, point.time_unix_nano);
    object.nanos("count", point.count);
    optional(object, "sum", point.sum);
    object.number("scale", point.scale);
    object.nanos("zeroCount", point.zero_count);
    object.object("positive", |object| buckets(object, point.positive.as_ref()));
    object.object("negative", |object| buckets(object, point.negative.as_ref()));
    object.count("flags", point.flags);
    object.objects("exemplars", &point.exemplars, exemplar);
    optional(object, "min", point.min);
    optional(object, "max", point.max);
    object.double("zeroThreshold", point.zero_threshold);
}

fn buckets(object: &mut Object<'_>, buckets: Option<&Buckets>) {
    let Some(buckets) = buckets else { return };
    object.number("offset", buckets.offset);
    object.quoted_numbers("bucketCounts", &buckets.bucket_counts);
}

fn summary_point(object: &mut Object<'_>, point: &SummaryDataPoint) {
    stamped(object, &point.attributes, point.start_time_unix_nano, point.time_unix_nano);
    object.nanos("count", point.count);
    object.double("sum", point.sum);
    object.objects("quantileValues", &point.quantile_values, |object, value| {
        object.double("quantile", value.quantile);
        object.double("value", value.value);
    });
    object.count("flags", point.flags);
}

fn exemplar(object: &mut Object<'_>, exemplar: &Exemplar) {
    object.objects("filteredAttributes", &exemplar.filtered_attributes, key_value);
    object.nanos("timeUnixNano", exemplar.time_unix_nano);
    match exemplar.value {
        None => {}
        Some(exemplar::Value::AsDouble(value)) => object.any_double("asDouble", value),
        Some(exemplar::Value::AsInt(value)) => object.quoted_number("asInt", value),
    }
    // In this order, other than their numbers.
    object.hex("traceId", &exemplar.trace_id);
    object.hex("spanId", &exemplar.span_id);
}

/// A double that may be zero, or missing.
fn optional(object: &mut Object<'_>, key: &str, value: Option<f64>) {
    if let Some(value) = value {
        object.any_double(key, value);
    }
}
