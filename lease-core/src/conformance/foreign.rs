//! What other programs keep beside the record.

use super::support::{create, ensure, held, overwrite, read, refused};
use super::{Checked, ForeignFieldsHarness, Lease};
use crate::lock::{LockErrorKind, ResourceLock};
use crate::record::LeaseRecord;

/// Foreign fields are still there after a renewal, a takeover and a release that have seen them.
pub async fn foreign_fields_survive_updates<H: ForeignFieldsHarness>(harness: &H, lease: &Lease<H>) -> Checked {
    create(&lease.one, &held("one", 0)).await?;
    let planted = harness.plant(&lease.guard).await;
    let released = LeaseRecord { holder: None, ..held("two", 4) };
    let seen = read(&lease.one).await?;
    let answer = lease.one.update(&seen, &held("one", 1)).await?;
    // A renewal on the answer to another, without a read in between, has to carry them too. That it
    // succeeds is another property's concern.
    let renewal = lease.one.update(&answer, &held("one", 2)).await;
    if renewal.is_err() {
        refused("a renewal without a read", renewal, &[LockErrorKind::Conflict])?;
    }
    for (lock, record) in [(&lease.two, held("two", 3)), (&lease.two, released)] {
        overwrite(lock, &record).await?;
        let found = harness.foreign(&lease.guard).await;
        ensure!(found == planted, "the foreign fields {planted:?} became {found:?}");
    }
    Ok(())
}

/// A write that builds on a read from before somebody changed the foreign fields conflicts, or keeps them.
pub async fn a_write_that_missed_a_foreign_change_does_not_undo_it<H: ForeignFieldsHarness>(
    harness: &H,
    lease: &Lease<H>,
) -> Checked {
    create(&lease.one, &held("one", 0)).await?;
    for step in 1..=3 {
        let seen = read(&lease.one).await?;
        let planted = harness.plant(&lease.guard).await;
        let answer = lease.one.update(&seen, &held("one", step)).await;
        if answer.is_err() {
            refused("a write that missed a foreign change", answer, &[LockErrorKind::Conflict])?;
        }
        let found = harness.foreign(&lease.guard).await;
        ensure!(found == planted, "the foreign fields {planted:?} became {found:?}");
    }
    Ok(())
}
