//! One run of the command under one term: from the start to the moment when nothing of it is left.

use std::future::Future;
use std::io;
use std::time::Duration;

use lease_core::Instant;
use rustix::io::Errno;
use rustix::process::{Pid, Signal};
use tokio::time::{Instant as TokioInstant, sleep_until};

use super::{Breach, Event, Guarded, Hold, Reaper, Spec, Status};
use crate::inbox::{Inbox, asks_to_end};
use crate::signals;

/// The right under which the command runs, as far as this module needs to know it.
pub trait Term {
    /// The hold at this moment.
    fn hold(&self) -> Hold;

    /// The next change of it. Safe to drop while waiting. After [`Change::Over`] it need not return.
    fn changed(&mut self) -> impl Future<Output = Change>;

    /// The command runs, as this process.
    fn running(&mut self, _pid: Pid) {}

    /// Processes of the command are still there that were killed. Called each second.
    fn killing(&mut self) {}
}

/// What may happen to a term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A renewal was acknowledged.
    Extended(Hold),
    /// The command is to stop, while renewing goes on.
    Drain,
    /// The term is lost; whatever is left at this instant is killed. That may be changed to an earlier one.
    Lost {
        /// The last moment at which a process of the tree may live.
        kill_at: Instant,
    },
    /// The term is lost; whatever is left at this instant is killed. The last change.
    Over {
        /// The last moment at which a process of the tree may live.
        kill_at: Instant,
    },
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// From the stop signal to the kill, while the hold goes on.
    pub drain_timeout: Duration,
}

/// How a run ended. Whatever it says, nothing of the tree is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How the command itself ended; none when it was lost sight of.
    pub status: Option<Status>,
    /// What ended it.
    pub cause: Cause,
    /// The signal that asked `lease run` itself to end, whatever came first.
    pub asked: Option<Signal>,
}

/// What ended a run. Of several the one that came first; but a loss counts more than a request, and a broken guard
/// more than anything but a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The command ended by itself.
    Itself,
    /// The command could not be executed.
    NotRun(Errno),
    /// `lease run` was asked to end.
    Asked,
    /// The term was asked to end, for instance to hand the lease over.
    Drain,
    /// The term was lost, or its hold ended.
    Over,
    /// The guard broke, so the tree was killed.
    Breach(Breach),
}

/// Runs the command as long as the term allows, and returns when nothing of its tree is left.
///
/// Only then may the lease be released. An error means that nothing was started.
pub async fn supervise(
    spec: &Spec,
    term: &mut impl Term,
    pace: Pace,
    inbox: &mut Inbox,
    reaper: &mut Reaper,
) -> io::Result<Verdict> {
    let guarded = Guarded::start(spec, term.hold())?;
    let mut run = Run {
        guarded,
        pace,
        stop_signal: spec.stop_signal,
        kill_due: None,
        status: None,
        cause: None,
        asked: None,
        term_over: false,
    };
    loop {
        tokio::select! {
            biased;
            change = term.changed(), if !run.term_over => run.change(change),
            event = run.guarded.next(reaper) => {
                if let Event::Running(pid) = event {
                    term.running(pid);
                }
                if run.hear(event, term).await {
                    return Ok(run.verdict());
                }
            }
            signal = inbox.next() => run.signal(signal),
            () = sleep_until(run.kill_due.unwrap_or_else(TokioInstant::now)), if run.kill_due.is_some() => {
                tracing::warn!(drain_timeout = ?pace.drain_timeout, "the command did not stop in time, killing it");
                run.kill_due = None;
                run.guarded.kill();
            }
        }
    }
}

struct Run {
    guarded: Guarded,
    pace: Pace,
    stop_signal: Signal,
    kill_due: Option<TokioInstant>,
    status: Option<Status>,
    cause: Option<Cause>,
    asked: Option<Signal>,
    term_over: bool,
}

impl Run {
    fn verdict(&self) -> Verdict {
        Verdict { status: self.status, cause: self.cause.unwrap_or(Cause::Itself), asked: self.asked }
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::Extended(hold) => self.guarded.extend(hold),
            Change::Drain => self.drain(Cause::Drain),
            Change::Lost { kill_at } | Change::Over { kill_at } => {
                self.term_over = matches!(change, Change::Over { .. });
                self.guarded.end(kill_at);
                self.lost(Cause::Over);
            }
        }
    }

    /// Also a term that was lost while draining is lost; but not one whose work was done.
    fn lost(&mut self, cause: Cause) {
        if self.status.is_none() {
            self.cause = Some(cause);
        }
    }

    fn drain(&mut self, cause: Cause) {
        self.cause.get_or_insert(cause);
        if self.kill_due.is_some() {
            return;
        }
        tracing::info!(signal = signals::name(self.stop_signal), "asking the command to stop");
        self.kill_due = Some(TokioInstant::now() + self.pace.drain_timeout);
        self.guarded.drain();
    }

    fn signal(&mut self, signal: Signal) {
        if !asks_to_end(signal) {
            self.guarded.signal(signal);
        } else if self.asked.is_some() {
            // A second time: the tree is killed, and then the lease is released as it should be.
            tracing::warn!("asked to end again, killing the command");
            self.guarded.kill();
        } else {
            self.asked = Some(signal);
            self.drain(Cause::Asked);
        }
    }

    /// Whether that was the last event.
    async fn hear(&mut self, event: Event, term: &mut impl Term) -> bool {
        match event {
            Event::Running(pid) => tracing::info!(pid = pid.as_raw_pid(), "the command runs"),
            Event::NotRun(error) => self.cause = Some(Cause::NotRun(error)),
            Event::Expired => {
                tracing::warn!("no renewal arrived in time; the command was asked to stop");
                self.lost(Cause::Over);
            }
            Event::Exited(status) => {
                tracing::info!(%status, "the command ended");
                self.status = Some(status);
                if self.guarded.has_terminal() && status == Status::Signal(Signal::INT.as_raw()) {
                    // What the terminal sent to the command's group was meant for us as well.
                    self.asked.get_or_insert(Signal::INT);
                }
                self.cause.get_or_insert(Cause::Itself);
                // What it left behind was asked to stop as well, and has as long for it.
                self.kill_due.get_or_insert_with(|| TokioInstant::now() + self.pace.drain_timeout);
            }
            Event::Gone => return true,
            Event::Breach(breach) => {
                tracing::error!(%breach, "the guard is broken, killing the command");
                // A guardian that is late with the end of a lost term did not end it.
                if self.cause != Some(Cause::Over) {
                    self.lost(Cause::Breach(breach));
                }
                let slow = |elapsed| {
                    tracing::error!(?elapsed, "processes of the command are still there");
                    term.killing();
                };
                self.guarded.annihilate(slow).await;
                self.status = self.status.or(self.guarded.command_status());
                return true;
            }
        }
        false
    }
}
