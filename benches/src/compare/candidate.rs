//! One candidate of either peer: its processes, what it prints, and what its guarded program did.

use std::fmt;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use testbed::judge::{Act, Judge};
use testbed::process::{Program, Signal, is_alive, signal_process};

use super::{CompareError, Rig};

/// Who is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Peer {
    /// `lease run`, guarding a program.
    Ours,
    /// The stock elector, whose work is a part of its process.
    ClientGo,
}

impl Peer {
    pub(super) const ALL: [Self; 2] = [Self::Ours, Self::ClientGo];

    /// Both, the other one first in every second round.
    pub(super) fn alternating(round: usize) -> [Self; 2] {
        if round.is_multiple_of(2) { Self::ALL } else { [Self::ClientGo, Self::Ours] }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ours => "ours",
            Self::ClientGo => "client-go",
        })
    }
}

/// One candidate, gone with all its processes on drop.
#[derive(Debug)]
pub(super) struct Candidate {
    peer: Peer,
    name: String,
    program: Program,
    logs: TempDir,
}

impl Candidate {
    /// Starts one for `lease` under a name that no other candidate has or begins with.
    pub(super) fn start(rig: &Rig<'_>, peer: Peer, lease: &str, name: &str) -> Result<Self, CompareError> {
        Self::start_as(rig, peer, lease, name, &rig.kubeconfig)
    }

    /// The same, as the user of that kubeconfig.
    pub(super) fn start_as(
        rig: &Rig<'_>,
        peer: Peer,
        lease: &str,
        name: &str,
        kubeconfig: &Path,
    ) -> Result<Self, CompareError> {
        let logs = tempfile::tempdir().map_err(CompareError::io("temporary directory"))?;
        let mut command = match peer {
            Peer::Ours => {
                let mut command = Command::new(&rig.lease);
                command.args(["run", lease, "--namespace", &rig.namespace, "--identity", name]);
                command.arg("--kubeconfig").arg(kubeconfig).args(TIMING);
                command.arg("--").arg(&rig.worker).arg("--log-dir").arg(logs.path());
                // Longer than any comparison; the supervision ends it before.
                command.args(["--limit-ms", "86400000"]);
                command
            }
            Peer::ClientGo => {
                let mut command = Command::new(&rig.elector);
                command.args(["--namespace", &rig.namespace, "--name", lease, "--identity", name]);
                command.arg("--kubeconfig").arg(kubeconfig).args(TIMING).arg("--release-on-cancel");
                command.arg("--log").arg(logs.path().join("elector.acts"));
                command
            }
        };
        // What the caller's environment says of colours, levels and proxies is nothing to compare.
        command.env_remove("RUST_LOG").env("NO_COLOR", "1").env("NO_PROXY", "*");
        let program = Program::spawn(command).map_err(CompareError::io(&rig.lease))?;
        Ok(Self { peer, name: name.to_owned(), program, logs })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn program(&mut self) -> &mut Program {
        &mut self.program
    }

    pub(super) fn is_alive(&self) -> bool {
        is_alive(self.program.id())
    }

    /// A place in what it prints, to wait from.
    pub(super) fn mark(&self) -> usize {
        self.program.mark()
    }

    /// Waits until its guarded program was started after `mark`; its first act may be still to come.
    pub(super) fn wait_to_lead(&self, mark: usize, within: Duration) -> Result<(), CompareError> {
        let text = match self.peer {
            Peer::Ours => "the command runs",
            Peer::ClientGo => " started ",
        };
        Ok(self.program.wait_for_line_after(mark, text, within).map(drop)?)
    }

    /// Waits until it has seen that `leader` holds the lease.
    pub(super) fn wait_to_follow(&self, leader: &str, within: Duration) -> Result<(), CompareError> {
        let text = match self.peer {
            Peer::Ours => format!("holder={leader}"),
            Peer::ClientGo => format!(" {leader}"),
        };
        Ok(self.program.wait_for_line(&text, within).map(drop)?)
    }

    /// The processes that it consists of, the guarded program among them.
    pub(super) fn processes(&self) -> Vec<u32> {
        self.program.tree()
    }

    /// The processes that elect and guard, without the guarded program.
    pub(super) fn own_processes(&self) -> Result<Vec<u32>, CompareError> {
        let guarded: Vec<u32> = match self.peer {
            Peer::Ours => self.acts()?.iter().map(|act| act.pid).collect(),
            Peer::ClientGo => Vec::new(),
        };
        Ok(self.processes().into_iter().filter(|id| !guarded.contains(id)).collect())
    }

    /// Kills all its processes as nearly at once as a loop can; they are listed beforehand.
    pub(super) fn kill(processes: &[u32]) {
        for id in processes {
            // One that is gone already was taken along by one before it.
            let _ = signal_process(*id, Signal::KILL);
        }
    }

    /// All acts of its guarded programs.
    pub(super) fn acts(&self) -> Result<Vec<Act>, CompareError> {
        Ok(Judge::read(self.logs.path())?.acts().to_vec())
    }

    /// The last act, without reading the others; 0 for none. It is asked for often.
    pub(super) fn last_act_ns(&self) -> Result<u64, CompareError> {
        let mut last = 0;
        for entry in fs::read_dir(self.logs.path()).map_err(CompareError::io(self.logs.path()))?.flatten() {
            last = last.max(last_act_in(&entry.path()).map_err(CompareError::io(entry.path()))?);
        }
        Ok(last)
    }

    /// Keeps its logs for people to look into.
    pub(super) fn keep(&self, dir: &Path) -> Result<(), CompareError> {
        fs::create_dir_all(dir).map_err(CompareError::io(dir))?;
        let printed: Vec<String> =
            self.program.lines().iter().map(|line| format!("{} {}", line.at_ns, line.text)).collect();
        let path = dir.join(format!("{}.log", self.name));
        fs::write(&path, printed.join("\n") + "\n").map_err(CompareError::io(path))?;
        for entry in fs::read_dir(self.logs.path()).map_err(CompareError::io(self.logs.path()))?.flatten() {
            let path = dir.join(format!("{}-{}", self.name, entry.file_name().display()));
            fs::copy(entry.path(), &path).map_err(CompareError::io(path))?;
        }
        Ok(())
    }
}

/// The time of the last complete `act` line; 0 for none.
fn last_act_in(path: &Path) -> std::io::Result<u64> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let tail = String::from_utf8_lossy(&tail);
    let complete = tail.rfind('\n').map_or("", |end| &tail[..end]);
    let act = complete.lines().rev().find(|line| line.contains(" act "));
    Ok(act.and_then(|line| line.split(' ').next()?.parse().ok()).unwrap_or(0))
}

/// The time limits of both peers: client-go's defaults.
const TIMING: [&str; 6] = ["--lease-duration", "15s", "--renew-deadline", "10s", "--retry-period", "2s"];
/// Several lines.
const TAIL_BYTES: u64 = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_act_is_found_at_the_end_of_a_long_log() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut text = (1000..1100).fold(String::new(), |text, at| text + &format!("{at} 7 act 5 a\n"));
        fs::write(file.path(), &text).unwrap();
        assert_eq!(last_act_in(file.path()).unwrap(), 1099);
        text.push_str("2000 7 term 5 a\n3000 7 ac");
        fs::write(file.path(), &text).unwrap();
        assert_eq!(last_act_in(file.path()).unwrap(), 1099);
        fs::write(file.path(), "").unwrap();
        assert_eq!(last_act_in(file.path()).unwrap(), 0);
    }

    #[test]
    fn peers_take_turns() {
        assert_ne!(Peer::alternating(0)[0], Peer::alternating(1)[0]);
    }
}
