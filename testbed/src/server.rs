//! Real servers on free ports of the loopback interface, each with a temporary directory of its own.
//!
//! A server ends when it is dropped, and also when this process is killed: it holds the other end of its standard
//! input, and removes its directory when that ends. It can be stopped and continued, killed, and started again on the
//! same port with the same data. A failed start says why, with the end of the server's log.

mod apiserver;
mod etcd;

use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub use apiserver::{ADMIN, ApiServer, USERS};
pub use etcd::Etcd;

use crate::build::{BuildError, Go};
use crate::http::NoAnswer;
use crate::process::{Signal, is_stopped, signal_process, wait_until};
use crate::{boottime_ns, build};

/// Why a server does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Its program is not there.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Its files cannot be written or its program cannot be started.
    #[error("{server} cannot be started: {path}: {source}", path = path.display())]
    Io {
        /// The server.
        server: Go,
        /// The file at fault.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It ended by itself.
    #[error("{server} ended with {status}; the end of its log:\n{log}")]
    Ended {
        /// The server.
        server: Go,
        /// How it ended.
        status: std::process::ExitStatus,
        /// The last lines of its log.
        log: String,
    },
    /// It runs and does not answer.
    #[error("{server} was not ready within {within:?}: {last}; the end of its log:\n{log}")]
    NotReady {
        /// The server.
        server: Go,
        /// How long it was given.
        within: Duration,
        /// The last answer.
        last: String,
        /// The last lines of its log.
        log: String,
    },
    /// No port was free in all tries.
    #[error("{server} found no free port in {tries} tries")]
    NoPort {
        /// The server.
        server: Go,
        /// How many ports were tried.
        tries: usize,
    },
}

/// A server program with its directory and its process, if it runs.
#[derive(Debug)]
pub(crate) struct Server {
    program: Go,
    binary: PathBuf,
    args: Vec<String>,
    child: Mutex<Option<Child>>,
    dir: TempDir,
}

/// How a look at a starting server ended.
type Look = Result<(), String>;

impl Server {
    /// A server that does not run yet, with an empty directory.
    pub(crate) fn new(server: Go) -> Result<Self, ServerError> {
        let binary = build::go_program(server)?;
        let dir = tempfile::Builder::new().prefix(&format!("lease-testbed-{server}-")).tempdir();
        let dir = dir.map_err(|source| ServerError::Io { server, path: std::env::temp_dir(), source })?;
        Ok(Self { program: server, binary, args: Vec::new(), child: Mutex::new(None), dir })
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn write(&self, name: &str, content: &str) -> Result<PathBuf, ServerError> {
        let path = self.dir().join(name);
        fs::write(&path, content).map_err(|source| self.io_error(&path, source))?;
        Ok(path)
    }

    /// Starts the server with the arguments that `args` makes of `N` free ports, again with others on a collision.
    pub(crate) fn start<const N: usize>(
        &mut self,
        args: impl Fn([u16; N]) -> Vec<String>,
        ready: impl Fn([u16; N]) -> Look,
    ) -> Result<[u16; N], ServerError> {
        for _ in 0..PORT_TRIES_MAX {
            let mut ports = [0; N];
            for port in &mut ports {
                *port = free_port().ok_or(ServerError::NoPort { server: self.program, tries: PORT_TRIES_MAX })?;
            }
            self.args = args(ports);
            match self.launch(&|| ready(ports)) {
                Err(ServerError::Ended { log, .. }) if log.contains(PORT_IS_TAKEN) => {}
                started => return started.map(|()| ports),
            }
        }
        Err(ServerError::NoPort { server: self.program, tries: PORT_TRIES_MAX })
    }

    /// Starts it again on the same port and data, after a kill if it still runs.
    pub(crate) fn restart(&self, ready: &dyn Fn() -> Look) -> Result<(), ServerError> {
        self.kill();
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            match self.launch(ready) {
                // Somebody may hold the port for a moment; it was ours, so it will be free again.
                Err(ServerError::Ended { log, .. }) if log.contains(PORT_IS_TAKEN) && Instant::now() < deadline => {}
                started => return started,
            }
        }
    }

