//! The loop that carries out what the machine asks for. All decisions are the machine's.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::stream::BoxStream;
use tokio::sync::mpsc;

use super::complaints::{Complaints, Over};
use super::{LastError, Shared};
use crate::clock::{Clock, Timer};
use crate::elector::{
    Actions, Elector, Event, Failure, Hint, Notice, Op, PhaseKind, Purpose, Reason, Refusal, Request, RequestId, Term,
};
use crate::leadership::{Leadership, Released, Signal, Signals, TermShared};
use crate::lock::{LockError, LockErrorKind, ResourceLock, WatchEvent, WatchLock};
use crate::observe::{Observation, Observer};
use crate::record::Versioned;
use crate::time::Instant;

/// The lock of an election, with or without a watch.
#[derive(Debug)]
pub(super) enum Lock {
    Polled(Arc<dyn ResourceLock>),
    Watched(Arc<dyn WatchLock>),
}

impl Lock {
    pub(super) fn get(&self) -> &dyn ResourceLock {
        match self {
            Self::Polled(lock) => &**lock,
            Self::Watched(lock) => &**lock,
        }
    }

    fn watch(&self) -> Option<BoxStream<'static, WatchEvent>> {
        match self {
            Self::Polled(_) => None,
            Self::Watched(lock) => Some(lock.watch()),
        }
    }

    /// The request as a future that owns what it needs.
    fn call(&self, op: Op) -> Call {
        match self {
            Self::Polled(lock) => Box::pin(perform(Arc::clone(lock), op)),
            Self::Watched(lock) => Box::pin(perform(Arc::clone(lock), op)),
        }
    }
}

type Outcome = Result<Option<Versioned>, LockError>;
type Call = Pin<Box<dyn Future<Output = Outcome> + Send>>;

async fn perform<L: ResourceLock + ?Sized>(lock: Arc<L>, op: Op) -> Outcome {
    match op {
        Op::Get => lock.get().await,
        Op::Create(record) => lock.create(&record).await.map(Some),
        Op::Update { seen, record } => lock.update(&seen, &record).await.map(Some),
    }
}

/// What the application asks of the driver.
#[derive(Clone, Debug)]
pub(super) enum Command {
    Signal(Signal),
    Resign { to: Option<Arc<str>> },
    Shutdown,
}

#[derive(Debug)]
struct CommandSignals(mpsc::UnboundedSender<Command>);

impl Signals for CommandSignals {
    fn send(&self, signal: Signal) {
        // A driver that has ended has ended the term too.
        let _ = self.0.send(Command::Signal(signal));
    }
}

/// A request that is under way.
struct UnderWay {
    id: RequestId,
    purpose: Purpose,
    sent_at: Instant,
    call: Call,
}

/// What a driver is made of.
pub(super) struct Parts {
    pub(super) elector: Elector,
    pub(super) lock: Lock,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) observer: Option<Box<dyn Observer>>,
    /// The application's runtime, so that callbacks cannot starve a driver on a thread of its own.
    pub(super) callback_runtime: Option<tokio::runtime::Handle>,
}

pub(super) struct Driver {
    elector: Elector,
    lock: Lock,
    clock: Arc<dyn Clock>,
    timer: Option<Box<dyn Timer>>,
    observer: Option<Box<dyn Observer>>,
    callback_runtime: Option<tokio::runtime::Handle>,
    shared: Arc<Shared>,
    inbox: mpsc::UnboundedReceiver<Command>,
    under_way: Option<UnderWay>,
    watch: Option<BoxStream<'static, WatchEvent>>,
    term: Option<Arc<TermShared>>,
    complaints: Complaints,
}

/// What woke the driver.
enum Woken {
    Command(Option<Command>),
    Completed(RequestId, Purpose, Instant, Outcome),
    Watch(Option<WatchEvent>),
    Timer,
}

impl Driver {
    pub(super) fn new(parts: Parts, shared: Arc<Shared>, inbox: mpsc::UnboundedReceiver<Command>) -> Self {
        Self {
            elector: parts.elector,
            lock: parts.lock,
            clock: parts.clock,
            timer: None,
            observer: parts.observer,
            callback_runtime: parts.callback_runtime,
            shared,
            inbox,
            under_way: None,
            watch: None,
            term: None,
            complaints: Complaints::default(),
        }
    }

    /// Makes the timer on the runtime that will run this.
    pub(super) fn with_timer(mut self) -> io::Result<Self> {
        self.timer = Some(self.clock.timer()?);
        Ok(self)
    }

