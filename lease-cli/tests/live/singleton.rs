//! Three replicas with one configuration: exactly one sends, and after whatever happens to it another, never two.

use testbed::process::Signal;
use testbed::sent::Term;

use super::agents::{Agent, Agents, CLUSTER, GAP_MAX, KYMA, sees};
use super::{Fleet, LEASE, SOON};

/// Three replicas, of which the first leads and has sent for a while.
struct Three<'f> {
    agents: Agents<'f>,
    replicas: Vec<Agent>,
}

impl<'f> Three<'f> {
    fn start(fleet: &'f Fleet<'f>) -> Self {
        let agents = Agents::new(fleet);
        let mut replicas: Vec<Agent> = ["a", "b", "c"].map(|name| agents.start(name)).into();
        let leader = agents.wait_for_term(CLUSTER, 1).replica;
        assert_eq!(agents.wait_for_term(KYMA, 1).replica, leader, "one elector has both");
        let at = replicas.iter().position(|replica| replica.name == leader).expect("it is one of them");
        replicas.swap(0, at);
        for standby in &replicas[1..] {
            sees(standby, &leader);
            assert_eq!(agents.filed(standby.name), [], "a standby has written");
        }
        // An event after this comes right after a batch, so that most of an interval is left for what follows.
        agents.wait_for_more(CLUSTER, 1);
        Self { agents, replicas }
    }

    fn leader(&mut self) -> &mut Agent {
        &mut self.replicas[0]
    }

    /// Waits until the next term has sent for a while.
    fn next_term(&self) -> Term {
        self.agents.wait_for_term(KYMA, 2);
        self.agents.wait_for_term(CLUSTER, 2)
    }

    /// The leader has noticed, and its term is over; whoever leads now goes on, so that it would have, too.
    fn is_over(&self, why: &str) {
        let leader = &self.replicas[0].program;
        let lost = leader.wait_for_line("leadership is lost", SOON).expect("it notices");
        assert!(lost.text.contains(&format!("reason={why}")), "{}", lost.text);
        leader.wait_for_line("the term is closed", SOON).expect("its work stops");
        self.next_term();
        self.agents.wait_for_more(CLUSTER, 2);
        self.agents.acquit(&self.replicas, 2);
    }
}

pub(crate) fn a_leader_that_is_asked_to_end_leaves_no_gap() {
    let Some(cluster) = testbed::cluster() else { return };
    let fleet = Fleet::new(cluster, "singleton-end");
    let mut three = Three::start(&fleet);
    three.leader().program.signal(Signal::TERM).expect("it runs");
    assert_eq!(three.leader().program.wait(SOON).expect("it ends").code(), Some(0));
    let next = three.next_term();
    assert_ne!(next.replica, three.leader().name);
    three.agents.acquit(&three.replicas, 2);
    for receiver in [CLUSTER, KYMA] {
        let [last, next] = three.agents.terms(receiver).try_into().expect("two terms, as acquitted");
        let gap = last.gap_to(&next);
        assert!(gap <= GAP_MAX, "{gap:?} without data of {receiver}");
        // What ends in order has written everything that it has sent.
        let filed = three.agents.filed(&last.replica);
        let filed: Vec<u64> = filed.iter().filter(|b| b.receiver == receiver).map(|batch| batch.time_ns).collect();
        let sent: Vec<u64> = last.batches.iter().map(|batch| batch.time_ns).collect();
        assert_eq!(filed, sent, "{receiver}");
    }
}

pub(crate) fn a_leader_that_is_killed_is_followed_by_one() {
    let Some(cluster) = testbed::cluster() else { return };
    let fleet = Fleet::new(cluster, "singleton-kill");
    let mut three = Three::start(&fleet);
    three.leader().program.signal(Signal::KILL).expect("it runs");
    assert_ne!(three.next_term().replica, three.leader().name);
    three.agents.acquit(&three.replicas, 2);
}

pub(crate) fn a_leader_that_was_stopped_sends_nothing_when_it_wakes() {
    let Some(cluster) = testbed::cluster() else { return };
    let fleet = Fleet::new(cluster, "singleton-stop");
    let mut three = Three::start(&fleet);
    three.leader().program.signal(Signal::STOP).expect("it runs");
    assert_ne!(three.next_term().replica, three.leader().name);
    three.leader().program.signal(Signal::CONT).expect("it is there");
    three.is_over("expired");
}

pub(crate) fn a_leader_whose_lease_is_deleted_sends_nothing_more() {
    let Some(cluster) = testbed::cluster() else { return };
    let fleet = Fleet::new(cluster, "singleton-delete");
    let three = Three::start(&fleet);
    cluster.api().admin("DELETE", &fleet.path(), None).ok();
    three.is_over("deleted");
}

pub(crate) fn a_leader_whose_lease_is_deleted_by_the_program_sends_nothing_more() {
    let Some(cluster) = testbed::cluster() else { return };
    let fleet = Fleet::new(cluster, "singleton-program");
    let three = Three::start(&fleet);
    let output = fleet.lease("admin").args(["delete", LEASE, "--confirm", LEASE]).output().expect("lease starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    three.is_over("deleted");
}
