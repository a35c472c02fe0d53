//! Ours and the stock client-go elector on one real API server in one run.
//!
//! Peers alternate, sample by sample, and nothing is reused from another run: figures of two runs are not comparable,
//! because machines and disks are not the same from one hour to the next. What is measured is what the guarded programs
//! did, by their own logs on one clock; what the candidates print is only waited for. A sample whose scene was not right
//! before its event is taken again and counted; one that went wrong after its event is a result.

mod candidate;
mod collector;
mod edits;
mod facts;
mod fleet;
mod options;
mod record;
mod report;
mod simulated;
mod stats;
mod steps;
mod takeovers;
mod usage;

use std::io;
use std::path::{Path, PathBuf};

use testbed::Cluster;
use testbed::build::{Go, go_program};
use testbed::server::{ADMIN, Etcd};

pub use self::options::Options;
use self::options::Part;
use self::record::Record;

/// Why a comparison cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// The command line cannot be understood.
    #[error("{argument:?} is not understood\n{}", options::USAGE)]
    Usage {
        /// The argument at fault.
        argument: String,
    },
    /// A server does not start.
    #[error(transparent)]
    Server(#[from] testbed::server::ServerError),
    /// A program of the testbed is not there.
    #[error(transparent)]
    Build(#[from] testbed::build::BuildError),
    /// A program did not do what every run needs it to do.
    #[error(transparent)]
    Overdue(#[from] testbed::process::Overdue),
    /// The log of a guarded program cannot be judged.
    #[error(transparent)]
    Log(#[from] testbed::judge::LogError),
    /// The scene of a sample was not right.
    #[error("the scene is not right: {what}")]
    Scene {
        /// What was wrong.
        what: String,
    },
    /// No right scene in so many tries.
    #[error("no sample in {tries} tries, the last: {last}")]
    Tries {
        /// How many.
        tries: u32,
        /// Why the last one was none.
        last: Box<CompareError>,
    },
    /// A file or a program of the machine.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file or program.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl CompareError {
    fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        |source| Self::Io { path, source }
    }

    fn scene(what: impl Into<String>) -> Self {
        Self::Scene { what: what.into() }
    }
}

/// What all measurements share: the server, the programs, the results.
struct Rig<'a> {
    options: &'a Options,
    cluster: Cluster,
    namespace: String,
    kubeconfig: PathBuf,
    lease: PathBuf,
    worker: PathBuf,
    elections: PathBuf,
    elector: PathBuf,
    record: Record,
}

/// Measures what the options name, keeps the raw samples, and prints the page `docs/comparison.md`.
///
/// # Errors
/// What kept it from measuring; the samples so far are kept.
pub fn run(options: &Options) -> Result<(), CompareError> {
    let rig = Rig::build(options, Record::create(&options.out)?)?;
    eprintln!("raw samples: {}", options.out.display());
    for part in options.parts() {
        eprintln!("==> {part}");
        match part {
            Part::Graceful | Part::Crash => takeovers::run(&rig, part)?,
            Part::Steps => steps::run(&rig)?,
            Part::Cpu => usage::cpu(&rig)?,
            Part::Idle => usage::idle(&rig)?,
            Part::Edits => edits::run(&rig)?,
            Part::Simulated => simulated::run(&rig)?,
            Part::Collector => collector::run(&rig)?,
        }
    }
    print!("{}", report::page(options, &facts::gather(), &rig.record.results()));
    Ok(())
}

impl<'a> Rig<'a> {
    fn build(options: &'a Options, record: Record) -> Result<Self, CompareError> {
        let own = std::env::current_exe().map_err(CompareError::io("this program"))?;
        // Built by the same command, so they lie side by side.
        let sibling = |name: &str| {
            let path = own.with_file_name(name);
            path.metadata().map_err(CompareError::io(&path)).map(|_| path)
        };
        let (lease, worker, elections) = (sibling("lease")?, sibling("worker")?, sibling("elections")?);
        let elector = go_program(Go::Elector)?;
        // As a user would have it: each write reaches the disk.
        let cluster = Cluster::on(Etcd::start()?)?;
        let namespace = cluster.namespace("compare");
        let kubeconfig = cluster.api().kubeconfig(ADMIN);
        Ok(Self { options, cluster, namespace, kubeconfig, lease, worker, elections, elector, record })
    }
}

/// The root of the workspace.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate is a folder of the workspace")
}
