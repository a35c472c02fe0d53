//! The world around the candidates: true time, one heap of what is to come, and an oracle that sees everything.
//!
//! No clock of the system is read, nothing is drawn, no thread is started: a run is a function of its schedule.

use std::time::Duration;

use lease_core::{
    Actions, Event, Failure, Hint, Instant, LeaseRecord, LockErrorKind, Notice, Op, Purpose, Request, RequestId,
    TermId, Versioned,
};

use super::assumptions::Assumptions;
use super::conduct::Conduct;
use super::invariants::liveness::Liveness;
use super::invariants::rules::{self, Loss};
use super::invariants::{Violation, letter};
use super::network::Fate;
use super::oracle::{Arrival, Oracle};
use super::process::Process;
use super::queue::Queue;
use super::schedule::{Bounds, Schedule, ScheduleError, nanos};
use super::stats::Seen;
use super::store::Store;
use super::telling::Telling;

/// What is under way.
#[derive(Debug)]
pub(super) enum Happening {
    Start {
        node: usize,
        life: u32,
    },
    /// A request arrives at the store.
    Arrive {
        node: usize,
        life: u32,
        message: Box<Message>,
    },
    Reply {
        node: usize,
        life: u32,
        id: MessageId,
        result: Result<Option<Versioned>, Failure>,
    },
    Tell {
        node: usize,
        life: u32,
        hint: Hint,
    },
    WorkStops {
        node: usize,
        life: u32,
        term: TermId,
    },
    /// A stopped process goes on.
    GoOn {
        node: usize,
        life: u32,
    },
    /// A watch is mended, and tells what there is.
    Rewatch {
        node: usize,
        life: u32,
    },
    /// A watch tells an untruth, and so many more.
    Lie {
        node: usize,
        life: u32,
        until_ns: u64,
        every_ns: u64,
        pattern: u64,
    },
}

/// A request on its way.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) id: MessageId,
    pub(super) purpose: Purpose,
    pub(super) op: Op,
    pub(super) sent_at: Instant,
    pub(super) timeout: Duration,
}

/// How its sender knows the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MessageId {
    Ours(RequestId),
    Peer(u64),
}

/// Something that comes for a process.
#[derive(Debug)]
pub(super) enum Incoming {
    Event(Event),
    Reply(MessageId, Result<Option<Versioned>, Failure>),
}

/// One run, as far as it has come.
pub(super) struct World<'a> {
    pub(super) schedule: &'a Schedule,
    pub(super) now_ns: u64,
    pub(super) queue: Queue<Happening>,
    pub(super) processes: Vec<Process>,
    pub(super) store: Store,
    pub(super) oracle: Oracle,
    pub(super) telling: Telling,
    pub(super) bounds: Bounds,
    /// For how long it matters that a clock was beyond its bound: the longest wait, or hold.
    pub(super) remembered_ns: u64,
}

impl<'a> World<'a> {
    pub(super) fn new(
        schedule: &'a Schedule,
        demands: super::Demands,
        telling: Telling,
    ) -> Result<Self, ScheduleError> {
        schedule.check()?;
        let mut processes = Vec::with_capacity(schedule.nodes.len());
        for (node, spec) in schedule.nodes.iter().enumerate() {
            processes.push(Process::new(node, spec).map_err(|source| ScheduleError::Timing { node, source })?);
        }
        let errors = processes.iter().flat_map(|process| process.clocks.errors_ppm());
        let error_ppm = errors.max().unwrap_or(0);
        let bounds = Bounds::of(&processes.iter().map(|process| process.timing).collect::<Vec<_>>(), error_ppm);
        let keeps_snapshots = schedule.faults.iter().any(|fault| matches!(fault.what, super::What::Rollback { .. }));
        // R2: a stranger's label begins a wait anew, once.
        let labels = |fault: &super::Fault| {
            matches!(fault.what, super::What::Edit { edit: super::Edit::Label | super::Edit::VoidRequest })
        };
        let anew_ns = if schedule.faults.iter().any(labels) { bounds.wait_ns } else { 0 };
        let assumptions = Assumptions::new(processes.len(), bounds.hold_ns);
        let rules = schedule.nodes.iter().map(|node| node.rule);
        let conduct = Conduct::new(processes.len(), bounds.hold_ns);
        let liveness = Liveness::new(bounds.takeover_ns.saturating_add(anew_ns));
        let oracle = Oracle::new(rules, assumptions, conduct, liveness, demands);
        let mut world = Self {
            schedule,
            now_ns: 0,
            queue: Queue::new(),
            processes,
            store: Store::new(schedule.says_not_found, keeps_snapshots),
            oracle,
            telling,
            bounds,
            remembered_ns: bounds.wait_ns.max(bounds.hold_ns),
        };
        for (node, spec) in schedule.nodes.iter().enumerate() {
            world.queue.push(spec.starts_at_ns, Happening::Start { node, life: 0 });
            world.oracle.liveness.disturbed(spec.starts_at_ns);
        }
        world.check_clocks();
        Ok(world)
    }

