//! Judges a run from the outside: it knows the true time and what the store really applied.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use lease_core::{FencingToken, Instant, Notice, Purpose, Reason, Term, Timing};

/// What the work of one node is doing.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    pub(crate) term: Term,
    pub(crate) valid_until: Instant,
    /// When its drain is to end.
    pub(crate) drain_by: Option<Instant>,
    /// Whether it was told to drain or to stop.
    pub(crate) told_to_stop: bool,
    pub(crate) must_stop_by: Option<Instant>,
    /// Whether it has stopped, while the term is still to be closed.
    pub(crate) stopped: bool,
}

/// What is known of one candidate process.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    pub(crate) work: Option<Work>,
    last_term: Option<lease_core::TermId>,
    /// The send times of own writes that the store applied.
    pub(crate) applied: Vec<Instant>,
    last_renewal_sent: Option<Instant>,
    /// When the latest requests were sent, by the true time.
    requests: VecDeque<Duration>,
    /// The acquisitions that a term began with.
    acquisitions: BTreeSet<i64>,
    /// When this candidate gave a term up.
    gave_up_at: Option<Instant>,
}

/// All invariants, and what the run has shown.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    pub(crate) nodes: Vec<Judged>,
    pub(crate) seen: BTreeMap<&'static str, u64>,
    token_max: Option<FencingToken>,
    /// Whether mutual exclusion can still be demanded.
    pub(crate) exclusion_holds: bool,
    /// The candidates that overlap with others through no fault of theirs.
    ignorant: BTreeSet<usize>,
    /// Whether the store has lost writes, so that tokens may fall.
    rolled_back: bool,
    /// Grants and ends of terms so far.
    pub(crate) changes: u64,
}

pub(crate) type Verdict = Result<(), String>;

impl Oracle {
    pub(crate) fn new(nodes: usize) -> Self {
        Self { nodes: (0..nodes).map(|_| Judged::default()).collect(), exclusion_holds: true, ..Self::default() }
    }

    pub(crate) fn saw(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    /// What starts after an edit by hand cannot know what was before it.
    pub(crate) fn excuse(&mut self, node: usize) {
        self.ignorant.insert(node);
    }

    fn answers_for(&self, node: usize, other: usize) -> bool {
        !self.ignorant.contains(&node) && !self.ignorant.contains(&other)
    }

    pub(crate) fn rolled_back(&mut self) {
        self.rolled_back = true;
        self.exclusion_holds = false;
    }

    /// R5: a drain that takes too long turns into a stop.
    pub(crate) fn check_drain(&self, node: usize, local: Instant) -> Verdict {
        let Some(work) = self.nodes[node].work.as_ref().filter(|work| !work.stopped) else { return Ok(()) };
        if work.must_stop_by.is_none() && work.drain_by.is_some_and(|by| local.has_reached_either(by)) {
            return Err(format!("R5 bounded drain: n{node} drains on at {local}"));
        }
        Ok(())
    }

    pub(crate) fn acting(&self) -> impl Iterator<Item = usize> + '_ {
        self.nodes
            .iter()
            .enumerate()
            .filter(|(_, node)| node.work.as_ref().is_some_and(|work| !work.stopped))
            .map(|(index, _)| index)
    }

    /// A crashed process acts no more, and its successor starts from nothing.
    pub(crate) fn crashed(&mut self, node: usize) {
        self.saw("crash");
        self.nodes[node] = Judged::default();
        self.changes += 1;
    }

    pub(crate) fn noticed(&mut self, node: usize, local: Instant, timing: &Timing, notice: &Notice) -> Verdict {
        match notice {
            Notice::Started(term) => self.started(node, timing, term),
            Notice::Renewed { term, valid_until, .. } => self.renewed(node, timing, *term, *valid_until),
            Notice::Drain { term, by, .. } => {
                self.told(node, *term, None)?;
                self.nodes[node].work.iter_mut().for_each(|work| work.drain_by = Some(*by));
                Ok(())
            }
            Notice::MustStop { term, by, why } => {
                self.lost(*why);
                self.told(node, *term, Some(*by))
            }
            Notice::Stopped { term, why, .. } => {
                if matches!(why, Reason::Resigned | Reason::HandedOver) {
                    self.nodes[node].gave_up_at = Some(local);
                }
                self.stopped(node, *term, *why)
            }
            Notice::LateAcknowledgement => {
                self.saw("late acknowledgement");
                Ok(())
            }
            _ => self.check_holds(node, local, timing),
        }
    }

    /// I1, I2, I8, I9: a term starts when nobody else acts, once, with a token above all before.
    fn started(&mut self, node: usize, timing: &Timing, term: &Term) -> Verdict {
        self.changes += 1;
        self.saw(match term.won {
            lease_core::Won::Created => "term won by creation",
            lease_core::Won::Released => "takeover by release",
            lease_core::Won::Expired => "takeover by expiry",
        });
        let others: Vec<usize> =
            self.acting().filter(|other| *other != node && self.answers_for(node, *other)).collect();
        if self.exclusion_holds && !others.is_empty() {
            return Err(format!("I1 mutual exclusion: n{node} starts while {others:?} act"));
        }
        let demanded = !self.rolled_back && self.ignorant.is_empty();
        if demanded && self.token_max.is_some_and(|max| term.token.is_none_or(|token| token <= max)) {
            return Err(format!("I2 rising tokens: {:?} after {:?}", term.token, self.token_max));
        }
        self.token_max = term.token;
        let judged = &mut self.nodes[node];
        if judged.work.is_some() || judged.last_term >= Some(term.id) {
            return Err(format!("I9 alternation: n{node} starts {} before the last one was closed", term.id));
        }
        judged.last_term = Some(term.id);
        if !judged.acquisitions.insert(term.acquire_time.unix_micros()) {
            return Err(format!("I8 no revival: n{node} starts a term by an acquisition that began another"));
        }
        judged.check_authority(node, timing, term.valid_until)?;
        judged.work = Some(Work {
            term: term.clone(),
            valid_until: term.valid_until,
            drain_by: None,
            told_to_stop: false,
            must_stop_by: None,
            stopped: false,
        });
        Ok(())
    }

