//! The process side of `lease run`: a command that lives only while a hold lasts.
//!
//! ```text
//! supervisor   `lease run`: elects, renews, handles signals; child subreaper, often PID 1
//!  └ guardian  `lease` re-executed: holds the deadline, spawns and reaps; child subreaper
//!     └ CMD    in a process group of its own; the launcher stage that became it set its death signal
//!        └ ... whatever it starts, also what double-forks or calls setsid
//! ```
//!
//! The supervisor tells the guardian two instants with each acknowledged renewal ([`Hold`]). When the
//! first passes, the guardian sends the stop signal; when the second passes, it kills the tree. It does
//! so on a timer of its own, whether the supervisor is busy, stopped, stuck or gone. Nobody has to tell
//! it anything for the tree to die: silence is enough.
//!
//! | what is killed or stopped | who notices, and how | what dies |
//! |---|---|---|
//! | supervisor killed | guardian: its socket ends, its death signal | the whole tree, at once |
//! | supervisor stopped or stuck | guardian: no extension arrives | the whole tree, by the deadline |
//! | guardian killed | supervisor: the socket ends; the tree falls to it as a subreaper | the whole tree, at once |
//! | guardian stopped | supervisor: it is the parent and is told of stops | guardian, then the whole tree |
//! | guardian frozen some other way | supervisor: an order is not acknowledged | guardian, then the whole tree |
//! | both killed at one moment | the kernel: CMD's death signal | CMD alone |
//! | both stopped, CMD not | nobody | nothing: only a fencing token helps |
//!
//! In the last two rows something survives. When supervisor and guardian are killed before either can
//! act (a `kill -9` that names both, in either order, within about a millisecond), CMD dies with the
//! guardian but its descendants do not: they fall to init. The same holds for CMD itself when it is a
//! set-user-id program, because the kernel clears the death signal there; and what changed its user
//! cannot be killed by an unprivileged supervisor at all. A container closes the first gap: there the
//! supervisor is PID 1, and the kernel kills a PID namespace with its PID 1.
//!
//! A lease is released only after the tree is gone, and "gone" is not a guess from `/proc`: a subreaper
//! without children has no descendants, and the kernel says so in one call (`ECHILD`).

mod guarded;
mod guardian;
mod keeper;
mod launcher;
mod supervise;
mod terminal;
mod tree;
mod wire;

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::sync::Arc;

use lease_core::Instant;
use rustix::process::{Signal, WaitStatus};

pub use guarded::{Breach, Event, Guarded, Reaper};
pub use keeper::KEEPER;
pub use supervise::{Cause, Change, Pace, Term, Verdict, supervise};

/// The command to run, and how to stop it.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The program and its arguments. Never empty.
    pub command: Vec<OsString>,
    /// Variables to add to its environment.
    pub environment: Vec<(OsString, OsString)>,
    /// What asks it to stop; `SIGKILL` follows when it does not.
    pub stop_signal: Signal,
    /// Its standard input; that of this process when none is given.
    pub stdin: Option<Arc<OwnedFd>>,
}

/// How long the command may go on, as far as is known now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The renew deadline: when either clock passes this and nothing newer is known, the stop signal is sent.
    pub ends: Instant,
    /// When either clock passes this, every process of the tree is killed. It is as much before the
    /// fence as killing takes.
    pub kill_at: Instant,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It exited with this code.
    Code(u8),
    /// This signal ended it.
    Signal(i32),
}

impl Status {
    /// As a shell would say it: the code, or 128 and the number of the signal.
    pub fn shell_code(self) -> u8 {
        match self {
            Self::Code(code) => code,
            Self::Signal(number) => 128_u8.saturating_add(u8::try_from(number).unwrap_or(127)),
        }
    }

    /// Whether it is an exit with code 0.
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }

    fn of(status: WaitStatus) -> Option<Self> {
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Some(Self::Code(u8::try_from(code & 0xff).expect("eight bits fit"))),
            (None, Some(number)) => Some(Self::Signal(number)),
            (None, None) => None,
        }
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(number) => write!(f, "signal {number}"),
        }
    }
}

/// Runs the hidden stage that these arguments name, if they name one.
///
/// Call it first in `main`: a stage must stay small, so it comes before the parser of the command line,
/// the runtime and everything else.
pub fn stage(mut arguments: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    let name = arguments.nth(1)?;
    let run = if name == GUARDIAN {
        guardian::main
    } else if name == LAUNCHER {
        launcher::main
    } else if name == KEEPER {
        keeper::main
    } else if name == terminal::STAGE {
        terminal::main
    } else {
        return None;
    };
    let arguments: Vec<OsString> = arguments.collect();
    Some(run(&arguments))
}

/// A number that one of our own stages was given by another.
fn number(text: Option<&OsString>) -> Option<i32> {
    text.map(OsString::as_os_str).and_then(OsStr::to_str)?.parse().ok()
}

/// This program, also when its file was replaced or deleted meanwhile.
const OWN_PROGRAM: &str = "/proc/self/exe";
const GUARDIAN: &str = "__guardian";
const LAUNCHER: &str = "__launch";
/// The exit code of a stage whose arguments make no sense: somebody started it by hand (`EX_USAGE`).
const MISUSED: u8 = 64;
