//! A candidate that follows client-go's rules, as a machine without clock, randomness or IO.
//!
//! It is what ours is compared to and mixed with in a simulation. It does what `leaderelection.LeaderElector` of
//! client-go v0.36 does on a `LeaseLock`, its mistakes included, request for request and to the nanosecond: the real one
//! was recorded on scripts (`lease-memory/testdata/client-go`, made by `testbed/go/traces`), and the test
//! `client_go` replays them. So nothing in here may be repaired or tightened; a change begins with a recording.
//!
//! Names in the comments are those of the source: `leaderelection.go`, `resourcelock/leaselock.go`, and `wait/backoff.go`
//! and `wait/loop.go` of apimachinery. Left out: coordinated election, labels, metrics, the health check, and the wait of
//! the client's rate limiter, which an elector alone never reaches.
//!
//! Where goroutines race in client-go, this machine takes one side: an end (of a request, of the renew deadline) comes
//! before a reply or a tick of the same instant, also when a paused process finds all of them on its return.

mod event;

use std::time::Duration;

use lease_core::{HolderIdentity, LeaseRecord, LockErrorKind, Op, Timestamp, Versioned};

pub use event::*;

/// A leader elector of client-go.
#[derive(Clone, Debug)]
pub struct ClientGo {
    identity: HolderIdentity,
    durations: Durations,
    release_on_cancel: bool,
    /// `LeaseLock.lease`: the object that the next update is made from. A create that fails leaves an empty one, which
    /// no update can be sent for.
    lease: Option<Versioned>,
    /// `observedRecord`: by this alone the elector knows who leads.
    observed: Observed,
    /// `observedTime`: when it was set, from the reply's arrival.
    observed_ns: u64,
    /// `observedRawRecord`. It is what was read last, not what was written since.
    compared: Option<LeaseRecord>,
    /// `reportedLeader`.
    reported: Option<HolderIdentity>,
    stage: Stage,
    /// Whether the context of the work is not cancelled.
    is_working: bool,
    pending: Option<Pending>,
    requests: u64,
}

/// What is used of `observedRecord`.
#[derive(Clone, Debug, Default)]
struct Observed {
    holder: Option<HolderIdentity>,
    /// In whole seconds.
    lease_duration: Duration,
    acquire_time: Option<Timestamp>,
    transitions: u32,
}

/// Where `Run` is.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// It has not been called, or has returned.
    Idle,
    /// `acquire`, between two tries.
    Waiting { until_ns: u64 },
    /// `tryAcquireOrRenew`; with a poll when it is called by `renew`.
    Trying { attempt: Attempt, poll: Option<Poll> },
    /// `renew`, between two tries of one poll.
    Polling(Poll),
    /// `renew`, after a renewal.
    Resting { until_ns: u64 },
    /// `release`.
    Releasing { deadline_ns: u64 },
}

/// The record that a try has begun to make, and when it began.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    start_ns: u64,
    /// Also the renew time of whatever the try writes, however late.
    wall: Timestamp,
    acquire_time: Option<Timestamp>,
    transitions: u32,
}

/// One `PollUntilContextTimeout`.
#[derive(Clone, Copy, Debug)]
struct Poll {
    deadline_ns: u64,
    /// The next tick of its ticker, which began with the poll. One that passes during a try fires after it.
    tick_ns: u64,
}

/// The request that is out.
#[derive(Clone, Debug)]
struct Pending {
    id: u64,
    call: Call,
    end_ns: u64,
    /// What is observed if it succeeds: the record as it was sent, whatever the reply has.
    written: Observed,
}

/// Which call of the source it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    /// The update of the fast path.
    Renew,
    Read,
    Create,
    /// The update after a read.
    Replace,
    ReleaseRead,
    ReleaseWrite,
}

/// A step under way.
struct Step<'a> {
    now: PeerNow,
    actions: PeerActions,
    jitter: &'a mut dyn FnMut() -> f64,
}

impl ClientGo {
    /// An elector that has not run yet.
    pub fn new(identity: HolderIdentity, durations: Durations, release_on_cancel: bool) -> Self {
        Self {
            identity,
            durations,
            release_on_cancel,
            lease: None,
            observed: Observed::default(),
            observed_ns: 0,
            compared: None,
            reported: None,
            stage: Stage::Idle,
            is_working: false,
            pending: None,
            requests: 0,
        }
    }

    /// The name that it writes.
    pub fn identity(&self) -> &HolderIdentity {
        &self.identity
    }

