//! The stage between the guardian and the command: it sets its own death signal and becomes the command.
//!
//! The kernel keeps the death signal across `exec`, so the command dies with the guardian even when
//! nobody is left to kill it. (It is cleared for set-user-id programs.)

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

use super::wire::{Order, Received, Report, Wire};
use super::{LAUNCHER, MISUSED, OWN_PROGRAM, number};

/// How the guardian starts this stage: as the leader of a process group of its own.
pub(super) fn command(guardian: Pid, command: &[OsString]) -> Command {
    let mut stage = Command::new(OWN_PROGRAM);
    stage.arg0("lease").arg(LAUNCHER).arg(guardian.as_raw_pid().to_string()).args(command).process_group(0);
    stage
}

/// Arguments: the guardian's process number, then the command.
pub(super) fn main(arguments: &[OsString]) -> ExitCode {
    let (Some(guardian), Some([program, rest @ ..])) = (number(arguments.first()), arguments.get(1..)) else {
        return ExitCode::from(MISUSED);
    };
    match launch(guardian, program, rest) {
        Ok(never) => match never {},
        Err(error) => {
            let not_found = error.kind() == io::ErrorKind::NotFound;
            ExitCode::from(if not_found { NOT_FOUND } else { NOT_EXECUTABLE })
        }
    }
}

fn launch(guardian: i32, program: &OsString, arguments: &[OsString]) -> io::Result<std::convert::Infallible> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // The guardian may have died before the signal was set.
    if Pid::as_raw(getppid()) != guardian {
        return Err(io::ErrorKind::NotConnected.into());
    }
    let wire = Wire::inherited()?;
    let Received::Message(Order::Launch(_), Some(stdin)) = wire.wait_for_order()? else {
        return Err(io::ErrorKind::NotConnected.into());
    };
    // On success the socket closes with the exec, which is how the guardian learns of it.
    let error = Command::new(program).args(arguments).stdin(stdin).exec();
    wire.report(Report::NotRun(Errno::from_io_error(&error).unwrap_or(Errno::INVAL)))?;
    Err(error)
}

/// As in shells: the command was not found.
const NOT_FOUND: u8 = 127;
/// As in shells: the command was found but cannot be executed.
const NOT_EXECUTABLE: u8 = 126;
