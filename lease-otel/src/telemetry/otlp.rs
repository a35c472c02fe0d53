//! The metrics of the collector as OTLP: the same as in the text format, under the names that the OpenTelemetry Collector
//! gives its own, without `_total`.

use std::time::SystemTime;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::{Labels, Telemetry, help, without_ending};
use crate::receivers::kubernetes::otlp::{nanos, scope, text};

impl Telemetry {
    /// All metrics as of now: counters cumulative since this was made, gauges as they are.
    pub(crate) fn otlp(&self, resource: &[KeyValue]) -> Vec<ResourceMetrics> {
        let (began, now) = (nanos(self.began), nanos(SystemTime::now()));
        let point = |labels: &Labels, start_time_unix_nano, value| NumberDataPoint {
            attributes: labels.iter().map(|(name, value)| text(name, value)).collect(),
            start_time_unix_nano,
            time_unix_nano: now,
            value: Some(value),
            ..NumberDataPoint::default()
        };
        let metrics = self.metrics();
        let counters = metrics.counters.iter().map(|(name, points)| {
            let count = |count: u64| Value::AsInt(i64::try_from(count).unwrap_or(i64::MAX));
            let points = points.by_labels.iter().map(|(labels, counter)| point(labels, began, count(counter.get())));
            metric(
                without_ending(name),
                help(name),
                Data::Sum(Sum {
                    data_points: points.collect(),
                    aggregation_temporality: AggregationTemporality::Cumulative.into(),
                    is_monotonic: true,
                }),
            )
        });
        let gauges = metrics.gauges.iter().map(|(name, points)| {
            let points = points.by_labels.iter().map(|(labels, gauge)| point(labels, 0, Value::AsDouble(gauge.get())));
            metric(name, help(name), Data::Gauge(Gauge { data_points: points.collect() }))
        });
        let metrics = counters.chain(gauges).collect();
        vec![ResourceMetrics {
            resource: Some(Resource { attributes: resource.to_vec(), ..Resource::default() }),
            scope_metrics: vec![ScopeMetrics { scope: Some(scope(SCOPE)), metrics, ..ScopeMetrics::default() }],
            ..ResourceMetrics::default()
        }]
    }
}

fn metric(name: &str, description: &str, data: Data) -> Metric {
    Metric { name: name.to_owned(), description: description.to_owned(), data: Some(data), ..Metric::default() }
}

const SCOPE: &str = "lease-otel";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::component::Meter;
    use crate::telemetry::names;

    #[test]
    fn the_same_is_told_as_in_the_text_format() {
        let telemetry = Telemetry::new();
        let id = "otlp".parse().expect("a name");
        telemetry.add(names::DROPPED, &id, 5);
        telemetry.add(names::DROPPED, &id, 2);
        telemetry.add_labelled(names::LOSSES, &[("lease", "foo"), ("reason", "expired")], 1);
        telemetry.add_labelled(names::LOSSES, &[("lease", "foo"), ("reason", "taken_over")], 1);
        telemetry.set_labelled(names::IS_LEADER, &[("lease", "foo")], 1.0);
        let [resource] = telemetry.otlp(&[text("service.name", "x")]).try_into().expect("one resource");
        assert_eq!(resource.resource.expect("it has one").attributes, [text("service.name", "x")]);
        let metrics = &resource.scope_metrics[0].metrics;
        let names: Vec<&str> = metrics.iter().map(|metric| metric.name.as_str()).collect();
        assert_eq!(names, ["lease_losses", "lease_points_dropped", "lease_is_leader"]);
        let Some(Data::Sum(losses)) = &metrics[0].data else { panic!("a counter is a sum") };
        assert!(losses.is_monotonic && losses.aggregation_temporality == 2, "cumulative");
        assert_eq!(losses.data_points.len(), 2);
        let Some(Data::Sum(dropped)) = &metrics[1].data else { panic!("a counter is a sum") };
        let [point] = dropped.data_points.as_slice() else { panic!("one component has dropped something") };
        assert_eq!(
            (point.value, point.attributes.as_slice()),
            (Some(Value::AsInt(7)), &[text("component", "otlp")][..])
        );
        assert!(0 < point.start_time_unix_nano && point.start_time_unix_nano <= point.time_unix_nano);
        let Some(Data::Gauge(leads)) = &metrics[2].data else { panic!("a gauge is one") };
        assert_eq!(leads.data_points[0].value, Some(Value::AsDouble(1.0)));
    }
}
