//! Virtual time, the network between the machines and the register, and their clocks.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use lease_core::{
    Config, Elector, Event, Failure, Hint, Instant, LeaseRecord, Now, Op, Purpose, Request, RequestId, Timestamp,
    Versioned,
};

use crate::command::stands_by;
use crate::store::Store;
use crate::words;

/// What becomes of the next request of a machine.
#[derive(Clone, Debug)]
pub(crate) enum Fate {
    LoseRequest,
    LoseReply,
    HoldWrite,
    HoldReply,
    Refuse { failure: Failure, applied: bool },
}

/// What a wall clock is made to do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wall {
    Jump(i64),
    At(Timestamp),
    Stop,
}

type Answer = Result<Option<Versioned>, Failure>;

/// A request with what a trace says about it.
#[derive(Clone, Debug)]
struct Asked {
    request: Request,
    sent_ns: u64,
}

#[derive(Debug)]
enum Happening {
    Wake { node: usize, armed: u64 },
    Arrive { node: usize, asked: Asked, fate: Option<Fate> },
    Answered { node: usize, asked: Asked, answer: Answer },
    Told { node: usize, hint: Hint },
}

impl Happening {
    /// Whom it happens to; what arrives at the store happens to nobody.
    fn addressee(&self) -> Option<usize> {
        match self {
            Self::Wake { node, .. } | Self::Answered { node, .. } | Self::Told { node, .. } => Some(*node),
            Self::Arrive { .. } => None,
        }
    }
}

struct Node {
    name: String,
    elector: Elector,
    running: bool,
    armed: u64,
    fates: VecDeque<Fate>,
    /// The request that it waits for.
    waiting: Option<RequestId>,
    held_write: Option<Asked>,
    held_reply: Option<(Asked, Answer)>,
    cut: bool,
    stalled: bool,
    asleep_until_ns: u64,
    /// How long it slept, which only one of its clocks has counted.
    slept_ns: u64,
    postponed: Vec<Happening>,
    wall_offset_us: i64,
    wall_stopped_at_us: Option<i64>,
    watches: bool,
}

/// All of it.
#[derive(Default)]
pub(crate) struct World {
    now_ns: u64,
    sequence: u64,
    agenda: BTreeMap<(u64, u64), Happening>,
    nodes: Vec<Node>,
    store: Store,
    skipping: bool,
    output: String,
}

impl World {
    pub(crate) fn take_output(&mut self) -> String {
        std::mem::take(&mut self.output)
    }

    pub(crate) fn record(&self) -> Option<&Versioned> {
        self.store.current()
    }

    pub(crate) fn past(&self, version: &str) -> Versioned {
        self.store.past(version)
    }

    /// The wall time of whoever has a good clock.
    pub(crate) fn wall(&self) -> Timestamp {
        Timestamp::from_unix_micros(words::EPOCH_US + i64::try_from(self.now_ns / 1_000).expect("a short story"))
    }

    pub(crate) fn elector(&self, name: &str) -> &Elector {
        &self.nodes[self.index(name)].elector
    }

    fn index(&self, name: &str) -> usize {
        // The latest of that name, because a crashed process stays where it was.
        self.nodes.iter().rposition(|node| node.name == name).unwrap_or_else(|| panic!("no node is called {name}"))
    }

    fn say(&mut self, who: &str, what: &str) {
        self.output += &format!("{:>8} {who}: {what}\n", words::seconds(self.now_ns));
    }

    fn at(&mut self, at_ns: u64, happening: Happening) {
        self.sequence += 1;
        self.agenda.insert((at_ns, self.sequence), happening);
    }

    pub(crate) fn run(&mut self, lasts: Duration, skipping: bool) {
        let end_ns = self.now_ns + nanos(lasts);
        self.skipping = skipping;
        while let Some(entry) = self.agenda.first_entry().filter(|entry| entry.key().0 <= end_ns) {
            let ((at_ns, _), happening) = entry.remove_entry();
            self.now_ns = at_ns;
            self.handle(happening);
        }
        self.now_ns = end_ns;
        self.skipping = false;
    }

    fn handle(&mut self, happening: Happening) {
        if let Some(index) = happening.addressee() {
            let node = &mut self.nodes[index];
            if !node.running {
                return;
            }
            if node.stalled {
                return node.postponed.push(happening);
            }
            if self.now_ns < node.asleep_until_ns {
                let until_ns = node.asleep_until_ns;
                return self.at(until_ns, happening);
            }
        }
        match happening {
            Happening::Wake { node, armed, .. } if self.nodes[node].armed == armed => {
                self.step(node, Event::Wake, None);
            }
            Happening::Wake { .. } => {}
            Happening::Arrive { node, asked, fate } => self.arrive(node, asked, fate),
            Happening::Answered { node, asked, answer, .. } => {
                let event = Event::Completed { request: asked.request.id, result: answer };
                self.step(node, event, Some(&asked));
            }
            Happening::Told { node, hint, .. } => self.step(node, Event::Hint(hint), None),
        }
    }

