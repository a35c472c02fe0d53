//! The queue in virtual time, in front of an endpoint that a test plays.

use std::collections::VecDeque;

use lease_core::Reason;
use lease_core::testing::grant;

use super::*;
use crate::test_kit::{Logs, Tally, batch};

const SENT: &str = "otelcol_exporter_sent_metric_points";
const FAILED: &str = "otelcol_exporter_send_failed_metric_points";
const FULL: &str = "otelcol_exporter_enqueue_failed_metric_points";

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// What the endpoint does with an attempt.
#[derive(Clone, Debug)]
enum Answer {
    Take,
    Reject(u64),
    Fail(Failure),
    Never,
}

fn retryable(after: Option<Duration>) -> Answer {
    Answer::Fail(Failure::Retryable { message: "not now".to_owned(), after })
}

#[derive(Debug)]
struct Played {
    answers: Mutex<VecDeque<Answer>>,
    otherwise: Answer,
    /// When each attempt was made, and how many items it had.
    attempts: watch::Sender<Vec<(Instant, u64)>>,
}

#[async_trait]
impl Transport for Played {
    fn encode(&self, telemetry: Telemetry) -> Bytes {
        vec![0; 10 * telemetry.len()].into()
    }

    async fn send(&self, request: &Request) -> Result<Taken, Failure> {
        self.attempts.send_modify(|attempts| attempts.push((Instant::now(), request.items)));
        let next = self.answers.lock().unwrap().pop_front();
        match next.unwrap_or_else(|| self.otherwise.clone()) {
            Answer::Take => Ok(Taken::default()),
            Answer::Reject(rejected) => Ok(Taken { rejected, message: "too old".to_owned() }),
            Answer::Fail(failure) => Err(failure),
            Answer::Never => std::future::pending().await,
        }
    }
}

struct Rig {
    endpoint: Arc<Played>,
    sending: Arc<Sending>,
    tally: Arc<Tally>,
    stop: CancellationToken,
    work: tokio::task::JoinHandle<()>,
    began: Instant,
}

impl Rig {
    fn new(queue: QueueSettings, retry: RetrySettings, answers: &[Answer], otherwise: Answer) -> Self {
        let answers = Mutex::new(answers.iter().cloned().collect());
        let endpoint = Arc::new(Played { answers, otherwise, attempts: watch::Sender::default() });
        let (tally, stop) = (Tally::new(), CancellationToken::new());
        let counters = Counters::new(&"otlp".parse().unwrap(), tally.clone());
        let (sending, work) = Sending::start(endpoint.clone(), queue, retry, counters, stop.clone());
        Self { endpoint, sending, tally, stop, work: tokio::spawn(work), began: Instant::now() }
    }

    async fn offer(&self, items: usize) -> Result<(), Refused> {
        self.sending.consume(batch(items, None)).await
    }

    async fn flush(&self, within: Duration) {
        self.sending.flush((Instant::now() + within).into_std()).await;
    }

    /// When the attempts were made, in seconds since the begin.
    fn attempts(&self) -> Vec<f64> {
        self.endpoint.attempts.borrow().iter().map(|(at, _)| (*at - self.began).as_secs_f64()).collect()
    }

    async fn until_attempts(&self, count: usize) {
        let mut attempts = self.endpoint.attempts.subscribe();
        attempts.wait_for(|attempts| attempts.len() >= count).await.unwrap();
    }

    async fn end(self) -> Arc<Tally> {
        self.stop.cancel();
        self.work.await.unwrap();
        self.tally
    }
}

/// No chance in the waits.
fn retry() -> RetrySettings {
    RetrySettings { randomization_factor: 0.0, ..RetrySettings::default() }
}

