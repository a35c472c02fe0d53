//! What a test can do to the store and to the requests of one handle.
#![allow(clippy::unwrap_used, reason = "a panic is how these tests fail")]

use std::pin::pin;

use futures_util::{FutureExt, StreamExt};
use lease_core::{Constraints, HolderIdentity, LeaseRecord, LockErrorKind, ResourceLock, WatchEvent, WatchLock};
use lease_memory::{Held, MemoryStore, Outcome, RequestCounts, Requests, Watches};

fn held_by(name: &str) -> LeaseRecord {
    LeaseRecord { holder: HolderIdentity::from_record(name), ..LeaseRecord::default() }
}

fn holder(store: &MemoryStore) -> Option<String> {
    store.read("jobs")?.record.holder.map(|holder| holder.as_str().to_owned())
}

#[tokio::test]
async fn scripted_outcomes_meet_the_requests_that_they_wait_for_in_their_order() {
    let store = MemoryStore::new();
    let (lock, other) = (store.lock("jobs"), store.lock("jobs"));
    lock.script(Requests::Writes, Outcome::unavailable());
    lock.script(Requests::All, Outcome::Pass);
    lock.script(Requests::Writes, Outcome::LoseRequest);
    lock.script(Requests::Writes, Outcome::LoseReply);
    lock.script(Requests::Reads, Outcome::denied());
    lock.script(Requests::Reads, Outcome::LoseReply);
    lock.script(Requests::All, Outcome::fail(LockErrorKind::NotFound));

    assert_eq!(lock.get().await.unwrap(), None);
    assert_eq!(lock.create(&held_by("a")).await.unwrap_err().kind(), LockErrorKind::Unavailable);
    assert_eq!(lock.create(&held_by("a")).await.unwrap_err().kind(), LockErrorKind::Unknown);
    assert_eq!(holder(&store), None);
    assert_eq!(lock.create(&held_by("a")).await.unwrap_err().kind(), LockErrorKind::Unknown);
    assert_eq!(holder(&store).as_deref(), Some("a"));
    assert_eq!(lock.get().await.unwrap_err().kind(), LockErrorKind::Denied);
    assert_eq!(lock.get().await.unwrap_err().kind(), LockErrorKind::Unavailable);
    assert_eq!(lock.get().await.unwrap_err().kind(), LockErrorKind::NotFound);
    assert!(lock.get().await.unwrap().is_some() && other.get().await.unwrap().is_some());
    assert_eq!(lock.counts(), RequestCounts { gets: 5, creates: 3, updates: 0 });
}

#[tokio::test]
async fn a_standing_rule_cuts_off_one_handle_until_it_is_healed() {
    let store = MemoryStore::new();
    let (lock, other) = (store.lock("jobs"), store.lock("jobs"));
    let seen = store.put("jobs", held_by("a"));
    lock.always(Requests::All, Outcome::Hang);
    lock.always(Requests::Reads, Outcome::unavailable());
    assert!(lock.update(&seen, &held_by("b")).now_or_never().is_none());
    assert_eq!(lock.clone().get().await.unwrap_err().kind(), LockErrorKind::Unavailable);
    other.update(&seen, &held_by("c")).await.unwrap();
    lock.heal();
    assert_eq!(lock.get().await.unwrap(), store.read("jobs"));
}

#[tokio::test]
async fn a_held_write_can_be_answered_late() {
    let store = MemoryStore::new();
    let lock = store.lock("jobs");
    let held = lock.hold(Requests::Writes);
    assert!(!held.has_arrived() && lock.get().await.unwrap().is_none());
    let record = held_by("a");
    let mut create = pin!(lock.create(&record));
    assert!(create.as_mut().now_or_never().is_none());
    held.arrived().await;
    assert_eq!(holder(&store), None);
    held.answer();
    assert_eq!(create.await.unwrap(), store.read("jobs").unwrap());
}