    fn renewed(&mut self, node: usize, timing: &Timing, term: lease_core::TermId, valid_until: Instant) -> Verdict {
        let judged = &mut self.nodes[node];
        judged.check_authority(node, timing, valid_until)?;
        if let Some(work) = &mut judged.work {
            if work.term.id != term || work.must_stop_by.is_some() {
                return Err(format!("I8 no revival: n{node} renews {term} after it was lost"));
            }
            work.valid_until = valid_until;
        }
        Ok(())
    }

    fn told(&mut self, node: usize, term: lease_core::TermId, by: Option<Instant>) -> Verdict {
        let Some(work) = self.nodes[node].work.as_mut().filter(|work| work.term.id == term) else {
            return Err(format!("I9 alternation: n{node} is told to stop {term}, which is not running"));
        };
        work.told_to_stop = true;
        work.must_stop_by = by.or(work.must_stop_by);
        Ok(())
    }

    fn stopped(&mut self, node: usize, term: lease_core::TermId, why: Reason) -> Verdict {
        self.changes += 1;
        self.lost(why);
        let closed = self.nodes[node].work.take();
        match closed {
            Some(work) if work.term.id == term && work.stopped && work.told_to_stop => Ok(()),
            other => Err(format!("I9 alternation: n{node} closes {term} with {other:?}")),
        }
    }

    fn lost(&mut self, why: Reason) {
        let what = match why {
            Reason::Deleted => "term ended: deleted",
            Reason::Cleared => "term ended: cleared",
            Reason::TakenOver => "term ended: taken_over",
            Reason::IdentityConflict => "term ended: identity_conflict",
            Reason::HandedOver => "term ended: handed_over",
            Reason::Expired => "hold expired",
            _ => "term ended: other",
        };
        self.saw(what);
    }

    /// I4: whoever acts is within its hold, or was told to stop and has not used up its time for it.
    pub(crate) fn check_holds(&self, node: usize, local: Instant, timing: &Timing) -> Verdict {
        let Some(work) = self.nodes[node].work.as_ref().filter(|work| !work.stopped) else { return Ok(()) };
        let overdue = local.has_reached_either(work.valid_until + timing.stop_timeout() + Duration::from_nanos(2));
        if overdue {
            return Err(format!("I4 bounded hold: n{node} acts at {local}, hold ended {}", work.valid_until));
        }
        Ok(())
    }

    /// I6, I7, I10: what may be sent in which phase, and how often.
    pub(crate) fn sent(
        &mut self,
        node: usize,
        local: Instant,
        timing: &Timing,
        purpose: Purpose,
        at: Duration,
    ) -> Verdict {
        let judged = &mut self.nodes[node];
        // In ten retry periods, wherever they lie.
        let window = 10 * timing.retry_period();
        judged.requests.push_back(at);
        while judged.requests.front().is_some_and(|first| *first + window < at) {
            judged.requests.pop_front();
        }
        if judged.requests.len() > REQUESTS_MAX {
            return Err(format!("I10 request rate: n{node} sent {} requests in {window:?}", judged.requests.len()));
        }
        let working = judged.work.as_ref().is_some_and(|work| !work.stopped);
        let lost = judged.work.as_ref().is_some_and(|work| work.must_stop_by.is_some());
        match purpose {
            Purpose::Release if working => Err(format!("I6 release after the stop: n{node} releases while it works")),
            Purpose::Renew if lost => Err(format!("I7 silence after a loss: n{node} renews a lost term")),
            Purpose::Acquire if judged.work.is_some() => Err(format!("I9: n{node} acquires within a term")),
            Purpose::Acquire
                if judged.gave_up_at.is_some_and(|gave_up| local.since(gave_up) < 2 * timing.retry_period()) =>
            {
                Err(format!("R15 hold back: n{node} is back at once after it gave its term up"))
            }
            Purpose::Renew => {
                if judged.last_renewal_sent.is_some_and(|last| local.since(last) < timing.retry_period() / 8) {
                    self.saw("renewal ahead of its pace");
                }
                self.nodes[node].last_renewal_sent = Some(local);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Judged {
    /// R1: a hold is worth what an own write that really happened is worth, from when it was sent.
    fn check_authority(&self, node: usize, timing: &Timing, valid_until: Instant) -> Verdict {
        if self.applied.iter().any(|sent_at| *sent_at + timing.renew_deadline() == valid_until) {
            return Ok(());
        }
        Err(format!("I4 hold from the send: n{node} holds until {valid_until}, which no applied write of its gives"))
    }
}

/// Two requests a period, and what a term's end, a release and a few conflicts add.
const REQUESTS_MAX: usize = 42;
