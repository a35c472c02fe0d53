//! Terms: who runs in them, and what becomes of what was read in one that is lost.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lease_core::Reason;
use lease_core::testing::grant;
use lease_otel::component::{Extension, Meter, RunningExtension, StartError};
use lease_otel::config::ComponentId;
use lease_otel::elector::{LeaderElector, Start, Stop};
use lease_otel::host::Host;
use lease_otel::telemetry::Telemetry;
use lease_otel::testing::ScriptedElector;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::kit::*;

#[tokio::test(start_paused = true)]
async fn each_term_starts_and_stops_every_receiver_once() {
    let elector = Arc::new(ScriptedElector::new());
    let kit =
        Kit::new().elector("elector", &elector).exporter("exporter", false).receiver("r", Some("elector"), Does::Waits);
    let journal = kit.journal.clone();
    let host = Host::start(kit.collector, Arc::new(Telemetry::new())).await.expect("it starts");
    for term in 1..=4 {
        elector.lead().await;
        journal.until("r starts", term).await;
        if term % 2 == 0 {
            elector.lose(Reason::TakenOver).await;
        } else {
            elector.drain(Reason::HandedOver).await;
        }
        assert_eq!(journal.count("r starts"), term);
        assert_eq!(journal.count("r stops"), term, "{:#?}", journal.lines());
        assert_eq!(journal.count("r is gone"), term);
    }
    host.shutdown(Duration::from_secs(5)).await;
    assert_eq!(journal.count("r stops"), 4);
}

#[tokio::test(start_paused = true)]
async fn who_registers_late_runs_in_the_same_term_and_is_stopped_with_it() {
    let elector = Arc::new(ScriptedElector::new());
    let kit =
        Kit::new().elector("elector", &elector).exporter("exporter", false).receiver("r", Some("elector"), Does::Waits);
    let journal = kit.journal.clone();
    let _host = Host::start(kit.collector, Arc::new(Telemetry::new())).await.expect("it starts");
    let term = elector.lead().await;
    journal.until("r starts", 1).await;
    let (started, mut late) = mpsc::unbounded_channel();
    let (stopped, mut stops) = mpsc::unbounded_channel();
    elector.set_callbacks(
        Box::new(move |leadership| {
            started.send((leadership.token(), leadership.ended())).expect("the test listens");
            Box::pin(async {})
        }),
        Box::new(move || {
            stopped.send(()).expect("the test listens");
            Box::pin(async {})
        }),
    );
    let (token, ended) = late.recv().await.expect("it is started at once");
    assert_eq!(token, term.term().token);
    assert!(!ended.is_cancelled());
    elector.lose(Reason::Expired).await;
    assert!(ended.is_cancelled(), "the token of the term is everybody's");
    stops.try_recv().expect("stopped with the term");
    assert!(stops.try_recv().is_err(), "once");
}

