//! One `ResourceMetrics` for each object.

use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Metric as Sent, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric,
};
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::catalog::{Attribute, Metric};
use super::config::Report;
use crate::receivers::kubernetes::otlp;

/// What is made of all objects at one moment.
#[derive(Debug)]
pub(super) struct Emission<'a> {
    pub(super) report: &'a Report,
    /// When the receiver was started, in nanoseconds since 1970.
    pub(super) started: u64,
    pub(super) now: u64,
    pub(super) resources: Vec<ResourceMetrics>,
}

/// What is made of one object.
#[derive(Debug)]
pub(super) struct Object<'e, 'a> {
    emission: &'e mut Emission<'a>,
    attributes: Vec<KeyValue>,
    metrics: Vec<Sent>,
}

impl<'a> Emission<'a> {
    /// Begins an object.
    pub(super) fn object(&mut self) -> Object<'_, 'a> {
        Object { emission: self, attributes: Vec::new(), metrics: Vec::new() }
    }
}

impl Object<'_, '_> {
    /// Names the object, if the attribute is on.
    pub(super) fn name(&mut self, attribute: Attribute, value: &str) -> &mut Self {
        if self.emission.report.names(attribute) {
            self.attributes.push(otlp::text(attribute.entry().name, value));
        }
        self
    }

    /// A whole number, if the metric is on.
    pub(super) fn int(&mut self, metric: Metric, value: i64) -> &mut Self {
        self.point(metric, Value::AsInt(value), None, false);
        self
    }

    /// A number with a fraction, if the metric is on.
    pub(super) fn double(&mut self, metric: Metric, value: f64) -> &mut Self {
        self.point(metric, Value::AsDouble(value), None, false);
        self
    }

    /// One of several points of a metric, told apart by an attribute.
    pub(super) fn int_of(&mut self, metric: Metric, value: i64, key: &str, name: &str) {
        self.point(metric, Value::AsInt(value), Some(otlp::text(key, name)), false);
    }

    /// The same, of a metric whose points may be added up.
    pub(super) fn summand_of(&mut self, metric: Metric, value: i64, key: &str, name: &str) {
        self.point(metric, Value::AsInt(value), Some(otlp::text(key, name)), true);
    }

    fn point(&mut self, metric: Metric, value: Value, attribute: Option<KeyValue>, is_sum: bool) {
        if !self.emission.report.has(metric) {
            return;
        }
        let point = NumberDataPoint {
            attributes: attribute.into_iter().collect(),
            start_time_unix_nano: self.emission.started,
            time_unix_nano: self.emission.now,
            value: Some(value),
            ..NumberDataPoint::default()
        };
        let entry = metric.entry();
        if let Some(last) = self.metrics.iter_mut().rfind(|sent| sent.name == entry.name) {
            match &mut last.data {
                Some(metric::Data::Gauge(gauge)) => gauge.data_points.push(point),
                Some(metric::Data::Sum(sum)) => sum.data_points.push(point),
                _ => {}
            }
            return;
        }
        let data = if is_sum {
            metric::Data::Sum(Sum {
                data_points: vec![point],
                aggregation_temporality: AggregationTemporality::Cumulative.into(),
                is_monotonic: false,
            })
        } else {
            metric::Data::Gauge(Gauge { data_points: vec![point] })
        };
        self.metrics.push(sent(entry.name.to_owned(), entry.unit.to_owned(), entry.about.to_owned(), data));
    }

    /// A metric whose name the configuration gives; like the reference's, it has no start time.
    pub(super) fn named(&mut self, name: String, unit: String, about: String, value: Value) {
        let point =
            NumberDataPoint { time_unix_nano: self.emission.now, value: Some(value), ..NumberDataPoint::default() };
        self.metrics.push(sent(name, unit, about, metric::Data::Gauge(Gauge { data_points: vec![point] })));
    }

    /// Ends the object. One without metrics is left out.
    pub(super) fn end(&mut self) {
        let (attributes, metrics) = (std::mem::take(&mut self.attributes), std::mem::take(&mut self.metrics));
        if metrics.is_empty() {
            return;
        }
        self.emission.resources.push(ResourceMetrics {
            resource: Some(Resource { attributes, ..Resource::default() }),
            scope_metrics: vec![ScopeMetrics { scope: Some(scope()), metrics, schema_url: String::new() }],
            schema_url: SCHEMA.to_owned(),
        });
    }
}

fn sent(name: String, unit: String, description: String, data: metric::Data) -> Sent {
    Sent { name, unit, description, data: Some(data), ..Sent::default() }
}

fn scope() -> InstrumentationScope {
    otlp::scope("github.com/open-telemetry/opentelemetry-collector-contrib/receiver/k8sclusterreceiver")
}

/// The version of the conventions that the names are of.
const SCHEMA: &str = "https://opentelemetry.io/schemas/1.18.0";
