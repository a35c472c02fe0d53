//! Credentials: where they come from, that they are renewed, and that nobody ever sees them.

use std::fs;
use std::path::PathBuf;

use kube::Config;
use lease_core::{LockErrorKind, ResourceLock};
use lease_k8s::{Access, AuthType, K8sClient, K8sError};
use tempfile::TempDir;

use super::lease;
use super::scripted::{Reply, Scripted, ok, status};

/// A server that takes one token only.
async fn taking(token: &'static str) -> Scripted {
    Scripted::start(move |request| {
        if request.head.contains(&format!("authorization: Bearer {token}")) {
            ok(&lease("7"))
        } else {
            status(401, "Unauthorized", "", "Unauthorized")
        }
    })
    .await
}

fn kubeconfig(directory: &TempDir, server: &str, user: &str) -> PathBuf {
    let path = directory.path().join("kubeconfig");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
         clusters: [{{name: k, cluster: {{server: \"{server}\"}}}}]\n\
         contexts: [{{name: c, context: {{cluster: k, user: u, namespace: ns}}}}, {{name: d, context: {{cluster: k}}}}]\n\
         users: [{{name: u, user: {user}}}]\n"
    );
    fs::write(&path, text).unwrap();
    path
}

/// A user whose plugin prints the file `credential`.
fn plugin(directory: &TempDir) -> String {
    let file = directory.path().join("credential");
    format!(
        "{{exec: {{apiVersion: client.authentication.k8s.io/v1, command: cat, args: [\"{}\"], interactiveMode: Never}}}}",
        file.display()
    )
}

fn credential(token: &str) -> String {
    let credential = serde_json::json!({
        "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
        "status": {"token": token, "expirationTimestamp": "2999-01-01T00:00:00Z"},
    });
    credential.to_string()
}

async fn by_kubeconfig(path: PathBuf) -> Result<K8sClient, K8sError> {
    K8sClient::connect(Access::kubeconfig(Some(path))).await
}

#[tokio::test]
async fn a_rotated_token_file_is_read_at_once_and_the_request_sent_once_more() {
    let (server, directory) = (taking("new").await, TempDir::new().unwrap());
    let file = directory.path().join("token");
    fs::write(&file, "old\n").unwrap();
    let mut config = Config::new(server.url.parse().unwrap());
    config.auth_info.token_file = Some(file.to_str().unwrap().to_owned());
    let lock = K8sClient::from_config(config).unwrap().lock("default", "foo").unwrap();

    let refused = lock.get().await.unwrap_err();
    assert_eq!((refused.kind(), server.seen().len()), (LockErrorKind::Denied, 1), "the same token is not tried twice");
    fs::write(&file, "new\n").unwrap();
    lock.get().await.unwrap();
    assert_eq!(server.seen().len(), 3);
    lock.get().await.unwrap();
    assert_eq!(server.seen().len(), 4, "the new token is kept");
    fs::remove_file(&file).unwrap();
    lock.get().await.unwrap();
}

#[tokio::test]
async fn a_kubeconfig_with_another_token_is_read_at_once() {
    let (server, directory) = (taking("new").await, TempDir::new().unwrap());
    let path = kubeconfig(&directory, &server.url, "{token: old}");
    let client = by_kubeconfig(path).await.unwrap();
    assert_eq!(client.default_namespace(), "ns");
    let lock = client.lock("default", "foo").unwrap();
    kubeconfig(&directory, &server.url, "{token: new}");
    lock.get().await.unwrap();
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_plugin_is_asked_again_after_a_401() {
    let (server, directory) = (taking("new").await, TempDir::new().unwrap());
    let file = directory.path().join("credential");
    fs::write(&file, credential("old")).unwrap();
    let path = kubeconfig(&directory, &server.url, &plugin(&directory));
    let lock = by_kubeconfig(path).await.unwrap().lock("default", "foo").unwrap();
    fs::write(&file, credential("new")).unwrap();
    lock.get().await.unwrap();
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_401_that_stays_is_denied_without_another_try_and_the_connection_kept() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("credential"), credential("old")).unwrap();
    for user in ["{token: old}", "{username: jane, password: old}", "{}", &plugin(&directory)] {
        let server = taking("never").await;
        let path = kubeconfig(&directory, &server.url, user);
        let lock = by_kubeconfig(path).await.unwrap().lock("default", "foo").unwrap();
        for requests in 1..=2 {
            assert_eq!(lock.get().await.unwrap_err().kind(), LockErrorKind::Denied);
            assert_eq!(server.seen().len(), requests, "{user}");
        }
        assert!(server.seen().iter().all(|request| request.connection == 0), "{user}");
    }
}

#[tokio::test]
async fn another_certificate_or_impersonation_is_tried_after_a_401() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("key"), CLIENT_KEY).unwrap();
    fs::write(directory.path().join("crt"), CLIENT_CERTIFICATE).unwrap();
    for user in ["{token: old, client-key: key, client-certificate: crt}", "{token: old, as: jane}"] {
        let server = taking("never").await;
        let path = kubeconfig(&directory, &server.url, "{token: old}");
        let lock = by_kubeconfig(path).await.unwrap().lock("default", "foo").unwrap();
        kubeconfig(&directory, &server.url, user);
        assert_eq!(lock.get().await.unwrap_err().kind(), LockErrorKind::Denied);
        assert_eq!(server.seen().len(), 2, "{user}");
    }
}

#[tokio::test]
async fn the_ways_to_authenticate_are_the_collectors() {
    for (text, auth_type) in
        [("serviceAccount", AuthType::ServiceAccount), ("kubeConfig", AuthType::KubeConfig), ("none", AuthType::None)]
    {
        assert_eq!(text.parse::<AuthType>().unwrap(), auth_type);
        assert_eq!(auth_type.to_string(), text);
    }
    assert_eq!(AuthType::default(), AuthType::ServiceAccount);
    let error = "tls".parse::<AuthType>().unwrap_err();
    assert_eq!(error.to_string(), "auth type \"tls\" is not one of serviceAccount, kubeConfig, none");
}

#[tokio::test]
async fn outside_of_a_cluster_there_is_no_service_account() {
    assert!(std::env::var_os("KUBERNETES_SERVICE_HOST").is_none(), "this test runs outside of a cluster");
    for auth_type in [AuthType::ServiceAccount, AuthType::None] {
        let error = K8sClient::connect(Access { auth_type, ..Access::default() }).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "unable to load k8s config, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined"
        );
    }
    let access = Access { context: Some("c".to_owned()), ..Access::default() };
    let error = K8sClient::connect(access).await.unwrap_err();
    assert_eq!(error.to_string(), "a context or kubeconfig needs auth type kubeConfig, not serviceAccount");
}

#[tokio::test]
async fn a_kubeconfig_that_cannot_be_used_is_named() {
    let directory = TempDir::new().unwrap();
    let absent = directory.path().join("absent");
    let error = by_kubeconfig(absent.clone()).await.unwrap_err();
    assert_eq!(error.to_string(), format!("kubeconfig {} cannot be read", absent.display()));

    let path = kubeconfig(&directory, "http://localhost", "{}");
    let mut access = Access::kubeconfig(Some(path.clone()));
    access.context = Some("other".to_owned());
    let error = K8sClient::connect(access.clone()).await.unwrap_err();
    assert!(matches!(&error, K8sError::KubeconfigUse { path: at, .. } if *at == path), "{error:?}");
    access.context = Some("d".to_owned());
    assert_eq!(K8sClient::connect(access).await.unwrap().default_namespace(), "default");

    let proxied =
        fs::read_to_string(&path).unwrap().replace("cluster: {server", "cluster: {proxy-url: \"http://p\", server");
    fs::write(&path, proxied).unwrap();
    assert!(matches!(by_kubeconfig(path).await.unwrap_err(), K8sError::ProxyUrl { .. }));
}

#[tokio::test]
async fn a_bad_address_or_name_is_refused_before_anything_is_sent() {
    for url in ["localhost", "ftp://localhost", "https://user:canary@localhost"] {
        let error = K8sClient::from_config(Config::new(url.parse().unwrap())).unwrap_err();
        assert!(matches!(error, K8sError::ServerUrl) && !format!("{error}{error:?}").contains("canary"), "{url}");
    }
    let client = super::client("http://localhost");
    assert!(matches!(client.lock("Default", "foo"), Err(K8sError::Namespace { .. })));
    assert!(matches!(client.lock("default", "a/b"), Err(K8sError::Name { .. })));
}

/// An error as a log may show it: its text, its chain, its `Debug`.
fn shown(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = format!("{error:?}");
    let mut next = Some(error);
    while let Some(error) = next {
        text.push_str(&error.to_string());
        next = error.source();
    }
    text
}

#[tokio::test]
async fn secrets_never_appear() {
    let directory = TempDir::new().unwrap();
    let server = Scripted::start(|_| Reply::Whole(401, "", String::new())).await;
    let canary = "canary-7f3a";

    let path = kubeconfig(&directory, &server.url, &format!("{{token: {canary}}}"));
    let client = by_kubeconfig(path.clone()).await.unwrap();
    let lock = client.lock("default", "foo").unwrap();
    let error = lock.get().await.unwrap_err();
    let all = format!("{client:?}{client}{lock:?}{lock}{}", shown(&error));
    assert!(server.seen()[0].head.contains(canary) && !all.contains(canary), "{all}");

    for user in [
        // YAML that breaks off beside the token, a token that no header can carry, a plugin that prints it and fails,
        // a plugin that prints it in the wrong form, and certificates that are none.
        format!("{{token: {canary}, exec: ["),
        format!("{{token: \"{canary}\\nx\"}}"),
        format!(
            "{{exec: {{apiVersion: client.authentication.k8s.io/v1, command: sh, args: [\"-c\", \"echo {canary}; exit 1\"]}}}}"
        ),
        format!("{{exec: {{apiVersion: client.authentication.k8s.io/v1, command: echo, args: [\"{canary}\"]}}}}"),
        format!("{{client-certificate-data: {canary}, client-key-data: {canary}}}"),
    ] {
        kubeconfig(&directory, &server.url, &user);
        let error = by_kubeconfig(path.clone()).await.expect_err(&user);
        let text = shown(&error);
        assert!(!text.contains(canary), "{text}");
    }
    // `K8sError` of a token file that is not there names the file.
    kubeconfig(&directory, &server.url, "{tokenFile: /absent/token}");
    assert!(shown(&by_kubeconfig(path).await.unwrap_err()).contains("/absent/token"));
}

// Made with `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=u -addext
// subjectAltName=DNS:u`; no server trusts it.
const CLIENT_KEY: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgf1E7NsZj2b+D5NJQ
wkqwU6F0F1B8BHMnNN0iGcIxIQChRANCAASa/ywB7410H5zkyCusgwQcO/ifw8Hv
1SW5ZoNL0GccDvxos/yCMi+ex6AMep2ZviqH8tR9pyVMps9hHM4ZiJcS
-----END PRIVATE KEY-----
";
const CLIENT_CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----
MIIBezCCASGgAwIBAgIUInIzTI7oNq1pHt7xGcAqbRCBqjswCgYIKoZIzj0EAwIw
DDEKMAgGA1UEAwwBdTAeFw0yNjExMjExNjI2MDJaFw0yNjExMjIxNjI2MDJaMAwx
CjAIBgNVBAMMAXUwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAASa/ywB7410H5zk
yCusgwQcO/ifw8Hv1SW5ZoNL0GccDvxos/yCMi+ex6AMep2ZviqH8tR9pyVMps9h
HM4ZiJcSo2EwXzAdBgNVHQ4EFgQUJpDS/unSZyH2hGK9XecP9bmer1YwHwYDVR0j
BBgwFoAUJpDS/unSZyH2hGK9XecP9bmer1YwDwYDVR0TAQH/BAUwAwEB/zAMBgNV
HREEBTADggF1MAoGCCqGSM49BAMCA0gAMEUCIQCNCnARTw43/aIpq1FHF+RGM5MD
WQlSpgcJh0yxfR3pGQIgS4H0vbmeM6P5B33IkcFIiC1DmI/A/kY7LrEzh1FKJ1Y=
-----END CERTIFICATE-----
";
