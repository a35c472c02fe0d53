//! The deterministic simulator: candidates on one lease in virtual time.

pub mod client_go;
