//! What the collector tells of itself: counters and gauges, in the text format that Prometheus reads, and as OTLP.
//!
//! | metric | labels | meaning |
//! |---|---|---|
//! | `leader_election_master_status` | `name`, `namespace`, `component` | 1 while this replica leads, 0 while it stands by; as client-go's, which has `name` alone |
//! | `leader_election_slowpath_total` | the same | renewals that needed a read first; as client-go's |
//! | `lease_is_leader` | `lease`, `namespace`, `backend`, `component` | 1 while this replica leads |
//! | `lease_acquisitions_total` | the same | terms that this replica has won |
//! | `lease_losses_total` | the same, `reason` | terms that it has lost |
//! | `lease_step_downs_total` | `component` | terms that were given up because a receiver did not run |
//! | `lease_receiver_running` | `component` | 1 while the receiver runs |
//! | `lease_receiver_failures_total` | `component` | times that it did not start, ended by itself or panicked |
//! | `lease_points_dropped_total` | `component` | points that did not reach this exporter, or that this processor kept back, when their term was over or the stop was cut short |
//!
//! `component` is the name in the configuration. Points are metric points, log records and spans. Components add metrics of their own, with the label `component`.

mod otlp;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::component::{Label, Meter};
use crate::config::ComponentId;

pub(crate) mod names {
    pub(crate) const MASTER_STATUS: &str = "leader_election_master_status";
    pub(crate) const SLOW_PATH: &str = "leader_election_slowpath_total";
    pub(crate) const IS_LEADER: &str = "lease_is_leader";
    pub(crate) const ACQUISITIONS: &str = "lease_acquisitions_total";
    pub(crate) const LOSSES: &str = "lease_losses_total";
    pub(crate) const STEP_DOWNS: &str = "lease_step_downs_total";
    pub(crate) const RUNNING: &str = "lease_receiver_running";
    pub(crate) const FAILURES: &str = "lease_receiver_failures_total";
    pub(crate) const DROPPED: &str = "lease_points_dropped_total";
}

/// What is said of the metrics of the collector and of its components.
const HELP: [(&str, &str); 26] = [
    (names::MASTER_STATUS, "Whether this replica leads"),
    (names::SLOW_PATH, "Renewals that needed a read first"),
    (names::IS_LEADER, "Whether this replica leads"),
    (names::ACQUISITIONS, "Terms that this replica has won"),
    (names::LOSSES, "Terms that this replica has lost"),
    (names::STEP_DOWNS, "Terms given up because a receiver did not run"),
    (names::RUNNING, "Whether the receiver runs"),
    (names::FAILURES, "Times that the receiver did not start, ended by itself or panicked"),
    (
        names::DROPPED,
        "Points that did not reach the exporter, or that the processor kept back, when the term in which they were read was over or the stop was cut short",
    ),
    ("lease_receiver_points_total", "Points of the receiver that all of its pipelines took"),
    (
        "lease_receiver_points_dropped_total",
        "Points of the receiver that one of its pipelines or more did not take because their term or the receiver had ended",
    ),
    (
        "lease_receiver_points_refused_total",
        "Points of the receiver that one of its pipelines or more refused for another reason",
    ),
    ("otelcol_exporter_sent_metric_points", "Metric points that the endpoint has taken"),
    ("otelcol_exporter_sent_log_records", "Log records that the endpoint has taken"),
    ("otelcol_exporter_sent_spans", "Spans that the endpoint has taken"),
    ("otelcol_exporter_send_failed_metric_points", "Metric points that were queued and not taken by the endpoint"),
    ("otelcol_exporter_send_failed_log_records", "Log records that were queued and not taken by the endpoint"),
    ("otelcol_exporter_send_failed_spans", "Spans that were queued and not taken by the endpoint"),
    ("otelcol_exporter_enqueue_failed_metric_points", "Metric points that the queue had no room for"),
    ("otelcol_exporter_enqueue_failed_log_records", "Log records that the queue had no room for"),
    ("otelcol_exporter_enqueue_failed_spans", "Spans that the queue had no room for"),
    ("otelcol_exporter_queue_size", "How much the queue holds, in the unit of its sizer"),
    ("otelcol_exporter_queue_capacity", "How much the queue can hold, in the unit of its sizer"),
    ("otelcol_processor_refused_metric_points", "Metric points that were refused because memory was short"),
    ("otelcol_processor_refused_log_records", "Log records that were refused because memory was short"),
    ("otelcol_processor_refused_spans", "Spans that were refused because memory was short"),
];

/// The metrics of one collector.
pub struct Telemetry {
    /// From when on counters count.
    began: SystemTime,
    metrics: Mutex<Metrics>,
}

#[derive(Default)]
struct Metrics {
    registry: Registry,
    counters: BTreeMap<&'static str, Points<Counter>>,
    gauges: BTreeMap<&'static str, Points<Gauge<f64, AtomicU64>>>,
}

