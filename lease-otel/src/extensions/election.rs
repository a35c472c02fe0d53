//! An elector that runs: an election behind the contract of receivers, and its metrics.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use lease_core::{Builder, Election, Instant, Notice, Observation, Observer, Purpose, Reason, Released};

use super::candidate::StartWhen;
use crate::component::{Label, Meter, RunningExtension, StartError};
use crate::config::ComponentId;
use crate::elector::{Candidacy, LeaderElector, Start, Stop};
use crate::telemetry::names;

/// What an elector is called in its metrics.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) lease: String,
    pub(super) namespace: String,
    pub(super) backend: &'static str,
}

/// An elector that contends, or is about to.
#[derive(Debug)]
pub(super) struct RunningElector {
    id: ComponentId,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    phase: Mutex<Phase>,
    candidacy: Candidacy,
}

#[derive(Debug)]
enum Phase {
    /// It contends once the pipelines are ready.
    Waiting(Box<Builder>),
    Running(Election),
    Ended,
}

impl RunningElector {
    /// Must be called within a runtime.
    pub(super) fn start(
        id: &ComponentId,
        election: Builder,
        named: Named,
        candidacy: Candidacy,
        start_when: StartWhen,
        telemetry: Arc<dyn Meter>,
    ) -> Result<Self, StartError> {
        let metrics = Metrics { id: id.to_string(), named, telemetry, led: Mutex::new(false) };
        metrics.leads(false);
        metrics.begin();
        let election = election.observer(metrics);
        let phase = match start_when {
            StartWhen::Ready => Phase::Waiting(Box::new(election)),
            StartWhen::Immediately => Phase::Running(election.start()?),
        };
        Ok(Self { id: id.clone(), state: Arc::new(State { phase: Mutex::new(phase), candidacy }) })
    }
}

impl State {
    fn change<R>(&self, change: impl FnOnce(Phase) -> (Phase, R)) -> R {
        let mut phase = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        let (next, result) = change(std::mem::replace(&mut *phase, Phase::Ended));
        *phase = next;
        result
    }
}

impl LeaderElector for State {
    fn set_callbacks(&self, start: Start, stop: Stop) {
        self.change(|phase| match phase {
            Phase::Waiting(election) => (Phase::Waiting(Box::new(election.on_term(start, stop))), ()),
            Phase::Running(election) => {
                election.on_term(start, stop);
                (Phase::Running(election), ())
            }
            Phase::Ended => (Phase::Ended, ()),
        });
    }

    fn candidacy(&self) -> Option<Candidacy> {
        Some(self.candidacy.clone())
    }
}

#[async_trait]
impl RunningExtension for RunningElector {
    fn elector(&self) -> Option<Arc<dyn LeaderElector>> {
        Some(Arc::clone(&self.state) as Arc<dyn LeaderElector>)
    }

    /// A candidate that does not contend would be a replica that never takes over, and nobody would notice: better none.
    fn ready(&self) -> Result<(), StartError> {
        self.state.change(|phase| match phase {
            Phase::Waiting(election) => match election.start() {
                Ok(election) => (Phase::Running(election), Ok(())),
                Err(error) => (Phase::Ended, Err(error.into())),
            },
            other => (other, Ok(())),
        })
    }

    async fn shutdown(self: Box<Self>) {
        let election = self.state.change(|phase| match phase {
            Phase::Running(election) => (Phase::Ended, Some(election)),
            _ => (Phase::Ended, None),
        });
        let Some(election) = election else { return };
        if election.shutdown().await == Released::NotReleased {
            tracing::warn!(elector = %self.id, "the lease was not released; another replica takes it when it has run out");
        }
    }
}

/// Counts what an election does.
#[derive(Debug)]
struct Metrics {
    id: String,
    named: Named,
    telemetry: Arc<dyn Meter>,
    led: Mutex<bool>,
}

/// Why a term is lost that nobody here has given up.
const LOSSES: [Reason; 8] = [
    Reason::Expired,
    Reason::TakenOver,
    Reason::Deleted,
    Reason::Cleared,
    Reason::Malformed,
    Reason::Regressed,
    Reason::IdentityConflict,
    Reason::DrainTimeout,
];

impl Metrics {
    /// Counters that are there from the start show the first loss in a rate.
    fn begin(&self) {
        for why in LOSSES {
            self.lost(why, 0);
        }
    }

    fn lost(&self, why: Reason, times: u64) {
        let [lease, namespace, backend, component] = self.labels();
        let labels = [lease, namespace, backend, component, ("reason", why.as_str())];
        self.telemetry.add_labelled(names::LOSSES, &labels, times);
    }

    fn leads(&self, leads: bool) {
        *self.led.lock().unwrap_or_else(PoisonError::into_inner) = leads;
        let value = if leads { 1.0 } else { 0.0 };
        self.telemetry.set_labelled(names::MASTER_STATUS, &self.as_client_go(), value);
        self.telemetry.set_labelled(names::IS_LEADER, &self.labels(), value);
    }

    /// The name of a lease says little: another namespace may have one of that name, and a process several candidates.
    fn labels(&self) -> [Label<'_>; 4] {
        let Named { lease, namespace, backend } = &self.named;
        [("lease", lease), ("namespace", namespace), ("backend", backend), ("component", &self.id)]
    }

    /// The label of client-go, which has one lease in a process, and what tells several apart.
    fn as_client_go(&self) -> [Label<'_>; 3] {
        let Named { lease, namespace, .. } = &self.named;
        [("name", lease), ("namespace", namespace), ("component", &self.id)]
    }
}

impl Observer for Metrics {
    fn observe(&self, _at: Instant, what: Observation<'_>) {
        match what {
            Observation::Notice(Notice::Started(_)) => {
                self.leads(true);
                self.telemetry.add_labelled(names::ACQUISITIONS, &self.labels(), 1);
            }
            Observation::Notice(Notice::MustStop { why, .. }) => {
                self.leads(false);
                self.lost(*why, 1);
            }
            Observation::Notice(Notice::Stopped { .. }) => self.leads(false),
            // While it leads it writes what it knows; where that is not enough it has to read.
            Observation::Request { purpose: Purpose::Read, .. }
                if *self.led.lock().unwrap_or_else(PoisonError::into_inner) =>
            {
                self.telemetry.add_labelled(names::SLOW_PATH, &self.as_client_go(), 1);
            }
            _ => {}
        }
    }
}
