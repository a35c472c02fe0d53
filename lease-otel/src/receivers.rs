//! The receivers that need no cluster, and those that wrap another one.

mod creator;
mod dummy;
pub mod exec;

pub use self::creator::CreatorFactory;
pub use self::dummy::DummyFactory;
