//! The configuration: where it comes from, what it says, and everything that is wrong with it, told at once.

mod fields;
mod id;
mod problems;
mod service;
mod tree;

pub use self::fields::Fields;
pub use self::id::{ComponentId, InvalidId};
pub use self::problems::{Problem, Problems};
pub use self::service::{Collector, Loaded, MetricsEndpoint, Pipeline, PipelineId, Telemetry};
pub use self::tree::{Key, Located, Node, Place, Value};
