//! Scripted outcomes: what happens to the next requests of one handle.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lease_core::{LockError, LockErrorKind};
use tokio::sync::{oneshot, watch};

use crate::store::{Answer, MemoryStore, Request};

/// Which requests a scripted outcome waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Requests {
    /// Whatever comes next.
    All,
    /// `get`.
    Reads,
    /// `create` and `update`.
    Writes,
}

/// What happens to a request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// It is served as usual: for the requests between two others of a script.
    Pass,
    /// It fails with this error, and nothing is written.
    Fail(LockError),
    /// It is applied, and the reply is lost: a write answers `Unknown`, a read `Unavailable`.
    LoseReply,
    /// It is lost on the way. The answer is that of [`Outcome::LoseReply`], since nobody can tell them apart.
    LoseRequest,
    /// It finds a record that cannot be understood, with the version that is stored; nothing is written.
    Malformed,
    /// It never arrives and is never answered: the future stays pending until it is dropped.
    Hang,
}

impl Outcome {
    /// It fails before it is applied.
    pub fn unavailable() -> Self {
        Self::Fail(LockError::new(LockErrorKind::Unavailable, "memory: scripted to be unavailable"))
    }

    /// It is refused until an operator acts.
    pub fn denied() -> Self {
        Self::Fail(LockError::new(LockErrorKind::Denied, "memory: scripted to be denied"))
    }

    /// It fails with this kind of error, and nothing is written, whatever the kind suggests.
    pub fn fail(kind: LockErrorKind) -> Self {
        Self::Fail(LockError::new(kind, format!("memory: scripted to fail as {kind}")))
    }
}

impl Requests {
    fn include(self, request: &Request) -> bool {
        match self {
            Self::All => true,
            Self::Reads => matches!(request, Request::Get),
            Self::Writes => !matches!(request, Request::Get),
        }
    }
}

/// What a handle does with its next requests.
#[derive(Default)]
pub(crate) struct Script {
    queue: VecDeque<(Requests, Step)>,
    always: Vec<(Requests, Outcome)>,
}

pub(crate) enum Step {
    Do(Outcome),
    Hold(Arc<Gate>),
}

impl Script {
    pub(crate) fn push(&mut self, requests: Requests, step: Step) {
        self.queue.push_back((requests, step));
    }

    pub(crate) fn set_always(&mut self, requests: Requests, outcome: Outcome) {
        self.always.push((requests, outcome));
    }

    pub(crate) fn clear(&mut self) {
        self.queue.clear();
        self.always.clear();
    }

    /// The step for this request: the first in the queue that waits for its like, or else the latest of
    /// what holds always.
    pub(crate) fn next(&mut self, request: &Request) -> Step {
        if let Some(at) = self.queue.iter().position(|(requests, _)| requests.include(request)) {
            return self.queue.remove(at).expect("the position was just found").1;
        }
        let standing = self.always.iter().rev().find(|(requests, _)| requests.include(request));
        Step::Do(standing.map_or(Outcome::Pass, |(_, outcome)| outcome.clone()))
    }
}

/// A request that waits for the test to say what becomes of it: see [`MemoryLock::hold`](crate::MemoryLock::hold).
///
/// The write is held, not its sender: when the future is dropped meanwhile, [`Held::apply`] is a late write.
/// Dropping this loses the request, or the reply when it was applied.
pub struct Held {
    pub(crate) gate: Arc<Gate>,
}

/// Where a held request waits.
pub(crate) struct Gate {
    arrived: watch::Sender<bool>,
    state: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    request: Option<(MemoryStore, Arc<str>, Request)>,
    answer: Option<Answer>,
    reply: Option<oneshot::Sender<Answer>>,
    closed: bool,
}

impl Gate {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { arrived: watch::Sender::new(false), state: Mutex::default() })
    }

    /// Brings a request to the gate and waits for its answer.
    pub(crate) async fn pass(&self, store: MemoryStore, name: Arc<str>, request: Request) -> Answer {
        let lost = lost_reply(&name, &request);
        let (reply, answer) = oneshot::channel();
        {
            let mut waiting = self.lock();
            if waiting.closed {
                return lost;
            }
            waiting.request = Some((store, name, request));
            waiting.reply = Some(reply);
        }
        self.arrived.send_replace(true);
        answer.await.unwrap_or(lost)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Waits until the request is here.
    pub async fn arrived(&self) {
        let mut arrived = self.gate.arrived.subscribe();
        arrived.wait_for(|arrived| *arrived).await.expect("the gate keeps the sending side");
    }

    /// Whether the request is here.
    pub fn has_arrived(&self) -> bool {
        *self.gate.arrived.borrow()
    }

    /// Applies the request to the store as it is now, and says what the store answered. The sender does
    /// not learn of it yet.
    ///
    /// Doing so again is what a replaying proxy does: the last answer is the one that [`Held::answer`] gives.
    ///
    /// # Panics
    /// When the request is not here yet.
    pub fn apply(&self) -> Result<Option<lease_core::Versioned>, LockError> {
        let mut waiting = self.gate.lock();
        let (store, name, request) = waiting.request.as_ref().expect("a request is applied after it has arrived");
        let answer = store.apply(name, request);
        waiting.answer = Some(answer.clone());
        answer
    }

    /// Gives the sender the store's answer, after applying the request if that was not done yet.
    ///
    /// # Panics
    /// When the request is not here yet.
    pub fn answer(&self) {
        let applied = self.gate.lock().answer.take();
        let answer = applied.unwrap_or_else(|| self.apply());
        let mut waiting = self.gate.lock();
        waiting.answer = Some(answer.clone());
        if let Some(reply) = waiting.reply.take() {
            // A sender that has given up needs no answer.
            drop(reply.send(answer));
        }
    }

    /// Tells the sender that the reply was lost. The request can still be applied, now or later.
    ///
    /// # Panics
    /// When the request is not here yet.
    pub fn lose_reply(&self) {
        let mut waiting = self.gate.lock();
        assert!(waiting.request.is_some(), "a reply is lost after its request has arrived");
        waiting.reply = None;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut waiting = self.gate.lock();
        waiting.closed = true;
        waiting.reply = None;
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.gate.lock().request {
            Some((_, name, request)) => write!(f, "Held(memory:{name} {request:?})"),
            None => f.write_str("Held(nothing yet)"),
        }
    }
}

/// The answer of whoever waits for a reply that does not come.
pub(crate) fn lost_reply(name: &str, request: &Request) -> Answer {
    let kind = match request {
        // Nothing can have been written by a read.
        Request::Get => LockErrorKind::Unavailable,
        Request::Create(_) | Request::Update(..) => LockErrorKind::Unknown,
    };
    Err(LockError::new(kind, format!("memory:{name} gave no reply")))
}
