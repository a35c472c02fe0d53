//! What it costs to lead and to stand by: processor time, memory, requests.

use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use testbed::process::{Program, cpu_time, resident_bytes, wait_until};

use super::candidate::{Candidate, Peer};
use super::{CompareError, Rig};

/// Processor time per renewal of a process that renews many leases once a second each.
///
/// Both peers at once, so that whatever else the machine does burdens both.
pub(super) fn cpu(rig: &Rig<'_>) -> Result<(), CompareError> {
    let mut programs = Vec::new();
    for (peer, user) in Peer::ALL.into_iter().zip(MANY_USERS) {
        programs.push((peer, user, many(rig, peer, user)?));
    }
    // The first seconds are connections and code that is touched for the first time.
    thread::sleep(WARM_UP);
    let used = || programs.iter().map(|(_, user, program)| Ok((used(program.id())?, renewals(rig, user))));
    let before = used().collect::<Result<Vec<_>, CompareError>>()?;
    let begun = Instant::now();
    thread::sleep(rig.options.cpu_window);
    let after = used().collect::<Result<Vec<_>, CompareError>>()?;
    let elapsed = begun.elapsed();
    for ((peer, _, _), (before, after)) in programs.iter().zip(before.into_iter().zip(after)) {
        let count = after.1 - before.1;
        let each = after.0.saturating_sub(before.0).div_f64(f64::from(u32::try_from(count.max(1)).unwrap_or(u32::MAX)));
        rig.record.used(CPU, *peer, each.as_secs_f64() * 1000.0)?;
        rig.record.used(RENEWALS, *peer, per_second(count, elapsed))?;
    }
    Ok(())
}

/// A process of this peer and user that leads on all of its leases.
fn many(rig: &Rig<'_>, peer: Peer, user: &str) -> Result<Program, CompareError> {
    let prefix = format!("many-{peer}");
    let kubeconfig = kubeconfig(rig, user);
    let command = match peer {
        Peer::Ours => {
            let mut command = Command::new(&rig.elections);
            command.arg(&kubeconfig).args([&rig.namespace, &prefix, &LEASES.to_string()]);
            command
        }
        Peer::ClientGo => {
            let mut command = Command::new(&rig.elector);
            command.arg("--kubeconfig").arg(&kubeconfig).args(["--namespace", &rig.namespace]);
            command.args(["--name", &prefix, "--identity", "many", "--leases", &LEASES.to_string(), "--qps", "-1"]);
            command.args(["--lease-duration", "4s", "--renew-deadline", "3s", "--retry-period", "1s"]);
            command
        }
    };
    let program = Program::spawn(command).map_err(CompareError::io("a process with many elections"))?;
    let started = || program.lines().iter().filter(|line| line.text.contains("started ")).count();
    if !wait_until(ALL_LEAD_WITHIN, || started() >= LEASES) {
        return Err(CompareError::scene(format!("{peer} leads on {} of {LEASES} leases", started())));
    }
    Ok(program)
}

fn used(id: u32) -> Result<Duration, CompareError> {
    cpu_time(id).ok_or_else(|| CompareError::scene("a process with many elections has ended"))
}

/// How many renewals of this user the server has answered.
fn renewals(rig: &Rig<'_>, user: &str) -> usize {
    rig.cluster.api().verbs_of(user).iter().filter(|verb| *verb == "update").count()
}

/// That of a user who may elect: the server's record tells users apart.
fn kubeconfig(rig: &Rig<'_>, user: &str) -> PathBuf {
    let right = json!([{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"],
        "verbs": ["get", "list", "watch", "create", "update"]}]);
    rig.cluster.api().grant(&rig.namespace, user, &right);
    rig.cluster.api().kubeconfig(user)
}

/// The memory of one that leads, and the requests of one that stands by.
pub(super) fn idle(rig: &Rig<'_>) -> Result<(), CompareError> {
    let mut leaders = Vec::new();
    let mut standbys = Vec::new();
    for (peer, user) in Peer::ALL.into_iter().zip(STANDBY_USERS) {
        let lease = format!("idle-{peer}");
        let leader = Candidate::start(rig, peer, &lease, &format!("{peer}-leader"))?;
        leader.wait_to_lead(0, ALL_LEAD_WITHIN)?;
        let standby = Candidate::start_as(rig, peer, &lease, &format!("{peer}-standby"), &kubeconfig(rig, user))?;
        standby.wait_to_follow(leader.name(), ALL_LEAD_WITHIN)?;
        leaders.push((peer, leader));
        standbys.push((peer, user, standby));
    }
    thread::sleep(rig.options.memory_after);
    for (peer, leader) in &leaders {
        let processes = leader.own_processes()?;
        let bytes: u64 = processes.iter().filter_map(|id| resident_bytes(*id)).sum();
        let each: Vec<_> = processes.iter().filter_map(|id| resident_bytes(*id)).map(|bytes| bytes / 1024).collect();
        eprintln!("  {peer}: {each:?} KiB");
        let mib = f64::from(u32::try_from(bytes / 1024).unwrap_or(u32::MAX)) / 1024.0;
        rig.record.used(MEMORY, *peer, mib)?;
    }
    let begun = Instant::now();
    let before: Vec<_> = standbys.iter().map(|(_, user, _)| rig.cluster.api().verbs_of(user).len()).collect();
    thread::sleep(rig.options.idle_window);
    for ((peer, user, standby), before) in standbys.iter().zip(before) {
        let verbs = rig.cluster.api().verbs_of(user);
        let (watches, others): (Vec<_>, Vec<_>) = verbs[before..].iter().partition(|verb| verb.as_str() == "watch");
        if !standby.is_alive() {
            return Err(CompareError::scene("a standby has ended by itself"));
        }
        eprintln!(
            "  {peer}: {} requests beside {} new watches; at first {:?}",
            others.len(),
            watches.len(),
            &verbs[..before]
        );
        rig.record.used(REQUESTS, *peer, per_second(others.len(), begun.elapsed()))?;
        rig.record.used(WATCHES, *peer, per_second(watches.len(), begun.elapsed()))?;
    }
    Ok(())
}

fn per_second(count: usize, elapsed: Duration) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / elapsed.as_secs_f64()
}

/// Milliseconds of processor time for each renewal.
pub(super) const CPU: &str = "cpu_ms_per_renewal";
/// Renewals a second that the server answered meanwhile.
pub(super) const RENEWALS: &str = "renewals_per_second";
/// Resident memory in MiB.
pub(super) const MEMORY: &str = "memory_mib";
/// Requests a second of a standby, without watches.
pub(super) const REQUESTS: &str = "requests_per_second";
/// Watches a second that a standby opened.
pub(super) const WATCHES: &str = "watches_per_second";
/// In one process.
const LEASES: usize = 100;
const MANY_USERS: [&str; 2] = ["user-0", "user-1"];
const STANDBY_USERS: [&str; 2] = ["user-2", "user-3"];
const WARM_UP: Duration = Duration::from_secs(10);
const ALL_LEAD_WITHIN: Duration = Duration::from_mins(1);
