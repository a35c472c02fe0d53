//! What the properties share: plain records, and reads that must find something.

use std::time::Duration;

use super::Violation;
use crate::lock::{LockError, LockErrorKind, ResourceLock};
use crate::record::{HolderIdentity, LeaseRecord, Versioned};
use crate::time::Timestamp;

/// Ends the property with a violation unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($what:tt)+) => {
        if !$condition {
            return Err($crate::conformance::Violation::new(format!($($what)+)));
        }
    };
}
pub(super) use ensure;

/// A whole second, so that only the property that is about fractions depends on them.
pub(super) const START: Timestamp = Timestamp::from_unix_micros(1_700_000_000_000_000);

pub(super) fn identity(name: &str) -> HolderIdentity {
    HolderIdentity::exact(name).expect("the names in the suite are valid")
}

pub(super) fn seconds_later(time: Timestamp, seconds: u32) -> Timestamp {
    Timestamp::from_unix_micros(time.unix_micros() + i64::from(seconds) * 1_000_000)
}

/// A record as it is while `holder` holds, renewed `step` seconds after [`START`].
pub(super) fn held(holder: &str, step: u32) -> LeaseRecord {
    LeaseRecord {
        holder: Some(identity(holder)),
        lease_duration: Duration::from_secs(15),
        acquire_time: Some(START),
        renew_time: Some(seconds_later(START, step)),
        transitions: 1,
        ..LeaseRecord::default()
    }
}

/// The same record, renewed `step` seconds after [`START`].
pub(super) fn renewed(record: &LeaseRecord, step: u32) -> LeaseRecord {
    LeaseRecord { renew_time: Some(seconds_later(START, step)), ..record.clone() }
}

/// The record that is there.
pub(super) async fn read(lock: &impl ResourceLock) -> Result<Versioned, Violation> {
    lock.get().await?.ok_or_else(|| Violation::new("a read finds no record where one was written"))
}

/// Updates what is there now, and gives what a read shows then.
pub(super) async fn overwrite(lock: &impl ResourceLock, record: &LeaseRecord) -> Result<Versioned, Violation> {
    let seen = read(lock).await?;
    lock.update(&seen, record).await?;
    read(lock).await
}

/// Creates the record, and gives what a read shows then.
pub(super) async fn create(lock: &impl ResourceLock, record: &LeaseRecord) -> Result<Versioned, Violation> {
    lock.create(record).await?;
    read(lock).await
}

/// A write that had to be refused was refused, and as one of these kinds.
pub(super) fn refused(
    what: &str,
    answer: Result<Versioned, LockError>,
    kinds: &[LockErrorKind],
) -> Result<(), Violation> {
    match answer {
        Ok(versioned) => Err(Violation::new(format!("{what} succeeds, as version {}", versioned.version))),
        Err(error) if kinds.contains(&error.kind()) => Ok(()),
        Err(error) => Err(Violation::new(format!("{what} is {}, not one of {kinds:?}: {error}", error.kind()))),
    }
}
