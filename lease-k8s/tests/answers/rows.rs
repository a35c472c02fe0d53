//! The table of answers, one test a row.

use std::time::Duration;

use lease_core::{LockError, LockErrorKind, ResourceLock, Timing, Versioned};
use lease_k8s::{K8sLock, MissingNamespace, MissingRule};
use serde_json::Value;
use tokio::net::{TcpSocket, TcpStream};

use super::scripted::{Reply, Scripted, ok, status};
use super::{client, lease, lock, record};

#[derive(Clone, Copy, Debug)]
enum Op {
    Get,
    Create,
    Update,
    Delete,
}
use Op::{Create, Delete, Get, Update};

/// A version of the Lease to build a write on, read from a server of its own.
async fn seen() -> Versioned {
    let server = Scripted::start(|_| ok(&lease("7"))).await;
    lock(&server).get().await.unwrap().unwrap()
}

async fn run(lock: &K8sLock, op: Op) -> Result<Option<Versioned>, LockError> {
    match op {
        Get => lock.get().await,
        Create => lock.create(&record()).await.map(Some),
        Update => lock.update(&seen().await, &record()).await.map(Some),
        Delete => lock.delete(&seen().await).await.map(|()| None),
    }
}

/// The error of an operation that is answered so.
async fn error(op: Op, reply: impl Fn() -> Reply + Send + Sync + 'static) -> LockError {
    let server = Scripted::start(move |_| reply()).await;
    let error = run(&lock(&server), op).await.expect_err("this answer is no success");
    assert_eq!(server.seen().len(), 1, "nothing is repeated");
    error
}

async fn kind(op: Op, reply: impl Fn() -> Reply + Send + Sync + 'static) -> LockErrorKind {
    error(op, reply).await.kind()
}

#[tokio::test]
async fn a_get_reads_the_record_its_version_and_its_revision() {
    let server = Scripted::start(|_| ok(&lease("4711"))).await;
    let found = lock(&server).get().await.unwrap().unwrap();
    assert_eq!((&found.record, found.version.as_str(), found.revision), (&record(), "4711", Some(4711)));
    assert_eq!(server.seen()[0].line, "GET /apis/coordination.k8s.io/v1/namespaces/default/leases/foo");
}

#[tokio::test]
async fn a_create_is_a_put_on_the_name_without_a_version() {
    let server = Scripted::start(|_| Reply::Whole(201, "", lease("8").to_string())).await;
    let created = lock(&server).create(&record()).await.unwrap();
    assert_eq!(created.revision, Some(8));
    let request = server.seen().remove(0);
    assert_eq!(request.line, "PUT /apis/coordination.k8s.io/v1/namespaces/default/leases/foo");
    let body: Value = serde_json::from_str(&request.body).unwrap();
    assert_eq!(body["metadata"]["name"], "foo");
    assert!(body["metadata"].get("resourceVersion").is_none() && body["metadata"].get("uid").is_none());
}

#[tokio::test]
async fn an_update_carries_uid_and_version_and_no_managed_fields() {
    let server = Scripted::start(|_| ok(&lease("8"))).await;
    lock(&server).update(&seen().await, &record()).await.unwrap();
    let body: Value = serde_json::from_str(&server.seen()[0].body).unwrap();
    assert_eq!((&body["metadata"]["uid"], &body["metadata"]["resourceVersion"]), (&"u-1".into(), &"7".into()));
    assert!(body["metadata"].get("managedFields").is_none());
    assert_eq!(body["spec"], lease("7")["spec"]);
}

#[tokio::test]
async fn a_404_for_the_lease_is_none_or_not_found() {
    let reply = || status(404, "NotFound", "leases", "leases.coordination.k8s.io \"foo\" not found");
    let server = Scripted::start(move |_| reply()).await;
    assert_eq!(lock(&server).get().await.unwrap(), None);
    assert_eq!(kind(Update, reply).await, LockErrorKind::NotFound);
    assert_eq!(kind(Delete, reply).await, LockErrorKind::NotFound);
}

