//! One machine against answers that no healthy store gives, and records that no candidate wrote.

use std::time::Duration;

use lease_core::{
    Actions, Attachment, Config, Elector, Event, Failure, Hint, HolderIdentity, Instant, LeaseRecord, LockErrorKind,
    Notice, Now, Op, PhaseKind, Purpose, Request, TermMark, Timestamp, Timing, Version, Versioned,
};

const MS: Duration = Duration::from_millis(1);

/// A machine, its clock, and what it asked for.
struct Bench {
    elector: Elector,
    elapsed: Duration,
    wake_in: Duration,
    requests: Vec<(Duration, Request)>,
    notices: Vec<Notice>,
    steps: u32,
}

fn instant(elapsed: Duration) -> Instant {
    Instant::from_nanos(1_000_000_000, 1_000_000_000) + elapsed
}

fn id(name: &str) -> HolderIdentity {
    HolderIdentity::exact(name).expect("a good name")
}

fn stored(record: LeaseRecord, revision: u128) -> Versioned {
    Versioned {
        record,
        version: Version::new(revision.to_string()),
        revision: Some(revision),
        attachment: Attachment::NONE,
    }
}

fn held(holder: &str, renewed_us: i64, duration: Duration) -> LeaseRecord {
    let time = Some(Timestamp::from_unix_micros(renewed_us));
    LeaseRecord {
        holder: Some(id(holder)),
        lease_duration: duration,
        acquire_time: Some(Timestamp::from_unix_micros(1)),
        renew_time: time,
        transitions: 7,
        ..LeaseRecord::default()
    }
}

impl Bench {
    fn new(strict: bool) -> Self {
        let config = Config {
            identity: id("me"),
            timing: Timing::default(),
            renew_time_tick: Duration::from_micros(1),
            epoch: 0,
            strict,
            renew_phase: None,
            seed: None,
        };
        let mut bench = Self {
            elector: Elector::new(config, instant(Duration::ZERO)),
            elapsed: Duration::ZERO,
            wake_in: Duration::MAX,
            requests: Vec::new(),
            notices: Vec::new(),
            steps: 0,
        };
        bench.step(Event::Wake);
        bench
    }

    fn step(&mut self, event: Event) -> Option<Request> {
        let micros = i64::try_from(self.elapsed.as_micros()).expect("a short run");
        let now = Now { instant: instant(self.elapsed), wall: Timestamp::from_unix_micros(1_000_000_000 + micros) };
        let Actions { request, notices, wake_in, .. } = self.elector.step(now, event);
        self.steps += 1;
        self.wake_in = wake_in;
        self.notices.extend(notices);
        if let Some(request) = &request {
            self.requests.push((self.elapsed, request.clone()));
        }
        request
    }

    /// Lets time pass without any answer, waking the machine when it asks for it.
    fn pass(&mut self, time: Duration) -> Option<Request> {
        let end = self.elapsed + time;
        let mut last = None;
        while self.elapsed.saturating_add(self.wake_in) <= end {
            self.elapsed += self.wake_in;
            last = self.step(Event::Wake).or(last);
            assert!(self.steps < 10_000, "a busy loop at {:?}", self.elapsed);
        }
        if self.wake_in < Duration::MAX {
            self.wake_in = (self.elapsed + self.wake_in).saturating_sub(end);
        }
        self.elapsed = end;
        last
    }

    /// Answers every request at once, for so long or for so many requests.
    fn serve(&mut self, time: Duration, mut answer: impl FnMut(&Request) -> Result<Option<Versioned>, Failure>) {
        let end = self.elapsed + time;
        let mut pending = self.requests.last().map(|(_, request)| request.clone());
        let first = self.requests.len();
        loop {
            while let Some(request) = pending.take() {
                assert!(self.requests.len() - first < 2_000, "a hot loop at {:?}", self.elapsed);
                let result = answer(&request);
                pending = self.step(Event::Completed { request: request.id, result });
            }
            let wake_in = self.wake_in;
            if self.elapsed.saturating_add(wake_in) > end {
                self.elapsed = end;
                return;
            }
            self.elapsed += wake_in;
            assert!(self.steps < 20_000, "a busy loop at {:?}", self.elapsed);
            pending = self.step(Event::Wake);
        }
    }

