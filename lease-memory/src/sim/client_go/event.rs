//! What goes into the client-go-rule peer and what comes out of it: plain data, after the model of the elector's.

use std::time::Duration;

use arrayvec::ArrayVec;
use lease_core::{HolderIdentity, LockErrorKind, Op, Timestamp, Versioned};

use super::{JITTER_FACTOR, scaled};

/// The durations of an elector, with the names that they have here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Durations {
    /// `LeaseDuration`. Only its whole seconds get into the record, and only the record's are ever waited for.
    pub lease: Duration,
    /// `RenewDeadline`: how long a renewal is tried for, counted from its first try.
    pub renew: Duration,
    /// `RetryPeriod`: from the reply of a renewal to the next renewal, and between tries.
    pub retry: Duration,
    /// After how long the client gives a request up: the `Timeout` of its `rest.Config`.
    pub request: Duration,
}

impl Durations {
    /// These, with the request timeout of `resourcelock.NewFromKubeconfig`: half the renew deadline, at least 1 s.
    pub fn new(lease: Duration, renew: Duration, retry: Duration) -> Self {
        Self { lease, renew, retry, request: (renew / 2).max(Duration::from_secs(1)) }
    }

    /// Whether `NewLeaderElector` takes them.
    pub fn are_accepted(&self) -> bool {
        self.lease > self.renew && self.renew > scaled(self.retry, JITTER_FACTOR) && self.retry > Duration::ZERO
    }
}

/// What the machine is told about time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeerNow {
    /// Go's monotonic clock, which decides everything, in nanoseconds. It stands still while the machine is suspended.
    pub monotonic_ns: u64,
    /// The wall clock, which is written into records.
    pub wall: Timestamp,
}

/// Something that happened to the elector.
#[derive(Clone, Debug)]
pub enum PeerEvent {
    /// `Run` is called with a new context. Also again after it returned: what was observed is kept, as in Go.
    Run,
    /// The time that the last step asked to be woken at has come.
    Wake,
    /// A request was answered. One that was given up is nobody's any more, and does nothing.
    Completed {
        /// Which request.
        request: u64,
        /// The object after it; none when a read found none.
        result: Result<Option<Versioned>, LockErrorKind>,
    },
    /// The context of `Run` is cancelled.
    Cancel,
}

/// What is to be done after a step.
#[derive(Clone, Debug, Default)]
#[must_use = "a step that is not carried out stalls the elector"]
pub struct PeerActions {
    /// A request to send.
    pub request: Option<PeerRequest>,
    /// Whether the request before is given up. It may have its effect all the same.
    pub abandon: bool,
    /// What is called back, in this order. client-go starts a goroutine for each but `Stopped`.
    pub notices: ArrayVec<PeerNotice, NOTICES_MAX>,
    /// When to send [`PeerEvent::Wake`] unless another event comes first; none while nothing is due by itself.
    pub wake_in: Option<Duration>,
}

/// The most that one step has to say.
pub const NOTICES_MAX: usize = 8;

/// A request to the lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerRequest {
    /// To be named in its [`PeerEvent::Completed`]. Requests are numbered from 1.
    pub id: u64,
    /// The call.
    pub op: Op,
    /// After how long it is given up.
    pub timeout: Duration,
}

/// What an application learns of its elector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerNotice {
    /// `OnNewLeader`; none is the empty name.
    NewLeader(Option<HolderIdentity>),
    /// `OnStartedLeading`: the work runs.
    Started,
    /// The context of the work is cancelled.
    Cancelled,
    /// `OnStoppedLeading`, also when nothing was started.
    Stopped,
    /// `Run` has returned.
    Ended,
}
