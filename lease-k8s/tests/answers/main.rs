//! What becomes of each answer of the API server, and of each way to get none, on a server that follows a script.

// The helpers are parts of tests, and panic as those do.
#![allow(clippy::unwrap_used)]

mod bad_records;
mod credentials;
mod reader;
mod rows;
mod scripted;
mod watches;

use std::time::Duration;

use kube::Config;
use lease_core::{HolderIdentity, LeaseRecord, Timestamp};
use lease_k8s::{K8sClient, K8sLock};
use scripted::Scripted;
use serde_json::{Value, json};

fn client(url: &str) -> K8sClient {
    K8sClient::from_config(Config::new(url.parse().unwrap())).unwrap()
}

fn lock(server: &Scripted) -> K8sLock {
    client(&server.url).lock("default", "foo").unwrap()
}

fn record() -> LeaseRecord {
    LeaseRecord {
        holder: Some(HolderIdentity::exact("a").unwrap()),
        lease_duration: Duration::from_secs(15),
        acquire_time: Some(Timestamp::from_unix_micros(1_700_000_000_000_000)),
        renew_time: Some(Timestamp::from_unix_micros(1_700_000_001_000_001)),
        transitions: 3,
        ..LeaseRecord::default()
    }
}

/// A Lease as the API server shows it.
fn lease(version: &str) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {
            "name": "foo", "namespace": "default", "uid": "u-1", "resourceVersion": version,
            "creationTimestamp": "2023-11-14T22:13:20Z",
            "managedFields": [{"manager": "lease", "operation": "Update"}],
        },
        "spec": {
            "holderIdentity": "a", "leaseDurationSeconds": 15, "leaseTransitions": 3,
            "acquireTime": "2023-11-14T22:13:20.000000Z", "renewTime": "2023-11-14T22:13:21.000001Z",
        },
    })
}