    /// `IsLeader`: whether the record that was observed last has its name. No time is in it.
    pub fn is_leader(&self) -> bool {
        self.observed.holder.as_ref() == Some(&self.identity)
    }

    /// Whether the work was started and its context is not cancelled: whether it acts.
    pub fn is_working(&self) -> bool {
        self.is_working
    }

    /// Takes one event. `jitter` gives the next random number, at least 0 and below 1, when client-go draws one.
    pub fn step(&mut self, now: PeerNow, event: PeerEvent, jitter: &mut dyn FnMut() -> f64) -> PeerActions {
        let mut step = Step { now, actions: PeerActions::default(), jitter };
        self.expire(&mut step);
        match event {
            PeerEvent::Run => self.run(&mut step),
            PeerEvent::Wake => {}
            PeerEvent::Completed { request, result } => {
                if let Some(pending) = self.pending.take_if(|pending| pending.id == request) {
                    self.completed(&mut step, pending, result);
                }
            }
            PeerEvent::Cancel => self.cancel(&mut step),
        }
        step.actions.wake_in =
            self.due_ns().map(|due_ns| Duration::from_nanos(due_ns.saturating_sub(now.monotonic_ns)));
        step.actions
    }

    /// When something happens by itself.
    fn due_ns(&self) -> Option<u64> {
        match self.stage {
            Stage::Idle => None,
            Stage::Waiting { until_ns } | Stage::Resting { until_ns } => Some(until_ns),
            Stage::Polling(poll) => Some(poll.tick_ns.min(poll.deadline_ns)),
            Stage::Trying { .. } | Stage::Releasing { .. } => self.pending.as_ref().map(|pending| pending.end_ns),
        }
    }

    fn expire(&mut self, step: &mut Step<'_>) {
        if self.due_ns().is_none_or(|due_ns| step.ns() < due_ns) {
            return;
        }
        match self.stage {
            Stage::Idle => {}
            Stage::Waiting { .. } => self.attempt(step, None),
            Stage::Polling(poll) => self.poll_on(step, poll),
            Stage::Resting { .. } => self.poll(step),
            Stage::Trying { .. } | Stage::Releasing { .. } => {
                if let Some(pending) = self.abandon(step) {
                    self.completed(step, pending, Err(LockErrorKind::Unknown));
                }
            }
        }
    }

    fn run(&mut self, step: &mut Step<'_>) {
        if matches!(self.stage, Stage::Idle) {
            self.attempt(step, None);
        }
    }

    /// The context of `Run` ends: what is out fails, and nothing more is sent with that context.
    fn cancel(&mut self, step: &mut Step<'_>) {
        if self.is_working {
            self.is_working = false;
            step.notify(PeerNotice::Cancelled);
        }
        match self.stage {
            Stage::Idle | Stage::Releasing { .. } => {}
            Stage::Waiting { .. } => self.finish(step),
            Stage::Trying { poll, .. } => {
                if self.abandon(step).is_some_and(|pending| pending.call == Call::Create) {
                    self.lease = None;
                }
                self.report(step);
                if poll.is_none() {
                    // The wait after a failed try is drawn before the loop looks at the context.
                    (step.jitter)();
                    self.finish(step);
                } else {
                    self.leave(step);
                }
            }
            Stage::Polling(_) | Stage::Resting { .. } => self.leave(step),
        }
    }

    /// `PollUntilContextTimeout` of `renew`.
    fn poll(&mut self, step: &mut Step<'_>) {
        let deadline_ns = step.ns_after(self.durations.renew);
        let poll = Poll { deadline_ns, tick_ns: step.ns_after(self.durations.retry) };
        self.attempt(step, Some(poll));
    }

    /// The loop of a poll after a try that failed.
    fn poll_on(&mut self, step: &mut Step<'_>, poll: Poll) {
        if step.ns() >= poll.deadline_ns {
            self.report(step);
            self.leave(step);
        } else if step.ns() >= poll.tick_ns {
            // A ticker keeps one tick for whoever is late, drops the others, and stays in its rhythm.
            let retry_ns = nanos(self.durations.retry).max(1);
            let late = (step.ns() - poll.tick_ns) / retry_ns;
            let tick_ns = poll.tick_ns.saturating_add(retry_ns.saturating_mul(late.saturating_add(1)));
            self.attempt(step, Some(Poll { tick_ns, ..poll }));
        } else {
            self.stage = Stage::Polling(poll);
        }
    }

