//! Who owns the keyboard: the command's process group while it runs, ours otherwise.
//!
//! A background group that takes the terminal is stopped for it (`SIGTTOU`), unless it ignores that
//! signal, and ignoring one takes unsafe code. So giving is done by the supervisor while it is in the
//! foreground, and taking back by a helper that joins the command's group for a moment. The group is
//! still there then: a process that ended keeps it until it is reaped.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use rustix::process::{Pid, getpgrp, getpid};
use rustix::termios::{tcgetpgrp, tcsetpgrp};

use super::{MISUSED, OWN_PROGRAM, number};

/// The helper's stage.
pub(super) const STAGE: &str = "__foreground";

/// Gives the terminal on standard input to this group. False when there is no terminal there, or it is
/// not ours to give.
pub(super) fn give(group: Pid) -> bool {
    let terminal = io::stdin();
    tcgetpgrp(&terminal).is_ok_and(|foreground| group_of(getpid().as_raw_pid()) == Some(foreground))
        && tcsetpgrp(&terminal, group).is_ok()
}

/// The group of a process; none where that is in another namespace of processes.
///
/// It is so for a PID 1 that shares the group of whoever has made its namespace. The system says 0 then, which the function
/// of `rustix` takes to be impossible.
fn group_of(process: i32) -> Option<Pid> {
    let stat = std::fs::read(format!("/proc/{process}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    // State, parent, group: after the name, which may itself hold blanks and brackets.
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(2)?.parse().ok().and_then(Pid::from_raw)
}

/// A terminal whose foreground is the group of this process: the one to give it back to.
#[derive(Debug)]
pub(super) struct Owned {
    terminal: OwnedFd,
    owner: Pid,
}

impl Owned {
    pub(super) fn by(process: i32, terminal: impl AsFd) -> Option<Self> {
        let owner = group_of(process)?;
        let foreground = tcgetpgrp(&terminal).ok()?;
        let terminal = terminal.as_fd().try_clone_to_owned().ok()?;
        (foreground == owner).then_some(Self { terminal, owner })
    }

    /// Takes the terminal back from this group, which must still have a member, and be it a zombie.
    pub(super) fn take_back(&self, group: Pid) {
        let Ok(terminal) = self.terminal.try_clone() else { return };
        let helper = Command::new(OWN_PROGRAM)
            .args([STAGE, &self.owner.as_raw_pid().to_string()])
            .stdin(terminal)
            .process_group(group.as_raw_pid())
            .spawn();
        // It is reaped with the others, but the command's group must not be reaped before it has joined.
        if let Ok(mut helper) = helper {
            drop(helper.wait());
        }
    }
}

/// Argument: the group to give the terminal to.
pub(super) fn main(arguments: &[OsString]) -> ExitCode {
    let Some(owner) = number(arguments.first()).and_then(Pid::from_raw) else { return ExitCode::from(MISUSED) };
    let terminal = io::stdin();
    let given = match tcgetpgrp(&terminal) {
        // Only from the group that has it: somebody else may have taken it meanwhile.
        Ok(foreground) if foreground == getpgrp() => tcsetpgrp(&terminal, owner).is_ok(),
        _ => true,
    };
    if given { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