    fn step(&mut self, index: usize, event: Event, asked: Option<&Asked>) {
        let now = self.now_of(index);
        let mut parts: Vec<String> = Vec::new();
        let said = words::event(&event, asked.map(|asked| (asked.request.purpose, asked.sent_ns)));
        let node = &mut self.nodes[index];
        let renew_deadline = node.elector.config().timing.renew_deadline();
        let actions = node.elector.step(now, event);
        if !self.skipping {
            parts.extend(said);
        }
        for notice in actions.notices.iter().filter(|notice| !self.skipping || words::matters(notice)) {
            parts.push(words::notice(notice, renew_deadline));
        }
        node.waiting = node.waiting.filter(|id| asked.is_none_or(|asked| asked.request.id != *id));
        let given_up = actions.abandon && node.waiting.take().is_some() && !self.skipping;
        node.waiting = actions.request.as_ref().map(|request| request.id).or(node.waiting);
        if let Some(request) = actions.request.as_ref().filter(|_| !self.skipping) {
            parts.push(words::request(request));
        }
        if given_up {
            parts.insert(0, "gives up the request under way".to_owned());
        }
        let idle = actions.request.is_none() && stands_by(node.elector.phase());
        if idle && !parts.is_empty() && !self.skipping {
            parts.push(node.elector.stance(now.instant).to_string());
        }
        if !parts.is_empty() {
            let name = node.name.clone();
            self.say(&name, &parts.join("; "));
        }
        if let Some(request) = actions.request {
            self.transmit(index, request);
        }
        self.arm(index, actions.wake_in);
    }

    fn arm(&mut self, index: usize, wake_in: Duration) {
        let node = &mut self.nodes[index];
        node.armed += 1;
        let armed = node.armed;
        if wake_in != Duration::MAX {
            self.at(self.now_ns + nanos(wake_in), Happening::Wake { node: index, armed });
        }
    }

    fn now_of(&self, index: usize) -> Now {
        let node = &self.nodes[index];
        let wall_us = node.wall_stopped_at_us.unwrap_or(self.wall().unix_micros() + node.wall_offset_us);
        Now {
            instant: Instant::from_nanos(self.now_ns, self.now_ns - node.slept_ns),
            wall: Timestamp::from_unix_micros(wall_us),
        }
    }

    fn transmit(&mut self, index: usize, request: Request) {
        let node = &mut self.nodes[index];
        let is_write = request.purpose != Purpose::Read;
        let next = node.fates.front();
        let waits = matches!(next, Some(Fate::HoldWrite)) && !is_write;
        let fate = if waits { None } else { node.fates.pop_front() };
        let asked = Asked { request, sent_ns: self.now_ns };
        if node.cut {
            return;
        }
        match fate {
            Some(Fate::LoseRequest) => {}
            Some(Fate::HoldWrite) => node.held_write = Some(asked),
            fate => {
                self.at(self.now_ns + WAY_NS, Happening::Arrive { node: index, asked, fate });
            }
        }
    }

    fn arrive(&mut self, index: usize, asked: Asked, fate: Option<Fate>) {
        let answer = match fate {
            Some(Fate::Refuse { failure, applied }) => {
                if applied {
                    drop(self.apply(&asked.request.op));
                }
                Err(failure)
            }
            Some(Fate::LoseReply) => return drop(self.apply(&asked.request.op)),
            Some(Fate::HoldReply) => {
                let answer = self.apply(&asked.request.op);
                self.nodes[index].held_reply = Some((asked, answer));
                return;
            }
            _ => self.apply(&asked.request.op),
        };
        if !self.nodes[index].cut {
            self.at(self.now_ns + WAY_NS, Happening::Answered { node: index, asked, answer });
        }
    }

    fn apply(&mut self, op: &Op) -> Answer {
        let answer = self.store.apply(op);
        if !matches!(op, Op::Get)
            && let Ok(Some(stored)) = &answer
        {
            self.tell_watchers(&Hint::Changed(stored.clone()));
        }
        answer
    }

    fn tell_watchers(&mut self, hint: &Hint) {
        for index in 0..self.nodes.len() {
            let node = &self.nodes[index];
            if node.watches && !node.cut {
                let told = Happening::Told { node: index, hint: hint.clone() };
                self.at(self.now_ns + WAY_NS, told);
            }
        }
    }
}

/// What commands do.
impl World {
    pub(crate) fn start(&mut self, name: &str, config: Config, watches: bool) {
        let node = Node {
            name: name.to_owned(),
            elector: Elector::new(config, Instant::from_nanos(self.now_ns, self.now_ns)),
            running: true,
            armed: 0,
            fates: VecDeque::new(),
            waiting: None,
            held_write: None,
            held_reply: None,
            cut: false,
            stalled: false,
            asleep_until_ns: 0,
            slept_ns: 0,
            postponed: Vec::new(),
            wall_offset_us: 0,
            wall_stopped_at_us: None,
            watches,
        };
        self.nodes.push(node);
        let index = self.nodes.len() - 1;
        if watches {
            self.step(index, Event::WatchReady, None);
        } else {
            self.step(index, Event::Wake, None);
        }
    }

