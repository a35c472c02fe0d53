//! The program `lease`, as a library for its own main and its own tests; it promises no API.

mod advise;
mod backend;
pub mod child;
mod cli;
mod clock;
mod collector;
mod config;
mod delete;
mod duration;
mod exit;
mod files;
mod get;
pub mod inbox;
mod logging;
pub mod picture;
mod plot;
mod recording;
mod run;
mod show;
mod signals;
mod simulate;
mod watch;

pub use cli::main;
