//! `lease run` with real processes on a real API server: whatever is killed or stopped, no two act at once.

mod exits;
mod faults;
mod rights;
mod servers;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use testbed::judge::Judge;
use testbed::process::{Program, wait_until};
use testbed::{Cluster, boottime_ns};

/// Replicas that contend for one lease.
struct Fleet<'c> {
    cluster: &'c Cluster,
    namespace: String,
    acts: TempDir,
}

/// How the replicas' durations are set.
const QUICK: [&str; 6] = ["--lease-duration", "4s", "--renew-deadline", "3s", "--retry-period", "1s"];
/// A takeover, on a machine that is busy with other tests.
const SOON: Duration = Duration::from_secs(20);

impl<'c> Fleet<'c> {
    fn new(cluster: &'c Cluster, name: &str) -> Self {
        Self { cluster, namespace: cluster.namespace(name), acts: TempDir::new().expect("a directory") }
    }

    /// The program `lease`, with the rights of this user.
    fn lease(&self, user: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lease"));
        command.env("KUBECONFIG", self.cluster.api().kubeconfig(user)).env_remove("LEASE_BACKEND");
        command.args(["--namespace", &self.namespace]);
        command
    }

    /// A replica of this name whose command is a worker; more flags for either.
    fn replica(&self, name: &str, flags: &[&str], worker: &[&str]) -> Program {
        self.run(&[&["--identity", name], &QUICK[..], flags].concat(), worker)
    }

    fn run(&self, flags: &[&str], worker: &[&str]) -> Program {
        let mut command = self.lease("admin");
        command.args(["run", LEASE]).args(flags).arg("--").arg(testbed::worker());
        command.arg("--log-dir").arg(self.acts.path()).args(worker);
        Program::spawn(command).expect("lease starts")
    }

    /// A replica that leads, and one that stands by.
    fn pair(&self, worker: &[&str]) -> (Program, Program) {
        let leader = self.replica("a", &[], worker);
        self.acquit(1);
        let standby = self.replica("b", &[], worker);
        standby.wait_for_line("the holder has changed", SOON).expect("the standby sees the leader");
        (leader, standby)
    }

    fn judge(&self) -> Judge {
        Judge::read(self.acts.path()).expect("logs that can be read")
    }

    /// Nothing was wrong, and so many terms acted. A command that has just begun is given time to act.
    fn acquit(&self, terms: usize) {
        wait_until(SOON, || self.judge().terms().len() >= terms);
        self.judge().acquit(terms);
    }

    /// From this moment until another term acted.
    fn takeover_after(&self, moment_ns: u64) -> Duration {
        let takeover = || self.judge().takeover_after(moment_ns);
        assert!(wait_until(SOON, || takeover().is_some()), "nobody took over");
        takeover().expect("it has just been there").delay
    }
}

/// Waits until the replica's command runs, and returns its process.
fn acting(replica: &Program) -> u32 {
    acting_after(replica, 0)
}

/// The same, for a term that began after so many lines.
fn acting_after(replica: &Program, mark: usize) -> u32 {
    let line = replica.wait_for_line_after(mark, "the command runs", SOON).expect("it leads");
    let pid = line.text.rsplit_once("pid=").expect("the line names the process").1;
    pid.parse().expect("a number")
}

/// Its guardian: the parent of its command.
fn guardian(command: u32) -> u32 {
    let stat = std::fs::read_to_string(Path::new("/proc").join(command.to_string()).join("stat"));
    let stat = stat.expect("the command runs");
    let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1));
    parent.and_then(|parent| parent.parse().ok()).expect("the fourth field is the parent")
}

fn now_ns() -> u64 {
    boottime_ns()
}

const LEASE: &str = "lead";
