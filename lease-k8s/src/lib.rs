//! The Kubernetes Lease backend.
//!
//! One [`K8sLock`] is one Lease object of `coordination.k8s.io/v1`, with client-go's meaning of every
//! field, so that Rust and Go candidates can share it. Locks share a [`K8sClient`]: one set of
//! credentials and one pool of connections.
//!
//! What this crate refuses: server-side apply and patches (they can write without comparing), requests
//! that are repeated behind the caller's back, HTTP proxies, and records that a Lease cannot hold.
//!
//! It turns on no version feature of `k8s-openapi`, which `kube` needs: the program that links it does, with a
//! dependency of its own such as `k8s-openapi = { version = "0.29", features = ["latest"] }`.
#![forbid(unsafe_code)]

mod access;
mod answer;
mod client;
mod credentials;
mod error;
mod lock;
mod names;
mod object;
mod reader;
mod watch;

pub use access::{Access, AuthType};
pub use client::K8sClient;
pub use error::{K8sError, MissingNamespace, MissingRule};
pub use lock::{K8sLock, NamedLease};
pub use object::ANNOTATION_PREFIX;

/// The program in README, so that it compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

#[cfg(test)]
mod tests {
    /// Of two versions only the one that `kube` needs would have its feature.
    #[test]
    fn readers_are_told_the_version_of_k8s_openapi_that_kube_needs() {
        let ours = include_str!("../../Cargo.toml").lines().find_map(|line| line.strip_prefix("k8s-openapi = "));
        let version = ours.expect("the workspace names it");
        let line = format!("k8s-openapi = {{ version = {version}, features = [\"latest\"] }}");
        for text in [include_str!("../../README.md"), include_str!("lib.rs")] {
            assert!(text.contains(&line), "{line}");
        }
    }
}