    /// Runs to the end, or to the first violation.
    pub(super) fn run(&mut self) -> Result<(), Violation> {
        let schedule = self.schedule;
        let mut faults = schedule.faults.iter().peekable();
        loop {
            let fault_at_ns = faults.peek().map_or(u64::MAX, |fault| fault.at_ns);
            let (node, wake_at_ns) = self.next_wake();
            let event_at_ns = self.queue.next_at().min(wake_at_ns);
            let next_ns = fault_at_ns.min(event_at_ns);
            if next_ns > self.oracle.liveness.due_ns().min(schedule.until_ns) {
                if !self.look_for_a_leader()? {
                    break;
                }
                continue;
            }
            self.now_ns = next_ns;
            self.look_for_lapsed_excuses()?;
            if fault_at_ns <= event_at_ns {
                let fault = faults.next().expect("it was peeked at above");
                self.befall(&fault.what)?;
            } else if self.queue.next_at() <= wake_at_ns {
                let (_, happening) = self.queue.pop().expect("it has a next");
                self.handle(happening)?;
            } else {
                self.processes[node].wake_at_ns = u64::MAX;
                self.wake(node)?;
            }
        }
        self.now_ns = schedule.until_ns;
        self.look_for_lapsed_excuses()?;
        self.oracle.end(self.now_ns);
        self.telling.end(self.now_ns);
        Ok(())
    }

    /// What was excused when it began is not excused for ever: those who act on are judged when the excuse ends.
    fn look_for_lapsed_excuses(&mut self) -> Result<(), Violation> {
        if !self.oracle.has_lapsed(self.now_ns) {
            return Ok(());
        }
        self.update_lateness()?;
        self.judge(self.oracle.acts_on(self.now_ns))
    }

    /// Asks for liveness if that comes before the end; says whether there is more to come.
    fn look_for_a_leader(&mut self) -> Result<bool, Violation> {
        let due_ns = self.oracle.liveness.due_ns();
        if due_ns > self.schedule.until_ns {
            return Ok(false);
        }
        self.now_ns = due_ns;
        let could = self.somebody_could_lead();
        let verdict = self.oracle.look_for_a_leader(could);
        self.judge(verdict)?;
        Ok(true)
    }

    /// Whether anybody runs whom neither the record nor an operator keeps from leading.
    fn somebody_could_lead(&self) -> bool {
        let stored = self.store.current().map(|stored| &stored.record);
        let is_foreign = stored.is_some_and(|record| record.strategy.is_some());
        let may =
            |process: &Process| process.runs && (!process.spec.rule.is_ours() || process.epoch >= self.store.epoch_max);
        !is_foreign && !self.oracle.assumptions.is_rolled_back(self.now_ns) && self.processes.iter().any(may)
    }

    fn next_wake(&self) -> (usize, u64) {
        let mut next = (0, u64::MAX);
        for (node, process) in self.processes.iter().enumerate() {
            if process.wake_at_ns < next.1 {
                next = (node, process.wake_at_ns);
            }
        }
        next
    }

    /// A verdict of the oracle, with the moment added.
    pub(super) fn judge(&self, verdict: super::invariants::Verdict) -> Result<(), Violation> {
        verdict.map_err(|(invariant, what)| Violation { invariant, at_ns: self.now_ns, what })
    }