    pub(crate) fn tell(&mut self, name: &str, said: &str, event: Event) {
        self.say(name, said);
        self.step(self.index(name), event, None);
    }

    /// A check by the application, which reads the clock whatever its driver is doing.
    pub(crate) fn check(&mut self, name: &str) {
        let index = self.index(name);
        let now = self.now_of(index).instant;
        let Some(term) = self.nodes[index].elector.term().cloned() else { return self.say(name, "check: no term") };
        if !now.has_reached_either(term.valid_until) {
            return self.say(name, &format!("check: valid until {}", term.valid_until));
        }
        self.say(name, "check: expired");
        self.step(index, Event::ExpirySeen { term: term.id }, None);
    }

    pub(crate) fn explain(&mut self, name: &str) {
        let index = self.index(name);
        let stance = self.nodes[index].elector.stance(self.now_of(index).instant).to_string();
        self.say(name, &stance);
    }

    pub(crate) fn show(&mut self) {
        let text = self.store.current().map_or_else(|| "no record".to_owned(), words::record);
        self.say("store", &text);
    }

    pub(crate) fn crash(&mut self, name: &str) {
        let index = self.index(name);
        self.nodes[index].running = false;
        self.say(name, "crashes");
    }

    pub(crate) fn expect_fate(&mut self, name: &str, fate: Fate) {
        let index = self.index(name);
        self.nodes[index].fates.push_back(fate);
    }

    /// A held write arrives; its answer goes out as if it had just been sent.
    pub(crate) fn apply_held(&mut self, name: &str) {
        let index = self.index(name);
        let asked = self.nodes[index].held_write.take().expect("a write is held");
        let answer = self.apply(&asked.request.op);
        let what = match &answer {
            Ok(Some(stored)) => format!("applied as version {}", stored.version),
            Ok(None) => "applied".to_owned(),
            Err(failure) => format!("refused: {}", failure.kind),
        };
        self.say(
            "store",
            &format!(
                "the {} of {name} of {} is {what}",
                words::noun(asked.request.purpose),
                words::seconds(asked.sent_ns)
            ),
        );
        self.at(self.now_ns + WAY_NS, Happening::Answered { node: index, asked, answer });
    }

    pub(crate) fn deliver_held(&mut self, name: &str) {
        let index = self.index(name);
        let (asked, answer) = self.nodes[index].held_reply.take().expect("a reply is held");
        self.handle(Happening::Answered { node: index, asked, answer });
    }

    pub(crate) fn cut(&mut self, name: &str, cut: bool) {
        let index = self.index(name);
        self.nodes[index].cut = cut;
    }

    /// Its watch tells nothing any more, and does not say so.
    pub(crate) fn mute(&mut self, name: &str) {
        let index = self.index(name);
        self.nodes[index].watches = false;
    }

    pub(crate) fn stall(&mut self, name: &str, stalled: bool) {
        let index = self.index(name);
        self.nodes[index].stalled = stalled;
        if !stalled {
            for happening in std::mem::take(&mut self.nodes[index].postponed) {
                self.handle(happening);
            }
        }
    }

    pub(crate) fn suspend(&mut self, name: &str, lasts: Duration) {
        let index = self.index(name);
        self.nodes[index].asleep_until_ns = self.now_ns + nanos(lasts);
        self.nodes[index].slept_ns += nanos(lasts);
        self.say(name, &format!("its machine sleeps for {lasts:?}"));
        self.run(lasts, false);
    }

    pub(crate) fn set_wall(&mut self, name: &str, wall: Wall) {
        let index = self.index(name);
        let now_us = self.now_of(index).wall.unix_micros();
        let true_us = self.wall().unix_micros();
        let node = &mut self.nodes[index];
        match wall {
            Wall::Jump(by_us) => node.wall_offset_us += by_us,
            Wall::At(time) => node.wall_offset_us = time.unix_micros() - true_us,
            Wall::Stop => node.wall_stopped_at_us = Some(now_us),
        }
    }

    pub(crate) fn put(&mut self, what: &str, record: LeaseRecord) {
        let stored = self.store.put(record);
        self.say("store", &format!("{what}: {}", words::record(&stored)));
        self.tell_watchers(&Hint::Changed(stored));
    }

    /// A watch repeats a record of the past, or tells of a deletion that never was.
    pub(crate) fn hint(&mut self, name: &str, what: &str) {
        let hint = if what == "deleted" { Hint::Deleted } else { Hint::Changed(self.store.past(what)) };
        self.step(self.index(name), Event::Hint(hint), None);
    }

    pub(crate) fn delete(&mut self) {
        self.store.delete();
        self.say("store", "deleted");
        self.tell_watchers(&Hint::Deleted);
    }

    pub(crate) fn corrupt(&mut self) {
        self.store.corrupt();
        self.say("store", "the record cannot be understood any more");
    }

    pub(crate) fn roll_back(&mut self, version: &str) {
        self.store.roll_back(version);
        self.say("store", &format!("taken back to version {version}"));
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).expect("a short story")
}

/// How long a message takes, there or back.
const WAY_NS: u64 = 10_000_000;
