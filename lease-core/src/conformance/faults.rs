//! Requests that end badly: dropped, their reply lost, or their record unreadable.

use futures_util::future::{Either, select};

use super::support::{create, ensure, held, read, refused};
use super::{Checked, Harness, Lease, LostReplyHarness, MalformedHarness, Violation};
use crate::lock::{LockErrorKind, ResourceLock};
use crate::record::{LeaseRecord, Versioned};

/// After a request was dropped at any moment the handle reads and writes as before, and the dropped write
/// is either there or not.
pub async fn a_dropped_future_leaves_the_handle_usable<H: Harness>(_: &H, lease: &Lease<H>) -> Checked {
    let mut before = create(&lease.one, &held("one", 0)).await?;
    for attempt in 0..ATTEMPTS_MAX {
        // From before the request was ever polled to well after a quick server's reply.
        let rounds = (1 << attempt) >> 1;
        poll_and_drop(lease.one.get(), rounds).await;
        let dropped = held("dropped", attempt);
        poll_and_drop(lease.one.update(&before, &dropped), rounds).await;
        let found = read(&lease.one).await?;
        let either = found.record == dropped || found.record == before.record;
        ensure!(either, "a dropped update of {:?} to {dropped:?} left {:?}", before.record, found.record);
        before = write_through(&lease.one, found, &held("one", attempt + 100)).await?;
    }
    Ok(())
}

/// The dropped write may still arrive, once, so that a write after it can conflict; but not for ever.
async fn write_through(
    lock: &impl ResourceLock,
    mut seen: Versioned,
    record: &LeaseRecord,
) -> Result<Versioned, Violation> {
    for _ in 0..ATTEMPTS_MAX {
        match lock.update(&seen, record).await {
            Ok(_) => {
                let found = read(lock).await?;
                ensure!(found.record == *record, "wrote {record:?}, and a read shows {:?}", found.record);
                return Ok(found);
            }
            Err(error) if error.kind() == LockErrorKind::Conflict => seen = read(lock).await?,
            Err(error) => return Err(error.into()),
        }
    }
    Err(Violation::new("after a dropped update every other one conflicts"))
}

/// Lets a request run until the runtime has been round so many times, and drops it.
async fn poll_and_drop<T>(request: impl Future<Output = T> + Unpin, rounds: u32) {
    let rounds = async {
        for _ in 0..rounds {
            tokio::task::yield_now().await;
        }
    };
    match select(std::pin::pin!(rounds), request).await {
        Either::Left(((), request)) => drop(request),
        Either::Right(_) => {}
    }
}

/// A create whose reply is lost is unknown, and a read by either handle finds what it wrote.
pub async fn a_lost_reply_to_a_create_is_unknown_and_a_read_finds_the_write<H: LostReplyHarness>(
    harness: &H,
    lease: &Lease<H>,
) -> Checked {
    let record = held("one", 0);
    harness.lose_next_reply(&lease.guard).await;
    refused("a create whose reply is lost", lease.one.create(&record).await, &[LockErrorKind::Unknown])?;
    find(lease, &record).await
}

/// An update whose reply is lost is unknown, and a read by either handle finds what it wrote.
pub async fn a_lost_reply_to_an_update_is_unknown_and_a_read_finds_the_write<H: LostReplyHarness>(
    harness: &H,
    lease: &Lease<H>,
) -> Checked {
    let seen = create(&lease.one, &held("one", 0)).await?;
    let record = held("one", 1);
    harness.lose_next_reply(&lease.guard).await;
    refused("an update whose reply is lost", lease.one.update(&seen, &record).await, &[LockErrorKind::Unknown])?;
    find(lease, &record).await
}

async fn find<H: Harness>(lease: &Lease<H>, record: &LeaseRecord) -> Checked {
    for lock in [&lease.two, &lease.one] {
        let found = read(lock).await?.record;
        ensure!(found == *record, "the reply to writing {record:?} was lost, and a read shows {found:?}");
    }
    Ok(())
}

/// A record that cannot be understood is malformed, with the version that an update then replaces.
pub async fn an_unreadable_record_is_malformed_and_can_be_replaced<H: MalformedHarness>(
    harness: &H,
    lease: &Lease<H>,
) -> Checked {
    let before = create(&lease.one, &held("one", 0)).await?;
    harness.corrupt(&lease.guard).await;
    let [first, second] = [unreadable(&lease.one).await?, unreadable(&lease.two).await?];
    ensure!(first.version == second.version, "an untouched record is {} and then {}", first.version, second.version);
    ensure!(first.version != before.version, "another record has the same version {}", first.version);
    let record = held("two", 1);
    lease.two.update(&second, &record).await?;
    let found = read(&lease.one).await?.record;
    ensure!(found == record, "wrote {record:?}, and a read shows {found:?}");
    Ok(())
}

async fn unreadable(lock: &impl ResourceLock) -> Result<Versioned, Violation> {
    match lock.get().await {
        Ok(found) => Err(Violation::new(format!("a record that cannot be understood reads as {found:?}"))),
        Err(error) if error.kind() != LockErrorKind::Malformed => Err(error.into()),
        Err(error) => error.unreadable().cloned().ok_or_else(|| Violation::new("a malformed record has no version")),
    }
}

const ATTEMPTS_MAX: u32 = 14;