#[tokio::test]
async fn a_404_for_the_namespace_is_denied() {
    let error = error(Create, || status(404, "NotFound", "namespaces", "namespaces \"default\" not found")).await;
    assert_eq!(error.kind(), LockErrorKind::Denied);
    let said = "create of lease default/foo: namespace default does not exist; create it, or name another";
    assert_eq!(error.to_string(), said);
    assert_eq!(&*MissingNamespace::of(&error).unwrap().namespace, "default");
    assert_eq!(MissingRule::of(&error), None);
}

#[tokio::test]
async fn a_404_for_an_unknown_path_is_denied() {
    assert_eq!(kind(Get, || Reply::Whole(404, "", "404 page not found\n".to_owned())).await, LockErrorKind::Denied);
    let message = "the server could not find the requested resource";
    assert_eq!(kind(Get, move || status(404, "NotFound", "", message)).await, LockErrorKind::Denied);
}

#[tokio::test]
async fn a_409_because_it_exists_is_a_conflict() {
    assert_eq!(kind(Create, || status(409, "AlreadyExists", "leases", "exists")).await, LockErrorKind::Conflict);
}

#[tokio::test]
async fn a_409_for_another_version_is_a_conflict() {
    let reply = || status(409, "Conflict", "leases", "the object has been modified");
    assert_eq!(kind(Update, reply).await, LockErrorKind::Conflict);
    assert_eq!(kind(Delete, reply).await, LockErrorKind::Conflict);
}

#[tokio::test]
async fn a_409_for_another_uid_is_a_conflict() {
    let message = "StorageError: invalid object, Code: 4, AdditionalErrorMsg: Precondition failed: UID in precondition";
    assert_eq!(kind(Update, move || status(409, "Conflict", "leases", message)).await, LockErrorKind::Conflict);
}

#[tokio::test]
async fn a_422_for_a_create_without_a_version_is_a_conflict() {
    let message = "metadata.resourceVersion: Invalid value: 0: must be specified for an update";
    assert_eq!(kind(Create, move || status(422, "Invalid", "leases", message)).await, LockErrorKind::Conflict);
}

#[tokio::test]
async fn any_other_422_is_denied() {
    let message = "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0";
    assert_eq!(kind(Create, move || status(422, "Invalid", "leases", message)).await, LockErrorKind::Denied);
    assert_eq!(kind(Update, move || status(422, "Invalid", "leases", message)).await, LockErrorKind::Denied);
}

#[tokio::test]
async fn a_400_is_denied() {
    let reply = || status(400, "BadRequest", "", "cannot be handled as a Lease: parsing time");
    assert_eq!(kind(Update, reply).await, LockErrorKind::Denied);
}

#[tokio::test]
async fn a_401_is_denied() {
    let server = Scripted::start(|_| status(401, "Unauthorized", "", "Unauthorized")).await;
    assert_eq!(run(&lock(&server), Update).await.unwrap_err().kind(), LockErrorKind::Denied);
}

#[tokio::test]
async fn a_403_is_denied_and_names_the_missing_rule() {
    let forbidden = |verb: &str| {
        format!(
            "leases.coordination.k8s.io \"foo\" is forbidden: User \"u\" cannot {verb} resource \"leases\" in API group \
             \"coordination.k8s.io\" in the namespace \"default\""
        )
    };
    for (op, verb) in [(Get, "get"), (Create, "update"), (Create, "create"), (Update, "update"), (Delete, "delete")] {
        let error = error(op, move || status(403, "Forbidden", "leases", &forbidden(verb))).await;
        assert_eq!(error.kind(), LockErrorKind::Denied);
        let rule = MissingRule::of(&error).expect("the message names a verb");
        assert_eq!((rule.verb, rule.name.as_deref(), rule.namespace.as_deref()), (verb, Some("foo"), Some("default")));
    }
    let error = error(Get, move || status(403, "Forbidden", "leases", &forbidden("get"))).await;
    assert_eq!(
        MissingRule::of(&error).unwrap().to_string(),
        "{apiGroups: [coordination.k8s.io], resources: [leases], resourceNames: [foo], verbs: [get]}"
    );
}

#[tokio::test]
async fn a_403_for_another_reason_names_no_rule() {
    let error = error(Create, || status(403, "Forbidden", "leases", "exceeded quota: leases")).await;
    assert_eq!((error.kind(), MissingRule::of(&error)), (LockErrorKind::Denied, None));
}

