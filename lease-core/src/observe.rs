//! The hook through which everything that happens can be counted and shown.

use std::fmt::Debug;
use std::time::Duration;

use crate::elector::{Notice, Purpose};
use crate::lock::LockError;
use crate::time::Instant;

/// Sees what a driver does, for metrics, events and recordings.
///
/// It is called on the driver's own task, in order, and must not block: a slow observer makes the
/// election slow.
pub trait Observer: Debug + Send + Sync {
    /// Something happened.
    fn observe(&self, at: Instant, what: Observation<'_>);
}

/// What an [`Observer`] sees.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Observation<'a> {
    /// The machine said something.
    Notice(&'a Notice),
    /// A request ended.
    Request {
        /// What it was for.
        purpose: Purpose,
        /// How long it took.
        took: Duration,
        /// Why it failed, if it did.
        error: Option<&'a LockError>,
    },
    /// A request was given up without an answer.
    Abandoned(Purpose),
    /// The watch became live, or was lost.
    Watching(bool),
}

impl<O: Observer + ?Sized> Observer for std::sync::Arc<O> {
    fn observe(&self, at: Instant, what: Observation<'_>) {
        (**self).observe(at, what);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[derive(Debug, Default)]
    struct Count(AtomicU32);

    impl Observer for Count {
        fn observe(&self, _at: Instant, _what: Observation<'_>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_shared_observer_sees_what_its_clones_are_told() {
        let count = Arc::new(Count::default());
        let observer: Box<dyn Observer> = Box::new(Arc::clone(&count));
        observer.observe(Instant::from_nanos(1, 1), Observation::Watching(true));
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
    }
}
