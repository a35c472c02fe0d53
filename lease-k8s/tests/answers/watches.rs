//! The watch on a server that ends, breaks, mutes and refuses it.

use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{FutureExt, Stream, StreamExt};
use lease_core::{LockErrorKind, WatchEvent, WatchLock};
use serde_json::{Value, json};

use super::scripted::{Reply, Scripted, Seen, ok, status};
use super::{lease, lock};

fn listed(version: &str, items: &[Value]) -> Reply {
    ok(&json!({"kind": "LeaseList", "metadata": {"resourceVersion": version}, "items": items}))
}

fn line(kind: &str, object: &Value) -> String {
    format!("{}\n", json!({"type": kind, "object": object}))
}

fn is_watch(request: &Seen) -> bool {
    request.line.contains("watch=1")
}

/// An event in short: `ready`, `7`, `deleted`, `lost`, `lost denied`.
fn in_short(event: WatchEvent) -> String {
    match event {
        WatchEvent::Ready => "ready".to_owned(),
        WatchEvent::Changed(seen) => seen.version.to_string(),
        WatchEvent::Deleted => "deleted".to_owned(),
        WatchEvent::Lost(None) => "lost".to_owned(),
        WatchEvent::Lost(Some(error)) => format!("lost {}", error.kind()),
    }
}

async fn next(watch: &mut (impl Stream<Item = WatchEvent> + Unpin), count: usize) -> Vec<String> {
    tokio::time::timeout(Duration::from_secs(20), watch.take(count).map(in_short).collect())
        .await
        .expect("the events come")
}

async fn events(server: &Scripted, count: usize) -> Vec<String> {
    next(&mut lock(server).watch(), count).await
}

#[tokio::test]
async fn a_watch_tells_the_state_and_then_the_changes() {
    let server = Scripted::start(|request| {
        if !is_watch(request) {
            return listed("7", &[lease("5")]);
        }
        let mut other = lease("8");
        other["metadata"]["name"] = "bar".into();
        let mut malformed = lease("9");
        malformed["spec"]["renewTime"] = "yesterday".into();
        let lines = [
            line("MODIFIED", &lease("10")),
            line("MODIFIED", &other),
            line("MODIFIED", &malformed),
            line("BOOKMARK", &json!({"metadata": {"resourceVersion": "20"}})),
            line("DELETED", &lease("21")),
            line("ADDED", &lease("22")),
        ];
        Reply::Open(lines.concat())
    })
    .await;
    assert_eq!(events(&server, 5).await, ["ready", "5", "10", "deleted", "22"]);
    let watch = &server.seen()[1].line;
    assert!(server.seen()[0].line.ends_with("/leases?fieldSelector=metadata.name%3Dfoo"));
    for part in
        ["fieldSelector=metadata.name%3Dfoo", "resourceVersion=7", "allowWatchBookmarks=true", "timeoutSeconds=2"]
    {
        assert!(watch.contains(part), "{watch}");
    }
}

#[tokio::test]
async fn an_absent_lease_is_told_as_deleted() {
    let server = Scripted::start(|request| if is_watch(request) { Reply::Mute } else { listed("7", &[]) }).await;
    let lock = lock(&server);
    let first = tokio::time::timeout(Duration::from_millis(300), lock.watch().next()).await;
    assert!(first.is_err(), "the watch is not live before it is answered");
    let server =
        Scripted::start(|request| if is_watch(request) { Reply::Open(String::new()) } else { listed("7", &[]) });
    assert_eq!(events(&server.await, 2).await, ["ready", "deleted"]);
}

#[tokio::test]
async fn a_watch_that_ends_goes_on_from_the_last_version() {
    let server = Scripted::start(|request| match request.index {
        0 => listed("7", &[]),
        1 => ok(&(line("ADDED", &lease("8")) + &line("BOOKMARK", &json!({"metadata": {"resourceVersion": "30"}})))),
        _ => Reply::Open(line("MODIFIED", &lease("31"))),
    })
    .await;
    assert_eq!(events(&server, 6).await, ["ready", "deleted", "8", "lost", "ready", "31"]);
    assert!(server.seen()[2].line.contains("resourceVersion=30"));
}

#[tokio::test]
async fn a_watch_that_ends_without_a_word_is_listed_anew() {
    let server = Scripted::start(|request| match request.index {
        0 => listed("900", &[lease("7")]),
        1 => ok(""),
        2 => listed("8", &[lease("8")]),
        _ => Reply::Open(String::new()),
    })
    .await;
    assert_eq!(events(&server, 5).await, ["ready", "7", "lost", "ready", "8"]);
}

