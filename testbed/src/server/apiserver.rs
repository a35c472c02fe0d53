//! A Kubernetes API server with users to try RBAC with.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

use crate::build::Go;
use crate::http::{Answer, Client, NoAnswer};
use crate::process::{Signal, wait_until};

use super::{Etcd, Server, ServerError, ready_answer};

/// The user who may do everything (group `system:masters`).
pub const ADMIN: &str = "admin";

/// The users without any right until a test grants them some.
pub const USERS: [&str; 8] = ["user-0", "user-1", "user-2", "user-3", "user-4", "user-5", "user-6", "user-7"];

/// A running kube-apiserver: RBAC, static tokens, no controllers (so nothing fills a namespace or collects garbage).
#[derive(Debug)]
pub struct ApiServer {
    server: Server,
    port: u16,
    ca_pem: String,
    client: Client,
    granted: AtomicU32,
}

impl ApiServer {
    /// Starts an API server that keeps its objects in `etcd`, which must outlive it.
    ///
    /// # Errors
    /// Why it does not run, with the end of its log.
    pub fn start(etcd: &Etcd) -> Result<Self, ServerError> {
        let mut server = Server::new(Go::KubeApiserver)?;
        let tokens = server.write("tokens.csv", &token_table())?;
        let (key, public_key) = service_account_keys_pem();
        let key = server.write("service-account.key", &key)?;
        let public_key = server.write("service-account.pub", &public_key)?;
        let policy = server.write("audit.yaml", &audit_policy().to_string())?;
        let audit = server.dir().join(AUDIT_LOG);
        let certs = server.dir().join("certs");
        let args = |[port]: [u16; 1]| {
            let (tokens, key, public_key) = (tokens.display(), key.display(), public_key.display());
            vec![
                format!("--etcd-servers={}", etcd.url()),
                format!("--secure-port={port}"),
                "--bind-address=127.0.0.1".to_owned(),
                // It would look for an outside interface, which a machine without a network has not.
                "--advertise-address=127.0.0.1".to_owned(),
                "--endpoint-reconciler-type=none".to_owned(),
                format!("--cert-dir={}", certs.display()),
                format!("--token-auth-file={tokens}"),
                "--authorization-mode=RBAC".to_owned(),
                "--service-account-issuer=https://testbed.invalid".to_owned(),
                format!("--service-account-key-file={public_key}"),
                format!("--service-account-signing-key-file={key}"),
                "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
                "--disable-admission-plugins=ServiceAccount".to_owned(),
                format!("--audit-policy-file={}", policy.display()),
                format!("--audit-log-path={}", audit.display()),
            ]
        };
        let [port] = server.start(args, |[port]| ready(port, &certs))?;
        let ca_pem = ca_pem(&certs).expect("it was read to find the server ready");
        let client = Client::new(&url(port), Some(&ca_pem)).expect("it was parsed to find the server ready");
        let api = Self { server, port, ca_pem, client, granted: AtomicU32::new(0) };
        api.server.write("ca.crt", &api.ca_pem)?;
        for user in USERS.iter().chain([&ADMIN]) {
            api.server.write(&format!("{user}.kubeconfig"), &api.kubeconfig_text(user))?;
        }
        Ok(api)
    }

    /// Where clients connect, such as `https://127.0.0.1:6443`.
    pub fn url(&self) -> String {
        url(self.port)
    }

    /// The certificate of the authority that signed the server's.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The token of [`ADMIN`] or one of [`USERS`].
    ///
    /// # Panics
    /// When there is no such user.
    pub fn token(&self, user: &str) -> String {
        assert!(user == ADMIN || USERS.contains(&user), "there is no user {user}");
        token(user)
    }

    /// The path of a kubeconfig for [`ADMIN`] or one of [`USERS`]; the files live as long as the server.
    ///
    /// # Panics
    /// When there is no such user.
    pub fn kubeconfig(&self, user: &str) -> PathBuf {
        assert!(user == ADMIN || USERS.contains(&user), "there is no user {user}");
        self.server.dir().join(format!("{user}.kubeconfig"))
    }

