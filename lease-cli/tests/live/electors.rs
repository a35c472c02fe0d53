//! Electors of one replica or of several: split work, terms that come and go, candidates that are not ours, missing rights.

use std::time::Duration;

use serde_json::json;
use testbed::process::{Program, Signal, wait_until};
use testbed::{boottime_ns, sent};

use super::agents::{Agent, Agents, CLUSTER, KYMA, elector, receivers, sees};
use super::mixed::peer;
use super::{Fleet, LEASE, SOON};

const DEFAULT: [&str; 6] = ["--lease-duration", "15s", "--renew-deadline", "10s", "--retry-period", "2s"];

/// Asks the holder of a lease to hand it over, as `handover` of the protocol does.
fn ask_to_hand_over(fleet: &Fleet<'_>, lease: &str, successor: &str) {
    let found = fleet.cluster.api().lease(&fleet.namespace, lease).expect("it is held");
    let spec = &found["spec"];
    let request = json!({"holder": spec["holderIdentity"], "acquireTime": spec["acquireTime"], "successor": successor});
    let patch = json!({"metadata": {"annotations": {"lease-election.internal/handover": request.to_string()}}});
    fleet.cluster.api().admin("PATCH", &path(fleet, lease), Some(&patch)).ok();
}

fn path(fleet: &Fleet<'_>, lease: &str) -> String {
    format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases/{lease}", fleet.namespace)
}

/// The name of whoever holds it, without what makes it unique.
fn holder(fleet: &Fleet<'_>, lease: &str) -> String {
    let found = fleet.cluster.api().lease(&fleet.namespace, lease).expect("it is there");
    let holder = found["spec"]["holderIdentity"].as_str().unwrap_or_default();
    holder.split('_').next().unwrap_or_default().to_owned()
}

/// The example of the design: some receivers on one lease, others on another.
pub(crate) fn receivers_are_split_over_two_replicas_by_two_leases() {
    let Some(cluster) = testbed::cluster() else { return };
    let fleet = Fleet::new(cluster, "split");
    let electors = json!({
        "k8s_leader_elector/foo": elector(&fleet, "foo"), "k8s_leader_elector/bar": elector(&fleet, "bar"),
    });
    let agents = Agents::with(&fleet, &electors, &receivers("k8s_leader_elector/foo", "k8s_leader_elector/bar"));
    let mut first = agents.start("a");
    for receiver in [CLUSTER, KYMA] {
        assert_eq!(agents.wait_for_term(receiver, 1).replica, "a", "the only one has both leases");
    }
    let second = agents.start("b");
    for lease in ["foo", "bar"] {
        let sees =
            || second.program.lines().iter().any(|line| line.text.contains("holder=a") && line.text.contains(lease));
        assert!(wait_until(SOON, sees), "it sees who holds {lease}: {:?}", second.program.lines());
    }
    ask_to_hand_over(&fleet, "bar", "b");
    assert_eq!(agents.wait_for_term(KYMA, 2).replica, "b");
    assert_eq!((holder(&fleet, "foo"), holder(&fleet, "bar")), ("a".to_owned(), "b".to_owned()));
    // Both lead now, and each sends what is its own.
    agents.wait_for_more(CLUSTER, 1);
    agents.wait_for_more(KYMA, 2);
    assert!(agents.terms(CLUSTER).iter().all(|term| term.replica == "a"));
    // What happens to the one does not touch the other's, and in the end one has both again.
    first.program.signal(Signal::TERM).expect("it runs");
    assert_eq!(agents.wait_for_term(CLUSTER, 2).replica, "b");
    agents.wait_for_more(KYMA, 2);
    agents.acquit(&[first, second], 2);
}

/// What a process has: open descriptors, and threads.
fn has(agent: &Agent) -> (usize, usize) {
    let count =
        |what: &str| std::fs::read_dir(format!("/proc/{}/{what}", agent.program.id())).expect("it runs").count();
    (count("fd"), count("task"))
}

pub(crate) fn terms_that_come_and_go_leave_nothing_behind() {
    const TERMS: usize = 12;
    let Some(cluster) = testbed::cluster() else { return };
    let fleet = Fleet::new(cluster, "leftovers");
    let agents = Agents::new(&fleet);
    let own = agents.start("a");
    agents.wait_for_term(CLUSTER, 1);
    let other = agents.start("b");
    sees(&other, "a");
    let mut after_second = (0, 0);
    for round in 1..=TERMS {
        // Both of one term send, and then the other replica's do.
        for (turn, successor) in [(2 * round - 1, "b"), (2 * round, "a")] {
            for receiver in [CLUSTER, KYMA] {
                assert!(wait_until(SOON, || agents.terms(receiver).len() >= turn), "no term {turn} of {receiver}");
            }
            if turn == 2 * TERMS {
                break;
            }
            ask_to_hand_over(&fleet, LEASE, successor);
        }
        let closed = || own.program.lines().iter().filter(|line| line.text.contains("the term is closed")).count();
        assert!(wait_until(SOON, || closed() == round), "term {round} of {TERMS} is over");
        if round == 2 {
            after_second = settled(&own);
        }
    }
    // Connections that close, and threads that wait for more to do, take their time.
    let is_as_before = || {
        let now = has(&own);
        now.0 <= after_second.0 && now.1 <= after_second.1
    };
    assert!(wait_until(SOON, is_as_before), "descriptors and threads: {after_second:?} then, {:?} now", has(&own));
    agents.acquit(&[own, other], 2 * TERMS);
}

/// What it has when nothing has changed for a while.
fn settled(agent: &Agent) -> (usize, usize) {
    let mut last = has(agent);
    let mut since = boottime_ns();
    wait_until(Duration::from_secs(5), || {
        let now = has(agent);
        if now != last {
            (last, since) = (now, boottime_ns());
        }
        boottime_ns() - since > 1_000_000_000
    });
    last
}

