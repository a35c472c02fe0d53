//! Supervision of the programs under test: what they print, when they end, and that nothing of them stays behind.
//!
//! A program gets a process group of its own, a standard input that ends with the test process, and an environment
//! variable by which all of its descendants are found again, also those in other sessions and those whose parent is
//! gone. Dropping a [`Program`] kills them all, in a panicking test too. Every wait has a deadline.

use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, thread};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, kill_process, pidfd_open};

pub use rustix::process::Signal;

use crate::boottime_ns;

/// Something that did not happen in time.
#[derive(Debug, thiserror::Error)]
#[error("{program}: {what} did not happen within {within:?}; it printed:\n{printed}")]
pub struct Overdue {
    /// The program that was waited for.
    pub program: String,
    /// What was waited for.
    pub what: String,
    /// For how long.
    pub within: Duration,
    /// The last lines of the program's output.
    pub printed: String,
}

/// Where a line was printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// A line that a program printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When we read it, on the judge's clock; a little later than it was written.
    pub at_ns: u64,
    /// Where it was printed.
    pub stream: Stream,
    /// The line without its end; bytes that are not UTF-8 are replaced.
    pub text: String,
}

/// A running program under test, with everything it printed so far. Killed with all its descendants on drop.
#[derive(Debug)]
pub struct Program {
    name: String,
    marker: String,
    child: Child,
    /// Held open for the lifeline: the descendants of the program read its end when this process is gone.
    stdin: Option<ChildStdin>,
    status: Option<ExitStatus>,
    output: Arc<Output>,
}

#[derive(Debug, Default)]
struct Output {
    lines: Mutex<Vec<Line>>,
    grown: Condvar,
}

