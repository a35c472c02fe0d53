//! Leader election: run any number of replicas, and let exactly one act.
//!
//! Three layers, each usable without the one above it:
//! * [`ResourceLock`] is the seam to a store: get, create, and update on condition of a version.
//! * [`Elector`] is the protocol as a state machine without IO: time and events in, actions out.
//! * [`LeaderElection`] drives a machine on a lock, and hands out [`Leadership`].
//!
//! Two promises are made, and never mixed. **Timed exclusion**: no two candidates act at the same
//! instant, whatever becomes of the messages, while clock rates stay within a bound and work stops in
//! time; see [`Timing`]. **Fenced exclusion**: where a process may be paused without bound, a resource
//! that compares [`FencingToken`]s with a [`FenceGate`] refuses the late writes of a former leader.

pub mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
mod election;
mod elector;
mod fence;
mod leadership;
mod lock;
mod observe;
mod record;
pub mod testing;
mod time;
mod timing;

pub use clock::{Clock, SystemClock, Timer};
pub use election::*;
pub use elector::*;
pub use fence::*;
pub use leadership::{Leadership, Lost, Released, Validity};
pub use lock::*;
pub use observe::*;
pub use record::*;
pub use time::*;
pub use timing::*;