    /// The client for requests of any kind; [`ApiServer::admin`] is shorter for most.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Sends one request, see [`Client::request`].
    ///
    /// # Errors
    /// [`NoAnswer`] when there is none.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Answer, NoAnswer> {
        self.client.request(method, path, token, body)
    }

    /// Sends one request as the administrator.
    ///
    /// # Panics
    /// When there is no answer; any status is one.
    #[track_caller]
    pub fn admin(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        match self.request(method, path, Some(&token(ADMIN)), body) {
            Ok(answer) => answer,
            Err(error) => panic!("{error}"),
        }
    }

    /// Creates an object or makes it as given, whatever it was (server-side apply by the administrator).
    ///
    /// # Panics
    /// When the object has no `apiVersion`, `kind` or name, or the server refuses it.
    #[track_caller]
    pub fn apply(&self, object: &Value) -> Value {
        self.admin("PATCH", &format!("{}?fieldManager=testbed&force=true", path_of(object)), Some(object)).ok()
    }

    /// What the server would make of an object, without keeping it (server-side apply by the administrator, dry).
    ///
    /// # Panics
    /// When the object has no `apiVersion`, `kind` or name, or the server would refuse it or a field of it.
    #[track_caller]
    pub fn dry_run(&self, object: &Value) -> Value {
        let query = "fieldManager=testbed&force=true&dryRun=All&fieldValidation=Strict";
        self.admin("PATCH", &format!("{}?{query}", path_of(object)), Some(object)).ok()
    }

    /// Gives `user` the rights of a Role with `rules` in the namespace, and waits until the server grants them.
    ///
    /// `rules` is as in a Role, an array of objects with `apiGroups`, `resources`, `resourceNames` and `verbs`.
    ///
    /// # Panics
    /// When the server refuses the Role, or has not taken it in after ten seconds.
    #[track_caller]
    pub fn grant(&self, namespace: &str, user: &str, rules: &Value) {
        let name = format!("{user}-{}", self.granted.fetch_add(1, Ordering::Relaxed));
        let api = "rbac.authorization.k8s.io";
        let about = json!({"name": name, "namespace": namespace});
        let version = format!("{api}/v1");
        self.apply(&json!({"apiVersion": version, "kind": "Role", "metadata": about, "rules": rules}));
        self.apply(&json!({"apiVersion": version, "kind": "RoleBinding", "metadata": about,
            "roleRef": {"apiGroup": api, "kind": "Role", "name": name},
            "subjects": [{"apiGroup": api, "kind": "User", "name": user}]}));
        for wanted in single_rights(rules) {
            let mut wanted = wanted;
            wanted["namespace"] = namespace.into();
            let granted = wait_until(GRANTED_WITHIN, || self.may(user, &wanted));
            assert!(granted, "the server does not grant {user} {wanted} within {GRANTED_WITHIN:?}");
        }
    }

    /// Whether the server lets `user` do what `attributes` say (the `resourceAttributes` of a `SubjectAccessReview`).
    #[track_caller]
    pub fn may(&self, user: &str, attributes: &Value) -> bool {
        let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": {"user": user, "resourceAttributes": attributes}});
        let answer = self.admin("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", Some(&review));
        answer.ok()["status"]["allowed"] == true
    }

    /// The Lease as the administrator sees it; none if it is absent.
    ///
    /// # Panics
    /// When the server answers neither 200 nor 404.
    #[track_caller]
    pub fn lease(&self, namespace: &str, name: &str) -> Option<Value> {
        let answer = self.admin("GET", &lease_path(namespace, name), None);
        if answer.status == 404 { None } else { Some(answer.ok()) }
    }

    /// The verbs of all requests that one of [`USERS`] has sent so far, in the order in which they were answered.
    ///
    /// A watch is in it as soon as it is open. Requests of [`ADMIN`] are not recorded.
    ///
    /// # Panics
    /// When there is no such user, or the server's record cannot be read.
    #[track_caller]
    pub fn verbs_of(&self, user: &str) -> Vec<String> {
        assert!(USERS.contains(&user), "requests of {user} are not recorded");
        let log = fs::read_to_string(self.server.dir().join(AUDIT_LOG)).expect("the server writes it from its start");
        let mut seen = BTreeSet::new();
        // The last line may be unfinished.
        let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let own = events.filter(|event| event["user"]["username"] == user);
        let first = own.filter(|event| seen.insert(event["auditID"].to_string()));
        first.filter_map(|event| event["verb"].as_str().map(str::to_owned)).collect()
    }

    /// The id of its process; none after [`ApiServer::kill`].
    pub fn id(&self) -> Option<u32> {
        self.server.id()
    }

    /// Stops it where it is (SIGSTOP): connections stay open, and nothing is answered.
    ///
    /// # Panics
    /// When it was killed before, or does not stop.
    pub fn stop(&self) {
        self.server.stop();
    }

    /// Lets it run on (SIGCONT).
    pub fn resume(&self) {
        self.server.signal(Signal::CONT);
    }

    /// Kills it (SIGKILL): connections are refused. Its port and certificates wait for [`ApiServer::restart`].
    pub fn kill(&self) {
        self.server.kill();
    }

    /// Starts it again on the same port and data, and waits until it is ready. One that still runs is killed first.
    ///
    /// # Errors
    /// Why it does not run, with the end of its log.
    pub fn restart(&self) -> Result<(), ServerError> {
        let certs = self.server.dir().join("certs");
        self.server.restart(&|| ready(self.port, &certs))
    }

    fn kubeconfig_text(&self, user: &str) -> String {
        let cluster = json!({"server": self.url(), "certificate-authority-data": BASE64_STANDARD.encode(&self.ca_pem)});
        // JSON is YAML, and no client minds.
        let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "testbed",
            "clusters": [{"name": "testbed", "cluster": cluster}],
            "users": [{"name": user, "user": {"token": token(user)}}],
            "contexts": [{"name": "testbed", "context": {"cluster": "testbed", "user": user, "namespace": "default"}}]});
        format!("{config:#}\n")
    }
}

