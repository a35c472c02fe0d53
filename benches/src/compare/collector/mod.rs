//! `lease collector`, measured as the OpenTelemetry Collector was: what happens to the data when the leader ends, dies,
//! loses its lease or is stopped; what it costs; and which durations are refused before anything starts.
//!
//! The reference is not started here. Its figures were measured once, in the same way, and stand beside ours in [`page`].
//! When data was read, its own times say; who sent it, a header.

mod page;
mod replicas;

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use testbed::process::{Signal, anonymous_bytes, cpu_time, resident_bytes, wait_until};
use testbed::{Cluster, boottime_ns};

pub(super) use self::page::section;
use self::replicas::{Pair, Replica, Replicas, elector, furnish};
use super::candidate::Peer;
use super::takeovers::in_lanes;
use super::{CompareError, Rig};

/// What happens to a leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Term,
    Kill,
    Taken,
    Stop,
}

pub(super) fn run(rig: &Rig<'_>) -> Result<(), CompareError> {
    furnish(&rig.cluster, &rig.namespace, 1, 1)?;
    record(rig, BINARY, mib(rig.lease.metadata().map_err(CompareError::io(&rig.lease))?.len()))?;
    durations(rig)?;
    for event in [Event::Term, Event::Kill, Event::Taken, Event::Stop] {
        in_lanes(rig.options.rounds, |_, own| own.into_iter().try_for_each(|round| sample(rig, event, round)))?;
    }
    idle(rig)?;
    large(rig)
}

/// One event, and what became of the data.
fn sample(rig: &Rig<'_>, event: Event, round: usize) -> Result<(), CompareError> {
    let lease = format!("collector-{event:?}-{round}").to_lowercase();
    let mut pair = Pair::start(rig, &lease)?;
    // At any phase of the renewals and of the collection.
    thread::sleep(SETTLE + RETRY_PERIOD.mul_f64(fastrand::f64()));
    match event {
        Event::Term | Event::Kill => {
            let (signal, whats) = if event == Event::Term {
                (Signal::TERM, [TERM_LEADS, TERM_GAP])
            } else {
                (Signal::KILL, [KILL_LEADS, KILL_GAP])
            };
            let event_ns = boottime_ns();
            pair.leader.signal(signal)?;
            let leads_ns = pair.standby.wait_for("leading")?.saturating_sub(event_ns);
            let [last, next] = pair.two_terms()?;
            record(rig, whats[0], seconds(leads_ns))?;
            record(rig, whats[1], last.gap_to(&next).as_secs_f64())
        }
        Event::Taken => {
            let path = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases/{lease}", rig.namespace);
            let taken = json!({"spec": {"holderIdentity": "somebody"}});
            let answer = rig.cluster.api().admin("PATCH", &path, Some(&taken));
            let taken_ns = boottime_ns();
            if answer.status != 200 {
                return Err(CompareError::scene(format!("the lease cannot be taken: {}", answer.status)));
            }
            let noticed_ns = pair.leader.wait_for("leadership is lost")?.saturating_sub(taken_ns);
            let [last, _] = pair.two_terms()?;
            let late = last.batches.iter().filter(|batch| batch.at_ns > taken_ns).count();
            record(rig, TAKEN_NOTICED, seconds(noticed_ns))?;
            record(rig, TAKEN_BATCHES, float(late))
        }
        Event::Stop => {
            pair.leader.signal(Signal::STOP)?;
            thread::sleep(STOPPED);
            let awake_ns = boottime_ns();
            pair.leader.signal(Signal::CONT)?;
            pair.leader.wait_for("leadership is lost")?;
            let [last, _] = pair.two_terms()?;
            let late = last.batches.iter().filter(|batch| batch.at_ns > awake_ns).count();
            record(rig, STOP_BATCHES, float(late))
        }
    }
}

/// What a leader and a standby cost that have little to do.
fn idle(rig: &Rig<'_>) -> Result<(), CompareError> {
    let pair = Pair::start(rig, "collector-idle")?;
    thread::sleep(WARM_UP);
    costs(rig, &[(&pair.leader, LEADER), (&pair.standby, STANDBY)])
}

