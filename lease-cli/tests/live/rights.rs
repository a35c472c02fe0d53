//! What a user may do, and what `lease` says when it is not enough.

use std::time::Duration;

use serde_json::json;
use testbed::process::{Program, Signal, wait_until};

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

/// Its tokens are soon taken for old, and each new one takes longer than any attempt may.
pub(crate) fn a_slow_credential_plugin_keeps_the_lease() {
    let Some(cluster) = testbed::cluster() else { return };
    let fleet = Fleet::new(cluster, "plugin");
    let runs = fleet.acts.path().join("runs");
    let kubeconfig = std::fs::read_to_string(cluster.api().kubeconfig("admin")).expect("it is there");
    let mut kubeconfig: serde_json::Value = serde_json::from_str(&kubeconfig).expect("JSON is YAML");
    let token = kubeconfig["users"][0]["user"]["token"].as_str().expect("a token").to_owned();
    // One is asked for anew when it has a minute left (kube's `auth` module).
    let script = format!(
        r#"echo run >> {}; sleep 1.2; printf '{{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential",
            "status":{{"token":"{token}","expirationTimestamp":"%s"}}}}' "$(date -u -d '+62 seconds' +%FT%TZ)""#,
        runs.display()
    );
    kubeconfig["users"][0]["user"] = json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "sh",
        "args": ["-c", script], "interactiveMode": "Never"}});
    let path = fleet.acts.path().join("kubeconfig");
    std::fs::write(&path, kubeconfig.to_string()).expect("written");

    let mut command = fleet.lease("admin");
    command.env("KUBECONFIG", path).args(["run", LEASE, "--lease-duration", "8s", "--renew-deadline", "6s"]);
    command.args(["--retry-period", "1s", "--"]).arg(testbed::worker()).arg("--log-dir").arg(fleet.acts.path());
    let mut leader = Program::spawn(command).expect("lease starts");
    leader.wait_for_line("the command runs", SOON).expect("it leads");
    let lines = || std::fs::read_to_string(&runs).map_or(0, |runs| runs.lines().count());
    assert!(wait_until(SOON, || lines() >= 4), "the plugin ran {} times", lines());
    leader.signal(Signal::TERM).expect("it runs");
    assert_eq!(leader.wait(SOON).expect("it ends").code(), Some(0));
    let lost: Vec<_> = leader.lines().into_iter().filter(|line| line.text.contains("is lost")).collect();
    assert!(lost.is_empty(), "{lost:?}");
}
