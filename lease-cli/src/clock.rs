//! The clocks by which holds are judged.

use lease_core::{Clock, Instant, SystemClock};

/// The present instant.
pub(crate) fn now() -> Instant {
    SystemClock.instant()
}
