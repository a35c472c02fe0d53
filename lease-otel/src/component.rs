//! What components are made of: the traits that each kind of component implements, and the registry of all kinds.
//!
//! A factory reads a section of the configuration and gives a *configured* component, without doing anything yet, so that
//! a configuration can be checked as a whole. What is configured can be started, a receiver anew in every term.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use lease_core::Leadership;
use lease_k8s::AuthType;
use tokio_util::sync::CancellationToken;

use crate::config::{ComponentId, Fields};
use crate::data::{Batch, Signal};
use crate::elector::{Candidacy, LeaderElector};

/// Why a component did not start: one message that says what is wrong and what to do.
pub type StartError = Box<dyn std::error::Error + Send + Sync>;

/// What a kind of component is called and what it does.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// Its name in a configuration, before a `/`.
    pub name: &'static str,
    /// Other names that it has, or has had.
    pub aliases: &'static [&'static str],
    /// One line for `lease components`.
    pub summary: &'static str,
    /// The signals that it can carry; empty for an extension.
    pub signals: &'static [Signal],
}

/// Where telemetry goes: the next processor or exporter of a pipeline.
#[async_trait]
pub trait Consumer: fmt::Debug + Send + Sync {
    /// Takes the batch over, and waits while there is no room for it. Dropped while it waits, it has taken nothing over.
    async fn consume(&self, batch: Batch) -> Result<(), Refused>;

    /// Hands on what is kept back, through everything behind it, and returns when an exporter has sent it, when its endpoint does
    /// not take it, or at the deadline.
    async fn flush(&self, deadline: Instant);
}

/// A batch was not taken over, and is gone.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The term in which it was read was lost.
    #[error(transparent)]
    Lost(#[from] lease_core::Lost),
    /// There is no memory for it now.
    #[error("memory is short: {used} of {limit} bytes are used")]
    Memory {
        /// The bytes in use.
        used: u64,
        /// The bytes that may be.
        limit: u64,
    },
    /// The queue of an exporter has no room for it.
    #[error("the queue of `{exporter}` is full: it holds {size} of {capacity}")]
    Full {
        /// Whose queue it is.
        exporter: ComponentId,
        /// What it holds, in the unit of its size.
        size: u64,
        /// What it can hold.
        capacity: u64,
    },
    /// The component has been shut down.
    #[error("the pipeline has been shut down")]
    Closed,
}

/// What a receiver works with while it runs.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Its name in the configuration.
    pub id: ComponentId,
    /// Where its metrics go, if a pipeline of metrics has it; the same for the other signals.
    pub outputs: Outputs,
    /// The term that it runs in; none where it names no elector. To be checked between a read and the hand-over.
    pub leadership: Option<Leadership>,
    /// For what its elector contends, and as who; none where it names no elector, or one that does not say it.
    pub candidacy: Option<Candidacy>,
    /// Cancelled when it is to stop: the term drains or is lost, or the collector shuts down.
    pub stop: CancellationToken,
    /// Where the component counts what it does.
    pub telemetry: Arc<dyn Meter>,
}

/// Where the telemetry of a receiver goes, by signal.
#[derive(Clone, Debug, Default)]
pub struct Outputs(pub Vec<(Signal, Arc<dyn Consumer>)>);

impl Outputs {
    /// Where this signal goes; none when no pipeline of that signal has the receiver.
    pub fn of(&self, signal: Signal) -> Option<&Arc<dyn Consumer>> {
        self.0.iter().find(|(of, _)| *of == signal).map(|(_, consumer)| consumer)
    }
}

