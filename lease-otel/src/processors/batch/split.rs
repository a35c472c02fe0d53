//! Telemetry put together, and taken apart by number of points, records or spans.

use opentelemetry_proto::tonic::logs::v1::{ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogram, Gauge, Histogram, Metric, ResourceMetrics, ScopeMetrics, Sum, Summary,
};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};

use crate::data::Telemetry;

/// Adds telemetry of the same signal behind what there is.
pub(super) fn append(to: &mut Telemetry, from: Telemetry) {
    match (to, from) {
        (Telemetry::Metrics(to), Telemetry::Metrics(from)) => to.extend(from),
        (Telemetry::Logs(to), Telemetry::Logs(from)) => to.extend(from),
        (Telemetry::Traces(to), Telemetry::Traces(from)) => to.extend(from),
        // The caller looks for its like.
        (to, from) => debug_assert_eq!(to.signal(), from.signal()),
    }
}

/// Takes everything.
pub(super) fn take_all(telemetry: &mut Telemetry) -> Telemetry {
    let empty = match telemetry {
        Telemetry::Metrics(_) => Telemetry::Metrics(Vec::new()),
        Telemetry::Logs(_) => Telemetry::Logs(Vec::new()),
        Telemetry::Traces(_) => Telemetry::Traces(Vec::new()),
    };
    std::mem::replace(telemetry, empty)
}

/// Takes the first `count` points, records or spans, with a copy of what they belong to where that goes on.
pub(super) fn take_first(telemetry: &mut Telemetry, mut count: usize) -> Telemetry {
    match telemetry {
        Telemetry::Metrics(resources) => Telemetry::Metrics(Part::take(resources, &mut count)),
        Telemetry::Logs(resources) => Telemetry::Logs(Part::take(resources, &mut count)),
        Telemetry::Traces(resources) => Telemetry::Traces(Part::take(resources, &mut count)),
    }
}

/// What can be taken apart.
trait Part: Sized {
    fn items(&self) -> usize;

    /// A part with the first `count` items, which is fewer than there are. It counts them down.
    fn split(&mut self, count: &mut usize) -> Self;

    /// The first `count` items of all these parts.
    fn take(parts: &mut Vec<Self>, count: &mut usize) -> Vec<Self> {
        let mut whole = 0;
        for part in parts.iter() {
            let items = part.items();
            if *count == 0 || items > *count {
                break;
            }
            *count -= items;
            whole += 1;
        }
        let rest = parts.split_off(whole);
        let mut taken = std::mem::replace(parts, rest);
        if *count > 0
            && let Some(first) = parts.first_mut()
        {
            taken.push(first.split(count));
        }
        taken
    }
}

macro_rules! part {
    ($part:ident { $parts:ident } $( copy $($field:ident),+ )?) => {
        impl Part for $part {
            fn items(&self) -> usize {
                self.$parts.iter().map(Part::items).sum()
            }

            fn split(&mut self, count: &mut usize) -> Self {
                Self { $parts: Part::take(&mut self.$parts, count), $($($field: self.$field.clone(),)+)? }
            }
        }
    };
}

part!(ResourceMetrics { scope_metrics } copy resource, schema_url);
part!(ScopeMetrics { metrics } copy scope, schema_url);
part!(ResourceLogs { scope_logs } copy resource, schema_url);
part!(ResourceSpans { scope_spans } copy resource, schema_url);

/// Parts whose items are single.
macro_rules! leaf {
    ($part:ident { $items:ident } $( copy $($field:ident),+ )?) => {
        impl Part for $part {
            fn items(&self) -> usize {
                self.$items.len()
            }

            fn split(&mut self, count: &mut usize) -> Self {
                let rest = self.$items.split_off((*count).min(self.$items.len()));
                let taken = std::mem::replace(&mut self.$items, rest);
                *count -= taken.len();
                Self { $items: taken, $($($field: self.$field.clone(),)+)? }
            }
        }
    };
}

