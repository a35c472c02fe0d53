//! What a leadership says of itself, whatever becomes of its driver.

use std::sync::mpsc;
use std::time::Duration;

use lease_core::testing::TokioClock;
use lease_core::{Clock, Instant, LeaderElection, Notice, Observation, Observer, PhaseKind, Reason, Released, Timing};
use lease_memory::{MemoryStore, Outcome, Requests};

use crate::support::{H, ManualClock, identity, ms, polling, timing, until, until_phase};

fn at(now: Duration) -> Instant {
    let ns = u64::try_from(now.as_nanos()).unwrap();
    Instant::from_nanos(ns, ns)
}

/// No task runs between the steps of this test, so the driver cannot have ended the term.
#[tokio::test]
async fn a_check_fails_at_the_end_of_the_hold_to_the_nanosecond_although_the_driver_is_starved() {
    let store = MemoryStore::new();
    let clock = ManualClock::new();
    let a =
        LeaderElection::new(store.lock("jobs"), identity("a")).timing(timing()).clock(clock.clone()).start().unwrap();
    clock.set(clock.now_is() + ms(500));
    let leadership = a.campaign().await.unwrap();
    let end = clock.now_is() + H;
    assert_eq!(leadership.valid_until(), at(end));

    clock.set(end - Duration::from_nanos(1));
    assert_eq!(leadership.check(), Ok(()));
    clock.set(end);
    assert_eq!(leadership.check().unwrap_err().reason, Reason::Expired);
    assert!(leadership.ended().is_cancelled() && leadership.draining().is_cancelled());
    assert!(a.status().borrow().is_leader(), "the driver has run in between");

    // Once over it is over, also for a clock that goes back.
    clock.set(end - ms(1));
    assert!(!leadership.is_valid());
    assert!(at(clock.now_is()).has_reached_either(leadership.valid_until()), "lost, and yet valid for a while");
    clock.set(end);
    until(&a, |status| status.reason == Some(Reason::Expired)).await;
}

#[tokio::test]
async fn a_renewal_moves_the_end_of_the_hold_from_its_own_send() {
    let store = MemoryStore::new();
    let clock = ManualClock::new();
    let a =
        LeaderElection::new(store.lock("jobs"), identity("a")).timing(timing()).clock(clock.clone()).start().unwrap();
    clock.set(clock.now_is() + ms(500));
    let leadership = a.campaign().await.unwrap();
    let mut renewals = leadership.renewals();
    let began = clock.now_is();
    clock.set(began + ms(700));
    renewals.changed().await.unwrap();
    assert_eq!(leadership.valid_until(), at(began + ms(700) + H));
    assert_eq!(leadership.fence(), at(began + ms(700)) + timing().fence());
    assert!(leadership.is_valid());
}

#[tokio::test(start_paused = true)]
async fn guarded_work_is_dropped_on_a_loss_and_says_why() {
    let store = MemoryStore::new();
    let clock = TokioClock::new();
    let a = polling(&store.lock("jobs"), "a").clock(clock).start().unwrap();
    let leadership = a.campaign().await.unwrap();
    assert_eq!(leadership.guard(async { 7 }).await, Ok(7));
    store.delete("jobs");
    let lost = leadership.guard(std::future::pending::<()>()).await.unwrap_err();
    assert_eq!(lost.reason, Reason::Deleted);
    assert_eq!(leadership.guard(async { 7 }).await.unwrap_err().reason, Reason::Deleted);
    assert_eq!(leadership.check().unwrap_err(), lost);
    assert!(clock.instant().has_reached_either(leadership.valid_until()));
    assert_eq!(leadership.drain_reason(), Some(Reason::Deleted));
}

#[tokio::test(start_paused = true)]
async fn what_carries_a_term_is_over_before_the_release_is_written() {
    let store = MemoryStore::new();
    let lock = store.lock("jobs");
    let a = polling(&lock, "a").start().unwrap();
    let leadership = a.campaign().await.unwrap();
    let data = leadership.validity();
    lock.always(Requests::Writes, Outcome::Hang);
    drop(leadership);
    assert_eq!(data.check().unwrap_err().reason, Reason::WorkEnded);
    assert!(data.ended().is_cancelled());
    assert!(store.read("jobs").unwrap().record.holder.is_some(), "it is not released yet");
}

#[tokio::test]
async fn what_a_guarded_future_completes_after_the_hold_does_not_count() {
    let store = MemoryStore::new();
    let clock = ManualClock::new();
    let a =
        LeaderElection::new(store.lock("jobs"), identity("a")).timing(timing()).clock(clock.clone()).start().unwrap();
    clock.set(clock.now_is() + ms(500));
    let leadership = a.campaign().await.unwrap();
    let late = async {
        clock.set(clock.now_is() + H);
        "done"
    };
    assert_eq!(leadership.guard(late).await.unwrap_err().reason, Reason::Expired);
}

/// Tells the test, past any runtime, of each renewal.
#[derive(Debug)]
struct Renewals(mpsc::Sender<()>);

impl Observer for Renewals {
    fn observe(&self, _at: Instant, what: Observation<'_>) {
        if let Observation::Notice(Notice::Renewed { .. }) = what {
            // The test may have seen enough.
            let _ = self.0.send(());
        }
    }
}

/// Real time, but nothing is awaited by the clock: the only thread of the application's runtime is blocked
/// until so many renewals have happened that a lease without them would have run out.
#[tokio::test]
async fn a_starved_application_does_not_lose_the_lease_of_a_driver_on_its_own_thread() {
    let timing = Timing::new(ms(2_000), ms(1_500), ms(100)).unwrap();
    let (renewed, renewals) = mpsc::channel();
    let store = MemoryStore::new();
    let a = LeaderElection::new(store.lock("jobs"), identity("a"))
        .timing(timing)
        .dedicated_thread()
        .observer(Renewals(renewed))
        .start()
        .unwrap();
    let leadership = a.campaign().await.unwrap();
    for _ in 0..25 {
        renewals.recv_timeout(Duration::from_mins(1)).unwrap();
        assert_eq!(leadership.check(), Ok(()));
    }
    assert_eq!(a.status().borrow().phase, PhaseKind::Leading);
    let work = async {
        leadership.draining().cancelled().await;
        drop(leadership);
    };
    assert_eq!(tokio::join!(a.shutdown(), work).0, Released::Released);
}

/// The other way round: on a runtime that is starved, the check still tells the truth.
#[tokio::test(start_paused = true)]
async fn a_term_that_expires_unseen_is_closed_before_the_next_begins() {
    let store = MemoryStore::new();
    let lock = store.lock("jobs");
    let a = polling(&lock, "a").start().unwrap();
    let leadership = a.campaign().await.unwrap();
    lock.always(Requests::All, Outcome::Hang);
    // The driver and the check wake at the same moment; whichever is first, there is one end.
    tokio::time::advance(H).await;
    assert_eq!(leadership.check().unwrap_err().reason, Reason::Expired);
    lock.heal();
    until_phase(&a, PhaseKind::Stopping).await;
    drop(leadership);
    let again = a.campaign().await.unwrap();
    assert_eq!(again.term().transitions, 1);
    assert_eq!(a.status().borrow().terms, 2);
}
