//! The steady state allocates nothing: a leader that renews, a standby that reads, and every check.
//!
//! A test binary of its own, because the allocator that counts is global. It counts by thread.
#![allow(clippy::unwrap_used, reason = "a panic is how these tests fail")]

use std::sync::Arc;
use std::time::Duration;

use allocation_counter::measure;
use lease_core::{
    Actions, Attachment, Config, Elector, Event, FencingToken, HandoverRequest, Hint, HolderIdentity, Instant,
    LeaseRecord, Now, Op, PhaseKind, Request, RequestId, TermMark, Timestamp, Timing, Version, Versioned, testing,
};

const ROUNDS: u64 = 1_000;
const RETRY_PERIOD: Duration = Duration::from_secs(2);

fn elector(name: &str, seed: u64) -> Elector {
    let config = Config {
        identity: HolderIdentity::exact(name).unwrap(),
        timing: Timing::default(),
        renew_time_tick: Duration::from_micros(1),
        epoch: 1,
        strict: false,
        renew_phase: Some(Duration::from_nanos(1)),
        seed: Some(seed),
    };
    Elector::new(config, at(Duration::ZERO).instant)
}

fn at(time: Duration) -> Now {
    let ns = u64::try_from(time.as_nanos()).unwrap() + 1;
    let wall = Timestamp::from_unix_micros(i64::try_from(time.as_micros()).unwrap());
    Now { instant: Instant::from_nanos(ns, ns), wall }
}

/// A step that must not allocate. What it answers is freed outside, as by a driver.
fn step(elector: &mut Elector, now: Now, event: Event) -> Actions {
    let mut actions = None;
    let info = measure(|| actions = Some(elector.step(now, event)));
    assert_eq!(info.count_total, 0, "{info:?} in a step at {}", now.instant);
    actions.unwrap()
}

fn stored(record: LeaseRecord, revision: u64) -> Versioned {
    Versioned {
        record,
        version: Version::new(revision.to_string()),
        revision: Some(revision.into()),
        attachment: Attachment::new(revision),
    }
}

fn answered(request: RequestId, found: Versioned) -> Event {
    Event::Completed { request, result: Ok(Some(found)) }
}

#[test]
fn the_counter_counts() {
    assert!(measure(|| drop(std::hint::black_box(Box::new(7)))).count_total > 0);
}

#[test]
fn a_leader_that_renews_does_not_allocate() {
    let mut leader = elector("a", 7);
    let mut now = RETRY_PERIOD;
    let Some(Request { id, op: Op::Get, .. }) = leader.step(at(now), Event::Wake).request else { panic!("no read") };
    let absent = leader.step(at(now), Event::Completed { request: id, result: Ok(None) });
    let Some(Request { id, op: Op::Create(record), .. }) = absent.request else { panic!("no create") };
    drop(leader.step(at(now), answered(id, stored(record, 1))));
    assert_eq!(leader.phase(), PhaseKind::Leading);

    for round in 2..ROUNDS {
        now += RETRY_PERIOD;
        let actions = step(&mut leader, at(now), Event::Wake);
        let Some(Request { id, op: Op::Update { record, .. }, .. }) = actions.request else { panic!("no renewal") };
        // The watch tells of the write before its answer is here.
        let renewed = stored(record, round);
        let hinted = step(&mut leader, at(now), Event::Hint(Hint::Changed(renewed.clone())));
        assert_eq!(hinted.request, None);
        let actions = step(&mut leader, at(now), answered(id, renewed));
        assert_eq!((actions.notices.len(), actions.wake_in), (1, RETRY_PERIOD));
    }
    assert_eq!((leader.phase(), leader.term().unwrap().transitions), (PhaseKind::Leading, 0));
}

/// With everything in the record that there can be.
fn record_of_another(renewed: Duration) -> LeaseRecord {
    let holder = HolderIdentity::exact("b").unwrap();
    let mark = TermMark { identity: holder.clone(), transitions: 7 };
    LeaseRecord {
        holder: Some(holder.clone()),
        lease_duration: Duration::from_secs(15),
        acquire_time: Some(Timestamp::from_unix_micros(0)),
        renew_time: Some(at(renewed).wall),
        transitions: 7,
        epoch: 1,
        acquired: Some(mark.clone()),
        released: Some(mark),
        successor: Some("c".into()),
        request: Some(Arc::new(HandoverRequest {
            holder,
            acquire_time: Timestamp::from_unix_micros(1),
            successor: Some("c".into()),
            draining: false,
        })),
        strategy: None,
    }
}

#[test]
fn a_standby_that_reads_does_not_allocate() {
    let mut standby = elector("a", 7);
    let mut now = RETRY_PERIOD;
    for round in 1..ROUNDS {
        let actions = step(&mut standby, at(now), Event::Wake);
        let Some(Request { id, op: Op::Get, .. }) = actions.request else { panic!("no read") };
        let found = stored(record_of_another(now), round);
        let actions = step(&mut standby, at(now), answered(id, found));
        assert_eq!((actions.request, actions.wake_in), (None, RETRY_PERIOD));
        now += RETRY_PERIOD;
    }
    assert_eq!(standby.phase(), PhaseKind::Candidate);
}

#[test]
fn a_standby_that_watches_does_not_allocate() {
    let mut standby = elector("a", 7);
    let mut now = RETRY_PERIOD;
    drop(step(&mut standby, at(now), Event::WatchReady));
    for round in 1..ROUNDS {
        let found = stored(record_of_another(now), round);
        let actions = step(&mut standby, at(now), Event::Hint(Hint::Changed(found.clone())));
        // Once a lease duration it reads too.
        if let Some(Request { id, .. }) = actions.request {
            assert_eq!(step(&mut standby, at(now), answered(id, found)).request, None);
        }
        now += RETRY_PERIOD;
    }
    assert_eq!(standby.phase(), PhaseKind::Candidate);
    assert!(standby.observed().is_some());
}

#[test]
fn a_check_does_not_allocate_whether_it_holds_or_not() {
    let (leadership, term) = testing::grant(Some(FencingToken { epoch: 0, revision: 7 }));
    let check = |holds: bool| {
        let info = measure(|| {
            for _ in 0..ROUNDS {
                assert_eq!(leadership.check().is_ok(), holds);
                assert_eq!(leadership.token().map(|token| token.revision), Some(7));
                std::hint::black_box((leadership.valid_until(), leadership.fence()));
            }
        });
        assert_eq!(info.count_total, 0, "{info:?}");
    };
    check(true);
    term.lose(lease_core::Reason::TakenOver);
    check(false);
}
