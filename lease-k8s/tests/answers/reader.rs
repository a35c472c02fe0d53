//! What reads with `kube` over our connections.

use std::fs;
use std::time::Duration;

use futures_util::StreamExt;
use http::Request;
use kube::Config;
use kube::api::WatchEvent;
use lease_k8s::K8sClient;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, timeout};

use super::client;
use super::scripted::{Reply, Scripted, ok, status};

fn get(path: &str) -> Request<Vec<u8>> {
    Request::get(path).body(Vec::new()).unwrap()
}

#[tokio::test]
async fn other_credentials_are_found_after_a_401() {
    let server = Scripted::start(|request| {
        if request.head.contains("authorization: Bearer new") {
            ok(&json!({"it": "works"}))
        } else {
            status(401, "Unauthorized", "", "Unauthorized")
        }
    })
    .await;
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("token");
    fs::write(&file, "old").unwrap();
    let mut config = Config::new(server.url.parse().unwrap());
    config.auth_info.token_file = Some(file.to_str().unwrap().to_owned());
    let reader = K8sClient::from_config(config).unwrap().reader();
    let kube::Error::Api(refused) = reader.request::<Value>(get("/version")).await.unwrap_err() else {
        panic!("the answer is told")
    };
    assert_eq!((refused.code, server.seen().len()), (401, 1));
    fs::write(&file, "new").unwrap();
    assert_eq!(reader.request::<Value>(get("/version")).await.unwrap()["it"], "works");
}

#[tokio::test]
async fn nothing_is_repeated_and_nothing_written() {
    let server = Scripted::start(|_| Reply::Whole(503, "retry-after: 0\r\n", "later".to_owned())).await;
    let reader = client(&server.url).reader();
    assert!(reader.request::<Value>(get("/a")).await.is_err());
    assert_eq!(server.seen().len(), 1);
    let write = Request::post("/a").body(Vec::new()).unwrap();
    let error = reader.request::<Value>(write).await.unwrap_err();
    let kube::Error::Service(error) = &error else { panic!("{error:?}") };
    assert_eq!(error.to_string(), "this client only reads, and was asked for a POST");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_read_is_given_up_after_30_s_and_a_watch_that_has_begun_is_not() {
    let server = Scripted::start(|request| match request.line.as_str() {
        "GET /ready" => ok(&json!({})),
        line if line.contains("watch=true") => {
            let event = json!({"type": "ADDED", "object": {"metadata": {"name": "x"}}});
            Reply::Open(format!("{event}\n"))
        }
        _ => Reply::Mute,
    })
    .await;
    let reader = client(&server.url).reader();
    reader.request::<Value>(get("/ready")).await.unwrap();
    let events = reader.request_events::<Value>(get("/things?watch=true")).await.unwrap();
    let mut events = std::pin::pin!(events);
    let Some(Ok(WatchEvent::Added(object))) = events.next().await else { panic!("an event") };
    assert_eq!(object["metadata"]["name"], "x");
    reader.request::<Value>(get("/ready")).await.unwrap();
    // From here on time moves when nothing else does.
    tokio::time::pause();
    let begun = Instant::now();
    let error = reader.request::<Value>(get("/things")).await.unwrap_err();
    let kube::Error::Service(error) = &error else { panic!("{error:?}") };
    assert_eq!(error.to_string(), "the API server gave no answer within 30 s");
    assert!(begun.elapsed() >= Duration::from_secs(30));
    assert!(timeout(Duration::from_mins(5), events.next()).await.is_err(), "the watch is as it was");
}
