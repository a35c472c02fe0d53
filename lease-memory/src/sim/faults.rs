//! What befalls candidates, clocks, links and the store: one function a kind, at the moment the schedule says.

use std::sync::Arc;

use lease_core::{Event, Hint, PhaseKind};

use super::invariants::{Violation, letter};
use super::network::Fate;
use super::process::identity;
use super::schedule::{Bounds, Edit, What};
use super::stats::Seen;
use super::world::{Happening, Incoming, World};

impl World<'_> {
    pub(super) fn befall(&mut self, what: &What) -> Result<(), Violation> {
        self.oracle.stats.faults += 1;
        if let Some(settle_ns) = self.settles_after(what) {
            let until_ns = self.now_ns.saturating_add(what.span_ns()).saturating_add(settle_ns);
            self.oracle.liveness.disturbed(until_ns);
        }
        self.disturb(what);
        self.telling.say(self.now_ns, || super::words::fault(what));
        match *what {
            What::Crash { node, back_ns } => {
                self.crash(node, back_ns);
                Ok(())
            }
            What::Shutdown { node, back_ns } => self.shut_down(node, back_ns),
            What::Resign { node, to } => {
                let to = to.map(|to| Arc::from(letter(to).to_string().as_str()));
                self.tell_machine(node, Event::Resign { to })
            }
            What::WorkEnds { node, whole } => self.work_ends(node, whole),
            What::Pause { node, for_ns } => {
                self.pause(node, for_ns, false);
                Ok(())
            }
            What::Suspend { node, for_ns } => {
                let process = &mut self.processes[node];
                process.sleeps_until_ns = process.sleeps_until_ns.max(self.now_ns + for_ns);
                process.run_clocks(self.now_ns);
                // One of its clocks stands still meanwhile.
                let until_ns = self.now_ns + for_ns + self.remembered_ns;
                process.beyond_until_ns[1] = process.beyond_until_ns[1].max(until_ns);
                self.check_clocks();
                self.pause(node, for_ns, true);
                Ok(())
            }
            What::Freeze { node, for_ns } => {
                let process = &mut self.processes[node];
                process.frozen_until_ns = process.frozen_until_ns.max(self.now_ns + for_ns);
                process.run_clocks(self.now_ns);
                self.oracle.assumptions.frozen(node, self.now_ns.saturating_add(for_ns));
                self.pause(node, for_ns, true);
                Ok(())
            }
            What::Rate { node, boottime_ppm, raw_ppm } => {
                self.processes[node].clocks.set_rates(self.now_ns, boottime_ppm, raw_ppm);
                self.check_clocks();
                self.arm_again(node)
            }
            What::WallStep { node, by_us } => {
                self.processes[node].clocks.step_wall(by_us);
                Ok(())
            }
            What::Starve { node, for_ns, late_ns } => {
                let process = &mut self.processes[node];
                (process.starve_until_ns, process.starve_ns) = (self.now_ns + for_ns, late_ns);
                Ok(())
            }
            What::HangOnStop { node, for_ns, beyond_ns } => {
                let process = &mut self.processes[node];
                (process.hang_until_ns, process.hang_ns) = (self.now_ns + for_ns, beyond_ns);
                Ok(())
            }
            _ => self.befall_link(what),
        }
    }

    /// Notes whose requests it may multiply, and for how long.
    fn disturb(&mut self, what: &What) {
        // A message that is held is the next one, which is seen to be late when it is given up.
        let until_ns = self.now_ns.saturating_add(what.span_ns());
        let named = what.nodes();
        for node in named.into_iter().flatten() {
            self.oracle.disturbed(node, &self.processes[node], until_ns);
        }
        if matches!(what, What::Edit { .. } | What::Rollback { .. } | What::RaiseEpoch) {
            self.disturb_all(until_ns.saturating_add(self.bounds.settle_ns));
        }
    }

    pub(super) fn disturb_all(&mut self, until_ns: u64) {
        for (node, process) in self.processes.iter().enumerate() {
            self.oracle.disturbed(node, process, until_ns);
        }
    }

    /// How long its consequences last beside what a takeover may take; none for what must not even postpone one.
    fn settles_after(&self, what: &What) -> Option<u64> {
        let Bounds { takeover_ns, wait_ns, hold_ns, drain_ns, stop_ns, retry_ns, settle_ns } = self.bounds;
        // Whoever lost its hold meanwhile stops first; and the next try comes up to two periods late after a conflict.
        let lost_ns = stop_ns + 4 * retry_ns;
        match what {
            // R2: the bound has room for one wait that a label has begun anew; a request begins none. And nothing is
            // decided by wall time.
            What::Edit { edit: Edit::Label | Edit::VoidRequest } | What::WallStep { .. } => None,
            // What a watch tells only hastens, and a late wake is over when it comes.
            What::Crash { .. }
            | What::Starve { .. }
            | What::WatchLost { .. }
            | What::WatchLate { .. }
            | What::WatchLies { .. } => Some(0),
            What::Pause { .. }
            | What::Suspend { .. }
            | What::Freeze { .. }
            | What::HangOnStop { .. }
            | What::Cut { .. }
            | What::Lossy { .. }
            | What::Slow { .. } => Some(lost_ns),
            // The message that is held may be sent as late as somebody reads who watches; who is denied stays away for as
            // long.
            What::Hold { .. } | What::Refuse { .. } => Some(lost_ns + wait_ns),
            // A clock that is slewed makes its own wait longer, by less than a half.
            What::Rate { .. } => Some(lost_ns + takeover_ns / 2),
            What::Shutdown { .. } | What::Resign { .. } => Some(drain_ns + lost_ns),
            // Work that fails again and again is tried again after 32 periods at most.
            What::WorkEnds { .. } => Some(drain_ns + lost_ns + 32 * retry_ns),
            // A hold that nobody can prolong, a wait for what was there, and one for what is, or for a term by creation.
            What::Edit { .. } => Some(drain_ns + lost_ns + hold_ns + 2 * wait_ns),
            What::Rollback { .. } | What::RaiseEpoch => Some(settle_ns),
        }
    }

    /// What befalls a link, the watch, or the store.
    fn befall_link(&mut self, what: &What) -> Result<(), Violation> {
        let now_ns = self.now_ns;
        match *what {
            What::Cut { node, way, for_ns } => {
                self.processes[node].network.cut(way, now_ns + for_ns);
                if way.has_replies() {
                    self.mend_watch(node, for_ns);
                }
            }
            What::Lossy { node, way, for_ns, pattern } => {
                self.processes[node].network.lose(way, now_ns + for_ns, pattern);
            }
            What::Slow { node, way, for_ns, extra_ns } => {
                self.processes[node].network.slow(way, now_ns + for_ns, extra_ns);
            }
            What::Hold { node, way, extra_ns } => self.processes[node].network.hold(way, extra_ns),
            What::Refuse { node, for_ns, refusal, pattern, retry_after_ns } => {
                self.processes[node].network.refuse(now_ns + for_ns, refusal, pattern, retry_after_ns);
            }
            What::WatchLost { node, for_ns } => {
                self.processes[node].network.lose_hints(now_ns + for_ns);
                self.mend_watch(node, for_ns);
                if self.processes[node].spec.watches {
                    return self.tell_machine(node, Event::WatchLost);
                }
            }
            What::WatchLate { node, for_ns, extra_ns } => {
                self.processes[node].network.delay_hints(now_ns + for_ns, extra_ns);
            }
            What::WatchLies { node, for_ns, every_ns, pattern } => {
                let (life, until_ns) = (self.processes[node].life, now_ns + for_ns);
                return self.lie(node, life, until_ns, every_ns, pattern);
            }
            What::Edit { edit } => self.edit(edit),
            What::Rollback { writes } => self.roll_back(writes),
            What::RaiseEpoch => self.raise_epoch(),
            _ => {}
        }
        Ok(())
    }

    /// An event for a machine, as its application or its watch brings it; it means nothing to a peer.
    fn tell_machine(&mut self, node: usize, event: Event) -> Result<(), Violation> {
        self.deliver(node, self.processes[node].life, Incoming::Event(event))
    }

    fn crash(&mut self, node: usize, back_ns: Option<u64>) {
        if !self.processes[node].runs {
            return;
        }
        self.processes[node].end(node, self.now_ns);
        self.oracle.crashed(node, self.now_ns);
        self.telling.rests(node, self.now_ns);
        self.telling.goes_on(node, self.now_ns);
        if let Some(back_ns) = back_ns {
            let life = self.processes[node].life;
            self.queue.push(self.now_ns + back_ns, Happening::Start { node, life });
        }
    }

    fn shut_down(&mut self, node: usize, back_ns: Option<u64>) -> Result<(), Violation> {
        if !self.processes[node].runs {
            return Ok(());
        }
        self.processes[node].back_ns = back_ns;
        if self.processes[node].peer.is_some() {
            return self.cancel_peer(node);
        }
        self.deliver(node, self.processes[node].life, Incoming::Event(Event::Shutdown))
    }

    /// The work of a leader ends by itself.
    fn work_ends(&mut self, node: usize, whole: bool) -> Result<(), Violation> {
        let process = &self.processes[node];
        if process.paused_until_ns.is_some() || process.elector.phase() != PhaseKind::Leading {
            return Ok(());
        }
        let Some(term) = self.oracle.nodes[node].working().map(|work| work.term.id) else { return Ok(()) };
        if !whole {
            return self.step(node, Event::WorkEnded { term });
        }
        if let Some(work) = &mut self.oracle.nodes[node].work {
            work.acts = false;
        }
        self.oracle.rests(node, self.now_ns);
        self.telling.rests(node, self.now_ns);
        self.step(node, Event::Drained { term })
    }

    fn pause(&mut self, node: usize, for_ns: u64, clocks: bool) {
        let process = &mut self.processes[node];
        let until_ns = self.now_ns.saturating_add(for_ns);
        let life = process.life;
        if clocks || process.runs {
            self.queue.push(until_ns, Happening::GoOn { node, life });
        }
        if !process.runs {
            return;
        }
        process.paused_until_ns = Some(process.paused_until_ns.unwrap_or(0).max(until_ns));
        process.wake_at_ns = u64::MAX;
        self.oracle.pauses(node, self.now_ns);
        self.telling.pauses(node, self.now_ns);
        let process = &self.processes[node];
        if self.oracle.nodes[node].acts && u128::from(for_ns) > process.timing.lease_duration().as_nanos() {
            self.oracle.saw(Seen::LongPause);
        }
    }

    /// A process that was stopped goes on, and everything that came for it meanwhile comes at once.
    pub(super) fn go_on(&mut self, node: usize, life: u32) -> Result<(), Violation> {
        let process = &mut self.processes[node];
        let over = process.paused_until_ns.is_none_or(|until_ns| until_ns <= self.now_ns);
        process.run_clocks(self.now_ns);
        if !process.is(life) || process.paused_until_ns.is_none() || !over {
            return Ok(());
        }
        process.paused_until_ns = None;
        // Before anything else: the rest of an act whose check was before the pause.
        self.telling.goes_on(node, self.now_ns);
        let verdict = self.oracle.goes_on(node, life, self.now_ns);
        self.judge(verdict)?;
        let process = &mut self.processes[node];
        let inbox = std::mem::take(&mut process.inbox);
        // A check of the application may be the first to see that the hold is over.
        let term = self.oracle.nodes[node].working().map(|work| (work.term.id, work.valid_until));
        if let Some((term, valid_until)) = term
            && process.local(self.now_ns).has_reached_either(valid_until)
            && life.is_multiple_of(2)
        {
            self.step(node, Event::ExpirySeen { term })?;
        }
        for incoming in inbox {
            self.deliver(node, life, incoming)?;
        }
        if !self.processes[node].is(life) {
            return Ok(());
        }
        if self.processes[node].peer.is_some() && self.processes[node].is_cancelled {
            self.cancel_peer(node)?;
        }
        self.wake(node)
    }

    /// Timers that were armed at another rate are armed anew: the machine's, and the one by which the work must stop.
    fn arm_again(&mut self, node: usize) -> Result<(), Violation> {
        if let Some((term, by)) = self.oracle.must_stop(node) {
            let process = &self.processes[node];
            let at_ns = process.clocks.first_to_show(by).max(self.now_ns);
            self.queue.push(at_ns, Happening::WorkStops { node, life: process.life, term });
        }
        if self.processes[node].runs && self.processes[node].paused_until_ns.is_none() {
            return self.wake(node);
        }
        Ok(())
    }

    /// Whether everybody has, from now on, one clock within its bound: a hold ends by the first of the two and a wait
    /// by the last, so that one is enough, unless they take turns in it.
    pub(super) fn check_clocks(&mut self) {
        for (node, process) in self.processes.iter_mut().enumerate() {
            let errors_ppm = process.clocks.errors_ppm();
            for (error_ppm, beyond_until_ns) in errors_ppm.into_iter().zip(&mut process.beyond_until_ns) {
                if error_ppm > process.timing.rate_error_ppm() {
                    *beyond_until_ns = u64::MAX;
                } else {
                    if *beyond_until_ns == u64::MAX {
                        // A wait or a hold that was measured by it in part may not be over yet; the next one is sound.
                        *beyond_until_ns = self.now_ns.saturating_add(self.remembered_ns);
                    }
                    process.error_ppm = process.error_ppm.max(error_ppm);
                }
            }
            let until_ns = process.beyond_until_ns[0].min(process.beyond_until_ns[1]);
            if until_ns > self.now_ns {
                process.wild_ppm = errors_ppm.into_iter().fold(process.wild_ppm, u32::max);
                process.wild_until_ns = until_ns;
                self.oracle.assumptions.clocks_beyond(node, until_ns);
            }
        }
    }

    /// After a while the watch is there again, and says so.
    fn mend_watch(&mut self, node: usize, for_ns: u64) {
        if self.processes[node].spec.watches {
            let life = self.processes[node].life;
            self.queue.push(self.now_ns + for_ns, Happening::Rewatch { node, life });
        }
    }

    pub(super) fn rewatch(&mut self, node: usize, life: u32) -> Result<(), Violation> {
        if !self.processes[node].is(life) {
            return Ok(());
        }
        let Fate::Arrives(after_ns) = self.processes[node].network.hint(self.now_ns) else {
            return Ok(());
        };
        let hint = self.store.current().filter(|_| self.store.is_readable).cloned().map(Hint::Changed);
        let hint = hint.unwrap_or(Hint::Deleted);
        self.queue.push(self.now_ns + after_ns, Happening::Tell { node, life, hint });
        self.deliver(node, life, Incoming::Event(Event::WatchLost))?;
        self.deliver(node, life, Incoming::Event(Event::WatchReady))
    }

    /// Untruths that cost nothing to tell.
    pub(super) fn lie(
        &mut self,
        node: usize,
        life: u32,
        until_ns: u64,
        every_ns: u64,
        pattern: u64,
    ) -> Result<(), Violation> {
        if self.now_ns >= until_ns || !self.processes[node].spec.watches || self.processes[node].life != life {
            return Ok(());
        }
        let next_ns = self.now_ns + every_ns.max(1_000_000);
        let pattern_next = pattern.rotate_right(7);
        let happening = Happening::Lie { node, life, until_ns, every_ns, pattern: pattern_next };
        self.queue.push(next_ns, happening);
        let back = usize::try_from(pattern >> 2 & 31).unwrap_or(0);
        let event = match (pattern & 3, self.store.past(back)) {
            (0, _) => Event::WatchLost,
            (1, _) => Event::WatchReady,
            (2, Some(old)) => Event::Hint(Hint::Changed(old.clone())),
            _ => Event::Hint(Hint::Deleted),
        };
        self.deliver(node, life, Incoming::Event(event))
    }

    fn roll_back(&mut self, writes: usize) {
        let lost = self.store.roll_back(writes, self.now_ns);
        self.telling.say(self.now_ns, || {
            let plural = if lost == 1 { "" } else { "s" };
            format!("the store has lost {lost} write{plural}")
        });
        if lost > 0 {
            self.oracle.assumptions.rolled_back(self.now_ns);
            self.oracle.conduct.edited(self.now_ns);
            let holder = self.store.current().and_then(|stored| stored.record.holder.clone());
            self.telling.holds(holder.as_ref(), self.now_ns);
        }
    }

    /// An operator restarts everybody with a higher epoch than anybody had.
    fn raise_epoch(&mut self) {
        let highest = self.processes.iter().map(|process| process.epoch).max().unwrap_or(0).max(self.store.epoch_max);
        for node in 0..self.processes.len() {
            let process = &mut self.processes[node];
            process.epoch = highest.saturating_add(1);
            let ran = process.runs;
            process.end(node, self.now_ns);
            if ran {
                self.oracle.crashed(node, self.now_ns);
                self.telling.rests(node, self.now_ns);
                self.telling.goes_on(node, self.now_ns);
            }
            let life = self.processes[node].life;
            self.queue.push(self.now_ns + RESTART_NS, Happening::Start { node, life });
        }
        self.oracle.assumptions.epoch_raised(self.now_ns);
    }

    /// The name that a candidate's present process writes.
    pub(super) fn identity_of(&self, node: usize) -> lease_core::HolderIdentity {
        identity(node, self.processes[node].life)
    }
}

const RESTART_NS: u64 = 1_000_000_000;
