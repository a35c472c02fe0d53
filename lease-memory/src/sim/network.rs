//! The way between one candidate and the store: what is lost, what is late, what is refused.

use std::time::Duration;

use lease_core::{Failure, LockErrorKind};

use super::schedule::{Link, Refusal, Way};

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Lost,
    /// It arrives after so long.
    Arrives(u64),
}

/// One direction.
#[derive(Clone, Debug, Default)]
struct Wire {
    cut_until_ns: u64,
    lossy: Pattern,
    slow_until_ns: u64,
    slow_ns: u64,
    /// How much longer the next message takes.
    hold_ns: u64,
}

/// For a while every message whose bit is set, in turn.
#[derive(Clone, Copy, Debug, Default)]
struct Pattern {
    until_ns: u64,
    bits: u64,
    count: u32,
}

impl Pattern {
    fn new(until_ns: u64, bits: u64) -> Self {
        Self { until_ns, bits, count: 0 }
    }

    fn hits(&mut self, now_ns: u64) -> bool {
        if now_ns >= self.until_ns {
            return false;
        }
        self.count = (self.count + 1) % 64;
        self.bits >> self.count & 1 == 1
    }
}

impl Wire {
    fn fate(&mut self, base_ns: u64, now_ns: u64) -> Fate {
        let lost = self.lossy.hits(now_ns);
        if lost || now_ns < self.cut_until_ns {
            return Fate::Lost;
        }
        let slow_ns = if now_ns < self.slow_until_ns { self.slow_ns } else { 0 };
        Fate::Arrives(base_ns + slow_ns + std::mem::take(&mut self.hold_ns))
    }
}

/// How the store refuses, for a while.
#[derive(Clone, Copy, Debug)]
struct Refusing {
    pattern: Pattern,
    refusal: Refusal,
    retry_after: Option<Duration>,
}

/// A request that is not answered as it should be.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) failure: Failure,
    pub(super) is_applied: bool,
}

/// Both directions, the watch, and the moods of the store towards this candidate.
#[derive(Clone, Debug)]
pub(super) struct Network {
    link: Link,
    seed: u64,
    messages: u64,
    requests: Wire,
    replies: Wire,
    refusing: Option<Refusing>,
    hints_lost_until_ns: u64,
    hints_late_until_ns: u64,
    hints_late_ns: u64,
}

impl Network {
    pub(super) fn new(link: Link, seed: u64) -> Self {
        Self {
            link,
            seed,
            messages: 0,
            requests: Wire::default(),
            replies: Wire::default(),
            refusing: None,
            hints_lost_until_ns: 0,
            hints_late_until_ns: 0,
            hints_late_ns: 0,
        }
    }

    pub(super) fn request(&mut self, now_ns: u64) -> Fate {
        let base_ns = self.link.request_ns + self.jitter();
        self.requests.fate(base_ns, now_ns)
    }

    pub(super) fn reply(&mut self, now_ns: u64) -> Fate {
        let base_ns = self.link.reply_ns + self.jitter();
        self.replies.fate(base_ns, now_ns)
    }

    pub(super) fn hint(&mut self, now_ns: u64) -> Fate {
        if now_ns < self.hints_lost_until_ns || now_ns < self.replies.cut_until_ns {
            return Fate::Lost;
        }
        let late_ns = if now_ns < self.hints_late_until_ns { self.hints_late_ns } else { 0 };
        Fate::Arrives(self.link.hint_ns + self.jitter() + late_ns)
    }

    /// Whether the store refuses this request that has arrived.
    pub(super) fn refused(&mut self, now_ns: u64) -> Option<Refused> {
        let refusing = self.refusing.as_mut()?;
        if !refusing.pattern.hits(now_ns) {
            if now_ns >= refusing.pattern.until_ns {
                self.refusing = None;
            }
            return None;
        }
        let (kind, is_applied) = match refusing.refusal {
            Refusal::Unavailable => (LockErrorKind::Unavailable, false),
            Refusal::Unknown => (LockErrorKind::Unknown, false),
            Refusal::UnknownApplied => (LockErrorKind::Unknown, true),
            Refusal::Denied => (LockErrorKind::Denied, false),
            Refusal::Conflict => (LockErrorKind::Conflict, false),
            Refusal::ConflictApplied => (LockErrorKind::Conflict, true),
        };
        Some(Refused { failure: Failure { retry_after: refusing.retry_after, ..kind.into() }, is_applied })
    }

