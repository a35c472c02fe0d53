//! Starts real servers and peers for the tests, supervises programs under test, and judges what they did.
//!
//! A live test begins with one line and needs no other ceremony:
//!
//! ```no_run
//! let Some(cluster) = testbed::cluster() else { return };
//! let namespace = cluster.namespace("handover");
//! ```
//!
//! What it refuses: containers, anything installed beyond Rust and Go, leaving a process or a file behind (also when
//! the test process is killed), and skipping in silence. It runs on Linux, and no shipped crate depends on it.

pub mod build;
mod cluster;
pub mod http;
pub mod judge;
pub mod otlp;
pub mod process;
pub mod require;
pub mod sent;
pub mod server;

pub use cluster::{Cluster, cluster, elector, worker};

/// Nanoseconds of `CLOCK_BOOTTIME`: the one clock of every log line and every judgement.
///
/// It is the same for all processes of a host and never jumps with the wall clock.
pub fn boottime_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).expect("the time since boot is not negative");
    let nanos = u64::try_from(now.tv_nsec).expect("nanoseconds are not negative");
    seconds * 1_000_000_000 + nanos
}
