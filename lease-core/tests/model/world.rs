//! The states of a world, and what can happen next in each.
//!
//! True time goes in steps. Within a step everything that can happen may happen in any order; time goes on only when no machine
//! is due to be woken, and whoever has to have stopped by then has stopped.

use std::hash::Hash;
use std::sync::Arc;

use lease_core::{Elector, LeaseRecord, LockErrorKind, Versioned};
use stateright::{Model, Property};

use crate::judge::{Sights, Verdict};
use crate::names;
use crate::plan::{Edit, Ignorance, Network, Plan, WALL_S};
use crate::print::Log;
use crate::turn::Turn;

/// A plan being explored.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) plan: Plan,
    /// How often each noteworthy thing has happened: proof that the exploration was not vacuous. No state depends on it.
    pub(crate) sights: Sights,
    /// Whether states are renamed so that they repeat.
    pub(crate) renames: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) nodes: Vec<Node>,
    pub(crate) store: Store,
    /// Abandoned writes that may yet be applied.
    pub(crate) late: Vec<Late>,
    pub(crate) spent: Spent,
    pub(crate) token_max: Option<u128>,
    /// For how many steps more an edit can have left somebody acting whom others do not know of.
    pub(crate) excused_for: u8,
    pub(crate) verdict: Option<Verdict>,
    pub(crate) wall_s: i64,
}

/// Where candidates run, one process after the other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Node {
    pub(crate) process: Option<Arc<Process>>,
    /// How many processes ran here.
    pub(crate) lives: u8,
    pub(crate) ignorance: Option<Ignorance>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Process {
    pub(crate) elector: Elector,
    /// What both of its clocks show.
    pub(crate) clock_ms: u64,
    /// After how much of its clock it is to be woken; none for never.
    pub(crate) wake_in_ms: Option<u32>,
    pub(crate) wire: Wire,
    pub(crate) work: Work,
    /// For how long an own write that was applied lets it act, from when that was sent.
    pub(crate) authority_ms: u32,
    /// The highest revision that an answer has shown it, where the store may lose one.
    pub(crate) revision_seen: Option<u128>,
}

/// The request of a process, if it waits for one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Wire {
    Idle,
    Sent {
        age_ms: u32,
        call: Call,
    },
    /// The store has taken the request, and the answer is lost.
    Unanswered,
    Answered {
        to_read: bool,
        answer: Result<Option<Versioned>, LockErrorKind>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Call {
    Get,
    Write(Write),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Write {
    /// The revision that it replaces; none for a create.
    pub(crate) on: Option<u128>,
    pub(crate) record: LeaseRecord,
}

/// A write whose sender no longer waits for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Late {
    pub(crate) write: Write,
    /// Who sent it, while that process lives and the write would still be worth a hold, and how long ago.
    pub(crate) sender: Option<(usize, u32)>,
}

/// What the guarded work of a process is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Work {
    None,
    Acting,
    Draining,
    /// It must stop within so much of its clock.
    Stopping(u32),
    /// It has stopped, and the machine has not closed the term yet.
    Stopped,
}

impl Work {
    pub(crate) fn acts(self) -> bool {
        matches!(self, Self::Acting | Self::Draining | Self::Stopping(_))
    }
}

/// The register.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Store {
    pub(crate) current: Option<Versioned>,
    pub(crate) revision: u128,
    pub(crate) past: Past,
}

/// What an edit may bring back: kept only where and while there may be such an edit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Past {
    /// Before the last write; none when there was no record.
    pub(crate) before: Option<Versioned>,
    pub(crate) term_before: Option<LeaseRecord>,
    pub(crate) release: Option<LeaseRecord>,
}

/// What was used up of what the plan allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Spent {
    /// Acquisitions that the store has taken.
    pub(crate) terms: u8,
    pub(crate) losses: u8,
    pub(crate) crashes: u8,
    pub(crate) resigns: u8,
    pub(crate) shutdowns: u8,
    pub(crate) edits: u8,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Start(usize),
    /// The machine is woken when it asked to be.
    Wake(usize),
    /// The store takes the request of this process.
    Apply(usize),
    /// The answer arrives.
    Deliver(usize),
    /// The store takes the request, and the answer arrives at once.
    Exchange(usize),
    ApplyLate(usize),
    /// The work stops before it must.
    StopWork(usize),
    Resign(usize),
    Shutdown(usize),
    Crash(usize),
    Edit(Edit),
    /// True time goes on.
    Advance,
}

impl World {
    pub(crate) fn new(plan: Plan) -> Self {
        Self { plan, sights: Sights::default(), renames: true }
    }

    /// The same world with times and names that count upwards for ever: for people to read, and to compare.
    pub(crate) fn unrenamed(plan: Plan) -> Self {
        Self { renames: false, ..Self::new(plan) }
    }