    /// Answers the request that is out.
    fn reply(&mut self, result: Result<Option<Versioned>, Failure>) -> Option<Request> {
        let request = self.requests.last().expect("a request is out").1.id;
        self.step(Event::Completed { request, result })
    }

    /// Wins a term by creation at revision 1.
    fn lead(&mut self) {
        let request = self.reply(Ok(None)).expect("a create");
        let Op::Create(record) = request.op else { panic!("{request:?}") };
        self.reply(Ok(Some(stored(record, 1))));
        assert!(self.elector.term().is_some());
    }
}

fn written(op: &Op) -> LeaseRecord {
    match op {
        Op::Create(record) | Op::Update { record, .. } => record.clone(),
        Op::Get => panic!("not a write"),
    }
}

const INSTANT_FAILURES: [LockErrorKind; 4] =
    [LockErrorKind::Unknown, LockErrorKind::NotFound, LockErrorKind::Malformed, LockErrorKind::Conflict];

#[test]
fn a_store_that_fails_every_write_at_once_is_not_flooded_by_a_standby() {
    for kind in INSTANT_FAILURES {
        let mut bench = Bench::new(false);
        // A seed, because the back-off after a conflict is all jitter.
        bench.elector =
            Elector::new(Config { seed: Some(1), ..bench.elector.config().clone() }, instant(Duration::ZERO));
        let mut released = held("other", 5, Duration::from_secs(1));
        released.holder = None;
        bench.requests.clear();
        bench.step(Event::Wake);
        bench.serve(Duration::from_mins(1), |request| match request.op {
            Op::Get => Ok(Some(stored(released.clone(), 5))),
            _ => Err(kind.into()),
        });
        // I10: one write and one read a period, and a little more while the back-off after conflicts grows.
        let requests = bench.requests.len();
        assert!(requests <= 160, "{kind}: {requests} requests in a minute");
    }
}

#[test]
fn a_store_that_fails_every_release_at_once_is_not_flooded() {
    for kind in [LockErrorKind::Unknown, LockErrorKind::Malformed, LockErrorKind::Conflict] {
        let mut bench = Bench::new(false);
        bench.lead();
        let own = bench.elector.observed().expect("own record").clone();
        bench.elapsed += 500 * MS;
        bench.step(Event::Shutdown);
        let before = bench.requests.len();
        let term = bench.elector.term().expect("in a term").id;
        bench.step(Event::Drained { term });
        bench.serve(Duration::from_secs(12), |request| match request.op {
            Op::Get => Ok(Some(own.clone())),
            _ => Err(kind.into()),
        });
        assert_eq!(bench.elector.phase(), PhaseKind::Stopped);
        let requests = bench.requests.len() - before;
        assert!(requests <= 14, "{kind}: {requests} requests while releasing");
    }
}

#[test]
fn a_release_that_waits_for_the_store_does_not_spin() {
    let mut bench = Bench::new(true);
    bench.lead();
    let mut revision = 1;
    // Until just before the strict term would start.
    bench.requests.clear();
    let first = bench.pass(2 * Duration::from_secs(1));
    assert!(first.is_some());
    bench.serve(Duration::from_millis(12_500), |request| {
        revision += 1;
        Ok(Some(stored(written(&request.op), revision)))
    });
    assert!(bench.notices.iter().all(|notice| !matches!(notice, Notice::Started(_))));
    bench.step(Event::Shutdown);
    bench.steps = 0;
    bench.pass(Duration::from_secs(12));
    assert!(bench.steps < 100, "{} steps", bench.steps);
    assert_eq!(bench.elector.phase(), PhaseKind::Stopped);
}

