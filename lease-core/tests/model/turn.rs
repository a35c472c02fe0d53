//! What one step makes of a state: the network, the store, the processes and their work.

use std::sync::Arc;
use std::time::Duration;

use lease_core::{
    Elector, Event, Failure, Instant, LeaseRecord, LockErrorKind, Notice, Now, Op, Request, Timestamp, Version,
    Versioned,
};

use crate::judge::{Sight, Sights, Verdict};
use crate::plan::{Edit, Ignorance, Network, Plan, millis};
use crate::print::{Log, describe};
use crate::world::{Call, Late, Process, State, Step, Store, Wire, Work, Write};

/// One step being taken.
pub(crate) struct Turn<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) sights: &'a Sights,
    pub(crate) state: &'a mut State,
    pub(crate) log: &'a mut Log,
    /// Whether the answer to a read is being delivered, and whether it has shown an own write.
    pub(crate) reading: bool,
    pub(crate) found_own: bool,
    /// Whether the machine no longer wanted the answer that is being delivered.
    pub(crate) discarded: bool,
}

impl<'a> Turn<'a> {
    pub(crate) fn new(plan: &'a Plan, sights: &'a Sights, state: &'a mut State, log: &'a mut Log) -> Self {
        Self { plan, sights, state, log, reading: false, found_own: false, discarded: false }
    }

    pub(crate) fn take(mut self, step: Step) {
        match step {
            Step::Start(node) => self.start(node),
            Step::Wake(node) => self.wake(node),
            Step::Apply(node) => {
                self.apply(node);
                if self.plan.network == Network::Prompt {
                    self.log.say(node, "the answer to it is lost");
                    self.process(node).wire = Wire::Unanswered;
                }
            }
            Step::Deliver(node) => self.deliver(node),
            Step::Exchange(node) => {
                self.apply(node);
                self.deliver(node);
            }
            Step::ApplyLate(index) => self.apply_late(index),
            Step::StopWork(node) => self.stop_work(node),
            Step::Resign(node) => {
                self.state.spent.resigns += 1;
                self.log.say(node, "asked to resign");
                self.step(node, Event::Resign { to: None });
            }
            Step::Shutdown(node) => {
                self.state.spent.shutdowns += 1;
                self.log.say(node, "asked to shut down");
                self.step(node, Event::Shutdown);
            }
            Step::Crash(node) => self.crash(node),
            Step::Edit(edit) => self.edit(edit),
            Step::Advance => self.advance(),
        }
    }

    pub(crate) fn process(&mut self, node: usize) -> &mut Process {
        let process = self.state.nodes[node].process.as_mut();
        Arc::make_mut(process.expect("only a process that runs is touched"))
    }

    pub(crate) fn saw(&self, sight: Sight) {
        self.sights.saw(sight);
    }

    pub(crate) fn violates(&mut self, verdict: Verdict) {
        self.log.note(format!("violates {verdict:?}"));
        // The first one is what a person wants to read.
        self.state.verdict = self.state.verdict.or(Some(verdict));
    }

    fn start(&mut self, node: usize) {
        let state = &mut *self.state;
        let config = self.plan.config(node, state.nodes[node].lives);
        self.log.say(node, format!("started, as {}", config.identity));
        let process = Process {
            elector: Elector::new(config, instant(START_MS)),
            clock_ms: START_MS,
            wake_in_ms: None,
            wire: Wire::Idle,
            work: Work::None,
            authority_ms: 0,
            revision_seen: None,
        };
        state.nodes[node].lives += 1;
        state.nodes[node].process = Some(Arc::new(process));
        if state.excused_for > 0 {
            state.nodes[node].ignorance = Some(Ignorance::Fresh);
        }
        self.step(node, Event::Wake);
    }

    fn wake(&mut self, node: usize) {
        if self.process(node).wire != Wire::Idle && self.plan.losses_max.is_some() {
            self.state.spent.losses += 1;
        }
        self.step(node, Event::Wake);
    }

    fn crash(&mut self, node: usize) {
        self.saw(Sight::Crash);
        self.log.say(node, "crashed");
        self.state.spent.crashes += 1;
        self.abandon(node);
        self.end(node);
    }

    /// A process is no more, and nothing that it sent is worth a hold to anybody.
    fn end(&mut self, node: usize) {
        self.state.nodes[node].process = None;
        self.state.nodes[node].ignorance = None;
        for late in &mut self.state.late {
            late.sender = late.sender.filter(|(sender, _)| *sender != node);
        }
    }

