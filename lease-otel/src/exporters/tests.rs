//! Both ways of OTLP against a receiver on this machine.

mod answers;
mod peers;
mod settings;
mod tls;

use std::sync::Arc;
use std::time::{Duration, Instant};

use testbed::otlp::{Answer, Protocol, Sink, Telemetry as Arrived};
use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;

use super::recorded;
use crate::component::{Consumer, Refused};
use crate::data::{Batch, Telemetry};
use crate::registry;
use crate::test_kit::{Logs, Tally, batch, configured};

const SENT: &str = "otelcol_exporter_sent_metric_points";
const FAILED: &str = "otelcol_exporter_send_failed_metric_points";
const FULL: &str = "otelcol_exporter_enqueue_failed_metric_points";

/// An exporter that runs.
struct Running {
    consumer: Arc<dyn Consumer>,
    tally: Arc<Tally>,
    stop: CancellationToken,
    work: tokio::task::JoinHandle<()>,
}

impl Running {
    /// With short waits, unless the entries say something else.
    async fn start(kind: &str, entries: &[(&str, &str)]) -> Self {
        let mut all = entries.to_vec();
        for (key, value) in [("retry_on_failure.initial_interval", "10ms"), ("retry_on_failure.max_interval", "50ms")] {
            if !all.iter().any(|(found, _)| *found == key) {
                all.push((key, value));
            }
        }
        let registry = registry();
        let factory = registry.exporter(kind).unwrap();
        let (exporter, problems) = configured(&all, |fields| factory.configure(fields));
        assert_eq!(problems.errors, []);
        let (tally, stop) = (Tally::new(), CancellationToken::new());
        let started = exporter.start(&kind.parse().unwrap(), stop.clone(), tally.clone()).await;
        let (consumer, work) = started.unwrap();
        Self { consumer, tally, stop, work: tokio::spawn(work.unwrap()) }
    }

    async fn grpc(sink: &Sink, entries: &[(&str, &str)]) -> Self {
        let endpoint = sink.grpc().to_string();
        Self::start("otlp", &[&[("endpoint", endpoint.as_str()), ("tls.insecure", "true")], entries].concat()).await
    }

    async fn http(sink: &Sink, entries: &[(&str, &str)]) -> Self {
        let endpoint = format!("http://{}", sink.http());
        Self::start("otlphttp", &[&[("endpoint", endpoint.as_str())], entries].concat()).await
    }

    async fn offer(&self, points: usize) -> Result<(), Refused> {
        self.consumer.consume(batch(points, None)).await
    }

    async fn flush(&self) {
        self.consumer.flush(Instant::now() + Duration::from_mins(1)).await;
    }

    async fn until_sent(&self, points: u64) {
        self.tally.until(|tally| tally.count(SENT) == points).await;
    }

    async fn end(self) -> Arc<Tally> {
        self.stop.cancel();
        self.work.await.unwrap();
        self.tally
    }
}

/// Both kinds at one receiver.
async fn both(sink: &Sink, entries: &[(&str, &str)]) -> [Running; 2] {
    [Running::grpc(sink, entries).await, Running::http(sink, entries).await]
}

#[tokio::test]
async fn what_arrives_is_what_was_sent_in_every_signal() {
    let sink = Sink::start();
    for exporter in both(&sink, &[]).await {
        for recorded in recorded::all() {
            exporter.consumer.consume(Batch { telemetry: recorded.telemetry, term: None }).await.unwrap();
        }
        exporter.flush().await;
        exporter.end().await;
    }
    let received = sink.received();
    assert_eq!(received.len(), 6);
    for recorded in recorded::all() {
        let sent = format!("{:?}", resources(&recorded.telemetry));
        let same = received.iter().filter(|request| format!("{:?}", arrived(&request.telemetry)) == sent);
        let protocols: Vec<Protocol> = same.map(|request| request.protocol).collect();
        assert_eq!(protocols, [Protocol::Grpc, Protocol::HttpProto]);
    }
}

/// Whatever a signal has, without the message around it. Not equal to itself where it has a number that is none.
fn resources(telemetry: &Telemetry) -> &dyn std::fmt::Debug {
    match telemetry {
        Telemetry::Metrics(resources) => resources,
        Telemetry::Logs(resources) => resources,
        Telemetry::Traces(resources) => resources,
    }
}

fn arrived(telemetry: &Arrived) -> &dyn std::fmt::Debug {
    match telemetry {
        Arrived::Metrics(request) => &request.resource_metrics,
        Arrived::Logs(request) => &request.resource_logs,
        Arrived::Traces(request) => &request.resource_spans,
    }
}

