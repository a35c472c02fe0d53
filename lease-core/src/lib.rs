//! Leader election as a state machine over a pluggable lock.

#[cfg(feature = "conformance")]
pub mod conformance;
mod lock;
mod record;
mod time;

pub use lock::*;
pub use record::*;
pub use time::*;