    fn launch(&self, ready: &dyn Fn() -> Look) -> Result<(), ServerError> {
        let log_path = self.dir().join("log");
        // A fresh log for each start, so that the end of an earlier run does not explain this one.
        let log = File::create(&log_path).map_err(|source| self.io_error(&log_path, source))?;
        let also = log.try_clone().map_err(|source| self.io_error(&log_path, source))?;
        let child = Command::new(&self.binary)
            .args(&self.args)
            .env("TESTBED_EXIT_ON_STDIN_EOF", "1")
            .env("TESTBED_REMOVE_AT_EOF", self.dir())
            // Proxies of the environment are for the way out, and everything here is on the loopback.
            .env("NO_PROXY", "*")
            .current_dir(self.dir())
            .stdin(Stdio::piped())
            .stdout(log)
            .stderr(also)
            .process_group(0)
            .spawn()
            .map_err(|source| self.io_error(&self.binary, source))?;
        *self.lock() = Some(child);
        let started = self.wait_until_ready(ready);
        if started.is_err() {
            self.kill();
        }
        started
    }

    fn wait_until_ready(&self, ready: &dyn Fn() -> Look) -> Result<(), ServerError> {
        let mut last = "no answer yet".to_owned();
        let mut ended = None;
        let is_ready = wait_until(READY_WITHIN, || {
            ended = self.lock().as_mut().and_then(|child| child.try_wait().ok().flatten());
            if ended.is_some() {
                return true;
            }
            match ready() {
                Ok(()) => true,
                Err(reason) => {
                    last = reason;
                    false
                }
            }
        });
        let server = self.program;
        match ended {
            Some(status) => Err(ServerError::Ended { server, status, log: self.log_tail() }),
            None if is_ready => Ok(()),
            None => Err(ServerError::NotReady { server, within: READY_WITHIN, last, log: self.log_tail() }),
        }
    }

    /// Stops it and returns when all of it stands still.
    pub(crate) fn stop(&self) {
        self.signal(Signal::STOP);
        let id = self.id().expect("it was signalled a line above");
        assert!(wait_until(STOPPED_WITHIN, || is_stopped(id)), "{} does not stop", self.program);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let child = self.lock();
        let child = child.as_ref().expect("a test signals a server that it has not killed");
        signal_process(child.id(), signal).expect("a child that was not waited for can be signalled");
    }

    pub(crate) fn id(&self) -> Option<u32> {
        self.lock().as_ref().map(Child::id)
    }

    pub(crate) fn kill(&self) {
        if let Some(mut child) = self.lock().take() {
            // The pipe of its standard input is closed after the kill, or it would remove its data.
            let stdin = child.stdin.take();
            let _ = child.kill();
            let _ = child.wait();
            drop(stdin);
        }
    }

    pub(crate) fn log_tail(&self) -> String {
        let log = fs::read(self.dir().join("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
    }

    fn lock(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn io_error(&self, path: &Path, source: io::Error) -> ServerError {
        ServerError::Io { server: self.program, path: path.to_owned(), source }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether an answer of `/readyz` says yes.
fn ready_answer(answer: Result<crate::http::Answer, NoAnswer>) -> Look {
    match answer {
        Ok(answer) if answer.status == 200 => Ok(()),
        Ok(answer) => Err(format!("/readyz answered {}", answer.status)),
        Err(error) => Err(error.to_string()),
    }
}

/// A port that nobody listens on, outside the range from which the system draws the ports of outgoing connections:
/// a server that is killed finds its port free when it starts again.
fn free_port() -> Option<u16> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    (0..PORT_TRIES_MAX).find_map(|_| {
        let seed = boottime_ns() ^ (u64::from(std::process::id()) << 32) ^ COUNT.fetch_add(1, Ordering::Relaxed);
        let mixed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        let port = u16::try_from(PORT_MIN + mixed % PORT_COUNT).expect("both constants are below 32,768");
        TcpListener::bind(("127.0.0.1", port)).is_ok().then_some(port)
    })
}

const PORT_MIN: u64 = 11_000;
const PORT_COUNT: u64 = 20_000;
const PORT_TRIES_MAX: usize = 20;
const PORT_IS_TAKEN: &str = "address already in use";
const READY_WITHIN: Duration = Duration::from_secs(90);
const STOPPED_WITHIN: Duration = Duration::from_secs(10);
const LOG_TAIL_LINES: usize = 30;