    pub(super) async fn run(mut self) {
        self.watch = self.lock.watch();
        self.step(Event::Wake);
        while self.elector.phase() != PhaseKind::Stopped {
            let woken = poll_fn(|context| self.poll(context)).await;
            self.handle(woken);
        }
    }

    /// What comes first: orders of the application, then answers, then hints, then time.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Woken> {
        if let Poll::Ready(command) = self.inbox.poll_recv(context) {
            return Poll::Ready(Woken::Command(command));
        }
        if let Some(under_way) = &mut self.under_way
            && let Poll::Ready(outcome) = under_way.call.as_mut().poll(context)
        {
            let woken = Woken::Completed(under_way.id, under_way.purpose, under_way.sent_at, outcome);
            self.under_way = None;
            return Poll::Ready(woken);
        }
        if let Some(watch) = &mut self.watch
            && let Poll::Ready(event) = watch.as_mut().poll_next(context)
        {
            return Poll::Ready(Woken::Watch(event));
        }
        match &mut self.timer {
            Some(timer) => timer.poll_fired(context).map(|()| Woken::Timer),
            None => Poll::Pending,
        }
    }

    fn handle(&mut self, woken: Woken) {
        match woken {
            Woken::Timer => self.step(Event::Wake),
            Woken::Command(Some(Command::Signal(Signal::Drained(term)))) => self.step(Event::Drained { term }),
            Woken::Command(Some(Command::Signal(Signal::WorkEnded(term)))) => self.step(Event::WorkEnded { term }),
            Woken::Command(Some(Command::Signal(Signal::ExpirySeen(term)))) => self.step(Event::ExpirySeen { term }),
            Woken::Command(Some(Command::Signal(Signal::Resign(term)))) => {
                if self.term.as_ref().is_some_and(|current| current.id() == term) {
                    self.step(Event::Resign { to: None });
                }
            }
            Woken::Command(Some(Command::Resign { to })) => self.step(Event::Resign { to }),
            // The handle sends this when it is dropped, so the channel cannot close before it.
            Woken::Command(Some(Command::Shutdown) | None) => self.step(Event::Shutdown),
            Woken::Completed(id, purpose, sent_at, outcome) => self.completed(id, purpose, sent_at, outcome),
            Woken::Watch(event) => self.watched(event),
        }
    }

    fn completed(&mut self, request: RequestId, purpose: Purpose, sent_at: Instant, outcome: Outcome) {
        let took = self.clock.instant().since(sent_at);
        self.observe(Observation::Request { purpose, took, error: outcome.as_ref().err() });
        let result = match outcome {
            Ok(found) => {
                self.complaints.settle(purpose);
                self.answered(purpose != Purpose::Read);
                // That reading works says nothing of a right to write that is missing.
                let stays = &self.complaints.write_denied;
                self.shared.status.send_if_modified(|status| {
                    let changed = status.last_error != *stays;
                    if changed {
                        status.last_error.clone_from(stays);
                    }
                    changed
                });
                Ok(found)
            }
            Err(error) => {
                self.complain(purpose, &error, sent_at);
                Err(Failure::from(&error))
            }
        };
        self.step(Event::Completed { request, result });
    }

    fn watched(&mut self, event: Option<WatchEvent>) {
        let event = match event {
            Some(WatchEvent::Ready) => {
                self.answered(false);
                self.observe(Observation::Watching(true));
                self.shared.status.send_modify(|status| {
                    status.watching = true;
                    status.watch_error = None;
                });
                Event::WatchReady
            }
            Some(WatchEvent::Changed(found)) => Event::Hint(Hint::Changed(found)),
            Some(WatchEvent::Deleted) => Event::Hint(Hint::Deleted),
            Some(WatchEvent::Lost(error)) => {
                self.watch_lost(error.as_ref());
                Event::WatchLost
            }
            None => {
                self.watch = None;
                self.watch_lost(None);
                Event::WatchLost
            }
        };
        self.step(event);
    }

    fn watch_lost(&mut self, error: Option<&LockError>) {
        self.observe(Observation::Watching(false));
        let message: Option<Arc<str>> = error.map(|error| describe(error).into());
        self.shared.status.send_if_modified(|status| {
            let news = message.is_some() && status.watch_error.is_none();
            if let (true, Some(message)) = (news, &message) {
                tracing::warn!(lock = %self.lock.get(), error = %message, "no watch; polling instead");
            }
            let changed = std::mem::replace(&mut status.watching, false) || news;
            status.watch_error = message.or(status.watch_error.take());
            changed
        });
    }

    fn step(&mut self, event: Event) {
        let now = self.clock.now();
        let actions = self.elector.step(now, event);
        self.carry_out(now.instant, actions);
    }

    fn carry_out(&mut self, now: Instant, actions: Actions) {
        let given_up = if actions.abandon { self.under_way.take() } else { None };
        // What ends a term comes before anything is sent.
        for notice in &actions.notices {
            self.observe(Observation::Notice(notice));
            self.tell(notice);
        }
        if let Some(given_up) = given_up.filter(|_| self.elector.phase() != PhaseKind::Stopped) {
            self.observe(Observation::Abandoned(given_up.purpose));
            let read = given_up.purpose == Purpose::Read;
            let kind = if read { LockErrorKind::Unavailable } else { LockErrorKind::Unknown };
            let took = now.since(given_up.sent_at);
            let error = LockError::new(kind, format!("no answer within {took:.1?}"));
            self.complain(given_up.purpose, &error, given_up.sent_at);
        }
        if let Some(Request { id, purpose, op, .. }) = actions.request {
            tracing::trace!(%id, %purpose, "request");
            self.under_way = Some(UnderWay { id, purpose, sent_at: now, call: self.lock.call(op) });
        }
        if let Some(timer) = &mut self.timer {
            timer.arm(actions.wake_in);
        }
        self.report();
    }

    fn tell(&mut self, notice: &Notice) {
        match notice {
            Notice::Started(term) => self.start_term(term),
            Notice::Renewed { term, valid_until, fence } => {
                if let Some(shared) = self.term.as_ref().filter(|shared| shared.id() == *term) {
                    shared.extend(*valid_until, *fence);
                }
            }
            Notice::Drain { why, .. } => self.end_term(*why, TermShared::mark_draining),
            Notice::MustStop { why, .. } => self.end_term(*why, TermShared::mark_ended),
            Notice::Stopped { why, released, .. } => {
                let released = if *released { Released::Released } else { Released::NotReleased };
                self.close_term(*why, released);
            }
            Notice::HolderChanged(Some(holder)) => {
                tracing::info!(lock = %self.lock.get(), %holder, "the holder has changed");
            }
            Notice::HolderChanged(None) => tracing::info!(lock = %self.lock.get(), "nobody holds the lease"),
            Notice::IdentityConflict => {
                // The other goes on renewing, so this is said once; the status keeps it.
                let status = &self.shared.status;
                if status.send_if_modified(|status| !std::mem::replace(&mut status.identity_conflict, true)) {
                    tracing::error!(lock = %self.lock.get(), identity = %self.elector.config().identity,
                        "somebody else writes the record under this identity; give each replica its own");
                }
            }
            Notice::Refusing(refusal) => self.refuse(*refusal),
            Notice::LateAcknowledgement => tracing::debug!(lock = %self.lock.get(), "an answer came too late"),
            Notice::Finished => {}
        }
    }

    fn start_term(&mut self, term: &Term) {
        tracing::info!(lock = %self.lock.get(), identity = %self.elector.config().identity,
            won = term.won.as_str(), token = term.token.map(tracing::field::display), "leading");
        let signals = Box::new(CommandSignals(self.shared.commands.clone()));
        let shared = Arc::new(TermShared::new(term.clone(), Arc::clone(&self.clock), signals));
        self.term = Some(Arc::clone(&shared));
        let leadership = Leadership::new(shared);
        let host = Arc::clone(&self.shared);
        let (weak, draining) = (leadership.downgrade(), leadership.draining());
        let callbacks = async move {
            if host.callbacks.run_term(&weak, &draining).await.is_err() {
                host.status.send_modify(|status| status.work_panics += 1);
            }
        };
        match &self.callback_runtime {
            Some(runtime) => runtime.spawn(callbacks),
            None => tokio::spawn(callbacks),
        };
        self.shared.status.send_modify(|status| {
            status.terms += 1;
            status.reason = None;
            status.released = None;
        });
        self.shared.set_pending(Some(leadership));
    }

    fn end_term(&mut self, why: Reason, mark: impl FnOnce(&TermShared, Reason)) {
        if let Some(shared) = &self.term {
            if why == Reason::DrainTimeout {
                tracing::error!(lock = %self.lock.get(),
                    "the work did not drain in time; unless it stops at once the lease is left to expire");
            } else if why.is_loss() {
                tracing::warn!(lock = %self.lock.get(), reason = %why, "leadership is lost; the work must stop");
            } else {
                tracing::info!(lock = %self.lock.get(), reason = %why, "giving the lease up; the work is draining");
            }
            mark(shared, why);
        }
        self.shared.status.send_modify(|status| status.reason = Some(why));
        // Nobody has come for it, so there is no work to wait for.
        self.shared.set_pending(None);
    }

    fn close_term(&mut self, why: Reason, released: Released) {
        if let Some(shared) = self.term.take() {
            shared.close(released);
        }
        tracing::info!(lock = %self.lock.get(), reason = %why, released = released == Released::Released, "the term is closed");
        self.shared.status.send_modify(|status| status.released = Some(released));
    }

    fn refuse(&mut self, refusal: Option<Refusal>) {
        if let Some(refusal) = refusal {
            tracing::error!(lock = %self.lock.get(), %refusal, "not contending");
        }
        self.shared.status.send_modify(|status| status.refusal = refusal);
    }

    /// R13: loud, but not once per attempt.
    fn complain(&mut self, purpose: Purpose, error: &LockError, sent_at: Instant) {
        if matches!(error.kind(), LockErrorKind::Conflict | LockErrorKind::NotFound) {
            // Part of the protocol: somebody else was faster. Who may not write is not told so.
            self.complaints.write_denied = None;
            tracing::debug!(lock = %self.lock.get(), %purpose, %error, "conflict");
            return self.answered(false);
        }
        let now = self.clock.now();
        let message: Arc<str> = describe(error).into();
        let count = self.complaints.count(purpose, sent_at);
        if self.complaints.is_due(now.instant, error.kind()) {
            let kind = error.kind();
            tracing::warn!(lock = %self.lock.get(), %purpose, %kind, error = %message, count, "request failed");
        }
        let last_error = LastError { kind: error.kind(), message, at: now.wall, count };
        if purpose != Purpose::Read && error.kind() == LockErrorKind::Denied {
            self.complaints.write_denied = Some(last_error.clone());
        }
        self.shared.status.send_modify(|status| status.last_error = Some(last_error));
    }

    /// The store has answered: what was told of it may be over.
    fn answered(&mut self, written: bool) {
        if let Some(Over { lasted, failures }) = self.complaints.answered(self.clock.instant(), written) {
            let lasted = format_args!("{lasted:.1?}");
            tracing::info!(lock = %self.lock.get(), %lasted, failures, "requests succeed again");
        }
    }

    fn observe(&self, what: Observation<'_>) {
        if let Some(observer) = &self.observer {
            observer.observe(self.clock.instant(), what);
        }
    }

    fn report(&self) {
        let phase = self.elector.phase();
        let term = self.elector.term().filter(|_| matches!(phase, PhaseKind::Leading | PhaseKind::Draining));
        let record = self.elector.observed().map(|seen| &seen.record);
        let holder = record.and_then(|record| record.holder.as_ref());
        let held_since = holder.and_then(|_| record?.acquire_time);
        let read = self.elector.has_read();
        let (token, valid_until) = (term.and_then(|term| term.token), term.map(|term| term.valid_until));
        self.shared.status.send_if_modified(|status| {
            let same = status.phase == phase
                && status.holder.as_ref() == holder
                && status.held_since == held_since
                && status.read == read
                && status.token == token
                && status.valid_until == valid_until;
            if !same {
                status.phase = phase;
                status.holder = holder.cloned();
                status.held_since = held_since;
                status.read = read;
                status.token = token;
                status.valid_until = valid_until;
            }
            !same
        });
    }
}

/// However the driver ends, nobody is left acting or waiting.
impl Drop for Driver {
    fn drop(&mut self) {
        let cut_off = self.term.take();
        if let Some(shared) = &cut_off {
            shared.mark_ended(Reason::DriverEnded);
            shared.close(Released::NotReleased);
        }
        let failed = self.elector.phase() != PhaseKind::Stopped;
        if failed {
            tracing::error!(lock = %self.lock.get(), "the driver of the election has failed; nobody contends here any more");
        }
        self.shared.status.send_modify(|status| {
            status.phase = PhaseKind::Stopped;
            (status.token, status.valid_until, status.watching) = (None, None, false);
            if failed {
                status.reason = Some(Reason::DriverEnded);
            }
            if cut_off.is_some() {
                status.released = Some(Released::NotReleased);
            }
        });
        self.inbox.close();
        self.shared.set_pending(None);
    }
}

/// An error with what is below it, in one line.
fn describe(error: &LockError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(below) = source {
        let said = below.to_string();
        // Some errors repeat what is below them.
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        source = below.source();
    }
    text
}
