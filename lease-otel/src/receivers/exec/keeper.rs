//! One run of the command: its keeper is started, told of each renewal, and seen to its end.

use std::convert::Infallible;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::Duration;

use lease_core::{Clock, Instant, Leadership, Pretty, SystemClock};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, Command};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Spec;
use super::output::Output;
use super::wire::{Ended, Order, Report};
use crate::component::{Scope, StartError};
use crate::data::Signal;
use crate::elector::Candidacy;
use crate::receivers::hand_over::Outlet;

/// A command that runs under its keeper. Dropping it kills everything; the leadership is kept until that is done.
#[derive(Debug)]
pub(super) struct Kept {
    run: JoinHandle<Ended>,
    /// Its end is what a drop tells.
    _wanted: oneshot::Sender<Infallible>,
}

impl Kept {
    /// Waits until nothing of the command is left, and all that it has written is handed on.
    pub(super) async fn gone(self) -> Ended {
        self.run.await.unwrap_or(Ended::Unseen)
    }
}

/// Starts the command, and says why it does not run.
pub(super) async fn launch(spec: &Spec, scope: &Scope) -> Result<Kept, StartError> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let (read, write) = UnixStream::from_std(ours)?.into_split();
    let logs = Outlet::new(scope.clone(), Signal::Logs).map(Outlet::without_hold);
    let stdio = || if logs.is_some() { Stdio::piped() } else { Stdio::inherit() };
    let mut child = Command::new(&spec.keeper.program)
        .args(&spec.keeper.arguments)
        .arg(spec.stop_signal)
        .arg(Pretty(spec.stop_timeout).to_string())
        .args(&spec.command)
        .envs(held(scope))
        .envs(spec.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(stdio())
        .stderr(stdio())
        // What a terminal sends is for the collector, which stops its commands in order.
        .process_group(0)
        .spawn()
        .map_err(|error| format!("the keeper of the command does not start: {error}"))?;
    let output = logs.map(|logs| Output::begin(&mut child, logs));
    let term = Term::new(scope.leadership.clone());
    let reports = BufReader::new(read).lines();
    let mut run = Run { child, write, unsent: Vec::new(), reports, term, stop_timeout: spec.stop_timeout };
    let hold = run.term.hold();
    run.term.held = run.term.kill_at;
    run.order(hold);
    // From here on it is its own, so that whatever is dropped the leadership outlives the command.
    let (wanted, unwanted) = oneshot::channel();
    let (running, started) = oneshot::channel();
    let stop = scope.stop.clone();
    let run = tokio::spawn(async move {
        let ended = run.see_through(running, unwanted, stop).await;
        if let Some(output) = output {
            output.finish().await;
        }
        ended
    });
    let kept = Kept { run, _wanted: wanted };
    match started.await {
        Ok(Ok(pid)) => {
            tracing::info!(receiver = %scope.id, pid, "the command runs");
            Ok(kept)
        }
        Ok(Err(why)) => {
            kept.gone().await;
            Err(why.into())
        }
        Err(_) => {
            kept.gone().await;
            Err("the keeper of the command has ended before the command ran".into())
        }
    }
}

/// What the command is told of the term, as under `lease run`: that there is one, whose it is, and its token for a resource
/// that compares tokens.
fn held(scope: &Scope) -> Vec<(&'static str, String)> {
    let Some(leadership) = &scope.leadership else { return Vec::new() };
    let mut variables = vec![("LEASE_HELD", "1".to_owned())];
    if let Some(Candidacy { lease, identity }) = scope.candidacy.clone() {
        variables.extend([("LEASE_NAME", lease), ("LEASE_IDENTITY", identity)]);
    }
    variables.extend(leadership.token().map(|token| ("LEASE_TOKEN", token.to_string())));
    variables
}

struct Run {
    child: Child,
    write: OwnedWriteHalf,
    /// Orders for which the socket had no room yet. None is left out, and none is sent in part.
    unsent: Vec<u8>,
    reports: Lines<BufReader<OwnedReadHalf>>,
    term: Term,
    stop_timeout: Duration,
}

type Started = Result<i32, String>;

