//! From one start of `lease run` to its exit: standing by, leading, standing by again.

use std::time::Duration;

use lease_core::{
    Election, HolderIdentity, Leadership, LockError, LockErrorKind, Pretty, Reason, Released, Status as ElectionStatus,
    Timing,
};
use rustix::process::Signal;
use tokio::time::{Instant, sleep, sleep_until};

use super::denials::Denials;
use super::term::Leading;
use super::{Arguments, OnLost, Restart};
use crate::child::{Cause, Pace, Reaper, Spec, Status, Verdict, supervise};
use crate::exit::{Code, Failure, NOT_ADMITTED};
use crate::inbox::{Inbox, asks_to_end};
use crate::picture::rounded;

/// Everything that lives as long as the program does.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) arguments: Arguments,
    pub(super) timing: Timing,
    pub(super) election: Election,
    pub(super) denials: std::sync::Arc<Denials>,
    pub(super) inbox: Inbox,
    pub(super) reaper: Reaper,
    /// Who held the lease before the election asked, where the wait may be over before it does.
    pub(super) first_look: Option<Result<Option<HolderIdentity>, LockError>>,
}

/// What comes after a term.
enum Next {
    StandBy,
    Exit(Result<u8, Failure>),
}

/// How a wait under a term ended.
enum Paused {
    Over,
    Asked(Signal),
    /// The term was lost, or is to be given up.
    TermEnds,
}

/// How a wait for a term ended.
enum Standby {
    Leading(Leadership),
    Asked(Signal),
}

impl Session {
    /// Returns with the exit code, after the lease was released.
    pub(super) async fn run(mut self, wait: Option<Duration>) -> Result<u8, Failure> {
        // Only the first term has to come in time: after that this replica is one that can lead.
        let mut deadline = wait.map(|wait| Instant::now() + wait);
        let exit = loop {
            let leadership = match self.stand_by(deadline.take()).await {
                Ok(Standby::Leading(leadership)) => leadership,
                Ok(Standby::Asked(signal)) => break Ok(signalled(signal)),
                Err(failure) => break Err(failure),
            };
            match self.lead(leadership).await {
                Next::StandBy => tracing::info!("standing by"),
                Next::Exit(exit) => break exit,
            }
        };
        self.finish().await;
        exit
    }