    fn apply(&mut self, node: usize) {
        let wire = std::mem::replace(&mut self.process(node).wire, Wire::Idle);
        let Wire::Sent { age_ms, call } = wire else { unreachable!("only what was sent can be applied") };
        let to_read = call == Call::Get;
        let answer = match call {
            Call::Get => Ok(self.state.store.current.clone()),
            Call::Write(write) => self.write(&write, Some((node, age_ms))).map(Some),
        };
        self.log.say(node, format_args!("its request reaches the store: {}", describe::answer(&answer)));
        self.process(node).wire = Wire::Answered { to_read, answer };
    }

    fn apply_late(&mut self, index: usize) {
        let late = self.state.late.remove(index);
        let applied = self.write(&late.write, late.sender);
        if applied.is_ok() {
            self.saw(Sight::LateWriteApplied);
        }
        self.log.note(format_args!("a late write reaches the store: {}", describe::answer(&applied.map(Some))));
    }

    fn write(&mut self, write: &Write, sender: Option<(usize, u32)>) -> Result<Versioned, LockErrorKind> {
        let store = &mut self.state.store;
        match (&store.current, write.on) {
            (Some(_), None) => return Err(LockErrorKind::Conflict),
            (None, Some(_)) => return Err(LockErrorKind::NotFound),
            (Some(current), Some(on)) if current.revision != Some(on) => return Err(LockErrorKind::Conflict),
            _ => {}
        }
        let acquires =
            store.current.as_ref().is_none_or(|current| write.record.transitions > current.record.transitions);
        let stored = store.put(write.record.clone());
        self.state.spent.terms += u8::from(acquires && self.plan.terms_max.is_some());
        if let Some((node, age_ms)) = sender {
            let hold_ms = millis(self.plan.timing.renew_deadline());
            let authority_ms = hold_ms.saturating_sub(age_ms);
            let process = self.process(node);
            process.authority_ms = process.authority_ms.max(authority_ms);
        }
        Ok(stored)
    }

    fn deliver(&mut self, node: usize) {
        let keeps_revisions = self.plan.edits.contains(&Edit::LoseWrite);
        let process = self.process(node);
        let wire = std::mem::replace(&mut process.wire, Wire::Idle);
        let Wire::Answered { to_read, answer } = wire else { unreachable!("only an answer can be delivered") };
        let Some(request) = process.elector.awaits() else { unreachable!("an abandoned request has no wire") };
        let revision = answer.as_ref().ok().and_then(|found| found.as_ref()?.revision);
        let result = answer.map_err(Failure::from);
        let in_term = process.elector.term().is_some();
        self.log.say(node, "is answered");
        self.reading = to_read;
        self.step(node, Event::Completed { request, result });
        if keeps_revisions
            && !self.discarded
            && let Some(process) = &mut self.state.nodes[node].process
        {
            let process = Arc::make_mut(process);
            process.revision_seen = process.revision_seen.max(revision);
        }
        let goes_on = self.state.nodes[node].process.as_ref().is_some_and(|process| process.elector.term().is_some());
        if self.found_own {
            self.saw(Sight::UnknownFoundApplied);
        } else if to_read && in_term && goes_on {
            self.saw(Sight::UnknownFoundNotApplied);
        }
    }

    /// The work stops, and whoever guards it says so.
    fn stop_work(&mut self, node: usize) {
        let process = self.process(node);
        process.work = Work::Stopped;
        let Some(term) = process.elector.term().map(|term| term.id) else {
            return self.violates(Verdict::Alternation);
        };
        self.log.say(node, "its work has stopped");
        self.step(node, Event::Drained { term });
    }

