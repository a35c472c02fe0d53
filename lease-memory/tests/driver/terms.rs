//! How terms are won, given, and won again.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use lease_core::{Leadership, PhaseKind, Reason};
use lease_memory::{MemoryStore, Outcome, Requests};
use tokio::time::{Instant, sleep, timeout};

use crate::support::{D, H, P, TICK, holder, ms, polling, until, until_phase, until_standby, watching};

/// When both a standby takes over and the leader has stopped, after the leader was cut off.
#[tokio::test(start_paused = true)]
async fn a_standby_takes_over_when_the_lease_has_run_out_and_the_leader_stops_before() {
    let store = MemoryStore::new();
    let lock = store.lock("jobs");
    let a = polling(&lock, "a").start().unwrap();
    let leadership = a.campaign().await.unwrap();
    let b = polling(&store.lock("jobs"), "b").start().unwrap();
    until_standby(&b).await;

    lock.always(Requests::All, Outcome::Hang);
    let cut_at = Instant::now();
    assert_eq!(leadership.lost().await.reason, Reason::Expired);
    let lost_after = cut_at.elapsed();
    assert!((H - P..=H + TICK).contains(&lost_after), "lost after {lost_after:?}");

    let taken = b.campaign().await.unwrap();
    let taken_after = cut_at.elapsed();
    assert!((D - P..=D + P + TICK).contains(&taken_after), "taken after {taken_after:?}");
    assert!(taken.token() > leadership.token());
    assert!(!leadership.is_valid());
}

