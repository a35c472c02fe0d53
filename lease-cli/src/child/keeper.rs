//! The keeper of a command of a collector: a supervisor whose term is told over its standard input.
//!
//! ```text
//! collector    elects, renews; runs any number of commands
//!  └ keeper    `lease` re-executed: the supervisor of one command, in a process group of its own
//!     └ guardian and command, as under `lease run`
//! ```
//!
//! So each command has all that `lease run` gives, and no two commands can mistake each other's processes for their own.
//! When the collector is gone the socket ends, and everything is killed at once; when it is stopped or stuck no hold
//! arrives, and everything is killed by the deadline.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::sync::Arc;

use lease_otel::receivers::exec::wire::{Ended, Order, Report};
use rustix::io::dup;
use rustix::process::Pid;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::{Cause, Change, Hold, MISUSED, Pace, Reaper, Spec, Status, Term, supervise};
use crate::inbox::Inbox;
use crate::{clock, duration, signals};

/// The name of this stage.
pub const KEEPER: &str = "__keeper";

/// Arguments: the stop signal, the stop timeout, then the command.
pub(super) fn main(arguments: &[OsString]) -> ExitCode {
    let text = |index: usize| arguments.get(index).and_then(|argument| argument.to_str());
    let signal = text(0).and_then(|text| signals::parse(text).ok());
    let timeout = text(1).and_then(|text| duration::parse(text).ok());
    let (Some(stop_signal), Some(drain_timeout), Some(command @ [_, ..])) = (signal, timeout, arguments.get(2..))
    else {
        return ExitCode::from(MISUSED);
    };
    let pace = Pace { drain_timeout };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.and_then(|runtime| runtime.block_on(keep(command, stop_signal, pace))) {
        Ok(()) => ExitCode::SUCCESS,
        // The collector sees it end without a last report.
        Err(_) => ExitCode::FAILURE,
    }
}

async fn keep(command: &[OsString], stop_signal: rustix::process::Signal, pace: Pace) -> io::Result<()> {
    let mut inbox = Inbox::install()?;
    let mut reaper = Reaper::install()?;
    let socket = std::os::unix::net::UnixStream::from(dup(io::stdin().as_fd())?);
    socket.set_nonblocking(true)?;
    let (read, mut write) = UnixStream::from_std(socket)?.into_split();
    let mut orders = BufReader::new(read).lines();
    let Some(Ok(Order::Hold { ends, kill_at })) = orders.next_line().await?.map(|line| line.parse()) else {
        return Ok(());
    };
    let spec = Spec {
        command: command.to_vec(),
        environment: Vec::new(),
        stop_signal,
        // Its own is the socket.
        stdin: Some(Arc::new(File::open("/dev/null")?.into())),
    };
    let mut told = Told { orders, reports: &write, hold: Hold { ends, kill_at } };
    let verdict = supervise(&spec, &mut told, pace, &mut inbox, &mut reaper).await?;
    let ended = match verdict.status {
        Some(Status::Code(code)) => Ended::Code(code),
        Some(Status::Signal(number)) => Ended::Signal(number),
        None => Ended::Unseen,
    };
    if let Cause::NotRun(error) = verdict.cause {
        let program = command[0].to_string_lossy();
        send(&mut write, &Report::NotRun(format!("{program:?} cannot be run: {error}"))).await;
    }
    send(&mut write, &Report::Gone(ended)).await;
    Ok(())
}

/// A collector that is gone needs no report.
async fn send(socket: &mut OwnedWriteHalf, report: &Report) {
    let _ = socket.write_all(format!("{report}\n").as_bytes()).await;
}

/// The term, as the collector tells of it.
struct Told<'a> {
    orders: Lines<BufReader<OwnedReadHalf>>,
    reports: &'a OwnedWriteHalf,
    hold: Hold,
}

impl Term for Told<'_> {
    fn hold(&self) -> Hold {
        self.hold
    }

    async fn changed(&mut self) -> Change {
        match self.orders.next_line().await.ok().flatten().map(|line| line.parse()) {
            Some(Ok(Order::Hold { ends, kill_at })) => {
                self.hold = Hold { ends, kill_at };
                self.report(&Report::Held(kill_at));
                Change::Extended(self.hold)
            }
            Some(Ok(Order::Drain)) => Change::Drain,
            // The end of the socket is heard after that too: it is the order to kill at once.
            Some(Ok(Order::Over { kill_at })) => Change::Lost { kill_at },
            // Nobody is there any more who could say that the hold goes on.
            Some(Err(_)) | None => Change::Over { kill_at: clock::now() },
        }
    }

    fn running(&mut self, pid: Pid) {
        self.report(&Report::Running(pid.as_raw_pid()));
    }

    fn killing(&mut self) {
        self.report(&Report::Killing);
    }
}

impl Told<'_> {
    /// A few bytes, which have room: what a collector does not read answers what it has just said.
    fn report(&self, report: &Report) {
        let _ = self.reports.try_write(format!("{report}\n").as_bytes());
    }
}
