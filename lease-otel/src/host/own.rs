//! The collector's own metrics on their way to an endpoint of OTLP.

use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::common::v1::KeyValue;
use tokio::time::{MissedTickBehavior, interval_at, timeout};
use tokio_util::sync::CancellationToken;

use super::{Host, HostError};
use crate::component::{Consumer, Meter};
use crate::config::{ComponentId, PeriodicExport};
use crate::data::{Batch, Telemetry as Data};
use crate::receivers::kubernetes::otlp::text;
use crate::telemetry::Telemetry;

impl Host {
    /// Begins to send the own metrics to where the configuration says.
    pub(super) async fn export_own(
        &mut self,
        exports: Vec<PeriodicExport>,
        resource: Vec<(String, Option<String>)>,
        telemetry: &Arc<Telemetry>,
    ) -> Result<(), HostError> {
        let resource: Arc<[KeyValue]> = resource_of(resource).into();
        for (index, PeriodicExport { interval, timeout, exporter }) in exports.into_iter().enumerate() {
            let id: ComponentId = format!("telemetry/{index}").parse().expect("a name");
            let meter = Arc::clone(telemetry) as Arc<dyn Meter>;
            // It is not stopped before the last metrics are sent; without a queue there is no work to run.
            let started = exporter.start(&id, CancellationToken::new(), meter).await;
            let (consumer, _) = started.map_err(|source| HostError { what: "service", id: id.clone(), source })?;
            let export =
                Export { interval, timeout, consumer, telemetry: Arc::clone(telemetry), resource: resource.clone() };
            self.own.running.spawn(export.run(self.own.stop.clone()));
        }
        Ok(())
    }
}

struct Export {
    interval: Duration,
    timeout: Duration,
    consumer: Arc<dyn Consumer>,
    telemetry: Arc<Telemetry>,
    resource: Arc<[KeyValue]>,
}

impl Export {
    /// Sends now and again, and once more at the end.
    async fn run(self, stop: CancellationToken) {
        let mut ticks = interval_at(tokio::time::Instant::now() + self.interval, self.interval);
        // What an endpoint that hung has missed is in what comes next.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                _ = ticks.tick() => {}
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = self.send(self.timeout) => {}
            }
        }
        self.send(self.timeout.min(LAST_MAX)).await;
    }

    /// What is not taken is told by the exporter.
    async fn send(&self, within: Duration) {
        let batch = Batch { telemetry: Data::Metrics(self.telemetry.otlp(&self.resource)), term: None };
        let began = Instant::now();
        if timeout(within, self.consumer.consume(batch)).await.is_err() {
            tracing::debug!(after = ?began.elapsed(), "the own metrics were not taken in time");
        }
    }
}

/// What is said of the collector: what the configuration says, over what it says by itself.
fn resource_of(configured: Vec<(String, Option<String>)>) -> Vec<KeyValue> {
    let defaults = [
        ("service.name", "lease-collector".to_owned()),
        ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
        ("service.instance.id", uuid()),
    ];
    let is_free = |name: &str| configured.iter().all(|(known, _)| known != name);
    let defaults = defaults.into_iter().filter(|(name, _)| is_free(name)).map(|(name, value)| text(name, value));
    let mut attributes: Vec<KeyValue> = defaults.collect();
    attributes.extend(configured.into_iter().filter_map(|(name, value)| Some(text(&name, value?))));
    attributes
}

/// A random UUID, of version 4.
fn uuid() -> String {
    let mut bytes = fastrand::u128(..).to_be_bytes();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut uuid = String::new();
    for (index, byte) in bytes.into_iter().enumerate() {
        // Writing to a text cannot fail.
        let _ = write!(uuid, "{}{byte:02x}", if matches!(index, 4 | 6 | 8 | 10) { "-" } else { "" });
    }
    uuid
}

/// The end of the collector does not wait longer for an endpoint that is away.
const LAST_MAX: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_configured_replaces_what_is_said_by_default() {
        let keys = |configured: &[(&str, Option<&str>)]| -> Vec<String> {
            let configured = configured.iter().map(|(key, value)| ((*key).to_owned(), value.map(str::to_owned)));
            resource_of(configured.collect()).into_iter().map(|attribute| attribute.key).collect()
        };
        assert_eq!(keys(&[]), ["service.name", "service.version", "service.instance.id"]);
        let configured = [("service.name", Some("x")), ("service.version", None), ("team", Some("y"))];
        assert_eq!(keys(&configured), ["service.instance.id", "service.name", "team"]);
    }

    #[test]
    fn an_instance_has_a_random_uuid() {
        let (one, other) = (uuid(), uuid());
        assert_ne!(one, other);
        let parts: Vec<usize> = one.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12], "{one}");
        assert!(one.as_bytes()[14] == b'4' && b"89ab".contains(&one.as_bytes()[19]), "{one}");
    }
}