/// When this standby first writes, with nothing but this record to be read from now on.
fn takes_over_at(bench: &mut Bench, mut out: Option<Request>, shown: &Versioned) -> Duration {
    while bench.elapsed < Duration::from_mins(10) {
        match out.take() {
            Some(Request { purpose: Purpose::Read, id: request, .. }) => {
                out = bench.step(Event::Completed { request, result: Ok(Some(shown.clone())) });
            }
            Some(_) => return bench.elapsed,
            None => {
                assert!(bench.steps < 10_000, "a busy loop at {:?}", bench.elapsed);
                bench.elapsed = bench.elapsed.saturating_add(bench.wake_in);
                out = bench.step(Event::Wake);
            }
        }
    }
    Duration::MAX
}

/// The holder's duration is four times ours, and its last renewal, just before the edit, went unseen.
fn after_an_edit(edited: LeaseRecord) -> Duration {
    let mut bench = Bench::new(false);
    let live = held("other", 5, Duration::from_mins(1));
    bench.reply(Ok(Some(stored(live, 5))));
    bench.elapsed += Duration::from_secs(2);
    let read = bench.step(Event::Wake);
    takes_over_at(&mut bench, read, &stored(edited, 9)).saturating_sub(Duration::from_secs(2))
}

#[test]
fn an_emptied_record_hides_a_renewal_of_a_holder_with_a_longer_duration() {
    // As a client-go peer's release, which keeps our marks.
    let mut edited = held("other", 9, Duration::from_secs(1));
    edited.holder = None;
    edited.acquired = Some(TermMark { identity: id("other"), transitions: 7 });
    assert!(after_an_edit(edited) >= Duration::from_mins(1));
}

#[test]
fn a_record_made_anew_hides_a_renewal_as_a_missing_one_does() {
    assert!(after_an_edit(LeaseRecord::default()) >= Duration::from_mins(1));
}

#[test]
fn a_record_that_cannot_be_read_hides_a_holder_with_a_longer_duration() {
    let mut bench = Bench::new(false);
    bench.reply(Ok(Some(stored(held("other", 5, Duration::from_mins(1)), 5))));
    bench.elapsed += Duration::from_secs(2);
    let mut out = bench.step(Event::Wake);
    let garbage = stored(LeaseRecord::default(), 9);
    while bench.elapsed < Duration::from_secs(61) {
        if let Some(request) = out.take() {
            assert_eq!(request.purpose, Purpose::Read, "takes over at {:?}", bench.elapsed);
            let failure = Failure { unreadable: Some(Box::new(garbage.clone())), ..LockErrorKind::Malformed.into() };
            out = bench.step(Event::Completed { request: request.id, result: Err(failure) });
        } else {
            bench.elapsed += bench.wake_in;
            out = bench.step(Event::Wake);
        }
    }
}

#[test]
fn a_duration_raised_by_hand_and_lowered_again_by_the_holder_does_not_outlive_it() {
    let mut bench = Bench::new(false);
    let year = Duration::from_hours(24 * 365);
    let seconds = Duration::from_secs(15);
    bench.reply(Ok(Some(stored(held("other", 5, seconds), 5))));
    for (revision, record) in [(6, held("other", 5, year)), (7, held("other", 7, seconds))] {
        bench.elapsed += Duration::from_secs(2);
        bench.step(Event::Wake);
        bench.reply(Ok(Some(stored(record, revision))));
    }
    let at = takes_over_at(&mut bench, None, &stored(held("other", 7, seconds), 7));
    assert!(at < Duration::from_mins(1), "takes over after {at:?}");
}

#[test]
fn a_lying_watch_cannot_starve_renewals_when_reads_fail() {
    let mut bench = Bench::new(false);
    bench.lead();
    let mut revision = 1;
    for _ in 0..60_000 {
        bench.elapsed += MS;
        let mut out = bench.step(Event::Hint(Hint::Deleted));
        while let Some(request) = out.take() {
            let result = match request.op {
                Op::Get => Err(LockErrorKind::Unavailable.into()),
                Op::Create(record) | Op::Update { record, .. } => {
                    revision += 1;
                    Ok(Some(stored(record, revision)))
                }
            };
            out = bench.step(Event::Completed { request: request.id, result });
        }
        assert_eq!(bench.elector.phase(), PhaseKind::Leading, "at {:?}", bench.elapsed);
    }
    assert!(bench.requests.len() <= 65, "{} requests in a minute", bench.requests.len());
}

