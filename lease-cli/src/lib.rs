//! The program `lease`, as a library for its own main and its own tests; it promises no API.

pub mod child;
pub mod inbox;
mod signals;