    async fn stand_by(&mut self, deadline: Option<Instant>) -> Result<Standby, Failure> {
        let mut status = self.election.status();
        let mut told = None;
        loop {
            self.tell_holder(&status.borrow_and_update().clone(), &mut told);
            tokio::select! {
                granted = self.election.campaign() => {
                    return granted.map(Standby::Leading).map_err(|ended| Failure::of(Code::System, &ended));
                }
                Ok(()) = status.changed() => {}
                () = self.reaper.news() => self.reaper.reap_orphans(),
                signal = self.inbox.end() => return Ok(Standby::Asked(signal)),
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    return Err(self.not_acquired());
                }
            }
        }
    }

    /// Tells who leads instead, once for each.
    fn tell_holder(&self, status: &ElectionStatus, told: &mut Option<HolderIdentity>) {
        let Some(holder) = status.holder.as_ref().filter(|holder| **holder != status.identity) else { return };
        if told.as_ref() != Some(holder) {
            let since = status.held_since.map_or_else(|| "unknown".to_owned(), |since| since.to_string());
            let takeover_after = rounded(self.timing.crash_takeover_usual());
            tracing::info!(%holder, since, "held by another replica; without a renewal it is taken over after {takeover_after}");
            *told = Some(holder.clone());
        }
    }

    /// Why the lease did not come in time.
    fn not_acquired(&self) -> Failure {
        let status: ElectionStatus = self.election.status().borrow().clone();
        if let Some(refusal) = status.refusal {
            return Failure::new(Code::Configuration, format!("this replica may not lead: {refusal}"));
        }
        match (&status.last_error, &status.holder) {
            (Some(error), _) if error.kind == LockErrorKind::Denied => {
                let failure = Failure::new(Code::Denied, error.message.to_string());
                failure.help(self.denials.help().unwrap_or_else(|| NOT_ADMITTED.to_owned()))
            }
            (Some(error), _) if !status.read => Failure::new(Code::Unreachable, error.message.to_string()),
            (None, _) if !status.read => match &self.first_look {
                Some(Ok(Some(holder))) => self.arguments.held_by(holder),
                Some(Err(error)) => error.clone().into(),
                _ => Failure::new(Code::Unreachable, "the backend did not answer in time"),
            },
            (_, Some(holder)) => self.arguments.held_by(holder),
            (_, None) => self.arguments.not_acquired("nobody holds it, but it was not certain to be free"),
        }
    }

    /// Runs the command in this term, as often as it is to run.
    async fn lead(&mut self, leadership: Leadership) -> Next {
        let spec = self.spec(&leadership);
        let mut backoff = RESTART_MIN;
        loop {
            let mut term = Leading::new(&leadership, &self.timing);
            let pace = Pace { drain_timeout: self.arguments.drain_timeout };
            let begun = Instant::now();
            let verdict = match supervise(&spec, &mut term, pace, &mut self.inbox, &mut self.reaper).await {
                Ok(verdict) => verdict,
                Err(error) => return Next::Exit(Err(Failure::of(Code::System, &error))),
            };
            if let Some(next) = self.judge(&leadership, &verdict).await {
                return next;
            }
            if begun.elapsed() > RESTART_MAX {
                backoff = RESTART_MIN;
            }
            tracing::info!(after = %Pretty(backoff), "running the command again");
            match self.pause(&leadership, backoff).await {
                Paused::Over => backoff = (backoff * 2).min(RESTART_MAX),
                Paused::Asked(signal) => return Next::Exit(Ok(signalled(signal))),
                Paused::TermEnds if leadership.ended().is_cancelled() => return self.after_loss(),
                // An operator asked for the lease; this replica stands by again.
                Paused::TermEnds => return Next::StandBy,
            }
        }
    }

    /// What comes after a run of the command; none when it is to run again in this term.
    async fn judge(&mut self, leadership: &Leadership, verdict: &Verdict) -> Option<Next> {
        if let Some(signal) = verdict.asked {
            return Some(Next::Exit(Ok(verdict.status.map_or_else(|| signalled(signal), Status::shell_code))));
        }
        let status = match (verdict.cause, verdict.status) {
            (Cause::Drain, _) => return Some(Next::StandBy),
            (Cause::NotRun(error), status) => {
                let code = status.map_or(Code::System as u8, Status::shell_code);
                let program = self.arguments.command[0].to_string_lossy().into_owned();
                let failure = Failure::new(Code::System, format!("{program:?} cannot be run: {error}"));
                return Some(Next::Exit(Err(failure.with_code(Some(code)))));
            }
            (Cause::Itself | Cause::Asked, Some(status)) => status,
            (Cause::Over | Cause::Breach(_), _) | (_, None) => return Some(self.after_loss()),
        };
        match self.arguments.restart {
            Restart::Always => None,
            Restart::OnFailure if !status.success() => None,
            Restart::No | Restart::OnFailure => {
                if let (true, Some(hold_for)) = (status.success(), self.arguments.hold_for) {
                    self.keep(leadership, hold_for).await;
                }
                Some(Next::Exit(Ok(status.shell_code())))
            }
        }
    }

    fn after_loss(&self) -> Next {
        match self.arguments.on_lost {
            OnLost::Standby => Next::StandBy,
            OnLost::Exit => {
                let why = self.election.status().borrow().reason;
                let why = why.filter(|why| why.is_loss()).map_or_else(String::new, |why| format!(": {why}"));
                Next::Exit(Err(Failure::new(Code::Lost, format!("the lease was lost{why}"))))
            }
        }
    }

    /// Keeps the lease after the work was done, so that nobody else does it again.
    async fn keep(&mut self, leadership: &Leadership, hold_for: Duration) {
        tracing::info!(hold_for = %Pretty(hold_for), "the command has succeeded, keeping the lease");
        match self.pause(leadership, hold_for).await {
            Paused::Over | Paused::Asked(_) => {}
            Paused::TermEnds => tracing::warn!("the lease ended before its time; the command had succeeded"),
        }
    }

    async fn pause(&mut self, leadership: &Leadership, pause: Duration) -> Paused {
        let over = sleep(pause);
        tokio::pin!(over);
        loop {
            let draining = leadership.draining();
            tokio::select! {
                biased;
                // Cancelled by a loss too.
                () = draining.cancelled() => return Paused::TermEnds,
                signal = self.inbox.end() => return Paused::Asked(signal),
                () = self.reaper.news() => self.reaper.reap_orphans(),
                () = &mut over => return Paused::Over,
            }
        }
    }

    /// Releases the lease, if it is held. Nothing of the command is left.
    async fn finish(mut self) {
        // Of a term that was lost nothing is left to release.
        let lost = self.election.status().borrow().reason.is_some_and(Reason::is_loss);
        let shutdown = self.election.shutdown();
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                released = &mut shutdown => {
                    if released == Released::NotReleased && !lost {
                        tracing::warn!("the lease could not be released; others take it when it has run out");
                    }
                    return;
                }
                () = self.reaper.news() => self.reaper.reap_orphans(),
                signal = self.inbox.next() => if asks_to_end(signal) {
                    tracing::warn!("asked to end while releasing; the lease may be left to run out");
                    return;
                }
            }
        }
    }

    fn spec(&self, leadership: &Leadership) -> Spec {
        let mut environment = vec![
            ("LEASE_HELD".into(), "1".into()),
            ("LEASE_NAME".into(), self.arguments.name.clone().into()),
            ("LEASE_IDENTITY".into(), self.election.identity().as_str().into()),
        ];
        if let Some(token) = leadership.token() {
            environment.push(("LEASE_TOKEN".into(), token.to_string().into()));
        }
        Spec {
            command: self.arguments.command.clone(),
            environment,
            stop_signal: self.arguments.stop_signal,
            stdin: None,
        }
    }
}

/// The exit code of a program that a signal ended, as shells say it.
pub(super) fn signalled(signal: Signal) -> u8 {
    Status::Signal(signal.as_raw()).shell_code()
}

/// The pause before the command runs again doubles between these, and starts anew after a run that was
/// longer than the second.
const RESTART_MIN: Duration = Duration::from_millis(100);
const RESTART_MAX: Duration = Duration::from_secs(10);
