//! The seam to the backends: what a lock must do, and how its failures are named.

use std::fmt::{Debug, Display};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_core::stream::BoxStream;

use crate::record::{LeaseRecord, Versioned};

/// One lease in some store: a record that is read, created, and replaced on condition of its version.
///
/// # Contract
/// * `get` is linearizable: it shows every write that was acknowledged to anybody before it was called.
/// * A write that succeeds has stored the whole record, and every later read shows its version or a
///   later one. A successful update always changes the version, unless the record was identical.
/// * Fields and metadata in the store that are not the record's survive an update; the backend carries
///   them in [`Versioned::attachment`](crate::Attachment).
///
/// # Atomicity
/// `create` succeeds only when there was no record; `update` only while the stored version (and, where
/// the store can compare it, content) is still that of `seen`, also when the object was deleted and
/// made anew in between. Of any number of concurrent writes that build on one version, one succeeds.
///
/// # Errors
/// Every failure is named by what the caller has to do next: see [`LockErrorKind`]. When in doubt
/// whether a write happened, the answer is [`LockErrorKind::Unknown`]. A backend does not retry, does
/// not wait out a limit, and answers in bounded time only as far as its transport makes it: the driver
/// times requests out by dropping their futures.
///
/// # Cancellation
/// A dropped future is an unknown outcome: the write may still be applied, at any later time. Dropping
/// must not leave the handle unusable, and should abandon the connection the request was on.
///
/// # Fencing
/// Where the store orders its writes, [`Versioned::revision`] of an answer is the revision of the write
/// that made that version. It rises with every change, also across deletion and re-creation. A store
/// without such an order says none; a guess is worse than none.
///
/// # Wrappers
/// `&L`, `Box<L>` and `Arc<L>` of a lock are locks. Not part of the trait: identities, retries,
/// timeouts, cached versions, events, metrics. A further ability is a further trait: [`WatchLock`].
///
/// The suite in the module `conformance`, which the feature of that name brings, checks all of this.
#[async_trait]
pub trait ResourceLock: Debug + Display + Send + Sync {
    /// What this kind of store demands of records and timing.
    fn constraints(&self) -> Constraints;

    /// The record and its version; none when there is no record.
    async fn get(&self) -> Result<Option<Versioned>, LockError>;

    /// Stores the first record. [`LockErrorKind::Conflict`] when there is one.
    async fn create(&self, record: &LeaseRecord) -> Result<Versioned, LockError>;

    /// Replaces the record that was `seen`. [`LockErrorKind::Conflict`] when it is no longer the stored
    /// one; [`LockErrorKind::NotFound`] (or `Conflict`) when there is none.
    async fn update(&self, seen: &Versioned, record: &LeaseRecord) -> Result<Versioned, LockError>;
}

/// A lock that can tell of changes before it is asked.
///
/// What it tells is a hint: it may be late, repeated, out of order, or missing, and is never enough to
/// decide by. A watch that fails can therefore only delay.
pub trait WatchLock: ResourceLock {
    /// The changes from now on. The stream reconnects by itself, with back-off, and does not end while
    /// there is any sense in going on; a stream that ends is taken as a watch that is lost for good.
    fn watch(&self) -> BoxStream<'static, WatchEvent>;
}

/// What a watch tells.
#[derive(Debug)]
pub enum WatchEvent {
    /// The watch is live: changes after this will be told.
    Ready,
    /// The record as of some version. Also sent for the state that a starting watch finds.
    Changed(Versioned),
    /// The record was deleted, or was found absent.
    Deleted,
    /// The watch was interrupted; some changes may go untold until the next `Ready`. With the reason,
    /// where it is not the ordinary end of a connection.
    Lost(Option<LockError>),
}

/// What a kind of store demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Constraints {
    /// The least step between the renew times of two writes; also the least retry period.
    pub renew_time_tick: Duration,
    /// Whether lease durations must be whole seconds.
    pub whole_second_durations: bool,
}

impl Constraints {
    /// A store that keeps durations to the nanosecond and times to the microsecond.
    pub const FINE: Self = Self { renew_time_tick: Duration::from_micros(1), whole_second_durations: false };
    /// A store whose other clients compare times by the second and keep durations in seconds.
    pub const WHOLE_SECONDS: Self = Self { renew_time_tick: Duration::from_secs(1), whole_second_durations: true };
}