/// What is recorded of a process: processor time in percent of a core; resident memory, and what of it is its own, in MiB.
type Costs = [&'static str; 3];

/// Processor time over the window, and the memory at its end.
fn costs(rig: &Rig<'_>, of: &[(&Replica, Costs)]) -> Result<(), CompareError> {
    let used = |replica: &Replica| cpu_time(replica.id()).ok_or_else(|| CompareError::scene("a collector has ended"));
    let before = of.iter().map(|(replica, ..)| used(replica)).collect::<Result<Vec<_>, _>>()?;
    let begun = Instant::now();
    thread::sleep(rig.options.cpu_window);
    for ((replica, [cpu, memory, own]), before) in of.iter().zip(before) {
        let spent = used(replica)?.saturating_sub(before);
        record(rig, cpu, 100.0 * spent.as_secs_f64() / begun.elapsed().as_secs_f64())?;
        record(rig, memory, mib(resident_bytes(replica.id()).unwrap_or_default()))?;
        record(rig, own, mib(anonymous_bytes(replica.id()).unwrap_or_default()))?;
    }
    Ok(())
}

/// A cluster of some size, of its own: how soon all of it is told, and what that costs.
fn large(rig: &Rig<'_>) -> Result<(), CompareError> {
    let cluster = Cluster::start()?;
    let namespace = cluster.namespace("large");
    furnish(&cluster, &namespace, PODS, NODES)?;
    let first = |round: usize, interval| {
        let electors = elector(&namespace, &format!("large-{round}"));
        let replicas = Replicas::new(&cluster, &namespace, &electors, interval)?;
        let replica = replicas.start(rig, "a")?;
        let leading_ns = replica.wait_for("leading")?;
        let all = || replicas.batches().into_iter().find(|batch| batch.points.len() >= PODS);
        if !wait_until(WITHIN, || all().is_some()) {
            return Err(CompareError::scene("not all of the cluster is told"));
        }
        let told_ns = all().map_or(0, |batch| batch.at_ns);
        record(rig, LARGE_FIRST, seconds(told_ns.saturating_sub(leading_ns)))?;
        Ok((replicas, replica))
    };
    for round in 1..rig.options.rounds.min(LARGE_ROUNDS) {
        first(round, "1s")?;
    }
    let (_replicas, replica) = first(0, "10s")?;
    thread::sleep(WARM_UP);
    costs(rig, &[(&replica, LARGE)])
}

/// Which of some durations that cannot work `lease validate` refuses, with the key that is wrong.
fn durations(rig: &Rig<'_>) -> Result<(), CompareError> {
    let is_refused = |durations: [&str; 3], key: &str| {
        let [lease, renew, retry] = durations;
        let elector = json!({"lease_name": "x", "lease_namespace": "y",
            "lease_duration": lease, "renew_deadline": renew, "retry_period": retry});
        let config = json!({"extensions": {"k8s_leader_elector": elector},
            "receivers": {"dummy": {"k8s_leader_elector": "k8s_leader_elector"}}, "exporters": {"debug": {}},
            "service": {"extensions": ["k8s_leader_elector"],
                "pipelines": {"metrics": {"receivers": ["dummy"], "exporters": ["debug"]}}}});
        let output = Command::new(&rig.lease).args(["validate", "--config", &format!("yaml:{config}")]).output();
        let output = output.map_err(CompareError::io(&rig.lease))?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Ok::<_, CompareError>((output.status.success(), said.contains(key)))
    };
    if is_refused(["15s", "10s", "2s"], "")? != (true, true) {
        return Err(CompareError::scene("the default durations are refused"));
    }
    let mut found = 0;
    for (durations, key) in BAD {
        let refused = is_refused(durations, key)? == (false, true);
        eprintln!("  {durations:?}: {}", if refused { "refused" } else { "not refused for this" });
        found += usize::from(refused);
    }
    record(rig, BAD_FOUND, float(found))
}

fn record(rig: &Rig<'_>, what: &'static str, value: f64) -> Result<(), CompareError> {
    rig.record.used(what, Peer::Ours, value)
}

fn seconds(ns: u64) -> f64 {
    Duration::from_nanos(ns).as_secs_f64()
}

fn mib(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes / 1024).unwrap_or(u32::MAX)) / 1024.0
}

fn float(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// Lease duration, renew deadline and retry period that cannot work, and the key that is told of.
const BAD: [([&str; 3], &str); 10] = [
    (["10s", "15s", "2s"], "renew_deadline"),
    (["15s", "15s", "2s"], "renew_deadline"),
    (["15s", "10s", "10s"], "retry_period"),
    (["15s", "10s", "8s"], "retry_period"),
    (["15s", "14900ms", "2s"], "renew_deadline"),
    (["15500ms", "10s", "2s"], "lease_duration"),
    (["0s", "10s", "2s"], "lease_duration"),
    (["15s", "0s", "2s"], "renew_deadline"),
    (["15s", "10s", "0s"], "retry_period"),
    (["15s", "10s", "-2s"], "retry_period"),
];

// Seconds.
const TERM_LEADS: &str = "collector_term_leads_s";
const TERM_GAP: &str = "collector_term_gap_s";
const KILL_LEADS: &str = "collector_kill_leads_s";
const KILL_GAP: &str = "collector_kill_gap_s";
const TAKEN_NOTICED: &str = "collector_taken_noticed_s";
const LARGE_FIRST: &str = "collector_large_first_s";
// Batches.
const TAKEN_BATCHES: &str = "collector_taken_batches";
const STOP_BATCHES: &str = "collector_stop_batches";
const LEADER: Costs = ["collector_leader_cpu_percent", "collector_leader_mib", "collector_leader_own_mib"];
const STANDBY: Costs = ["collector_standby_cpu_percent", "collector_standby_mib", "collector_standby_own_mib"];
const LARGE: Costs = ["collector_large_cpu_percent", "collector_large_mib", "collector_large_own_mib"];
// MiB.
const BINARY: &str = "collector_binary_mib";
/// Of all [`BAD`].
const BAD_FOUND: &str = "collector_bad_durations_found";

const PODS: usize = 2_000;
const NODES: usize = 200;
const LARGE_ROUNDS: usize = 3;
const RETRY_PERIOD: Duration = Duration::from_secs(2);
const SETTLE: Duration = Duration::from_secs(1);
const STOPPED: Duration = Duration::from_secs(25);
/// The first seconds are connections and code that is touched for the first time.
const WARM_UP: Duration = Duration::from_secs(10);
/// Three lease durations.
const WITHIN: Duration = Duration::from_secs(45);