    /// `tryAcquireOrRenew`.
    fn attempt(&mut self, step: &mut Step<'_>, poll: Option<Poll>) {
        let PeerNow { monotonic_ns: start_ns, wall } = step.now;
        let mut attempt = Attempt { start_ns, wall, acquire_time: Some(wall), transitions: 0 };
        let renews = self.is_leader() && self.is_valid(start_ns);
        if renews {
            // These stay in the try also when the fast path fails and the slow one then finds something else.
            attempt.acquire_time = self.observed.acquire_time;
            attempt.transitions = self.observed.transitions;
        }
        self.stage = Stage::Trying { attempt, poll };
        if renews && self.lease.is_some() {
            self.write(step, Call::Renew, attempt);
        } else {
            self.send(step, Call::Read, Op::Get, Observed::default());
        }
    }

    /// `isLeaseValid`: the duration is the record's, and the time that of the start of the try.
    fn is_valid(&self, start_ns: u64) -> bool {
        self.observed_ns.saturating_add(nanos(self.observed.lease_duration)) > start_ns
    }

    fn completed(&mut self, step: &mut Step<'_>, pending: Pending, result: Result<Option<Versioned>, LockErrorKind>) {
        let Stage::Trying { attempt, poll } = self.stage else {
            return self.release_on(step, pending, result);
        };
        match (pending.call, result) {
            (Call::Read, Ok(Some(read))) => self.decide(step, read, attempt, poll),
            (Call::Read, Ok(None) | Err(LockErrorKind::NotFound)) => self.write(step, Call::Create, attempt),
            (Call::Renew | Call::Create | Call::Replace, Ok(Some(stored))) => {
                self.lease = Some(stored);
                self.observe(step, pending.written);
                self.succeed(step, poll);
            }
            // With an ended context the read would fail unsent.
            (Call::Renew, _) if poll.is_none_or(|poll| step.ns() < poll.deadline_ns) => {
                self.send(step, Call::Read, Op::Get, Observed::default());
            }
            (call, _) => {
                if call == Call::Create {
                    self.lease = None;
                }
                self.fail(step, poll);
            }
        }
    }

    /// What `tryAcquireOrRenew` makes of the record that it has read.
    fn decide(&mut self, step: &mut Step<'_>, read: Versioned, mut attempt: Attempt, poll: Option<Poll>) {
        if self.compared.as_ref().is_none_or(|compared| !look_alike(compared, &read.record)) {
            self.observe(step, Observed::of(&read.record));
            self.compared = Some(read.record.clone());
        }
        let LeaseRecord { acquire_time, transitions, .. } = read.record;
        let is_held = read.record.holder.is_some();
        self.lease = Some(read);
        if is_held && self.is_valid(attempt.start_ns) && !self.is_leader() {
            return self.fail(step, poll);
        }
        if self.is_leader() {
            attempt.acquire_time = acquire_time;
            attempt.transitions = transitions;
        } else {
            // Beyond the largest signed 32-bit number this is a negative one on the wire, which an API server refuses.
            attempt.transitions = transitions.wrapping_add(1);
        }
        self.write(step, Call::Replace, attempt);
    }

    fn succeed(&mut self, step: &mut Step<'_>, poll: Option<Poll>) {
        self.report(step);
        if poll.is_some() {
            self.stage = Stage::Resting { until_ns: step.ns_after(self.durations.retry) };
        } else {
            // The loop of `acquire` draws its next wait before it sees that it is done.
            (step.jitter)();
            self.is_working = true;
            step.notify(PeerNotice::Started);
            self.poll(step);
        }
    }

    fn fail(&mut self, step: &mut Step<'_>, poll: Option<Poll>) {
        if let Some(poll) = poll {
            return self.poll_on(step, poll);
        }
        self.report(step);
        let wait = jittered(self.durations.retry, (step.jitter)());
        self.stage = Stage::Waiting { until_ns: step.ns_after(wait) };
    }

    /// The end of `renew`: after a lost deadline the work still runs here.
    fn leave(&mut self, step: &mut Step<'_>) {
        if !self.release_on_cancel {
            return self.finish(step);
        }
        self.stage = Stage::Releasing { deadline_ns: step.ns_after(self.durations.renew) };
        self.send(step, Call::ReleaseRead, Op::Get, Observed::default());
    }

