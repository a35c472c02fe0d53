//! What mutual exclusion rests on, and for whom it is broken at the moment.
//!
//! A run may break every assumption. Then exclusion is not demanded of those who could not know, and of nobody else,
//! and only for as long as somebody from before may still act.

/// Why two candidates may act at once through no fault of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excuse {
    /// A clock ran too fast or too slow.
    ClockRate,
    /// A virtual machine was frozen with its clocks.
    Frozen,
    /// The record was changed behind the back of somebody who had not seen it.
    Edited,
    /// The store lost acknowledged writes.
    RolledBack,
    /// A process was stopped for longer than its hold, and its work with it.
    Paused,
    /// Work did not stop in its time.
    Late,
}

impl Excuse {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::ClockRate, Self::Frozen, Self::Edited, Self::RolledBack, Self::Paused, Self::Late];

    /// In words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClockRate => "a clock's rate was beyond its bound",
            Self::Frozen => "a virtual machine was frozen with its clocks",
            Self::Edited => "the record was edited, and not everybody could know what it was",
            Self::RolledBack => "the store lost acknowledged writes",
            Self::Paused => "a process was paused while it led",
            Self::Late => "work did not stop in its time",
        }
    }
}

/// The broken assumptions, and until when they matter.
#[derive(Debug)]
pub(super) struct Assumptions {
    /// For how long somebody from before may still act at most.
    hold_max_ns: u64,
    /// Whose clocks are beyond their bounds, or were, and until when that matters.
    clocks_until_ns: Vec<u64>,
    edited_until_ns: u64,
    rolled_back: bool,
    /// Until when somebody from before the latest loss may act, or whoever wrote upon a version that was given out again.
    loss_tells_until_ns: u64,
    /// Whether it ever did.
    has_rolled_back: bool,
    rolled_back_until_ns: u64,
    frozen_until_ns: Vec<u64>,
    /// Who cannot know of the holder before the latest edit.
    ignorant_until_ns: Vec<u64>,
    /// Until when a process that starts afresh cannot know, because an edit has hidden from it what it would have to.
    hidden_until_ns: Vec<u64>,
    /// When the window after the latest edit ends, in which terms may overlap.
    window_ends_ns: u64,
    /// Whether the epoch was taken away with the record that it is stored beside.
    epoch_lost: bool,
}

impl Assumptions {
    pub(super) fn new(nodes: usize, hold_max_ns: u64) -> Self {
        Self {
            hold_max_ns,
            clocks_until_ns: vec![0; nodes],
            edited_until_ns: 0,
            rolled_back: false,
            loss_tells_until_ns: 0,
            has_rolled_back: false,
            rolled_back_until_ns: 0,
            frozen_until_ns: vec![0; nodes],
            ignorant_until_ns: vec![0; nodes],
            hidden_until_ns: vec![0; nodes],
            window_ends_ns: 0,
            epoch_lost: false,
        }
    }

    /// Why the second may act while the first still does; none when that is the protocol's fault.
    pub(super) fn excuse(&self, first: usize, second: usize, now_ns: u64) -> Option<Excuse> {
        let ignorant = |node: usize| now_ns < self.ignorant_until_ns[node];
        if now_ns < self.loss_tells_until_ns {
            Some(Excuse::RolledBack)
        } else if now_ns < self.clocks_until_ns[first].max(self.clocks_until_ns[second]) {
            Some(Excuse::ClockRate)
        } else if now_ns < self.frozen_until_ns[first] || now_ns < self.frozen_until_ns[second] {
            Some(Excuse::Frozen)
        } else if now_ns < self.edited_until_ns || ignorant(first) || ignorant(second) {
            Some(Excuse::Edited)
        } else {
            None
        }
    }

    /// Whether tokens may fall: the store went back, or terms may overlap, so that they are told of out of order.
    pub(super) fn tokens_may_fall(&self, now_ns: u64) -> bool {
        self.is_rolled_back(now_ns)
            || now_ns < self.window_ends_ns
            || self.clocks_until_ns.iter().chain(&self.frozen_until_ns).any(|until_ns| now_ns < *until_ns)
    }

    /// Whether the store has lost writes, and nobody has raised the epoch since.
    pub(super) fn is_rolled_back(&self, now_ns: u64) -> bool {
        self.rolled_back || now_ns < self.rolled_back_until_ns
    }

    /// Whether the store has ever lost writes.
    pub(super) fn has_rolled_back(&self) -> bool {
        self.has_rolled_back
    }

    /// Whether somebody with a lower epoch than another had cannot know of that.
    pub(super) fn is_epoch_lost(&self) -> bool {
        self.epoch_lost
    }

    pub(super) fn epoch_lost(&mut self) {
        self.epoch_lost = true;
    }

    /// No clock of a candidate is within its bounds, or has been for long enough, until then: what it was told before of
    /// the same is replaced, because clocks come back.
    pub(super) fn clocks_beyond(&mut self, node: usize, until_ns: u64) {
        self.clocks_until_ns[node] = until_ns;
    }

    pub(super) fn frozen(&mut self, node: usize, until_ns: u64) {
        let until_ns = until_ns.saturating_add(self.hold_max_ns);
        self.frozen_until_ns[node] = self.frozen_until_ns[node].max(until_ns);
    }

    /// The record was edited. Who is not `informed` had not seen the holder, and who is among `hidden` would not see it in
    /// what is left, once started afresh; what was under way arrives until then.
    pub(super) fn edited(&mut self, informed: &[bool], hidden: &[bool], under_way_until_ns: Option<u64>, now_ns: u64) {
        let window_ends_ns = now_ns.saturating_add(self.hold_max_ns);
        self.window_ends_ns = self.window_ends_ns.max(window_ends_ns);
        if let Some(until_ns) = under_way_until_ns {
            self.edited_until_ns = self.edited_until_ns.max(until_ns.saturating_add(self.hold_max_ns));
            self.window_ends_ns = self.window_ends_ns.max(self.edited_until_ns);
        }
        for (until_ns, _) in self.hidden_until_ns.iter_mut().zip(hidden).filter(|(_, hidden)| **hidden) {
            *until_ns = (*until_ns).max(window_ends_ns);
        }
        for (node, informed) in informed.iter().enumerate() {
            if !informed {
                self.ignorant_until_ns[node] = self.ignorant_until_ns[node].max(window_ends_ns);
            }
        }
    }

    /// A process starts, and knows nothing of what was before it.
    pub(super) fn started_afresh(&mut self, node: usize) {
        self.ignorant_until_ns[node] = self.hidden_until_ns[node];
    }

    pub(super) fn rolled_back(&mut self, now_ns: u64) {
        self.loss_tells_until_ns = now_ns.saturating_add(2 * self.hold_max_ns);
        (self.rolled_back, self.has_rolled_back) = (true, true);
    }

    /// An operator has raised the epoch of everybody.
    pub(super) fn epoch_raised(&mut self, now_ns: u64) {
        if std::mem::take(&mut self.rolled_back) {
            self.rolled_back_until_ns = now_ns.saturating_add(self.hold_max_ns);
        }
    }
}
