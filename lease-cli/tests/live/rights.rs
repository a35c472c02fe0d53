//! What a user may do, and what `lease` says when it is not enough.

use std::time::Duration;

use serde_json::json;
use testbed::process::{Program, Signal};

use super::{Fleet, LEASE, SOON};

fn rules(verbs: &[&str]) -> serde_json::Value {
    json!([{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "resourceNames": [LEASE], "verbs": verbs}])
}

fn run_as(fleet: &Fleet<'_>, user: &str, flags: &[&str]) -> Program {
    let mut command = fleet.lease(user);
    command.args(["run", LEASE]).args(flags).arg("--").arg(testbed::worker());
    command.arg("--log-dir").arg(fleet.acts.path());
    Program::spawn(command).expect("lease starts")
}

pub(crate) fn three_verbs_on_one_name_suffice() {
    let Some(cluster) = testbed::cluster() else { return };
    let fleet = Fleet::new(cluster, "rights");
    cluster.api().grant(&fleet.namespace, "user-1", &rules(&["get", "update", "create"]));
    let mut leader = run_as(&fleet, "user-1", &super::QUICK);
    fleet.acquit(1);
    leader.wait_for_line("no watch; polling instead", SOON).expect("it says that it cannot watch");
    leader.signal(Signal::TERM).expect("it runs");
    assert_eq!(leader.wait(SOON).expect("it ends").code(), Some(0));
    let said = leader.lines().iter().filter(|line| line.text.contains("no watch")).count();
    assert_eq!(said, 1, "said once");
}

pub(crate) fn with_list_and_watch_a_release_is_taken_at_once() {
    let Some(cluster) = testbed::cluster() else { return };
    let fleet = Fleet::new(cluster, "watch-rights");
    cluster.api().grant(&fleet.namespace, "user-4", &rules(&["get", "update", "create", "list", "watch"]));
    let mut leader = run_as(&fleet, "user-4", &super::SLOW);
    fleet.acquit(1);
    let standby = run_as(&fleet, "user-4", &super::SLOW);
    fleet.hand_over(&mut leader, &standby, 0);
    for replica in [&leader, &standby] {
        assert!(!replica.lines().iter().any(|line| line.text.contains("no watch")), "{:?}", replica.lines());
    }
}

pub(crate) fn a_missing_right_is_named_with_the_rule_that_grants_it() {
    let Some(cluster) = testbed::cluster() else { return };
    let fleet = Fleet::new(cluster, "denied");
    cluster.api().grant(&fleet.namespace, "user-2", &rules(&["get"]));
    let mut replica = run_as(&fleet, "user-2", &[&super::QUICK[..], &["--wait", "4s"]].concat());
    // A creation is a PUT, so it is the right to update that the server misses first.
    let rule = "resources: [leases], resourceNames: [lead], verbs: [update]";
    replica.wait_for_line(rule, SOON).expect("it names the rule while it waits");
    assert_eq!(replica.wait(SOON).expect("it ends").code(), Some(77));
    replica
        .wait_for_line("help: add this rule to a Role", Duration::from_secs(1))
        .expect("the failure says what to do");
}

pub(crate) fn a_single_try_without_any_right_is_denied_at_once() {
    let Some(cluster) = testbed::cluster() else { return };
    let fleet = Fleet::new(cluster, "no-rights");
    let mut replica = run_as(&fleet, "user-3", &["--nonblock"]);
    assert_eq!(replica.wait(SOON).expect("it ends").code(), Some(77));
    replica.wait_for_line("verbs: [get]", Duration::from_secs(1)).expect("it names the rule");
}
