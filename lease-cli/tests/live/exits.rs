//! Exit codes, the command's environment, restarts, and the commands that look at leases.

use std::process::{Command, Output};
use std::time::Duration;

use testbed::process::{Program, Signal};

use super::{Fleet, LEASE, QUICK, SOON, acting};

fn run(fleet: &Fleet<'_>, flags: &[&str], command: &[&str]) -> Output {
    let mut lease = fleet.lease("admin");
    lease.args(["run", LEASE]).args(QUICK).args(flags).arg("--").args(command);
    lease.output().expect("lease starts")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it exits")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_command_gets_its_environment_and_its_code_is_passed_on() {
    let Some(cluster) = testbed::cluster() else { return };
    let fleet = Fleet::new(cluster, "environment");
    let script = "echo $LEASE_HELD $LEASE_NAME $LEASE_IDENTITY $LEASE_TOKEN; exit 5";
    let mut tokens: Vec<u128> = Vec::new();
    for _ in 0..2 {
        let output = run(&fleet, &["--identity", "me"], &["sh", "-c", script]);
        assert_eq!(code(&output), 5, "{}", text(&output.stderr));
        let words = text(&output.stdout);
        let words: Vec<&str> = words.split_whitespace().collect();
        assert!(words[0] == "1" && words[1] == LEASE && words[2].starts_with("me_"), "{words:?}");
        tokens.push(words[3].parse().expect("a decimal token"));
    }
    assert!(tokens[0] < tokens[1], "tokens rise: {tokens:?}");
    assert_eq!(code(&run(&fleet, &[], &["sh", "-c", "kill -KILL $$"])), 137);
    assert_eq!(code(&run(&fleet, &[], &["/no/such/command"])), 127);
    assert_eq!(code(&run(&fleet, &[], &["/etc/passwd"])), 126);
}

