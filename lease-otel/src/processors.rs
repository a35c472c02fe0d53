//! The processors: what stands between receivers and exporters.

pub mod batch;
pub mod memory_limiter;
