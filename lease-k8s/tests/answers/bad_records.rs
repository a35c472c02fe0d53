//! Records that a Lease may hold although none of ours wrote them.

use std::sync::Arc;
use std::time::Duration;

use lease_core::{
    HandoverRequest, HolderIdentity, LeaseRecord, LockError, LockErrorKind, ResourceLock, TermMark, Versioned,
};
use serde_json::{Value, json};

use super::scripted::{Scripted, ok};
use super::{lease, lock, record};

async fn get(object: Value) -> Result<Versioned, LockError> {
    let server = Scripted::start(move |_| ok(&object)).await;
    lock(&server).get().await.map(|found| found.expect("there is one"))
}

async fn get_with_spec(key: &str, value: Value) -> Result<LeaseRecord, LockError> {
    let mut object = lease("7");
    object["spec"][key] = value;
    get(object).await.map(|found| found.record)
}

#[tokio::test]
async fn what_client_go_takes_is_taken() {
    let read = |key, value| async move { get_with_spec(key, value).await.unwrap() };
    assert_eq!(read("holderIdentity", json!("")).await.holder, None);
    assert_eq!(read("holderIdentity", Value::Null).await.holder, None);
    assert_eq!(read("holderIdentity", json!("x".repeat(300))).await.holder.unwrap().as_str().len(), 300);
    assert_eq!(read("holderIdentity", json!("a\u{1b}[31m")).await.holder.unwrap().to_string(), "a\\u{1b}[31m");
    assert_eq!(read("leaseDurationSeconds", Value::Null).await.lease_duration, Duration::ZERO);
    assert_eq!(read("leaseDurationSeconds", json!(0)).await.lease_duration, Duration::ZERO);
    assert_eq!(read("leaseDurationSeconds", json!(-1)).await.lease_duration, Duration::ZERO);
    assert_eq!(read("leaseDurationSeconds", json!(i32::MAX)).await.lease_duration.as_secs(), 2_147_483_647);
    assert_eq!(read("leaseTransitions", json!(-5)).await.transitions, 0);
    assert_eq!(read("leaseTransitions", json!(i32::MAX)).await.transitions, LeaseRecord::TRANSITIONS_MAX);
    assert_eq!(read("renewTime", Value::Null).await.renew_time, None);
    assert_eq!(
        read("strategy", json!("OldestEmulationVersion")).await.strategy.as_deref(),
        Some("OldestEmulationVersion")
    );
    for time in [
        "0001-01-01T00:00:00.000000Z",
        "9999-12-30T21:59:59.000000Z",
        "2023-11-14T22:13:21Z",
        "2023-11-14T23:13:21.5+01:00",
    ] {
        assert!(read("renewTime", json!(time)).await.renew_time.is_some(), "{time}");
    }
    let mut empty = lease("7");
    empty["spec"] = Value::Null;
    assert_eq!(get(empty).await.unwrap().record, LeaseRecord::default());
}

#[tokio::test]
async fn what_cannot_be_understood_is_malformed_and_has_its_version() {
    let bad = [
        ("holderIdentity", json!(7)),
        ("leaseDurationSeconds", json!("15")),
        ("leaseDurationSeconds", json!(1.5)),
        ("leaseDurationSeconds", json!(2_147_483_648_u64)),
        ("leaseTransitions", json!(4_294_967_296_u64)),
        ("renewTime", json!("")),
        ("renewTime", json!("yesterday")),
        ("renewTime", json!(1_700_000_000)),
        ("acquireTime", json!("2023-13-14T22:13:20.000000Z")),
    ];
    for (key, value) in bad {
        let error = get_with_spec(key, value.clone()).await.unwrap_err();
        assert_eq!(error.kind(), LockErrorKind::Malformed, "{key} {value}");
        assert!(error.to_string().contains(key), "{error}");
        assert_eq!(error.unreadable().unwrap().version.as_str(), "7");
    }
}

#[tokio::test]
async fn a_malformed_lease_can_be_overwritten_by_its_version() {
    let mut bad = lease("7");
    bad["spec"]["renewTime"] = "yesterday".into();
    let error = get(bad).await.unwrap_err();
    let server = Scripted::start(|_| ok(&lease("8"))).await;
    lock(&server).update(error.unreadable().unwrap(), &record()).await.unwrap();
    let body: Value = serde_json::from_str(&server.seen()[0].body).unwrap();
    assert_eq!((&body["metadata"]["uid"], &body["spec"]), (&json!("u-1"), &lease("7")["spec"]));
}

#[tokio::test]
async fn what_has_no_version_or_uid_is_no_lease() {
    for (key, value) in [("resourceVersion", Value::Null), ("resourceVersion", json!(7)), ("uid", json!(""))] {
        let mut object = lease("7");
        object["metadata"][key] = value;
        let error = get(object).await.unwrap_err();
        assert_eq!(error.kind(), LockErrorKind::Unavailable, "{error}");
    }
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let server = Scripted::start(move |_| ok(&deep)).await;
    assert_eq!(lock(&server).get().await.unwrap_err().kind(), LockErrorKind::Unavailable);
}

