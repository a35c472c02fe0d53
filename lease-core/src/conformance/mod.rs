//! The contract of [`ResourceLock`] as tests: one property, one test, its name the sentence that it holds.
//!
//! A backend's author writes a [`Harness`] of about twenty lines and lists what the backend is able to do:
//!
//! ```
//! use lease_core::{ResourceLock, conformance::Harness};
//!
//! struct MyServer;
//!
//! impl Harness for MyServer {
//!     type Lock = Box<dyn ResourceLock>;
//!     type Guard = ();
//!
//!     async fn fresh(&self) -> Option<((), Self::Lock, Self::Lock)> {
//!         eprintln!("skipped: the environment names no server");
//!         None
//!     }
//! }
//!
//! lease_core::conformance_tests!(MyServer, [base]);
//! ```
//!
//! Every name in the list expands to one `#[test]` for each of its properties. What a backend cannot do it
//! does not list, and the tests do not exist: none of them passes by doing nothing. The one exception is
//! said aloud by the harness: [`Harness::fresh`] gives none when the server that it needs is not there.
//!
//! | ability | asks of the harness | asks of the lock |
//! |---|---|---|
//! | `base` | [`Harness`] | [`ResourceLock`] |
//! | `delete` | [`DeleteHarness`] | |
//! | `tokens` | [`DeleteHarness`] | an ordered [`revision`](crate::Versioned::revision) |
//! | `watch` | [`DeleteHarness`] | [`WatchLock`](crate::WatchLock) |
//! | `lost_reply` | [`LostReplyHarness`] | |
//! | `foreign_fields` | [`ForeignFieldsHarness`] | |
//! | `malformed` | [`MalformedHarness`] | |
//!
//! The properties build on reads rather than on the answers of earlier writes wherever the answer is not
//! what they are about, so that a lock that breaks one promise fails one test. That each of them does fail
//! is shown in the tests of `lease-memory`, by locks broken in just that way.

use std::fmt::{self, Debug};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::lock::{LockError, ResourceLock};

mod deletion;
mod faults;
mod foreign;
mod races;
mod records;
mod support;
mod tokens;
mod watching;
mod writes;

pub use deletion::*;
pub use faults::*;
pub use foreign::*;
pub use races::*;
pub use records::*;
pub use tokens::*;
pub use watching::*;
pub use writes::*;

/// Makes fresh leases for the suite.
pub trait Harness {
    /// The lock under test.
    type Lock: ResourceLock + 'static;
    /// What keeps the fresh lease and cleans up after it when it is dropped.
    type Guard;

    /// Two handles on one lease that does not exist yet and that nobody else uses, each a client of its own.
    ///
    /// None when there is nothing to test on (no server); the harness has then said so, or has failed the
    /// test itself where a server is required.
    fn fresh(&self) -> impl Future<Output = Option<(Self::Guard, Self::Lock, Self::Lock)>>;

    /// The runtime that a property runs on. Default: two worker threads, with time and IO.
    fn runtime(&self) -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("the operating system gives threads to a test")
    }

    /// How long a single event or answer may take. Only a failing test takes that long. Default 30 s.
    fn patience(&self) -> Duration {
        Duration::from_secs(30)
    }

    /// How many rounds the races have. Fewer make a slow server bearable, more find rarer races. Default 20.
    fn round_count(&self) -> u32 {
        20
    }
}

/// A harness that can delete the lease past the locks.
pub trait DeleteHarness: Harness {
    /// Deletes the lease; it exists.
    fn delete(&self, guard: &Self::Guard) -> impl Future<Output = ()>;
}

/// A harness that can lose a reply on its way.
pub trait LostReplyHarness: Harness {
    /// The next write of the first handle reaches the store, and its reply does not reach the handle.
    fn lose_next_reply(&self, guard: &Self::Guard) -> impl Future<Output = ()>;
}