#[test]
fn a_shutdown_after_an_unknown_acquisition_ends_when_that_can_no_longer_hold() {
    let mut bench = Bench::new(false);
    bench.reply(Ok(None)).expect("a create");
    let busy = Failure { retry_after: Some(Duration::from_hours(1)), ..LockErrorKind::Unknown.into() };
    bench.reply(Err(busy));
    bench.step(Event::Shutdown);
    bench.pass(Duration::from_secs(11));
    assert_eq!(bench.elector.phase(), PhaseKind::Stopped);
}

#[test]
fn what_was_read_is_told() {
    let mut bench = Bench::new(false);
    assert!(!bench.elector.has_read() && bench.elector.observed().is_none());
    bench.reply(Ok(None));
    assert!(bench.elector.has_read() && bench.elector.observed().is_none());
    let mut bench = Bench::new(false);
    let shown = stored(held("other", 5, Duration::from_secs(15)), 5);
    bench.reply(Ok(Some(shown.clone())));
    assert!(bench.elector.has_read());
    assert_eq!(bench.elector.observed(), Some(&shown));
}

#[test]
fn a_check_that_is_ahead_of_its_driver_ends_its_own_term_and_no_other() {
    let mut bench = Bench::new(false);
    bench.lead();
    let first = bench.elector.term().expect("in a term").id;
    bench.step(Event::ExpirySeen { term: first });
    assert_eq!(bench.elector.phase(), PhaseKind::Stopping);
    let out = bench.step(Event::Drained { term: first });
    let own = bench.elector.observed().expect("its own record").clone();
    takes_over_at(&mut bench, out, &own);
    let acquisition = bench.requests.last().expect("an acquisition").1.clone();
    bench.reply(Ok(Some(stored(written(&acquisition.op), 2))));
    let second = bench.elector.term().expect("in another term").id;
    assert_ne!(first, second);
    for late in [Event::ExpirySeen { term: first }, Event::WorkEnded { term: first }, Event::Drained { term: first }] {
        bench.step(late);
        assert_eq!(bench.elector.phase(), PhaseKind::Leading);
    }
    bench.step(Event::WorkEnded { term: second });
    assert_eq!(bench.elector.phase(), PhaseKind::Draining);
}

#[test]
fn work_that_was_never_told_to_start_cannot_stop() {
    let mut bench = Bench::new(true);
    bench.lead();
    let term = bench.elector.term().expect("held, but not acted upon").id;
    bench.step(Event::Drained { term });
    assert_eq!(bench.notices.iter().filter(|notice| matches!(notice, Notice::Drain { .. })).count(), 0);
    assert!(bench.elector.term().is_some());
    bench.pass(Duration::from_secs(2));
    assert_eq!(bench.requests.last().expect("a renewal").1.purpose, Purpose::Renew);
}

#[test]
fn a_reply_that_does_not_show_the_write_it_answers_prolongs_nothing() {
    let mut bench = Bench::new(false);
    bench.lead();
    let until = bench.elector.term().expect("in a term").valid_until;
    let renewal = bench.pass(Duration::from_secs(2)).expect("a renewal");
    let another = LeaseRecord { renew_time: Some(Timestamp::from_unix_micros(3)), ..written(&renewal.op) };
    let next = bench.reply(Ok(Some(stored(another, 2)))).expect("something to find out");
    assert_eq!(next.purpose, Purpose::Read);
    assert_eq!(bench.elector.term().expect("still in the term").valid_until, until);
}