impl Program {
    /// Starts the command in its own process group, its output recorded and its input a pipe that stays open.
    ///
    /// It and its descendants see `TESTBED_EXIT_ON_STDIN_EOF=1`: the worker and the Go programs end with the input
    /// that they inherit, so a program between them and the test has to pass it on.
    ///
    /// # Errors
    /// What the system says when the program cannot be started.
    pub fn spawn(mut command: Command) -> io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let marker = format!("{MARKER}={}-{count}-{}", std::process::id(), boottime_ns());
        let name = format!("{}", command.get_program().display());
        let name = name.rsplit('/').next().unwrap_or(&name).to_owned();
        command.env(MARKER, &marker[MARKER.len() + 1..]).env("TESTBED_EXIT_ON_STDIN_EOF", "1");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn()?;
        let output = Arc::new(Output::default());
        record(Stream::Out, child.stdout.take().expect("stdout was piped above"), &output);
        record(Stream::Err, child.stderr.take().expect("stderr was piped above"), &output);
        let stdin = child.stdin.take();
        Ok(Self { name, marker, child, stdin, status: None, output })
    }

    /// The process id of the program itself, also the id of its process group.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to the program alone. One that has ended is left alone, since its id may be another's by now.
    ///
    /// # Errors
    /// What the system says, for example that the program has just ended.
    pub fn signal(&mut self, signal: Signal) -> io::Result<()> {
        if self.try_status()?.is_some() {
            return Ok(());
        }
        signal_process(self.child.id(), signal)
    }

    /// Sends a signal to the program and to every living descendant of it, whatever their sessions and parents.
    pub fn signal_tree(&self, signal: Signal) {
        for id in self.tree() {
            // A process that ended since it was listed is what a kill would have made of it.
            let _ = signal_process(id, signal);
        }
    }

    /// The ids of the living processes of the tree: the program, its descendants, and those that left its group.
    pub fn tree(&self) -> Vec<u32> {
        marked_with(&self.marker)
    }

    /// Closes the program's standard input, as the death of this process would.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Everything printed so far, in the order in which it was read.
    pub fn lines(&self) -> Vec<Line> {
        self.output.lock().clone()
    }

    /// How many lines were printed so far: a place to wait from, see [`Program::wait_for_line_after`].
    pub fn mark(&self) -> usize {
        self.output.lock().len()
    }

    /// Waits for a line that contains `text`, beginning with those printed already.
    ///
    /// # Errors
    /// [`Overdue`] with the last lines.
    pub fn wait_for_line(&self, text: &str, within: Duration) -> Result<Line, Overdue> {
        self.wait_for_line_after(0, text, within)
    }

    /// Waits for a line that contains `text` and came after `mark` others.
    ///
    /// # Errors
    /// [`Overdue`] with the last lines.
    pub fn wait_for_line_after(&self, mark: usize, text: &str, within: Duration) -> Result<Line, Overdue> {
        let deadline = Instant::now() + within;
        let mut lines = self.output.lock();
        let mut seen = mark;
        loop {
            if let Some(line) = lines.iter().skip(seen).find(|line| line.text.contains(text)) {
                return Ok(line.clone());
            }
            seen = seen.max(lines.len());
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(lines);
                return Err(self.overdue(format!("a line with {text:?}"), within));
            }
            lines = self.output.grown.wait_timeout(lines, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until the program itself has ended, and reaps it. Its descendants may live on.
    ///
    /// # Errors
    /// [`Overdue`] with the last lines.
    pub fn wait(&mut self, within: Duration) -> Result<ExitStatus, Overdue> {
        let deadline = Instant::now() + within;
        while Instant::now() < deadline {
            match self.try_status() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) => self.poll_exit(deadline),
                Err(_) => break,
            }
        }
        self.try_status().ok().flatten().ok_or_else(|| self.overdue("its end".to_owned(), within))
    }

    /// Waits until the whole tree is gone, daemons included.
    ///
    /// # Errors
    /// [`Overdue`], which names the processes that are left.
    pub fn wait_for_tree(&mut self, within: Duration) -> Result<(), Overdue> {
        let status = self.wait(within);
        let gone = wait_until(within, || self.tree().is_empty());
        status?;
        if gone { Ok(()) } else { Err(self.overdue(format!("the end of its processes {:?}", self.tree()), within)) }
    }

    /// Kills the program and all its descendants, and returns when they are gone.
    pub fn kill_tree(&mut self) {
        // A process that forks between the listing and the kill is found in the next round.
        for _ in 0..KILL_ROUNDS_MAX {
            let tree = self.tree();
            if tree.is_empty() {
                break;
            }
            for id in tree {
                let _ = signal_process(id, Signal::KILL);
            }
            if self.try_status().is_ok_and(|status| status.is_none()) {
                self.poll_exit(Instant::now() + Duration::from_secs(1));
            }
            thread::yield_now();
        }
        let _ = self.try_status();
    }

    fn try_status(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.status = self.child.try_wait()?;
        }
        Ok(self.status)
    }

    /// Blocks until the process ends or the deadline comes; may return early.
    fn poll_exit(&self, deadline: Instant) {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(left) = Timespec::try_from(left) else {
            return;
        };
        // The child is not reaped yet, so its id is still its own.
        if let Some(pid) = pid_of(self.child.id())
            && let Ok(handle) = pidfd_open(pid, PidfdFlags::empty())
        {
            let _ = poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&left));
        }
    }

    fn overdue(&self, what: String, within: Duration) -> Overdue {
        Overdue { program: self.name.clone(), what, within, printed: self.tail() }
    }

    fn tail(&self) -> String {
        let lines = self.output.lock();
        let last = &lines[lines.len().saturating_sub(TAIL_LINES)..];
        let shown = last.iter().map(|line| format!("  {} {:?}: {}", line.at_ns, line.stream, line.text));
        shown.collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill_tree();
        if thread::panicking() {
            eprintln!("{} (process {}) printed:\n{}", self.name, self.child.id(), self.tail());
        }
    }
}

