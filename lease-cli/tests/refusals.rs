//! What the command line, the environment or a kubeconfig asks for and cannot be: refused before anything is sent,
//! with one error that names the place and the way out, and with the right exit code. No cluster.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A kubeconfig of a server that nobody is: what is refused in time never gets there.
const KUBECONFIG: &str = r#"{"apiVersion": "v1", "kind": "Config", "current-context": "c",
    "clusters": [{"name": "k", "cluster": {"server": "https://127.0.0.1:9"}}],
    "users": [{"name": "u", "user": {"token": "planted-canary"}}],
    "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}]}"#;

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(TempDir::new().expect("a directory"));
        place.write("kubeconfig", KUBECONFIG);
        place
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path().join(name), text).expect("written");
    }

    /// The program, with nothing of the caller's environment that it listens to.
    fn lease(&self) -> Command {
        let mut lease = Command::new(env!("CARGO_BIN_EXE_lease"));
        lease.env_clear().env("HOME", self.path()).current_dir(self.path()).stdin(Stdio::null());
        lease
    }

    fn refused(&self, lease: &mut Command, code: i32, says: &[&str]) {
        let output: Output = lease.output().expect("lease starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{lease:?}: {said}");
        assert_eq!(said.matches("error:").count(), 1, "{lease:?} says more than one error: {said}");
        for part in says {
            assert!(said.contains(part), "{lease:?} does not say {part:?}: {said}");
        }
        assert!(!said.contains("panicked") && !said.contains("planted-canary"), "{lease:?}: {said}");
        assert!(!self.path().join("started").exists(), "{lease:?} has started its command");
    }
}

const USAGE: i32 = 64;
const CONFIGURATION: i32 = 78;

