//! Exit codes, the command's environment, restarts, and the commands that look at leases.

use std::net::TcpListener;
use std::process::{Command, Output};
use std::time::Duration;

use testbed::process::{Program, Signal, cpu_time};

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

pub(crate) fn the_command_gets_its_environment_and_its_code_is_passed_on() {
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

pub(crate) fn a_held_lease_is_not_acquired_and_says_by_whom() {
    let Some(cluster) = testbed::cluster() else { return };
    let fleet = Fleet::new(cluster, "held");
    let leader = fleet.replica("a", &[], &[]);
    acting(&leader);
    for (flags, expected) in [
        (&["--nonblock"][..], 75),
        (&["--wait", "0"], 75),
        (&["--wait", "2s"], 75),
        (&["--nonblock", "-E", "9"], 9),
        (&["--wait", "2s", "-E", "0"], 0),
    ] {
        let output = run(&fleet, flags, &["true"]);
        assert_eq!(code(&output), expected, "{flags:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains("held by a_"), "{}", text(&output.stderr));
    }
}

pub(crate) fn a_free_lease_is_acquired_however_short_the_wait() {
    let Some(cluster) = testbed::cluster() else { return };
    let fleet = Fleet::new(cluster, "short-wait");
    // At the default durations the election first asks after up to 2 s.
    let mut lease = fleet.lease("admin");
    let output = lease.args(["run", LEASE, "--wait", "1s", "--", "true"]).output().expect("lease starts");
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
}

pub(crate) fn a_lost_lease_can_end_the_program() {
    let Some(cluster) = testbed::cluster() else { return };
    let fleet = Fleet::new(cluster, "lost");
    let mut leader = fleet.replica("a", &["--on-lost", "exit"], &[]);
    acting(&leader);
    cluster.api().admin("DELETE", &fleet.path(), None).ok();
    assert_eq!(leader.wait(SOON).expect("it ends").code(), Some(79));
    assert!(leader.tree().is_empty(), "something of it is left");
}

pub(crate) fn a_command_is_run_again_under_the_same_term() {
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

pub(crate) fn a_job_that_succeeded_keeps_the_lease_for_a_while() {
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

/// A replica whose kubeconfig names another server.
fn lease_at(fleet: &Fleet<'_>, url: &str, arguments: &[&str]) -> Command {
    let api = fleet.cluster.api();
    let kubeconfig = std::fs::read_to_string(api.kubeconfig("admin")).expect("it is there");
    let changed = kubeconfig.replace(&api.url(), url);
    assert_ne!(changed, kubeconfig, "the kubeconfig names the server otherwise");
    let path = fleet.acts.path().join("kubeconfig");
    std::fs::write(&path, changed).expect("written");
    let mut lease = fleet.lease("admin");
    lease.arg("--kubeconfig").arg(&path).args(["run", LEASE]).args(arguments);
    lease
}

pub(crate) fn nobody_there_is_unreachable() {
    let Some(cluster) = testbed::cluster() else { return };
    let fleet = Fleet::new(cluster, "unreachable");
    // A port that nobody listens on: one that was just given back.
    let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
    for wait in ["0", "3s"] {
        let mut lease = lease_at(&fleet, &format!("https://127.0.0.1:{port}"), &["--wait", wait, "--", "true"]);
        let output = lease.output().expect("lease starts");
        assert_eq!(code(&output), 69, "{}", text(&output.stderr));
    }
}

pub(crate) fn leases_are_shown_watched_and_deleted() {
    let Some(cluster) = testbed::cluster() else { return };
    let fleet = Fleet::new(cluster, "look");
    let ask = |arguments: &[&str]| fleet.lease("admin").args(arguments).output().expect("lease starts");
    assert_eq!(code(&ask(&["get", LEASE])), 1, "there is none yet");
    let mut watch = fleet.lease("admin");
    let (recording, picture) = (fleet.acts.path().join("recording"), fleet.acts.path().join("picture.svg"));
    watch.args(["watch", LEASE, "-o", "json", "--record"]).arg(&recording);
    let mut watch = Program::spawn(watch).expect("lease starts");
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
    let one_of_two = ask(&["get", LEASE, "nobody-s"]);
    assert_eq!((code(&one_of_two), text(&one_of_two.stdout).lines().count()), (1, 2), "what is there is shown");
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
    watch.signal(Signal::INT).expect("it watches");
    assert_eq!(watch.wait(SOON).expect("it ends").code(), Some(130), "as a shell would say it");
    let drawn = fleet.lease("admin").arg("plot").arg(&recording).arg("-O").arg(&picture).output();
    let drawn = drawn.expect("lease starts");
    assert_eq!(code(&drawn), 0, "{}", text(&drawn.stderr));
    let picture = std::fs::read_to_string(&picture).expect("it was drawn");
    for part in ["1 holder, 1 term, nobody for", "renewed every", ">released<"] {
        assert!(picture.contains(part), "{part:?} is not in the picture: {picture}");
    }
    assert_eq!(code(&ask(&["delete", LEASE, &format!("--confirm={LEASE}")])), 1);
}

pub(crate) fn a_standby_says_who_leads() {
    let Some(cluster) = testbed::cluster() else { return };
    let fleet = Fleet::new(cluster, "standby-says");
    let leader = fleet.replica("a", &[], &[]);
    acting(&leader);
    let standby = fleet.replica("b", &[], &[]);
    let line = standby.wait_for_line("held by another replica; without a renewal it is taken over after", SOON);
    let line = line.expect("it says who leads").text;
    assert!(line.contains("holder=a_") && line.contains("since="), "{line}");
}

pub(crate) fn a_namespace_that_does_not_exist_is_told() {
    let Some(cluster) = testbed::cluster() else { return };
    let mut lease = Command::new(env!("CARGO_BIN_EXE_lease"));
    lease.env("KUBECONFIG", cluster.api().kubeconfig("admin")).env_remove("LEASE_BACKEND");
    lease.args(["--namespace", "absent-of-all", "run", LEASE]).args(QUICK).args(["--wait", "2s", "--", "true"]);
    let output = lease.output().expect("lease starts");
    let said = text(&output.stderr);
    assert_eq!(code(&output), 77, "{said}");
    for part in ["namespace absent-of-all does not exist; create it", "help: kubectl create namespace absent-of-all"] {
        assert!(said.contains(part), "{part:?} is not in: {said}");
    }
}

pub(crate) fn the_first_word_comes_at_once() {
    let Some(cluster) = testbed::cluster() else { return };
    let fleet = Fleet::new(cluster, "first-word");
    // A server that takes the connection and never says a word: nothing that is said before needs an answer.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("https://{}", silent.local_addr().expect("it is bound"));
    let replica = Program::spawn(lease_at(&fleet, &url, &["--", "true"])).expect("lease starts");
    replica.wait_for_line("standing by", SOON).expect("it says what it does");
    // The target is 100 ms. What other programs take of the machine is not the program's.
    let used = cpu_time(replica.id()).expect("it waits for the server");
    assert!(used < Duration::from_millis(300), "{used:?} of CPU time before the first word");
}
