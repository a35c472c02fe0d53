//! The order of starts and stops.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lease_otel::component::*;
use lease_otel::config::ComponentId;
use lease_otel::data::Batch;
use lease_otel::host::{Host, Started, Stopped};
use lease_otel::telemetry::Telemetry;
use lease_otel::testing::ScriptedElector;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::kit::*;

const DEADLINE: Duration = Duration::from_secs(25);

#[tokio::test(start_paused = true)]
async fn everything_starts_from_the_back_and_stops_from_the_front() {
    let elector = Arc::new(ScriptedElector::new());
    let kit = Kit::new()
        .extension("health")
        .elector("elector", &elector)
        .exporter("exporter", false)
        .processor("processor")
        .receiver("always", None, Does::Waits)
        .receiver("first", Some("elector"), Does::EmitsAtStop(3))
        .receiver("second", Some("elector"), Does::Waits);
    let journal = kit.journal.clone();
    let host = Host::start(kit.collector, Arc::new(Telemetry::new())).await.expect("it starts");
    let started = [
        "health starts",
        "elector starts",
        "exporter starts",
        "processor starts",
        "always starts",
        "health is ready",
        "elector is ready",
    ];
    assert_eq!(journal.lines(), started);
    elector.lead().await;
    journal.until("second starts", 1).await;
    assert_eq!(journal.lines()[started.len()..], ["first starts", "second starts"], "in the order of registration");
    assert_eq!(host.shutdown(DEADLINE).await, Stopped::InOrder);
    let order = [
        "health is not ready",
        "first stops",
        "exporter takes 3",
        // Only then: the lease is released when the work is done and its points are on their way.
        "elector stops",
        "processor stops",
        "exporter stops",
        "health stops",
    ];
    let positions: Vec<usize> = order.iter().map(|line| journal.position(line)).collect();
    assert!(positions.is_sorted(), "{:#?}", journal.lines());
    assert!(journal.position("always stops") < journal.position("processor stops"));
    assert!(journal.position("second is gone") < journal.position("elector stops"));
}

#[tokio::test(start_paused = true)]
async fn what_had_started_is_stopped_when_something_does_not_start() {
    let kit = Kit::new().extension("health").exporter("exporter", false).failing("broken", Fails::AtStart);
    let journal = kit.journal.clone();
    let error = Host::start(kit.collector, Arc::new(Telemetry::new())).await.expect_err("an extension is broken");
    assert_eq!(error.to_string(), "extension broken did not start");
    let source = std::error::Error::source(&error).expect("why");
    assert_eq!(source.to_string(), "there is no server");
    assert_eq!(journal.lines(), ["health starts", "health is not ready", "health stops"]);
}

#[tokio::test(start_paused = true)]
async fn an_elector_that_cannot_contend_ends_the_collector_and_leaves_nothing_running() {
    let elector = Arc::new(ScriptedElector::new());
    let kit = Kit::new()
        .elector("elector", &elector)
        .failing("broken", Fails::AtReady)
        .extension("health")
        .exporter("exporter", false)
        .receiver("always", None, Does::Waits);
    let journal = kit.journal.clone();
    let error = Host::start(kit.collector, Arc::new(Telemetry::new())).await.expect_err("one cannot go on");
    assert_eq!(error.to_string(), "extension broken did not start");
    let source = std::error::Error::source(&error).expect("why");
    assert_eq!(source.to_string(), "there are no threads left");
    for line in ["always is gone", "exporter stops", "health stops", "broken stops", "elector stops"] {
        assert_eq!(journal.count(line), 1, "{line}: {:#?}", journal.lines());
    }
    assert_eq!(journal.count("health is ready"), 0, "who is asked later does not begin");
}

#[tokio::test(start_paused = true)]
async fn a_start_that_is_called_off_stops_and_releases_what_had_started() {
    let elector = Arc::new(ScriptedElector::new());
    let kit = Kit::new().elector("elector", &elector).failing("slow", Fails::Hangs).exporter("exporter", false);
    let journal = kit.journal.clone();
    let hangs = journal.clone();
    let called_off = async move {
        hangs.until("slow hangs", 1).await;
        15
    };
    let telemetry = Arc::new(Telemetry::new());
    let started = Host::start_unless(kit.collector, telemetry, called_off).await.expect("nothing has failed");
    let Started::CalledOff(15, host) = started else { panic!("{started:?}") };
    assert_eq!(host.shutdown(DEADLINE).await, Stopped::InOrder);
    assert_eq!(journal.lines(), ["elector starts", "slow hangs", "elector is not ready", "elector stops"]);
}