#[test]
fn a_held_lease_is_not_acquired_and_says_by_whom() {
    let Some(cluster) = testbed::cluster() else { return };
    let fleet = Fleet::new(cluster, "held");
    let leader = fleet.replica("a", &[], &[]);
    acting(&leader);
    for (flags, expected) in [
        (&["--nonblock"][..], 75),
        (&["--wait", "0"], 75),
        (&["--wait", "1s"], 75),
        (&["--nonblock", "-E", "9"], 9),
        (&["--wait", "1s", "-E", "0"], 0),
    ] {
        let output = run(&fleet, flags, &["true"]);
        assert_eq!(code(&output), expected, "{flags:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains("held by a_"), "{}", text(&output.stderr));
    }
}

#[test]
fn a_lost_lease_can_end_the_program() {
    let Some(cluster) = testbed::cluster() else { return };
    let fleet = Fleet::new(cluster, "lost");
    let mut leader = fleet.replica("a", &["--on-lost", "exit"], &[]);
    acting(&leader);
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases/{LEASE}", fleet.namespace);
    cluster.api().admin("DELETE", &path, None).ok();
    assert_eq!(leader.wait(SOON).expect("it ends").code(), Some(79));
    assert!(leader.tree().is_empty(), "something of it is left");
}

#[test]
fn a_command_is_run_again_under_the_same_term() {
    let Some(cluster) = testbed::cluster() else { return };
    let fleet = Fleet::new(cluster, "restart");
    let file = fleet.acts.path().join("tokens");
    let script = format!("echo $LEASE_TOKEN >> {0}; test $(wc -l < {0}) -ge 3", file.display());
    let output = run(&fleet, &["--restart", "on-failure"], &["sh", "-c", &script]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let tokens = std::fs::read_to_string(file).expect("it ran");
    let tokens: Vec<&str> = tokens.lines().collect();
    assert!(tokens.len() == 3 && tokens.iter().all(|token| *token == tokens[0]), "{tokens:?}");
}

#[test]
fn a_job_that_succeeded_keeps_the_lease_for_a_while() {
    let Some(cluster) = testbed::cluster() else { return };
    let fleet = Fleet::new(cluster, "hold-for");
    let mut lease = fleet.lease("admin");
    lease.args(["run", LEASE]).args(QUICK).args(["--hold-for", "1h", "--", "true"]);
    let mut job = Program::spawn(lease).expect("lease starts");
    job.wait_for_line("keeping the lease", SOON).expect("the job succeeds");
    assert_eq!(code(&run(&fleet, &["--nonblock"], &["true"])), 75, "another host runs it too");
    job.signal(Signal::TERM).expect("it runs");
    assert_eq!(job.wait(SOON).expect("it ends").code(), Some(0), "the job had succeeded");
    assert_eq!(code(&run(&fleet, &["--nonblock"], &["true"])), 0, "it was not released");
}

#[test]
fn nobody_there_is_unreachable() {
    let Some(cluster) = testbed::cluster() else { return };
    let fleet = Fleet::new(cluster, "unreachable");
    let kubeconfig = std::fs::read_to_string(cluster.api().kubeconfig("admin")).expect("it is there");
    // A port that nobody listens on: one that was just given back.
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
    let nobody = kubeconfig.replace(&cluster.api().url(), &format!("https://127.0.0.1:{port}"));
    assert_ne!(nobody, kubeconfig, "the kubeconfig names the server otherwise");
    let path = fleet.acts.path().join("kubeconfig");
    std::fs::write(&path, nobody).expect("written");
    for wait in ["0", "3s"] {
        let mut lease = Command::new(env!("CARGO_BIN_EXE_lease"));
        lease.arg("--kubeconfig").arg(&path).args(["run", LEASE, "--wait", wait, "--", "true"]);
        let output = lease.output().expect("lease starts");
        assert_eq!(code(&output), 69, "{}", text(&output.stderr));
    }
}

#[test]
fn leases_are_shown_watched_and_deleted() {
    let Some(cluster) = testbed::cluster() else { return };
    let fleet = Fleet::new(cluster, "look");
    let ask = |arguments: &[&str]| fleet.lease("admin").args(arguments).output().expect("lease starts");
    assert_eq!(code(&ask(&["get", LEASE])), 1, "there is none yet");
    let mut watch = fleet.lease("admin");
    watch.args(["watch", LEASE, "-o", "json"]);
    let watch = Program::spawn(watch).expect("lease starts");
    watch.wait_for_line("\"deleted\"", SOON).expect("it is not there");

    let mut leader = fleet.replica("a", &[], &[]);
    acting(&leader);
    watch.wait_for_line("\"acquired\"", SOON).expect("it is acquired");
    watch.wait_for_line("\"renewed\"", SOON).expect("it is renewed");
    let table = text(&ask(&["get", LEASE]).stdout);
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    let headings = ["NAME", "HOLDER", "STATE", "RENEWED", "EXPIRES", "HELD", "TRANSITIONS", "AGE"];
    assert_eq!(lines[0], headings, "{table}");
    assert!(lines[1][0] == LEASE && lines[1][1].starts_with("a_") && lines[1][2] == "held", "{table}");
    let json: serde_json::Value = serde_json::from_slice(&ask(&["get", "-o", "json"]).stdout).expect("JSON");
    assert_eq!(json[0]["state"], "held");
    assert!(text(&ask(&["get", LEASE, "-o", "yaml"]).stdout).contains("state: held"));
    assert_eq!(text(&ask(&["get", "-o", "name"]).stdout), format!("{LEASE}\n"));

    leader.signal(Signal::TERM).expect("it runs");
    watch.wait_for_line("\"released\"", SOON).expect("it is released");
    assert_eq!(code(&ask(&["delete", LEASE, "--confirm=other"])), 64);
    let mark = watch.mark();
    assert_eq!(code(&ask(&["delete", LEASE, &format!("--confirm={LEASE}")])), 0);
    watch.wait_for_line_after(mark, "\"deleted\"", SOON).expect("it is deleted");
    assert_eq!(code(&ask(&["delete", LEASE, &format!("--confirm={LEASE}")])), 1);
}

#[test]
fn the_first_word_comes_at_once() {
    let Some(cluster) = testbed::cluster() else { return };
    let fleet = Fleet::new(cluster, "first-word");
    let begun_ns = super::now_ns();
    let replica = fleet.replica("a", &[], &[]);
    let line = replica.wait_for_line("standing by", SOON).expect("it says what it does");
    // The target is 100 ms; the rest is for a machine that runs other tests.
    let took = Duration::from_nanos(line.at_ns - begun_ns);
    assert!(took < Duration::from_millis(500), "{took:?}");
}
