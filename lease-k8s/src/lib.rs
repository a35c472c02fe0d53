//! The Kubernetes Lease backend.
