//! An election whose terms a test begins and ends.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use super::{TermControl, grant};
use crate::election::Callbacks;
use crate::elector::Reason;
use crate::leadership::{Leadership, Validity};
use crate::record::FencingToken;

/// An election without a lock: it calls back exactly as an [`Election`](crate::Election) does, in the terms that a test
/// begins and ends.
#[derive(Debug, Default)]
pub struct ScriptedElection {
    callbacks: Arc<Callbacks>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    terms: u128,
    term: Option<Running>,
}

#[derive(Debug)]
struct Running {
    control: TermControl,
    /// As an election holds a term that nobody has asked for.
    idle: Leadership,
    callbacks: JoinHandle<()>,
}

impl ScriptedElection {
    /// An election that does not lead.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a pair of callbacks: see [`Election::on_term`](crate::Election::on_term).
    pub fn on_term<S, E, SF, EF>(&self, start: S, stop: E)
    where
        S: Fn(Leadership) -> SF + Send + Sync + 'static,
        SF: Future<Output = ()> + Send + 'static,
        E: Fn() -> EF + Send + Sync + 'static,
        EF: Future<Output = ()> + Send + 'static,
    {
        self.callbacks.register(start, stop);
    }

    /// Begins a term; its token is greater than that of every earlier one. While it leads, nothing happens.
    ///
    /// What was registered is started on tasks of the present runtime, after this has returned.
    pub async fn lead(&self) -> Validity {
        let mut state = self.state.lock().await;
        if let Some(term) = &state.term {
            return term.idle.validity();
        }
        state.terms += 1;
        let (idle, control) = grant(Some(FencingToken { epoch: 0, revision: state.terms }));
        let validity = idle.validity();
        let (callbacks, weak, draining) = (Arc::clone(&self.callbacks), idle.downgrade(), idle.draining());
        let callbacks = tokio::spawn(async move {
            // A panic of a callback has given the term up already.
            let _ = callbacks.run_term(&weak, &draining).await;
        });
        state.term = Some(Running { control, idle, callbacks });
        validity
    }

    /// Ends the term as a loss does, and returns when its work has stopped. Without a term nothing happens.
    pub async fn lose(&self, why: Reason) {
        self.end(|control| control.lose(why)).await;
    }

    /// Ends the term as a shutdown or a handover does, and returns when its work has stopped. Without a term nothing
    /// happens.
    pub async fn drain(&self, why: Reason) {
        self.end(|control| control.drain(why)).await;
    }

    /// Waits until the work [steps down](Leadership::step_down), and ends the term as an election does then. Without a term
    /// nothing happens.
    pub async fn step_down(&self) {
        let mut state = self.state.lock().await;
        let Some(mut term) = state.term.take() else { return };
        // An idle clone is held here, so the work cannot just have stopped.
        term.control.stepped_down().await;
        term.end(|control| control.drain(Reason::WorkEnded)).await;
    }

    async fn end(&self, mark: impl FnOnce(&TermControl)) {
        let mut state = self.state.lock().await;
        if let Some(term) = state.term.take() {
            term.end(mark).await;
        }
    }
}

impl Running {
    async fn end(self, mark: impl FnOnce(&TermControl)) {
        let Self { mut control, idle, callbacks } = self;
        mark(&control);
        drop(idle);
        control.drained().await;
        // Only a runtime that ends can have cancelled it.
        let _ = callbacks.await;
    }
}
