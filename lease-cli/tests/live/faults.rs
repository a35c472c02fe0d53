//! What is killed, stopped, deleted or duplicated, and what comes after.

use std::time::Duration;

use serde_json::json;
use testbed::process::{Program, Signal, is_alive, signal_process, wait_until};

use super::{Fleet, LEASE, SOON, acting, acting_after, guardian, now_ns};

/// A worker that ignores the stop signal, and so do its child, its child in another session and its daemon.
const STUBBORN: [&str; 7] = ["--ignore-term", "--children", "1", "--sessions", "1", "--orphans", "1"];
/// A crash takeover at 4 s/3 s/1 s: the lease's duration, a retry period, and what a busy machine adds.
const CRASH_MAX: Duration = Duration::from_millis(6500);

pub(crate) fn a_killed_supervisor_takes_its_tree_with_it() {
    let Some(cluster) = testbed::cluster() else { return };
    let fleet = Fleet::new(cluster, "kill-supervisor");
    let (mut leader, standby) = fleet.pair(&STUBBORN);
    let killed_ns = now_ns();
    leader.signal(Signal::KILL).expect("it runs");
    leader.wait_for_tree(Duration::from_secs(2)).expect("the guardian kills the tree");
    acting(&standby);
    assert!(fleet.takeover_after(killed_ns) < CRASH_MAX, "{:?}", fleet.takeover_after(killed_ns));
    fleet.acquit(2);
}

pub(crate) fn everything_killed_at_once_is_taken_over() {
    let Some(cluster) = testbed::cluster() else { return };
    let fleet = Fleet::new(cluster, "kill-all");
    let (leader, standby) = fleet.pair(&[]);
    let killed_ns = now_ns();
    leader.signal_tree(Signal::KILL);
    acting(&standby);
    assert!(fleet.takeover_after(killed_ns) < CRASH_MAX, "{:?}", fleet.takeover_after(killed_ns));
    fleet.acquit(2);
}

pub(crate) fn a_request_to_end_hands_over_at_once() {
    let Some(cluster) = testbed::cluster() else { return };
    let fleet = Fleet::new(cluster, "terminate");
    let worker = ["--drain-ms", "300", "--exit-code", "7"];
    let replica = |name| fleet.run(&[&["--identity", name], &super::SLOW[..]].concat(), &worker);
    let mut leader = replica("a");
    fleet.acquit(1);
    fleet.hand_over(&mut leader, &replica("b"), 7);
}

pub(crate) fn a_tree_that_does_not_drain_is_killed_before_the_release() {
    let Some(cluster) = testbed::cluster() else { return };
    let fleet = Fleet::new(cluster, "stubborn");
    let mut leader = fleet.replica("a", &["--drain-timeout", "5s"], &STUBBORN);
    fleet.acquit(1);
    let standby = fleet.standby("b", &[]);
    let asked_ns = now_ns();
    leader.signal(Signal::TERM).expect("it runs");
    assert_eq!(leader.wait(SOON).expect("it ends").code(), Some(137), "killed");
    acting(&standby);
    // The drain is longer than the lease: without renewals during it the standby would have been sooner.
    let delay = fleet.takeover_after(asked_ns);
    assert!((Duration::from_millis(4900)..Duration::from_millis(6500)).contains(&delay), "{delay:?}");
    fleet.acquit(2);
}

pub(crate) fn a_stopped_supervisor_loses_the_lease_and_its_tree_in_time() {
    let Some(cluster) = testbed::cluster() else { return };
    let fleet = Fleet::new(cluster, "stop-supervisor");
    let (mut leader, mut standby) = fleet.pair(&STUBBORN);
    leader.signal(Signal::STOP).expect("it runs");
    acting(&standby);
    let mark = leader.mark();
    leader.signal(Signal::CONT).expect("it is stopped");
    leader.wait_for_line_after(mark, "standing by", SOON).expect("it sees that the term is over");
    // It is a candidate as before. A command that has begun has not acted yet.
    fleet.acquit(2);
    standby.signal(Signal::KILL).expect("it runs");
    acting_after(&leader, mark);
    fleet.acquit(3);
}