#[tokio::test]
async fn a_version_that_is_no_number_gives_no_token() {
    let rows = [
        ("1", Some(1)),
        ("340282366920938463463374607431768211455", Some(u128::MAX)),
        ("340282366920938463463374607431768211456", None),
        ("0", None),
        ("007", None),
        ("+7", None),
        ("-7", None),
        ("7a", None),
        (" 7", None),
    ];
    for (version, revision) in rows {
        assert_eq!(get(lease(version)).await.unwrap().revision, revision, "{version}");
    }
}

#[tokio::test]
async fn unknown_and_foreign_fields_survive_an_update() {
    let mut object = lease("7");
    object["metadata"]["labels"] = json!({"team": "x"});
    object["metadata"]["annotations"] = json!({"example.com/note": "keep", "lease-election.internal/epoch": "4"});
    object["metadata"]["ownerReferences"] = json!([{"kind": "Pod", "name": "p", "uid": "9", "apiVersion": "v1"}]);
    object["metadata"]["finalizers"] = json!(["example.com/f"]);
    object["metadata"]["future"] = json!({"deep": [1, 2.50, null]});
    object["spec"]["preferredHolder"] = json!("b");
    object["spec"]["strategy"] = json!("OldestEmulationVersion");
    object["spec"]["future"] = json!([1]);
    object["future"] = json!("top");
    let text = object.to_string().replace("2.5", "2.50");
    let server = Scripted::start(move |_| ok(&text)).await;
    let lock = lock(&server);
    let seen = lock.get().await.unwrap().unwrap();
    lock.update(&seen, &seen.record).await.unwrap();
    let sent: Value = serde_json::from_str(&server.seen()[1].body).unwrap();
    for (pointer, value) in [
        ("/metadata/labels", json!({"team": "x"})),
        ("/metadata/annotations", json!({"example.com/note": "keep", "lease-election.internal/epoch": "4"})),
        ("/metadata/finalizers", json!(["example.com/f"])),
        ("/metadata/future", json!({"deep": [1, 2.50, null]})),
        ("/metadata/creationTimestamp", json!("2023-11-14T22:13:20Z")),
        ("/spec/preferredHolder", json!("b")),
        ("/spec/strategy", json!("OldestEmulationVersion")),
        ("/spec/future", json!([1])),
        ("/future", json!("top")),
    ] {
        assert_eq!(sent.pointer(pointer), Some(&value), "{pointer}");
    }
    assert!(server.seen()[1].body.contains("[1,2.50,null]"), "numbers keep their very text");
}

#[tokio::test]
async fn our_own_fields_travel_as_annotations() {
    let identity = HolderIdentity::exact("ns/pod").unwrap();
    let request = HandoverRequest {
        holder: identity.clone(),
        acquire_time: record().acquire_time.unwrap(),
        successor: Some("b".into()),
        draining: true,
    };
    let full = LeaseRecord {
        holder: None,
        lease_duration: Duration::from_secs(1),
        epoch: 4,
        acquired: Some(TermMark { identity: identity.clone(), transitions: 3 }),
        released: Some(TermMark { identity, transitions: 3 }),
        successor: Some("c".into()),
        request: Some(Arc::new(request)),
        ..record()
    };
    // A server that stores what it is sent.
    let server = Scripted::start(|request| {
        let mut object: Value = serde_json::from_str(&request.body).unwrap();
        object["metadata"]["uid"] = "u-1".into();
        object["metadata"]["resourceVersion"] = "8".into();
        ok(&object)
    })
    .await;
    let lock = lock(&server);
    let stored = lock.create(&full).await.unwrap();
    assert_eq!(stored.record, full);
    let sent: Value = serde_json::from_str(&server.seen()[0].body).unwrap();
    assert_eq!(sent["spec"]["holderIdentity"], "", "as client-go releases");
    assert_eq!(sent["metadata"]["annotations"]["lease-election.internal/released"], "ns/pod/3");
    let cleared = LeaseRecord { epoch: 0, acquired: None, released: None, successor: None, request: None, ..full };
    assert_eq!(lock.update(&stored, &cleared).await.unwrap().record, cleared);
}

#[tokio::test]
async fn annotations_of_ours_that_make_no_sense_are_void_except_the_epoch() {
    let with = |name: &str, text: &str| {
        let mut object = lease("7");
        object["metadata"]["annotations"] = json!({format!("lease-election.internal/{name}"): text});
        object
    };
    for (name, text) in [
        ("acquired", "nobody"),
        ("released", "/3"),
        ("released", "a/-1"),
        ("successor", ""),
        ("handover", "{"),
        ("handover", "{\"holder\":7}"),
    ] {
        assert_eq!(get(with(name, text)).await.unwrap().record, record(), "{name} {text}");
    }
    for text in ["", "-1", "4294967296", "x"] {
        assert_eq!(get(with("epoch", text)).await.unwrap_err().kind(), LockErrorKind::Malformed, "{text:?}");
    }
}
