//! One supervisor of a test, with what it says and what its actors do.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use tempfile::TempDir;

use crate::roles::{ROLE, Script};

/// How a namespace of processes is made here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Namespace {
    /// Within one of users, in which anybody is root.
    of_user: bool,
}

impl Namespace {
    /// None where nobody may make one.
    pub(crate) fn possible() -> Option<Self> {
        [false, true].map(|of_user| Self { of_user }).into_iter().find(|namespace| {
            let status = namespace.unshare().arg("true").stderr(Stdio::null()).status();
            status.is_ok_and(|status| status.success())
        })
    }

    /// What runs a program as PID 1 of a new one, and kills it when it is killed itself.
    fn unshare(self) -> Command {
        let mut unshare = Command::new("unshare");
        if self.of_user {
            unshare.args(["--user", "--map-root-user"]);
        }
        unshare.args(["--pid", "--fork", "--mount-proc", "--kill-child"]);
        unshare
    }
}

/// A supervisor that runs a command under a scripted term.
pub(crate) struct World {
    pub(crate) supervisor: Child,
    directory: TempDir,
    lines: Receiver<String>,
    heard: Vec<String>,
}

impl World {
    /// A supervisor whose command is an actor of this kind.
    pub(crate) fn with_actor(script: Script, kind: &str) -> Self {
        let directory = TempDir::new().expect("a directory");
        let path = directory.path().to_str().expect("text").to_owned();
        Self::start(script, directory, &["/proc/self/exe", &path, kind], Stdio::null())
    }

    /// A supervisor whose command is a shell script. `$DIR` is a directory for it.
    pub(crate) fn with_shell(script: Script, text: &str) -> Self {
        Self::with_command(script, &["sh", "-c", text])
    }

    pub(crate) fn with_command(script: Script, command: &[&str]) -> Self {
        Self::start(script, TempDir::new().expect("a directory"), command, Stdio::piped())
    }

    /// The same in a terminal, whose keyboard is returned.
    pub(crate) fn with_shell_in_terminal(script: Script, text: &str) -> (Self, File) {
        Self::in_terminal(script, TempDir::new().expect("a directory"), &["sh", "-c", text])
    }

    /// An actor in a terminal, whose keyboard is returned.
    pub(crate) fn with_actor_in_terminal(script: Script, kind: &str) -> (Self, File) {
        let directory = TempDir::new().expect("a directory");
        let path = directory.path().to_str().expect("text").to_owned();
        Self::in_terminal(script, directory, &["/proc/self/exe", &path, kind])
    }

    /// A supervisor that is PID 1 of a namespace of its own, whose command is a shell script.
    pub(crate) fn within(namespace: Namespace, text: &str) -> Self {
        let mut unshare = namespace.unshare();
        // The link would lead to `unshare` in there.
        unshare.arg(std::env::current_exe().expect("a path")).env(ROLE, "supervisor");
        let directory = TempDir::new().expect("a directory");
        Self::begin(unshare, Script::STEADY, directory, &["sh", "-c", text], Stdio::null())
    }

    /// Runs a shell script in the namespace of the supervisor, as somebody who comes from outside, and waits for its end.
    pub(crate) fn enter(&self, namespace: Namespace, text: &str) {
        let unshare = self.supervisor.id();
        let first = wait_for("the first of the namespace", || children(unshare).first().copied());
        let mut nsenter = Command::new("nsenter");
        nsenter.arg(format!("--target={}", first.as_raw_pid())).args(["--pid", "--mount"]);
        if namespace.of_user {
            nsenter.args(["--user", "--preserve-credentials"]);
        }
        // What it leaves behind keeps nothing of the test open.
        nsenter.args(["sh", "-c", text]).env("DIR", self.directory.path());
        nsenter.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let status = nsenter.status().expect("nsenter comes with unshare");
        assert!(status.success(), "{status}");
    }

    /// Makes an empty file for those who wait for it.
    pub(crate) fn leave(&self, name: &str) {
        fs::write(self.directory.path().join(name), "").expect("the directory is ours");
    }

