//! The receiver `dummy`: five points again and again, to see that a pipeline works.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric, number_data_point,
};
use tokio::time::{MissedTickBehavior, interval};

use crate::component::{ElectorChoice, Kind, Receiver, ReceiverFactory, Registry, Scope, StartError, Work};
use crate::config::Fields;
use crate::data::{Batch, Signal, Telemetry};
use crate::elector;

/// The kind `dummy`: a gauge `dummy` of five points, 0 to 4, at once and after each `interval` (default 1m, at least 1s).
#[derive(Clone, Copy, Debug)]
pub struct DummyFactory;

impl ReceiverFactory for DummyFactory {
    fn kind(&self) -> Kind {
        Kind {
            name: "dummy",
            aliases: &[],
            summary: "makes a gauge of five points, to see that a pipeline works",
            signals: &[Signal::Metrics],
        }
    }

    fn configure(&self, fields: &mut Fields<'_>, _: &Registry) -> Box<dyn Receiver> {
        let interval = fields.duration("interval").map_or(INTERVAL_DEFAULT, |found| found.value);
        if interval < INTERVAL_MIN {
            fields.error("interval", "an interval of at least 1s is needed");
        }
        Box::new(Dummy { interval, elector: elector::chosen(fields) })
    }
}

#[derive(Debug)]
struct Dummy {
    interval: Duration,
    elector: Option<ElectorChoice>,
}

#[async_trait]
impl Receiver for Dummy {
    fn elector(&self) -> Option<&ElectorChoice> {
        self.elector.as_ref()
    }

    async fn start(&self, scope: Scope) -> Result<Work, StartError> {
        // Nothing to fail; an interval of zero was noted, and would not do.
        let period = self.interval.max(INTERVAL_MIN);
        Ok(Box::pin(emit(scope, period)))
    }
}

async fn emit(scope: Scope, period: Duration) {
    let Some(output) = scope.outputs.of(Signal::Metrics) else { return scope.stop.cancelled().await };
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = scope.stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let batch =
            Batch { telemetry: points(), term: scope.leadership.as_ref().map(lease_core::Leadership::validity) };
        let taken = tokio::select! {
            // A pipeline without room must not keep it from stopping.
            () = scope.stop.cancelled() => return,
            taken = output.consume(batch) => taken,
        };
        if let Err(refused) = taken {
            tracing::warn!(receiver = %scope.id, %refused, "points were not taken");
        }
    }
}

fn points() -> Telemetry {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let time_unix_nano = u64::try_from(now.as_nanos()).unwrap_or_default();
    let point = |value| NumberDataPoint {
        time_unix_nano,
        value: Some(number_data_point::Value::AsInt(value)),
        ..NumberDataPoint::default()
    };
    let gauge = Gauge { data_points: (0..5).map(point).collect() };
    let metric = Metric {
        name: "dummy".to_owned(),
        description: "Five points that mean nothing".to_owned(),
        unit: "1".to_owned(),
        data: Some(metric::Data::Gauge(gauge)),
        ..Metric::default()
    };
    let name = InstrumentationScope { name: "dummy".to_owned(), ..InstrumentationScope::default() };
    let scope = ScopeMetrics { scope: Some(name), metrics: vec![metric], ..ScopeMetrics::default() };
    Telemetry::Metrics(vec![ResourceMetrics { scope_metrics: vec![scope], ..ResourceMetrics::default() }])
}

const INTERVAL_DEFAULT: Duration = Duration::from_mins(1);
const INTERVAL_MIN: Duration = Duration::from_secs(1);