pub(crate) fn a_collector_and_a_stock_candidate_take_over_from_each_other() {
    let Some(cluster) = testbed::cluster() else { return };
    let Some(go) = testbed::elector() else { return };
    let fleet = Fleet::new(cluster, "stock");
    let mut theirs = peer(&fleet, &go, "x", &DEFAULT);
    assert!(wait_until(SOON, || !fleet.judge().acts().is_empty()), "the stock candidate leads");
    // Durations at which a lease that was not released is seen from one that was.
    let mut elector = elector(&fleet, LEASE);
    for (key, value) in [("lease_duration", "15s"), ("renew_deadline", "10s"), ("retry_period", "2s")] {
        elector[key] = value.into();
    }
    let electors = json!({"k8s_leader_elector": elector});
    let agents = Agents::with(&fleet, &electors, &receivers("k8s_leader_elector", "k8s_leader_elector"));
    let mut ours = agents.start("a");
    sees(&ours, "x");
    assert_eq!(agents.sent(), [], "it stands by");
    let released_ns = boottime_ns();
    theirs.signal(Signal::TERM).expect("it runs");
    let leading = ours.program.wait_for_line("leading", SOON).expect("it takes over");
    assert!(leading.text.contains("won=\"released\""), "{}", leading.text);
    assert!(leading.at_ns - released_ns < HALF_A_LEASE_NS, "it waited for the lease to run out");
    agents.wait_for_term(CLUSTER, 1);
    let first_ns = agents.sent().iter().map(|batch| batch.at_ns).min().expect("it has sent");
    assert!(last_act(&fleet, "x") < first_ns, "two at once");

    let theirs = peer(&fleet, &go, "y", &DEFAULT);
    theirs.wait_for_line(&format!("leader {LEASE} a_"), SOON).expect("it reads our record");
    agents.wait_for_more(CLUSTER, 1);
    let asked_ns = boottime_ns();
    ours.program.signal(Signal::TERM).expect("it runs");
    assert_eq!(ours.program.wait(SOON).expect("it ends").code(), Some(0));
    let started = theirs.wait_for_line(" started ", SOON).expect("it takes over");
    assert!(started.at_ns - asked_ns < HALF_A_LEASE_NS, "it waited for the lease to run out");
    let last_ns = agents.sent().iter().map(|batch| batch.at_ns).max().expect("it has sent");
    assert!(wait_until(SOON, || last_act(&fleet, "y") > 0), "it acts");
    let judge = fleet.judge();
    let first = judge.acts().iter().find(|act| act.term.holder == "y").expect("it has acted");
    assert!(last_ns < first.at_ns, "two at once");
    agents.acquit(&[ours], 1);
}

/// When this holder has acted last; zero for never.
fn last_act(fleet: &Fleet<'_>, holder: &str) -> u64 {
    let judge = fleet.judge();
    judge.acts().iter().rev().find(|act| act.term.holder == holder).map_or(0, |act| act.at_ns)
}

/// A release is seen within a retry period or two; a lease that was not released runs out after twice this at the least.
const HALF_A_LEASE_NS: u64 = 7_500_000_000;

pub(crate) fn a_server_that_denies_pods_is_told_of_and_the_rest_goes_on() {
    let Some(cluster) = testbed::cluster() else { return };
    let fleet = Fleet::new(cluster, "no-pods");
    let user = "user-7";
    let to = |verbs: &[&str], groups: &[&str], resources: &[&str]| json!({"apiGroups": groups, "resources": resources, "verbs": verbs});
    let elect = to(&["get", "create", "update", "list", "watch"], &["coordination.k8s.io"], &["leases"]);
    cluster.api().grant(&fleet.namespace, user, &json!([elect]));
    // Everything that the receivers read, but for pods.
    let read = ["get", "list", "watch"];
    let core = to(&read, &[""], &["nodes", "namespaces", "replicationcontrollers", "resourcequotas"]);
    let others = to(&read, &["apps", "batch", "autoscaling", "test.example"], &["*"]);
    let last = json!({"group": "test.example", "resource": "gadgets", "verb": "list"});
    fleet.grant_everywhere(user, &json!([core, others]), &last);

    let agents = Agents::new(&fleet);
    let agent = agents.start_as("a", user);
    let rule = "it needs this rule in a ClusterRole: {apiGroups: [\"\"], resources: [pods], verbs: [list, watch]}";
    let said =
        agent.program.wait_for_line("the server does not let us list pods", SOON).expect("it says what is denied");
    assert!(said.text.contains(rule) && said.text.contains("WARN"), "{}", said.text);
    // The other receiver, and the other kinds of this one. Without pods no point of it has a start time.
    agents.wait_for_term(KYMA, 1);
    let others = agents.wait_for_term(CLUSTER, 1);
    let last = others.batches.last().expect("it has sent");
    for texts in [["k8s.node.name=node-a ", "k8s.node.condition_ready "], ["k8s.deployment.name=web ", "desired "]] {
        assert!(last.tells(&texts), "no {texts:?} in {last:#?}");
    }
    assert!(!last.tells(&["k8s.pod."]), "{last:#?}");
    assert_eq!(sent::twice(&agents.sent()), [""; 0]);
    assert_eq!(count(&agent.program, "does not let us"), 1, "it is said once: {:?}", agent.program.lines());
    assert_eq!(count(&agent.program, "Api(Status"), 0, "not as a library has it: {:?}", agent.program.lines());
    assert_eq!(count(&agent.program, "giving the lease up") + count(&agent.program, "stepping down"), 0);
}

fn count(program: &Program, text: &str) -> usize {
    program.lines().iter().filter(|line| line.text.contains(text)).count()
}