/// Where a component counts what it does.
pub trait Meter: fmt::Debug + Send + Sync {
    /// Adds to a counter of the own telemetry.
    fn add(&self, counter: &'static str, id: &ComponentId, count: u64);
    /// Sets a gauge of the own telemetry.
    fn set(&self, gauge: &'static str, id: &ComponentId, value: f64);

    /// Adds to a counter that has labels of its own. A counter has the same names of labels every time. A meter without
    /// labels counts nothing.
    fn add_labelled(&self, counter: &'static str, labels: &[Label<'_>], count: u64) {
        let _ = (counter, labels, count);
    }

    /// Sets a gauge that has labels of its own. A meter without labels shows nothing.
    fn set_labelled(&self, gauge: &'static str, labels: &[Label<'_>], value: f64) {
        let _ = (gauge, labels, value);
    }
}

/// The name of a label and its value.
pub type Label<'a> = (&'static str, &'a str);

/// The work of a receiver that has started; it ends when it has stopped, with nothing left behind.
pub type Work = BoxFuture<'static, ()>;

/// A kind of receiver.
pub trait ReceiverFactory: fmt::Debug + Send + Sync {
    /// What it is.
    fn kind(&self) -> Kind;
    /// Reads its section; what is wrong is noted in `fields`, and then what is given back is not used.
    fn configure(&self, fields: &mut Fields<'_>, registry: &Registry) -> Box<dyn Receiver>;
}

/// A receiver as configured, of which a fresh instance is started in every term.
#[async_trait]
pub trait Receiver: fmt::Debug + Send + Sync {
    /// The elector that it names: it runs only while that leads.
    fn elector(&self) -> Option<&ElectorChoice> {
        None
    }

    /// Whether it reaches the API server as a pod's service account only because its section does not say otherwise.
    fn assumes_service_account(&self) -> bool {
        false
    }

    /// How long it may take to stop by itself, where the user has said so: an elector whose lease is let go leaves it that
    /// time while it still holds the lease.
    fn stop_timeout(&self) -> Option<Duration> {
        None
    }

    /// The signals that it can carry, where that depends on its section; otherwise they are those of its kind.
    fn signals(&self) -> Option<&'static [Signal]> {
        None
    }

    /// Whether the work itself sees to it that nothing of it is left at the fence of a lost term, as one does whose processes
    /// are under guard. All other work is dropped when it has not ended soon after a loss.
    fn keeps_to_the_fence(&self) -> bool {
        false
    }

    /// Starts an instance: says why it cannot, or gives the work, which the host runs and joins.
    ///
    /// The host may drop either future at an await: when the term ends before it has started, or when it does not stop.
    async fn start(&self, scope: Scope) -> Result<Work, StartError>;
}

/// How a receiver names its elector.
#[derive(Debug)]
pub enum ElectorChoice {
    /// An extension, by its name in the configuration.
    Named(crate::config::Located<ComponentId>),
    /// One of its own, as the creators have it.
    Own(Box<dyn Extension>),
}

/// A kind of processor.
pub trait ProcessorFactory: fmt::Debug + Send + Sync {
    /// What it is.
    fn kind(&self) -> Kind;
    /// Reads its section.
    fn configure(&self, fields: &mut Fields<'_>) -> Box<dyn Processor>;
}

/// A processor as configured. Each pipeline that names it has an instance of its own.
pub trait Processor: fmt::Debug + Send + Sync {
    /// An instance in front of `next`; its task, if it has one, ends after a flush when `stop` is cancelled.
    fn start(
        &self,
        id: &ComponentId,
        next: Arc<dyn Consumer>,
        stop: CancellationToken,
        telemetry: Arc<dyn Meter>,
    ) -> (Arc<dyn Consumer>, Option<Work>);
}

/// A kind of exporter.
pub trait ExporterFactory: fmt::Debug + Send + Sync {
    /// What it is.
    fn kind(&self) -> Kind;
    /// Reads its section.
    fn configure(&self, fields: &mut Fields<'_>) -> Box<dyn Exporter>;
}

/// An exporter as configured. All pipelines that name it share one instance.
#[async_trait]
pub trait Exporter: fmt::Debug + Send + Sync {
    /// What it needs for itself alone, as it is called: another exporter that has the same is told of.
    fn claim(&self) -> Option<String> {
        None
    }