    fn handle(&mut self, happening: Happening) -> Result<(), Violation> {
        match happening {
            Happening::Start { node, life } => {
                let process = &self.processes[node];
                if process.life != life {
                    return Ok(());
                }
                if process.rests_until_ns() > self.now_ns {
                    self.queue.push(process.rests_until_ns(), happening);
                    return Ok(());
                }
                self.processes[node].runs = true;
                self.telling.say(self.now_ns, || format!("{}: starts", letter(node)));
                if self.processes[node].peer.is_some() {
                    return self.run_peer(node);
                }
                if self.processes[node].spec.watches {
                    self.step(node, Event::WatchReady)?;
                }
                self.step(node, Event::Wake)
            }
            Happening::Arrive { node, life, message } => self.arrive(node, life, &message),
            Happening::Reply { node, life, id, result } => self.deliver(node, life, Incoming::Reply(id, result)),
            Happening::Tell { node, life, hint } => self.deliver(node, life, Incoming::Event(Event::Hint(hint))),
            Happening::WorkStops { node, life, term } => self.work_stops(node, life, term),
            Happening::GoOn { node, life } => self.go_on(node, life),
            Happening::Rewatch { node, life } => self.rewatch(node, life),
            Happening::Lie { node, life, until_ns, every_ns, pattern } => {
                self.lie(node, life, until_ns, every_ns, pattern)
            }
        }
    }

    /// Brings an event to a process, or keeps it until the process goes on.
    pub(super) fn deliver(&mut self, node: usize, life: u32, incoming: Incoming) -> Result<(), Violation> {
        let process = &mut self.processes[node];
        if !process.is(life) {
            return Ok(());
        }
        if process.paused_until_ns.is_some() {
            process.inbox.push_back(incoming);
            return Ok(());
        }
        match incoming {
            Incoming::Reply(MessageId::Ours(id), result) => self.replied(node, id, result),
            Incoming::Reply(MessageId::Peer(id), result) => self.peer_replied(node, id, result),
            Incoming::Event(event) if process.peer.is_none() => self.step(node, event),
            // What is meant for our machine means nothing to a peer.
            Incoming::Event(_) => Ok(()),
        }
    }

    /// The time has come at which a process asked to be woken.
    pub(super) fn wake(&mut self, node: usize) -> Result<(), Violation> {
        if self.processes[node].peer.is_some() { self.wake_peer(node) } else { self.step(node, Event::Wake) }
    }

    /// A reply reaches the machine.
    pub(super) fn replied(
        &mut self,
        node: usize,
        id: RequestId,
        result: Result<Option<Versioned>, Failure>,
    ) -> Result<(), Violation> {
        let process = &mut self.processes[node];
        if result.is_err() {
            self.oracle.disturbed(node, process, self.now_ns);
        }
        let awaited = process.awaits.filter(|(awaited, _)| *awaited == id);
        let local = process.local(self.now_ns);
        let shown =
            awaited.map(|(_, purpose)| self.oracle.replied(node, process, &result, local, purpose, self.now_ns));
        self.step(node, Event::Completed { request: id, result })?;
        let shown = shown.unwrap_or_default();
        let process = &self.processes[node];
        // What comes in the very step in which it is given up comes too late to count.
        self.oracle.nodes[node].knows_of_the_loss |= shown.loss == Some(Loss::Below) && !process.gave_up;
        self.judge(rules::replied(node, &process.elector, shown))
    }

