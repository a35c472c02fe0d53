//! The receivers: where telemetry comes from.

mod elector_key;
mod hand_over;
mod kubernetes;

pub mod k8s_cluster;
pub mod k8s_events;
pub mod k8sobjects;
pub mod kymastats;

#[cfg(test)]
mod live;
#[cfg(test)]
mod testing;