    /// The instance; its task, if it has one, ends after a flush when `stop` is cancelled. An endpoint that is down is no
    /// reason not to start.
    async fn start(
        &self,
        id: &ComponentId,
        stop: CancellationToken,
        telemetry: Arc<dyn Meter>,
    ) -> Result<(Arc<dyn Consumer>, Option<Work>), StartError>;
}

/// A kind of extension.
pub trait ExtensionFactory: fmt::Debug + Send + Sync {
    /// What it is.
    fn kind(&self) -> Kind;
    /// Reads its section.
    fn configure(&self, fields: &mut Fields<'_>) -> Box<dyn Extension>;
}

/// An extension as configured.
#[async_trait]
pub trait Extension: fmt::Debug + Send + Sync {
    /// Starts it.
    async fn start(&self, id: &ComponentId, telemetry: Arc<dyn Meter>)
    -> Result<Box<dyn RunningExtension>, StartError>;

    /// Whether it is an elector, so that receivers may name it.
    fn is_elector(&self) -> bool {
        false
    }

    /// The lease that it contends for, as it is called: another elector that has the same is told of.
    fn claim(&self) -> Option<String> {
        None
    }

    /// How an elector reaches the API server, where it does.
    fn auth_type(&self) -> Option<AuthType> {
        None
    }

    /// One of its receivers may take so long to stop: an elector holds its lease for that time when it lets it go. Called
    /// before the start, once for each receiver that has such a time.
    fn allow_stop(&mut self, stop_timeout: Duration) {
        let _ = stop_timeout;
    }
}

/// An extension that runs.
#[async_trait]
pub trait RunningExtension: fmt::Debug + Send + Sync {
    /// The elector that it is.
    fn elector(&self) -> Option<Arc<dyn LeaderElector>> {
        None
    }

    /// The pipelines are ready: data can flow. When it says why it cannot go on, the collector stops again.
    fn ready(&self) -> Result<(), StartError> {
        Ok(())
    }

    /// The collector is about to shut down.
    fn not_ready(&self) {}

    /// Stops it: an elector drains its work, and releases its lease when that has stopped.
    async fn shutdown(self: Box<Self>);
}

/// All kinds of components that a collector has.
#[derive(Debug, Default)]
pub struct Registry {
    /// By every name.
    receivers: HashMap<&'static str, Arc<dyn ReceiverFactory>>,
    processors: HashMap<&'static str, Arc<dyn ProcessorFactory>>,
    exporters: HashMap<&'static str, Arc<dyn ExporterFactory>>,
    extensions: HashMap<&'static str, Arc<dyn ExtensionFactory>>,
}

macro_rules! kinds {
    ($add:ident, $find:ident, $all:ident, $map:ident, $factory:ident) => {
        /// Adds a kind.
        #[must_use]
        pub fn $add(mut self, factory: impl $factory + 'static) -> Self {
            let factory: Arc<dyn $factory> = Arc::new(factory);
            let kind = factory.kind();
            for name in std::iter::once(&kind.name).chain(kind.aliases) {
                self.$map.insert(name, Arc::clone(&factory));
            }
            self
        }

        /// The kind of this name.
        pub fn $find(&self, name: &str) -> Option<&Arc<dyn $factory>> {
            self.$map.get(name)
        }

        /// Every kind once, by name.
        pub fn $all(&self) -> Vec<Kind> {
            let mut kinds: Vec<Kind> =
                self.$map.iter().filter(|(name, f)| **name == f.kind().name).map(|(_, f)| f.kind()).collect();
            kinds.sort_unstable_by_key(|kind| kind.name);
            kinds
        }
    };
}

impl Registry {
    kinds!(with_receiver, receiver, receivers, receivers, ReceiverFactory);
    kinds!(with_processor, processor, processors, processors, ProcessorFactory);
    kinds!(with_exporter, exporter, exporters, exporters, ExporterFactory);
    kinds!(with_extension, extension, extensions, extensions, ExtensionFactory);
}