    pub(super) fn step(&mut self, node: usize, event: Event) -> Result<(), Violation> {
        let process = &mut self.processes[node];
        let now = process.now(self.now_ns);
        let event_text = self.telling.tells().then(|| super::words::event(&event));
        let event_code = event_code(&event);
        let is_hint = matches!(event, Event::Hint(_) | Event::WatchReady | Event::WatchLost);
        let mut actions = process.elector.step(now, event);
        process.gave_up = actions.abandon;
        self.oracle.stats.steps += 1;
        self.telling.hash(self.now_ns, node, event_code, &actions);
        if let Some(event) = event_text {
            let stance = self.processes[node].elector.stance(now.instant);
            self.telling.step(self.now_ns, node, &event, &actions, &stance);
        }
        let timing = self.processes[node].timing;
        let verdict = self.oracle.acts(node, &timing, now.instant, self.now_ns, event_code == 0);
        self.judge(verdict)?;
        for notice in &actions.notices {
            if is_hint {
                self.judge(rules::hinted(node, notice))?;
            }
            self.notice(node, now.instant, notice)?;
        }
        let verdict = self.oracle.stepped(node, &self.processes[node].elector, now.instant);
        self.judge(verdict)?;
        self.carry_out(node, now.instant, &mut actions)
    }

    fn notice(&mut self, node: usize, local: Instant, notice: &Notice) -> Result<(), Violation> {
        let process = &self.processes[node];
        let verdict = self.oracle.noticed(node, process, local, notice, self.now_ns);
        self.judge(verdict)?;
        if matches!(notice, Notice::Started(_)) {
            self.update_lateness()?;
            let verdict = self.oracle.started(node, self.now_ns);
            self.judge(verdict)?;
            self.telling.acts(node, self.now_ns);
        }
        if matches!(
            notice,
            Notice::Started(_) | Notice::Drain { .. } | Notice::MustStop { .. } | Notice::Stopped { .. }
        ) {
            self.oracle.disturbed(node, &self.processes[node], self.now_ns);
        }
        self.react(node, notice);
        Ok(())
    }

    /// Who acts beyond its time, because it is paused or hangs.
    pub(super) fn update_lateness(&mut self) -> Result<(), Violation> {
        for node in 0..self.processes.len() {
            let process = &mut self.processes[node];
            let local = process.local(self.now_ns);
            let stuck = process.paused_until_ns.is_some();
            let verdict = self.oracle.update_lateness(node, local, &process.timing, stuck, self.now_ns);
            self.judge(verdict)?;
        }
        Ok(())
    }

    /// What the application does about a notice.
    fn react(&mut self, node: usize, notice: &Notice) {
        let process = &mut self.processes[node];
        let life = process.life;
        match notice {
            Notice::Drain { term, .. } => {
                let at_ns = self.now_ns + process.spec.drain_ns;
                self.queue.push(at_ns, Happening::WorkStops { node, life, term: *term });
            }
            Notice::MustStop { term, by, .. } => {
                let latest_ns = process.clocks.first_to_show(*by).max(self.now_ns);
                let share = u64::from(process.spec.stop_per_mille.min(1000));
                let mut at_ns = self.now_ns + (latest_ns - self.now_ns) / 1000 * share;
                if share == 1000 {
                    at_ns = latest_ns;
                }
                if self.now_ns < process.hang_until_ns {
                    at_ns = latest_ns + process.hang_ns;
                    self.oracle.hangs(node);
                }
                self.queue.push(at_ns, Happening::WorkStops { node, life, term: *term });
            }
            Notice::Finished => self.end_process(node),
            _ => {}
        }
    }

    /// The process has ended as it was asked to, and another takes its place, if one shall.
    pub(super) fn end_process(&mut self, node: usize) {
        let process = &mut self.processes[node];
        let back_ns = process.back_ns.take();
        process.end(node, self.now_ns);
        process.has_shut_down = true;
        self.oracle.ended(node, self.now_ns);
        if let Some(back_ns) = back_ns {
            let life = self.processes[node].life;
            self.queue.push(self.now_ns + back_ns, Happening::Start { node, life });
        }
    }

    fn work_stops(&mut self, node: usize, life: u32, term: TermId) -> Result<(), Violation> {
        let process = &mut self.processes[node];
        if !process.is(life) || !self.oracle.is_working(node, term) {
            return Ok(());
        }
        if let Some(until_ns) = process.paused_until_ns {
            // It is stopped with its process, and its last act comes when that goes on.
            self.queue.push(until_ns, Happening::WorkStops { node, life, term });
            return Ok(());
        }
        let (local, timing) = (process.local(self.now_ns), process.timing);
        let verdict = self.oracle.work_stops(node, life, &timing, local, self.now_ns);
        self.judge(verdict)?;
        self.telling.rests(node, self.now_ns);
        self.telling.say(self.now_ns, || format!("{}: its work has stopped", letter(node)));
        // What it was told while its work was stopping, it did not take: it may have to read before it releases.
        self.oracle.disturbed(node, &self.processes[node], self.now_ns);
        self.step(node, Event::Drained { term })
    }