pub(crate) fn a_killed_guardian_ends_the_term() {
    let Some(cluster) = testbed::cluster() else { return };
    let fleet = Fleet::new(cluster, "kill-guardian");
    end_of_the_guardian(&fleet, Signal::KILL, "the guardian was killed");
}

pub(crate) fn a_stopped_guardian_ends_the_term() {
    let Some(cluster) = testbed::cluster() else { return };
    let fleet = Fleet::new(cluster, "stop-guardian");
    end_of_the_guardian(&fleet, Signal::STOP, "the guardian was stopped");
}

fn end_of_the_guardian(fleet: &Fleet<'_>, signal: Signal, said: &str) {
    let leader = fleet.replica("a", &[], &STUBBORN);
    let command = acting(&leader);
    let standby = fleet.standby("b", &[]);
    let guardian = guardian(command);
    signal_process(guardian, signal).expect("the guardian runs");
    leader.wait_for_line(said, SOON).expect("the supervisor notices");
    leader.wait_for_line("the term is closed", SOON).expect("the term ends");
    assert!(!is_alive(guardian) && !is_alive(command), "something of the tree was left when the term was closed");
    acting(&standby);
    fleet.acquit(2);
}

pub(crate) fn a_deleted_lease_ends_the_term_and_nobody_acts_too_early() {
    let Some(cluster) = testbed::cluster() else { return };
    let fleet = Fleet::new(cluster, "delete");
    let replicas = fleet.pair(&STUBBORN);
    let ours = || {
        let mut delete = fleet.lease("admin");
        delete.args(["delete", LEASE, &format!("--confirm={LEASE}")]);
        assert!(delete.status().expect("lease starts").success());
    };
    // As kubectl does.
    let plain = || drop(cluster.api().admin("DELETE", &fleet.path(), None).ok());
    for (terms, delete) in [(2, &ours as &dyn Fn()), (3, &plain)] {
        let token = fleet.judge().acts().last().expect("there were acts").term.token;
        let deleted_ns = now_ns();
        delete();
        // Either may win the next term: both saw the record that is gone.
        assert!(wait_until(SOON, || fleet.judge().terms().len() >= terms), "nobody leads after the deletion");
        fleet.acquit(terms);
        let next = fleet.judge().acts().iter().find(|act| act.term.token != token && act.at_ns > deleted_ns).cloned();
        let waited = Duration::from_nanos(next.expect("it has just been there").at_ns - deleted_ns);
        // The last renewal was at most a retry period before the deletion.
        assert!(waited > Duration::from_secs(3), "a new term {waited:?} after the deletion");
    }
    let told = |replica: &Program| replica.lines().iter().any(|line| line.text.contains("leadership is lost"));
    assert!(told(&replicas.0), "the leader does not say that it lost the lease");
}

pub(crate) fn an_overwritten_holder_ends_the_term() {
    let Some(cluster) = testbed::cluster() else { return };
    let fleet = Fleet::new(cluster, "overwrite");
    let (leader, _standby) = fleet.pair(&STUBBORN);
    let overwritten_ns = now_ns();
    cluster.api().admin("PATCH", &fleet.path(), Some(&json!({"spec": {"holderIdentity": "somebody"}}))).ok();
    leader.wait_for_line("leadership is lost", SOON).expect("the leader notices");
    fleet.takeover_after(overwritten_ns);
    fleet.acquit(2);
}

pub(crate) fn two_of_one_exact_identity_never_act_at_once() {
    let Some(cluster) = testbed::cluster() else { return };
    let fleet = Fleet::new(cluster, "identity");
    let flags = [&["--identity-exact", "twin"], &super::QUICK[..]].concat();
    let mut first = fleet.run(&flags, &[]);
    acting(&first);
    let second = fleet.run(&flags, &[]);
    second.wait_for_line("give each replica its own", SOON).expect("it says that its name is taken");
    first.signal(Signal::KILL).expect("it runs");
    acting(&second);
    fleet.acquit(2);
}
