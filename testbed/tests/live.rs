//! The testbed tried on itself: real servers, real peers, real processes.
//!
//! One binary for all of it, because its tests mostly wait.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use testbed::build::{Go, go_program};
use testbed::judge::Judge;
use testbed::process::{Program, Signal, is_alive, resident_bytes, wait_until};
use testbed::server::{ADMIN, ApiServer};

const SOON: Duration = Duration::from_secs(10);

fn worker(logs: &Path, args: &[&str]) -> Program {
    let mut command = Command::new(testbed::worker());
    command.arg("--log-dir").arg(logs).args(args);
    Program::spawn(command).expect("the worker starts")
}

fn judge(logs: &Path) -> Judge {
    Judge::read(logs).expect("the logs are readable")
}

/// Waits until the acts in the logs satisfy the test.
fn wait_for_acts(logs: &Path, within: Duration, enough: impl Fn(&Judge) -> bool) -> Judge {
    let happened = wait_until(within, || enough(&judge(logs)));
    let judge = judge(logs);
    assert!(happened, "not within {within:?}: {:?}", judge.spans());
    judge
}

#[test]
fn the_api_server_knows_its_users_and_their_rights() {
    let Some(cluster) = testbed::cluster() else { return };
    let api = cluster.api();
    let namespace = cluster.namespace("rights");
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/x");
    let get = |token: &str| api.request("GET", &path, Some(token), None).unwrap();
    assert_eq!(get("nobody").status, 401);
    let refused = get(&api.token("user-0"));
    assert_eq!((refused.status, &refused.json["reason"]), (403, &json!("Forbidden")));
    let rule = json!({"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "resourceNames": ["x"],
        "verbs": ["get", "create", "update"]});
    api.grant(&namespace, "user-0", &json!([rule]));
    assert_eq!(get(&api.token("user-0")).status, 404);
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "x", "namespace": namespace}, "spec": {"holderIdentity": "a"}});
    let created = api.request("PUT", &path, Some(&api.token("user-0")), Some(&lease)).unwrap();
    assert_eq!(created.status, 201);
    assert_eq!(api.lease(&namespace, "x").unwrap()["spec"]["holderIdentity"], "a");
    assert_eq!(api.lease(&namespace, "y"), None);
    // A server that all tests share may have answered this user before.
    assert!(api.verbs_of("user-0").ends_with(&["get", "update"].map(str::to_owned)), "{:?}", api.verbs_of("user-0"));
    let config = std::fs::read_to_string(api.kubeconfig(ADMIN)).unwrap();
    assert!(config.contains(&api.url()), "{config}");
}

#[test]
fn a_stopped_api_server_is_mute_and_a_killed_one_comes_back_with_its_data() {
    let Some(cluster) = testbed::Cluster::own() else { return };
    let api = cluster.api();
    let namespace = cluster.namespace("kept");
    let path = format!("/api/v1/namespaces/{namespace}");
    let get = |api: &ApiServer| api.request("GET", &path, Some(&api.token(ADMIN)), None);
    api.stop();
    assert!(get(api).is_err());
    api.resume();
    assert_eq!(get(api).unwrap().status, 200);
    api.kill();
    assert!(get(api).is_err());
    api.restart().unwrap();
    assert_eq!(get(api).unwrap().status, 200);
    cluster.etcd().kill();
    cluster.etcd().restart().unwrap();
    assert!(wait_until(SOON, || get(api).is_ok_and(|answer| answer.status == 200)));
}

#[test]
fn a_server_ends_with_its_starter_and_takes_its_data_along() {
    let Ok(etcd) = go_program(Go::Etcd) else {
        testbed::require::left_out(&["etcd"], &"etcd cannot be built");
        return;
    };
    let data = tempfile::tempdir().unwrap().keep();
    let mut command = Command::new(etcd);
    command.arg(format!("--data-dir={}", data.join("data").display()));
    command.args(["--listen-client-urls=http://127.0.0.1:0", "--advertise-client-urls=http://127.0.0.1:0"]);
    command.args(["--listen-peer-urls=http://127.0.0.1:0"]).env("TESTBED_REMOVE_AT_EOF", &data);
    let mut server = Program::spawn(command).unwrap();
    server.wait_for_line("serving client traffic", SOON).unwrap();
    server.close_stdin();
    assert_eq!(server.wait(SOON).unwrap().code(), Some(70));
    assert!(!data.exists());
}

#[test]
fn two_workers_that_nobody_fences_are_convicted() {
    let logs = tempfile::tempdir().unwrap();
    let _first = worker(logs.path(), &["--name", "first"]);
    let _second = worker(logs.path(), &["--name", "second"]);
    let judge = wait_for_acts(logs.path(), SOON, |judge| judge.overlap_total() > Duration::from_millis(200));
    assert!(judge.verdict().unwrap().contains("overlap of"));
}

#[test]
fn two_workers_one_after_the_other_are_acquitted() {
    let logs = tempfile::tempdir().unwrap();
    for name in ["first", "second"] {
        let mut worker = worker(logs.path(), &["--name", name, "--exit-after-ms", "100", "--exit-code", "7"]);
        assert_eq!(worker.wait(SOON).unwrap().code(), Some(7));
    }
    judge(logs.path()).acquit(2);
}