    fn carry_out(&mut self, node: usize, local: Instant, actions: &mut Actions) -> Result<(), Violation> {
        let process = &mut self.processes[node];
        if actions.abandon {
            process.awaits = None;
            self.oracle.disturbed(node, process, self.now_ns);
        }
        if !process.runs {
            return Ok(());
        }
        process.wake_at_ns = if actions.wake_in < WAKE_NEVER {
            process.clocks.timer(nanos(actions.wake_in)).saturating_add(process.wake_late_ns(self.now_ns))
        } else {
            u64::MAX
        };
        let Some(request) = actions.request.take() else { return Ok(()) };
        process.awaits = Some((request.id, request.purpose));
        let verdict = self.oracle.sent(node, process, &request, &self.store, local, self.now_ns);
        self.judge(verdict)?;
        if request.purpose == Purpose::Acquire {
            let verdict = super::oracle::succeeds(node, &self.processes[node], &request, &self.store, self.now_ns);
            self.judge(verdict)?;
        }
        let Request { id, purpose, op, timeout } = request;
        self.send(node, Message { id: MessageId::Ours(id), purpose, op, sent_at: local, timeout });
        Ok(())
    }

    /// A request sets out.
    pub(super) fn send(&mut self, node: usize, message: Message) {
        let process = &mut self.processes[node];
        if let Fate::Arrives(after_ns) = process.network.request(self.now_ns) {
            let happening = Happening::Arrive { node, life: process.life, message: Box::new(message) };
            self.queue.push(self.now_ns + after_ns, happening);
        }
    }

    /// A request reaches the store, and its answer sets out.
    fn arrive(&mut self, node: usize, life: u32, message: &Message) -> Result<(), Violation> {
        let refused = self.processes[node].network.refused(self.now_ns);
        let is_applied = refused.as_ref().is_none_or(|refused| refused.is_applied);
        let mut result = if is_applied { self.apply(node, life, message)? } else { Ok(None) };
        if let Some(refused) = refused {
            result = Err(refused.failure);
        }
        let process = &mut self.processes[node];
        match process.network.reply(self.now_ns) {
            Fate::Arrives(after_ns) => {
                let happening = Happening::Reply { node, life, id: message.id, result };
                self.queue.push(self.now_ns + after_ns, happening);
            }
            Fate::Lost => {}
        }
        Ok(())
    }