    /// `release`, after one of its requests.
    fn release_on(&mut self, step: &mut Step<'_>, pending: Pending, result: Result<Option<Versioned>, LockErrorKind>) {
        let Ok(Some(stored)) = result else {
            return self.finish(step);
        };
        let transitions = stored.record.transitions;
        self.lease = Some(stored);
        // Asked of what was observed before, not of what was just read.
        if pending.call == Call::ReleaseRead && self.is_leader() {
            let PeerNow { monotonic_ns: start_ns, wall } = step.now;
            let attempt = Attempt { start_ns, wall, acquire_time: Some(wall), transitions };
            return self.write(step, Call::ReleaseWrite, attempt);
        }
        if pending.call == Call::ReleaseWrite {
            self.observe(step, pending.written);
        }
        self.finish(step);
    }

    /// `Run` returns.
    fn finish(&mut self, step: &mut Step<'_>) {
        self.stage = Stage::Idle;
        if self.is_working {
            self.is_working = false;
            step.notify(PeerNotice::Cancelled);
        }
        step.notify(PeerNotice::Stopped);
        step.notify(PeerNotice::Ended);
    }

    /// `setObservedRecord`.
    fn observe(&mut self, step: &Step<'_>, observed: Observed) {
        self.observed = observed;
        self.observed_ns = step.ns();
    }

    /// `maybeReportTransition`.
    fn report(&mut self, step: &mut Step<'_>) {
        if self.observed.holder != self.reported {
            self.reported.clone_from(&self.observed.holder);
            step.notify(PeerNotice::NewLeader(self.reported.clone()));
        }
    }

    /// Sends the record of the attempt: as `LeaderElectionRecordToLeaseSpec` makes it, in the object that was read last.
    ///
    /// So what we keep in annotations stays, and the strategy goes, because it is in the specification.
    fn write(&mut self, step: &mut Step<'_>, call: Call, attempt: Attempt) {
        let releases = call == Call::ReleaseWrite;
        let seconds = if releases { 1 } else { self.durations.lease.as_secs() };
        let written = Observed {
            holder: (!releases).then(|| self.identity.clone()),
            lease_duration: Duration::from_secs(seconds),
            acquire_time: attempt.acquire_time,
            transitions: attempt.transitions,
        };
        let seen = if call == Call::Create { None } else { self.lease.clone() };
        let record = LeaseRecord {
            holder: written.holder.clone(),
            lease_duration: written.lease_duration,
            acquire_time: written.acquire_time,
            renew_time: Some(attempt.wall),
            transitions: written.transitions,
            strategy: None,
            ..seen.as_ref().map(|seen| seen.record.clone()).unwrap_or_default()
        };
        let op = match seen {
            Some(seen) => Op::Update { seen, record },
            None => Op::Create(record),
        };
        self.send(step, call, op, written);
    }

    fn send(&mut self, step: &mut Step<'_>, call: Call, op: Op, written: Observed) {
        let deadline_ns = match self.stage {
            Stage::Trying { poll: Some(poll), .. } => poll.deadline_ns,
            Stage::Releasing { deadline_ns } => deadline_ns,
            _ => u64::MAX,
        };
        self.requests += 1;
        let id = self.requests;
        let end_ns = step.ns_after(self.durations.request).min(deadline_ns);
        self.pending = Some(Pending { id, call, end_ns, written });
        let timeout = Duration::from_nanos(end_ns.saturating_sub(step.ns()));
        step.actions.request = Some(PeerRequest { id, op, timeout });
    }

    /// Gives up what is out; when it came up in this very step, nobody learns of it.
    fn abandon(&mut self, step: &mut Step<'_>) -> Option<Pending> {
        if step.actions.request.take().is_none() && self.pending.is_some() {
            step.actions.abandon = true;
        }
        self.pending.take()
    }
}

impl Observed {
    /// `LeaseSpecToLeaderElectionRecord`.
    fn of(record: &LeaseRecord) -> Self {
        Self {
            holder: record.holder.clone(),
            lease_duration: Duration::from_secs(record.lease_duration.as_secs()),
            acquire_time: record.acquire_time,
            transitions: record.transitions,
        }
    }
}

impl Step<'_> {
    fn ns(&self) -> u64 {
        self.now.monotonic_ns
    }

    fn ns_after(&self, wait: Duration) -> u64 {
        self.ns().saturating_add(nanos(wait))
    }

    fn notify(&mut self, notice: PeerNotice) {
        self.actions.notices.push(notice);
    }
}