#[tokio::test]
async fn a_429_is_unavailable_for_as_long_as_it_says() {
    for op in [Get, Create, Update, Delete] {
        let error = error(op, || Reply::Whole(429, "retry-after: 17\r\n", "Too many requests".to_owned())).await;
        assert_eq!(error.kind(), LockErrorKind::Unavailable);
        assert_eq!(error.retry_after(), Some(Duration::from_secs(17)));
    }
    let error = error(Get, || Reply::Whole(429, "retry-after: soon\r\n", String::new())).await;
    assert_eq!(error.retry_after(), None);
}

#[tokio::test]
async fn a_5xx_leaves_a_write_open_and_a_read_undone() {
    for code in [408, 500, 502, 503, 504] {
        let reply = move || status(code, "Timeout", "leases", "the server was unable to return a response in time");
        assert_eq!(kind(Get, reply).await, LockErrorKind::Unavailable, "{code}");
        for op in [Create, Update, Delete] {
            assert_eq!(kind(op, reply).await, LockErrorKind::Unknown, "{code} {op:?}");
        }
    }
}

#[tokio::test]
async fn a_redirect_is_denied_and_not_followed() {
    let reply = || Reply::Whole(302, "location: http://127.0.0.1:1/login?token=canary\r\n", String::new());
    let error = error(Get, reply).await;
    assert_eq!(error.kind(), LockErrorKind::Denied);
    assert!(!format!("{error} {error:?}").contains("canary"));
}

#[tokio::test]
async fn a_refused_connection_is_unavailable() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let lock = client(&url).lock("default", "foo").unwrap();
    for op in [Get, Create, Update, Delete] {
        let error = run(&lock, op).await.unwrap_err();
        assert_eq!(error.kind(), LockErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains("Connection refused"), "{error}");
    }
}

/// An address that swallows packets, as that of a lost node does.
#[tokio::test]
async fn a_connection_that_hangs_is_unavailable_before_an_attempt_is_given_up() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let full = socket.listen(0).unwrap();
    let address = full.local_addr().unwrap();
    // Never accepted: the queue is full with it, and the system drops every further SYN.
    let _waiting = TcpStream::connect(address).await.unwrap();
    let lock = client(&format!("http://{address}")).lock("default", "foo").unwrap();
    let (seen, record) = (seen().await, record());
    let writes = async { tokio::join!(lock.create(&record), lock.update(&seen, &record), lock.delete(&seen)) };
    let (created, updated, deleted) =
        tokio::time::timeout(Timing::default().attempt_timeout(), writes).await.expect("the client gives up first");
    for error in [created.unwrap_err(), updated.unwrap_err(), deleted.unwrap_err()] {
        assert_eq!(error.kind(), LockErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains("no connection"), "{error}");
    }
}

#[tokio::test]
async fn an_unknown_host_is_unavailable() {
    let lock = client("http://no-such-host.invalid:1").lock("default", "foo").unwrap();
    assert_eq!(run(&lock, Create).await.unwrap_err().kind(), LockErrorKind::Unavailable);
}

#[tokio::test]
async fn a_failed_handshake_is_unavailable() {
    let server = Scripted::start(|_| Reply::Mute).await;
    let plain = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", plain.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = plain.accept().await {
            drop(stream);
        }
    });
    let lock = client(&url).lock("default", "foo").unwrap();
    assert_eq!(run(&lock, Create).await.unwrap_err().kind(), LockErrorKind::Unavailable);
    drop(server);
}

#[tokio::test]
async fn a_connection_lost_after_the_request_leaves_a_write_open() {
    for cut in ["", "HTTP/1.1 200 OK\r\ncontent-le", "HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{\"kind\":"] {
        let reply = move || Reply::Cut(cut.to_owned());
        assert_eq!(kind(Get, reply).await, LockErrorKind::Unavailable, "{cut:?}");
        for op in [Create, Update, Delete] {
            assert_eq!(kind(op, reply).await, LockErrorKind::Unknown, "{cut:?} {op:?}");
        }
    }
}

