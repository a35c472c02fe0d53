//! The order of starts and stops.

use std::sync::Arc;
use std::time::Duration;

use lease_otel::component::ElectorChoice;
use lease_otel::host::{Host, Started, Stopped};
use lease_otel::telemetry::Telemetry;
use lease_otel::testing::ScriptedElector;

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
    assert!(matches!(started, Started::CalledOff(15)), "{started:?}");
    assert_eq!(journal.lines(), ["elector starts", "slow hangs", "elector is not ready", "elector stops"]);
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
    let began = tokio::time::Instant::now();
    host.hasten().cancel();
    assert_eq!(host.shutdown(DEADLINE).await, Stopped::CutShort);
    assert!(began.elapsed() < Duration::from_millis(10), "{:?}", began.elapsed());
    assert_eq!(journal.count("r is gone"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_is_hastened_at_its_deadline() {
    let kit = Kit::new().exporter("exporter", false).receiver("r", None, Does::Ignores);
    let host = Host::start(kit.collector, Arc::new(Telemetry::new())).await.expect("it starts");
    let began = tokio::time::Instant::now();
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