/// Whether the JSON of the two `LeaderElectionRecord`s is the same: its times have whole seconds.
///
/// Only fields of the specification are in it, and not those that a backend of ours keeps in annotations.
fn look_alike(one: &LeaseRecord, other: &LeaseRecord) -> bool {
    let second = |time: Option<Timestamp>| time.map(|time| time.unix_micros().div_euclid(1_000_000));
    one.holder == other.holder
        && one.lease_duration.as_secs() == other.lease_duration.as_secs()
        && second(one.acquire_time) == second(other.acquire_time)
        && second(one.renew_time) == second(other.renew_time)
        && one.transitions == other.transitions
        && one.strategy == other.strategy
}

/// `wait.Jitter`.
fn jittered(retry: Duration, factor: f64) -> Duration {
    retry.saturating_add(scaled(retry, factor * JITTER_FACTOR))
}

/// A duration times a factor that is not negative, converted as Go does it.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "as in Go")]
fn scaled(duration: Duration, factor: f64) -> Duration {
    Duration::from_nanos((factor * nanos(duration) as f64) as u64)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// `leaderelection.JitterFactor`.
const JITTER_FACTOR: f64 = 1.2;

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn at(seconds: u64) -> PeerNow {
        PeerNow { monotonic_ns: nanos(secs(seconds)), wall: Timestamp::from_unix_micros(0) }
    }

    fn elector() -> ClientGo {
        let durations = Durations::new(secs(15), secs(10), secs(2));
        ClientGo::new(HolderIdentity::exact("a").expect("a good name"), durations, false)
    }

    fn step(elector: &mut ClientGo, now: PeerNow, event: PeerEvent) -> PeerActions {
        elector.step(now, event, &mut || 0.0)
    }

    fn answer(elector: &mut ClientGo, now: PeerNow, request: &PeerRequest) -> PeerActions {
        let stored = match &request.op {
            Op::Get => None,
            Op::Create(record) | Op::Update { record, .. } => Some(Versioned {
                record: record.clone(),
                version: lease_core::Version::new("1"),
                revision: None,
                attachment: lease_core::Attachment::NONE,
            }),
        };
        step(elector, now, PeerEvent::Completed { request: request.id, result: Ok(stored) })
    }

    /// An elector that acquired and renewed at second 0, and its renewal at second 2, which is out.
    fn renewing() -> (ClientGo, PeerRequest) {
        let mut elector = elector();
        let mut actions = step(&mut elector, at(0), PeerEvent::Run);
        for _ in 0..3 {
            actions = answer(&mut elector, at(0), &actions.request.expect("a read, a create, a renewal"));
        }
        assert_eq!(actions.wake_in, Some(secs(2)));
        let request = step(&mut elector, at(2), PeerEvent::Wake).request.expect("a renewal");
        (elector, request)
    }

    #[test]
    fn a_reply_is_nobodys_once_its_request_has_ended() {
        let (mut elector, renewal) = renewing();
        assert_eq!(renewal.timeout, secs(5));
        let actions = answer(&mut elector, at(7), &renewal);
        assert!(actions.abandon);
        assert!(matches!(actions.request, Some(PeerRequest { op: Op::Get, .. })), "{actions:?}");
        assert!(answer(&mut elector, at(7), &renewal).request.is_none());
    }

    #[test]
    fn who_was_paused_beyond_the_deadline_stops_whatever_has_come_in() {
        let (mut elector, renewal) = renewing();
        let actions = answer(&mut elector, at(12), &renewal);
        assert_eq!(actions.notices[..], [PeerNotice::Cancelled, PeerNotice::Stopped, PeerNotice::Ended]);
        assert!(actions.abandon && actions.request.is_none() && actions.wake_in.is_none() && !elector.is_working());
    }

    #[test]
    fn whoever_sleeps_while_the_clock_stands_still_leads_on() {
        let (mut elector, renewal) = renewing();
        // An hour of suspend: Go's monotonic clock does not count it.
        let woken = PeerNow { wall: Timestamp::from_unix_micros(3_600_000_000), ..at(2) };
        let actions = answer(&mut elector, woken, &renewal);
        assert!(elector.is_working() && actions.notices.is_empty());
    }

    #[test]
    fn durations_without_room_are_accepted() {
        for (lease, renew, retry, accepted) in
            [(15_000, 14_000, 2_000, true), (3_000, 2_900, 1_000, true), (15, 15, 2, false), (15, 12, 10, false)]
        {
            let [lease, renew, retry] = [lease, renew, retry].map(Duration::from_millis);
            assert_eq!(Durations::new(lease, renew, retry).are_accepted(), accepted, "{lease:?} {renew:?} {retry:?}");
        }
    }
}
