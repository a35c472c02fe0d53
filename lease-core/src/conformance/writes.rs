//! What a single write does, and that a refused one does nothing.

use std::collections::HashSet;

use super::support::{create, ensure, held, overwrite, read, refused, renewed};
use super::{Checked, Harness, Lease};
use crate::lock::{LockErrorKind, ResourceLock};

/// A lease that was never written reads as none, through either handle and more than once.
pub async fn an_absent_lease_reads_as_none<H: Harness>(_: &H, lease: &Lease<H>) -> Checked {
    for lock in [&lease.one, &lease.two, &lease.one] {
        let found = lock.get().await?;
        ensure!(found.is_none(), "a lease that nobody wrote reads as {found:?}");
    }
    Ok(())
}

/// What was created is what the answer says and what both handles read, at one version.
pub async fn a_created_record_is_read_back<H: Harness>(_: &H, lease: &Lease<H>) -> Checked {
    let record = held("one", 0);
    let created = lease.one.create(&record).await?;
    ensure!(created.record == record, "created {record:?}, and the answer shows {:?}", created.record);
    for lock in [&lease.one, &lease.two] {
        let found = read(lock).await?;
        ensure!(found == created, "created {created:?}, and a read shows {found:?}");
    }
    Ok(())
}

/// A create where there is a record is a conflict, from the handle that made it too, and changes nothing.
pub async fn a_second_create_conflicts_and_changes_nothing<H: Harness>(_: &H, lease: &Lease<H>) -> Checked {
    let before = create(&lease.one, &held("one", 0)).await?;
    for (lock, holder) in [(&lease.two, "two"), (&lease.one, "one")] {
        refused("a second create", lock.create(&held(holder, 1)).await, &[LockErrorKind::Conflict])?;
        let after = read(&lease.two).await?;
        ensure!(after == before, "a refused create left {after:?} in place of {before:?}");
    }
    Ok(())
}

/// An update that builds on the current version succeeds: on a read of either handle, on the answer to a
/// create, and on the answer to another update, without a read in between.
pub async fn an_update_at_the_current_version_wins<H: Harness>(_: &H, lease: &Lease<H>) -> Checked {
    let mut seen = lease.one.create(&held("one", 0)).await?;
    for step in 1..=3 {
        let record = held("one", step);
        seen = lease.one.update(&seen, &record).await?;
        ensure!(seen.record == record, "wrote {record:?}, and the answer shows {:?}", seen.record);
    }
    let found = read(&lease.two).await?;
    ensure!(found == seen, "the answer to an update shows {seen:?}, and a read {found:?}");
    let taken = held("two", 4);
    lease.two.update(&found, &taken).await?;
    for lock in [&lease.one, &lease.two] {
        let found = read(lock).await?.record;
        ensure!(found == taken, "wrote {taken:?}, and a read shows {found:?}");
    }
    Ok(())
}

/// An update that builds on an older version is a conflict, whether one or more versions behind, and
/// whoever has read that version; it changes nothing.
pub async fn a_stale_version_conflicts_and_changes_nothing<H: Harness>(_: &H, lease: &Lease<H>) -> Checked {
    create(&lease.one, &held("one", 0)).await?;
    let stale = [read(&lease.one).await?, read(&lease.two).await?];
    for behind in 1..=3 {
        let current = overwrite(&lease.two, &held("two", behind)).await?;
        for (lock, seen) in [&lease.one, &lease.two].into_iter().zip(&stale) {
            let what = format!("an update that is {behind} behind");
            refused(&what, lock.update(seen, &held("late", 99)).await, &[LockErrorKind::Conflict])?;
            let after = read(&lease.two).await?;
            ensure!(after == current, "{what} was refused, and left {after:?} in place of {current:?}");
        }
    }
    Ok(())
}

/// A write that changes nothing but the renew time makes a version that the lease never had before.
pub async fn a_renewal_always_changes_the_version<H: Harness>(_: &H, lease: &Lease<H>) -> Checked {
    let first = create(&lease.one, &held("one", 0)).await?;
    let mut versions = HashSet::from([first.version.clone()]);
    for step in 1..=RENEWAL_COUNT {
        let after = overwrite(&lease.one, &renewed(&first.record, step)).await?;
        ensure!(versions.insert(after.version.clone()), "renewal {step} is stored as version {} again", after.version);
    }
    Ok(())
}

const RENEWAL_COUNT: u32 = 20;