impl Run {
    async fn see_through(
        mut self,
        running: oneshot::Sender<Started>,
        mut unwanted: oneshot::Receiver<Infallible>,
        stop: CancellationToken,
    ) -> Ended {
        let mut running = Some(running);
        let lost = self.term.ended.clone();
        let (mut draining, mut over, mut killing, mut stuck) = (false, false, false, false);
        let mut heard = SystemClock.instant();
        let ended = loop {
            // Not from now: what is said to a keeper that does not answer would put it off again and again.
            let patience = SystemClock.instant().until_both(self.term.held.latest(heard) + STUCK);
            tokio::select! {
                biased;
                _ = &mut unwanted, if !killing => {
                    killing = true;
                    self.term.held = self.term.held.earliest(SystemClock.instant());
                    self.unsent.clear();
                    // The end of the socket is the order to kill.
                    let _ = self.write.shutdown().await;
                }
                () = lost.cancelled(), if !over && !killing => {
                    over = true;
                    let kill_at = self.term.kill_at.earliest(SystemClock.instant() + self.stop_timeout);
                    (self.term.kill_at, self.term.held) = (kill_at, kill_at);
                    self.order(Order::Over { kill_at });
                }
                () = stop.cancelled(), if !draining && !over && !killing => {
                    draining = true;
                    self.order(Order::Drain);
                }
                () = self.term.renewed(), if !over && !killing => {
                    let hold = self.term.hold();
                    self.order(hold);
                }
                line = self.reports.next_line() => match line.ok().flatten().map(|line| line.parse()) {
                    Some(Ok(Report::Running(pid))) => tell(&mut running, Ok(pid)),
                    Some(Ok(Report::NotRun(why))) => tell(&mut running, Err(why)),
                    Some(Ok(Report::Held(kill_at))) if !over && !killing => self.term.held = kill_at,
                    Some(Ok(Report::Gone(ended))) => break Some(ended),
                    Some(Ok(Report::Killing)) => heard = SystemClock.instant(),
                    Some(Ok(Report::Held(_)) | Err(_)) => {}
                    None => break None,
                },
                sent = self.write.write(&self.unsent), if !self.unsent.is_empty() => match sent {
                    Ok(count) => drop(self.unsent.drain(..count)),
                    // It is gone, which is heard where it reports.
                    Err(_) => self.unsent.clear(),
                },
                () = tokio::time::sleep(patience) => {
                    tracing::error!("the keeper of a command does not answer, and is killed");
                    stuck = true;
                    let _ = self.child.start_kill();
                    break None;
                }
            }
        };
        let _ = self.child.wait().await;
        if let Some(ended) = ended {
            return ended;
        }
        // The keeper was killed. What it guarded is killed by its own guardian, at this moment, or by the deadline that
        // was told last; who leads meanwhile must be this replica, or nobody.
        let left = SystemClock.instant().until_both(self.term.kill_at);
        if self.term.leadership.is_some() {
            tracing::error!(wait = ?left, "the keeper of a command was killed; its deadline is waited for");
            tokio::time::sleep(if stuck { left.max(KILL_TAKES) } else { left }).await;
        }
        Ended::Unseen
    }

    fn order(&mut self, order: Order) {
        self.unsent.extend_from_slice(format!("{order}\n").as_bytes());
    }
}

fn tell(running: &mut Option<oneshot::Sender<Started>>, what: Started) {
    if let Some(running) = running.take() {
        // Who does not listen any more has dropped the run.
        let _ = running.send(what);
    }
}

/// The right under which the command runs.
struct Term {
    leadership: Option<Leadership>,
    ended: CancellationToken,
    renewals: Option<watch::Receiver<u64>>,
    /// When nothing of the command is left, as the keeper was told last.
    kill_at: Instant,
    /// The same as the keeper has answered last: its guardian has killed everything by then if the keeper is stuck.
    held: Instant,
}

impl Term {
    fn new(leadership: Option<Leadership>) -> Self {
        let ended = leadership.as_ref().map(Leadership::ended).unwrap_or_default();
        // Subscribed before the hold is read, so that no renewal falls between.
        let renewals = leadership.as_ref().map(Leadership::renewals);
        Self { leadership, ended, renewals, kill_at: FOR_EVER, held: FOR_EVER }
    }

    /// The hold as of now.
    fn hold(&mut self) -> Order {
        let Some(leadership) = &self.leadership else { return Order::Hold { ends: FOR_EVER, kill_at: FOR_EVER } };
        // A term that was lost has no hold: its end is in the past, and the command is asked to stop at once.
        let (ends, fence) = (leadership.valid_until(), leadership.fence());
        if leadership.is_valid() {
            let room = ends.until_either(fence);
            self.kill_at = ends + room.saturating_sub(KILL_TAKES).max(room / 2);
        } else if self.kill_at == FOR_EVER {
            self.kill_at = SystemClock.instant();
        }
        Order::Hold { ends, kill_at: self.kill_at }
    }

    async fn renewed(&mut self) {
        if let Some(renewals) = &mut self.renewals
            && renewals.changed().await.is_ok()
        {
            return;
        }
        std::future::pending::<()>().await;
    }
}

/// The hold of what needs no leadership.
const FOR_EVER: Instant = Instant::from_nanos(u64::MAX, u64::MAX);
/// What it takes to kill a tree of processes on a busy machine, with a wide margin.
const KILL_TAKES: Duration = Duration::from_millis(250);
/// How long after the end of everything a keeper may take to say so, or to say that it is still killing, which it does each
/// second. One that has said neither is stuck.
const STUCK: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::mpsc;

    use super::*;
    use crate::elector::LeaderElector;
    use crate::receivers::testing;
    use crate::testing::ScriptedElector;

    #[tokio::test]
    async fn the_command_is_told_what_a_command_of_lease_run_is_told() {
        let (scope, _batches, _) = testing::scope(Signal::Logs);
        assert_eq!(held(&scope), [], "without an elector nothing is held");
        let elector = Arc::new(ScriptedElector::new());
        let (terms, mut seen) = mpsc::unbounded_channel();
        elector.set_callbacks(
            Box::new(move |leadership| {
                let candidacy = Some(Candidacy { lease: "foo".to_owned(), identity: "pod-0_x".to_owned() });
                let scope = Scope { candidacy, leadership: Some(leadership), ..scope.clone() };
                let token = scope.leadership.as_ref().and_then(Leadership::token).map(|token| token.to_string());
                terms.send((held(&scope), token)).expect("the test listens");
                Box::pin(async {})
            }),
            Box::new(|| Box::pin(async {})),
        );
        elector.lead().await;
        let (held, token) = seen.recv().await.expect("a term begins");
        let mut expected = vec![("LEASE_HELD", "1"), ("LEASE_NAME", "foo"), ("LEASE_IDENTITY", "pod-0_x")];
        expected.extend(token.as_deref().map(|token| ("LEASE_TOKEN", token)));
        let held: Vec<(&str, &str)> = held.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(held, expected);
    }
}