impl Output {
    fn lock(&self) -> MutexGuard<'_, Vec<Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Copies a stream into the record, line by line, until the last writer is gone.
fn record(stream: Stream, from: impl Read + Send + 'static, to: &Arc<Output>) {
    let to = Arc::clone(to);
    thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut bytes = Vec::new();
        while matches!(from.read_until(b'\n', &mut bytes), Ok(1..)) {
            let text = String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']).to_owned();
            bytes.clear();
            let mut lines = to.lock();
            // A program gone mad must not take the machine's memory; the pipe is still drained.
            if lines.len() < LINES_MAX {
                lines.push(Line { at_ns: boottime_ns(), stream, text });
            }
            drop(lines);
            to.grown.notify_all();
        }
    });
}

/// Sends a signal to any process.
///
/// # Errors
/// What the system says, for example that there is no such process.
pub fn signal_process(id: u32, signal: Signal) -> io::Result<()> {
    let pid = pid_of(id).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(kill_process(pid, signal)?)
}

/// Whether the process runs or is stopped; one that waits to be reaped is not alive.
pub fn is_alive(id: u32) -> bool {
    state(id).is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// Whether the process is stopped, all threads of it: SIGSTOP takes a moment to arrive everywhere.
pub fn is_stopped(id: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{id}/task")) else { return false };
    let threads = threads.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    threads.into_iter().all(|thread: u32| state(thread) == Some('T'))
}

/// The state of a process or thread as the kernel abbreviates it.
fn state(id: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The state follows the name, which is in parentheses and may hold any others.
    stat.rsplit(')').next()?.trim_start().chars().next()
}

/// The CPU time that a process has used so far, all threads and modes together, to 10 ms.
pub fn cpu_time(id: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // Behind the name come the fields from the third on; user and system time are the 14th and 15th.
    let mut fields = stat.rsplit(')').next()?.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    // The unit that the kernel shows to programs is fixed at a hundredth of a second.
    Some(Duration::from_millis((ticks()? + ticks()?) * 10))
}

/// The resident memory of a process in bytes.
pub fn resident_bytes(id: u32) -> Option<u64> {
    status_bytes(id, "VmRSS:")
}

/// What of its resident memory is its own, in bytes: not pages of the program and its libraries, which are the file's.
pub fn anonymous_bytes(id: u32) -> Option<u64> {
    status_bytes(id, "RssAnon:")
}

fn status_bytes(id: u32, key: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// Looks at `happened` every 5 ms until it is true or the time is up; says which.
///
/// For what the system offers no event for. It looks once more at the deadline, so a starved test is not unlucky.
pub fn wait_until(within: Duration, mut happened: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + within;
    while Instant::now() < deadline {
        if happened() {
            return true;
        }
        thread::sleep(Duration::from_millis(5));
    }
    happened()
}

/// The living processes that have `marker` in their environment. A zombie has none.
fn marked_with(marker: &str) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let ids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_marked = |id: &u32| {
        let environment = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == marker.as_bytes())
    };
    ids.filter(is_marked).collect()
}

fn pid_of(id: u32) -> Option<Pid> {
    i32::try_from(id).ok().and_then(Pid::from_raw)
}

const MARKER: &str = "TESTBED_TREE";
const KILL_ROUNDS_MAX: usize = 1000;
const LINES_MAX: usize = 200_000;
const TAIL_LINES: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_use_of_time_and_memory_is_read() {
        let own = std::process::id();
        let begun = Instant::now();
        let used = || cpu_time(own).unwrap() >= Duration::from_millis(20);
        assert!(wait_until(Duration::from_secs(20), || {
            // Something to be billed for, between two looks.
            std::hint::black_box((0..1_000_000_u64).fold(0, u64::wrapping_add));
            used()
        }));
        assert!(begun.elapsed() < Duration::from_secs(20));
        assert!((100_000..10_000_000_000).contains(&resident_bytes(own).unwrap()));
        assert!((10_000..resident_bytes(own).unwrap()).contains(&anonymous_bytes(own).unwrap()));
        assert_eq!(cpu_time(u32::MAX), None);
    }
}