/// The path of a Lease on the server.
pub(crate) fn lease_path(namespace: &str, name: &str) -> String {
    format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}")
}

fn url(port: u16) -> String {
    format!("https://127.0.0.1:{port}")
}

fn token(user: &str) -> String {
    format!("token-of-{user}")
}

/// The table of static tokens: token, user, uid, groups.
fn token_table() -> String {
    let admin = format!("{},{ADMIN},{ADMIN},\"system:masters\"", token(ADMIN));
    let others = USERS.iter().map(|user| format!("{},{user},{user},", token(user)));
    let lines: Vec<String> = std::iter::once(admin).chain(others).collect();
    lines.join("\n") + "\n"
}

/// Who asked for what, for the users of the tests alone, so that it costs the others nothing.
fn audit_policy() -> Value {
    json!({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
        "rules": [{"level": "Metadata", "users": USERS}, {"level": "None"}]})
}

/// A private key and its public key: the server signs tokens of service accounts, though no test asks for one.
fn service_account_keys_pem() -> (String, String) {
    let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("the system has random numbers");
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random).expect("it was made a line above");
    let public_key = [&P256_SPKI_PREFIX, pair.public_key().as_ref()].concat();
    (pem("PRIVATE KEY", key.as_ref()), pem("PUBLIC KEY", &public_key))
}

fn pem(kind: &str, der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", lines.join("\n"))
}

/// The last certificate of the chain that the server made for itself: the authority.
fn ca_pem(certs: &Path) -> Option<String> {
    let chain = fs::read_to_string(certs.join("apiserver.crt")).ok()?;
    let begin = chain.rfind("-----BEGIN CERTIFICATE-----")?;
    chain.trim_end().ends_with("-----END CERTIFICATE-----").then(|| chain[begin..].to_owned())
}

fn ready(port: u16, certs: &Path) -> Result<(), String> {
    let ca_pem = ca_pem(certs).ok_or("its certificate is not written yet")?;
    let client = Client::new(&url(port), Some(&ca_pem)).map_err(|error| error.to_string())?;
    ready_answer(client.request("GET", "/readyz", Some(&token(ADMIN)), None))
}

/// The path of an object, from what it says about itself.
#[track_caller]
fn path_of(object: &Value) -> String {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let version = text(&object["apiVersion"]).expect("an object to apply has an apiVersion");
    let kind = text(&object["kind"]).expect("an object to apply has a kind").to_lowercase();
    let name = text(&object["metadata"]["name"]).expect("an object to apply has a name");
    let root = if version.contains('/') { "apis" } else { "api" };
    let namespace = text(&object["metadata"]["namespace"]).map(|name| format!("/namespaces/{name}"));
    format!("/{root}/{version}{}/{kind}s/{name}", namespace.unwrap_or_default())
}

/// Each single right that the rules of a Role give, as `resourceAttributes` without a namespace.
fn single_rights(rules: &Value) -> Vec<Value> {
    let list = |value: &Value| value.as_array().filter(|list| !list.is_empty()).cloned();
    let mut rights = Vec::new();
    for rule in list(rules).unwrap_or_default() {
        let any = || vec![json!("")];
        for group in list(&rule["apiGroups"]).unwrap_or_else(any) {
            for resource in list(&rule["resources"]).unwrap_or_default() {
                for name in list(&rule["resourceNames"]).unwrap_or_else(any) {
                    for verb in list(&rule["verbs"]).unwrap_or_default() {
                        rights.push(json!({"group": group, "resource": resource, "name": name, "verb": verb}));
                    }
                }
            }
        }
    }
    rights
}

/// What stands before the point in the encoding of a P-256 public key (RFC 5480).
const P256_SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const AUDIT_LOG: &str = "audit.log";
const GRANTED_WITHIN: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_an_object_follows_from_its_kind() {
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
            "metadata": {"name": "r", "namespace": "n"}});
        assert_eq!(path_of(&role), "/apis/rbac.authorization.k8s.io/v1/namespaces/n/roles/r");
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}});
        assert_eq!(path_of(&namespace), "/api/v1/namespaces/n");
    }

    #[test]
    fn rules_are_taken_apart_into_single_rights() {
        let rules =
            json!([{"apiGroups": ["g"], "resources": ["leases"], "resourceNames": ["x"], "verbs": ["get", "update"]}]);
        let right = |verb| json!({"group": "g", "resource": "leases", "name": "x", "verb": verb});
        assert_eq!(single_rights(&rules), [right("get"), right("update")]);
    }
}