/// A metric, by its labels: a family of the registry shows its text only, so what it holds is kept here too.
struct Points<M> {
    family: Family<Labels, M>,
    by_labels: BTreeMap<Labels, M>,
}

impl<M: Clone + Default> Points<M> {
    fn of(&mut self, labels: Labels) -> &M {
        let family = &self.family;
        self.by_labels.entry(labels).or_insert_with_key(|labels| family.get_or_create(labels).clone())
    }
}

type Labels = Vec<(&'static str, String)>;

impl Telemetry {
    /// No metrics yet.
    pub fn new() -> Self {
        Self { began: SystemTime::now(), metrics: Mutex::default() }
    }

    /// All metrics as of now, in the text format of `OpenMetrics`.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a text fails only where a metric does, and these do not.
        let _ = encode(&mut text, &self.metrics().registry);
        text
    }

    fn metrics(&self) -> std::sync::MutexGuard<'_, Metrics> {
        self.metrics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    fn counter(&mut self, name: &'static str, labels: Labels) -> &Counter {
        let registry = &mut self.registry;
        let points = self.counters.entry(name).or_insert_with(|| {
            let family = Family::<Labels, Counter>::default();
            registry.register(without_ending(name), help(name), family.clone());
            Points { family, by_labels: BTreeMap::new() }
        });
        points.of(labels)
    }

    fn gauge(&mut self, name: &'static str, labels: Labels) -> &Gauge<f64, AtomicU64> {
        let registry = &mut self.registry;
        let points = self.gauges.entry(name).or_insert_with(|| {
            let family = Family::<Labels, Gauge<f64, AtomicU64>>::default();
            registry.register(name, help(name), family.clone());
            Points { family, by_labels: BTreeMap::new() }
        });
        points.of(labels)
    }
}

/// The name of a counter without the ending that the text format adds by itself, and OTLP does not have.
fn without_ending(name: &str) -> &str {
    name.strip_suffix("_total").unwrap_or(name)
}

/// Said of a metric of a component that is not the collector's own.
const OTHER: &str = "Told by a component";

fn help(name: &str) -> &'static str {
    HELP.iter().find(|(known, _)| *known == name).map_or(OTHER, |(_, help)| help)
}

fn owned(labels: &[Label<'_>]) -> Labels {
    labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
}

fn component(id: &ComponentId) -> Labels {
    vec![("component", id.to_string())]
}

impl Meter for Telemetry {
    fn add(&self, counter: &'static str, id: &ComponentId, count: u64) {
        self.metrics().counter(counter, component(id)).inc_by(count);
    }

    fn set(&self, gauge: &'static str, id: &ComponentId, value: f64) {
        self.metrics().gauge(gauge, component(id)).set(value);
    }

    fn add_labelled(&self, counter: &'static str, labels: &[Label<'_>], count: u64) {
        self.metrics().counter(counter, owned(labels)).inc_by(count);
    }

    fn set_labelled(&self, gauge: &'static str, labels: &[Label<'_>], value: f64) {
        self.metrics().gauge(gauge, owned(labels)).set(value);
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let metrics = self.metrics();
        write!(f, "Telemetry({} counters, {} gauges)", metrics.counters.len(), metrics.gauges.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Signal;

    #[test]
    fn what_an_exporter_fails_to_do_is_there_from_the_start_with_what_it_means() {
        let telemetry = std::sync::Arc::new(Telemetry::new());
        let id: ComponentId = "otlp".parse().expect("a name");
        let counters = crate::exporters::counters::Counters::new(&id, telemetry.clone());
        counters.queue_capacity(9);
        counters.queue_size(0);
        for signal in Signal::ALL {
            counters.sent(signal, 1);
        }
        let text = telemetry.text();
        for items in ["metric_points", "log_records", "spans"] {
            for failed in ["send_failed", "enqueue_failed"] {
                let line = format!(r#"otelcol_exporter_{failed}_{items}_total{{component="otlp"}} 0"#);
                assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
            }
        }
        assert_eq!(text.matches("# HELP").count(), 11, "{text}");
        assert!(!text.contains(OTHER), "{text}");
    }

    #[test]
    fn metrics_are_told_as_prometheus_reads_them() {
        let telemetry = Telemetry::new();
        let id: ComponentId = "otlp/a\"b".parse().expect("a name");
        telemetry.add(names::DROPPED, &id, 5);
        telemetry.add(names::DROPPED, &id, 2);
        telemetry.set_labelled(names::MASTER_STATUS, &[("name", "foo")], 1.0);
        telemetry.add_labelled(names::LOSSES, &[("lease", "foo"), ("reason", "expired")], 1);
        let text = telemetry.text();
        for line in [
            r#"lease_points_dropped_total{component="otlp/a\"b"} 7"#,
            r#"leader_election_master_status{name="foo"} 1.0"#,
            r#"lease_losses_total{lease="foo",reason="expired"} 1"#,
            "# TYPE lease_losses counter",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
