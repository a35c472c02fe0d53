//! What a live test asks for by one call: the cluster that all tests of a process share, the peer, the worker.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs};

use serde_json::json;

use crate::build::{self, BuildError, Go};
use crate::require;
use crate::server::{ApiServer, Etcd, ServerError};

/// An API server on an etcd of its own.
#[derive(Debug)]
pub struct Cluster {
    // The API server comes first, because fields are dropped in this order and it needs the other.
    api: ApiServer,
    etcd: Etcd,
    namespaces: AtomicU32,
}

impl Cluster {
    /// Starts a cluster for one test alone, which may stop, kill and restart its servers.
    ///
    /// # Errors
    /// Which server does not run, and why.
    pub fn start() -> Result<Self, ServerError> {
        Self::on(Etcd::start_volatile()?)
    }

    /// Starts a cluster on the given etcd, for example one that writes to its disk: [`Etcd::start`].
    ///
    /// # Errors
    /// Why the API server does not run.
    pub fn on(etcd: Etcd) -> Result<Self, ServerError> {
        let api = ApiServer::start(&etcd)?;
        Ok(Self { api, etcd, namespaces: AtomicU32::new(0) })
    }

    /// The API server.
    pub fn api(&self) -> &ApiServer {
        &self.api
    }

    /// The etcd under it.
    pub fn etcd(&self) -> &Etcd {
        &self.etcd
    }

    /// Creates a namespace for one test and returns its name: `prefix` and a number.
    ///
    /// # Panics
    /// When the server refuses it.
    #[track_caller]
    pub fn namespace(&self, prefix: &str) -> String {
        let name = format!("{prefix}-{}", self.namespaces.fetch_add(1, Ordering::Relaxed));
        self.api.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
        name
    }

    /// A cluster for one test alone, as [`Cluster::start`]; none if the servers cannot be had and are not required.
    ///
    /// # Panics
    /// With the reason, when the run requires the servers, or when they are there and do not run.
    pub fn own() -> Option<Self> {
        Self::start().inspect_err(excuse_absence).ok()
    }
}

/// The cluster that the tests of this process share, started by the first of them; none if it cannot be had and is
/// not required. It ends with the process, however that ends. Tests must leave its servers running.
///
/// # Panics
/// With the reason, when the run requires the servers, or when they are there and do not run.
pub fn cluster() -> Option<&'static Cluster> {
    static SHARED: OnceLock<Result<Cluster, ServerError>> = OnceLock::new();
    SHARED.get_or_init(Cluster::start).as_ref().inspect_err(|error| excuse_absence(error)).ok()
}

/// The path of the stock client-go elector; none if it cannot be built and is not required.
///
/// # Panics
/// With the reason, when the run requires it, or when it does not compile.
pub fn elector() -> Option<PathBuf> {
    build::go_program(Go::Elector).inspect_err(|error| excuse(&[Go::Elector.name()], error)).ok()
}

/// Leaves the test out if a server cannot be had on this machine. One that is there and does not run is a failure.
#[track_caller]
fn excuse_absence(error: &ServerError) {
    match error {
        ServerError::Build(error) => excuse(&CLUSTER, error),
        error => panic!("{error}"),
    }
}

#[track_caller]
fn excuse(servers: &[&str], error: &BuildError) {
    assert!(error.is_absence(), "{error}");
    require::left_out(servers, error);
}

/// The path of the program that tests guard, see `worker --help` for what it can do; built by the first call.
///
/// # Panics
/// When it does not compile.
pub fn worker() -> &'static Path {
    static WORKER: OnceLock<PathBuf> = OnceLock::new();
    WORKER.get_or_init(|| {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["build", "--quiet", "--locked", "--package", "testbed-worker", "--message-format=json"])
            .current_dir(&workspace)
            .output()
            .expect("a test runs where cargo does");
        assert!(output.status.success(), "the worker does not compile:\n{}", String::from_utf8_lossy(&output.stderr));
        let messages = String::from_utf8_lossy(&output.stdout);
        let messages = messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let mut executables = messages.filter_map(|message| message["executable"].as_str().map(PathBuf::from));
        let worker = executables.next_back().expect("the package has one program");
        fs::canonicalize(&worker).expect("cargo has just written it")
    })
}

const CLUSTER: [&str; 2] = ["kube-apiserver", "etcd"];
