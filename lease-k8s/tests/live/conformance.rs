//! The conformance suite on a real API server.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use lease_core::ResourceLock;
use lease_core::conformance::{DeleteHarness, ForeignFieldsHarness, Harness, LostReplyHarness, MalformedHarness};
use lease_k8s::{K8sClient, K8sLock};
use serde_json::{Value, json};
use testbed::Cluster;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::config;

struct ApiServer;

struct Guard {
    cluster: &'static Cluster,
    path: String,
    /// The first handle goes through a proxy that swallows the next answer when this is set.
    swallow: Arc<AtomicBool>,
}

impl Guard {
    fn patch(&self, patch: &Value) -> Value {
        self.cluster.api().admin("PATCH", &self.path, Some(patch)).ok()
    }
}

impl Harness for ApiServer {
    type Lock = K8sLock;
    type Guard = Guard;

    async fn fresh(&self) -> Option<(Guard, K8sLock, K8sLock)> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        static NAMESPACE: OnceLock<String> = OnceLock::new();
        let cluster = testbed::cluster()?;
        let namespace = NAMESPACE.get_or_init(|| cluster.namespace("conformance"));
        let name = format!("conformance-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let swallow = Arc::new(AtomicBool::new(false));
        let url = proxy(cluster.api().url(), Arc::clone(&swallow)).await;
        let [one, two] = [url, cluster.api().url()].map(|url| {
            let client = K8sClient::from_config(config(cluster, &url, "admin")).unwrap();
            client.lock(namespace, &name).unwrap()
        });
        // The proxy counts on a connection whose handshake is over.
        one.get().await.unwrap();
        let path = format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}");
        Some((Guard { cluster, path, swallow }, one, two))
    }
}

impl DeleteHarness for ApiServer {
    async fn delete(&self, guard: &Guard) {
        guard.cluster.api().admin("DELETE", &guard.path, None).ok();
    }
}

impl LostReplyHarness for ApiServer {
    async fn lose_next_reply(&self, guard: &Guard) {
        guard.swallow.store(true, Ordering::SeqCst);
    }
}

impl ForeignFieldsHarness for ApiServer {
    type Foreign = Value;

    async fn plant(&self, guard: &Guard) -> Value {
        let count = self.foreign(guard).await["labels"].as_object().map_or(0, serde_json::Map::len);
        guard.patch(&json!({"metadata": {
            "labels": {format!("team-{count}"): "payments"},
            "annotations": {"example.com/note": format!("note {count}")},
            "finalizers": null,
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": format!("u-{count}")}],
        }}));
        self.foreign(guard).await
    }

    async fn foreign(&self, guard: &Guard) -> Value {
        let metadata = guard.cluster.api().admin("GET", &guard.path, None).ok()["metadata"].clone();
        json!({
            "labels": metadata["labels"], "ownerReferences": metadata["ownerReferences"],
            "note": metadata["annotations"]["example.com/note"], "created": metadata["creationTimestamp"],
        })
    }
}

impl MalformedHarness for ApiServer {
    /// The server checks the fields of a Lease, so what cannot be understood is in an annotation.
    async fn corrupt(&self, guard: &Guard) {
        guard.patch(&json!({"metadata": {"annotations": {"lease-election.internal/epoch": "many"}}}));
    }
}

/// Passes everything on, TLS and all, to the server at this address.
async fn proxy(server: String, swallow: Arc<AtomicBool>) -> String {
    let server = server.trim_start_matches("https://").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (server, swallow) = (server.clone(), Arc::clone(&swallow));
            tokio::spawn(async move {
                let server = TcpStream::connect(server).await.unwrap();
                pass(client, server, &swallow).await;
            });
        }
    });
    url
}

/// When a reply is to be lost, the connection is closed instead of passing on what the server says after it has
/// received application data: with that it has answered.
async fn pass(mut client: TcpStream, mut server: TcpStream, swallow: &AtomicBool) {
    let (mut asked, mut answered) = (vec![0; 16384], vec![0; 16384]);
    // A server of TLS 1.3 speaks once in the handshake and may then send session tickets, which no request waits for.
    let (mut requests, mut armed) = (0, false);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => match read {
                Ok(length) if length > 0 => {
                    requests += 1;
                    armed = swallow.load(Ordering::SeqCst) && requests > HANDSHAKE_FLIGHTS;
                    if server.write_all(&asked[..length]).await.is_err() {
                        return;
                    }
                }
                _ => return,
            },
            read = server.read(&mut answered) => match read {
                Ok(length) if length > 0 => {
                    if armed && swallow.swap(false, Ordering::SeqCst) {
                        return;
                    }
                    if client.write_all(&answered[..length]).await.is_err() {
                        return;
                    }
                }
                _ => return,
            },
        }
    }
}

/// Client hello, and the end of the handshake.
const HANDSHAKE_FLIGHTS: u32 = 2;

lease_core::conformance_tests!(ApiServer, [base, delete, tokens, watch, lost_reply, foreign_fields, malformed]);
