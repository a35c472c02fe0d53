//! What is put together, what is split, and when it is handed on.

use lease_core::Reason;
use lease_core::testing::grant;

use super::*;
use crate::test_kit::{Kept, Logs, Tally, batch, configured, problems};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn settings(send_batch_size: usize, send_batch_max_size: usize, timeout: u64) -> Settings {
    Settings { send_batch_size, send_batch_max_size, timeout: ms(timeout) }
}

struct Rig {
    inlet: Arc<dyn Consumer>,
    next: Arc<Kept>,
    tally: Arc<Tally>,
    stop: CancellationToken,
    work: tokio::task::JoinHandle<()>,
}

impl Rig {
    fn new(settings: &Settings) -> Self {
        let (next, tally, stop) = (Kept::new(), Tally::new(), CancellationToken::new());
        let id = "batch".parse().unwrap();
        let (inlet, work) = settings.start(&id, next.clone(), stop.clone(), tally.clone());
        Self { inlet, next, tally, stop, work: tokio::spawn(work.unwrap()) }
    }

    async fn offer(&self, sizes: &[usize]) {
        for size in sizes {
            self.inlet.consume(batch(*size, None)).await.unwrap();
        }
    }

    async fn flush(&self) {
        self.inlet.flush((Instant::now() + ms(1_000)).into_std()).await;
    }

    async fn end(self) -> Vec<usize> {
        self.stop.cancel();
        self.work.await.unwrap();
        self.next.sizes()
    }
}

#[test]
fn defaults_and_errors_are_those_of_the_reference() {
    let told = |entries: &[(&str, &str)]| problems(entries, |fields| drop(BatchKind.configure(fields)));
    assert_eq!(told(&[]), [] as [&str; 0]);
    let (made, _) = configured(&[], |fields| format!("{:?}", BatchKind.configure(fields)));
    assert_eq!(made, format!("{:?}", settings(8192, 0, 200)));
    let wrong = told(&[("send_batch_size", "100"), ("send_batch_max_size", "99")]);
    assert_eq!(wrong, ["send_batch_max_size: 99 is less than send_batch_size, which is 100: write 0, or 100 or more"]);
    assert_eq!(told(&[("send_batch_max_size", "8191")]).len(), 1);
    let ((), noted) = configured(&[("metadata_cardinality_limit", "5")], |fields| drop(BatchKind.configure(fields)));
    assert_eq!(noted.warnings.len(), 1);
}

