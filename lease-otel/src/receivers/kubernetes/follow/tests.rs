//! On a server that breaks off, forgets and refuses.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::*;
use crate::receivers::testing::{Server, refusal};

fn pod(name: &str, version: u32) -> Json {
    json!({"metadata": {"name": name, "uid": name, "resourceVersion": version.to_string()}})
}

fn page(items: &[Json], version: u32, next: &str) -> (u16, Json) {
    let metadata = json!({"resourceVersion": version.to_string(), "continue": next});
    (200, json!({"kind": "PodList", "apiVersion": "v1", "metadata": metadata, "items": items}))
}

fn event(kind: &str, object: &Json) -> Json {
    json!({"type": kind, "object": object})
}

/// The changes of pods, and where the last of them is waited for.
fn follow(server: &Arc<Server>, begin: Begin) -> BoxStream<'static, Change> {
    let resource =
        Resource { group: String::new(), version: "v1".to_owned(), plural: "pods".to_owned(), namespace: None };
    Follow::new("x".parse().unwrap(), server.client(), resource, Selectors::default(), begin).changes().boxed()
}

/// So many changes, each with the name and the version of its object.
async fn told(changes: &mut BoxStream<'static, Change>, count: usize) -> Vec<String> {
    let mut told = Vec::new();
    while told.len() < count {
        let next = timeout(Duration::from_hours(1), changes.next()).await;
        let Change { kind, object } = next.unwrap_or_else(|_| panic!("no more than {told:?}")).unwrap();
        let of = |key: &str| object["metadata"][key].as_str().unwrap().to_owned();
        told.push(format!("{kind} {} {}", of("name"), of("resourceVersion")));
    }
    told
}

#[tokio::test(start_paused = true)]
async fn a_list_that_breaks_off_is_begun_again_and_nothing_is_told_twice() {
    for code in [500, 410] {
        let lists = AtomicUsize::new(0);
        let server = Server::new(move |_, query| match query {
            query if query.contains("watch=") => (200, json!([event("ADDED", &pod("d", 9))])),
            query if !query.contains("continue=") => match lists.fetch_add(1, Ordering::SeqCst) {
                0 => page(&[pod("a", 1), pod("b", 2)], 4, "more"),
                _ => page(&[pod("a", 1), pod("b", 6)], 8, "more"),
            },
            _ if lists.load(Ordering::SeqCst) == 1 => refusal(code),
            _ => page(&[pod("c", 3)], 8, ""),
        });
        let mut changes = follow(&server, Begin::All);
        let expected = ["ADDED a 1", "ADDED b 2", "MODIFIED b 6", "ADDED c 3", "ADDED d 9"];
        assert_eq!(told(&mut changes, 5).await, expected, "after {code}");
        assert_eq!(server.asked("resourceVersion=8").len(), 1, "the watch begins where the whole list was");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_has_always_forgotten_is_asked_less_and_less_often() {
    let server = Server::new(|_, query| if query.contains("watch=") { refusal(410) } else { page(&[], 4, "") });
    let mut changes = follow(&server, Begin::Now);
    tokio::select! {
        _ = changes.next() => panic!("nothing changes"),
        () = server.until_asked("watch=", 8) => {}
    }
    let asked = server.asked("watch=");
    let pauses: Vec<Duration> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses.iter().all(|pause| *pause >= Duration::from_millis(500)), "{pauses:?}");
    assert!(pauses[6] > pauses[0], "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn what_was_missed_when_the_server_forgot_is_told_from_a_list() {
    let watches = AtomicUsize::new(0);
    let server = Server::new(move |_, query| match query {
        query if !query.contains("watch=") => page(&[pod("a", 12), pod("b", 15), pod("old", 3)], 20, ""),
        _ => match watches.fetch_add(1, Ordering::SeqCst) {
            0 => (200, json!([event("MODIFIED", &pod("a", 12)), event("ERROR", &refusal(410).1)])),
            _ => (200, json!([event("DELETED", &pod("a", 21))])),
        },
    });
    let mut changes = follow(&server, Begin::After("10".to_owned()));
    assert_eq!(told(&mut changes, 3).await, ["MODIFIED a 12", "ADDED b 15", "DELETED a 21"]);
}

#[tokio::test(start_paused = true)]
async fn a_configured_version_that_is_forgotten_tells_only_what_changes() {
    let watches = AtomicUsize::new(0);
    let server = Server::new(move |_, query| match query {
        query if !query.contains("watch=") => page(&[pod("old", 13)], 20, "more"),
        _ => match watches.fetch_add(1, Ordering::SeqCst) {
            0 => refusal(410),
            _ => (200, json!([event("ADDED", &pod("new", 21))])),
        },
    });
    let mut changes = follow(&server, Begin::After("1".to_owned()));
    assert_eq!(told(&mut changes, 1).await, ["ADDED new 21"]);
    assert_eq!(server.asked("continue=").len(), 0, "one page tells where to begin");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_away_is_waited_for() {
    let lists = AtomicUsize::new(0);
    let server = Server::new(move |_, query| match query {
        query if query.contains("watch=") => (200, json!([event("ADDED", &pod("a", 5))])),
        _ if lists.fetch_add(1, Ordering::SeqCst) < 20 => refusal(503),
        _ => page(&[pod("old", 1)], 4, ""),
    });
    let mut changes = follow(&server, Begin::Now);
    assert_eq!(told(&mut changes, 1).await, ["ADDED a 5"]);
}
