//! The oracle: what is shown to the invariants, and what a run is remembered for.

mod traffic;

use lease_core::{Elector, Instant, Notice, Reason, Term, TermId, Timing, Won};

pub(super) use self::traffic::{Arrival, succeeds};
use super::Demands;
use super::assumptions::Assumptions;
use super::conduct::Conduct;
use super::invariants::i02_rising_tokens::RisingTokens;
use super::invariants::i03_fenced_resource::FencedResource;
use super::invariants::liveness::Liveness;
use super::invariants::{
    Verdict, i01_mutual_exclusion, i04_bounded_hold, i08_no_revival, i09_alternation, i12_agreement, rules,
};
use super::judged::{Judged, Work};
use super::process::Process;
use super::schedule::Rule;
use super::stats::{Overlap, Seen, Stats};

/// Everything that judges a run.
pub(super) struct Oracle {
    pub(super) nodes: Vec<Judged>,
    pub(super) assumptions: Assumptions,
    pub(super) conduct: Conduct,
    pub(super) liveness: Liveness,
    pub(super) stats: Stats,
    demands: Demands,
    tokens: RisingTokens,
    resource: FencedResource,
    seen: [u64; Seen::ALL.len()],
    /// Since when nobody acts; none before the first term, and while somebody does.
    leaderless_since_ns: Option<u64>,
    /// The latest time without anybody: from when until when.
    leaderless_last_ns: (u64, u64),
    /// The overlaps that go on.
    open: Vec<Overlap>,
}

impl Oracle {
    pub(super) fn new(
        rules: impl Iterator<Item = Rule>,
        assumptions: Assumptions,
        conduct: Conduct,
        liveness: Liveness,
        demands: Demands,
    ) -> Self {
        Self {
            nodes: rules.map(|rule| Judged::new(rule.is_ours())).collect(),
            assumptions,
            conduct,
            liveness,
            stats: Stats::default(),
            demands,
            tokens: RisingTokens::default(),
            resource: FencedResource::new(),
            seen: [0; Seen::ALL.len()],
            leaderless_since_ns: None,
            leaderless_last_ns: (0, 0),
            open: Vec::new(),
        }
    }

    pub(super) fn saw(&mut self, what: Seen) {
        self.seen[what as usize] += 1;
    }

    /// The run is over.
    pub(super) fn end(&mut self, now_ns: u64) {
        self.stats.simulated_ns = now_ns;
        self.stats.ended_leaderless = self.leaderless_since_ns.is_some();
        for overlap in self.open.drain(..) {
            self.stats.overlaps.push(Overlap { until_ns: now_ns, ..overlap });
        }
        for seen in Seen::ALL {
            let count = self.seen[*seen as usize];
            if count > 0 {
                self.stats.seen.insert(seen.as_str(), count);
            }
        }
    }

