//! The contract between a leader elector and whoever is to run only where the replica leads.

use std::fmt;

use futures_util::future::BoxFuture;
use lease_core::Leadership;

use crate::component::ElectorChoice;
use crate::config::Fields;

/// Called when a term begins. It spawns the work, each task of which keeps a clone of the leadership until it has stopped.
pub type Start = Box<dyn Fn(Leadership) -> BoxFuture<'static, ()> + Send + Sync>;

/// Called when the term drains or is lost. It returns when its part of the work has stopped.
pub type Stop = Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// For what a replica contends, and as who.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidacy {
    /// The name of the lease, without its namespace.
    pub lease: String,
    /// What the record of the lease has as its holder while this replica leads.
    pub identity: String,
}

/// Who calls back when this replica becomes the leader, and when it is no more.
///
/// Any number of pairs may be registered, and stay so: each is started in every term, in the order of their registration,
/// with the one [`Leadership`] of that term. A pair that is registered while this replica leads is started at once. `stop`
/// is called exactly once for each `start` that was called, and for none that was not.
pub trait LeaderElector: fmt::Debug + Send + Sync {
    /// Registers a pair of callbacks.
    fn set_callbacks(&self, start: Start, stop: Stop);

    /// For what this replica contends, and as who, where that is known.
    fn candidacy(&self) -> Option<Candidacy> {
        None
    }
}

/// The elector that a receiver names, under any of the [keys](ELECTOR_KEYS) for it; none where it has none of them.
pub fn chosen(fields: &mut Fields<'_>) -> Option<ElectorChoice> {
    // One without a value is told of where it is known which electors there are.
    let named = |key| if fields.is_blank(key) { fields.node(key).and(None) } else { Some((key, fields.parsed(key)?)) };
    let mut found: Vec<_> = ELECTOR_KEYS.into_iter().filter_map(named).collect();
    if let [(first, _), (second, _), ..] = found.as_slice() {
        let (first, second) = (*first, *second);
        fields.error(second, format_args!("`{first}` names the elector already; keep one of the two"));
    }
    (!found.is_empty()).then(|| ElectorChoice::Named(found.swap_remove(0).1))
}

/// The keys by which a receiver names its elector: the one of today, and those that it has had.
pub const ELECTOR_KEYS: [&str; 3] = ["k8s_leader_elector", "leader_elector", "leaderelector"];