    fn apply(
        &mut self,
        node: usize,
        life: u32,
        request: &Message,
    ) -> Result<Result<Option<Versioned>, Failure>, Violation> {
        let is_ours = self.processes[node].spec.rule.is_ours();
        if matches!(request.op, Op::Get) {
            return Ok(self.store.apply(&request.op, self.now_ns, is_ours));
        }
        // A renewal is judged by little of what was there before, and there are a million of them.
        let whole = request.purpose == Purpose::Acquire || !is_ours;
        let before = self.store.current().map(|stored| {
            let record = &stored.record;
            if whole {
                record.clone()
            } else {
                LeaseRecord { strategy: record.strategy.clone(), ..LeaseRecord::default() }
            }
        });
        let labels = self.store.labels().cloned();
        let (stored_at_ns, renewed_at_ns) = (self.store.stored_at_ns, self.store.renewed_at_ns);
        let (was_ours, was_peers) = (self.store.is_ours, self.store.is_peers);
        let was_readable = self.store.is_readable;
        let holder_before = self.store.current().and_then(|stored| stored.record.holder.clone());
        let of_all = self.processes.iter().map(|process| process.error_ppm(self.now_ns));
        // What a peer has stored is judged by the fastest clock of those who wait for it.
        let error_ppm = if is_ours { self.processes[node].error_ppm(self.now_ns) } else { of_all.max().unwrap_or(0) };
        let result = self.store.apply(&request.op, self.now_ns, is_ours);
        self.note_late_or_race(node, life, request, &result, (was_ours, was_peers), stored_at_ns);
        let Ok(Some(stored)) = &result else { return Ok(result) };
        let arrival = Arrival {
            node,
            life,
            request,
            before: before.as_ref().filter(|_| was_readable),
            labels: (labels.as_ref(), self.store.labels()),
            renewed_at_ns,
            was_ours,
            was_peers,
            now_ns: self.now_ns,
            error_ppm,
        };
        if is_ours {
            let verdict = self.oracle.applied(&arrival, &mut self.processes);
            self.judge(verdict)?;
        } else {
            self.oracle.peer_applied(&arrival);
        }
        // Who stands by takes part when the lease changes hands, or nearly does.
        let wait_ns = nanos(stored.record.lease_duration);
        let is_another = stored.record.holder != holder_before;
        if request.purpose != Purpose::Renew || is_another || self.now_ns - renewed_at_ns > wait_ns / 2 {
            self.disturb_all(self.now_ns);
        }
        let version = &stored.version;
        self.telling.say(self.now_ns, || format!("{}: {} applied as version {version}", letter(node), request.purpose));
        self.telling.holds(stored.record.holder.as_ref(), self.now_ns);
        let hint = Hint::Changed(stored.clone());
        self.tell_watchers(&hint);
        Ok(result)
    }

    /// A write that comes late, right after another candidate's, or just after that of a stranger who wrote while it was on
    /// its way; what is there was stored at that moment.
    fn note_late_or_race(
        &mut self,
        node: usize,
        life: u32,
        request: &Message,
        result: &Result<Option<Versioned>, Failure>,
        (is_ours, is_peers): (bool, bool),
        stored_at_ns: u64,
    ) {
        let process = &mut self.processes[node];
        let age = process.local(self.now_ns).since(request.sent_at);
        if process.is(life) && age > request.timeout {
            self.oracle.saw(if result.is_ok() { Seen::LateWriteApplied } else { Seen::LateWriteRefused });
        }
        if !matches!(result, Err(failure) if failure.kind == LockErrorKind::Conflict) {
            return;
        }
        let since_ns = self.now_ns - stored_at_ns;
        if is_ours && request.purpose == Purpose::Acquire && since_ns < RACE_NS {
            self.oracle.saw(Seen::CompareAndSwapRace);
        }
        if !is_ours && !is_peers && request.purpose == Purpose::Renew && since_ns < nanos(age) {
            // Whoever meets a stranger's write so each time it tries cannot renew.
            let Bounds { hold_ns, stop_ns, retry_ns, .. } = self.bounds;
            self.oracle.liveness.disturbed(self.now_ns.saturating_add(hold_ns + stop_ns + 4 * retry_ns));
        }
    }

    pub(super) fn tell_watchers(&mut self, hint: &Hint) {
        for (node, process) in self.processes.iter_mut().enumerate() {
            if !process.spec.watches || !process.runs {
                continue;
            }
            if let Fate::Arrives(after_ns) = process.network.hint(self.now_ns) {
                let happening = Happening::Tell { node, life: process.life, hint: hint.clone() };
                self.queue.push(self.now_ns + after_ns, happening);
            }
        }
    }
}

fn event_code(event: &Event) -> u8 {
    match event {
        Event::Wake => 0,
        Event::Completed { .. } => 1,
        Event::Hint(_) => 2,
        Event::WatchReady => 3,
        Event::WatchLost => 4,
        Event::Resign { .. } => 5,
        Event::Shutdown => 6,
        Event::WorkEnded { .. } => 7,
        Event::Drained { .. } => 8,
        Event::ExpirySeen { .. } => 9,
    }
}

/// Whoever asks to be woken later than that asks not to be woken.
const WAKE_NEVER: Duration = Duration::from_hours(24 * 365 * 100);
/// Two writes that come so soon after each other were under way together.
const RACE_NS: u64 = 50_000_000;
