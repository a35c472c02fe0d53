//! An API server that does not answer, at the default durations.

use std::thread::sleep;
use std::time::Duration;

use testbed::Cluster;
use testbed::process::wait_until;

use super::{Fleet, SOON, acting, now_ns};

pub(crate) fn a_short_outage_changes_nothing_and_a_long_one_ends_the_term_in_time() {
    let Some(cluster) = Cluster::own() else { return };
    let fleet = Fleet::new(&cluster, "outage");
    let worker = ["--ignore-term", "--sessions", "1"];
    let replica = |name| fleet.run(&["--identity", name], &worker);
    let leader = replica("a");
    acting(&leader);
    let standby = replica("b");
    standby.wait_for_line("the holder has changed", SOON).expect("the standby sees the leader");

    // The outage is this long because the test is about its length.
    cluster.api().stop();
    sleep(Duration::from_secs(4));
    cluster.api().resume();
    let renewed = now_ns() + 5_000_000_000;
    let acts_on = || fleet.judge().acts().last().is_some_and(|act| act.at_ns > renewed);
    assert!(wait_until(SOON, acts_on), "the leader did not act on");
    assert_eq!(fleet.judge().terms().len(), 1, "a change of leader in a short outage");

    let stopped_ns = now_ns();
    cluster.api().stop();
    sleep(Duration::from_secs(20));
    let judge = fleet.judge();
    let last_ns = judge.acts().last().expect("there were acts").at_ns;
    cluster.api().resume();
    // The last renewal was sent before the outage: from it on, hold and stop budget.
    let acted = Duration::from_nanos(last_ns - stopped_ns);
    assert!(acted < Duration::from_millis(14_703), "acted for {acted:?} without a renewal: {:?}", judge.spans());
    assert!(wait_until(Duration::from_secs(40), || fleet.judge().terms().len() >= 2), "no leader after the outage");
    fleet.acquit(2);
}
