//! Reads the commands of a story and does them to the world.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lease_core::{
    Config, Event, Failure, HandoverRequest, HolderIdentity, LeaseRecord, LockErrorKind, PhaseKind, TermMark,
    Timestamp, Timing,
};

use crate::store::duration;
use crate::world::{Fate, Wall, World};

/// The words of one command.
struct Words<'a> {
    plain: Vec<&'a str>,
    options: BTreeMap<&'a str, &'a str>,
}

impl<'a> Words<'a> {
    fn parse(line: &'a str) -> Self {
        let mut words = Self { plain: Vec::new(), options: BTreeMap::new() };
        for word in line.split_whitespace() {
            match word.split_once('=') {
                Some((key, value)) => drop(words.options.insert(key, value)),
                None => words.plain.push(word),
            }
        }
        words
    }

    fn plain(&self, index: usize) -> &'a str {
        self.plain.get(index).unwrap_or_else(|| panic!("a word is missing after {:?}", self.plain))
    }

    fn says(&self, flag: &str) -> bool {
        self.plain.contains(&flag)
    }

    fn duration(&self, key: &str) -> Option<Duration> {
        self.options.get(key).map(|value| duration(value))
    }

    fn to(&self) -> Option<Arc<str>> {
        self.options.get("to").map(|to| Arc::from(*to))
    }
}

/// Does one command.
pub(crate) fn perform(world: &mut World, line: &str) {
    let words = Words::parse(line);
    match words.plain(0) {
        "node" => start(world, &words),
        "run" => world.run(duration(words.plain(1)), false),
        "skip" => world.run(duration(words.plain(1)), true),
        "show" => world.show(),
        "explain" => world.explain(words.plain(1)),
        "delete" | "edit" | "label" | "peer-release" | "corrupt" | "restore" | "rollback" | "request" => {
            edit(world, &words);
        }
        "drained" | "work-ended" | "resign" | "shutdown" | "check" | "crash" => application(world, &words),
        _ => surroundings(world, &words),
    }
}

fn start(world: &mut World, words: &Words<'_>) {
    let name = words.plain(1);
    let of = |key, default| words.duration(key).unwrap_or(Duration::from_secs(default));
    let mut timing = Timing::builder(of("lease", 15), of("renew", 10), of("retry", 2)).drain_max(of("drain", 25));
    if let Some(attempt) = words.duration("attempt") {
        timing = timing.attempt_timeout(attempt);
    }
    let config = Config {
        identity: HolderIdentity::exact(words.options.get("as").unwrap_or(&name)).unwrap(),
        timing: timing.build().unwrap(),
        renew_time_tick: words.duration("tick").unwrap_or(Duration::from_micros(1)),
        epoch: words.options.get("epoch").map_or(0, |epoch| epoch.parse().unwrap()),
        strict: words.says("strict"),
        renew_phase: words.duration("phase"),
        seed: words.options.get("seed").map(|seed| seed.parse().unwrap()),
    };
    world.start(name, config, words.says("watch"));
}

/// What its application does.
fn application(world: &mut World, words: &Words<'_>) {
    let name = words.plain(1);
    match words.plain(0) {
        "crash" => world.crash(name),
        "resign" => world.tell(name, "its application resigns", Event::Resign { to: words.to() }),
        "shutdown" => world.tell(name, "its application shuts down", Event::Shutdown),
        "work-ended" => {
            let term = world.elector(name).term().expect("work ends in a term").id;
            world.tell(name, "a part of its work has ended", Event::WorkEnded { term });
        }
        "drained" => {
            let term = world.elector(name).term().expect("work stops in a term").id;
            world.tell(name, "its work has stopped", Event::Drained { term });
        }
        _ => world.check(name),
    }
}