#[test]
fn a_reply_that_does_not_show_the_acquisition_it_answers_wins_nothing() {
    let mut bench = Bench::new(false);
    bench.reply(Ok(None)).expect("a create");
    let next = bench.reply(Ok(Some(stored(held("other", 5, Duration::from_secs(15)), 5)))).expect("a read");
    assert_eq!(next.purpose, Purpose::Read);
    assert!(bench.elector.term().is_none());
}

#[test]
fn errors_that_fit_no_request_end_no_term() {
    let garbage = Box::new(stored(LeaseRecord::default(), 9));
    let unreadable = Failure { unreadable: Some(garbage), ..LockErrorKind::Malformed.into() };
    for (to_renewal, to_read) in
        [(LockErrorKind::Unknown.into(), LockErrorKind::NotFound.into()), (unreadable, LockErrorKind::Malformed.into())]
    {
        let mut bench = Bench::new(false);
        bench.lead();
        bench.pass(Duration::from_secs(2)).expect("a renewal");
        let read = bench.reply(Err(to_renewal)).expect("a read");
        assert_eq!(read.purpose, Purpose::Read);
        bench.reply(Err(to_read));
        assert_eq!(bench.elector.phase(), PhaseKind::Leading);
        let again = bench.pass(Duration::from_secs(2)).expect("another read");
        assert_eq!(again.purpose, Purpose::Read);
    }
}

/// A machine of this seed that has read this, and what it asks for then.
fn seeded(seed: u64, shown: Option<Versioned>) -> (Bench, Request) {
    let mut bench = Bench::new(false);
    let config = Config { seed: Some(seed), ..bench.elector.config().clone() };
    bench.elector = Elector::new(config, instant(Duration::ZERO));
    bench.wake_in = Duration::ZERO;
    bench.requests.clear();
    bench.pass(Duration::from_secs(2)).expect("a read");
    let request = bench.reply(Ok(shown)).expect("an acquisition");
    (bench, request)
}

fn released(renewed_us: i64) -> Versioned {
    stored(LeaseRecord { holder: None, ..held("other", renewed_us, Duration::from_secs(1)) }, 5)
}

#[test]
fn after_a_conflict_a_release_is_tried_again_sooner_than_an_expiry() {
    let waits = |shown: Option<Versioned>| {
        let wait_of = |seed| {
            let (mut bench, _) = seeded(seed, shown.clone());
            bench.reply(Err(LockErrorKind::Conflict.into()));
            bench.wake_in
        };
        (0..100).map(wait_of).max().expect("a hundred waits")
    };
    let release = waits(Some(released(5)));
    assert!(release < 100 * MS && release > 50 * MS, "{release:?}");
    let expiry = waits(None);
    assert!(expiry < 250 * MS && expiry > 125 * MS, "{expiry:?}");
}

#[test]
fn a_stamp_is_salted_only_where_the_wall_clock_is_well_behind_the_record() {
    // The wall clock when the record is read, and the tick: a microsecond.
    let wall_us = |bench: &Bench| 1_000_000_000 + i64::try_from(bench.elapsed.as_micros()).expect("a short run");
    let salts_for = |ahead_us: i64| {
        let salt_of = |seed| {
            // The same draw decides when it reads, so the second start shows a record that fits that moment.
            let read_at_us = wall_us(&seeded(seed, Some(released(5))).0);
            let (_, request) = seeded(seed, Some(released(read_at_us + ahead_us)));
            let stamp = written(&request.op).renew_time.expect("a stamp");
            stamp.unix_micros() - read_at_us - (ahead_us + 1).max(0)
        };
        (0..20).map(salt_of).collect::<Vec<_>>()
    };
    assert!(salts_for(-1_000).iter().all(|salt| *salt == 0));
    assert!(salts_for(0).iter().all(|salt| *salt == 0));
    let salts = salts_for(10_000_000);
    assert!(salts.iter().all(|salt| (0..1_000).contains(salt)), "{salts:?}");
    assert!(salts.iter().any(|salt| *salt != salts[0]), "{salts:?}");
}
