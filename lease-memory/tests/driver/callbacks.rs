//! Start and stop callbacks.

use std::sync::Arc;

use lease_core::{Builder, Leadership, PhaseKind, Reason, Released};
use lease_memory::{MemoryStore, Outcome, Requests};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::support::{D, Log, P, holder, ms, polling, until, until_phase, until_standby};

/// A pair that writes down what it is told.
fn logging(builder: Builder, log: &Log, name: &'static str) -> Builder {
    let (at_start, at_stop) = (log.clone(), log.clone());
    builder.on_term(
        move |leadership: Leadership| {
            let log = at_start.clone();
            async move { log.add(format!("{name} starts, valid: {}", leadership.is_valid())) }
        },
        move || {
            let log = at_stop.clone();
            async move { log.add(format!("{name} stops")) }
        },
    )
}

#[tokio::test(start_paused = true)]
async fn pairs_are_called_in_order_once_a_term_and_in_every_term() {
    let store = MemoryStore::new();
    let log = Log::default();
    let builder = logging(logging(polling(&store.lock("jobs"), "a"), &log, "one"), &log, "two");
    let a = builder.start().unwrap();
    for _ in 0..3 {
        until_phase(&a, PhaseKind::Leading).await;
        sleep(ms(1)).await;
        assert_eq!(log.take(), ["one starts, valid: true", "two starts, valid: true"]);
        a.resign(None);
        until(&a, |status| status.released == Some(Released::Released)).await;
        assert_eq!(log.take(), ["one stops", "two stops"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_loss_is_told_once_too_and_the_next_term_starts_again() {
    let store = MemoryStore::new();
    let lock = store.lock("jobs");
    let log = Log::default();
    let a = logging(polling(&lock, "a"), &log, "one").start().unwrap();
    until_phase(&a, PhaseKind::Leading).await;
    lock.always(Requests::All, Outcome::Hang);
    until(&a, |status| status.released == Some(Released::NotReleased)).await;
    lock.heal();
    until_phase(&a, PhaseKind::Leading).await;
    sleep(ms(1)).await;
    assert_eq!(log.take(), ["one starts, valid: true", "one stops", "one starts, valid: true"]);
}

#[tokio::test(start_paused = true)]
async fn a_pair_that_is_registered_while_leading_is_started_at_once() {
    let store = MemoryStore::new();
    let log = Log::default();
    let a = logging(polling(&store.lock("jobs"), "a"), &log, "early").start().unwrap();
    until_phase(&a, PhaseKind::Leading).await;
    sleep(3 * D).await;
    let (at_start, at_stop) = (log.clone(), log.clone());
    a.on_term(
        move |_| {
            let log = at_start.clone();
            async move { log.add("late starts") }
        },
        move || {
            let log = at_stop.clone();
            async move { log.add("late stops") }
        },
    );
    sleep(ms(1)).await;
    assert_eq!(log.take(), ["early starts, valid: true", "late starts"]);
    assert_eq!(a.shutdown().await, Released::Released);
    assert_eq!(log.take(), ["early stops", "late stops"]);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_never_led_is_told_nothing() {
    let store = MemoryStore::new();
    let log = Log::default();
    let a = polling(&store.lock("jobs"), "a").start().unwrap();
    until_phase(&a, PhaseKind::Leading).await;
    let b = logging(polling(&store.lock("jobs"), "b"), &log, "one").start().unwrap();
    until_standby(&b).await;
    sleep(3 * D).await;
    assert_eq!(b.shutdown().await, Released::NotHeld);
    assert!(log.all().is_empty(), "{:?}", log.all());
}

#[tokio::test(start_paused = true)]
async fn the_lease_is_renewed_until_stop_has_returned_and_released_then() {
    let store = MemoryStore::new();
    let (log, finish) = (Log::default(), Arc::new(Notify::new()));
    let finished = Arc::clone(&finish);
    let a = logging(polling(&store.lock("jobs"), "a"), &log, "one")
        .on_term(
            |_| async {},
            move || {
                let finished = Arc::clone(&finished);
                async move { finished.notified().await }
            },
        )
        .start()
        .unwrap();
    until_phase(&a, PhaseKind::Leading).await;
    sleep(ms(1)).await;
    a.resign(None);
    until_phase(&a, PhaseKind::Draining).await;
    let before = store.read("jobs").unwrap();
    sleep(ms(2_900)).await;
    assert_eq!(holder(&store).as_deref(), Some("a"), "released while a stop was still under way");
    assert_ne!(store.read("jobs").unwrap().version, before.version, "not renewed while draining");
    finish.notify_one();
    let status = until(&a, |status| status.released.is_some()).await;
    assert_eq!((status.released, status.reason), (Some(Released::Released), Some(Reason::Resigned)));
    assert_eq!(holder(&store), None);
}

#[tokio::test(start_paused = true)]
async fn a_start_that_panics_gives_the_term_up_and_every_pair_is_stopped() {
    let store = MemoryStore::new();
    let log = Log::default();
    let builder = logging(polling(&store.lock("jobs"), "a"), &log, "one")
        .on_term(|_| async { panic!("as the test wants it") }, || async { panic!("as the test wants it") });
    let a = logging(builder, &log, "three").start().unwrap();
    for doublings in 1..=3 {
        let status = until(&a, |status| status.released.is_some() && status.work_panics == doublings).await;
        assert_eq!((status.released, status.reason), (Some(Released::Released), Some(Reason::WorkEnded)));
        assert_eq!(holder(&store), None);
        assert_eq!(log.take(), ["one starts, valid: true", "one stops"]);
        let released_at = Instant::now();
        until(&a, |status| status.terms == doublings + 1).await;
        assert!(released_at.elapsed() >= P * (1 << doublings), "no back-off: {:?}", released_at.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_that_goes_on_is_dropped_on_a_loss_and_its_stop_is_called() {
    let store = MemoryStore::new();
    let lock = store.lock("jobs");
    let log = Log::default();
    let at_stop = log.clone();
    let a = polling(&lock, "a")
        .on_term(
            |_| std::future::pending(),
            move || {
                let log = at_stop.clone();
                async move { log.add("stops") }
            },
        )
        .start()
        .unwrap();
    until_phase(&a, PhaseKind::Leading).await;
    sleep(ms(1)).await;
    lock.always(Requests::All, Outcome::Hang);
    until(&a, |status| status.released == Some(Released::NotReleased)).await;
    assert_eq!(log.take(), ["stops"]);
    lock.heal();
    until(&a, |status| status.terms == 2).await;
}

/// What `run` holds is not all of the work where there are callbacks too.
#[tokio::test(start_paused = true)]
async fn work_that_ends_beside_callbacks_stops_them_and_releases() {
    let store = MemoryStore::new();
    let log = Log::default();
    let a = logging(polling(&store.lock("jobs"), "a"), &log, "one").start().unwrap();
    let mut terms = 0;
    let work = async |_| {
        terms += 1;
        sleep(ms(1)).await;
        match terms {
            1 => {}
            2 => panic!("as the test wants it"),
            _ => std::future::pending().await,
        }
    };
    let watch = async {
        for term in 1..=2 {
            let status = until(&a, |status| status.terms == term && status.released.is_some()).await;
            assert_eq!((status.released, status.reason), (Some(Released::Released), Some(Reason::WorkEnded)));
            assert_eq!(log.take(), ["one starts, valid: true", "one stops"]);
        }
        until(&a, |status| status.terms == 3).await;
    };
    tokio::select! {
        _ = a.run(work) => panic!("the election ended by itself"),
        () = watch => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_outlives_the_work_is_told_to_drain_and_waited_for() {
    let store = MemoryStore::new();
    let a = polling(&store.lock("jobs"), "a").start().unwrap();
    let work = async |leadership: Leadership| {
        tokio::spawn(async move {
            leadership.draining().cancelled().await;
            assert_eq!(leadership.drain_reason(), Some(Reason::WorkEnded));
            sleep(ms(700)).await;
            assert!(leadership.is_valid(), "not renewed while draining");
        });
    };
    let watch = async {
        let draining = until(&a, |status| status.reason.is_some()).await;
        assert_eq!((draining.phase, draining.released), (PhaseKind::Draining, None));
        let began = Instant::now();
        let status = until(&a, |status| status.released.is_some()).await;
        assert_eq!((status.released, began.elapsed() >= ms(700)), (Some(Released::Released), true));
    };
    tokio::select! {
        _ = a.run(work) => panic!("the election ended by itself"),
        () = watch => {}
    }
}