#[tokio::test(start_paused = true)]
async fn a_standby_that_watches_takes_over_at_once_after_a_release() {
    let store = MemoryStore::new();
    let a = polling(&store.lock("jobs"), "a").start().unwrap();
    drop(a.campaign().await.unwrap());
    until(&a, |status| status.released.is_some()).await;
    let a_again = a.campaign().await.unwrap();

    let b = watching(&store.lock("jobs"), "b").start().unwrap();
    until(&b, |status| status.watching).await;
    until_standby(&b).await;
    let released_at = Instant::now();
    drop(a_again);
    b.campaign().await.unwrap();
    assert!(released_at.elapsed() <= TICK, "taken after {:?}", released_at.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_standby_that_polls_takes_over_within_a_period_after_a_release() {
    let store = MemoryStore::new();
    let a = polling(&store.lock("jobs"), "a").start().unwrap();
    let leadership = a.campaign().await.unwrap();
    let b = polling(&store.lock("jobs"), "b").start().unwrap();
    until_standby(&b).await;
    let released_at = Instant::now();
    assert_eq!(leadership.resign().await, lease_core::Released::Released);
    b.campaign().await.unwrap();
    assert!(released_at.elapsed() <= P + TICK, "taken after {:?}", released_at.elapsed());
}

#[tokio::test(start_paused = true)]
async fn each_term_is_given_to_one_campaign() {
    let store = MemoryStore::new();
    let a = polling(&store.lock("jobs"), "a").start().unwrap();
    let first = a.campaign().await.unwrap();
    assert!(timeout(Duration::from_mins(1), a.campaign()).await.is_err(), "one term was given twice");
    assert!(first.is_valid());
    let (second, ()) = tokio::join!(a.campaign(), async { drop(first) });
    let second = second.unwrap();
    assert_eq!(second.term().transitions, 1);
    assert!(second.is_valid());
}

#[tokio::test(start_paused = true)]
async fn a_term_that_nobody_takes_is_held_and_given_later() {
    let store = MemoryStore::new();
    let a = polling(&store.lock("jobs"), "a").start().unwrap();
    until_phase(&a, PhaseKind::Leading).await;
    sleep(5 * D).await;
    assert_eq!(holder(&store).as_deref(), Some("a"));
    let leadership = a.campaign().await.unwrap();
    assert!(leadership.is_valid());
    assert_eq!(a.status().borrow().terms, 1);
}

/// Work that ends again and again is tried at longer and longer intervals, and the lease is free meanwhile.
#[tokio::test(start_paused = true)]
async fn work_that_returns_or_panics_ends_its_term_and_is_contended_for_again_with_back_off() {
    let store = MemoryStore::new();
    let a = polling(&store.lock("jobs"), "a").start().unwrap();
    let starts = Rc::new(RefCell::new(Vec::new()));
    let status = a.status();
    let work = async |leadership: Leadership| {
        starts.borrow_mut().push(Instant::now());
        let count = starts.borrow().len();
        assert!(leadership.is_valid());
        match count {
            1 => {}
            2 => panic!("as the test wants it"),
            3 => sleep(ms(300)).await,
            _ => std::future::pending().await,
        }
    };
    let watch = async {
        let mut status = a.status();
        for _ in 0..3 {
            status.wait_for(|status| status.released == Some(lease_core::Released::Released)).await.unwrap();
            assert_eq!(status.borrow_and_update().reason, Some(Reason::WorkEnded));
            assert_eq!(holder(&store), None, "the lease was not released after the work had ended");
            status.wait_for(|status| status.released.is_none()).await.unwrap();
        }
        sleep(D).await;
    };
    tokio::select! {
        _ = a.run(work) => panic!("the election ended by itself"),
        () = watch => {}
    }
    let starts = starts.borrow();
    assert_eq!(starts.len(), 4);
    let gaps: Vec<Duration> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (gap, expected) in gaps.iter().zip([2 * P, 4 * P, 8 * P + ms(300)]) {
        assert!((expected..=expected * 3 / 2 + 2 * TICK).contains(gap), "{gaps:?}");
    }
    assert_eq!(status.borrow().work_panics, 1);
}

/// How long a candidate of this seed stays away after its work has ended at once.
async fn back_off(seed: u64) -> Duration {
    let a = polling(&MemoryStore::new().lock("jobs"), "a").seed(seed).start().unwrap();
    let (began, mut told) = tokio::sync::mpsc::unbounded_channel();
    let work = async |_| began.send(Instant::now()).unwrap();
    tokio::select! {
        _ = a.run(work) => panic!("the election ended by itself"),
        gap = async { let first = told.recv().await.unwrap(); told.recv().await.unwrap() - first } => gap,
    }
}

#[tokio::test(start_paused = true)]
async fn candidates_whose_work_fails_alike_do_not_come_back_together() {
    let gaps = [back_off(1).await, back_off(2).await, back_off(3).await];
    assert!(gaps[0] != gaps[1] && gaps[1] != gaps[2] && gaps[0] != gaps[2], "{gaps:?}");
    for gap in gaps {
        assert!((2 * P..=3 * P + 2 * TICK).contains(&gap), "{gaps:?}");
    }
    let again = back_off(1).await;
    assert!(again.abs_diff(gaps[0]) <= 2 * TICK, "the same seed draws the same: {again:?} and {gaps:?}");
}

/// A closure that returns a future may panic before it has one.
#[tokio::test(start_paused = true)]
async fn work_that_panics_before_its_future_exists_ends_its_term_only() {
    let store = MemoryStore::new();
    let a = polling(&store.lock("jobs"), "a").start().unwrap();
    let mut terms = 0;
    let work = |_| {
        terms += 1;
        assert_ne!(terms, 1, "as the test wants it");
        std::future::pending()
    };
    let watch = async {
        let status = until(&a, |status| status.released.is_some()).await;
        assert_eq!((status.reason, status.work_panics), (Some(Reason::WorkEnded), 1));
        until(&a, |status| status.terms == 2).await;
        sleep(ms(1)).await;
    };
    tokio::select! {
        _ = a.run(work) => panic!("the election ended by itself"),
        () = watch => {}
    }
    assert_eq!(terms, 2);
}

#[tokio::test(start_paused = true)]
async fn work_is_dropped_when_the_hold_ends_and_started_again_in_a_new_term() {
    struct Stopped(Rc<RefCell<Vec<Instant>>>);
    impl Drop for Stopped {
        fn drop(&mut self) {
            self.0.borrow_mut().push(Instant::now());
        }
    }

    let store = MemoryStore::new();
    let lock = store.lock("jobs");
    let a = polling(&lock, "a").start().unwrap();
    let (starts, stops) = (Rc::new(RefCell::new(Vec::new())), Rc::new(RefCell::new(Vec::new())));
    let work = async |_| {
        starts.borrow_mut().push(Instant::now());
        let _stopped = Stopped(Rc::clone(&stops));
        std::future::pending::<()>().await;
    };
    let script = async {
        until_phase(&a, PhaseKind::Leading).await;
        sleep(3 * D).await;
        let cut_at = Instant::now();
        lock.always(Requests::All, Outcome::Hang);
        let status = until(&a, |status| status.reason == Some(Reason::Expired)).await;
        assert_eq!(status.phase, PhaseKind::Stopping);
        until_phase(&a, PhaseKind::Candidate).await;
        lock.heal();
        until_phase(&a, PhaseKind::Leading).await;
        cut_at
    };
    let cut_at = tokio::select! {
        _ = a.run(work) => panic!("the election ended by itself"),
        cut_at = script => cut_at,
    };
    let lasted = stops.borrow()[0] - cut_at;
    assert!((H - P..=H + TICK).contains(&lasted), "the work went on for {lasted:?}");
    assert_eq!(a.status().borrow().terms, 2);
}
