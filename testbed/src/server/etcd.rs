//! A single etcd.

use crate::build::Go;
use crate::http::Client;
use crate::process::Signal;

use super::{Server, ServerError, ready_answer};

/// A running etcd of one member, without authentication.
#[derive(Debug)]
pub struct Etcd {
    server: Server,
    port: u16,
}

impl Etcd {
    /// Starts an etcd as a user would have it: each write reaches the disk before it is acknowledged.
    ///
    /// # Errors
    /// Why it does not run, with the end of its log.
    pub fn start() -> Result<Self, ServerError> {
        Self::start_with(&[])
    }

    /// Starts an etcd that leaves it to the system when to write to the disk. A kill loses nothing, only a crash of
    /// the machine would, and tests that run at once do not wait for each other's disk.
    ///
    /// # Errors
    /// Why it does not run, with the end of its log.
    pub fn start_volatile() -> Result<Self, ServerError> {
        Self::start_with(&["--unsafe-no-fsync"])
    }

    fn start_with(extra: &[&str]) -> Result<Self, ServerError> {
        let mut server = Server::new(Go::Etcd)?;
        let data = server.dir().join("data").display().to_string();
        let args = |[port, peer]: [u16; 2]| {
            let (client, peer) = (url(port), url(peer));
            let own = [
                format!("--data-dir={data}"),
                format!("--listen-client-urls={client}"),
                format!("--advertise-client-urls={client}"),
                format!("--listen-peer-urls={peer}"),
                format!("--initial-advertise-peer-urls={peer}"),
                format!("--initial-cluster=default={peer}"),
                "--log-level=warn".to_owned(),
            ];
            own.into_iter().chain(extra.iter().map(|&arg| arg.to_owned())).collect()
        };
        let [port, _] = server.start(args, |[port, _]| ready(port))?;
        Ok(Self { server, port })
    }

    /// Where clients connect, such as `http://127.0.0.1:2379`.
    pub fn url(&self) -> String {
        url(self.port)
    }

    /// The id of its process; none after [`Etcd::kill`].
    pub fn id(&self) -> Option<u32> {
        self.server.id()
    }

    /// Stops it where it is (SIGSTOP): connections stay open, and nothing is answered.
    ///
    /// # Panics
    /// When it was killed before, or does not stop.
    pub fn stop(&self) {
        self.server.stop();
    }

    /// Lets it run on (SIGCONT).
    pub fn resume(&self) {
        self.server.signal(Signal::CONT);
    }

    /// Kills it (SIGKILL). Its port and data wait for [`Etcd::restart`].
    pub fn kill(&self) {
        self.server.kill();
    }

    /// Starts it again on the same port and data, and waits until it answers. One that still runs is killed first.
    ///
    /// # Errors
    /// Why it does not run, with the end of its log.
    pub fn restart(&self) -> Result<(), ServerError> {
        self.server.restart(&|| ready(self.port))
    }
}

fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

fn ready(port: u16) -> Result<(), String> {
    let client = Client::new(&url(port), None).map_err(|error| error.to_string())?;
    ready_answer(client.request("GET", "/readyz", None, None))
}
