//! What only a real server shows: rights, certificates, and being away.

use std::time::Duration;

use futures_util::StreamExt;
use lease_core::{HolderIdentity, LeaseRecord, LockErrorKind, ResourceLock, Timestamp, WatchEvent, WatchLock};
use lease_k8s::{Access, K8sClient, K8sLock, MissingRule};
use serde_json::json;
use tokio::time::timeout;

use super::{client, config, rules};

fn record(step: i64) -> LeaseRecord {
    LeaseRecord {
        holder: Some(HolderIdentity::exact("a").unwrap()),
        lease_duration: Duration::from_secs(4),
        renew_time: Some(Timestamp::from_unix_micros(1_700_000_000_000_000 + step)),
        ..LeaseRecord::default()
    }
}

/// A short name of the next event, which must come soon.
async fn next(watch: &mut (impl futures_util::Stream<Item = WatchEvent> + Unpin)) -> String {
    match timeout(Duration::from_secs(20), watch.next()).await.expect("an event comes").expect("a watch never ends") {
        WatchEvent::Ready => "ready".to_owned(),
        WatchEvent::Changed(seen) => format!("changed {}", seen.version),
        WatchEvent::Deleted => "deleted".to_owned(),
        WatchEvent::Lost(None) => "lost".to_owned(),
        WatchEvent::Lost(Some(error)) => format!("lost {}", error.kind()),
    }
}

#[tokio::test]
async fn get_update_and_create_on_one_name_suffice() {
    let Some(cluster) = testbed::cluster() else { return };
    let namespace = cluster.namespace("least-role");
    cluster.api().grant(&namespace, "user-1", &rules(&["get", "update", "create"], "mine"));
    let lock = client(cluster, "user-1").lock(&namespace, "mine").unwrap();
    assert_eq!(lock.get().await.unwrap(), None);
    let created = lock.create(&record(0)).await.unwrap();
    let renewed = lock.update(&created, &record(1)).await.unwrap();
    assert_eq!(lock.get().await.unwrap(), Some(renewed.clone()));

    let mut watch = lock.watch();
    let Some(WatchEvent::Lost(Some(error))) = watch.next().await else { panic!("there is no right to watch") };
    let rule = MissingRule::of(&error).unwrap();
    assert_eq!((error.kind(), rule.verb, rule.name.as_deref()), (LockErrorKind::Denied, "list", Some("mine")));
    let error = lock.delete(&renewed).await.unwrap_err();
    assert_eq!(MissingRule::of(&error).unwrap().verb, "delete");
    let other = client(cluster, "user-1").lock(&namespace, "other").unwrap();
    assert_eq!(MissingRule::of(&other.get().await.unwrap_err()).unwrap().verb, "get");
}

#[tokio::test]
async fn a_missing_right_to_create_is_told_from_one_to_update() {
    let Some(cluster) = testbed::cluster() else { return };
    let namespace = cluster.namespace("missing");
    let verb = async |user: &str, verbs: &[&str]| {
        cluster.api().grant(&namespace, user, &rules(verbs, "mine"));
        let error = client(cluster, user).lock(&namespace, "mine").unwrap().create(&record(0)).await.unwrap_err();
        assert_eq!(error.kind(), LockErrorKind::Denied, "{error}");
        MissingRule::of(&error).unwrap().verb
    };
    assert_eq!(verb("user-2", &["get", "create"]).await, "update");
    assert_eq!(verb("user-3", &["get", "update"]).await, "create");
}

#[tokio::test]
async fn with_list_and_watch_on_one_name_it_watches() {
    let Some(cluster) = testbed::cluster() else { return };
    let namespace = cluster.namespace("watch-role");
    cluster.api().grant(&namespace, "user-4", &rules(&["get", "update", "create", "list", "watch"], "mine"));
    let lock = client(cluster, "user-4").lock(&namespace, "mine").unwrap();
    let mut watch = lock.watch();
    assert_eq!((next(&mut watch).await, next(&mut watch).await), ("ready".into(), "deleted".into()));
    let created = lock.create(&record(0)).await.unwrap();
    assert_eq!(next(&mut watch).await, format!("changed {}", created.version));
    let lock = client(cluster, "admin").lock(&namespace, "mine").unwrap();
    lock.delete(&lock.get().await.unwrap().unwrap()).await.unwrap();
    assert_eq!(next(&mut watch).await, "deleted");
}

#[tokio::test]
async fn a_delete_spares_what_was_not_seen() {
    let Some(cluster) = testbed::cluster() else { return };
    let namespace = cluster.namespace("delete");
    let client = client(cluster, "admin");
    let lock = client.lock(&namespace, "mine").unwrap();
    let created = lock.create(&record(0)).await.unwrap();
    let renewed = lock.update(&created, &record(1)).await.unwrap();
    assert_eq!(lock.delete(&created).await.unwrap_err().kind(), LockErrorKind::Conflict);
    let leases = client.leases(Some(&namespace)).await.unwrap();
    assert_eq!((leases.len(), leases[0].name.as_str(), leases[0].created.is_some()), (1, "mine", true));
    assert_eq!(leases[0].lease.as_ref().unwrap(), &renewed);
    lock.delete(&renewed).await.unwrap();
    assert_eq!(lock.delete(&renewed).await.unwrap_err().kind(), LockErrorKind::NotFound);
    assert!(client.leases(None).await.unwrap().iter().all(|lease| lease.namespace != namespace));
}

