//! On a server that is away, refuses, and has not what is wanted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value as Json, json};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, timeout};

use super::*;
use crate::component::Work;
use crate::data::Batch;
use crate::receivers::testing::{Server, refusal, scope, section};
use crate::test_kit::Logs;

/// Its work on this server, and what it hands over.
fn start(server: &Arc<Server>, config: &Json) -> (Work, UnboundedReceiver<Batch>) {
    let (configured, problems) = section(config, Configured::<Config>::read);
    assert!(problems.errors.is_empty(), "{problems:?}");
    let (scope, batches, _) = scope(Signal::Logs);
    (configured.work(server.client(), scope), batches)
}

/// What the server answers to who asks what it has. None for any other request.
fn served(path: &str) -> Option<(u16, Json)> {
    let group = json!({"name": "apps", "versions": [{"groupVersion": "apps/v1", "version": "v1"}]});
    Some(match path {
        "/apis" => (200, json!({"groups": [group]})),
        "/api/v1" => (200, json!({"resources": [{"name": "pods"}]})),
        "/apis/apps/v1" => (200, json!({"resources": [{"name": "deployments"}]})),
        _ => return None,
    })
}

fn page(names: &[&str], next: &str) -> (u16, Json) {
    let items: Vec<Json> =
        names.iter().map(|name| json!({"metadata": {"name": name, "uid": name, "resourceVersion": "1"}})).collect();
    (200, json!({"kind": "PodList", "apiVersion": "v1", "metadata": {"continue": next}, "items": items}))
}

/// The names of the objects in the next batch.
async fn next(batches: &mut UnboundedReceiver<Batch>) -> Vec<String> {
    let batch = timeout(Duration::from_hours(10), batches.recv()).await.expect("a batch comes").unwrap();
    let Telemetry::Logs(resources) = batch.telemetry else { panic!("logs") };
    let records = resources.iter().flat_map(|resource| &resource.scope_logs).flat_map(|scope| &scope.log_records);
    let name = |body: &Json| {
        let pairs = body["kvlistValue"]["values"].as_array().unwrap();
        let metadata = pairs.iter().find(|pair| pair["key"] == "metadata").unwrap();
        let pairs = metadata["value"]["kvlistValue"]["values"].as_array().unwrap();
        let name = pairs.iter().find(|pair| pair["key"] == "name").unwrap();
        name["value"]["stringValue"].as_str().unwrap().to_owned()
    };
    records.map(|record| name(&serde_json::to_value(&record.body).unwrap())).collect()
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_away_at_first_is_waited_for() {
    let asked = AtomicUsize::new(0);
    let server = Server::new(move |path, _| match served(path) {
        Some(_) if asked.fetch_add(1, Ordering::SeqCst) < 5 => refusal(503),
        Some(answer) => answer,
        None => page(&["a"], ""),
    });
    let (work, mut batches) = start(&server, &json!({"objects": [{"name": "pods"}]}));
    let work = tokio::spawn(work);
    assert_eq!(next(&mut batches).await, ["a"]);
    let asked = server.asked("/apis");
    assert!(asked[1] - asked[0] >= Duration::from_millis(500), "{asked:?}");
    work.abort();
}

#[tokio::test(start_paused = true)]
async fn what_is_found_is_read_while_the_rest_is_waited_for() {
    let asked = AtomicUsize::new(0);
    let server = Server::new(move |path, _| match path {
        "/apis/apps/v1" if asked.fetch_add(1, Ordering::SeqCst) < 3 => refusal(503),
        "/apis/apps/v1/deployments" => page(&["web"], ""),
        _ => served(path).unwrap_or_else(|| page(&["a"], "")),
    });
    let (work, mut batches) = start(&server, &json!({"objects": [{"name": "deployments"}, {"name": "pods"}]}));
    let work = tokio::spawn(work);
    assert_eq!(next(&mut batches).await, ["a"]);
    assert_eq!(next(&mut batches).await, ["web"]);
    work.abort();
}

#[tokio::test(start_paused = true)]
async fn what_the_server_has_not_ends_the_work_with_the_way_out() {
    let server = Server::new(|path, _| served(path).unwrap_or_else(|| page(&["a"], "")));
    for (objects, says) in [
        (
            json!([{"name": "widgets"}, {"name": "pods"}]),
            "the server has no resource `widgets`; `kubectl api-resources`",
        ),
        (
            json!([{"name": "deployments", "group": "app"}]),
            "no resource `deployments` in the group `app`; it has one in the group `apps`",
        ),
    ] {
        let (logs, _guard) = Logs::keep();
        let (work, _batches) = start(&server, &json!({"objects": objects}));
        timeout(Duration::from_mins(1), work).await.expect("it ends by itself");
        assert!(logs.text().contains(says), "{}", logs.text());
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_server_has_not_may_be_ignored_unless_it_is_all() {
    let server = Server::new(|path, _| served(path).unwrap_or_else(|| page(&["a"], "")));
    let some = json!({"error_mode": "ignore", "objects": [{"name": "widgets"}, {"name": "pods"}]});
    let (work, mut batches) = start(&server, &some);
    let work = tokio::spawn(work);
    assert_eq!(next(&mut batches).await, ["a"]);
    work.abort();
    let (logs, _guard) = Logs::keep();
    let (work, _batches) = start(&server, &json!({"error_mode": "silent", "objects": [{"name": "widgets"}]}));
    timeout(Duration::from_mins(1), work).await.expect("it ends by itself");
    assert!(logs.text().contains("none of the objects"), "{}", logs.text());
}

#[tokio::test(start_paused = true)]
async fn a_read_that_breaks_off_goes_on_before_the_next_interval_and_sends_nothing_twice() {
    let broken = AtomicUsize::new(0);
    let server = Server::new(move |path, query| match served(path) {
        Some(answer) => answer,
        None if !query.contains("continue=") => page(&["a"], "more"),
        None if broken.fetch_add(1, Ordering::SeqCst) < 2 => refusal(500),
        None => page(&["b"], ""),
    });
    let (work, mut batches) = start(&server, &json!({"objects": [{"name": "pods", "interval": "1h"}]}));
    let began = Instant::now();
    let work = tokio::spawn(work);
    assert_eq!(next(&mut batches).await, ["a"]);
    assert_eq!(next(&mut batches).await, ["b"]);
    assert!(began.elapsed() < Duration::from_mins(1), "{:?}", began.elapsed());
    assert_eq!(next(&mut batches).await, ["a"], "the next round sends all of them");
    assert!(began.elapsed() >= Duration::from_hours(1), "{:?}", began.elapsed());
    work.abort();
}
