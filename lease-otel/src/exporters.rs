//! The exporters: where telemetry leaves the collector.

mod connect;
pub(crate) mod counters;
pub mod debug;
pub mod file;
mod go;
mod json;
mod mismatch;
mod otlp;
pub mod otlp_grpc;
pub mod otlp_http;
pub(crate) mod own;
mod queue;
#[cfg(test)]
pub(crate) mod recorded;
mod retry;
mod settings;
#[cfg(test)]
mod tests;
mod tls;
