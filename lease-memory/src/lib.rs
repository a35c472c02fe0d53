//! A lock in memory for [`lease`](https://docs.rs/lease-core): tests, embedding and deterministic simulation.
//!
//! A [`MemoryStore`] keeps any number of leases by name; a [`MemoryLock`] is one client's handle on one of
//! them. It is a full citizen among the backends and passes the whole conformance suite: versions,
//! revisions good for fencing tokens, a watch, deletion. What is stored behaves as on a Kubernetes API server:
//!
//! * one counter of revisions for all leases of the store, which a deletion does not reset;
//! * each object has an identity of its own, so that a deleted lease and its successor of the same name
//!   are never mistaken for each other;
//! * an update that changes nothing leaves the version alone;
//! * labels that are not ours are part of the object and survive updates.
//!
//! There is no clock in here, no thread and no runtime: a request is answered when its future is first
//! polled, unless a test has asked for something else. So whatever is built on top stays deterministic.
//!
//! # What a test can do to it
//!
//! Faults are scripted **for a handle**, so that one candidate can be cut off while another is not; a
//! clone of a handle shares its script, and is what a test keeps.
//!
//! | what happens | how |
//! |---|---|
//! | refused before it is applied | [`script`](MemoryLock::script) with [`Outcome::unavailable`] |
//! | applied, and the reply is lost | [`Outcome::LoseReply`] |
//! | the request itself is lost, and nobody can tell | [`Outcome::LoseRequest`] |
//! | an operator must act | [`Outcome::denied`] |
//! | the record cannot be read | [`Outcome::Malformed`] once, or [`MemoryStore::corrupt`] |
//! | any other failure | [`Outcome::Fail`] |
//! | no answer, ever | [`Outcome::Hang`] |
//! | slow, late, replayed | [`hold`](MemoryLock::hold), then [`Held::apply`], [`Held::answer`], [`Held::lose_reply`] |
//! | a partition | [`always`](MemoryLock::always), until [`heal`](MemoryLock::heal) |
//!
//! What operators and other programs do is done **to the store**: [`edit`](MemoryStore::edit),
//! [`edit_labels`](MemoryStore::edit_labels), [`delete`](MemoryStore::delete), [`put`](MemoryStore::put),
//! [`restore`](MemoryStore::restore) of an older [`Snapshot`], and [`set_watches`](MemoryStore::set_watches)
//! for watches that break or fall silent.
//!
//! # Example
//!
//! A write that arrives after its sender gave up on it, and finds that the record has moved on:
//!
//! ```
//! use lease_core::{LeaseRecord, LockErrorKind, ResourceLock};
//! use lease_memory::{MemoryStore, Requests};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let store = MemoryStore::new();
//! let (lock, rival) = (store.lock("jobs"), store.lock("jobs"));
//! let first = lock.create(&LeaseRecord::default()).await?;
//!
//! let held = lock.hold(Requests::Writes);
//! let renewal = LeaseRecord { transitions: 1, ..first.record.clone() };
//! let sender = tokio::spawn({
//!     let (lock, first) = (lock.clone(), first.clone());
//!     async move { lock.update(&first, &renewal).await }
//! });
//! held.arrived().await;
//! sender.abort();
//!
//! let takeover = LeaseRecord { transitions: 2, ..LeaseRecord::default() };
//! rival.update(&first, &takeover).await?;
//! assert_eq!(held.apply().unwrap_err().kind(), LockErrorKind::Conflict);
//! assert_eq!(store.read("jobs").expect("still there").record, takeover);
//! # Ok::<(), lease_core::LockError>(())
//! # }).unwrap();
//! ```

mod lock;
mod script;
#[cfg(feature = "sim")]
pub mod sim;
mod store;
mod watch;

pub use lock::{MemoryLock, RequestCounts};
pub use script::{Held, Outcome, Requests};
pub use store::{MemoryStore, Snapshot};
pub use watch::Watches;