#[tokio::test]
async fn a_held_write_can_arrive_after_its_sender_gave_up_or_never() {
    let store = MemoryStore::new();
    let lock = store.lock("jobs");
    let held = lock.hold(Requests::Writes);
    assert!(lock.create(&held_by("late")).now_or_never().is_none());
    assert_eq!(lock.get().await.unwrap(), None);
    held.apply().unwrap();
    assert_eq!(holder(&store).as_deref(), Some("late"));

    let seen = lock.get().await.unwrap().unwrap();
    let never: Held = lock.hold(Requests::Writes);
    let record = held_by("never");
    let mut update = pin!(lock.update(&seen, &record));
    assert!(update.as_mut().now_or_never().is_none());
    drop(never);
    assert_eq!(update.await.unwrap_err().kind(), LockErrorKind::Unknown);
    assert_eq!(holder(&store).as_deref(), Some("late"));
}

#[tokio::test]
async fn a_held_write_can_be_reported_lost_and_still_land() {
    let store = MemoryStore::new();
    let lock = store.lock("jobs");
    let held = lock.hold(Requests::Writes);
    let record = held_by("a");
    let mut create = pin!(lock.create(&record));
    assert!(create.as_mut().now_or_never().is_none());
    held.lose_reply();
    assert_eq!(create.await.unwrap_err().kind(), LockErrorKind::Unknown);
    assert_eq!(holder(&store), None);
    held.apply().unwrap();
    assert_eq!(holder(&store).as_deref(), Some("a"));
}

#[tokio::test]
async fn a_write_that_is_replayed_on_its_way_answers_conflict_though_it_was_applied() {
    let store = MemoryStore::new();
    let lock = store.lock("jobs");
    let seen = store.put("jobs", held_by("a"));
    let held = lock.hold(Requests::Writes);
    let record = held_by("b");
    let mut update = pin!(lock.update(&seen, &record));
    assert!(update.as_mut().now_or_never().is_none());
    held.apply().unwrap();
    held.apply().unwrap_err();
    held.answer();
    assert_eq!(update.await.unwrap_err().kind(), LockErrorKind::Conflict);
    assert_eq!(holder(&store).as_deref(), Some("b"));
}

#[tokio::test]
async fn edits_by_hand_move_the_version_unless_they_change_nothing() {
    let store = MemoryStore::new();
    let lock = store.lock("jobs");
    assert!(store.edit("jobs", |record| record.holder = None).is_none());
    let created = lock.create(&held_by("a")).await.unwrap();
    assert_eq!(lock.update(&created, &held_by("a")).await.unwrap(), created);
    assert_eq!(store.edit("jobs", |_| ()).unwrap(), created);
    let cleared = store.edit("jobs", |record| record.holder = None).unwrap();
    assert_ne!(cleared.version, created.version);
    assert_eq!(lock.update(&created, &held_by("b")).await.unwrap_err().kind(), LockErrorKind::Conflict);
    assert_eq!(lock.get().await.unwrap(), Some(cleared));
}

#[tokio::test]
async fn the_revision_is_one_for_all_leases_and_outlives_them() {
    let store = MemoryStore::new();
    let first = store.lock("a").create(&held_by("x")).await.unwrap();
    let second = store.lock("b").create(&held_by("x")).await.unwrap();
    assert!(store.delete("a") && store.delete("b") && !store.delete("a"));
    let third = store.lock("a").create(&held_by("x")).await.unwrap();
    assert!(first.revision < second.revision && second.revision < third.revision);
    assert_eq!(store.names(), ["a".into()]);
}

#[tokio::test]
async fn a_restored_store_uses_versions_again() {
    let store = MemoryStore::new();
    let before = store.put("jobs", held_by("a"));
    let snapshot = store.snapshot();
    let lost = store.put("jobs", held_by("b"));
    store.restore(&snapshot);
    assert_eq!(store.read("jobs"), Some(before));
    let again = store.put("jobs", held_by("c"));
    assert_eq!((again.version, again.revision), (lost.version, lost.revision));
}

