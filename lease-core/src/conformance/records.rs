//! What was written is what is read, field by field.

use std::sync::Arc;
use std::time::Duration;

use super::support::{START, create, ensure, held, identity, overwrite, read, seconds_later};
use super::{Checked, Harness, Lease, Violation};
use crate::lock::{LockErrorKind, ResourceLock};
use crate::record::{HandoverRequest, HolderIdentity, LeaseRecord, TermMark};
use crate::time::Timestamp;

/// Every identity that a candidate may have is read as it was written, as holder and in the marks: beyond
/// ASCII, with the separators of paths, marks and queries in it, and up to the longest.
pub async fn identities_round_trip<H: Harness>(_: &H, lease: &Lease<H>) -> Checked {
    create(&lease.one, &held("one", 0)).await?;
    let long = "x".repeat(HolderIdentity::LENGTH_MAX);
    let names = ["pod-0_0a1b2c3d4e", "ns/pod/7", " spaces ", "größe-漢字-🦀", "%2F?a=b&c#d", "\"quoted\\\"", &long];
    for (step, name) in (1..).zip(names) {
        let holder = identity(name);
        let mark = TermMark { identity: holder.clone(), transitions: 1 };
        let written = LeaseRecord { acquired: Some(mark), ..held(name, step) };
        let found = overwrite(&lease.one, &written).await?.record;
        ensure!(found.holder == written.holder, "holder {holder:?} is read as {:?}", found.holder);
        ensure!(found.acquired == written.acquired, "the mark of {holder:?} is read as {:?}", found.acquired);
    }
    Ok(())
}

/// A duration is read as it was written. Where [`Constraints`](crate::Constraints) ask for whole seconds, one
/// with a fraction is refused by create and update, and never rounded.
pub async fn sub_second_durations_round_trip_or_are_refused<H: Harness>(_: &H, lease: &Lease<H>) -> Checked {
    let whole_only = lease.one.constraints().whole_second_durations;
    let fractions = [Duration::from_millis(1500), Duration::from_millis(250), Duration::new(1, 1)];
    let with = |lease_duration: Duration, step: u32| LeaseRecord { lease_duration, ..held("one", step) };
    if whole_only {
        ensure_refused("create", fractions[0], lease.one.create(&with(fractions[0], 0)).await)?;
        let found = lease.two.get().await?;
        ensure!(found.is_none(), "a refused create left {found:?}");
    }
    create(&lease.one, &held("one", 0)).await?;
    let whole = [1, 2, 15, 3600, 31_536_000].map(Duration::from_secs);
    for (step, duration) in (1..).zip(whole.into_iter().chain(fractions)) {
        if whole_only && duration.subsec_nanos() != 0 {
            let before = read(&lease.two).await?;
            ensure_refused("update", duration, lease.two.update(&before, &with(duration, step)).await)?;
            let after = read(&lease.two).await?;
            ensure!(after == before, "a refused update left {after:?} in place of {before:?}");
        } else {
            let found = overwrite(&lease.one, &with(duration, step)).await?.record.lease_duration;
            ensure!(found == duration, "a lease duration of {duration:?} is read as {found:?}");
        }
    }
    Ok(())
}

fn ensure_refused<T>(write: &str, duration: Duration, answer: Result<T, crate::lock::LockError>) -> Checked {
    match answer {
        Ok(_) => Err(Violation::new(format!("a store of whole seconds accepts a {write} with {duration:?}"))),
        Err(error) if error.kind() == LockErrorKind::Unknown => Err(error.into()),
        Err(_) => Ok(()),
    }
}

/// A record with every field set is read as it was written, and so is one with each of them cleared again.
///
/// The strategy of coordinated election is left out: it is another's field, which a server may drop.
pub async fn every_field_of_a_record_round_trips<H: Harness>(_: &H, lease: &Lease<H>) -> Checked {
    let (old, new) = (identity("old"), identity("new"));
    let request = |successor: Option<Arc<str>>, draining: bool| {
        Some(Arc::new(HandoverRequest { holder: new.clone(), acquire_time: START, successor, draining }))
    };
    let plain = held("new", 0);
    let full = LeaseRecord {
        holder: Some(new.clone()),
        lease_duration: Duration::from_secs(7),
        acquire_time: Some(Timestamp::from_unix_micros(START.unix_micros() + 123_456)),
        renew_time: Some(seconds_later(START, 1)),
        transitions: LeaseRecord::TRANSITIONS_MAX,
        epoch: u32::MAX,
        acquired: Some(TermMark { identity: new.clone(), transitions: LeaseRecord::TRANSITIONS_MAX }),
        released: Some(TermMark { identity: old, transitions: 6 }),
        successor: Some("next/one".into()),
        request: request(Some("next/one".into()), false),
        strategy: None,
    };
    let draining =
        LeaseRecord { request: request(None, true), renew_time: Some(seconds_later(START, 2)), ..full.clone() };
    let cleared = LeaseRecord { renew_time: Some(seconds_later(START, 3)), ..plain.clone() };
    create(&lease.one, &plain).await?;
    for written in [&full, &draining, &cleared] {
        let found = overwrite(&lease.one, written).await?.record;
        ensure!(found == *written, "wrote {written:?}, and a read shows {found:?}");
    }
    Ok(())
}

/// After a release the record has no holder, for either handle.
pub async fn a_released_record_has_no_holder<H: Harness>(_: &H, lease: &Lease<H>) -> Checked {
    create(&lease.one, &held("one", 0)).await?;
    let released = LeaseRecord { holder: None, lease_duration: Duration::from_secs(1), ..held("one", 1) };
    overwrite(&lease.one, &released).await?;
    for lock in [&lease.one, &lease.two] {
        let found = read(lock).await?.record.holder;
        ensure!(found.is_none(), "a released record is held by {found:?}");
    }
    Ok(())
}

/// Renew times are read to the microsecond as they were written, so that two writes a tick apart are told
/// apart, and a candidate recognises its own.
pub async fn renew_times_a_tick_apart_round_trip<H: Harness>(_: &H, lease: &Lease<H>) -> Checked {
    let tick = lease.one.constraints().renew_time_tick;
    let tick_us = i64::try_from(tick.as_micros()).map_err(|_| Violation::new(format!("the tick is {tick:?}")))?;
    create(&lease.one, &held("one", 0)).await?;
    for fraction_us in [0, 999_999, 123_456] {
        for ticks in 1..=3 {
            let time = Timestamp::from_unix_micros(START.unix_micros() + fraction_us + ticks * tick_us);
            let written = LeaseRecord { renew_time: Some(time), ..held("one", 0) };
            let found = overwrite(&lease.one, &written).await?.record.renew_time;
            ensure!(found == Some(time), "renew time {time} is read as {found:?}");
        }
    }
    Ok(())
}