#[tokio::test(start_paused = true)]
async fn electors_of_one_process_do_not_touch_each_other() {
    let (a, b) = (Arc::new(ScriptedElector::new()), Arc::new(ScriptedElector::new()));
    let kit = Kit::new()
        .elector("elector/a", &a)
        .elector("elector/b", &b)
        .exporter("exporter", false)
        .receiver("in_a", Some("elector/a"), Does::Waits)
        .receiver("in_b", Some("elector/b"), Does::Waits);
    let journal = kit.journal.clone();
    let _host = Host::start(kit.collector, Arc::new(Telemetry::new())).await.expect("it starts");
    b.lead().await;
    journal.until("in_b starts", 1).await;
    assert_eq!(journal.count("in_a starts"), 0);
    a.lead().await;
    journal.until("in_a starts", 1).await;
    b.lose(Reason::Deleted).await;
    assert_eq!((journal.count("in_b is gone"), journal.count("in_a is gone")), (1, 0));
    a.drain(Reason::Resigned).await;
    assert_eq!(journal.count("in_a is gone"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lost_term_leaves_nothing_running_after_100_ms() {
    let elector = Arc::new(ScriptedElector::new());
    let kit = Kit::new()
        .elector("elector", &elector)
        .exporter("exporter", false)
        .receiver("stubborn", Some("elector"), Does::Ignores)
        .receiver("docile", Some("elector"), Does::Waits);
    let journal = kit.journal.clone();
    let _host = Host::start(kit.collector, Arc::new(Telemetry::new())).await.expect("it starts");
    elector.lead().await;
    journal.until("docile starts", 1).await;
    let began = Instant::now();
    // Returns when the last clone of the leadership is gone.
    elector.lose(Reason::Expired).await;
    assert!(began.elapsed() <= Duration::from_millis(100), "{:?}", began.elapsed());
    assert_eq!((journal.count("stubborn is gone"), journal.count("docile stops")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_once_the_term_is_lost_however_long_a_receiver_goes_on() {
    let elector = Arc::new(ScriptedElector::new());
    let kit = Kit::new()
        .elector("elector", &elector)
        .exporter("exporter", false)
        .receiver("led", Some("elector"), Does::Streams)
        .receiver("free", None, Does::Emits(7));
    let journal = kit.journal.clone();
    let _host = Host::start(kit.collector, Arc::new(Telemetry::new())).await.expect("it starts");
    for term in 1..=3 {
        elector.lead().await;
        journal.until("exporter takes 1", 5 * term).await;
        let began = Instant::now();
        elector.lose(Reason::TakenOver).await;
        assert!(began.elapsed() <= Duration::from_millis(100), "{:?}", began.elapsed());
        assert_eq!(journal.count("led is gone"), term, "it is joined");
        let lines = journal.lines();
        let own = &lines[lines.iter().rposition(|line| line == "led starts").expect("it has started")..];
        let sent = own.iter().rposition(|line| line == "exporter takes 1").expect("it has sent");
        // It goes on trying until it is dropped, and from the first refusal on nothing gets through.
        let refused = own.iter().position(|line| line == "led: leadership was lost: taken_over");
        assert!(refused.is_some_and(|refused| sent < refused), "{own:#?}");
        tokio::time::sleep(Duration::from_mins(1)).await;
        assert_eq!(journal.lines(), lines, "nothing of it is left");
    }
    assert_eq!(journal.count("free is gone"), 0, "what has no elector goes on");
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_does_not_drain_is_dropped_while_the_lease_is_still_held() {
    let elector = Arc::new(ScriptedElector::new());
    let kit = Kit::new().elector("elector", &elector).exporter("exporter", false).receiver(
        "stubborn",
        Some("elector"),
        Does::Ignores,
    );
    let journal = kit.journal.clone();
    let _host = Host::start(kit.collector, Arc::new(Telemetry::new())).await.expect("it starts");
    elector.lead().await;
    journal.until("stubborn starts", 1).await;
    let began = Instant::now();
    elector.drain(Reason::HandedOver).await;
    let took = began.elapsed();
    assert!((Duration::from_secs(10)..Duration::from_millis(10_010)).contains(&took), "{took:?}");
    assert_eq!(journal.count("stubborn is gone"), 1);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_room_when_the_term_is_lost_is_dropped_and_counted() {
    let elector = Arc::new(ScriptedElector::new());
    let kit = Kit::new().elector("elector", &elector).exporter("full", true).exporter("open", false).receiver(
        "r",
        Some("elector"),
        Does::Emits(7),
    );
    let journal = kit.journal.clone();
    let telemetry = Arc::new(Telemetry::new());
    let _host = Host::start(kit.collector, Arc::clone(&telemetry)).await.expect("it starts");
    elector.lead().await;
    journal.until("full is full", 1).await;
    journal.until("open takes 7", 1).await;
    elector.lose(Reason::TakenOver).await;
    assert_eq!(journal.count("r: leadership was lost: taken_over"), 1, "{:#?}", journal.lines());
    let text = telemetry.text();
    assert!(text.contains("lease_points_dropped_total{component=\"full\"} 7"), "{text}");
    assert!(text.contains("lease_points_dropped_total{component=\"open\"} 0\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn what_a_processor_keeps_back_reaches_no_exporter_after_a_loss() {
    let elector = Arc::new(ScriptedElector::new());
    let kit = Kit::new().elector("elector", &elector).exporter("exporter", false).processor("processor").receiver(
        "r",
        Some("elector"),
        Does::Emits(5),
    );
    let journal = kit.journal.clone();
    let telemetry = Arc::new(Telemetry::new());
    let host = Host::start(kit.collector, Arc::clone(&telemetry)).await.expect("it starts");
    elector.lead().await;
    journal.until("processor keeps", 1).await;
    elector.lose(Reason::TakenOver).await;
    host.shutdown(Duration::from_secs(5)).await;
    assert_eq!(journal.count("processor stops"), 1, "it was flushed");
    assert_eq!(journal.count("exporter takes 5"), 0, "{:#?}", journal.lines());
    let text = telemetry.text();
    assert!(text.contains("lease_points_dropped_total{component=\"exporter\"} 5"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn what_was_read_before_a_drain_is_handed_on_before_the_lease_is_let_go() {
    let elector = Arc::new(ScriptedElector::new());
    let kit = Kit::new().elector("elector", &elector).exporter("exporter", false).processor("processor").receiver(
        "r",
        Some("elector"),
        Does::EmitsAtStop(5),
    );
    let journal = kit.journal.clone();
    let _host = Host::start(kit.collector, Arc::new(Telemetry::new())).await.expect("it starts");
    elector.lead().await;
    journal.until("r starts", 1).await;
    elector.drain(Reason::HandedOver).await;
    assert_eq!(journal.count("exporter takes 5"), 1, "{:#?}", journal.lines());
    assert!(journal.position("exporter takes 5") < journal.position("exporter flushes"));
}

/// An elector that gives its callbacks to the test.
#[derive(Clone, Debug)]
struct Bare(mpsc::UnboundedSender<Pair>);

struct Pair(Start, Stop);

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pair")
    }
}

impl LeaderElector for Bare {
    fn set_callbacks(&self, start: Start, stop: Stop) {
        self.0.send(Pair(start, stop)).expect("the test listens");
    }
}

#[async_trait]
impl Extension for Bare {
    async fn start(&self, _: &ComponentId, _: Arc<dyn Meter>) -> Result<Box<dyn RunningExtension>, StartError> {
        Ok(Box::new(self.clone()))
    }
}

#[async_trait]
impl RunningExtension for Bare {
    fn elector(&self) -> Option<Arc<dyn LeaderElector>> {
        Some(Arc::new(self.clone()))
    }

    async fn shutdown(self: Box<Self>) {}
}

#[tokio::test(start_paused = true)]
async fn a_loss_cuts_a_drain_short() {
    let (sender, mut pairs) = mpsc::unbounded_channel();
    let mut kit = Kit::new().exporter("exporter", false).receiver("stubborn", Some("bare"), Does::Ignores);
    kit.collector.extensions.push((id("bare"), Box::new(Bare(sender))));
    let _host = Host::start(kit.collector, Arc::new(Telemetry::new())).await.expect("it starts");
    let Pair(start, stop) = pairs.recv().await.expect("the receivers register");
    assert!(pairs.try_recv().is_err(), "those of one elector register together");
    let (leadership, mut control) = grant(None);
    start(leadership).await;
    let began = Instant::now();
    control.drain(Reason::HandedOver);
    let stopping = tokio::spawn(stop());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!stopping.is_finished(), "it has its time while the lease is held");
    control.lose(Reason::DrainTimeout);
    stopping.await.expect("no panic");
    control.drained().await;
    let took = began.elapsed();
    assert!((Duration::from_secs(2)..=Duration::from_millis(2100)).contains(&took), "{took:?}");
}

#[tokio::test]
async fn the_collector_serves_its_own_metrics() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut kit = Kit::new().exporter("exporter", false).receiver("r", None, Does::Waits);
    let metrics = lease_otel::config::MetricsEndpoint { host: "127.0.0.1".to_owned(), port: 0 };
    kit.collector.telemetry.metrics = Some(metrics);
    let journal = kit.journal.clone();
    let host = Host::start(kit.collector, Arc::new(Telemetry::new())).await.expect("it starts");
    journal.until("r starts", 1).await;
    let address = host.metrics_address().expect("it is asked for");
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("somebody listens");
    let request = b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.expect("it is taken");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("it is text");
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("# EOF\n"), "{answer}");
    host.shutdown(Duration::from_secs(5)).await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "nobody listens any more");
}
