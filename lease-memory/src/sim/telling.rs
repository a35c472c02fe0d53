//! What a run leaves behind for people and for comparison: its story, its picture, and its hash.

use std::fmt::Write as _;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use lease_core::{Actions, HolderIdentity, Notice, Stance};
use siphasher::sip128::{Hasher128, SipHasher13};

use super::client_go::{PeerActions, PeerNotice};
use super::invariants::letter;
use super::words;

/// Who acted and who held the record, when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    /// Whose work went on: candidate, from, until. It does nothing while its process is stopped.
    pub acts: Vec<(usize, u64, u64)>,
    /// Whose process was stopped: candidate, from, until.
    pub pauses: Vec<(usize, u64, u64)>,
    /// Whom the stored record named: candidate, from, until.
    pub holds: Vec<(usize, u64, u64)>,
}

/// What to keep of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// Its story, a line for every step.
    pub story: bool,
    /// Who acted and held when.
    pub timeline: bool,
    /// A hash over every step.
    pub hash: bool,
}

/// What is kept of a run.
#[derive(Debug)]
pub(super) struct Telling {
    story: Option<Vec<(u64, String)>>,
    timeline: Option<Timeline>,
    acts_since: Vec<Option<u64>>,
    paused_since: Vec<Option<u64>>,
    holder: Option<(usize, u64)>,
    hasher: Option<SipHasher13>,
}

impl Telling {
    pub(super) fn new(keep: Keep, nodes: usize) -> Self {
        Self {
            story: keep.story.then(Vec::new),
            timeline: keep.timeline.then(Timeline::default),
            acts_since: vec![None; nodes],
            paused_since: vec![None; nodes],
            holder: None,
            hasher: keep.hash.then(SipHasher13::new),
        }
    }

    /// Whether anybody listens to the story.
    pub(super) fn tells(&self) -> bool {
        self.story.is_some()
    }

    pub(super) fn say(&mut self, now_ns: u64, line: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            story.push((now_ns, line()));
        }
    }

    /// A step, in the words of traces.
    pub(super) fn step(&mut self, now_ns: u64, node: usize, event: &str, actions: &Actions, stance: &Stance) {
        let Some(story) = &mut self.story else { return };
        let name = letter(node);
        let mut line = format!("{name}: {event}");
        for notice in actions.notices.iter().filter_map(words::notice) {
            let _ = write!(line, "; {notice}");
        }
        if let Some(request) = &actions.request {
            let _ = write!(line, "; {}", words::sends(request.purpose));
        }
        let _ = write!(line, "; {stance}");
        story.push((now_ns, line));
    }

    pub(super) fn hash(&mut self, now_ns: u64, node: usize, event: u8, actions: &Actions) {
        let Some(hasher) = &mut self.hasher else { return };
        hasher.write_u64(now_ns);
        hasher.write_u16(u16::from(event) << 8 | u16::try_from(node).unwrap_or(u16::MAX));
        hasher.write_u128(actions.wake_in.as_nanos());
        if let Some(request) = &actions.request {
            request.purpose.hash(hasher);
            request.timeout.hash(hasher);
        }
        for notice in &actions.notices {
            std::mem::discriminant(notice).hash(hasher);
            if let Notice::Started(term) = notice {
                term.hash(hasher);
            }
        }
    }

    /// The same for a step of a peer.
    pub(super) fn hash_peer(&mut self, now_ns: u64, node: usize, event: u8, actions: &PeerActions) {
        let Some(hasher) = &mut self.hasher else { return };
        hasher.write_u64(now_ns);
        hasher.write_u16(u16::from(event) << 8 | u16::try_from(node).unwrap_or(u16::MAX));
        actions.wake_in.hash(hasher);
        actions.abandon.hash(hasher);
        if let Some(request) = &actions.request {
            hasher.write_u64(request.id);
            std::mem::discriminant(&request.op).hash(hasher);
            request.timeout.hash(hasher);
        }
        for notice in &actions.notices {
            std::mem::discriminant(notice).hash(hasher);
            if let PeerNotice::NewLeader(Some(holder)) = notice {
                hasher.write(holder.name().as_bytes());
            }
        }
    }

    pub(super) fn acts(&mut self, node: usize, now_ns: u64) {
        self.acts_since[node] = Some(now_ns);
    }

    pub(super) fn rests(&mut self, node: usize, now_ns: u64) {
        if let (Some(since_ns), Some(timeline)) = (self.acts_since[node].take(), &mut self.timeline) {
            timeline.acts.push((node, since_ns, now_ns));
        }
    }

    pub(super) fn pauses(&mut self, node: usize, now_ns: u64) {
        self.paused_since[node].get_or_insert(now_ns);
    }

    /// It goes on, or is gone.
    pub(super) fn goes_on(&mut self, node: usize, now_ns: u64) {
        if let (Some(since_ns), Some(timeline)) = (self.paused_since[node].take(), &mut self.timeline) {
            timeline.pauses.push((node, since_ns, now_ns));
        }
    }

    /// The stored record names this holder from now on.
    pub(super) fn holds(&mut self, holder: Option<&HolderIdentity>, now_ns: u64) {
        let Some(timeline) = &mut self.timeline else { return };
        let node =
            holder.and_then(|holder| holder.name().bytes().next()).map(|letter| usize::from(letter.wrapping_sub(b'a')));
        let node = node.filter(|node| *node < self.acts_since.len());
        if let Some((before, _)) = self.holder
            && node == Some(before)
        {
            return;
        }
        if let Some((before, since_ns)) = self.holder.take() {
            timeline.holds.push((before, since_ns, now_ns));
        }
        self.holder = node.map(|node| (node, now_ns));
    }

    pub(super) fn end(&mut self, now_ns: u64) {
        for node in 0..self.acts_since.len() {
            self.rests(node, now_ns);
            self.goes_on(node, now_ns);
        }
        if let (Some((node, since_ns)), Some(timeline)) = (self.holder.take(), &mut self.timeline) {
            timeline.holds.push((node, since_ns, now_ns));
        }
    }

    pub(super) fn finish(self) -> (Vec<String>, Option<Timeline>, Option<u128>) {
        let story = self.story.unwrap_or_default().into_iter();
        let lines = story.map(|(at_ns, line)| format!("{:>12.6}s {line}", Duration::from_nanos(at_ns).as_secs_f64()));
        (lines.collect(), self.timeline, self.hasher.map(|hasher| hasher.finish128().as_u128()))
    }
}
