//! What exporters count, under the names that the Collector gives it by default.

use std::sync::Arc;

use crate::component::Meter;
use crate::config::ComponentId;
use crate::data::Signal;

/// Counts what one exporter does. Each point, record or span that was offered ends in exactly one of the three counters.
#[derive(Clone, Debug)]
pub(crate) struct Counters {
    id: ComponentId,
    meter: Arc<dyn Meter>,
}

impl Counters {
    pub(crate) fn new(id: &ComponentId, meter: Arc<dyn Meter>) -> Self {
        let counters = Self { id: id.clone(), meter };
        // What is there from the start is seen to rise by whoever asks for a rate.
        for signal in Signal::ALL {
            counters.send_failed(signal, 0);
            counters.enqueue_failed(signal, 0);
        }
        counters
    }

    /// Who counts.
    pub(crate) fn id(&self) -> &ComponentId {
        &self.id
    }

    /// They were taken by the endpoint.
    pub(crate) fn sent(&self, signal: Signal, items: u64) {
        self.add(
            match signal {
                Signal::Metrics => "otelcol_exporter_sent_metric_points",
                Signal::Logs => "otelcol_exporter_sent_log_records",
                Signal::Traces => "otelcol_exporter_sent_spans",
            },
            items,
        );
    }

    /// They were refused by the endpoint for good, or it could not be reached for too long.
    pub(crate) fn send_failed(&self, signal: Signal, items: u64) {
        self.add(
            match signal {
                Signal::Metrics => "otelcol_exporter_send_failed_metric_points",
                Signal::Logs => "otelcol_exporter_send_failed_log_records",
                Signal::Traces => "otelcol_exporter_send_failed_spans",
            },
            items,
        );
    }

    /// There was no room for them.
    pub(crate) fn enqueue_failed(&self, signal: Signal, items: u64) {
        self.add(
            match signal {
                Signal::Metrics => "otelcol_exporter_enqueue_failed_metric_points",
                Signal::Logs => "otelcol_exporter_enqueue_failed_log_records",
                Signal::Traces => "otelcol_exporter_enqueue_failed_spans",
            },
            items,
        );
    }

    /// How full the queue is, in the unit of its size.
    #[allow(clippy::cast_precision_loss, reason = "a gauge is a double; sizes beyond 2^53 do not occur")]
    pub(crate) fn queue_size(&self, size: u64) {
        self.meter.set("otelcol_exporter_queue_size", &self.id, size as f64);
    }

    /// How full it may get.
    #[allow(clippy::cast_precision_loss, reason = "as above")]
    pub(crate) fn queue_capacity(&self, capacity: u64) {
        self.meter.set("otelcol_exporter_queue_capacity", &self.id, capacity as f64);
    }

    fn add(&self, counter: &'static str, items: u64) {
        self.meter.add(counter, &self.id, items);
    }
}