leaf!(ScopeLogs { log_records } copy scope, schema_url);
leaf!(ScopeSpans { spans } copy scope, schema_url);
leaf!(Gauge { data_points });
leaf!(Sum { data_points } copy aggregation_temporality, is_monotonic);
leaf!(Histogram { data_points } copy aggregation_temporality);
leaf!(ExponentialHistogram { data_points } copy aggregation_temporality);
leaf!(Summary { data_points });

impl Part for Metric {
    fn items(&self) -> usize {
        match &self.data {
            None => 0,
            Some(Data::Gauge(data)) => data.items(),
            Some(Data::Sum(data)) => data.items(),
            Some(Data::Histogram(data)) => data.items(),
            Some(Data::ExponentialHistogram(data)) => data.items(),
            Some(Data::Summary(data)) => data.items(),
        }
    }

    fn split(&mut self, count: &mut usize) -> Self {
        let data = self.data.as_mut().map(|data| match data {
            Data::Gauge(data) => Data::Gauge(data.split(count)),
            Data::Sum(data) => Data::Sum(data.split(count)),
            Data::Histogram(data) => Data::Histogram(data.split(count)),
            Data::ExponentialHistogram(data) => Data::ExponentialHistogram(data.split(count)),
            Data::Summary(data) => Data::Summary(data.split(count)),
        });
        Self {
            name: self.name.clone(),
            description: self.description.clone(),
            unit: self.unit.clone(),
            metadata: self.metadata.clone(),
            data,
        }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;

    use super::*;
    use crate::exporters::recorded;

    /// All names of metrics, with how many points each has, in order.
    fn metrics(telemetry: &Telemetry) -> Vec<(String, usize)> {
        let Telemetry::Metrics(resources) = telemetry else { return Vec::new() };
        let scopes = resources.iter().flat_map(|resource| &resource.scope_metrics);
        scopes.flat_map(|scope| &scope.metrics).map(|metric| (metric.name.clone(), metric.items())).collect()
    }

    #[test]
    fn parts_of_any_size_add_up_to_the_whole() {
        for recorded in recorded::all() {
            let whole = recorded.telemetry.len();
            for size in 1..=whole {
                let mut rest = recorded.telemetry.clone();
                let mut parts = Vec::new();
                while rest.len() > size {
                    let part = take_first(&mut rest, size);
                    assert_eq!(part.len(), size);
                    parts.push(part);
                }
                parts.push(take_all(&mut rest));
                assert!(rest.is_empty());
                assert_eq!(parts.iter().map(Telemetry::len).sum::<usize>(), whole);
            }
        }
    }

    #[test]
    fn what_goes_on_keeps_what_it_belongs_to() {
        let [recorded, _, _] = recorded::all();
        let mut rest = recorded.telemetry.clone();
        let first = take_first(&mut rest, 11);
        // Ten points of the gauge, the sum; the histogram follows in the rest.
        let names: Vec<_> = metrics(&first).into_iter().map(|(name, points)| format!("{name} {points}")).collect();
        assert_eq!(names, ["k8s.node.condition_ready 10", "requests 1"]);
        let (Telemetry::Metrics(first), Telemetry::Metrics(rest)) = (&first, &rest) else { panic!("not metrics") };
        assert_eq!(first[0].resource, rest[0].resource);
        assert_eq!(first[0].schema_url, rest[0].schema_url);
        assert_eq!(first[0].scope_metrics[0].scope, rest[0].scope_metrics[0].scope);
        let mut sum = rest[0].scope_metrics[0].metrics[0].clone();
        let part = sum.split(&mut 1);
        let (Some(Data::Histogram(a)), Some(Data::Histogram(b))) = (&part.data, &sum.data) else {
            panic!("not histograms")
        };
        assert_eq!((a.data_points.len(), b.data_points.len()), (1, 1));
        assert_eq!(a.aggregation_temporality, b.aggregation_temporality);
        assert_eq!(part.unit, sum.unit);
    }
}