#[tokio::test]
async fn a_success_that_cannot_be_read_leaves_a_write_open_and_a_read_undone() {
    for body in ["", "[]", "{}", "<html>", "{\"metadata\":{\"name\":\"fo", "{\"metadata\":{\"uid\":\"u\"}}"] {
        assert_eq!(kind(Create, move || ok(body)).await, LockErrorKind::Unknown, "{body}");
        assert_eq!(kind(Update, move || ok(body)).await, LockErrorKind::Unknown, "{body}");
        let error = error(Get, move || ok(body)).await;
        assert_eq!(error.kind(), LockErrorKind::Unavailable, "{body}");
        assert!(error.to_string().starts_with("get of lease default/foo: unreadable answer: "), "{error}");
    }
}

#[tokio::test]
async fn a_dropped_request_abandons_its_connection() {
    let mut server = Scripted::start(|request| if request.index == 0 { Reply::Mute } else { ok(&lease("7")) }).await;
    let lock = lock(&server);
    let dropped = tokio::time::timeout(Duration::from_millis(200), lock.create(&record())).await;
    assert!(dropped.is_err());
    server.connections_closed(1).await;
    lock.get().await.unwrap();
    assert_eq!(server.seen()[1].connection, 1);
}

#[tokio::test]
async fn requests_share_one_connection() {
    let server = Scripted::start(|_| ok(&lease("7"))).await;
    let client = client(&server.url);
    for name in ["foo", "bar", "foo"] {
        client.lock("default", name).unwrap().get().await.unwrap();
    }
    assert!(server.seen().iter().all(|request| request.connection == 0));
}

#[tokio::test]
async fn a_version_of_another_kind_of_lock_is_a_conflict() {
    let server = Scripted::start(|_| ok(&lease("7"))).await;
    let mut seen = seen().await;
    seen.attachment = lease_core::Attachment::NONE;
    assert_eq!(lock(&server).update(&seen, &record()).await.unwrap_err().kind(), LockErrorKind::Conflict);
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn durations_that_a_lease_cannot_hold_are_denied_before_they_are_sent() {
    let server = Scripted::start(|_| ok(&lease("7"))).await;
    for millis in [0, 1, 999, 1500, 2_147_483_648_000] {
        let record = lease_core::LeaseRecord { lease_duration: Duration::from_millis(millis), ..record() };
        let error = lock(&server).create(&record).await.unwrap_err();
        assert!(error.kind() == LockErrorKind::Denied && error.to_string().contains("lease duration"), "{error}");
    }
    let record =
        lease_core::LeaseRecord { renew_time: Some(lease_core::Timestamp::from_unix_micros(i64::MAX)), ..record() };
    assert_eq!(lock(&server).create(&record).await.unwrap_err().kind(), LockErrorKind::Denied);
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn leases_are_listed_page_by_page_with_the_malformed_ones() {
    let server = Scripted::start(|request| {
        let last = request.line.contains("continue=a%2Bb%3D");
        let mut bad = lease("9");
        bad["spec"]["renewTime"] = "yesterday".into();
        let nameless = serde_json::json!({"metadata": {"resourceVersion": "9"}});
        let unversioned = serde_json::json!({"metadata": {"name": "bar", "namespace": "ns"}});
        let items = if last { vec![bad, unversioned, nameless, Value::Null] } else { vec![lease("7")] };
        ok(&serde_json::json!({"metadata": {"resourceVersion": "9", "continue": if last { "" } else { "a+b=" }}, "items": items}))
    })
    .await;
    let leases = client(&server.url).leases(None).await.unwrap();
    assert_eq!(leases.len(), 3);
    assert_eq!((leases[0].namespace.as_str(), leases[0].name.as_str()), ("default", "foo"));
    assert_eq!(leases[0].created.unwrap().to_string(), "2023-11-14T22:13:20.000000Z");
    assert_eq!(leases[0].lease.as_ref().unwrap().record, record());
    assert_eq!(leases[1].lease.as_ref().unwrap_err().kind(), LockErrorKind::Malformed);
    assert_eq!((leases[2].namespace.as_str(), leases[2].name.as_str()), ("ns", "bar"));
    let error = leases[2].lease.as_ref().unwrap_err();
    assert!(
        error.kind() == LockErrorKind::Unavailable && error.to_string().contains("list of lease ns/bar"),
        "{error}"
    );
    assert!(server.seen()[0].line.starts_with("GET /apis/coordination.k8s.io/v1/leases?limit="));
}
