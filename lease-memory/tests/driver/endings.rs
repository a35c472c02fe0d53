//! How terms are given up, and how elections end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lease_core::testing::TokioClock;
use lease_core::{Ended, LeaderElection, PhaseKind, Reason, Released, Timing};
use lease_memory::{MemoryStore, Outcome, Requests};
use tokio::time::{Instant, sleep, timeout};

use crate::support::{
    D, P, Panicking, TICK, holder, identity, ms, polling, timing, until, until_phase, until_standby, watching,
};

#[tokio::test(start_paused = true)]
async fn a_resigned_leadership_is_released_when_the_last_clone_is_gone() {
    let store = MemoryStore::new();
    let a = polling(&store.lock("jobs"), "a").start().unwrap();
    let leadership = a.campaign().await.unwrap();
    let task = tokio::spawn({
        let clone = leadership.clone();
        async move {
            clone.draining().cancelled().await;
            assert!(clone.is_valid(), "draining is no loss");
            assert_eq!(clone.drain_reason(), Some(Reason::Resigned));
            sleep(ms(1_200)).await;
            assert!(clone.is_valid(), "not renewed while draining");
        }
    });
    let began = Instant::now();
    assert_eq!(leadership.resign().await, Released::Released);
    assert!(began.elapsed() >= ms(1_200));
    task.await.unwrap();
    let record = store.read("jobs").unwrap().record;
    assert!(record.holder.is_none() && record.released == record.acquired);
}