#[test]
fn a_worker_drains_after_sigterm_or_ignores_it() {
    let logs = tempfile::tempdir().unwrap();
    let mut polite = worker(logs.path(), &["--name", "polite", "--drain-ms", "100"]);
    let mut stubborn = worker(logs.path(), &["--name", "stubborn", "--ignore-term"]);
    wait_for_acts(logs.path(), SOON, |judge| judge.terms().len() == 2);
    polite.signal(Signal::TERM).unwrap();
    stubborn.signal(Signal::TERM).unwrap();
    let signalled_ns = testbed::boottime_ns();
    assert_eq!(polite.wait(SOON).unwrap().code(), Some(0));
    let is_stubborn = |act: &testbed::judge::Act| act.term.holder == "stubborn" && act.at_ns > signalled_ns;
    wait_for_acts(logs.path(), SOON, |judge| judge.acts().iter().filter(|act| is_stubborn(act)).count() > 50);
}

#[test]
fn nothing_of_a_program_outlives_it_daemons_included() {
    let logs = tempfile::tempdir().unwrap();
    let args = ["--name", "a", "--ignore-term", "--children", "1", "--sessions", "1", "--orphans", "1"];
    let acting = |judge: &Judge| judge.acts().iter().map(|act| act.pid).collect::<std::collections::BTreeSet<_>>();
    let program = worker(logs.path(), &args);
    let judge = wait_for_acts(logs.path(), SOON, |judge| acting(judge).len() == 4);
    assert_eq!(program.tree().into_iter().collect::<std::collections::BTreeSet<_>>(), acting(&judge));
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _program = program;
        panic!("a test fails here, on purpose");
    }));
    assert!(panicked.is_err());
    assert!(!acting(&judge).into_iter().any(is_alive));
}

#[test]
fn a_program_ends_with_its_input_descendants_included() {
    let logs = tempfile::tempdir().unwrap();
    let mut program = worker(logs.path(), &["--name", "a", "--sessions", "1", "--orphans", "1"]);
    wait_for_acts(logs.path(), SOON, |judge| judge.acts().len() > 3);
    program.close_stdin();
    program.wait_for_tree(SOON).unwrap();
}

#[test]
fn what_a_program_prints_can_be_waited_for() {
    let mut command = Command::new("sh");
    command.args(["-c", "echo one; echo two >&2; read line; echo three"]);
    let mut program = Program::spawn(command).unwrap();
    program.wait_for_line("two", SOON).unwrap();
    let overdue = program.wait_for_line("three", Duration::from_millis(50)).unwrap_err();
    assert!(overdue.to_string().contains("one"), "{overdue}");
    let mark = program.mark();
    program.close_stdin();
    program.wait_for_line_after(mark, "three", SOON).unwrap();
    assert!(program.wait(SOON).unwrap().success());
}

#[test]
fn one_stock_process_holds_many_leases() {
    let Some(cluster) = testbed::cluster() else { return };
    let Some(elector) = testbed::elector() else { return };
    let mut command = Command::new(&elector);
    command.arg("--kubeconfig").arg(cluster.api().kubeconfig(ADMIN));
    // The namespace that every cluster begins with, which `cargo xtask cluster` uses as well.
    command.args(["--namespace", "default", "--name", "many", "--identity", "a", "--leases", "20", "--qps", "-1"]);
    let elector = Program::spawn(command).unwrap();
    let started = || elector.lines().iter().filter(|line| line.text.contains(" started many-")).count();
    assert!(wait_until(SOON, || started() == 20), "{:?}", elector.lines());
    assert!(resident_bytes(elector.id()).is_some());
}

#[test]
fn stock_electors_take_turns_and_the_judge_measures_the_takeover() {
    let Some(cluster) = testbed::cluster() else { return };
    let Some(elector) = testbed::elector() else { return };
    let namespace = cluster.namespace("stock");
    let logs = tempfile::tempdir().unwrap();
    let start = |identity: &str| {
        let mut command = Command::new(&elector);
        command.arg("--kubeconfig").arg(cluster.api().kubeconfig(ADMIN));
        command.arg("--log").arg(logs.path().join(format!("{identity}.acts")));
        command.args(["--namespace", &namespace, "--name", "x", "--identity", identity, "--release-on-cancel"]);
        command.args(["--lease-duration", "4s", "--renew-deadline", "3s", "--retry-period", "1s"]);
        Program::spawn(command).expect("the elector starts")
    };
    let mut first = start("first");
    first.wait_for_line("started x", SOON).unwrap();
    let mut second = start("second");
    second.wait_for_line("leader x first", SOON).unwrap();
    wait_for_acts(logs.path(), SOON, |judge| judge.acts().len() > 10);
    let killed_ns = testbed::boottime_ns();
    first.signal(Signal::KILL).unwrap();
    second.wait_for_line("started x", SOON).unwrap();
    let judge = wait_for_acts(logs.path(), SOON, |judge| judge.takeover_after(killed_ns).is_some());
    let takeover = judge.takeover_after(killed_ns).unwrap();
    assert!(takeover.delay > Duration::from_secs(2), "{takeover:?}");
    judge.acquit(2);
    second.signal(Signal::TERM).unwrap();
    assert!(second.wait(SOON).unwrap().success());
    assert_eq!(cluster.api().lease(&namespace, "x").unwrap()["spec"]["holderIdentity"], "");
}