#[test]
fn what_may_be_dropped_is_there_from_the_start_as_0() {
    let telemetry = Arc::new(crate::telemetry::Telemetry::new());
    let meter = Arc::clone(&telemetry) as Arc<dyn Meter>;
    let _work = settings(10, 0, 200).start(&"batch/a".parse().unwrap(), Kept::new(), CancellationToken::new(), meter);
    let text = telemetry.text();
    assert!(text.contains("lease_points_dropped_total{component=\"batch/a\"} 0\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn small_batches_become_one_when_the_size_is_reached_or_the_time_is_over() {
    let rig = Rig::new(&settings(10, 0, 200));
    rig.offer(&[4, 4]).await;
    let before = Instant::now();
    rig.next.until(1).await;
    assert_eq!(before.elapsed(), ms(200));
    rig.offer(&[6, 7, 2]).await;
    rig.next.until(2).await;
    // Without a bound a batch is as large as it is.
    assert_eq!(rig.next.sizes(), [8, 13]);
    assert_eq!(before.elapsed(), ms(200), "the size was reached, so nothing waited");
    assert_eq!(rig.end().await, [8, 13, 2]);
}

#[tokio::test(start_paused = true)]
async fn none_is_larger_than_the_bound() {
    let rig = Rig::new(&settings(10, 12, 200));
    rig.offer(&[40]).await;
    rig.next.until(3).await;
    assert_eq!(rig.next.sizes(), [12, 12, 12]);
    rig.next.until(4).await;
    assert_eq!(rig.end().await, [12, 12, 12, 4]);
}

#[tokio::test(start_paused = true)]
async fn without_a_time_or_a_size_nothing_waits() {
    for settings in [settings(10, 0, 0), settings(0, 0, 200)] {
        let rig = Rig::new(&settings);
        rig.offer(&[1, 2]).await;
        rig.next.until(2).await;
        assert_eq!(rig.end().await, [1, 2]);
    }
    let rig = Rig::new(&settings(0, 3, 200));
    rig.offer(&[7]).await;
    rig.next.until(3).await;
    assert_eq!(rig.end().await, [3, 3, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_flush_hands_everything_on_and_flushes_what_is_behind() {
    let rig = Rig::new(&settings(100, 0, 10_000));
    rig.offer(&[1, 2]).await;
    let before = Instant::now();
    rig.flush().await;
    assert_eq!(rig.next.sizes(), [3]);
    assert_eq!(rig.next.flushes(), [1]);
    assert_eq!(before.elapsed(), ms(0));
    assert_eq!(rig.end().await, [3]);
}

/// What does not end a flush before its deadline.
#[derive(Debug)]
struct Slow(Arc<Kept>);

#[async_trait]
impl Consumer for Slow {
    async fn consume(&self, batch: Batch) -> Result<(), Refused> {
        self.0.consume(batch).await
    }

    async fn flush(&self, deadline: std::time::Instant) {
        sleep_until(deadline.into()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_flush_that_takes_long_holds_nobody_else_up() {
    let (kept, stop) = (Kept::new(), CancellationToken::new());
    let next = Arc::new(Slow(kept.clone()));
    let (inlet, work) = settings(1, 0, 200).start(&"batch".parse().unwrap(), next, stop.clone(), Tally::new());
    let work = tokio::spawn(work.unwrap());
    let before = Instant::now();
    let flush = inlet.flush((before + ms(5_000)).into_std());
    let others = async {
        for _ in 0..3 * INBOX {
            inlet.consume(batch(1, None)).await.unwrap();
        }
        kept.until(3 * INBOX).await;
        before.elapsed()
    };
    let ((), elapsed) = tokio::join!(flush, others);
    assert_eq!((elapsed, before.elapsed()), (ms(0), ms(5_000)));
    stop.cancel();
    work.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn batches_of_different_terms_are_not_merged() {
    let rig = Rig::new(&settings(100, 0, 200));
    let ((one, _a), (other, _b)) = (grant(None), grant(None));
    for leadership in [Some(&one), Some(&other), None, Some(&one), None] {
        let term = leadership.map(lease_core::Leadership::validity);
        rig.inlet.consume(batch(1, term)).await.unwrap();
    }
    rig.flush().await;
    assert_eq!(rig.next.sizes(), [2, 1, 2]);
    let terms = rig.next.terms();
    assert!(terms[0].as_ref().unwrap().is_same_term(&one.validity()));
    assert!(terms[1].as_ref().unwrap().is_same_term(&other.validity()));
    assert!(terms[2].is_none());
}

#[tokio::test(start_paused = true)]
async fn what_was_read_in_a_lost_term_is_not_handed_on() {
    let rig = Rig::new(&settings(100, 0, 200));
    let (leadership, control) = grant(None);
    rig.inlet.consume(batch(5, Some(leadership.validity()))).await.unwrap();
    rig.offer(&[1]).await;
    control.lose(Reason::Expired);
    let late = rig.inlet.consume(batch(1, Some(leadership.validity()))).await.unwrap_err();
    assert!(matches!(late, Refused::Lost(_)), "{late}");
    rig.flush().await;
    assert_eq!(rig.next.sizes(), [1]);
    assert_eq!(rig.tally.count(names::DROPPED), 6, "what was kept back, and what came late");
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_back_is_dropped_as_soon_as_its_term_is_lost_and_nothing_else() {
    let rig = Rig::new(&settings(100, 0, 3_600_000));
    let ((lost, control), (held, _held)) = (grant(None), grant(None));
    for (points, term) in [(5, Some(lost.validity())), (3, Some(held.validity())), (2, None)] {
        rig.inlet.consume(batch(points, term)).await.unwrap();
    }
    let before = Instant::now();
    control.lose(Reason::TakenOver);
    rig.tally.until(|tally| tally.count(names::DROPPED) > 0).await;
    assert_eq!((rig.tally.count(names::DROPPED), before.elapsed()), (5, ms(0)));
    assert_eq!(rig.end().await, [3, 2]);
}

#[tokio::test(start_paused = true)]
async fn what_is_left_of_a_term_that_ended_well_is_dropped_and_counted_then() {
    let rig = Rig::new(&settings(100, 0, 3_600_000));
    let (leadership, control) = grant(None);
    let term = || Some(leadership.validity());
    rig.inlet.consume(batch(5, term())).await.unwrap();
    control.drain(Reason::Shutdown);
    rig.flush().await;
    assert_eq!(rig.next.sizes(), [5], "what was read before the drain is handed on");
    rig.inlet.consume(batch(3, term())).await.unwrap();
    let before = Instant::now();
    drop(leadership);
    rig.tally.until(|tally| tally.count(names::DROPPED) > 0).await;
    assert_eq!((rig.tally.count(names::DROPPED), before.elapsed()), (3, ms(0)));
    assert_eq!(rig.end().await, [5]);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_room_is_let_go_when_the_term_is_lost() {
    // A consumer without end: what is behind it piles up.
    let (stop, tally) = (CancellationToken::new(), Tally::new());
    let id = "batch".parse().unwrap();
    let (inlet, _work) = settings(1, 0, 200).start(&id, Kept::new(), stop, tally.clone());
    let (leadership, control) = grant(None);
    for _ in 0..INBOX {
        inlet.consume(batch(1, Some(leadership.validity()))).await.unwrap();
    }
    let waiting = tokio::spawn({
        let (inlet, term) = (Arc::clone(&inlet), leadership.validity());
        async move { inlet.consume(batch(7, Some(term))).await }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    control.lose(Reason::TakenOver);
    let refused = waiting.await.unwrap().unwrap_err();
    assert!(matches!(refused, Refused::Lost(_)), "{refused}");
    assert_eq!(tally.count(names::DROPPED), 7);
}

/// What finds each term lost, and has counted that.
#[derive(Debug)]
struct Late(lease_core::testing::TermControl);

#[async_trait]
impl Consumer for Late {
    async fn consume(&self, batch: Batch) -> Result<(), Refused> {
        self.0.lose(Reason::Expired);
        Ok(batch.check()?)
    }

    async fn flush(&self, _deadline: std::time::Instant) {}
}

#[tokio::test(start_paused = true)]
async fn what_is_dropped_behind_it_is_counted_there_alone() {
    let (leadership, control) = grant(None);
    let (stop, tally) = (CancellationToken::new(), Tally::new());
    let id = "batch".parse().unwrap();
    let (inlet, work) = settings(1, 0, 200).start(&id, Arc::new(Late(control)), stop.clone(), tally.clone());
    inlet.consume(batch(7, Some(leadership.validity()))).await.unwrap();
    stop.cancel();
    work.unwrap().await;
    assert!(leadership.check().is_err(), "it was handed on");
    assert_eq!(tally.count(names::DROPPED), 0);
}

#[tokio::test(start_paused = true)]
async fn after_the_stop_nothing_is_taken() {
    let rig = Rig::new(&settings(100, 0, 200));
    let inlet = Arc::clone(&rig.inlet);
    rig.offer(&[1]).await;
    assert_eq!(rig.end().await, [1]);
    assert!(matches!(inlet.consume(batch(1, None)).await, Err(Refused::Closed)));
    inlet.flush(Instant::now().into_std()).await;
}

/// What has no room until it is told that it stops, and refuses then. Says how many wait, and what they have brought.
#[derive(Debug, Default)]
struct Crowded {
    waiting: tokio::sync::watch::Sender<usize>,
    stop: CancellationToken,
}

#[async_trait]
impl Consumer for Crowded {
    async fn consume(&self, batch: Batch) -> Result<(), Refused> {
        self.waiting.send_modify(|waiting| *waiting += batch.telemetry.len());
        self.stop.cancelled().await;
        Err(Refused::Closed)
    }

    async fn flush(&self, _deadline: std::time::Instant) {}
}

/// A processor in front of it, whose first piece waits there.
async fn crowded(
    settings: &Settings,
    first: Batch,
) -> (Arc<Crowded>, Arc<dyn Consumer>, Arc<Tally>, CancellationToken, tokio::task::JoinHandle<()>) {
    let (next, stop, tally) = (Arc::new(Crowded::default()), CancellationToken::new(), Tally::new());
    let (inlet, work) = settings.start(&"batch".parse().unwrap(), next.clone(), stop.clone(), tally.clone());
    let work = tokio::spawn(work.unwrap());
    inlet.consume(first).await.unwrap();
    next.waiting.subscribe().wait_for(|waiting| *waiting > 0).await.unwrap();
    (next, inlet, tally, stop, work)
}

#[tokio::test(start_paused = true)]
async fn a_consumer_without_room_delays_no_end_of_a_term() {
    let ((one, ends_one), (other, ends_other)) = (grant(None), grant(None));
    let (next, stop, tally) = (Arc::new(Crowded::default()), CancellationToken::new(), Tally::new());
    let (inlet, work) = settings(10, 10, 3_600_000).start(&"batch".parse().unwrap(), next.clone(), stop, tally.clone());
    let _work = tokio::spawn(work.unwrap());
    inlet.consume(batch(2, Some(one.validity()))).await.unwrap();
    inlet.consume(batch(25, Some(other.validity()))).await.unwrap();
    next.waiting.subscribe().wait_for(|waiting| *waiting == 10).await.unwrap();
    let before = Instant::now();
    // What is kept of another term than that which waits.
    ends_one.lose(Reason::TakenOver);
    tally.until(|tally| tally.count(names::DROPPED) == 2).await;
    // What waits itself, and the rest behind it; then there is room for the next.
    ends_other.lose(Reason::TakenOver);
    tally.until(|tally| tally.count(names::DROPPED) == 27).await;
    inlet.consume(batch(12, None)).await.unwrap();
    next.waiting.subscribe().wait_for(|waiting| *waiting == 10 + 10).await.unwrap();
    assert_eq!(before.elapsed(), ms(0));
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_at_the_stop_is_told_in_one_line() {
    let (logs, _guard) = Logs::keep();
    let (next, inlet, tally, stop, work) = crowded(&settings(10, 0, 3_600_000), batch(10, None)).await;
    for points in [11, 12, 1] {
        inlet.consume(batch(points, None)).await.unwrap();
    }
    stop.cancel();
    next.stop.cancel();
    work.await.unwrap();
    let text = logs.text();
    assert_eq!(text.matches("dropped").count(), 1, "{text}");
    let told = "dropped: the collector stops, and the pipeline has been shut down processor=batch batches=4 items=34";
    assert!(text.contains(told), "{text}");
    assert_eq!(tally.count(names::DROPPED), 0, "who refuses counts");
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_is_cut_short_counts_and_tells_what_is_kept() {
    let (logs, _guard) = Logs::keep();
    // Ten of them wait for room, and the rest behind them.
    let (_next, inlet, tally, stop, work) = crowded(&settings(10, 10, 3_600_000), batch(25, None)).await;
    for points in [11, 2] {
        inlet.consume(batch(points, None)).await.unwrap();
    }
    stop.cancel();
    work.abort();
    assert!(work.await.unwrap_err().is_cancelled());
    assert_eq!(tally.count(names::DROPPED), 38);
    assert!(matches!(inlet.consume(batch(1, None)).await, Err(Refused::Closed)));
    let text = logs.text();
    assert!(
        text.contains("dropped: it was cut short before they could be handed on processor=batch items=38"),
        "{text}"
    );
}

/// A flush that has begun: the three points of the first term wait for room, and the five of the second are in line.
async fn flushing(terms: [Option<Validity>; 2]) -> (Arc<Tally>, tokio::task::JoinHandle<()>, impl Sized) {
    let (next, stop, tally) = (Arc::new(Crowded::default()), CancellationToken::new(), Tally::new());
    let settings = settings(10, 10, 3_600_000);
    let (inlet, work) = settings.start(&"batch".parse().unwrap(), next.clone(), stop.clone(), tally.clone());
    let work = tokio::spawn(work.unwrap());
    let [first, second] = terms;
    inlet.consume(batch(3, first)).await.unwrap();
    inlet.consume(batch(5, second)).await.unwrap();
    let flush = tokio::spawn({
        let inlet = Arc::clone(&inlet);
        async move { inlet.flush((Instant::now() + ms(3_600_000)).into_std()).await }
    });
    next.waiting.subscribe().wait_for(|waiting| *waiting == 3).await.unwrap();
    (tally, work, (next, inlet, stop, flush))
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_cuts_a_flush_short_counts_what_is_in_line() {
    let (logs, _guard) = Logs::keep();
    let ((one, _one), (other, _other)) = (grant(None), grant(None));
    let (tally, work, _kept) = flushing([Some(one.validity()), Some(other.validity())]).await;
    work.abort();
    assert!(work.await.unwrap_err().is_cancelled());
    assert_eq!(tally.count(names::DROPPED), 8);
    let text = logs.text();
    assert!(text.contains("before they could be handed on processor=batch items=8"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn what_is_in_line_behind_a_flush_is_dropped_as_soon_as_its_term_is_lost() {
    let ((one, ends_one), (other, ends_other)) = (grant(None), grant(None));
    let (tally, _work, _kept) = flushing([Some(one.validity()), Some(other.validity())]).await;
    let before = Instant::now();
    ends_other.lose(Reason::TakenOver);
    tally.until(|tally| tally.count(names::DROPPED) == 5).await;
    ends_one.lose(Reason::TakenOver);
    tally.until(|tally| tally.count(names::DROPPED) == 8).await;
    assert_eq!(before.elapsed(), ms(0));
}

#[tokio::test(start_paused = true)]
async fn what_the_end_of_a_term_takes_along_is_told_in_one_number_and_called_a_loss_only_if_it_is() {
    for (loss, why) in [(false, "the term is over: shutdown"), (true, "leadership was lost: taken_over")] {
        let (logs, _guard) = Logs::keep();
        let (leadership, control) = grant(None);
        let first = batch(25, Some(leadership.validity()));
        let (_next, _inlet, tally, _stop, _work) = crowded(&settings(10, 10, 3_600_000), first).await;
        if loss {
            control.lose(Reason::TakenOver);
        } else {
            control.drain(Reason::Shutdown);
            drop(leadership);
        }
        tally.until(|tally| tally.count(names::DROPPED) == 25).await;
        logs.until("items=25").await;
        let text = logs.text();
        assert!(
            text.contains(&format!("WARN lease_otel::processors::batch: dropped: {why} processor=batch")),
            "{text}"
        );
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}