    /// What `step` makes of `state`.
    pub(crate) fn take(&self, state: &State, step: Step, log: &mut Log) -> State {
        let mut next = state.clone();
        Turn::new(&self.plan, &self.sights, &mut next, log).take(step);
        let shown = names::prune(&self.plan, &self.sights, &mut next);
        if self.renames {
            names::rename(&self.plan, &mut next, shown);
            next.share_with(state);
        }
        next
    }
}

impl State {
    pub(crate) fn first(plan: &Plan) -> Self {
        let node = Node { process: None, lives: 0, ignorance: None };
        Self {
            nodes: vec![node; plan.candidates],
            store: Store::default(),
            late: Vec::new(),
            spent: Spent::default(),
            token_max: None,
            excused_for: 0,
            verdict: None,
            wall_s: WALL_S,
        }
    }

    pub(crate) fn processes(&self) -> impl Iterator<Item = (usize, &Process)> {
        self.nodes.iter().enumerate().filter_map(|(index, node)| Some((index, node.process.as_deref()?)))
    }

    /// Most of a state is as it was in the one before: keeping that once is what lets millions fit into memory.
    fn share_with(&mut self, before: &Self) {
        for (node, old) in self.nodes.iter_mut().zip(&before.nodes) {
            if node.process == old.process {
                node.process.clone_from(&old.process);
            }
        }
    }

    fn may_advance(&self, plan: &Plan) -> bool {
        let started = !plan.starts_together || self.nodes.iter().all(|node| node.lives > 0);
        started && self.processes().all(|(_, process)| process.wake_in_ms != Some(0))
    }
}

impl Model for World {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![State::first(&self.plan)]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        if state.verdict.is_some() {
            return;
        }
        let (plan, spent) = (&self.plan, &state.spent);
        for (index, node) in state.nodes.iter().enumerate() {
            let Some(process) = node.process.as_deref() else {
                if node.lives <= plan.crashes_max + plan.shutdowns_max {
                    steps.push(Step::Start(index));
                }
                continue;
            };
            let waits = process.wire != Wire::Idle;
            // Where nothing more may be lost, an answer comes in time.
            let may_lose = !waits || plan.losses_max.is_none_or(|max| spent.losses < max);
            if process.wake_in_ms == Some(0) && may_lose {
                steps.push(Step::Wake(index));
            }
            match &process.wire {
                Wire::Idle | Wire::Unanswered => {}
                Wire::Sent { .. } if plan.network == Network::Slow => steps.push(Step::Apply(index)),
                Wire::Sent { call, .. } => {
                    steps.push(Step::Exchange(index));
                    if may_lose && *call != Call::Get {
                        steps.push(Step::Apply(index));
                    }
                }
                Wire::Answered { .. } => steps.push(Step::Deliver(index)),
            }
            if matches!(process.work, Work::Draining | Work::Stopping(_)) {
                steps.push(Step::StopWork(index));
            }
            if process.work == Work::Acting && spent.resigns < plan.resigns_max {
                steps.push(Step::Resign(index));
            }
            if spent.shutdowns < plan.shutdowns_max {
                steps.push(Step::Shutdown(index));
            }
            if spent.crashes < plan.crashes_max {
                steps.push(Step::Crash(index));
            }
        }
        steps.extend((0..state.late.len()).map(Step::ApplyLate));
        if spent.edits == 0 && state.store.current.is_some() {
            steps.extend(plan.edits.iter().copied().map(Step::Edit));
        }
        if state.may_advance(plan) {
            steps.push(Step::Advance);
        }
    }

    fn next_state(&self, state: &State, step: Step) -> Option<State> {
        Some(self.take(state, step, &mut Log::default()))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("I1 mutual exclusion", |world: &Self, state: &State| match state.verdict {
                Some(Verdict::Overlap(why)) => world.plan.excuses(why),
                _ => true,
            }),
            Property::always("I2 rising tokens", |world: &Self, state: &State| match state.verdict {
                Some(Verdict::Token(why)) => world.plan.excuses(why),
                _ => true,
            }),
            Property::always("I4 bounded hold", |_, state: &State| state.verdict != Some(Verdict::Hold)),
            Property::always("I6 release after the stop", |_, state: &State| {
                state.verdict != Some(Verdict::EarlyRelease)
            }),
            Property::always("I7 silence after a loss", |_, state: &State| state.verdict != Some(Verdict::Noise)),
            Property::always("I8 no revival", |_, state: &State| state.verdict != Some(Verdict::Revival)),
            Property::always("I9 alternation", |_, state: &State| state.verdict != Some(Verdict::Alternation)),
        ]
    }

    fn within_boundary(&self, state: &State) -> bool {
        self.plan.terms_max.is_none_or(|max| state.spent.terms <= max)
    }
}
