//! The points of the kinds of metrics.

use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogramDataPoint, HistogramDataPoint, NumberDataPoint, SummaryDataPoint, exemplar,
    number_data_point,
};

use super::{Page, time, word};
use crate::exporters::go::{fixed, hex};

pub(super) fn kind(data: Option<&Data>) -> &'static str {
    match data {
        None => "Empty",
        Some(Data::Gauge(_)) => "Gauge",
        Some(Data::Sum(_)) => "Sum",
        Some(Data::Histogram(_)) => "Histogram",
        Some(Data::ExponentialHistogram(_)) => "ExponentialHistogram",
        Some(Data::Summary(_)) => "Summary",
    }
}

impl Page {
    pub(super) fn points(&mut self, data: &Data) {
        match data {
            Data::Gauge(gauge) => self.numbers(&gauge.data_points),
            Data::Sum(sum) => {
                self.field("     -> IsMonotonic", sum.is_monotonic);
                self.temporality(sum.aggregation_temporality);
                self.numbers(&sum.data_points);
            }
            Data::Histogram(histogram) => {
                self.temporality(histogram.aggregation_temporality);
                for (index, point) in histogram.data_points.iter().enumerate() {
                    self.line(format_args!("HistogramDataPoints #{index}"));
                    self.histogram(point);
                }
            }
            Data::ExponentialHistogram(histogram) => {
                self.temporality(histogram.aggregation_temporality);
                for (index, point) in histogram.data_points.iter().enumerate() {
                    self.line(format_args!("ExponentialHistogramDataPoints #{index}"));
                    self.exponential(point);
                }
            }
            Data::Summary(summary) => {
                for (index, point) in summary.data_points.iter().enumerate() {
                    self.line(format_args!("SummaryDataPoints #{index}"));
                    self.summary(point);
                }
            }
        }
    }

    fn temporality(&mut self, temporality: i32) {
        self.field("     -> AggregationTemporality", word(temporality, &["Unspecified", "Delta", "Cumulative"]));
    }

    fn times(&mut self, start: u64, at: u64) {
        self.field("StartTimestamp", time(start));
        self.field("Timestamp", time(at));
    }

    fn numbers(&mut self, points: &[NumberDataPoint]) {
        for (index, point) in points.iter().enumerate() {
            self.line(format_args!("NumberDataPoints #{index}"));
            self.attributes("Data point attributes", &point.attributes);
            self.times(point.start_time_unix_nano, point.time_unix_nano);
            match point.value {
                None => {}
                Some(number_data_point::Value::AsInt(value)) => self.field("Value", value),
                Some(number_data_point::Value::AsDouble(value)) => self.field("Value", fixed(value)),
            }
            self.exemplars(&point.exemplars);
        }
    }

    fn moments(&mut self, count: u64, sum: Option<f64>, min: Option<f64>, max: Option<f64>) {
        self.field("Count", count);
        for (name, value) in [("Sum", sum), ("Min", min), ("Max", max)] {
            if let Some(value) = value {
                self.field(name, fixed(value));
            }
        }
    }

    fn histogram(&mut self, point: &HistogramDataPoint) {
        self.attributes("Data point attributes", &point.attributes);
        self.times(point.start_time_unix_nano, point.time_unix_nano);
        self.moments(point.count, point.sum, point.min, point.max);
        for (index, bound) in point.explicit_bounds.iter().enumerate() {
            self.field(&format!("ExplicitBounds #{index}"), fixed(*bound));
        }
        for (index, count) in point.bucket_counts.iter().enumerate() {
            self.line(format_args!("Buckets #{index}, Count: {count}"));
        }
        self.exemplars(&point.exemplars);
    }

    fn exponential(&mut self, point: &ExponentialHistogramDataPoint) {
        self.attributes("Data point attributes", &point.attributes);
        self.times(point.start_time_unix_nano, point.time_unix_nano);
        self.moments(point.count, point.sum, point.min, point.max);
        let factor = std::f64::consts::LN_2 * (-f64::from(point.scale)).exp2();
        // The bounds of the bucket of each index, as sizes: what is below zero is told from the other side.
        let bounds = |index: f64| ((index * factor).exp(), ((index + 1.0) * factor).exp());
        if let Some(buckets) = &point.negative {
            let indexes = indexes(buckets.offset, &buckets.bucket_counts);
            for (index, count) in indexes.zip(&buckets.bucket_counts).collect::<Vec<_>>().into_iter().rev() {
                let (lower, upper) = bounds(index);
                self.line(format_args!("Bucket [{}, {}), Count: {count}", fixed(-upper), fixed(-lower)));
            }
        }
        if point.zero_count != 0 {
            self.line(format_args!("Bucket [0, 0], Count: {}", point.zero_count));
        }
        if let Some(buckets) = &point.positive {
            for (index, count) in indexes(buckets.offset, &buckets.bucket_counts).zip(&buckets.bucket_counts) {
                let (lower, upper) = bounds(index);
                self.line(format_args!("Bucket ({}, {}], Count: {count}", fixed(lower), fixed(upper)));
            }
        }
        self.exemplars(&point.exemplars);
    }

    fn summary(&mut self, point: &SummaryDataPoint) {
        self.attributes("Data point attributes", &point.attributes);
        self.times(point.start_time_unix_nano, point.time_unix_nano);
        self.field("Count", point.count);
        self.field("Sum", fixed(point.sum));
        for (index, value) in point.quantile_values.iter().enumerate() {
            let (quantile, value) = (fixed(value.quantile), fixed(value.value));
            self.line(format_args!("QuantileValue #{index}: Quantile {quantile}, Value {value}"));
        }
    }

    fn exemplars(&mut self, exemplars: &[Exemplar]) {
        if !exemplars.is_empty() {
            self.line("Exemplars:");
        }
        for (index, exemplar) in exemplars.iter().enumerate() {
            self.line(format_args!("Exemplar #{index}"));
            self.field("     -> Trace ID", hex(&exemplar.trace_id));
            self.field("     -> Span ID", hex(&exemplar.span_id));
            self.field("     -> Timestamp", time(exemplar.time_unix_nano));
            match exemplar.value {
                None => {}
                Some(exemplar::Value::AsInt(value)) => self.field("     -> Value", value),
                Some(exemplar::Value::AsDouble(value)) => self.field("     -> Value", fixed(value)),
            }
            self.attributes("     -> FilteredAttributes", &exemplar.filtered_attributes);
        }
    }
}

/// The indexes of buckets, the first of which is the offset.
fn indexes(offset: i32, counts: &[u64]) -> impl Iterator<Item = f64> + use<> {
    let count = i32::try_from(counts.len()).unwrap_or(i32::MAX);
    (offset..offset.saturating_add(count)).map(f64::from)
}
