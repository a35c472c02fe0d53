//! The supervisor's side of the guardian: giving orders, hearing reports, and noticing when it fails.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use lease_core::Instant;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitStatus, getpid, kill_process, set_child_subreaper};
use tokio::io::Interest;
use tokio::net::UnixDatagram;
use tokio::signal::unix::{self, SignalKind};
use tokio::time::{Instant as TokioInstant, sleep, sleep_until};

use super::wire::{Order, Received, Report, Wire};
use super::{Hold, Spec, Status, guardian, terminal, tree};
use crate::clock;

/// Collects the children of this process, which are the guardian and, as it is a subreaper or PID 1,
/// whatever falls to it.
#[derive(Debug)]
pub struct Reaper {
    ended: unix::Signal,
}

impl Reaper {
    /// Makes this process the one that orphaned descendants fall to. Once per process.
    pub fn install() -> io::Result<Self> {
        // Before any child, or its end could go unnoticed.
        let ended = unix::signal(SignalKind::child())?;
        set_child_subreaper(Some(getpid()))?;
        Ok(Self { ended })
    }

    /// Waits for the next news of any child. Safe to drop.
    pub async fn news(&mut self) {
        if self.ended.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// Reaps what ended. For the times without a guardian.
    pub fn reap_orphans(&mut self) {
        tree::reap(|_, _| ());
    }
}

/// What happened to a command under guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The command is running, as this process.
    Running(Pid),
    /// The command could not be executed; its end is reported next.
    NotRun(Errno),
    /// The hold ended before an extension arrived; the guardian has sent the stop signal.
    Expired,
    /// The command ended by itself or when asked.
    Exited(Status),
    /// Nothing of the tree is left. The last event.
    Gone,
    /// The guard is broken: call [`Guarded::annihilate`], then nothing of the tree is left.
    Breach(Breach),
}

/// How a guard broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breach {
    /// The guardian was killed or gave up.
    GuardianDied,
    /// The guardian was stopped by a signal.
    GuardianStopped,
    /// The guardian does not answer.
    GuardianSilent,
    /// Something of the tree was still there when all of it should have been killed.
    Overdue,
}

impl std::fmt::Display for Breach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::GuardianDied => "the guardian was killed",
            Self::GuardianStopped => "the guardian was stopped",
            Self::GuardianSilent => "the guardian does not answer",
            Self::Overdue => "the command's processes were still there at the deadline",
        })
    }
}

/// A command that runs under a guardian.
///
/// Dropping it kills the tree, through the guardian: the socket closes.
#[derive(Debug)]
pub struct Guarded {
    wire: Wire,
    /// The same socket, as the runtime knows it: only to learn that there is something to read.
    readiness: UnixDatagram,
    guardian: Pid,
    guardian_reaped: bool,
    guardian_stopped: bool,
    command: Option<Pid>,
    /// How the command ended when its guardian could not say so: then it was this process that reaped it.
    command_status: Option<Status>,
    terminal_lent: Option<terminal::Owned>,
    hold: Hold,
    orders_sent: u64,
    orders_acknowledged: u64,
    /// When the oldest order that is not acknowledged has to be.
    answer_due: Option<TokioInstant>,
    gone: bool,
}

impl Guarded {
    /// Starts a guardian for the command. The command itself runs once [`Event::Running`] says so.
    ///
    /// Call it on the main thread, inside the runtime: the guardian dies with the thread that started it.
    pub fn start(spec: &Spec, hold: Hold) -> io::Result<Self> {
        let (wire, theirs) = Wire::pair()?;
        let guardian = Pid::from_child(&guardian::spawn(spec, theirs)?);
        let own = io::stdin();
        let stdin = spec.stdin.as_ref().map_or_else(|| own.as_fd(), |stdin| stdin.as_fd());
        wire.order(Order::Launch(hold), Some(stdin))?;
        let readiness = std::os::unix::net::UnixDatagram::from(wire.as_fd().try_clone_to_owned()?);
        readiness.set_nonblocking(true)?;
        let readiness = UnixDatagram::from_std(readiness)?;
        Ok(Self {
            wire,
            readiness,
            guardian,
            guardian_reaped: false,
            guardian_stopped: false,
            command: None,
            command_status: None,
            terminal_lent: None,
            hold,
            orders_sent: 0,
            orders_acknowledged: 0,
            answer_due: None,
            gone: false,
        })
    }

    /// The process to watch beside our own.
    pub fn guardian(&self) -> Pid {
        self.guardian
    }

    /// How the command ended, as this process saw it after a [`Breach`].
    pub fn command_status(&self) -> Option<Status> {
        self.command_status
    }

    /// Whether the command's group has the terminal.
    pub fn has_terminal(&self) -> bool {
        self.terminal_lent.is_some()
    }

    /// A renewal was acknowledged.
    pub fn extend(&mut self, hold: Hold) {
        self.hold = hold;
        self.orders_sent += 1;
        self.answer_due.get_or_insert_with(|| TokioInstant::now() + ANSWER_MAX);
        self.order(Order::Extend { number: self.orders_sent, hold });
    }

    /// Sends the stop signal; the hold goes on.
    pub fn drain(&self) {
        self.order(Order::Drain);
    }

