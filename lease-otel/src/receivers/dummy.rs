//! The receiver `dummy`: five points again and again, to see that a pipeline works.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric, number_data_point,
};
use tokio::time::{MissedTickBehavior, interval};

use super::hand_over::{Outlet, until_stopped};
use crate::component::{ElectorChoice, Kind, Receiver, ReceiverFactory, Registry, Scope, StartError, Work};
use crate::config::Fields;
use crate::data::{Signal, Telemetry};
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
        Ok(until_stopped(scope, Signal::Metrics, move |outlet| emit(outlet, period)))
    }
}

async fn emit(outlet: Outlet, period: Duration) {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        outlet.reading().hand_over(points()).await;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receivers::testing;

    #[tokio::test(start_paused = true)]
    async fn points_come_at_once_and_at_each_interval_and_are_counted() {
        let (scope, mut batches, counts) = testing::scope(Signal::Metrics);
        let stop = scope.stop.clone();
        let began = tokio::time::Instant::now();
        let dummy = Dummy { interval: Duration::from_secs(7), elector: None };
        let work = tokio::spawn(dummy.start(scope).await.unwrap());
        for after in [0, 7, 14] {
            assert_eq!(batches.recv().await.unwrap().telemetry.len(), 5);
            assert_eq!(began.elapsed().as_secs(), after);
        }
        stop.cancel();
        work.await.unwrap();
        assert_eq!(counts.of("lease_receiver_points_total"), 15);
    }
}