#[tokio::test]
async fn a_lock_of_whole_seconds_refuses_fractions() {
    let store = MemoryStore::new();
    let lock = store.lock("jobs").with_constraints(Constraints::WHOLE_SECONDS);
    let record = LeaseRecord { lease_duration: std::time::Duration::from_millis(1500), ..held_by("a") };
    let error = lock.create(&record).await.unwrap_err();
    assert_eq!(error.kind(), LockErrorKind::Denied);
    assert_eq!(error.to_string(), "memory:jobs keeps whole seconds; lease duration is 1.5s");
    assert_eq!(holder(&store), None);
}

#[tokio::test]
async fn an_unreadable_record_is_told_as_such_until_it_is_overwritten() {
    let store = MemoryStore::new();
    let lock = store.lock("jobs");
    assert!(!store.corrupt("jobs"));
    store.put("jobs", held_by("a"));
    let mut watch = lock.watch();
    assert!(matches!(watch.next().await, Some(WatchEvent::Changed(_))));
    assert!(matches!(watch.next().await, Some(WatchEvent::Ready)));
    assert!(store.corrupt("jobs"));
    let error = lock.get().await.unwrap_err();
    let told = watch.next().await;
    assert!(matches!(told, Some(WatchEvent::Lost(Some(error))) if error.kind() == LockErrorKind::Malformed));
    assert!(matches!(watch.next().await, Some(WatchEvent::Ready)));
    lock.update(error.unreadable().unwrap(), &held_by("b")).await.unwrap();
    assert_eq!(holder(&store).as_deref(), Some("b"));
}

#[tokio::test]
async fn a_watcher_that_does_not_keep_up_is_told_that_it_lost_some_and_then_the_present() {
    let store = MemoryStore::new();
    let mut watch = store.lock("jobs").watch();
    for round in 0..200 {
        store.put("jobs", held_by(&format!("holder-{round}")));
    }
    let mut events = Vec::new();
    while let Some(Some(event)) = watch.next().now_or_never() {
        events.push(event);
    }
    assert!(events.len() < 100, "the queue is bounded");
    assert!(matches!(events.first(), Some(WatchEvent::Lost(None))));
    let last =
        events.iter().rev().find_map(|event| if let WatchEvent::Changed(told) = event { Some(told) } else { None });
    assert_eq!(last, store.read("jobs").as_ref());
    assert!(events.iter().any(|event| matches!(event, WatchEvent::Ready)));
}

#[tokio::test]
async fn watches_can_be_lost_fall_silent_and_be_mended() {
    let store = MemoryStore::new();
    let lock = store.lock("jobs");
    let mut watch = lock.watch();
    assert!(matches!(watch.next().await, Some(WatchEvent::Deleted)));
    assert!(matches!(watch.next().await, Some(WatchEvent::Ready)));
    store.set_watches("jobs", Watches::Lost);
    assert!(matches!(watch.next().await, Some(WatchEvent::Lost(None))));
    assert!(matches!(lock.watch().next().await, Some(WatchEvent::Lost(None))));
    store.set_watches("jobs", Watches::Mute);
    store.put("jobs", held_by("a"));
    assert!(watch.next().now_or_never().is_none() && lock.watch().next().now_or_never().is_none());
    store.set_watches("jobs", Watches::Live);
    assert!(
        matches!(watch.next().await, Some(WatchEvent::Changed(told)) if Some(&told) == store.read("jobs").as_ref())
    );
    assert!(matches!(watch.next().await, Some(WatchEvent::Ready)));
    assert_eq!(store.watcher_count("jobs"), 1);
    drop(watch);
    assert_eq!(store.watcher_count("jobs"), 0);
}

#[tokio::test]
async fn a_waiting_watcher_is_woken() {
    let store = MemoryStore::new();
    let mut watch = store.lock("jobs").watch();
    watch.next().await;
    watch.next().await;
    let waiting = tokio::spawn(async move { watch.next().await });
    tokio::task::yield_now().await;
    store.put("jobs", held_by("a"));
    assert!(matches!(waiting.await.unwrap(), Some(WatchEvent::Changed(_))));
}
