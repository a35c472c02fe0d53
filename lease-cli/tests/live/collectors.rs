//! `lease collector` on a real API server: exactly one of several replicas collects, and runs the command.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use testbed::process::{Program, Signal, wait_until};

use super::{Fleet, LEASE, SOON, acting, now_ns};

/// A replica whose receivers are a gauge, which goes to a file of its own, and a worker.
struct Collector {
    program: Program,
    points: PathBuf,
}

impl Collector {
    fn start(fleet: &Fleet<'_>, name: &str, worker: &[&str]) -> Self {
        let directory = fleet.acts.path().parent().expect("a directory for all").to_owned();
        let file = fleet.acts.path().file_name().expect("a name").to_string_lossy().into_owned();
        let points = directory.join(format!("{file}-{name}.json"));
        let worker: Vec<String> = std::iter::once(testbed::worker().display().to_string())
            .chain(["--log-dir".to_owned(), fleet.acts.path().display().to_string()])
            .chain(worker.iter().map(|word| (*word).to_owned()))
            .collect();
        let elector = json!({
            "auth_type": "kubeConfig", "lease_name": LEASE, "lease_namespace": fleet.namespace, "identity": name,
            "lease_duration": "4s", "renew_deadline": "3s", "retry_period": "1s",
        });
        let config = json!({
            "extensions": {"k8s_leader_elector": elector},
            "receivers": {
                "dummy": {"interval": "1s", "k8s_leader_elector": "k8s_leader_elector"},
                "exec": {
                    "command": worker, "stop_timeout": "1s", "k8s_leader_elector": "k8s_leader_elector",
                    // A command of a collector has no standard input, whose end would be its end.
                    "env": {"TESTBED_EXIT_ON_STDIN_EOF": "0"},
                },
            },
            "exporters": {"file": {"path": points}},
            "service": {
                "extensions": ["k8s_leader_elector"],
                "pipelines": {"metrics": {"receivers": ["dummy", "exec"], "exporters": ["file"]}},
            },
        });
        let mut command = fleet.lease("admin");
        command.args(["collector", "--config", &format!("yaml:{config}")]);
        Self { program: Program::spawn(command).expect("lease starts"), points }
    }

    /// How many batches of the gauge have left it.
    fn batches(&self) -> usize {
        fs::read_to_string(&self.points).unwrap_or_default().lines().count()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.points);
    }
}

/// One that leads, and one that stands by.
fn pair(fleet: &Fleet<'_>, worker: &[&str]) -> (Collector, Collector) {
    let leader = Collector::start(fleet, "a", worker);
    acting(&leader.program);
    fleet.acquit(1);
    let standby = Collector::start(fleet, "b", worker);
    standby.program.wait_for_line("the holder has changed", SOON).expect("the standby sees the leader");
    assert!(wait_until(SOON, || leader.batches() > 0), "the leader collects");
    (leader, standby)
}

pub(crate) fn a_collector_that_is_asked_to_end_hands_over_at_once() {
    let Some(cluster) = testbed::cluster() else { return };
    let fleet = Fleet::new(cluster, "collector-end");
    let (mut leader, standby) = pair(&fleet, &[]);
    let asked_ns = now_ns();
    leader.program.signal(Signal::TERM).expect("it runs");
    let leading = standby.program.wait_for_line("leading", SOON).expect("it takes over");
    let delay = Duration::from_nanos(leading.at_ns - asked_ns);
    assert!(delay < Duration::from_secs(1), "{delay:?}: less than a retry period, because it watches");
    assert_eq!(leader.program.wait(SOON).expect("it ends").code(), Some(0));
    assert!(wait_until(SOON, || standby.batches() > 0), "the next leader collects");
    fleet.acquit(2);
}

pub(crate) fn a_collector_that_is_killed_is_taken_over_and_its_command_dies() {
    let Some(cluster) = testbed::cluster() else { return };
    let fleet = Fleet::new(cluster, "collector-kill");
    let (mut leader, standby) = pair(&fleet, &["--ignore-term", "--sessions", "1"]);
    leader.program.signal(Signal::KILL).expect("it runs");
    acting(&standby.program);
    fleet.acquit(2);
}

pub(crate) fn a_collector_whose_lease_is_taken_sends_nothing_more() {
    let Some(cluster) = testbed::cluster() else { return };
    let fleet = Fleet::new(cluster, "collector-taken");
    let (leader, _standby) = pair(&fleet, &["--ignore-term", "--sessions", "1"]);
    cluster.api().admin("PATCH", &fleet.path(), Some(&json!({"spec": {"holderIdentity": "somebody"}}))).ok();
    let lost = leader.program.wait_for_line("leadership is lost", SOON).expect("the leader notices");
    let batches = leader.batches();
    fleet.takeover_after(lost.at_ns);
    // One that was being sent, and the first of a term of its own if it is the one that takes over. Some went by meanwhile.
    assert!(leader.batches() <= batches + 2, "{batches} batches when it was lost, {} now", leader.batches());
    fleet.acquit(2);
}

pub(crate) fn a_collector_that_was_stopped_sends_nothing_when_it_wakes() {
    let Some(cluster) = testbed::cluster() else { return };
    let fleet = Fleet::new(cluster, "collector-stop");
    let (mut leader, standby) = pair(&fleet, &["--ignore-term", "--sessions", "1"]);
    let batches = leader.batches();
    leader.program.signal(Signal::STOP).expect("it runs");
    acting(&standby.program);
    leader.program.signal(Signal::CONT).expect("it is there");
    leader.program.wait_for_line("leadership is lost", SOON).expect("it notices");
    // The other one is seen to collect meanwhile, so that this one would have, too.
    let before = standby.batches();
    assert!(wait_until(SOON, || standby.batches() >= before + 3), "the next leader collects");
    assert!(leader.batches() <= batches + 1, "{} batches before it was stopped, {} now", batches, leader.batches());
    fleet.acquit(2);
}