/// A harness that can write what does not belong to the record, as other programs do.
pub trait ForeignFieldsHarness: Harness {
    /// The foreign fields, as far as the harness looks at them.
    type Foreign: PartialEq + Debug;

    /// Adds some to the lease, other ones at each call, and says what is there now; the lease exists.
    fn plant(&self, guard: &Self::Guard) -> impl Future<Output = Self::Foreign>;

    /// What is there now.
    fn foreign(&self, guard: &Self::Guard) -> impl Future<Output = Self::Foreign>;
}

/// A harness that can store a record which no lock understands.
pub trait MalformedHarness: Harness {
    /// Overwrites the record with something that cannot be understood; the lease exists.
    fn corrupt(&self, guard: &Self::Guard) -> impl Future<Output = ()>;
}

/// One fresh lease and the two handles on it.
pub struct Lease<H: Harness> {
    /// The first handle.
    pub one: Arc<H::Lock>,
    /// The second handle.
    pub two: Arc<H::Lock>,
    /// Cleans up; dropped after the handles.
    pub guard: H::Guard,
}

/// What a lock did that its contract forbids.
#[derive(Clone, PartialEq, Eq)]
pub struct Violation(Box<str>);

impl Violation {
    /// What was seen, as a sentence.
    pub fn new(what: impl Into<Box<str>>) -> Self {
        Self(what.into())
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Debug for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A request that had to succeed did not.
impl From<LockError> for Violation {
    fn from(error: LockError) -> Self {
        Self::new(format!("a request failed as {}: {error}", error.kind()))
    }
}

/// The result of one property.
pub type Checked = Result<(), Violation>;

/// How a check that found no violation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The property holds.
    Holds,
    /// The harness had no lease to test on, and has said why.
    Skipped,
}

/// Checks one property on a fresh lease and a fresh runtime.
pub fn check<H: Harness>(
    harness: &H,
    property: impl AsyncFnOnce(&H, &Lease<H>) -> Checked,
) -> Result<Verdict, Violation> {
    // A property waits for several events; a lock that hangs altogether must still end the test.
    let limit = harness.patience() * 10;
    harness.runtime().block_on(async {
        let Some(lease) = fresh(harness).await else { return Ok(Verdict::Skipped) };
        match tokio::time::timeout(limit, property(harness, &lease)).await {
            Ok(checked) => checked.map(|()| Verdict::Holds),
            Err(_) => Err(Violation::new(format!("not done within {limit:?}"))),
        }
    })
}

/// Fails the test, with the sentence of the property and what was seen instead, when the property is violated.
pub fn assert_holds<H: Harness>(harness: &H, name: &str, property: impl AsyncFnOnce(&H, &Lease<H>) -> Checked) {
    if let Err(violation) = check(harness, property) {
        panic!("not so: {}: {violation}", name.replace('_', " "));
    }
}

async fn fresh<H: Harness>(harness: &H) -> Option<Lease<H>> {
    let (guard, one, two) = harness.fresh().await?;
    Some(Lease { one: Arc::new(one), two: Arc::new(two), guard })
}

/// Every property, by the ability that it belongs to.
///
/// `lease-core/conformance-properties.txt` has the same names, sorted, so that CI can tell when one disappears.
pub const PROPERTIES: &[(&str, &[&str])] = &[
    ("base", crate::conformance_tests! { @ability base names () }),
    ("delete", crate::conformance_tests! { @ability delete names () }),
    ("tokens", crate::conformance_tests! { @ability tokens names () }),
    ("watch", crate::conformance_tests! { @ability watch names () }),
    ("lost_reply", crate::conformance_tests! { @ability lost_reply names () }),
    ("foreign_fields", crate::conformance_tests! { @ability foreign_fields names () }),
    ("malformed", crate::conformance_tests! { @ability malformed names () }),
];

/// One `#[test]` for each property of each ability that is listed: see [`crate::conformance`].
///
/// The harness is an expression, evaluated once for each test.
#[macro_export]
macro_rules! conformance_tests {
    (@ability base $then:ident $with:tt) => {
        $crate::conformance_tests! { @$then $with [
            an_absent_lease_reads_as_none
            a_created_record_is_read_back
            a_second_create_conflicts_and_changes_nothing
            an_update_at_the_current_version_wins
            a_stale_version_conflicts_and_changes_nothing
            a_renewal_always_changes_the_version
            of_five_racers_one_wins_each_round
            a_counter_by_compare_and_swap_loses_nothing
            identities_round_trip
            sub_second_durations_round_trip_or_are_refused
            every_field_of_a_record_round_trips
            a_released_record_has_no_holder
            renew_times_a_tick_apart_round_trip
            a_dropped_future_leaves_the_handle_usable
        ] }
    };
    (@ability delete $then:ident $with:tt) => {
        $crate::conformance_tests! { @$then $with [
            an_update_of_a_deleted_lease_writes_nothing
            a_stale_handle_changes_nothing_in_a_re_created_lease
            of_five_creators_one_wins_each_round
        ] }
    };
    (@ability tokens $then:ident $with:tt) => {
        $crate::conformance_tests! { @$then $with [
            revisions_rise_with_every_renewal
            revisions_rise_from_holder_to_holder
            revisions_rise_over_deletion_and_re_creation
            a_read_shows_the_revision_of_the_write_that_made_the_version
        ] }
    };
    (@ability watch $then:ident $with:tt) => {
        $crate::conformance_tests! { @$then $with [
            a_starting_watch_tells_the_present_state
            a_watch_tells_every_change_or_that_it_lost_some
            a_watch_tells_a_deletion
        ] }
    };
    (@ability lost_reply $then:ident $with:tt) => {
        $crate::conformance_tests! { @$then $with [
            a_lost_reply_to_a_create_is_unknown_and_a_read_finds_the_write
            a_lost_reply_to_an_update_is_unknown_and_a_read_finds_the_write
        ] }
    };
    (@ability foreign_fields $then:ident $with:tt) => {
        $crate::conformance_tests! { @$then $with [
            foreign_fields_survive_updates
            a_write_that_missed_a_foreign_change_does_not_undo_it
        ] }
    };
    (@ability malformed $then:ident $with:tt) => {
        $crate::conformance_tests! { @$then $with [
            an_unreadable_record_is_malformed_and_can_be_replaced
        ] }
    };
    (@names () [$($name:ident)*]) => { &[$(stringify!($name)),*] };
    (@tests ($harness:expr) [$($name:ident)*]) => { $(
        #[test]
        fn $name() {
            $crate::conformance::assert_holds(&$harness, stringify!($name), $crate::conformance::$name);
        }
    )* };
    (@checks ($harness:expr, $results:ident) [$($name:ident)*]) => { $(
        $results.push((stringify!($name), $crate::conformance::check(&$harness, $crate::conformance::$name)));
    )* };
    ($harness:expr, [$($ability:ident),* $(,)?]) => {
        $( $crate::conformance_tests! { @ability $ability tests ($harness) } )*
    };
}

/// Checks every property of the abilities that are listed, and gives each name with its result instead of
/// failing: for tests of the suite itself.
#[macro_export]
macro_rules! conformance_checks {
    ($harness:expr, [$($ability:ident),* $(,)?]) => {{
        let mut results = ::std::vec::Vec::new();
        $( $crate::conformance_tests! { @ability $ability checks ($harness, results) } )*
        results
    }};
}

#[cfg(test)]
mod tests {
    use super::PROPERTIES;

    #[test]
    fn the_list_of_properties_is_that_of_the_suite() {
        let mut names: Vec<&str> = PROPERTIES.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        names.sort_unstable();
        let listed: Vec<&str> = include_str!("../../conformance-properties.txt").lines().collect();
        assert_eq!(names, listed, "conformance-properties.txt names every property, sorted");
    }
}