    fn advance(&mut self) {
        let rates_ms = self.plan.rates_ms;
        self.log.advance();
        let hold_ms = millis(self.plan.timing.renew_deadline());
        for late in &mut self.state.late {
            late.sender = late.sender.map(|(node, age_ms)| (node, age_ms + rates_ms[node]));
            late.sender = late.sender.filter(|(_, age_ms)| *age_ms < hold_ms);
        }
        let prompt = self.plan.network == Network::Prompt;
        for (node, rate_ms) in (0..self.plan.candidates).zip(rates_ms) {
            if self.state.nodes[node].process.is_some() {
                let process = self.process(node);
                process.pass(rate_ms);
                if prompt && matches!(process.wire, Wire::Sent { .. }) {
                    self.abandon(node);
                    self.process(node).wire = Wire::Unanswered;
                }
            }
        }
        // Whoever has lost a write for good never learns of it by waiting.
        if !self.plan.edits.contains(&Edit::LoseWrite) {
            self.state.excused_for = self.state.excused_for.saturating_sub(1);
        }
        for node in 0..self.plan.candidates {
            let work = self.state.nodes[node].process.as_ref().map(|process| process.work);
            if work == Some(Work::Stopping(0)) {
                self.stop_work(node);
            }
        }
    }

    /// Gives the machine an event, and does what it asks for.
    pub(crate) fn step(&mut self, node: usize, event: Event) {
        self.state.wall_s += 1;
        let wall_s = self.plan.wall_seconds(self.state.wall_s);
        let wall = Timestamp::from_unix_micros(wall_s * 1_000_000);
        let process = self.process(node);
        let now = Now { instant: instant(process.clock_ms), wall };
        let actions = process.elector.step(now, event);
        let wake_in_ms = (actions.wake_in != Duration::MAX).then(|| millis(actions.wake_in));
        process.wake_in_ms = wake_in_ms;
        if actions.abandon || actions.request.is_some() {
            self.abandon(node);
        }
        let mut finished = false;
        for notice in &actions.notices {
            self.log.notice(node, notice, now.instant);
            self.judge(node, now.instant, notice);
            finished |= *notice == Notice::Finished;
        }
        if let Some(request) = actions.request {
            self.send(node, request);
        }
        if finished {
            self.saw(Sight::Finished);
            self.end(node);
        }
    }

    fn send(&mut self, node: usize, request: Request) {
        self.log.say(node, format_args!("{} sent", describe::request(&request)));
        self.judge_request(node, request.purpose);
        let call = match request.op {
            Op::Get => Call::Get,
            Op::Create(record) => Call::Write(Write { on: None, record }),
            Op::Update { seen, record } => Call::Write(Write { on: seen.revision, record }),
        };
        self.process(node).wire = Wire::Sent { age_ms: 0, call };
    }

    /// The machine no longer waits for its request, which may be on its way all the same.
    fn abandon(&mut self, node: usize) {
        let late_max = self.plan.late_max;
        let wire = std::mem::replace(&mut self.process(node).wire, Wire::Idle);
        if let Wire::Sent { age_ms, call: Call::Write(write) } = wire
            && self.state.late.len() < late_max
        {
            self.state.late.push(Late { write, sender: Some((node, age_ms)) });
        }
    }
}

impl Process {
    fn pass(&mut self, ms: u32) {
        self.clock_ms += u64::from(ms);
        self.wake_in_ms = self.wake_in_ms.map(|left_ms| left_ms.saturating_sub(ms));
        self.authority_ms = self.authority_ms.saturating_sub(ms);
        if let Wire::Sent { age_ms, .. } = &mut self.wire {
            *age_ms += ms;
        }
        if let Work::Stopping(left_ms) = &mut self.work {
            *left_ms = left_ms.saturating_sub(ms);
        }
    }
}

impl Store {
    /// Stores a record without any condition.
    pub(crate) fn put(&mut self, record: LeaseRecord) -> Versioned {
        self.remember(&record);
        self.revision += 1;
        let stored = Versioned {
            record,
            version: Version::new(self.revision.to_string()),
            revision: Some(self.revision),
            attachment: lease_core::Attachment::NONE,
        };
        self.current = Some(stored.clone());
        stored
    }

    fn remember(&mut self, next: &LeaseRecord) {
        if let Some(current) = &self.current {
            let record = &current.record;
            if next.transitions > record.transitions {
                self.past.term_before = Some(record.clone());
            }
            if record.holder.is_none() && record.renew_time.is_some() {
                self.past.release = Some(record.clone());
            }
        }
        self.past.before.clone_from(&self.current);
    }
}

pub(crate) fn instant(clock_ms: u64) -> Instant {
    Instant::from_nanos(clock_ms * 1_000_000, clock_ms * 1_000_000)
}

/// Clocks begin far enough from zero that the past has room.
pub(crate) const START_MS: u64 = 1_000_000;
