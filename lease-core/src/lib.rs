//! Leader election as a state machine over a pluggable lock.

#[cfg(feature = "conformance")]
pub mod conformance;
mod elector;
mod fence;
mod lock;
mod record;
mod time;
mod timing;

pub use elector::*;
pub use fence::*;
pub use lock::*;
pub use record::*;
pub use time::*;
pub use timing::*;
