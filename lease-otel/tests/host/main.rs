//! The host: what starts and stops when, in which term, and what becomes of what was read in it.
#![allow(clippy::wildcard_imports, missing_docs, unreachable_pub, reason = "a kit of tests")]

mod electors;
mod kit;
mod order;
mod own;
mod terms;
mod trouble;