/// What becomes of requests, clocks and processes.
fn surroundings(world: &mut World, words: &Words<'_>) {
    let name = words.plain(1);
    match words.plain(0) {
        "lose-request" => world.expect_fate(name, Fate::LoseRequest),
        "lose-reply" => world.expect_fate(name, Fate::LoseReply),
        "hold-write" => world.expect_fate(name, Fate::HoldWrite),
        "hold-reply" => world.expect_fate(name, Fate::HoldReply),
        "refuse" => {
            let times = words.options.get("times").map_or(1, |times| times.parse().unwrap());
            let kind = match words.plain(2) {
                "conflict" => LockErrorKind::Conflict,
                "not-found" => LockErrorKind::NotFound,
                "unavailable" => LockErrorKind::Unavailable,
                "unknown" => LockErrorKind::Unknown,
                "denied" => LockErrorKind::Denied,
                other => panic!("no error is called {other}"),
            };
            let failure = Failure { retry_after: words.duration("retry-after"), ..kind.into() };
            for _ in 0..times {
                world.expect_fate(name, Fate::Refuse { failure: failure.clone(), applied: words.says("applied") });
            }
        }
        "apply" => world.apply_held(name),
        "deliver" => world.deliver_held(name),
        "cut" => world.cut(name, true),
        "heal" => world.cut(name, false),
        "watch-lost" => {
            world.mute(name);
            world.tell(name, "its connection breaks", Event::WatchLost);
        }
        "hint" => world.hint(name, words.plain(2)),
        "mute" => world.mute(name),
        "stall" => world.stall(name, true),
        "resume" => world.stall(name, false),
        "suspend" => world.suspend(name, duration(words.plain(2))),
        "clock" => world.set_wall(name, wall(words.options["wall"])),
        other => panic!("no command is called {other}"),
    }
}

fn wall(text: &str) -> Wall {
    match text.strip_prefix(['+', '-']) {
        Some(by) if text.starts_with('-') => Wall::Jump(-i64::try_from(duration(by).as_micros()).unwrap()),
        Some(by) => Wall::Jump(i64::try_from(duration(by).as_micros()).unwrap()),
        None if text == "stop" => Wall::Stop,
        None => {
            let start: Timestamp = format!("{text}-01-01T00:00:00Z").parse().unwrap();
            Wall::At(start)
        }
    }
}

/// What operators and other programs do to the record.
fn edit(world: &mut World, words: &Words<'_>) {
    let wall = world.wall();
    if words.plain(0) == "delete" {
        return world.delete();
    }
    let mut record = world.record().map_or_else(LeaseRecord::default, |stored| stored.record.clone());
    match words.plain(0) {
        "label" => {}
        "peer-release" => {
            record.holder = None;
            record.lease_duration = Duration::from_secs(1);
            (record.acquire_time, record.renew_time) = (Some(wall), Some(wall));
        }
        "corrupt" => return world.corrupt(),
        "restore" => record = world.past(words.plain(1)).record,
        "rollback" => return world.roll_back(words.plain(1)),
        "request" => {
            let other = words.options.contains_key("term");
            record.request = Some(Arc::new(HandoverRequest {
                holder: record.holder.clone().expect("only a holder can be asked"),
                acquire_time: record.acquire_time.filter(|_| !other).unwrap_or(Timestamp::from_unix_micros(7)),
                successor: words.to(),
                draining: false,
            }));
        }
        _ => {
            for (key, value) in &words.options {
                edit_field(world, &mut record, key, value);
            }
        }
    }
    world.put(&words.plain.join(" "), record);
}

fn edit_field(world: &World, record: &mut LeaseRecord, key: &str, value: &str) {
    match key {
        "holder" => record.holder = HolderIdentity::from_record(value),
        "duration" => record.lease_duration = duration(value),
        "renew" => record.renew_time = (value == "now").then(|| world.wall()),
        "acquire" => record.acquire_time = (value == "now").then(|| world.wall()),
        "transitions" => record.transitions = value.parse().unwrap(),
        "epoch" => record.epoch = value.parse().unwrap(),
        "strategy" => record.strategy = (!value.is_empty()).then(|| value.into()),
        "released" => {
            let (name, transitions) = value.rsplit_once('/').expect("a mark is a name and a count: a/0");
            let identity = HolderIdentity::exact(name).unwrap();
            record.released = Some(TermMark { identity, transitions: transitions.parse().unwrap() });
        }
        other => panic!("no field is called {other}"),
    }
}

/// Whether this phase stands by, and so owes people a reason why it does not act.
pub(crate) fn stands_by(phase: PhaseKind) -> bool {
    phase == PhaseKind::Candidate
}