#[test]
fn what_is_wrong_independently_is_said_at_once() {
    let place = Place::new();
    let mut lease = place.lease();
    lease.args(["--kubeconfig", "kubeconfig", "run", "Capitals", "--renew-deadline", "20s", "--identity-exact", ""]);
    let output = lease.args(["--", "touch", "started"]).output().expect("lease starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), said.matches("error:").count()), (Some(CONFIGURATION), 3), "{said}");
    for part in ["20s", "identity", "Capitals"] {
        assert!(said.contains(part), "{part:?} is not in: {said}");
    }
    assert!(!place.path().join("started").exists());
}

#[test]
fn flags_of_run_that_cannot_work() {
    let place = Place::new();
    let long = "a".repeat(254);
    let cases: &[(&[&str], i32, &[&str])] = &[
        (&["--lease-duration", "15"], USAGE, &["--lease-duration", "\"15\"", "no unit", "15s"]),
        (&["--lease-duration", ""], USAGE, &["--lease-duration", "empty", "15s"]),
        (&["--lease-duration=-1s"], USAGE, &["--lease-duration", "negative"]),
        (&["--lease-duration", "1y"], USAGE, &["--lease-duration", "unit", "d, h, m, s"]),
        (&["--lease-duration", "99999999999d"], USAGE, &["--lease-duration", "longer than 584 years"]),
        (&["--lease-duration", "0"], CONFIGURATION, &["lease duration", "at least 11s"]),
        (&["--lease-duration", "3000000000s"], CONFIGURATION, &["lease duration", "at most 596523h14m7s"]),
        (
            &["--lease-duration", "15.5s"],
            CONFIGURATION,
            &["lease duration 15.5s", "whole seconds", "of 15s or", "at least 16s"],
        ),
        (&["--lease-duration", "10s"], CONFIGURATION, &["renew deadline 10s", "lease duration 10s", "at least 11s"]),
        (&["--renew-deadline", "0"], CONFIGURATION, &["renew deadline", "at least 4.001s"]),
        (&["--renew-deadline", "14.9s"], CONFIGURATION, &["renew deadline 14.9s", "at most 14.202s"]),
        (&["--renew-deadline", "5s", "--retry-period", "4s"], CONFIGURATION, &["5s", "4s", "at least 8.001s"]),
        (&["--retry-period", "0"], CONFIGURATION, &["retry period", "at least 1s"]),
        (&["--retry-period", "8s"], CONFIGURATION, &["use a retry period of at most 4.999s\n"]),
        (&["--retry-period", "500ms"], CONFIGURATION, &["retry period 500ms", "at least 1s"]),
        (&["--stop-timeout", "10s"], CONFIGURATION, &["stop timeout 10s", "at most 4.702s"]),
        (&["--stop-timeout", "0"], CONFIGURATION, &["stop timeout", "above zero"]),
        (&["--stop-timeout", "never"], USAGE, &["--stop-timeout", "never"]),
        (&["--drain-timeout", "5"], USAGE, &["--drain-timeout", "no unit"]),
        (&["--wait", "5"], USAGE, &["--wait", "no unit"]),
        (&["--wait", "5s", "--nonblock"], USAGE, &["--wait", "--nonblock"]),
        (&["--hold-for", "1h", "--restart", "always"], USAGE, &["--hold-for", "--restart"]),
        (&["--restart", "sometimes"], USAGE, &["--restart", "on-failure"]),
        (&["--on-lost", "cry"], USAGE, &["--on-lost", "standby"]),
        (&["--stop-signal", "NOPE"], USAGE, &["--stop-signal", "TERM"]),
        (&["--epoch", "4294967296"], USAGE, &["--epoch", "4294967295"]),
        (&["-E", "256"], USAGE, &["--conflict-exit-code", "255"]),
        (&["--identity", ""], USAGE, &["identity is empty", "give each replica a name"]),
        (&["--identity-exact", ""], USAGE, &["identity is empty", "give each replica a name"]),
        (&["--identity", "a\nb"], USAGE, &["identity", "control character"]),
        (&["--identity", "a", "--identity-exact", "b"], USAGE, &["--identity", "--identity-exact"]),
        (&["--namespace", "NO"], CONFIGURATION, &["namespace \"NO\"", "a-z, 0-9 and -"]),
        (&["--namespace", ""], CONFIGURATION, &["namespace \"\"", "1 to 63"]),
        (&["--namespace", &long], CONFIGURATION, &["namespace", "1 to 63"]),
        (&["--backend", "memory:"], USAGE, &["memory", "excludes nobody", "--backend k8s"]),
        (&["--backend", "etcd://localhost/x"], USAGE, &["\"etcd\"", "--backend k8s"]),
        (&["--backend", ""], USAGE, &["unknown backend", "--backend k8s"]),
        (&["--backend", "k8s://x"], USAGE, &["backend k8s", "--kubeconfig"]),
        (&["--context", "nope"], CONFIGURATION, &["kubeconfig", "nope", "kubectl config get-contexts"]),
        (&["--kubeconfig", "/no/such/file"], CONFIGURATION, &["/no/such/file", "No such file", "--kubeconfig FILE"]),
        (&["--frobnicate"], USAGE, &["--frobnicate", "--help"]),
    ];
    for (flags, code, says) in cases {
        let mut lease = place.lease();
        lease.env("KUBECONFIG", place.path().join("kubeconfig"));
        lease.args(["run", "db"]).args(*flags).args(["--", "touch", "started"]);
        place.refused(&mut lease, *code, says);
    }
}

#[test]
fn names_and_commands_that_make_no_sense() {
    let place = Place::new();
    let long = "a".repeat(254);
    let cases: &[(&[&str], i32, &[&str])] = &[
        (&["run", "", "--", "true"], CONFIGURATION, &["lease name \"\"", "1 to 253"]),
        (&["run", "DB", "--", "true"], CONFIGURATION, &["lease name \"DB\"", "a-z"]),
        (&["run", "a/b", "--", "true"], CONFIGURATION, &["lease name \"a/b\"", "a-z"]),
        (&["run", "a..b", "--", "true"], CONFIGURATION, &["lease name \"a..b\"", "a-z"]),
        (&["run", "ü", "--", "true"], CONFIGURATION, &["lease name", "a-z"]),
        (&["run", &long, "--", "true"], CONFIGURATION, &["lease name", "1 to 253"]),
        (&["run", "db"], USAGE, &["<COMMAND>", "Usage: lease run"]),
        (&["run", "db", "--"], USAGE, &["<COMMAND>", "Usage: lease run"]),
        (&["run", "db", "true"], USAGE, &["true", "Usage: lease run"]),
        (&["run", "--", "true"], USAGE, &["<NAME>", "Usage: lease run"]),
        (&["frobnicate"], USAGE, &["frobnicate", "--help"]),
        (&["get", "--output", "xml"], USAGE, &["xml", "yaml"]),
        (&["get", "db", "-A"], USAGE, &["--all-namespaces"]),
        (&["watch", "DB"], CONFIGURATION, &["lease name \"DB\"", "a-z"]),
        (&["delete", "db"], USAGE, &["--confirm"]),
        (&["delete", "db", "--confirm=other"], USAGE, &["\"other\"", "lease delete db --confirm=db"]),
        (&["delete", "DB", "--confirm=DB"], CONFIGURATION, &["lease name \"DB\"", "a-z"]),
    ];
    for (arguments, code, says) in cases {
        let mut lease = place.lease();
        lease.env("KUBECONFIG", place.path().join("kubeconfig")).args(*arguments);
        place.refused(&mut lease, *code, says);
    }
}

#[test]
fn kubeconfigs_that_cannot_be_used() {
    let place = Place::new();
    let with = |from: &str, to: &str| {
        assert!(KUBECONFIG.contains(from));
        KUBECONFIG.replace(from, to)
    };
    let credentials = |user: &str| with(r#"{"token": "planted-canary"}"#, user);
    let authority =
        |data: &str| with("\"server\":", &format!("\"certificate-authority-data\": \"{data}\", \"server\":"));
    let cases: &[(&str, Vec<u8>, &[&str])] = &[
        ("empty", Vec::new(), &["context", "kubectl config get-contexts"]),
        ("no-yaml", b"a: [b".to_vec(), &["malformed", "line 1"]),
        ("a-list", b"[]".to_vec(), &["malformed", "line 1"]),
        ("binary", b"\xff\xfe\x00".to_vec(), &["kubeconfig"]),
        ("other-context", with("\"current-context\": \"c\"", "\"current-context\": \"d\"").into(), &["context: d"]),
        ("no-cluster", with("\"name\": \"k\"", "\"name\": \"other\"").into(), &["cluster"]),
        ("no-address", with("https://127.0.0.1:9", "::::").into(), &["url"]),
        ("other-scheme", with("https://", "ftp://").into(), &["server address", "https://HOST"]),
        ("no-base64", authority("%%%").into(), &["certificate authority", "base64"]),
        ("no-plugin", credentials(
            r#"{"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "/no/such/plugin", "interactiveMode": "Never"}}"#,
        ).into(), &["/no/such/plugin", "cannot be started"]),
        ("no-key", credentials(r#"{"client-certificate": "/no/crt", "client-key": "/no/key"}"#).into(), &["/no/crt"]),
        ("no-token-file", credentials(r#"{"tokenFile": "/no/token"}"#).into(), &["/no/token"]),
    ];
    for (name, text, says) in cases {
        place.write(name, text);
        let mut lease = place.lease();
        lease.arg("--kubeconfig").arg(place.path().join(name)).args([
            "run",
            "db",
            "--nonblock",
            "--",
            "touch",
            "started",
        ]);
        place.refused(&mut lease, CONFIGURATION, says);
    }
}

#[test]
fn an_environment_without_a_way_to_a_cluster() {
    let place = Place::new();
    let run = || {
        let mut lease = place.lease();
        lease.args(["run", "db", "--nonblock", "--", "touch", "started"]);
        lease
    };
    place.refused(&mut run(), CONFIGURATION, &[".kube/config", "--kubeconfig FILE or KUBECONFIG"]);
    place.refused(run().env("KUBECONFIG", ""), CONFIGURATION, &[".kube/config", "--kubeconfig FILE or KUBECONFIG"]);
    place.refused(run().env("KUBECONFIG", "/no/such/file"), CONFIGURATION, &["/no/such/file", "--kubeconfig FILE"]);
    place.refused(run().env("KUBERNETES_SERVICE_HOST", "127.0.0.1"), CONFIGURATION, &["KUBERNETES_SERVICE_PORT"]);
}
