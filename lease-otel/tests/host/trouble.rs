//! Receivers that do not start, end by themselves or panic.

use std::sync::Arc;
use std::time::Duration;

use lease_otel::host::Host;
use lease_otel::telemetry::Telemetry;
use lease_otel::testing::ScriptedElector;
use tokio::time::Instant;

use crate::kit::*;

#[tokio::test(start_paused = true)]
async fn an_elector_steps_down_when_a_receiver_does_not_start_and_others_go_on() {
    let (a, b) = (Arc::new(ScriptedElector::new()), Arc::new(ScriptedElector::new()));
    let kit = Kit::new()
        .elector("elector/a", &a)
        .elector("elector/b", &b)
        .exporter("exporter", false)
        .receiver("before", Some("elector/a"), Does::Waits)
        .receiver("broken", Some("elector/a"), Does::Fails(times(1)))
        .receiver("after", Some("elector/a"), Does::Waits)
        .receiver("other", Some("elector/b"), Does::Waits);
    let journal = kit.journal.clone();
    let telemetry = Arc::new(Telemetry::new());
    let _host = Host::start(kit.collector, Arc::clone(&telemetry)).await.expect("it starts");
    b.lead().await;
    journal.until("other starts", 1).await;
    a.lead().await;
    a.step_down().await;
    assert_eq!((journal.count("before stops"), journal.count("after starts")), (1, 0), "{:#?}", journal.lines());
    assert_eq!(journal.count("other is gone"), 0);
    let text = telemetry.text();
    for line in [
        "lease_step_downs_total{component=\"broken\"} 1",
        "lease_receiver_failures_total{component=\"broken\"} 1",
        "lease_receiver_running{component=\"before\"} 0.0",
        "lease_receiver_running{component=\"other\"} 1.0",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    a.lead().await;
    journal.until("after starts", 1).await;
    assert_eq!(journal.count("broken starts"), 1, "the next term is another try");
}

#[tokio::test(start_paused = true)]
async fn a_start_that_never_ends_is_no_start() {
    let elector = Arc::new(ScriptedElector::new());
    let kit = Kit::new()
        .elector("elector", &elector)
        .exporter("exporter", false)
        .receiver("hangs", Some("elector"), Does::Hangs)
        .receiver("after", Some("elector"), Does::Waits);
    let journal = kit.journal.clone();
    let telemetry = Arc::new(Telemetry::new());
    let _host = Host::start(kit.collector, Arc::clone(&telemetry)).await.expect("it starts");
    let given_up = async {
        elector.lead().await;
        elector.step_down().await;
    };
    tokio::time::timeout(Duration::from_mins(1), given_up).await.expect("it is not waited for");
    assert_eq!(journal.count("after starts"), 0, "{:#?}", journal.lines());
    assert!(telemetry.text().contains("lease_step_downs_total{component=\"hangs\"} 1"), "{}", telemetry.text());
}

#[tokio::test(start_paused = true)]
async fn work_that_ends_or_panics_is_started_again_after_a_pause_that_grows() {
    for does in [Does::Ends(times(3)), Does::Panics(times(3))] {
        let elector = Arc::new(ScriptedElector::new());
        let kit =
            Kit::new().elector("elector", &elector).exporter("exporter", false).receiver("r", Some("elector"), does);
        let journal = kit.journal.clone();
        let telemetry = Arc::new(Telemetry::new());
        let _host = Host::start(kit.collector, Arc::clone(&telemetry)).await.expect("it starts");
        elector.lead().await;
        let mut pauses = Vec::new();
        for start in 1..=4 {
            let before = Instant::now();
            journal.until("r starts", start).await;
            pauses.push(before.elapsed());
        }
        let ms = Duration::from_millis;
        assert!((ms(500)..=ms(1001)).contains(&pauses[1]), "{pauses:?}");
        assert!((ms(1000)..=ms(2001)).contains(&pauses[2]), "{pauses:?}");
        assert!((ms(2000)..=ms(4001)).contains(&pauses[3]), "{pauses:?}");
        assert!(telemetry.text().contains("lease_receiver_failures_total{component=\"r\"} 3"));
        assert!(telemetry.text().contains("lease_step_downs_total{component=\"r\"} 0\n"));
        elector.drain(lease_core::Reason::HandedOver).await;
        assert_eq!(journal.count("r stops"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_elector_steps_down_when_a_receiver_fails_again_and_again() {
    let elector = Arc::new(ScriptedElector::new());
    let kit = Kit::new().elector("elector", &elector).exporter("exporter", false).receiver(
        "r",
        Some("elector"),
        Does::Panics(times(u32::MAX)),
    );
    let journal = kit.journal.clone();
    let telemetry = Arc::new(Telemetry::new());
    let _host = Host::start(kit.collector, Arc::clone(&telemetry)).await.expect("it starts");
    elector.lead().await;
    elector.step_down().await;
    assert_eq!(journal.count("r starts"), 4);
    assert!(telemetry.text().contains("lease_step_downs_total{component=\"r\"} 1"));
}

#[tokio::test(start_paused = true)]
async fn a_receiver_without_elector_is_tried_for_ever() {
    let kit = Kit::new().exporter("exporter", false).receiver("r", None, Does::Ends(times(20)));
    let journal = kit.journal.clone();
    let host = Host::start(kit.collector, Arc::new(Telemetry::new())).await.expect("it starts");
    let began = Instant::now();
    // Beyond the patience of one look: half a minute each at the end.
    for start in 1..=21 {
        journal.until("r starts", start).await;
    }
    assert!(began.elapsed() < Duration::from_mins(20), "{:?}", began.elapsed());
    host.shutdown(Duration::from_secs(5)).await;
    assert_eq!(journal.count("r stops"), 1);
}
