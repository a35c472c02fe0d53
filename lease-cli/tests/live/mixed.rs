//! `lease run` and stock client-go electors on one Lease: each reads the other's record, and waits it out.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use testbed::process::{Program, Signal, wait_until};

use super::{Fleet, LEASE, QUICK, SOON, acting, now_ns};

/// A stock elector that releases when it is asked to end.
pub(crate) fn peer(fleet: &Fleet<'_>, elector: &Path, identity: &str, durations: &[&str]) -> Program {
    let mut command = Command::new(elector);
    command.arg("--kubeconfig").arg(fleet.cluster.api().kubeconfig("admin"));
    command.arg("--log").arg(fleet.acts.path().join(format!("{identity}.acts")));
    command.args(["--namespace", &fleet.namespace, "--name", LEASE, "--identity", identity, "--release-on-cancel"]);
    command.args(durations);
    Program::spawn(command).expect("the elector starts")
}

/// The next holder after this moment, once it has acted.
fn next_holder(fleet: &Fleet<'_>, moment_ns: u64) -> String {
    fleet.takeover_after(moment_ns);
    fleet.judge().takeover_after(moment_ns).expect("it has just been there").to.holder
}

pub(crate) fn each_kind_takes_over_from_the_other() {
    let Some(cluster) = testbed::cluster() else { return };
    let Some(elector) = testbed::elector() else { return };
    let fleet = Fleet::new(cluster, "mixed");
    // Ours releases, theirs takes over.
    let mut ours = fleet.replica("a", &[], &[]);
    fleet.acquit(1);
    let mut theirs = peer(&fleet, &elector, "x", &QUICK);
    theirs.wait_for_line(&format!("leader {LEASE} a_"), SOON).expect("it reads our record");
    let moment_ns = now_ns();
    ours.signal(Signal::TERM).expect("it runs");
    assert_eq!(next_holder(&fleet, moment_ns), "x");
    // Theirs releases, ours takes over: it watches, so at once.
    let ours = fleet.replica("b", &[], &[]);
    ours.wait_for_line("holder=x", SOON).expect("it reads their record");
    let moment_ns = now_ns();
    theirs.signal(Signal::TERM).expect("it runs");
    assert!(next_holder(&fleet, moment_ns).starts_with("b_"));
    // Ours crashes.
    let theirs = peer(&fleet, &elector, "y", &QUICK);
    theirs.wait_for_line(&format!("leader {LEASE} b_"), SOON).expect("it reads our record");
    let moment_ns = now_ns();
    ours.signal_tree(Signal::KILL);
    assert_eq!(next_holder(&fleet, moment_ns), "y");
    // Theirs crashes.
    let ours = fleet.replica("c", &[], &[]);
    ours.wait_for_line("holder=y", SOON).expect("it reads their record");
    let moment_ns = now_ns();
    theirs.signal_tree(Signal::KILL);
    assert!(next_holder(&fleet, moment_ns).starts_with("c_"));
    acting(&ours);
    let waited = fleet.takeover_after(moment_ns);
    // Its last renewal was sent at most a retry period before it died.
    assert!(waited > Duration::from_secs(2), "took over {waited:?} after a crash");
    fleet.acquit(5);
}

pub(crate) fn a_fleet_of_both_kinds_takes_turns() {
    let Some(cluster) = testbed::cluster() else { return };
    let Some(elector) = testbed::elector() else { return };
    let fleet = Fleet::new(cluster, "mixed-fleet");
    let ours = |round: usize, name: &str| fleet.replica(&format!("{name}{round}"), &[], &[]);
    let theirs = |round: usize, name: &str| peer(&fleet, &elector, &format!("{name}{round}"), &QUICK);
    // The name that a replica acts under begins with that of its place.
    let mut replicas = [("a", ours(0, "a")), ("b", ours(0, "b")), ("x", theirs(0, "x")), ("y", theirs(0, "y"))];
    assert!(wait_until(SOON, || !fleet.judge().acts().is_empty()), "nobody leads");
    for round in 1..=ROUNDS {
        let leader = fleet.judge().acts().last().expect("there were acts").term.holder.clone();
        let (place, replica) = replicas.iter_mut().find(|(place, _)| leader.starts_with(place)).expect("one of ours");
        let moment_ns = now_ns();
        if round % 2 == 0 {
            replica.signal_tree(Signal::KILL);
        } else {
            replica.signal(Signal::TERM).expect("it runs");
        }
        replica.wait_for_tree(SOON).expect("it ends");
        assert_ne!(next_holder(&fleet, moment_ns), leader);
        // A new process in the place of the one that ended.
        *replica = if matches!(*place, "a" | "b") { ours(round, place) } else { theirs(round, place) };
    }
    fleet.acquit(ROUNDS + 1);
}

/// Half of them are releases, half crashes.
const ROUNDS: usize = 6;
