//! A lease that was deleted behind the candidates' backs.

use super::support::{create, ensure, held, read, refused};
use super::{Checked, DeleteHarness, Lease};
use crate::lock::{LockErrorKind, ResourceLock};

/// An update of a lease that was deleted is refused as not found or as a conflict, and does not make it anew.
pub async fn an_update_of_a_deleted_lease_writes_nothing<H: DeleteHarness>(harness: &H, lease: &Lease<H>) -> Checked {
    create(&lease.one, &held("one", 0)).await?;
    let seen = [read(&lease.one).await?, read(&lease.two).await?];
    harness.delete(&lease.guard).await;
    for (lock, seen) in [&lease.one, &lease.two].into_iter().zip(&seen) {
        let kinds = [LockErrorKind::NotFound, LockErrorKind::Conflict];
        refused("an update of a deleted lease", lock.update(seen, &held("one", 1)).await, &kinds)?;
        let found = lock.get().await?;
        ensure!(found.is_none(), "an update of a deleted lease left {found:?}");
    }
    Ok(())
}

/// An update that builds on a lease which was deleted and made anew since is a conflict, and changes
/// nothing: neither just after the creation nor after as many writes as the old one had.
pub async fn a_stale_handle_changes_nothing_in_a_re_created_lease<H: DeleteHarness>(
    harness: &H,
    lease: &Lease<H>,
) -> Checked {
    create(&lease.one, &held("one", 0)).await?;
    for _ in 0..2 {
        let stale = read(&lease.one).await?;
        harness.delete(&lease.guard).await;
        // The very record that the stale handle has seen: only the object's own identity tells them apart.
        let anew = create(&lease.two, &stale.record).await?;
        let kinds = [LockErrorKind::NotFound, LockErrorKind::Conflict];
        refused("an update from before a deletion", lease.one.update(&stale, &held("late", 9)).await, &kinds)?;
        let found = read(&lease.two).await?;
        ensure!(found == anew, "an update from before a deletion left {found:?} in place of {anew:?}");
    }
    Ok(())
}