/// A receiver that says how long it may take to stop, and takes it.
#[derive(Debug)]
struct Slow(Journal);

const SLOW: Duration = Duration::from_secs(18);

#[async_trait]
impl Receiver for Slow {
    fn stop_timeout(&self) -> Option<Duration> {
        Some(SLOW)
    }

    fn keeps_to_the_fence(&self) -> bool {
        true
    }

    async fn start(&self, scope: Scope) -> Result<Work, StartError> {
        let journal = self.0.clone();
        journal.note("slow starts");
        Ok(Box::pin(async move {
            scope.stop.cancelled().await;
            tokio::time::sleep(SLOW).await;
            journal.note("slow stops");
        }))
    }
}

/// With such a receiver before another one.
fn slow_before(does: Does) -> Kit {
    let mut kit = Kit::new().exporter("exporter", false);
    kit.collector.receivers.push((id("slow"), Box::new(Slow(kit.journal.clone()))));
    kit.collector.pipelines[0].receivers.push(id("slow"));
    kit.receiver("r", None, does)
}

#[tokio::test(start_paused = true)]
async fn a_start_that_is_called_off_leaves_each_receiver_its_time_to_stop() {
    let kit = slow_before(Does::Hangs);
    let (journal, runs) = (kit.journal.clone(), kit.journal.clone());
    let called_off = async move { runs.until("slow starts", 1).await };
    let started = Host::start_unless(kit.collector, Arc::new(Telemetry::new()), called_off).await;
    let Ok(Started::CalledOff((), host)) = started else { panic!("{started:?}") };
    assert_eq!(host.shutdown(DEADLINE).await, Stopped::InOrder);
    assert_eq!(journal.count("slow stops"), 1, "{:#?}", journal.lines());
}