/// Failures of a lock, named by what the caller does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum LockErrorKind {
    /// The version has moved on, or something is there that a create did not expect: read. (The own
    /// write may be what moved it: a replaying proxy answers so to a write that succeeded.)
    Conflict,
    /// There is no record: create it.
    NotFound,
    /// Certainly not written: try again.
    Unavailable,
    /// It may have been written, now or later: read before any other write.
    Unknown,
    /// Only an operator can mend it (a missing right, a missing namespace, a refused certificate).
    Denied,
    /// There is a record that cannot be understood: not to be overwritten before it was seen unchanged
    /// for a whole lease duration of one's own.
    Malformed,
}

impl LockErrorKind {
    /// The name as it appears in logs, metrics and status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::NotFound => "not_found",
            Self::Unavailable => "unavailable",
            Self::Unknown => "unknown",
            Self::Denied => "denied",
            Self::Malformed => "malformed",
        }
    }
}

impl Display for LockErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// A failed request to a lock.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{context}")]
pub struct LockError {
    kind: LockErrorKind,
    context: Arc<str>,
    retry_after: Option<Duration>,
    unreadable: Option<Box<Versioned>>,
    #[source]
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl LockError {
    /// A failure of this kind. The context says what was tried and what the store answered, without
    /// secrets, and where there is one, the way out.
    pub fn new(kind: LockErrorKind, context: impl Into<Arc<str>>) -> Self {
        Self { kind, context: context.into(), retry_after: None, unreadable: None, source: None }
    }

    /// A record that cannot be understood. `seen` has its version, so that it can be replaced once the
    /// rules allow, and whatever of the record could be read.
    pub fn malformed(context: impl Into<Arc<str>>, seen: Option<Versioned>) -> Self {
        Self { unreadable: seen.map(Box::new), ..Self::new(LockErrorKind::Malformed, context) }
    }

    /// Adds the error below this one.
    #[must_use]
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// Adds how long the store asked to be left alone.
    #[must_use]
    pub fn with_retry_after(mut self, retry_after: Option<Duration>) -> Self {
        self.retry_after = retry_after;
        self
    }

    /// What the caller has to do next.
    pub fn kind(&self) -> LockErrorKind {
        self.kind
    }

    /// How long the store asked to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The version of the record that could not be understood.
    pub fn unreadable(&self) -> Option<&Versioned> {
        self.unreadable.as_deref()
    }
}

macro_rules! forward {
    ($($wrapper:ty),*) => {$(
        #[async_trait]
        impl<L: ResourceLock + ?Sized> ResourceLock for $wrapper {
            fn constraints(&self) -> Constraints {
                (**self).constraints()
            }

            async fn get(&self) -> Result<Option<Versioned>, LockError> {
                (**self).get().await
            }

            async fn create(&self, record: &LeaseRecord) -> Result<Versioned, LockError> {
                (**self).create(record).await
            }

            async fn update(&self, seen: &Versioned, record: &LeaseRecord) -> Result<Versioned, LockError> {
                (**self).update(seen, record).await
            }
        }

        impl<L: WatchLock + ?Sized> WatchLock for $wrapper {
            fn watch(&self) -> BoxStream<'static, WatchEvent> {
                (**self).watch()
            }
        }
    )*};
}

forward!(&L, Box<L>, Arc<L>);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Attachment, Version};

    #[test]
    fn an_error_tells_what_the_backend_knew() {
        let shown = Versioned {
            record: LeaseRecord::default(),
            version: Version::new("5"),
            revision: Some(5),
            attachment: Attachment::NONE,
        };
        let error = LockError::malformed("no JSON", Some(shown.clone())).with_retry_after(Some(Duration::from_secs(3)));
        assert_eq!(error.kind(), LockErrorKind::Malformed);
        assert_eq!(error.unreadable(), Some(&shown));
        assert_eq!(error.retry_after(), Some(Duration::from_secs(3)));
        let busy = LockError::new(LockErrorKind::Unavailable, "busy");
        assert_eq!((busy.unreadable(), busy.retry_after()), (None, None));
        assert_eq!(busy.with_source(std::io::Error::other("reset")).to_string(), "busy");
    }
}