    pub(super) fn cut(&mut self, way: Way, until_ns: u64) {
        self.each(way, |wire| wire.cut_until_ns = wire.cut_until_ns.max(until_ns));
    }

    pub(super) fn lose(&mut self, way: Way, until_ns: u64, bits: u64) {
        self.each(way, |wire| wire.lossy = Pattern::new(until_ns, bits));
    }

    pub(super) fn slow(&mut self, way: Way, until_ns: u64, slow_ns: u64) {
        self.each(way, |wire| (wire.slow_until_ns, wire.slow_ns) = (until_ns, slow_ns));
    }

    pub(super) fn hold(&mut self, way: Way, hold_ns: u64) {
        self.each(way, |wire| wire.hold_ns = hold_ns);
    }

    pub(super) fn refuse(&mut self, until_ns: u64, refusal: Refusal, bits: u64, retry_after_ns: Option<u64>) {
        let retry_after = retry_after_ns.map(Duration::from_nanos);
        self.refusing = Some(Refusing { pattern: Pattern::new(until_ns, bits), refusal, retry_after });
    }

    pub(super) fn lose_hints(&mut self, until_ns: u64) {
        self.hints_lost_until_ns = self.hints_lost_until_ns.max(until_ns);
    }

    pub(super) fn delay_hints(&mut self, until_ns: u64, late_ns: u64) {
        (self.hints_late_until_ns, self.hints_late_ns) = (until_ns, late_ns);
    }

    fn each(&mut self, way: Way, change: impl Fn(&mut Wire)) {
        if way.has_requests() {
            change(&mut self.requests);
        }
        if way.has_replies() {
            change(&mut self.replies);
        }
    }

    /// How much longer than the least this message takes: a number made of the seed and its place, drawn from nothing.
    fn jitter(&mut self) -> u64 {
        if self.link.jitter_ns == 0 {
            return 0;
        }
        self.messages += 1;
        mix(self.seed, self.messages) % (self.link.jitter_ns + 1)
    }
}

/// A number that looks like nothing, made of two: the finalizer of `SplitMix64`.
pub(super) fn mix(seed: u64, count: u64) -> u64 {
    let mut z = seed ^ count.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: Link = Link { request_ns: 10, reply_ns: 20, hint_ns: 30, jitter_ns: 0 };

    #[test]
    fn each_direction_has_its_own_faults() {
        let mut network = Network::new(LINK, 1);
        network.cut(Way::Requests, 100);
        network.slow(Way::Replies, 100, 5);
        assert_eq!(network.request(99), Fate::Lost);
        assert_eq!(network.request(100), Fate::Arrives(10));
        assert_eq!(network.reply(99), Fate::Arrives(25));
        assert_eq!(network.hint(99), Fate::Arrives(30));
        network.cut(Way::Both, 200);
        assert_eq!((network.reply(150), network.hint(150)), (Fate::Lost, Fate::Lost));
    }

    #[test]
    fn a_held_message_is_the_only_one() {
        let mut network = Network::new(LINK, 1);
        network.hold(Way::Requests, 1_000);
        assert_eq!(network.request(0), Fate::Arrives(1_010));
        assert_eq!(network.request(0), Fate::Arrives(10));
    }

    #[test]
    fn patterns_take_every_message_whose_turn_it_is() {
        let mut network = Network::new(LINK, 1);
        network.lose(Way::Replies, 100, 0b0110);
        let fates: Vec<bool> = (0..4).map(|_| network.reply(0) == Fate::Lost).collect();
        assert_eq!(fates, [true, true, false, false]);
        network.refuse(100, Refusal::ConflictApplied, u64::MAX, Some(7));
        let refused = network.refused(50).expect("every request is");
        assert!(refused.is_applied && refused.failure.kind == LockErrorKind::Conflict);
        assert_eq!(refused.failure.retry_after, Some(Duration::from_nanos(7)));
        assert!(network.refused(100).is_none());
    }
}
