//! For tests of receivers and of programs that register their own work with an elector: an elector that a test scripts.

use lease_core::testing::ScriptedElection;
use lease_core::{Reason, Validity};

use crate::elector::{LeaderElector, Start, Stop};

/// An elector whose terms a test begins and ends. It calls back exactly as a real one does.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use lease_core::Reason;
/// use lease_otel::elector::LeaderElector;
/// use lease_otel::testing::ScriptedElector;
///
/// let elector = ScriptedElector::new();
/// let (terms, mut seen) = tokio::sync::mpsc::unbounded_channel();
/// elector.set_callbacks(
///     Box::new(move |leadership| {
///         terms.send(leadership.validity()).unwrap();
///         Box::pin(async {})
///     }),
///     Box::new(|| Box::pin(async {})),
/// );
/// elector.lead().await;
/// let term = seen.recv().await.unwrap();
/// assert!(term.check().is_ok());
/// elector.lose(Reason::TakenOver).await;
/// assert!(term.check().is_err());
/// # });
/// ```
#[derive(Debug, Default)]
pub struct ScriptedElector(ScriptedElection);

impl ScriptedElector {
    /// An elector that does not lead.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins a term; what is registered is started on tasks of the present runtime. While it leads, nothing happens.
    pub async fn lead(&self) -> Validity {
        self.0.lead().await
    }

    /// The term is lost. Returns when its work has stopped; without a term nothing happens.
    pub async fn lose(&self, why: Reason) {
        self.0.lose(why).await;
    }

    /// The term is given up gracefully. Returns when its work has stopped; without a term nothing happens.
    pub async fn drain(&self, why: Reason) {
        self.0.drain(why).await;
    }

    /// Waits until the work steps down, and ends the term. Returns when it has stopped; without a term nothing happens.
    pub async fn step_down(&self) {
        self.0.step_down().await;
    }
}

impl LeaderElector for ScriptedElector {
    fn set_callbacks(&self, start: Start, stop: Stop) {
        self.0.on_term(start, stop);
    }
}
