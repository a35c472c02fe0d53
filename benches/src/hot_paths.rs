//! What an application pays before every side effect, and what a driver pays for every event.
//!
//! Targets, on a machine of today: a check within 150 ns, most of which are the two clocks that it reads,
//! and a step of the machine in its steady state within 200 ns.
#![allow(clippy::unwrap_used, reason = "a panic is how a benchmark fails")]

use std::hint::black_box;
use std::time::{Duration, Instant as StdInstant};

use lease_core::{
    Attachment, Config, Elector, Event, HolderIdentity, Instant, LeaseRecord, Now, Op, Request, TermMark, Timestamp,
    Timing, Version, Versioned,
};

/// How long so many steps take, without what prepares their events.
///
/// # Panics
/// When a story goes another way the second time, which is a bug of the machine.
pub fn timed(steps: u64, mut story: Story) -> Duration {
    let mut took = Duration::ZERO;
    let mut left = steps;
    while left > 0 {
        let mut elector = story.elector.clone();
        let events: Vec<_> = (0..left.min(CHUNK)).map(|_| story.next_event()).collect();
        left -= events.len() as u64;
        let start = StdInstant::now();
        for (now, event) in events {
            drop(black_box(elector.step(black_box(now), event)));
        }
        took += start.elapsed();
        assert_eq!(elector, story.elector, "the rehearsal went another way");
    }
    took
}

/// A candidate in its steady state, and what happens to it next: that depends on what it has asked for,
/// so a rehearsal finds the events that are timed afterwards.
#[derive(Debug)]
pub struct Story {
    elector: Elector,
    asked: Option<Request>,
    time: Duration,
    revision: u64,
}

impl Story {
    fn begin() -> Self {
        let config = Config {
            identity: HolderIdentity::exact("pod-0_0a1b2c3d4e").unwrap(),
            timing: Timing::default(),
            renew_time_tick: Duration::from_micros(1),
            epoch: 0,
            strict: false,
            renew_phase: Some(Duration::from_nanos(1)),
            seed: Some(7),
        };
        let elector = Elector::new(config, at(Duration::ZERO).instant);
        Self { elector, asked: None, time: RETRY_PERIOD, revision: 0 }
    }

    /// One that leads, renews and is answered.
    ///
    /// # Panics
    /// When it does not come to lead.
    pub fn leading() -> Self {
        let mut story = Self::begin();
        let read = story.elector.step(at(story.time), Event::Wake).request.unwrap();
        let absent = Event::Completed { request: read.id, result: Ok(None) };
        story.asked = story.elector.step(at(story.time), absent).request;
        story.next_event();
        assert!(story.elector.term().is_some());
        story
    }

    /// One that reads, again and again, that another has renewed.
    ///
    /// # Panics
    /// When it does not come to read.
    pub fn standing_by() -> Self {
        let mut story = Self::begin();
        story.next_event();
        story.next_event();
        assert!(story.elector.observed().is_some());
        story
    }

    /// In turn the end of a retry period, in which it asks for something, and the answer.
    fn next_event(&mut self) -> (Now, Event) {
        let event = match self.asked.take() {
            None => {
                self.time += RETRY_PERIOD;
                Event::Wake
            }
            Some(Request { id, op, .. }) => {
                self.time += ROUND_TRIP;
                self.revision += 1;
                let record = match op {
                    Op::Get => record_of_another(self.time),
                    Op::Create(record) | Op::Update { record, .. } => record,
                };
                Event::Completed { request: id, result: Ok(Some(stored(record, self.revision))) }
            }
        };
        let now = at(self.time);
        self.asked = self.elector.step(now, event.clone()).request;
        (now, event)
    }
}

fn at(time: Duration) -> Now {
    let ns = u64::try_from(time.as_nanos()).unwrap() + 1;
    let wall = Timestamp::from_unix_micros(i64::try_from(time.as_micros()).unwrap());
    Now { instant: Instant::from_nanos(ns, ns), wall }
}

fn stored(record: LeaseRecord, revision: u64) -> Versioned {
    Versioned {
        record,
        version: Version::new(revision.to_string()),
        revision: Some(revision.into()),
        attachment: Attachment::new(revision),
    }
}

fn record_of_another(renewed: Duration) -> LeaseRecord {
    let holder = HolderIdentity::exact("pod-1_5f6a7b8c9d").unwrap();
    LeaseRecord {
        acquired: Some(TermMark { identity: holder.clone(), transitions: 7 }),
        holder: Some(holder),
        lease_duration: Duration::from_secs(15),
        acquire_time: Some(Timestamp::from_unix_micros(0)),
        renew_time: Some(at(renewed).wall),
        transitions: 7,
        ..LeaseRecord::default()
    }
}

const RETRY_PERIOD: Duration = Duration::from_secs(2);
const ROUND_TRIP: Duration = Duration::from_millis(10);
/// Few enough events to stay in the cache, many enough to hide the clock that times them.
const CHUNK: u64 = 64;