    pub(super) fn acting(&self) -> impl Iterator<Item = usize> + '_ {
        self.nodes.iter().enumerate().filter(|(_, judged)| judged.acts).map(|(node, _)| node)
    }

    pub(super) fn is_working(&self, node: usize, term: TermId) -> bool {
        self.nodes[node].working().is_some_and(|work| work.term.id == term)
    }

    pub(super) fn look_for_a_leader(&mut self, somebody_could: bool) -> Verdict {
        let leaders = self.acting().count();
        let verdict = self.liveness.check(leaders, somebody_could);
        if self.demands.liveness { verdict } else { Ok(()) }
    }

    /// Before a step is looked at: what the work does until it hears of it.
    pub(super) fn acts(&mut self, node: usize, timing: &Timing, local: Instant, now_ns: u64, is_wake: bool) -> Verdict {
        let judged = &mut self.nodes[node];
        if is_wake {
            judged.spinning.woken(node, now_ns)?;
        }
        if judged.went_on_at_ns == Some(now_ns) {
            return Ok(());
        }
        i04_bounded_hold::acts(node, judged, timing, local)
    }

    pub(super) fn stepped(&mut self, node: usize, elector: &Elector, local: Instant) -> Verdict {
        let judged = &self.nodes[node];
        rules::drains(node, judged, local)?;
        i12_agreement::stepped(node, judged, elector)
    }

    pub(super) fn noticed(
        &mut self,
        node: usize,
        process: &Process,
        local: Instant,
        notice: &Notice,
        now_ns: u64,
    ) -> Verdict {
        let error_ppm = process.error_ppm(now_ns);
        rules::noticed(node, &self.nodes[node], &process.elector, notice, local, (now_ns, error_ppm))?;
        match notice {
            Notice::Started(term) => self.grants(node, process, term, now_ns),
            Notice::Renewed { term, valid_until, .. } => {
                let judged = &mut self.nodes[node];
                i08_no_revival::renewed(node, judged, *term, local)?;
                i04_bounded_hold::holds_until(node, judged, &process.timing, *valid_until)?;
                if let Some(work) = &mut judged.work {
                    work.valid_until = *valid_until;
                }
                self.use_resource(node, process.life, now_ns)
            }
            Notice::Drain { term, by, why } => {
                let work = i09_alternation::told(node, &mut self.nodes[node], *term)?;
                (work.told, work.drain_by) = (true, Some(*by));
                if *why == Reason::HandedOver {
                    self.saw(Seen::HandedOver);
                }
                self.liveness_ended(node, why.as_str(), now_ns)
            }
            Notice::MustStop { term, by, why } => {
                let work = i09_alternation::told(node, &mut self.nodes[node], *term)?;
                (work.told, work.must_stop_by) = (true, Some(*by));
                if why.is_loss() {
                    self.stats.false_failovers += 1;
                }
                self.saw_lost(*why);
                self.liveness_ended(node, why.as_str(), now_ns)
            }
            Notice::Stopped { term, why, released } => self.closes(node, *term, *why, *released, local, now_ns),
            Notice::LateAcknowledgement => {
                self.saw(Seen::LateAcknowledgement);
                Ok(())
            }
            Notice::Refusing(Some(refusal)) => {
                self.saw(Seen::Refused);
                rules::refuses(node, *refusal, self.assumptions.has_rolled_back())
            }
            _ => Ok(()),
        }
    }

    /// A term begins.
    fn grants(&mut self, node: usize, process: &Process, term: &Term, now_ns: u64) -> Verdict {
        let judged = &mut self.nodes[node];
        i09_alternation::started(node, judged, term)?;
        i08_no_revival::started(node, judged, term)?;
        i04_bounded_hold::holds_until(node, judged, &process.timing, term.valid_until)?;
        // Who has seen the higher epoch itself is judged by that.
        let unaware = self.assumptions.is_epoch_lost() && judged.epoch_max <= process.epoch;
        let excused = unaware || self.assumptions.tokens_may_fall(now_ns);
        self.tokens.granted(node, term, excused)?;
        judged.work = Some(Work::of(term));
        self.saw_won(term.won, term.transitions);
        self.use_resource(node, process.life, now_ns)
    }

    /// A term is over, and its work has stopped.
    fn closes(
        &mut self,
        node: usize,
        term: TermId,
        why: Reason,
        released: bool,
        local: Instant,
        now_ns: u64,
    ) -> Verdict {
        let judged = &mut self.nodes[node];
        i09_alternation::stopped(node, judged, term)?;
        if matches!(why, Reason::Resigned | Reason::HandedOver) {
            judged.gave_up_at = Some(local);
        }
        if released {
            self.saw(Seen::GracefulRelease);
        }
        self.rests(node, now_ns);
        Ok(())
    }

    fn liveness_ended(&self, node: usize, why: &str, now_ns: u64) -> Verdict {
        if self.demands.liveness { self.liveness.ended(node, why, now_ns) } else { Ok(()) }
    }

    fn saw_won(&mut self, won: Won, transitions: u32) {
        self.stats.terms += 1;
        self.saw(match won {
            Won::Created if transitions > 0 || self.stats.terms > 1 => Seen::TakeoverAfterDeletion,
            Won::Created => Seen::FirstTerm,
            Won::Released => Seen::TakeoverByRelease,
            Won::Expired => Seen::TakeoverByExpiry,
        });
    }

    fn saw_lost(&mut self, why: Reason) {
        let seen = match why {
            Reason::Expired => Seen::HoldExpired,
            Reason::TakenOver => Seen::EndedTakenOver,
            Reason::Deleted => Seen::EndedDeleted,
            Reason::Cleared => Seen::EndedCleared,
            Reason::Malformed => Seen::EndedMalformed,
            Reason::Regressed => Seen::EndedRegressed,
            Reason::IdentityConflict => Seen::EndedIdentityConflict,
            Reason::DrainTimeout => Seen::DrainTimedOut,
            _ => return,
        };
        self.saw(seen);
    }

    /// Its work begins to act, by notice or, for a peer, by callback.
    pub(super) fn started(&mut self, node: usize, now_ns: u64) -> Verdict {
        self.somebody_acts(now_ns);
        let verdict = i01_mutual_exclusion::started(node, &self.nodes, &self.assumptions, &self.conduct, now_ns);
        let others: Vec<usize> = self.acting().filter(|other| *other != node).collect();
        for other in others {
            let late = self.nodes[other].is_late.then(|| self.nodes[other].why_late());
            let excuse = self.assumptions.excuse(other, node, now_ns).or(late);
            if excuse.is_some() {
                self.saw(Seen::ExcusedOverlap);
            }
            // Who is stopped does nothing, until he goes on.
            if !self.nodes[other].is_paused {
                self.open.push(Overlap { nodes: (other, node), from_ns: now_ns, until_ns: now_ns, excuse });
            }
        }
        self.nodes[node].acts = true;
        self.stats.anybody_acted = true;
        if self.demands.exclusion { verdict } else { Ok(()) }
    }

    /// Its work acts no more.
    pub(super) fn rests(&mut self, node: usize, now_ns: u64) {
        let judged = &mut self.nodes[node];
        if !std::mem::take(&mut judged.acts) {
            return;
        }
        judged.is_late = false;
        self.close_overlaps(node, now_ns);
        self.one_fewer_acts(now_ns);
    }

    /// Somebody acts again, which is all that this is about: what is demanded of it is judged elsewhere.
    fn somebody_acts(&mut self, now_ns: u64) {
        if let Some(since_ns) = self.leaderless_since_ns.take() {
            self.stats.leaderless_ns.push(now_ns - since_ns);
            self.leaderless_last_ns = (since_ns, now_ns);
        }
    }

    /// One who acted does so no more, or is stopped: who is stopped does nothing, whatever the record says of it.
    fn one_fewer_acts(&mut self, now_ns: u64) {
        let somebody_acts = self.nodes.iter().any(|judged| judged.acts && !judged.is_paused);
        if somebody_acts || self.leaderless_since_ns.is_some() {
            return;
        }
        let (since_ns, until_ns) = self.leaderless_last_ns;
        // Whoever goes on only to find that it has to stop, at the same moment, has not ended anything.
        let is_the_same = until_ns == now_ns && self.stats.leaderless_ns.pop().is_some();
        self.leaderless_since_ns = Some(if is_the_same { since_ns } else { now_ns });
    }

    /// The overlaps of ours whose excuse had ended before this moment, while both act on.
    fn lapsed(&self, now_ns: u64) -> Option<&Overlap> {
        self.open.iter().filter(|overlap| overlap.excuse.is_some() && overlap.from_ns < now_ns).find(|overlap| {
            let (first, second) = overlap.nodes;
            let pair = [first, second].map(|node| &self.nodes[node]);
            pair.iter().all(|judged| judged.is_ours && !judged.is_late)
                && self.assumptions.excuse(first, second, now_ns - 1).is_none()
        })
    }

    /// Whether somebody acts on together with another although that is no longer excused, as far as is known who is late.
    pub(super) fn has_lapsed(&self, now_ns: u64) -> bool {
        self.demands.exclusion && self.lapsed(now_ns).is_some()
    }

    /// The same, once that is known.
    pub(super) fn acts_on(&self, now_ns: u64) -> Verdict {
        self.lapsed(now_ns).map_or(Ok(()), |overlap| i01_mutual_exclusion::acts_on(overlap, now_ns))
    }

    fn close_overlaps(&mut self, node: usize, now_ns: u64) {
        let (over, open): (Vec<Overlap>, Vec<Overlap>) =
            self.open.drain(..).partition(|overlap| overlap.nodes.0 == node || overlap.nodes.1 == node);
        self.open = open;
        // What begins and ends at one moment is none: who stops at a moment acts before it only.
        let over = over.into_iter().filter(|overlap| now_ns > overlap.from_ns);
        self.stats.overlaps.extend(over.map(|overlap| Overlap { until_ns: now_ns, ..overlap }));
    }

    /// The work of a term acts on the fenced resource.
    fn use_resource(&mut self, node: usize, life: u32, now_ns: u64) -> Verdict {
        let Some(work) = self.nodes[node].working() else { return Ok(()) };
        let owner = (node, life, work.term.id);
        let excused = self.assumptions.is_rolled_back(now_ns);
        if !self.resource.acted(owner, work.term.token, excused)? {
            self.saw(Seen::StaleActRefused);
        }
        Ok(())
    }

    pub(super) fn work_stops(
        &mut self,
        node: usize,
        life: u32,
        timing: &Timing,
        local: Instant,
        now_ns: u64,
    ) -> Verdict {
        if self.nodes[node].went_on_at_ns != Some(now_ns) {
            i04_bounded_hold::acts(node, &self.nodes[node], timing, local)?;
        }
        // Its last act is as late as it can be.
        self.use_resource(node, life, now_ns)?;
        if let Some(work) = &mut self.nodes[node].work {
            work.acts = false;
        }
        self.rests(node, now_ns);
        Ok(())
    }

    /// The process is stopped, and its work with it.
    pub(super) fn pauses(&mut self, node: usize, now_ns: u64) {
        self.nodes[node].is_paused = true;
        self.close_overlaps(node, now_ns);
        if self.nodes[node].acts {
            self.one_fewer_acts(now_ns);
        }
    }

    /// A process that was stopped goes on in the middle of an act that was checked before.
    pub(super) fn goes_on(&mut self, node: usize, life: u32, now_ns: u64) -> Verdict {
        let judged = &mut self.nodes[node];
        judged.went_on_at_ns = Some(now_ns);
        judged.is_paused = false;
        let why = judged.why_late();
        if judged.acts {
            self.somebody_acts(now_ns);
            let others: Vec<usize> = self.acting().filter(|other| *other != node).collect();
            for other in others.into_iter().filter(|other| !self.nodes[*other].is_paused) {
                let excuse = self.assumptions.excuse(node, other, now_ns).or(Some(why));
                self.open.push(Overlap { nodes: (node, other), from_ns: now_ns, until_ns: now_ns, excuse });
            }
        }
        self.use_resource(node, life, now_ns)
    }

    /// By when its work must stop, if it still goes on, and does not hang.
    pub(super) fn must_stop(&self, node: usize) -> Option<(TermId, Instant)> {
        let work = self.nodes[node].working().filter(|work| !work.hangs)?;
        Some((work.term.id, work.must_stop_by?))
    }

    pub(super) fn hangs(&mut self, node: usize) {
        if let Some(work) = &mut self.nodes[node].work {
            work.hangs = true;
        }
    }

    /// Somebody else starts: who acts beyond its time does so because it is stopped or hangs, or by a mistake.
    pub(super) fn update_lateness(
        &mut self,
        node: usize,
        local: Instant,
        timing: &Timing,
        stuck: bool,
        now_ns: u64,
    ) -> Verdict {
        let stuck = stuck || self.nodes[node].went_on_at_ns == Some(now_ns);
        let judged = &mut self.nodes[node];
        judged.is_late = judged.working().is_some_and(|work| {
            (stuck || work.hangs) && local.has_reached_either(work.valid_until + timing.stop_timeout())
        });
        if stuck { Ok(()) } else { i04_bounded_hold::acts(node, judged, timing, local) }
    }

    /// The process is gone, and its work with it.
    pub(super) fn ended(&mut self, node: usize, now_ns: u64) {
        self.rests(node, now_ns);
        self.nodes[node] = Judged::new(self.nodes[node].is_ours);
        self.assumptions.started_afresh(node);
    }

    pub(super) fn crashed(&mut self, node: usize, now_ns: u64) {
        if self.nodes[node].acts {
            self.saw(Seen::LeaderCrashed);
        }
        self.ended(node, now_ns);
    }
}
