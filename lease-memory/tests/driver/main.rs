//! The driver of an election, on a lock in memory and in the virtual time of tokio.
//!
//! These tests are here because the core must not depend on any backend. Nothing sleeps for luck: time
//! moves when every task waits, and what has to happen is awaited.
#![allow(clippy::unwrap_used, clippy::unchecked_time_subtraction, reason = "a panic is how these tests fail")]

mod callbacks;
mod checks;
mod endings;
mod fleet;
mod status;
mod support;
mod terms;
