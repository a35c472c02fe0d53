//! Durations on the command line.

use std::time::Duration;

use lease_core::{DurationError, Pretty};

/// Reads `15s`, `1m30s`, `2.5s`, `500ms`; a bare number is refused.
pub(crate) fn parse(text: &str) -> Result<Duration, DurationError> {
    text.parse().map(|Pretty(duration)| duration)
}
