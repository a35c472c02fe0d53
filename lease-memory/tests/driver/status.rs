//! What is told to people.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lease_core::testing::TokioClock;
use lease_core::{LeaderElection, LockErrorKind, PhaseKind, Reason, Refusal, Released, Status};
use lease_memory::{MemoryLock, MemoryStore, Outcome, Requests};
use tokio::time::{Instant, sleep, timeout};
use tracing::field::{Field, Visit};
use tracing::span;

use crate::support::{
    D, Log, P, TICK, WatchRefused, identity, polling, timing, until, until_phase, until_standby, watching,
};

#[tokio::test(start_paused = true)]
async fn the_status_follows_a_term_from_its_start_to_its_end() {
    let store = MemoryStore::new();
    let a = polling(&store.lock("jobs"), "a").start().unwrap();
    {
        let status = a.status().borrow().clone();
        assert_eq!((status.phase, status.read, status.terms), (PhaseKind::Candidate, false, 0));
    }
    let leadership = a.campaign().await.unwrap();
    let leading = until_phase(&a, PhaseKind::Leading).await;
    assert_eq!(leading.token, leadership.token());
    assert_eq!(leading.holder, Some(identity("a")));
    assert_eq!((leading.reason, leading.terms, leading.is_leader()), (None, 1, true));
    assert_eq!(leading.valid_until, Some(leadership.valid_until()));

    a.resign(None);
    let draining = until_phase(&a, PhaseKind::Draining).await;
    assert_eq!((draining.reason, draining.is_leader()), (Some(Reason::Resigned), true));
    drop(leadership);
    let standby = until_phase(&a, PhaseKind::Candidate).await;
    assert_eq!((standby.token, standby.valid_until, standby.holder), (None, None, None));
    assert_eq!((standby.reason, standby.released), (Some(Reason::Resigned), Some(Released::Released)));
}