    fn in_terminal(script: Script, directory: TempDir, command: &[&str]) -> (Self, File) {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&keyboard).and_then(|()| unlockpt(&keyboard)).expect("it is ours");
        let path = ptsname(&keyboard, Vec::new()).expect("it has a name").into_string().expect("text");
        let mut session = Command::new("/proc/self/exe");
        session.arg(path).env(ROLE, "session");
        (Self::begin(session, script, directory, command, Stdio::null()), keyboard.into())
    }

    fn start(script: Script, directory: TempDir, command: &[&str], stdin: Stdio) -> Self {
        let mut supervisor = Command::new("/proc/self/exe");
        supervisor.env(ROLE, "supervisor");
        Self::begin(supervisor, script, directory, command, stdin)
    }

    fn begin(mut starter: Command, script: Script, directory: TempDir, command: &[&str], stdin: Stdio) -> Self {
        let mut supervisor = starter
            .args(script.arguments())
            .args(command)
            .env("DIR", directory.path())
            .stdin(stdin)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a supervisor starts");
        let (sender, lines) = channel();
        let output = BufReader::new(supervisor.stderr.take().expect("a pipe"));
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { supervisor, directory, lines, heard: Vec::new() }
    }

    pub(crate) fn supervisor_pid(&self) -> Pid {
        Pid::from_child(&self.supervisor)
    }

    /// The guardian: the one child of the supervisor.
    pub(crate) fn guardian(&self) -> Pid {
        let supervisor = self.supervisor.id();
        wait_for("a guardian", || children(supervisor).first().copied())
    }

    pub(crate) fn stdin(&mut self) -> ChildStdin {
        self.supervisor.stdin.take().expect("a pipe")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.supervisor_pid(), signal).expect("the supervisor is there");
    }

    /// The rest of the next line that begins so.
    pub(crate) fn line(&mut self, start: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).unwrap_or_else(|_| panic!("no {start:?} after {:?}", self.heard));
            self.heard.push(line.clone());
            if let Some(rest) = line.strip_prefix(start) {
                return rest.trim().to_owned();
            }
        }
    }

    /// The verdict, once the supervisor and everybody who writes to its standard error is gone.
    pub(crate) fn verdict(&mut self) -> String {
        let verdict = self.line("verdict");
        self.supervisor.wait().expect("a child of ours");
        verdict
    }

    /// The end of the hold and the moment of the kill, as said last before everybody was gone.
    pub(crate) fn last_hold_ns(&mut self) -> (u64, u64) {
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.heard.push(line);
        }
        let last = self.heard.iter().rev().find_map(|line| line.strip_prefix("hold ")).expect("a hold was said");
        let (ends, kill_at) = last.split_once(' ').expect("two numbers");
        (ends.parse().expect("a number"), kill_at.parse().expect("a number"))
    }

    /// Waits until so many actors have acted.
    pub(crate) fn actors(&self, count: usize) -> Vec<Pid> {
        wait_for("the actors", || {
            let acts = self.acts();
            (acts.len() >= count).then(|| acts.into_iter().map(|(pid, _)| pid).collect())
        })
    }

    /// Waits until this file is there, and returns what is in it.
    pub(crate) fn file(&self, name: &str) -> String {
        let path = self.directory.path().join(name);
        wait_for(name, || fs::read_to_string(&path).ok().filter(|text| text.ends_with('\n')))
    }

    /// The time of the last act of any actor, in nanoseconds of the clock that counts through suspend.
    pub(crate) fn last_act_ns(&self) -> u64 {
        self.acts().into_iter().map(|(_, time_ns)| time_ns).max().expect("somebody acted")
    }

    /// How long it takes from now until the last act of any actor.
    pub(crate) fn wait_until_all_are_gone(&self) {
        wait_for("the end of all actors", || self.acts().iter().all(|(pid, _)| !alive(*pid)).then_some(()));
    }

    fn acts(&self) -> Vec<(Pid, u64)> {
        let entries = fs::read_dir(self.directory.path()).expect("the directory is there");
        entries
            .filter_map(|entry| {
                let path = entry.ok()?.path();
                let pid = Pid::from_raw(path.file_name()?.to_str()?.parse().ok()?)?;
                let time_ns = u64::from_le_bytes(fs::read(&path).ok()?.try_into().ok()?);
                Some((pid, time_ns))
            })
            .collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // The guardian kills the rest.
        let _ = self.supervisor.kill();
        let _ = self.supervisor.wait();
    }
}

/// Whether there is a process of this number that is not a zombie.
pub(crate) fn alive(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// How many children of this process wait to be reaped.
pub(crate) fn zombies_under(parent: Pid) -> usize {
    let parent = u32::try_from(parent.as_raw_pid()).expect("not negative");
    children(parent).into_iter().filter(|pid| !alive(*pid)).count()
}

/// Waits until the look shows something, with a bound.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The children of the main thread of this process.
pub(crate) fn children(parent: u32) -> Vec<Pid> {
    let path = format!("/proc/{parent}/task/{parent}/children");
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok().and_then(Pid::from_raw)).collect()
}

/// How long a test waits for what has to come.
const PATIENCE: Duration = Duration::from_secs(20);