fn queue(queue_size: u64, num_consumers: usize) -> QueueSettings {
    QueueSettings { num_consumers, queue_size, ..QueueSettings::default() }
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_tried_again_until_it_is_taken() {
    let rig = Rig::new(queue(10, 1), retry(), &[retryable(None), retryable(None)], Answer::Take);
    rig.offer(3).await.unwrap();
    rig.tally.until(|tally| tally.count(SENT) == 3).await;
    assert_eq!(rig.attempts(), [0.0, 5.0, 12.5]);
    let tally = rig.end().await;
    assert_eq!((tally.count(SENT), tally.count(FAILED)), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn trying_ends_when_the_time_is_over() {
    let settings = RetrySettings { max_elapsed_time: secs(60), ..retry() };
    let rig = Rig::new(queue(10, 1), settings, &[], retryable(None));
    rig.offer(3).await.unwrap();
    rig.tally.until(|tally| tally.count(FAILED) == 3).await;
    // The next one would have been at 66 s.
    assert_eq!(rig.attempts(), [0.0, 5.0, 12.5, 23.75, 40.625]);
    assert_eq!(rig.began.elapsed(), Duration::from_millis(40_625), "what would come too late is not waited for");
}

#[tokio::test(start_paused = true)]
async fn zero_tries_for_ever() {
    let settings = RetrySettings { max_elapsed_time: Duration::ZERO, ..retry() };
    let rig = Rig::new(queue(10, 1), settings, &[], retryable(None));
    rig.offer(3).await.unwrap();
    rig.until_attempts(100).await;
    assert_eq!(rig.tally.count(FAILED), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_for_good_is_dropped_at_once() {
    let refused = Answer::Fail(Failure::Permanent("malformed".to_owned()));
    let rig = Rig::new(queue(10, 1), retry(), &[refused], Answer::Take);
    rig.offer(3).await.unwrap();
    rig.offer(4).await.unwrap();
    rig.flush(secs(1)).await;
    assert_eq!(rig.attempts(), [0.0, 0.0]);
    assert_eq!((rig.tally.count(SENT), rig.tally.count(FAILED)), (4, 3));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_tried_again_where_that_is_off() {
    let settings = RetrySettings { enabled: false, ..retry() };
    let rig = Rig::new(queue(10, 1), settings, &[retryable(None)], Answer::Take);
    rig.offer(3).await.unwrap();
    rig.flush(secs(1)).await;
    assert_eq!((rig.attempts().len(), rig.tally.count(FAILED)), (1, 3));
}

#[tokio::test(start_paused = true)]
async fn the_wait_that_the_endpoint_asks_for_is_kept() {
    let asked = [retryable(Some(secs(17))), retryable(Some(secs(1)))];
    let rig = Rig::new(queue(10, 1), retry(), &asked, Answer::Take);
    rig.offer(3).await.unwrap();
    rig.until_attempts(1).await;
    // A flush does not shorten it.
    rig.flush(secs(2)).await;
    rig.tally.until(|tally| tally.count(SENT) == 3).await;
    // A wait of ours that is longer stays.
    assert_eq!(rig.attempts(), [0.0, 17.0, 24.5]);
}

#[tokio::test(start_paused = true)]
async fn what_was_offered_is_sent_or_dropped_and_each_is_counted() {
    let rig = Rig::new(queue(5, 2), retry(), &[], Answer::Never);
    let mut refused = 0;
    for items in 1..=9 {
        match rig.offer(items).await {
            Ok(()) => assert!(items <= 5, "the sixth has no room"),
            Err(Refused::Full { size: 5, capacity: 5, .. }) => refused += items as u64,
            Err(other) => panic!("{other}"),
        }
        // Also what is being sent takes room.
        tokio::task::yield_now().await;
    }
    assert_eq!(rig.tally.count(FULL), refused);
    assert_eq!(refused, 6 + 7 + 8 + 9);
    assert_eq!(rig.tally.gauge("otelcol_exporter_queue_size"), Some(5.0));
    let tally = rig.end().await;
    assert_eq!(tally.count(FAILED), 1 + 2 + 3 + 4 + 5);
    assert_eq!(tally.gauge("otelcol_exporter_queue_size"), Some(0.0));
}

#[tokio::test(start_paused = true)]
async fn the_size_is_counted_as_the_sizer_says() {
    let items = QueueSettings { sizer: Sizer::Items, ..queue(10, 1) };
    let rig = Rig::new(items, retry(), &[], Answer::Never);
    rig.offer(6).await.unwrap();
    rig.offer(5).await.unwrap_err();
    rig.offer(4).await.unwrap();
    let bytes = QueueSettings { sizer: Sizer::Bytes, ..queue(100, 1) };
    let rig = Rig::new(bytes, retry(), &[], Answer::Never);
    rig.offer(11).await.unwrap_err();
    rig.offer(10).await.unwrap();
    assert_eq!(rig.tally.gauge("otelcol_exporter_queue_size"), Some(100.0));
}

#[tokio::test(start_paused = true)]
async fn a_batch_waits_for_room_where_that_is_asked_for() {
    let blocking = QueueSettings { block_on_overflow: true, ..queue(1, 1) };
    let rig = Rig::new(blocking, retry(), &[retryable(None)], Answer::Take);
    rig.offer(1).await.unwrap();
    rig.offer(2).await.unwrap();
    assert_eq!(rig.began.elapsed(), secs(5), "the first was sent then");
    rig.flush(secs(1)).await;
    assert_eq!((rig.tally.count(SENT), rig.tally.count(FULL)), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_room_is_dropped_with_its_term_and_what_is_queued_is_sent() {
    let blocking = QueueSettings { block_on_overflow: true, ..queue(1, 1) };
    let rig = Rig::new(blocking, retry(), &[retryable(None)], Answer::Take);
    let (leadership, control) = grant(None);
    let term = || Some(leadership.validity());
    rig.sending.consume(batch(1, term())).await.unwrap();
    let waiting = {
        let (sending, batch) = (Arc::clone(&rig.sending), batch(2, term()));
        tokio::spawn(async move { sending.consume(batch).await })
    };
    rig.until_attempts(1).await;
    control.lose(Reason::Expired);
    assert!(matches!(waiting.await.unwrap(), Err(Refused::Lost(_))));
    let tally = rig.end().await;
    assert_eq!((tally.count(SENT), tally.count(FAILED)), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_part_that_is_rejected_is_counted() {
    let rig = Rig::new(queue(10, 1), retry(), &[Answer::Reject(2), Answer::Reject(9)], Answer::Take);
    rig.offer(5).await.unwrap();
    rig.offer(3).await.unwrap();
    rig.flush(secs(1)).await;
    assert_eq!((rig.tally.count(SENT), rig.tally.count(FAILED)), (3, 5));
}

#[tokio::test(start_paused = true)]
async fn a_flush_returns_when_all_is_sent_or_at_the_deadline() {
    let rig = Rig::new(queue(10, 1), retry(), &[retryable(None)], Answer::Take);
    rig.offer(1).await.unwrap();
    rig.until_attempts(1).await;
    rig.flush(secs(3)).await;
    assert_eq!(rig.attempts(), [0.0, 0.0], "a flush does not wait for the next attempt");
    assert_eq!(rig.tally.count(SENT), 1);
    let never = Rig::new(queue(10, 1), retry(), &[], Answer::Never);
    never.offer(1).await.unwrap();
    never.flush(secs(3)).await;
    assert_eq!(never.began.elapsed(), secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_flush_does_not_wait_for_an_endpoint_that_is_away() {
    let rig = Rig::new(queue(10, 2), retry(), &[], retryable(None));
    for items in [1, 2, 4] {
        rig.offer(items).await.unwrap();
    }
    // It has taken nothing for five seconds.
    rig.until_attempts(4).await;
    let before = rig.attempts().len();
    rig.flush(secs(5)).await;
    assert_eq!(rig.began.elapsed(), secs(5), "what waits was tried at once, and that has failed");
    assert!(rig.attempts().len() > before);
    assert_eq!(rig.tally.count(FAILED), 0, "it is kept");
}

#[tokio::test(start_paused = true)]
async fn a_flush_goes_on_over_a_failure_that_passes() {
    for (failures, flushed_after, sent) in [(1, 500, 7), (3, 1_500, 7), (9, 1_500, 0)] {
        let failing = vec![retryable(None); failures];
        let rig = Rig::new(queue(10, 1), retry(), &failing, Answer::Take);
        for items in [1, 2, 4] {
            rig.offer(items).await.unwrap();
        }
        rig.flush(secs(5)).await;
        assert_eq!(rig.began.elapsed(), Duration::from_millis(flushed_after), "{failures} failures");
        assert_eq!((rig.tally.count(SENT), rig.tally.count(FAILED)), (sent, 0), "{failures} failures");
    }
}

#[tokio::test(start_paused = true)]
async fn failures_are_in_a_row_only_while_nothing_is_taken() {
    let rig = Rig::new(queue(10, 1), retry(), &[retryable(None)], Answer::Take);
    rig.offer(1).await.unwrap();
    rig.tally.until(|tally| tally.count(SENT) == 1).await;
    assert_eq!(rig.attempts(), [0.0, 5.0]);
    rig.endpoint.answers.lock().unwrap().push_back(retryable(None));
    rig.offer(2).await.unwrap();
    rig.flush(secs(5)).await;
    assert_eq!((rig.attempts(), rig.tally.count(SENT)), (vec![0.0, 5.0, 5.0, 5.5], 3));
}

#[tokio::test(start_paused = true)]
async fn a_flush_waits_as_the_endpoint_asks_for_if_there_is_time() {
    let rig = Rig::new(queue(10, 1), RetrySettings { initial_interval: secs(1), ..retry() }, &[], Answer::Take);
    for (asked, within, flushed_after) in [(2, 5, 2), (9, 5, 0)] {
        rig.endpoint.answers.lock().unwrap().push_back(retryable(Some(secs(asked))));
        let before = Instant::now();
        rig.offer(1).await.unwrap();
        rig.flush(secs(within)).await;
        assert_eq!(before.elapsed(), secs(flushed_after), "asked for {asked} s");
    }
    rig.tally.until(|tally| tally.count(SENT) == 2).await;
    let before = Instant::now();
    rig.endpoint.answers.lock().unwrap().push_back(retryable(Some(secs(2))));
    rig.offer(1).await.unwrap();
    rig.flush(secs(5)).await;
    assert_eq!((before.elapsed(), rig.tally.count(SENT)), (secs(2), 3), "what was asked for earlier is over");
}

#[tokio::test(start_paused = true)]
async fn all_that_is_dropped_at_the_end_is_told_in_one_line() {
    let (logs, _guard) = Logs::keep();
    let rig = Rig::new(queue(10, 2), retry(), &[], retryable(None));
    for _ in 0..7 {
        rig.offer(5).await.unwrap();
    }
    rig.until_attempts(2).await;
    assert_eq!(rig.end().await.count(FAILED), 35);
    let text = logs.text();
    assert_eq!(text.matches("dropped").count(), 1, "{text}");
    assert!(text.contains("dropped: the collector stops, and not now exporter=otlp requests=7 items=35"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn what_was_dropped_before_the_end_and_not_told_is_told_then() {
    let (logs, _guard) = Logs::keep();
    let refused = Answer::Fail(Failure::Permanent("malformed".to_owned()));
    let rig = Rig::new(queue(2, 1), retry(), &[refused.clone(), refused.clone(), refused], Answer::Never);
    for _ in 0..3 {
        rig.offer(5).await.unwrap();
        rig.flush(secs(1)).await;
    }
    for items in [1, 2, 4, 8] {
        let _ = rig.offer(items).await;
    }
    rig.end().await;
    for told in [
        "dropped: malformed exporter=otlp signal=metrics requests=1 items=5",
        "dropped before the stop, since that was last told exporter=otlp requests=2 items=10",
        "dropped because the queue was full, since that was last told exporter=otlp requests=1 items=8",
        "dropped: the collector stops, and the endpoint has not answered within 5s exporter=otlp requests=2 items=3",
    ] {
        assert_eq!(logs.text().matches(told).count(), 1, "{told} is not in\n{}", logs.text());
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_is_cut_short_counts_and_tells_what_is_dropped() {
    let (logs, _guard) = Logs::keep();
    let rig = Rig::new(queue(10, 2), retry(), &[], Answer::Never);
    for _ in 0..7 {
        rig.offer(5).await.unwrap();
    }
    rig.until_attempts(2).await;
    rig.stop.cancel();
    rig.work.abort();
    assert!(rig.work.await.unwrap_err().is_cancelled());
    assert_eq!((rig.tally.count(FAILED), rig.tally.gauge("otelcol_exporter_queue_size")), (35, Some(0.0)));
    let text = logs.text();
    assert_eq!(text.matches("dropped").count(), 1, "{text}");
    assert!(text.contains(CUT_SHORT) && text.contains("requests=7 items=35"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn the_stop_sends_what_is_queued_until_the_endpoint_is_away() {
    let rig = Rig::new(queue(10, 1), retry(), &[Answer::Take, Answer::Take], retryable(None));
    for items in [1, 2, 4, 8] {
        rig.offer(items).await.unwrap();
    }
    let (sending, began) = (Arc::clone(&rig.sending), rig.began);
    let endpoint = Arc::clone(&rig.endpoint);
    let tally = rig.end().await;
    assert_eq!((tally.count(SENT), tally.count(FAILED)), (1 + 2, 4 + 8));
    let attempts: Vec<_> = endpoint.attempts.borrow().iter().map(|(at, _)| (*at - began).as_secs_f64()).collect();
    assert_eq!(attempts, [0.0, 0.0, 0.0, 0.5, 1.0, 1.5]);
    assert!(matches!(sending.consume(batch(1, None)).await, Err(Refused::Closed)));
    assert_eq!(tally.count(FULL), 1, "what comes too late is counted as well");
}

#[tokio::test(start_paused = true)]
async fn the_stop_does_not_wait_for_an_endpoint_that_was_away_before_it() {
    let rig = Rig::new(queue(10, 2), retry(), &[], retryable(None));
    for items in [1, 2, 4] {
        rig.offer(items).await.unwrap();
    }
    rig.until_attempts(4).await;
    let began = rig.began;
    assert_eq!(rig.end().await.count(FAILED), 7);
    assert_eq!(began.elapsed(), secs(5), "the stop took no time");
}

#[tokio::test(start_paused = true)]
async fn the_stop_goes_on_over_a_failure_that_passes() {
    // All senders meet it at once.
    let rig = Rig::new(queue(10, 3), retry(), &vec![retryable(None); 3], Answer::Take);
    for items in [1, 2, 4, 8] {
        rig.offer(items).await.unwrap();
    }
    let began = rig.began;
    let tally = rig.end().await;
    assert_eq!((tally.count(SENT), tally.count(FAILED)), (15, 0));
    assert_eq!(began.elapsed(), Duration::from_millis(500));
}

#[tokio::test(start_paused = true)]
async fn the_stop_waits_as_the_endpoint_asks_for_if_there_is_time() {
    for (asked, sent, took) in [(3, 3, 3), (9, 0, 0)] {
        let rig = Rig::new(queue(10, 1), retry(), &[retryable(Some(secs(asked)))], Answer::Take);
        rig.offer(3).await.unwrap();
        let began = rig.began;
        let tally = rig.end().await;
        assert_eq!((tally.count(SENT), tally.count(FAILED)), (sent, 3 - sent), "asked for {asked} s");
        assert_eq!(began.elapsed(), secs(took), "asked for {asked} s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_was_asked_for_goes_on_at_the_stop_if_there_is_time() {
    let settings = RetrySettings { initial_interval: secs(1), ..retry() };
    for (asked, attempts) in [(4, [0.0, 4.0]), (60, [0.0, 1.0])] {
        let rig = Rig::new(queue(10, 1), settings.clone(), &[retryable(Some(secs(asked)))], Answer::Take);
        rig.offer(3).await.unwrap();
        rig.until_attempts(1).await;
        sleep(secs(1)).await;
        let (endpoint, began) = (Arc::clone(&rig.endpoint), rig.began);
        assert_eq!(rig.end().await.count(SENT), 3);
        let found: Vec<_> = endpoint.attempts.borrow().iter().map(|(at, _)| (*at - began).as_secs_f64()).collect();
        assert_eq!(found, attempts, "asked for {asked} s");
    }
}

#[tokio::test(start_paused = true)]
async fn without_another_attempt_one_failure_at_the_stop_costs_one_request() {
    let settings = RetrySettings { enabled: false, ..retry() };
    let rig = Rig::new(queue(10, 1), settings, &[retryable(None)], Answer::Take);
    for items in [1, 2, 4] {
        rig.offer(items).await.unwrap();
    }
    let tally = rig.end().await;
    assert_eq!((tally.count(SENT), tally.count(FAILED)), (6, 1));
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_never_answers_does_not_hold_the_stop_up() {
    let rig = Rig::new(queue(10, 2), retry(), &[], Answer::Never);
    for items in [1, 2, 4] {
        rig.offer(items).await.unwrap();
    }
    let began = rig.began;
    let tally = rig.end().await;
    assert_eq!(tally.count(FAILED), 7);
    assert_eq!(began.elapsed(), STOP_GRACE);
}

#[tokio::test(start_paused = true)]
async fn without_a_queue_the_receiver_waits() {
    let none = QueueSettings { enabled: false, ..queue(1, 1) };
    let rig = Rig::new(none, retry(), &[retryable(None)], Answer::Take);
    rig.offer(1).await.unwrap();
    assert_eq!(rig.began.elapsed(), secs(5));
    assert_eq!(rig.tally.count(SENT), 1);
}

#[tokio::test(start_paused = true)]
async fn who_stops_waiting_leaves_nothing_behind() {
    let without = QueueSettings { enabled: false, ..queue(1, 1) };
    let blocking = QueueSettings { block_on_overflow: true, ..queue(1, 1) };
    for (settings, queued) in [(without, 0.0), (blocking, 1.0)] {
        let rig = Rig::new(settings, retry(), &[], Answer::Never);
        if queued > 0.0 {
            rig.offer(1).await.unwrap();
        }
        assert!(tokio::time::timeout(secs(1), rig.offer(2)).await.is_err(), "it waits");
        assert_eq!(rig.tally.gauge("otelcol_exporter_queue_size"), Some(queued));
        assert_eq!(rig.tally.count(FULL), 0);
        let tally = rig.end().await;
        assert_eq!(tally.count(FAILED), u64::from(queued > 0.0));
    }
}