/// What the watch tells at once after a silence. The clock jumps; it does not stand still while requests are under way.
async fn after(seconds: u64, watch: &mut BoxStream<'static, WatchEvent>) -> Option<String> {
    assert!(watch.next().now_or_never().is_none(), "nothing is left to be told");
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
    watch.next().now_or_never().flatten().map(in_short)
}

#[tokio::test]
async fn a_watch_that_stays_silent_is_listed_anew_and_less_and_less_often() {
    let server = Scripted::start(|request| match request.index % 2 {
        0 => listed("900", &[lease("7")]),
        _ => Reply::Open(String::new()),
    })
    .await;
    let mut watch = lock(&server).watch();
    // Three lease durations, twice as long each time it was for nothing, and no longer than a watch can last.
    for (round, seconds) in [45, 90, 180, 330, 330].into_iter().enumerate() {
        assert_eq!(next(&mut watch, 2).await, ["ready", "7"]);
        assert_eq!(server.seen().len(), 2 * (round + 1), "a list and a watch");
        assert_eq!(after(seconds - 5, &mut watch).await, None, "{seconds}");
        assert_eq!(after(10, &mut watch).await.as_deref(), Some("lost"), "{seconds}");
    }
}

#[tokio::test]
async fn a_sign_of_life_ends_the_patience_with_silence() {
    let server = Scripted::start(|request| match request.index {
        0 | 2 => listed("900", &[lease("7")]),
        3 => Reply::Open(line("MODIFIED", &lease("901"))),
        _ => Reply::Open(String::new()),
    })
    .await;
    let mut watch = lock(&server).watch();
    assert_eq!(next(&mut watch, 2).await, ["ready", "7"]);
    assert_eq!(after(50, &mut watch).await.as_deref(), Some("lost"));
    assert_eq!(next(&mut watch, 3).await, ["ready", "7", "901"]);
    assert_eq!(after(50, &mut watch).await.as_deref(), Some("lost"));
}

#[tokio::test]
async fn a_forgotten_version_is_listed_anew() {
    let gone =
        json!({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version: 1 (2427)"});
    let server = Scripted::start(move |request| match request.index {
        0 => listed("1", &[lease("1")]),
        1 => ok(&line("ERROR", &gone)),
        2 => listed("2427", &[lease("2400")]),
        3 => status(410, "Expired", "", "too old resource version"),
        4 => listed("2500", &[lease("2450")]),
        _ => Reply::Open(String::new()),
    })
    .await;
    assert_eq!(events(&server, 5).await, ["ready", "1", "lost", "ready", "2450"]);
}

#[tokio::test]
async fn other_errors_and_cuts_are_told_with_their_reason() {
    let error = json!({"kind": "Status", "code": 500, "reason": "InternalError", "message": "etcd is away"});
    let server = Scripted::start(move |request| match request.index {
        0 => listed("1", &[lease("1")]),
        1 => ok(&line("ERROR", &error)),
        2 => listed("2", &[lease("2")]),
        3 => Reply::Cut("HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{\"type\":\"MODI".to_owned()),
        4 => listed("3", &[lease("3")]),
        _ => Reply::Open(String::new()),
    })
    .await;
    let told = events(&server, 8).await;
    assert_eq!(told, ["ready", "1", "lost unavailable", "ready", "2", "lost unavailable", "ready", "3"]);
}

#[tokio::test]
async fn a_missing_right_is_told_once_and_not_asked_for_again_soon() {
    let message = "User \"u\" cannot list resource \"leases\" in API group \"coordination.k8s.io\"";
    let server = Scripted::start(move |_| status(403, "Forbidden", "leases", message)).await;
    let mut watch = lock(&server).watch();
    let Some(WatchEvent::Lost(Some(error))) = watch.next().await else { panic!("the watch is refused") };
    assert_eq!(error.kind(), LockErrorKind::Denied);
    assert_eq!(lease_k8s::MissingRule::of(&error).unwrap().verb, "list");
    assert!(tokio::time::timeout(Duration::from_secs(3), watch.next()).await.is_err());
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn an_outage_is_told_once_and_retried_at_most_once_a_second() {
    let server = Scripted::start(|_| status(503, "ServiceUnavailable", "", "no")).await;
    let mut watch = lock(&server).watch();
    assert!(matches!(watch.next().await, Some(WatchEvent::Lost(Some(_)))));
    assert!(tokio::time::timeout(Duration::from_secs(3), watch.next()).await.is_err());
    assert!((2..=3).contains(&server.seen().len()), "{}", server.seen().len());
}

#[tokio::test]
async fn a_dropped_watch_closes_its_connection() {
    let mut server =
        Scripted::start(|request| if is_watch(request) { Reply::Open(String::new()) } else { listed("7", &[]) }).await;
    let mut watch = lock(&server).watch();
    assert!(matches!(watch.next().await, Some(WatchEvent::Ready)));
    drop(watch);
    server.connections_closed(1).await;
}