    /// Sends the stop signal; all is killed at this instant at the latest, whatever comes after.
    pub fn end(&mut self, kill_at: Instant) {
        self.hold.kill_at = self.hold.kill_at.earliest(kill_at);
        self.order(Order::End { kill_at });
    }

    /// Sends a signal to the command's process group.
    pub fn signal(&self, signal: Signal) {
        self.order(Order::Signal(signal.as_raw()));
    }

    /// Kills the tree.
    pub fn kill(&self) {
        self.order(Order::Kill);
    }

    /// A guardian that takes no orders does not answer them either, or is gone: both are noticed.
    fn order(&self, order: Order) {
        drop(self.wire.order(order, None));
    }

    /// The next event. Safe to drop while waiting: nothing is lost.
    pub async fn next(&mut self, reaper: &mut Reaper) -> Event {
        loop {
            // What was said comes before what is missed: after a stop of our own everything is overdue.
            match self.wire.next_report() {
                Ok(Received::Message(report, _)) => match self.hear(report) {
                    Some(event) => return event,
                    None => continue,
                },
                Ok(Received::Nothing) => {}
                Ok(Received::Closed) | Err(_) => return Event::Breach(Breach::GuardianDied),
            }
            self.reap();
            if self.guardian_stopped {
                return Event::Breach(Breach::GuardianStopped);
            }
            if self.answer_due.is_some_and(|due| due <= TokioInstant::now()) {
                return Event::Breach(Breach::GuardianSilent);
            }
            let left = clock::now().until_either(self.hold.kill_at);
            if left.is_zero() && clock::now().since(self.hold.kill_at) >= OVERDUE {
                return Event::Breach(Breach::Overdue);
            }
            tokio::select! {
                _ = self.readiness.readable() => {
                    // Cleared before the next look, so that what comes after the look is told of again.
                    let _ = self.readiness.try_io(Interest::READABLE, || io::Result::<()>::Err(io::ErrorKind::WouldBlock.into()));
                }
                () = reaper.news() => {}
                () = due(self.answer_due) => {}
                () = sleep(left.max(OVERDUE)) => {}
            }
        }
    }

    fn hear(&mut self, report: Report) -> Option<Event> {
        match report {
            Report::Spawned(pid) => {
                self.command = Some(pid);
                let terminal = terminal::Owned::by(getpid().as_raw_pid(), io::stdin());
                self.terminal_lent = terminal.filter(|_| terminal::give(pid));
                self.order(Order::Go);
                None
            }
            Report::Running => self.command.map(Event::Running),
            Report::NotRun(error) => Some(Event::NotRun(error)),
            Report::Acknowledged(number) => {
                self.orders_acknowledged = number;
                let all = number == self.orders_sent;
                self.answer_due = (!all).then(|| TokioInstant::now() + ANSWER_MAX);
                None
            }
            Report::Expired => Some(Event::Expired),
            Report::Exited(status) => {
                self.command = None;
                Some(Event::Exited(status))
            }
            Report::Gone => {
                self.gone = true;
                Some(Event::Gone)
            }
        }
    }

    fn reap(&mut self) -> bool {
        let Self { guardian, guardian_reaped, guardian_stopped, command, command_status, .. } = self;
        tree::reap(|pid, status: WaitStatus| {
            if pid == *guardian {
                *guardian_stopped |= status.stopped();
                *guardian_reaped |= Status::of(status).is_some();
            } else if Some(pid) == *command {
                *command_status = Status::of(status).or(*command_status);
            }
        })
    }

    /// Kills guardian and tree, and returns when nothing is left of either; `tell` hears after each
    /// second how long it has taken.
    ///
    /// It takes as long as the kernel needs, which for a process in an uninterruptible sleep is as long
    /// as that sleep. As a subreaper this process is the parent of everything that is left.
    pub async fn annihilate(&mut self, mut tell: impl FnMut(Duration)) {
        if !self.guardian_reaped {
            // Not reaped, so the number is still its own. A stopped process dies of it too.
            let _ = kill_process(self.guardian, Signal::KILL);
        }
        if let (Some(terminal), Some(group)) = (self.terminal_lent.take(), self.command) {
            terminal.take_back(group);
        }
        let begun = TokioInstant::now();
        let mut pause = Duration::from_millis(1);
        let mut told = Duration::from_secs(1);
        while self.reap() {
            tree::kill_descendants();
            sleep(pause).await;
            pause = (pause * 2).min(ROUND_PAUSE_MAX);
            if begun.elapsed() >= told {
                tell(begun.elapsed());
                told += Duration::from_secs(1);
            }
        }
        // What the guardian said before it died still counts.
        while let Ok(Received::Message(report, _)) = self.wire.next_report() {
            if let Report::Exited(status) = report {
                self.command_status = Some(status);
            }
        }
        self.gone = true;
    }
}

async fn due(instant: Option<TokioInstant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// A guardian that has not read an order for so long is taken for frozen. Far below any renew deadline
/// (at least three attempts of one second on a Lease), far above what a busy machine delays.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// How long after the deadline the supervisor does the guardian's work itself.
const OVERDUE: Duration = Duration::from_millis(50);
const ROUND_PAUSE_MAX: Duration = Duration::from_millis(64);