#[tokio::test(start_paused = true)]
async fn a_strict_term_is_no_leading_before_its_work_may_act() {
    let store = MemoryStore::new();
    let a = polling(&store.lock("jobs"), "a").strict(true).start().unwrap();
    let held = until(&a, |status| status.holder.is_some()).await;
    assert_eq!((held.is_leader(), held.token, held.terms), (false, None, 0));
    let began = Instant::now();
    a.campaign().await.unwrap();
    assert!((D..=D + TICK).contains(&began.elapsed()), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_denied_says_so_with_a_count_until_it_is_mended() {
    let store = MemoryStore::new();
    let lock = store.lock("jobs");
    let a = polling(&lock, "a").start().unwrap();
    let leadership = a.campaign().await.unwrap();
    lock.always(Requests::Writes, Outcome::denied());
    let first = until(&a, |status| status.last_error.is_some()).await.last_error.unwrap();
    assert_eq!((first.kind, first.count), (LockErrorKind::Denied, 1));
    assert!(first.message.contains("denied"), "{}", first.message);
    until(&a, |status| status.last_error.as_ref().is_some_and(|error| error.count == 3)).await;
    assert_eq!(leadership.lost().await.reason, Reason::Expired);
    drop(leadership);

    // Reading works all the while, which must not hide it.
    until(&a, |status| status.last_error.as_ref().is_some_and(|error| error.count >= 5)).await;
    sleep(3 * D).await;
    let error = a.status().borrow().last_error.clone().unwrap();
    assert_eq!(error.kind, LockErrorKind::Denied);

    // Nor does an outage in which nothing can be written make it forgotten.
    lock.always(Requests::Reads, Outcome::unavailable());
    let reading = |kind| move |status: &Status| status.last_error.as_ref().is_some_and(|error| error.kind == kind);
    until(&a, reading(LockErrorKind::Unavailable)).await;
    lock.heal();
    lock.always(Requests::Writes, Outcome::denied());
    until(&a, reading(LockErrorKind::Denied)).await;
    lock.heal();
    let _leading = a.campaign().await.unwrap();
    assert!(a.status().borrow().last_error.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_read_that_was_denied_is_forgotten_when_reading_works() {
    let store = MemoryStore::new();
    let lock = store.lock("jobs");
    lock.always(Requests::Reads, Outcome::denied());
    let a = polling(&lock, "a").start().unwrap();
    let denied = until(&a, |status| status.last_error.as_ref().is_some_and(|error| error.count == 2)).await;
    assert_eq!((denied.last_error.unwrap().kind, denied.read), (LockErrorKind::Denied, false));
    lock.heal();
    lock.always(Requests::Writes, Outcome::unavailable());
    until(&a, |status| status.last_error.as_ref().is_some_and(|error| error.kind == LockErrorKind::Unavailable)).await;
    lock.heal();
    let _leading = a.campaign().await.unwrap();
    assert!(a.status().borrow().last_error.is_none());
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_told_and_forgotten() {
    let store = MemoryStore::new();
    let lock = store.lock("jobs");
    store.put("jobs", lease_core::LeaseRecord { holder: Some(identity("other")), ..Default::default() });
    let a = polling(&lock, "a").start().unwrap();
    until_standby(&a).await;
    lock.always(Requests::Reads, Outcome::unavailable());
    let status = until(&a, |status| status.last_error.is_some()).await;
    assert_eq!(status.last_error.unwrap().kind, LockErrorKind::Unavailable);
    until(&a, |status| status.last_error.as_ref().is_some_and(|error| error.count == 3)).await;
    lock.heal();
    until(&a, |status| status.last_error.is_none()).await;
    lock.always(Requests::Reads, Outcome::Hang);
    let status = until(&a, |status| status.last_error.is_some()).await;
    assert!(status.last_error.unwrap().message.contains("no answer"));
    lock.heal();
    until(&a, |status| status.last_error.is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_and_an_identity_conflict_are_told() {
    let store = MemoryStore::new();
    let a = polling(&store.lock("jobs"), "a").start().unwrap();
    let leadership = a.campaign().await.unwrap();
    store.edit("jobs", |record| record.renew_time = Some(lease_core::Timestamp::from_unix_micros(7)));
    assert_eq!(leadership.lost().await.reason, Reason::IdentityConflict);
    assert!(until(&a, |status| status.identity_conflict).await.refusal.is_none());
    store.edit("jobs", |record| record.strategy = Some("OldestEmulationVersion".into()));
    drop(leadership);
    until(&a, |status| status.refusal == Some(Refusal::ForeignStrategy)).await;
    store.edit("jobs", |record| record.strategy = None);
    until(&a, |status| status.refusal.is_none()).await;
}

/// Counts the lines with this in their message.
struct Lines {
    message: &'static str,
    count: Arc<AtomicU64>,
}

impl Lines {
    /// Counts until the guard is dropped.
    fn count(message: &'static str) -> (Arc<AtomicU64>, tracing::subscriber::DefaultGuard) {
        let count = Arc::new(AtomicU64::new(0));
        let guard = tracing::subscriber::set_default(Self { message, count: Arc::clone(&count) });
        (count, guard)
    }
}

impl tracing::Subscriber for Lines {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= tracing::Level::INFO
    }

    fn new_span(&self, _span: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _span: &span::Id, _values: &span::Record<'_>) {}

    fn record_follows_from(&self, _span: &span::Id, _follows: &span::Id) {}

    /// A line is the message with its fields after it.
    fn event(&self, event: &tracing::Event<'_>) {
        struct Line(String);
        impl Visit for Line {
            fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                self.0 = match field.name() {
                    "message" => format!("{value:?}{}", self.0),
                    name => format!("{} {name}={value:?}", self.0),
                };
            }
        }
        let mut line = Line(String::new());
        event.record(&mut line);
        self.count.fetch_add(u64::from(line.0.contains(self.message)), Ordering::SeqCst);
    }

    fn enter(&self, _span: &span::Id) {}

    fn exit(&self, _span: &span::Id) {}
}

/// How often a leader complains in the first five minutes of this, whatever becomes of its term.
async fn complaints_in_five_minutes(script: impl FnOnce(&MemoryLock)) -> u64 {
    let store = MemoryStore::new();
    let lock = store.lock("jobs");
    let a = polling(&lock, "a").start().unwrap();
    let leadership = a.campaign().await.unwrap();
    let (complaints, _subscriber) = Lines::count("request failed");
    script(&lock);
    let five = Duration::from_mins(5);
    let began = Instant::now();
    // A term that is lost is given back, so that the candidate contends again.
    let _ = timeout(five, leadership.lost()).await;
    drop(leadership);
    sleep(five.saturating_sub(began.elapsed())).await;
    complaints.load(Ordering::SeqCst)
}

#[tokio::test(start_paused = true)]
async fn what_fails_for_minutes_is_told_once_a_minute() {
    let denied = complaints_in_five_minutes(|lock| lock.always(Requests::Writes, Outcome::denied())).await;
    assert!((5..=6).contains(&denied), "{denied} complaints of a right that is missing");
    // A renewal that may have been written, then reads that fail.
    let unreachable = complaints_in_five_minutes(|lock| lock.always(Requests::All, Outcome::Hang)).await;
    assert!((5..=6).contains(&unreachable), "{unreachable} complaints of a store that cannot be reached");
}

/// The replies of all writes are lost and every other read fails, yet the term goes on.
#[tokio::test(start_paused = true)]
async fn kinds_of_failures_that_alternate_are_told_once_a_minute_each() {
    let complaints = complaints_in_five_minutes(|lock| {
        lock.always(Requests::Writes, Outcome::LoseReply);
        for _ in 0..1_000 {
            lock.script(Requests::Reads, Outcome::unavailable());
            lock.script(Requests::Reads, Outcome::Pass);
        }
    })
    .await;
    assert!((10..=12).contains(&complaints), "{complaints} complaints of two kinds");
}

/// What is told of an outage of ten minutes: that it is over, once, and how long it was.
#[tokio::test(start_paused = true)]
async fn that_a_store_is_back_is_told_once_by_a_standby_and_by_a_leader() {
    let outage = Duration::from_mins(10);
    for (name, polled) in [("a", true), ("b", true), ("b", false)] {
        let store = MemoryStore::new();
        let lock = store.lock("jobs");
        let a = polling(&lock, "a").start().unwrap();
        let leading = a.campaign().await.unwrap();
        let other = store.lock("jobs");
        let election = match (name, polled) {
            ("a", _) => None,
            (_, true) => Some(polling(&other, "b").start().unwrap()),
            (_, false) => Some(watching(&other, "b").start().unwrap()),
        };
        if let Some(standby) = &election {
            until_standby(standby).await;
        }
        let (back, _subscriber) = Lines::count("requests succeed again");
        let failing = if name == "a" { &lock } else { &other };
        // The leader's term is lost meanwhile, and it stands by then; that of a standby's leader goes on.
        let _work = tokio::spawn(async move { leading.lost().await });
        failing.always(Requests::All, Outcome::unavailable());
        sleep(outage).await;
        assert_eq!(back.load(Ordering::SeqCst), 0, "{name}");
        failing.heal();
        sleep(20 * D).await;
        assert_eq!(back.load(Ordering::SeqCst), 1, "{name}, polled: {polled}");
    }
}

#[tokio::test(start_paused = true)]
async fn how_long_an_outage_was_is_told() {
    let store = MemoryStore::new();
    let lock = store.lock("jobs");
    let a = polling(&lock, "a").start().unwrap();
    let _leading = a.campaign().await.unwrap();
    let (back, _subscriber) = Lines::count(" failures=1");
    lock.script(Requests::Writes, Outcome::unavailable());
    let failed = until(&a, |status| status.last_error.is_some()).await;
    assert_eq!((failed.last_error.unwrap().count, back.load(Ordering::SeqCst)), (1, 0));
    until(&a, |status| status.last_error.is_none()).await;
    sleep(D).await;
    assert_eq!(back.load(Ordering::SeqCst), 1);
}

/// Reads that work between writes whose replies are lost do not say that it is over.
#[tokio::test(start_paused = true)]
async fn an_outage_of_writes_is_not_over_with_a_read() {
    let store = MemoryStore::new();
    let lock = store.lock("jobs");
    let a = polling(&lock, "a").start().unwrap();
    let leadership = a.campaign().await.unwrap();
    let (back, _subscriber) = Lines::count("requests succeed again");
    lock.always(Requests::Writes, Outcome::LoseReply);
    assert!(timeout(Duration::from_mins(5), leadership.lost()).await.is_err(), "what was written is seen by reads");
    assert_eq!(back.load(Ordering::SeqCst), 0);
    lock.heal();
    sleep(D).await;
    assert_eq!(back.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refused_watch_is_told_once_and_polling_takes_its_place() {
    let (warnings, _subscriber) = Lines::count("no watch");
    let store = MemoryStore::new();
    let a = polling(&store.lock("jobs"), "a").start().unwrap();
    let leadership = a.campaign().await.unwrap();
    let lock = store.lock("jobs");
    let b = LeaderElection::watched(WatchRefused(lock.clone()), identity("b"))
        .timing(timing())
        .clock(TokioClock::new())
        .start()
        .unwrap();
    let status = until(&b, |status| status.watch_error.is_some()).await;
    assert!(!status.watching && status.watch_error.unwrap().contains("forbidden"));
    let reads = lock.counts().gets;
    sleep(20 * P).await;
    let polled = lock.counts().gets - reads;
    assert!((18..=22).contains(&polled), "{polled} reads in 20 retry periods");
    assert_eq!(warnings.load(Ordering::SeqCst), 1);

    let released_at = Instant::now();
    drop(leadership);
    b.campaign().await.unwrap();
    assert!(released_at.elapsed() <= P + TICK, "{:?}", released_at.elapsed());
    assert!(b.status().borrow().watch_error.is_some());
}

#[tokio::test(start_paused = true)]
async fn an_observer_sees_what_happens_in_order() {
    let store = MemoryStore::new();
    let lock = store.lock("jobs");
    let log = Log::default();
    let a = watching(&lock, "a").observer(log.clone()).start().unwrap();
    let leadership = a.campaign().await.unwrap();
    let mut renewals = leadership.renewals();
    let won = log.take();
    let mut wanted = vec!["watching: true", "read", "acquire", "Started"].into_iter().peekable();
    for line in &won {
        wanted.next_if(|next| next == line);
    }
    assert_eq!(wanted.next(), None, "{won:?}");

    renewals.changed().await.unwrap();
    assert_eq!(log.take(), ["renew", "Renewed"]);
    lock.script(Requests::Writes, Outcome::LoseReply);
    renewals.changed().await.unwrap();
    let found = log.take();
    assert_eq!(found[..3], ["renew: unknown", "read", "Renewed"]);

    lock.always(Requests::All, Outcome::Hang);
    assert_eq!(leadership.lost().await.reason, Reason::Expired);
    drop(leadership);
    until(&a, |status| status.released.is_some()).await;
    let lost = log.take();
    assert!(lost.contains(&"renew abandoned".to_owned()), "{lost:?}");
    assert!(lost.contains(&"read abandoned".to_owned()), "{lost:?}");
    assert_eq!(lost.iter().filter(|line| *line == "MustStop" || *line == "Stopped").count(), 2, "{lost:?}");
    // H without an answer is at most H / P attempts.
    assert!(lost.len() <= 12, "{lost:?}");
}

#[tokio::test(start_paused = true)]
async fn the_epoch_that_was_asked_for_is_that_of_the_tokens() {
    let store = MemoryStore::new();
    let a = polling(&store.lock("jobs"), "a").epoch(3).start().unwrap();
    assert_eq!(a.campaign().await.unwrap().token().unwrap().epoch, 3);
}
