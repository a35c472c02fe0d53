//! The configuration: where it comes from, what it says, and everything that is wrong with it, told at once.

mod components;
mod connect;
mod doubts;
mod expand;
mod fields;
mod id;
mod load;
mod merge;
mod named;
mod parse;
mod pipelines;
mod print;
mod problems;
mod service;
mod source;
mod telemetry;
mod tree;

pub(crate) use self::components::unknown_kind;
pub use self::fields::Fields;
pub use self::id::{ComponentId, InvalidId};
pub use self::load::{Resolved, load, resolve};
pub use self::named::{Named, Thing};
pub use self::parse::{TEXT_MAX, parse};
pub use self::pipelines::InvalidPipelineId;
pub use self::print::{Mode, Printed};
pub use self::problems::{Problem, Problems};
pub use self::service::{Collector, Loaded, MetricsEndpoint, PeriodicExport, Pipeline, PipelineId, Telemetry};
pub use self::source::{Environment, InvalidSource, Source};
pub use self::tree::{Key, Located, Node, Place, Value};
