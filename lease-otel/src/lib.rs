//! A telemetry collector of which any number of replicas run, and each receiver collects on exactly one of them.
//!
//! It takes the configuration of an OpenTelemetry Collector that uses the `k8s_leader_elector` extension. Receivers,
//! processors, exporters and extensions are components: a kind of component is a factory of one of the traits in
//! [`component`] and one line in the [`Registry`](component::Registry).

pub mod component;
pub mod config;
pub mod data;
pub mod elector;
mod errors;
pub mod exporters;
pub mod extensions;
pub mod host;
mod http;
pub mod processors;
pub mod receivers;
mod registry;
pub mod telemetry;
#[cfg(test)]
mod test_kit;
pub mod testing;

pub use self::registry::registry;