#[tokio::test(start_paused = true)]
async fn a_successor_takes_over_and_the_others_hold_back() {
    let store = MemoryStore::new();
    let a = polling(&store.lock("jobs"), "a").start().unwrap();
    let leadership = a.campaign().await.unwrap();
    // c alone would be as fast as b.
    let c = watching(&store.lock("jobs"), "c").start().unwrap();
    until_standby(&c).await;
    let b = watching(&store.lock("jobs"), "b").start().unwrap();
    until_standby(&b).await;
    a.resign(Some("b"));
    leadership.draining().cancelled().await;
    drop(leadership);
    let began = Instant::now();
    let _leading = b.campaign().await.unwrap();
    assert!(began.elapsed() <= TICK, "{:?}", began.elapsed());
    assert!(timeout(D, c.campaign()).await.is_err());
    assert!(timeout(D, a.campaign()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_successor_that_is_not_there_is_waited_for_one_period() {
    let store = MemoryStore::new();
    let a = polling(&store.lock("jobs"), "a").start().unwrap();
    let leadership = a.campaign().await.unwrap();
    let c = watching(&store.lock("jobs"), "c").start().unwrap();
    until_standby(&c).await;
    a.resign(Some("nobody"));
    leadership.draining().cancelled().await;
    drop(leadership);
    let began = Instant::now();
    c.campaign().await.unwrap();
    assert!((P..=P + TICK).contains(&began.elapsed()), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_says_what_became_of_the_lease() {
    let store = MemoryStore::new();
    let a = polling(&store.lock("jobs"), "a").start().unwrap();
    let leadership = a.campaign().await.unwrap();
    let b = polling(&store.lock("jobs"), "b").start().unwrap();
    until_standby(&b).await;
    assert_eq!(b.shutdown().await, Released::NotHeld);

    let status = a.status();
    let work = tokio::spawn(async move {
        leadership.draining().cancelled().await;
        assert_eq!(leadership.drain_reason(), Some(Reason::Shutdown));
        sleep(ms(700)).await;
        leadership.is_valid()
    });
    assert_eq!(a.shutdown().await, Released::Released);
    assert!(work.await.unwrap(), "the lease was not renewed while the work drained");
    assert_eq!(holder(&store), None);
    assert_eq!(status.borrow().phase, PhaseKind::Stopped);
}

#[tokio::test(start_paused = true)]
async fn work_that_hangs_is_not_released_behind_its_back_and_its_lease_runs_out() {
    let store = MemoryStore::new();
    let a = polling(&store.lock("jobs"), "a").start().unwrap();
    let hanging = a.campaign().await.unwrap();
    let b = polling(&store.lock("jobs"), "b").start().unwrap();
    until_standby(&b).await;
    let status = a.status();
    let asked_at = Instant::now();
    let shutdown = tokio::spawn(a.shutdown());

    assert_eq!(hanging.lost().await.reason, Reason::DrainTimeout);
    let lasted = asked_at.elapsed();
    assert!((timing().drain_max()..=timing().drain_max() + TICK).contains(&lasted), "{lasted:?}");
    assert_eq!(holder(&store).as_deref(), Some("a"));
    let last_renewed = store.read("jobs").unwrap().record.renew_time;
    let taken = b.campaign().await.unwrap();
    assert!(asked_at.elapsed() >= timing().drain_max() + D - P);
    assert!(taken.is_valid() && !shutdown.is_finished());
    {
        let status = status.borrow();
        assert_eq!((status.phase, status.reason), (PhaseKind::Stopping, Some(Reason::DrainTimeout)));
        assert_eq!(status.released, None);
    }
    assert_ne!(store.read("jobs").unwrap().record.renew_time, last_renewed);

    drop(hanging);
    assert_eq!(shutdown.await.unwrap(), Released::NotReleased);
    assert_eq!(holder(&store).as_deref(), Some("b"), "the late release touched the record of another");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_in_an_outage_is_not_released() {
    let store = MemoryStore::new();
    let lock = store.lock("jobs");
    let a = polling(&lock, "a").start().unwrap();
    drop(a.campaign().await.unwrap());
    let leadership = a.campaign().await.unwrap();
    lock.always(Requests::All, Outcome::unavailable());
    drop(leadership);
    let began = Instant::now();
    assert_eq!(a.shutdown().await, Released::NotReleased);
    assert!(began.elapsed() <= timing().renew_deadline() + TICK, "tried for {:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_election_releases_in_the_background() {
    let store = MemoryStore::new();
    let a = polling(&store.lock("jobs"), "a").start().unwrap();
    until_phase(&a, PhaseKind::Leading).await;
    let b = watching(&store.lock("jobs"), "b").start().unwrap();
    until_standby(&b).await;
    let mut status = a.status();
    drop(a);
    let began = Instant::now();
    b.campaign().await.unwrap();
    assert!(began.elapsed() <= TICK, "{:?}", began.elapsed());
    let ended = status.wait_for(|status| status.phase == PhaseKind::Stopped).await.unwrap();
    assert_eq!((ended.released, ended.reason), (Some(Released::Released), Some(Reason::Shutdown)));
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_panics_tells_everyone_who_waits_for_it() {
    let store = MemoryStore::new();
    let broken = Arc::new(AtomicBool::new(false));
    let lock = Panicking { lock: store.lock("jobs"), broken: Arc::clone(&broken) };
    let a = LeaderElection::new(lock, identity("a")).timing(timing()).clock(TokioClock::new()).start().unwrap();
    let leadership = a.campaign().await.unwrap();
    let resigning = leadership.clone();
    broken.store(true, Ordering::SeqCst);

    let waits = Duration::from_secs(10);
    let (next, lost, status) = tokio::join!(
        timeout(waits, a.campaign()),
        timeout(waits, leadership.lost()),
        timeout(waits, until(&a, |status| status.phase == PhaseKind::Stopped)),
    );
    assert_eq!(next.unwrap().unwrap_err(), Ended);
    assert_eq!(lost.unwrap().reason, Reason::DriverEnded);
    assert_eq!(leadership.check().unwrap_err().reason, Reason::DriverEnded);
    let status = status.unwrap();
    assert_eq!((status.reason, status.token, status.valid_until), (Some(Reason::DriverEnded), None, None));
    assert_eq!(status.released, Some(Released::NotReleased));
    assert!(!status.is_leader());
    assert_eq!(timeout(waits, resigning.resign()).await.unwrap(), Released::NotReleased);
    assert_eq!(timeout(waits, a.run(async |_| {})).await.unwrap(), Ended);
    assert_eq!(timeout(waits, a.shutdown()).await.unwrap(), Released::NotReleased);
}

/// Real time: a driver on its own thread has no virtual one. The first renewal ends it.
#[tokio::test]
async fn a_driver_that_panics_on_a_thread_of_its_own_tells_everyone_too() {
    let store = MemoryStore::new();
    let broken = Arc::new(AtomicBool::new(false));
    let lock = Panicking { lock: store.lock("jobs"), broken: Arc::clone(&broken) };
    let timing = Timing::new(Duration::from_secs(30), Duration::from_secs(20), ms(100)).unwrap();
    let a = LeaderElection::new(lock, identity("a")).timing(timing).dedicated_thread().start().unwrap();
    let leadership = a.campaign().await.unwrap();
    assert!(leadership.is_valid());
    broken.store(true, Ordering::SeqCst);
    assert_eq!(leadership.lost().await.reason, Reason::DriverEnded);
    assert_eq!(leadership.check().unwrap_err().reason, Reason::DriverEnded);
    assert_eq!(a.campaign().await.unwrap_err(), Ended);
    assert_eq!(a.shutdown().await, Released::NotReleased);
}

#[tokio::test(start_paused = true)]
async fn a_standby_whose_driver_panics_has_nothing_to_lose_and_says_that_it_ended() {
    let store = MemoryStore::new();
    let a = polling(&store.lock("jobs"), "a").start().unwrap();
    let _leading = a.campaign().await.unwrap();
    let broken = Arc::new(AtomicBool::new(false));
    let lock = Panicking { lock: store.lock("jobs"), broken: Arc::clone(&broken) };
    let b = LeaderElection::new(lock, identity("b")).timing(timing()).clock(TokioClock::new()).start().unwrap();
    until_standby(&b).await;
    broken.store(true, Ordering::SeqCst);
    assert_eq!(timeout(D, b.run(async |_| {})).await.unwrap(), Ended);
    let status = until_phase(&b, PhaseKind::Stopped).await;
    assert_eq!((status.reason, status.released, status.terms), (Some(Reason::DriverEnded), None, 0));
}
