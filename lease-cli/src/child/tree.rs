//! All descendants of a process: finding them, signalling them, killing them, knowing that none is left.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, getpid, kill_process, pidfd_open, pidfd_send_signal, wait,
};

/// A process as a scan saw it. The start time tells it from a later process of the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Seen {
    pid: Pid,
    started_ticks: u64,
}

/// One line of `/proc/PID/stat`, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    seen: Seen,
    parent: i32,
    dead: bool,
}

/// Sends a signal to every living descendant of this process.
pub(super) fn signal_descendants(signal: Signal) {
    for seen in descendants(getpid()) {
        send(seen, signal);
    }
}

/// Kills every descendant of this process that can be found; what is left is for the next round.
///
/// All are stopped before any is killed, and the scan is repeated until it finds nobody new: so no
/// parent reacts to the death of a child by starting another, and a tree that keeps forking is caught
/// in a few passes. One round is bounded; the caller repeats it until [`reap`] says that no child is
/// left, which is the proof that a scan of `/proc` cannot give.
pub(super) fn kill_descendants() {
    let mut found = HashSet::new();
    for _ in 0..FREEZE_PASSES_MAX {
        let fresh: Vec<Seen> = descendants(getpid()).into_iter().filter(|seen| found.insert(*seen)).collect();
        if fresh.is_empty() {
            break;
        }
        for seen in fresh {
            send(seen, Signal::STOP);
        }
    }
    for seen in found {
        send(seen, Signal::KILL);
    }
}

/// Collects children that ended or stopped, and hands each to `tell`. False when no child is left at
/// all: for a subreaper that means that no descendant is left.
///
/// Of this thread's children, and orphans fall to the main thread: a credential plugin is a child of the thread that
/// waits for it, and would be taken from under its hands.
pub(super) fn reap(mut tell: impl FnMut(Pid, WaitStatus)) -> bool {
    let options = WaitOptions::NOHANG | WaitOptions::UNTRACED | WaitOptions::from_bits_retain(WAIT_NO_THREAD);
    loop {
        match wait(options) {
            Ok(Some((pid, status))) => tell(pid, status),
            Ok(None) => return true,
            Err(Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

/// The living descendants of `root` at about this moment, without it.
fn descendants(root: Pid) -> Vec<Seen> {
    let mut children: HashMap<i32, Vec<Stat>> = HashMap::new();
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let mut line = [0; 1024];
    for name in entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()) {
        if let Some(stat) = name.parse().ok().and_then(Pid::from_raw).and_then(|pid| stat(pid, &mut line)) {
            children.entry(stat.parent).or_default().push(stat);
        }
    }
    let mut found = Vec::new();
    let mut next = vec![root.as_raw_pid()];
    while let Some(parent) = next.pop() {
        for child in children.remove(&parent).unwrap_or_default() {
            next.push(child.seen.pid.as_raw_pid());
            if !child.dead {
                found.push(child.seen);
            }
        }
    }
    found
}

fn stat(pid: Pid, line: &mut [u8]) -> Option<Stat> {
    let mut file = File::open(format!("/proc/{}/stat", pid.as_raw_pid())).ok()?;
    let length = file.read(line).ok()?;
    parse_stat(pid, &line[..length])
}

/// The fields after the command's name, which may itself hold blanks and brackets.
fn parse_stat(pid: Pid, line: &[u8]) -> Option<Stat> {
    let name_ends = line.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(&line[name_ends + 1..]).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let started_ticks = fields.nth(STARTED_AFTER_PARENT)?.parse().ok()?;
    Some(Stat { seen: Seen { pid, started_ticks }, parent, dead: matches!(state, "Z" | "X") })
}

/// Signals the process that was seen, and never a later one that has its number now.
fn send(seen: Seen, signal: Signal) {
    // Errors mean that it is gone, or that it belongs to somebody else and cannot be killed: then it is
    // still a child or a descendant, and `reap` goes on saying so.
    let _ = match handle(seen) {
        Ok(Some(process)) => pidfd_send_signal(process, signal),
        // Old kernels have no process descriptors, and some sandboxes refuse what they do not know.
        Err(Errno::NOSYS | Errno::PERM) if is_still(seen) => kill_process(seen.pid, signal),
        Ok(None) | Err(_) => Ok(()),
    };
}

fn handle(seen: Seen) -> Result<Option<OwnedFd>, Errno> {
    let process = pidfd_open(seen.pid, PidfdFlags::empty())?;
    Ok(is_still(seen).then_some(process))
}

fn is_still(seen: Seen) -> bool {
    stat(seen.pid, &mut [0; 1024]).is_some_and(|stat| stat.seen == seen)
}

/// `__WNOTHREAD` (`linux/wait.h`), for which there is no name in rustix.
const WAIT_NO_THREAD: u32 = 0x2000_0000;
/// A tree that forks faster than this many scans is killed as far as it is known, and scanned again.
const FREEZE_PASSES_MAX: usize = 16;
/// Field 22 of the line is the start time, field 4 the parent.
const STARTED_AFTER_PARENT: usize = 22 - 4 - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_command_name_does_not_confuse_the_parser() {
        let pid = Pid::from_raw(12).expect("not zero");
        let line = b"12 (a) S 1 (b)) R 7 12 12 0 -1 4194304 94 0 0 0 0 0 0 0 20 0 1 0 4242 2564096 247";
        let stat = parse_stat(pid, line).expect("a line of the kernel's form");
        assert_eq!(stat, Stat { seen: Seen { pid, started_ticks: 4242 }, parent: 7, dead: false });
        assert_eq!(parse_stat(pid, b"12 (x) Z"), None);
        assert_eq!(parse_stat(pid, b""), None);
    }

    #[test]
    fn a_process_is_signalled_only_while_it_is_the_one_that_was_seen() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep starts");
        let pid = Pid::from_child(&child);
        let seen = descendants(getpid()).into_iter().find(|seen| seen.pid == pid).expect("a child is a descendant");
        send(Seen { started_ticks: seen.started_ticks + 1, ..seen }, Signal::KILL);
        assert!(child.try_wait().expect("a child of ours").is_none(), "a namesake was killed");
        send(seen, Signal::KILL);
        assert_eq!(child.wait().expect("a child of ours").code(), None, "ended by the signal");
    }
}
