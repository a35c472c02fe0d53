//! One receiver in its place: started, started again when it ends by itself, and given up when that does not help.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use lease_core::Leadership;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::flow::of_term;
use crate::component::{Meter, Outputs, Receiver, Scope, StartError, Work};
use crate::config::ComponentId;
use crate::elector::Candidacy;
use crate::errors::with_causes;
use crate::telemetry::names;

/// A receiver and where its telemetry goes.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) id: ComponentId,
    pub(super) receiver: Arc<dyn Receiver>,
    pub(super) outputs: Outputs,
    pub(super) telemetry: Arc<dyn Meter>,
}

/// In what a receiver runs: a term, or for one without elector the life of the collector.
#[derive(Clone, Debug)]
pub(super) struct Stint {
    pub(super) leadership: Option<Leadership>,
    pub(super) candidacy: Option<Candidacy>,
    /// All that start and stop together.
    pub(super) members: Arc<[ComponentId]>,
    pub(super) stop: CancellationToken,
}

impl Stint {
    /// Gives the term up, if it is one, so that another replica may try.
    pub(super) fn step_down(self, seat: &Seat, why: &str) {
        let Some(leadership) = self.leadership else { return };
        tracing::error!(receiver = %seat.id, why, "{}", farewell(&self.members, &seat.id));
        seat.telemetry.add(names::STEP_DOWNS, &seat.id, 1);
        leadership.step_down();
    }
}

/// What a step-down means, also for what else is under the lease.
fn farewell(members: &[ComponentId], failed: &ComponentId) -> String {
    let others: Vec<String> = members.iter().filter(|id| *id != failed).map(|id| format!("`{id}`")).collect();
    let text = "stepping down, so that another replica may try".to_owned();
    if others.is_empty() {
        return text;
    }
    let others = others.join(", ");
    format!(
        "{text}; the others under this lease stop too: {others}; a lease of its own for `{failed}` keeps them apart"
    )
}

impl Seat {
    /// Starts a fresh instance. None when it is to stop before it has started.
    pub(super) async fn start(&self, stint: &Stint) -> Result<Option<Work>, StartError> {
        let scope = Scope {
            id: self.id.clone(),
            outputs: match &stint.leadership {
                Some(leadership) => of_term(&self.outputs, &leadership.validity()),
                None => self.outputs.clone(),
            },
            leadership: stint.leadership.clone(),
            candidacy: stint.candidacy.clone(),
            stop: stint.stop.child_token(),
            telemetry: Arc::clone(&self.telemetry),
        };
        // The call is inside too: a receiver may panic before it has made its future.
        let start = AssertUnwindSafe(async { self.receiver.start(scope).await }).catch_unwind();
        let started = tokio::select! {
            biased;
            () = stint.stop.cancelled() => return Ok(None),
            started = start => started.unwrap_or_else(|panic| Err(format!("it panicked: {}", said(&*panic)).into())),
            () = sleep(START_MAX) => Err(format!("it has not started within {START_MAX:?}").into()),
        };
        if started.is_err() {
            self.telemetry.add(names::FAILURES, &self.id, 1);
        }
        started.map(Some)
    }

    /// Runs what has started until it is to stop.
    ///
    /// Work that ends by itself or panics is started again in the same term, after a pause that grows. When that has
    /// happened several times with little time in between, or it does not start again, the term is given up: the cause may
    /// be here, and another replica may do better. A receiver without elector has no other place, and is tried for ever.
    pub(super) async fn run(self: Arc<Self>, mut work: Work, stint: Stint) {
        let mut failures = 0;
        loop {
            let running = Running::new(&self);
            let began = Instant::now();
            let outcome = AssertUnwindSafe(work).catch_unwind().await;
            drop(running);
            let mut why = match outcome {
                Err(panic) => format!("it panicked: {}", said(&*panic)),
                Ok(()) if stint.stop.is_cancelled() => return,
                Ok(()) => "it has ended by itself".to_owned(),
            };
            self.telemetry.add(names::FAILURES, &self.id, 1);
            if began.elapsed() >= STEADY {
                failures = 0;
            }
            work = loop {
                if stint.stop.is_cancelled() {
                    tracing::error!(receiver = %self.id, why, "the receiver failed while it stopped");
                    return;
                }
                failures += 1;
                if failures > RESTARTS_MAX && stint.leadership.is_some() {
                    return stint.step_down(&self, &why);
                }
                let pause = back_off(failures);
                tracing::error!(receiver = %self.id, why, ?pause, "the receiver has failed; it is started again");
                tokio::select! {
                    biased;
                    () = stint.stop.cancelled() => return,
                    () = sleep(pause) => {}
                }
                match self.start(&stint).await {
                    Ok(Some(work)) => break work,
                    Ok(None) => return,
                    Err(error) => why = with_causes(&*error),
                }
            };
        }
    }
}

/// Shows, until it is dropped, that the receiver runs.
struct Running<'a>(&'a Seat);

impl<'a> Running<'a> {
    fn new(seat: &'a Seat) -> Self {
        seat.telemetry.set(names::RUNNING, &seat.id, 1.0);
        Self(seat)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.telemetry.set(names::RUNNING, &self.0.id, 0.0);
    }
}

/// From half a second on, doubled each time up to half a minute, and up to twice as long by chance.
fn back_off(failures: u32) -> Duration {
    let least = (PAUSE_MIN * (1 << (failures - 1).min(PAUSE_DOUBLINGS_MAX))).min(PAUSE_MAX);
    least.mul_f64(1.0 + fastrand::f64())
}

/// What a panic has said.
fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

/// How long a start may take. Those after it wait meanwhile, and so does another replica that might do better.
const START_MAX: Duration = Duration::from_secs(30);
/// More failures in a row than this are not the receiver's bad luck.
const RESTARTS_MAX: u32 = 3;
/// Work that has run for so long had got over its last failure.
const STEADY: Duration = Duration::from_mins(1);
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(30);
const PAUSE_DOUBLINGS_MAX: u32 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_down_names_those_that_stop_with_it() {
        let ids = ["dummy/a", "exec", "dummy/b"].map(|id| id.parse().expect("it is an id"));
        let alone = "stepping down, so that another replica may try";
        assert_eq!(farewell(&ids[..1], &ids[0]), alone);
        let told = "the others under this lease stop too: `dummy/a`, `dummy/b`; a lease of its own for `exec` keeps them apart";
        assert_eq!(farewell(&ids, &ids[1]), format!("{alone}; {told}"));
    }
}
