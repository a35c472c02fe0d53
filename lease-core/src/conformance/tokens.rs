//! Revisions that are fit to be fencing tokens.

use super::support::{create, ensure, held, overwrite, read, renewed};
use super::{Checked, DeleteHarness, Harness, Lease, Violation, fresh};
use crate::lock::ResourceLock;
use crate::record::{LeaseRecord, Versioned};

/// Every renewal has a higher revision than the write before it.
pub async fn revisions_rise_with_every_renewal<H: Harness>(_: &H, lease: &Lease<H>) -> Checked {
    let first = create(&lease.one, &held("one", 0)).await?;
    let mut highest = revision(&first)?;
    for step in 1..=RENEWAL_COUNT {
        let after = overwrite(&lease.one, &renewed(&first.record, step)).await?;
        rise(&mut highest, &after, "a renewal")?;
    }
    Ok(())
}

/// Every change of the holder has a higher revision than the write before it, by release or by takeover.
pub async fn revisions_rise_from_holder_to_holder<H: Harness>(_: &H, lease: &Lease<H>) -> Checked {
    let mut highest = revision(&create(&lease.one, &held("one", 0)).await?)?;
    for (step, (lock, holder)) in (1..).zip([(&lease.two, "two"), (&lease.one, "one"), (&lease.two, "three")]) {
        rise(&mut highest, &overwrite(lock, &held(holder, step)).await?, "a takeover")?;
        let released = LeaseRecord { holder: None, ..held(holder, step + 100) };
        rise(&mut highest, &overwrite(lock, &released).await?, "a release")?;
    }
    Ok(())
}

/// A lease that was deleted and made anew has higher revisions than it ever had before.
pub async fn revisions_rise_over_deletion_and_re_creation<H: DeleteHarness>(harness: &H, lease: &Lease<H>) -> Checked {
    let mut highest = revision(&create(&lease.one, &held("one", 0)).await?)?;
    for step in 1..=3 {
        highest = highest.max(revision(&overwrite(&lease.one, &held("one", step)).await?)?);
        harness.delete(&lease.guard).await;
        rise(&mut highest, &create(&lease.two, &held("one", 0)).await?, "a re-creation")?;
    }
    Ok(())
}

/// A read shows the revision that the answer to the write had, also after other leases were written.
pub async fn a_read_shows_the_revision_of_the_write_that_made_the_version<H: Harness>(
    harness: &H,
    lease: &Lease<H>,
) -> Checked {
    let another = fresh(harness).await.ok_or_else(|| Violation::new("the harness has one lease and no second"))?;
    let mut written = lease.one.create(&held("one", 0)).await?;
    create(&another.one, &held("other", 0)).await?;
    for step in 1..=3 {
        for lock in [&lease.one, &lease.two] {
            let (found, expected) = (revision(&read(lock).await?)?, revision(&written)?);
            ensure!(found == expected, "a write has revision {expected}, and a read of it shows {found}");
        }
        written = lease.one.update(&read(&lease.one).await?, &held("one", step)).await?;
        overwrite(&another.one, &held("other", step)).await?;
    }
    Ok(())
}

fn revision(versioned: &Versioned) -> Result<u128, Violation> {
    let missing = || Violation::new(format!("version {} has no revision", versioned.version));
    versioned.revision.ok_or_else(missing)
}

fn rise(highest: &mut u128, after: &Versioned, what: &str) -> Checked {
    let found = revision(after)?;
    ensure!(found > *highest, "{what} has revision {found} after {highest}");
    *highest = found;
    Ok(())
}

const RENEWAL_COUNT: u32 = 10;