#[tokio::test]
async fn an_endpoint_may_come_later() {
    for kind in [0, 1] {
        let (logs, _guard) = Logs::keep();
        let mut sink = Sink::down();
        let exporter = if kind == 0 { Running::grpc(&sink, &[]).await } else { Running::http(&sink, &[]).await };
        for points in [1, 2, 3] {
            exporter.offer(points).await.unwrap();
        }
        logs.until("nothing was sent: `127.0.0.1` cannot be connected to at port").await;
        assert!(sink.received().is_empty());
        sink.restart();
        exporter.until_sent(6).await;
        logs.until("takes what it is sent again").await;
        assert_eq!(sink.items_taken(), 6);
        let tally = exporter.end().await;
        assert_eq!((tally.count(FAILED), tally.count(FULL)), (0, 0));
    }
}

#[tokio::test]
async fn nothing_is_lost_when_the_endpoint_restarts() {
    let mut sink = Sink::start();
    let exporters = both(&sink, &[]).await;
    let mut offered = 0;
    for round in 0..3 {
        for points in 1..=5 {
            let points = round * 5 + points;
            for exporter in &exporters {
                exporter.offer(points).await.unwrap();
            }
            offered += points as u64;
        }
        sink.stop();
        for exporter in &exporters {
            exporter.offer(100 + round).await.unwrap();
        }
        offered += 100 + round as u64;
        sink.restart();
    }
    for exporter in exporters {
        exporter.until_sent(offered).await;
        let tally = exporter.end().await;
        assert_eq!((tally.count(FAILED), tally.count(FULL)), (0, 0));
    }
    for protocol in [Protocol::Grpc, Protocol::HttpProto] {
        let received = sink.received();
        let mut sizes: Vec<usize> =
            received.iter().filter(|request| request.protocol == protocol).map(|r| r.telemetry.items()).collect();
        sizes.sort_unstable();
        // One whose answer was lost with the connection came twice.
        sizes.dedup();
        assert_eq!(sizes, (1..=15).chain(100..=102).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn beyond_the_queue_each_drop_is_counted() {
    let sink = Sink::start();
    sink.otherwise(Answer::unavailable());
    let (logs, _guard) = Logs::keep();
    let exporter = Running::grpc(&sink, &[("sending_queue.queue_size", "4")]).await;
    let outcomes = [exporter.offer(1).await, exporter.offer(2).await, exporter.offer(4).await, exporter.offer(8).await];
    assert!(outcomes.iter().all(Result::is_ok));
    for points in [16, 32] {
        let refused = exporter.offer(points).await.unwrap_err();
        assert_eq!(refused.to_string(), "the queue of `otlp` is full: it holds 4 of 4");
    }
    logs.until("the queue is full").await;
    assert_eq!(exporter.tally.count(FULL), 48);
    sink.otherwise(Answer::Take);
    exporter.until_sent(15).await;
    let tally = exporter.end().await;
    assert_eq!((tally.count(SENT), tally.count(FAILED), tally.count(FULL)), (15, 0, 48));
    assert_eq!(sink.items_taken(), 15);
    assert_eq!(logs.text().matches("the queue is full").count(), 1, "the second is told later");
}

#[tokio::test]
async fn a_flush_hands_everything_on_before_it_returns() {
    let sink = Sink::start();
    sink.next([Answer::Delay(Duration::from_millis(50))]);
    for exporter in both(&sink, &[]).await {
        let before = sink.items_taken();
        for points in 1..=20 {
            exporter.offer(points).await.unwrap();
        }
        exporter.flush().await;
        assert_eq!(exporter.tally.count(SENT), 210);
        assert_eq!(sink.items_taken() - before, 210);
        exporter.end().await;
    }
}

#[tokio::test]
async fn the_other_protocol_is_recognized_and_the_way_out_named() {
    let sink = Sink::start();
    let (logs, _guard) = Logs::keep();
    let give_up = ("retry_on_failure.max_elapsed_time", "100ms");
    let endpoint = sink.http().to_string();
    let grpc = Running::start("otlp", &[("endpoint", &endpoint), ("tls.insecure", "true"), give_up]).await;
    grpc.offer(3).await.unwrap();
    logs.until("breaks them off without a word: it may speak HTTP/1").await;
    grpc.tally.until(|tally| tally.count(FAILED) == 3).await;
    let endpoint = format!("http://{}", sink.grpc());
    let http = Running::start("otlphttp", &[("endpoint", &endpoint), give_up]).await;
    http.offer(4).await.unwrap();
    logs.until("speaks gRPC: OTLP over HTTP is usually at port 4318").await;
    http.tally.until(|tally| tally.count(FAILED) == 4).await;
    assert!(sink.received().is_empty());
}

#[tokio::test]
async fn a_server_of_http_that_answers_grpc_is_recognized() {
    let (logs, _guard) = Logs::keep();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = listener.local_addr().unwrap().to_string();
    // As servers do that know no HTTP/2: an answer, and then they close without having read everything.
    let server = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await.ok();
        }
    });
    let exporter = Running::start("otlp", &[("endpoint", &endpoint), ("tls.insecure", "true")]).await;
    exporter.offer(3).await.unwrap();
    logs.until("speaks HTTP/1, not gRPC").await;
    logs.until("use the exporter otlp_http").await;
    server.abort();
}