#[tokio::test]
async fn what_a_lease_cannot_hold_or_where_is_denied() {
    let Some(cluster) = testbed::cluster() else { return };
    let absent = client(cluster, "admin").lock("absent", "mine").unwrap();
    assert_eq!(absent.get().await.unwrap(), None);
    let error = absent.create(&record(0)).await.unwrap_err();
    assert!(error.kind() == LockErrorKind::Denied && error.to_string().contains("namespace absent does not exist"));

    let mut config = config(cluster, &cluster.api().url(), "admin");
    config.auth_info.token = Some("canary-who".to_owned().into());
    let lock = K8sLock::from_config(config, "default", "mine").unwrap();
    let error = lock.get().await.unwrap_err();
    assert!(error.kind() == LockErrorKind::Denied && !format!("{error:?}").contains("canary"), "{error}");

    let nowhere = config_at(cluster, "/no/such/prefix");
    let error = K8sLock::from_config(nowhere, "default", "mine").unwrap().get().await.unwrap_err();
    assert_eq!(error.kind(), LockErrorKind::Denied, "{error}");
}

fn config_at(cluster: &testbed::Cluster, path: &str) -> kube::Config {
    config(cluster, &format!("{}{path}", cluster.api().url()), "admin")
}

#[tokio::test]
async fn a_certificate_that_does_not_fit_is_denied_and_nothing_is_sent() {
    let Some(cluster) = testbed::cluster() else { return };
    let mut another_name = config(cluster, &cluster.api().url(), "admin");
    another_name.tls_server_name = Some("elsewhere.example".to_owned());
    let mut no_ca = config(cluster, &cluster.api().url(), "admin");
    no_ca.root_cert = Some(Vec::new());
    for config in [another_name, no_ca] {
        let error = K8sLock::from_config(config, "default", "mine").unwrap().create(&record(0)).await.unwrap_err();
        assert_eq!(error.kind(), LockErrorKind::Denied, "{error}");
        assert!(error.to_string().contains("certificate"), "{error}");
    }
}

#[tokio::test]
async fn a_kubeconfig_leads_to_the_server() {
    let Some(cluster) = testbed::cluster() else { return };
    let namespace = cluster.namespace("kubeconfig");
    let client = K8sClient::connect(Access::kubeconfig(Some(cluster.api().kubeconfig("admin")))).await.unwrap();
    client.lock(&namespace, "mine").unwrap().create(&record(0)).await.unwrap();
    assert_eq!(client.to_string(), cluster.api().url());
}

#[tokio::test]
async fn foreign_edits_are_kept_and_our_marks_too() {
    let Some(cluster) = testbed::cluster() else { return };
    let namespace = cluster.namespace("foreign");
    let lock = client(cluster, "admin").lock(&namespace, "mine").unwrap();
    let mut held = record(0);
    held.epoch = 3;
    lock.create(&held).await.unwrap();
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/mine");
    cluster.api().admin("PATCH", &path, Some(&json!({"metadata": {"labels": {"team": "x"}}}))).ok();
    let seen = lock.get().await.unwrap().unwrap();
    assert_eq!(seen.record, held);
    lock.update(&seen, &LeaseRecord { epoch: 3, ..record(1) }).await.unwrap();
    let stored = cluster.api().lease(&namespace, "mine").unwrap();
    assert_eq!(stored["metadata"]["labels"], json!({"team": "x"}));
    assert_eq!(stored["metadata"]["annotations"], json!({"lease-election.internal/epoch": "3"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_away_is_found_again() {
    let Some(cluster) = testbed::Cluster::own() else { return };
    let lock = client(&cluster, "admin").lock("kube-system", "mine").unwrap();
    let created = lock.create(&record(0)).await.unwrap();
    let mut watch = lock.watch();
    assert_eq!(next(&mut watch).await, "ready");
    assert_eq!(next(&mut watch).await, format!("changed {}", created.version));

    cluster.api().stop();
    assert!(timeout(Duration::from_millis(300), lock.update(&created, &record(1))).await.is_err());
    cluster.api().resume();
    let found = lock.get().await.unwrap().unwrap();
    assert!(found.record == record(0) || found.record == record(1), "a dropped write was applied, or not");

    cluster.api().kill();
    let error = lock.update(&found, &record(2)).await.unwrap_err();
    assert!(matches!(error.kind(), LockErrorKind::Unavailable | LockErrorKind::Unknown), "{error}");
    let error = lock.update(&found, &record(2)).await.unwrap_err();
    assert_eq!(error.kind(), LockErrorKind::Unavailable, "{error}");
    while !next(&mut watch).await.starts_with("lost") {}

    cluster.api().restart().unwrap();
    lock.get().await.unwrap().unwrap();
    while next(&mut watch).await != "ready" {}
}
