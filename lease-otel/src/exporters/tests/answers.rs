//! What an exporter makes of the answers.

use super::*;

fn refuse(grpc: i32, http: u16, retry_after: Option<Duration>) -> Answer {
    Answer::Refuse { grpc, http, retry_after }
}

#[tokio::test]
async fn what_is_refused_for_good_is_dropped_at_once() {
    let sink = Sink::start();
    let (logs, _guard) = Logs::keep();
    for (index, exporter) in both(&sink, &[]).await.into_iter().enumerate() {
        sink.next([Answer::invalid()]);
        exporter.offer(3).await.unwrap();
        exporter.tally.until(|tally| tally.count(FAILED) == 3).await;
        exporter.offer(4).await.unwrap();
        exporter.until_sent(4).await;
        let tally = exporter.end().await;
        assert_eq!(tally.count(FAILED), 3);
        assert_eq!(sink.received().len(), 2 * (index + 1));
    }
    assert!(logs.text().contains("dropped: `http://127.0.0.1"), "{}", logs.text());
    assert!(logs.text().contains("answers InvalidArgument"), "{}", logs.text());
}

#[tokio::test]
async fn each_status_is_tried_again_or_not_as_the_specification_says() {
    let sink = Sink::start();
    let [grpc, http] = both(&sink, &[]).await;
    let mut sent = 0;
    // Cancelled, DeadlineExceeded, Aborted, OutOfRange, Unavailable, DataLoss; and what HTTP has.
    for code in [1, 4, 10, 11, 14, 15] {
        sink.next([refuse(code, 0, None)]);
        grpc.offer(1).await.unwrap();
        sent += 1;
        grpc.until_sent(sent).await;
    }
    for (before, status) in [429, 502, 503, 504].into_iter().enumerate() {
        sink.next([refuse(0, status, None)]);
        http.offer(1).await.unwrap();
        http.until_sent(before as u64 + 1).await;
    }
    assert_eq!((http.tally.count(SENT), http.tally.count(FAILED)), (4, 0));
    assert_eq!(grpc.tally.count(FAILED), 0);
    // Unknown, InvalidArgument, NotFound, PermissionDenied, ResourceExhausted, FailedPrecondition, Unimplemented,
    // Internal, Unauthenticated.
    for code in [2, 3, 5, 7, 8, 9, 12, 13, 16] {
        sink.next([refuse(code, 0, None)]);
        grpc.offer(1).await.unwrap();
        grpc.flush().await;
    }
    assert_eq!((grpc.tally.count(SENT), grpc.tally.count(FAILED)), (6, 9));
    for status in [301, 400, 401, 404, 413, 500, 501] {
        sink.next([refuse(0, status, None)]);
        http.offer(1).await.unwrap();
        http.flush().await;
    }
    assert_eq!((http.tally.count(SENT), http.tally.count(FAILED)), (4, 7));
    // An endpoint that is exhausted and says when to come again recovers.
    sink.next([refuse(8, 0, Some(Duration::from_millis(10)))]);
    grpc.offer(1).await.unwrap();
    grpc.until_sent(7).await;
}

#[tokio::test]
async fn the_wait_that_is_asked_for_is_kept() {
    let sink = Sink::start();
    let asked = [Duration::from_millis(300), Duration::from_secs(1)];
    for (exporter, asked) in both(&sink, &[]).await.into_iter().zip(asked) {
        let before = sink.received().len();
        sink.next([refuse(14, 503, Some(asked))]);
        exporter.offer(1).await.unwrap();
        exporter.until_sent(1).await;
        let received = sink.received();
        let waited = Duration::from_nanos(received[before + 1].at_ns - received[before].at_ns);
        assert!(waited >= asked, "{waited:?} of {asked:?}");
    }
}

#[tokio::test]
async fn an_endpoint_that_is_too_slow_is_tried_again() {
    let sink = Sink::start();
    let (logs, _guard) = Logs::keep();
    for exporter in both(&sink, &[("timeout", "200ms")]).await {
        sink.next([Answer::Delay(Duration::from_mins(1))]);
        exporter.offer(1).await.unwrap();
        exporter.until_sent(1).await;
        exporter.end().await;
    }
    assert_eq!(sink.received().len(), 4);
    assert!(logs.text().contains("has not answered within 200ms, which `timeout` sets"), "{}", logs.text());
}

#[tokio::test]
async fn what_is_rejected_in_part_is_counted_and_told() {
    let sink = Sink::start();
    let (logs, _guard) = Logs::keep();
    let json = Running::http(&sink, &[("encoding", "json")]).await;
    let [grpc, proto] = both(&sink, &[]).await;
    for exporter in [grpc, proto, json] {
        sink.next([Answer::TakePart { rejected: 2, message: "two are too old".to_owned() }]);
        exporter.offer(5).await.unwrap();
        exporter.flush().await;
        let tally = exporter.end().await;
        assert_eq!((tally.count(SENT), tally.count(FAILED)), (3, 2));
    }
    assert_eq!(logs.text().matches("two are too old").count(), 3);
}