#[tokio::test(start_paused = true)]
async fn a_start_that_fails_leaves_each_receiver_its_time_to_stop_unless_it_is_called_off_too() {
    for (called_off_after, stops, took) in [(None, 1, SLOW), (Some(1), 0, Duration::from_secs(1))] {
        let kit = slow_before(Does::Fails(times(1)));
        let journal = kit.journal.clone();
        let called_off = async move {
            let Some(secs) = called_off_after else { return std::future::pending().await };
            tokio::time::sleep(Duration::from_secs(secs)).await;
        };
        let began = Instant::now();
        let started = Host::start_unless(kit.collector, Arc::new(Telemetry::new()), called_off).await;
        assert!(started.is_err(), "{started:?}");
        assert_eq!((journal.count("slow stops"), began.elapsed().as_secs()), (stops, took.as_secs()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_receiver_without_elector_that_does_not_start_keeps_the_collector_from_starting() {
    let kit = Kit::new().exporter("exporter", false).receiver("receiver", None, Does::Fails(times(1)));
    let error = Host::start(kit.collector, Arc::new(Telemetry::new())).await.expect_err("it does not start");
    assert_eq!(error.to_string(), "receiver receiver did not start");
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_never_led_neither_starts_nor_stops_a_receiver() {
    let elector = Arc::new(ScriptedElector::new());
    let kit =
        Kit::new().elector("elector", &elector).exporter("exporter", false).receiver("r", Some("elector"), Does::Waits);
    let journal = kit.journal.clone();
    let host = Host::start(kit.collector, Arc::new(Telemetry::new())).await.expect("it starts");
    assert_eq!(host.shutdown(DEADLINE).await, Stopped::InOrder);
    assert!(journal.lines().iter().all(|line| !line.starts_with("r ")), "{:#?}", journal.lines());
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_does_not_stop_is_dropped_when_the_shutdown_is_hastened() {
    let kit = Kit::new().exporter("exporter", false).receiver("r", None, Does::Ignores);
    let journal = kit.journal.clone();
    let host = Host::start(kit.collector, Arc::new(Telemetry::new())).await.expect("it starts");
    journal.until("r starts", 1).await;
    let began = Instant::now();
    host.hasten().cancel();
    assert_eq!(host.shutdown(DEADLINE).await, Stopped::CutShort);
    assert!(began.elapsed() < Duration::from_millis(10), "{:?}", began.elapsed());
    assert_eq!(journal.count("r is gone"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_is_hastened_at_its_deadline() {
    let kit = Kit::new().exporter("exporter", false).receiver("r", None, Does::Ignores);
    let host = Host::start(kit.collector, Arc::new(Telemetry::new())).await.expect("it starts");
    let began = Instant::now();
    assert_eq!(host.shutdown(Duration::from_secs(3)).await, Stopped::CutShort);
    let took = began.elapsed();
    assert!((Duration::from_secs(3)..Duration::from_millis(3010)).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_receiver_may_bring_an_elector_of_its_own() {
    let elector = Arc::new(ScriptedElector::new());
    let mut kit = Kit::new().exporter("exporter", false);
    let journal = kit.journal.clone();
    let own = TestExtension {
        name: "own",
        journal: journal.clone(),
        elector: Some(Arc::clone(&elector)),
        fails: Fails::Never,
    };
    let elector_choice = Some(ElectorChoice::Own(Box::new(own)));
    let receiver = TestReceiver { name: "r", journal: journal.clone(), does: Does::Waits, elector: elector_choice };
    kit.collector.receivers.push((id("r"), Box::new(receiver)));
    kit.collector.pipelines[0].receivers.push(id("r"));
    let host = Host::start(kit.collector, Arc::new(Telemetry::new())).await.expect("it starts");
    assert_eq!(journal.lines(), ["own starts", "exporter starts", "own is ready"]);
    elector.lead().await;
    journal.until("r starts", 1).await;
    assert_eq!(host.shutdown(DEADLINE).await, Stopped::InOrder);
    assert!(journal.position("r stops") < journal.position("own stops"), "{:#?}", journal.lines());
}

/// An exporter whose queue is full, and whose receivers wait for room: who waits is refused when it stops.
#[derive(Clone, Debug)]
struct Crowded(Journal, CancellationToken);

#[async_trait]
impl Exporter for Crowded {
    async fn start(
        &self,
        _: &ComponentId,
        stop: CancellationToken,
        _: Arc<dyn Meter>,
    ) -> Result<(Arc<dyn Consumer>, Option<Work>), StartError> {
        Ok((Arc::new(Self(self.0.clone(), stop)), None))
    }
}

#[async_trait]
impl Consumer for Crowded {
    async fn consume(&self, _: Batch) -> Result<(), Refused> {
        self.1.cancelled().await;
        self.0.note("refused");
        Err(Refused::Closed)
    }

    async fn flush(&self, _: std::time::Instant) {}
}

/// A processor that hands on at its end alone.
#[derive(Debug)]
struct HandsOnAtStop;

impl Processor for HandsOnAtStop {
    fn start(
        &self,
        _: &ComponentId,
        next: Arc<dyn Consumer>,
        stop: CancellationToken,
        _: Arc<dyn Meter>,
    ) -> (Arc<dyn Consumer>, Option<Work>) {
        let work = Arc::clone(&next);
        let work = async move {
            stop.cancelled().await;
            let _ = work.consume(batch(3)).await;
        };
        (next, Some(Box::pin(work)))
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_holds_the_stop_up_no_longer_than_a_flush() {
    let mut kit = Kit::new();
    let journal = kit.journal.clone();
    let crowded = Crowded(journal.clone(), CancellationToken::new());
    kit.collector.exporters.push((id("crowded"), Box::new(crowded)));
    kit.collector.pipelines[0].exporters.push(id("crowded"));
    kit.collector.processors.push((id("late"), Box::new(HandsOnAtStop)));
    kit.collector.pipelines[0].processors.push(id("late"));
    let kit = kit.receiver("r", None, Does::Waits);
    let host = Host::start(kit.collector, Arc::new(Telemetry::new())).await.expect("it starts");
    let began = Instant::now();
    assert_eq!(host.shutdown(Duration::from_mins(10)).await, Stopped::InOrder);
    assert_eq!(journal.count("refused"), 1);
    assert!(began.elapsed() <= Duration::from_millis(5_010), "{:?}", began.elapsed());
}
