//! The guardian: a small process that holds the deadline and has the tree killed by it.
//!
//! It is single-threaded, allocates little, and does nothing that can block: it polls its socket, its
//! timer and its signals. It keeps itself in memory. It writes no log; whoever reads the supervisor's log
//! hears of it from there.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, getpid, getppid, kill_process_group, set_child_subreaper,
    set_parent_process_death_signal, waitid,
};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime};

use super::wire::{Order, Received, Report, Wire};
use super::{GUARDIAN, Hold, MISUSED, OWN_PROGRAM, Spec, Status, launcher, number, terminal, tree};
use crate::{clock, signals};

/// Starts a guardian for this command. Its standard input is the socket; the death signal that it sets
/// is that of the calling thread, so the caller must be a thread that lives as long as the process.
pub(super) fn spawn(spec: &Spec, socket: OwnedFd) -> io::Result<Child> {
    Command::new(OWN_PROGRAM)
        .arg0("lease")
        .arg(GUARDIAN)
        .arg(getpid().as_raw_pid().to_string())
        .arg(spec.stop_signal.as_raw().to_string())
        .args(&spec.command)
        .envs(spec.environment.iter().map(|(name, value)| (name, value)))
        .stdin(socket)
        // What the terminal sends to the supervisor's group must not reach the guardian.
        .process_group(0)
        .spawn()
}

/// Arguments: the supervisor's process number, the number of the stop signal, then the command.
pub(super) fn main(arguments: &[OsString]) -> ExitCode {
    let signal = number(arguments.get(1)).and_then(Signal::from_named_raw);
    let (Some(supervisor), Some(stop_signal), Some(command)) = (number(arguments.first()), signal, arguments.get(2..))
    else {
        return ExitCode::from(MISUSED);
    };
    match Guardian::prepare(supervisor, stop_signal, command)
        .and_then(|guardian| guardian.map_or(Ok(()), Guardian::run))
    {
        Ok(()) => ExitCode::SUCCESS,
        // The supervisor sees it end without a last report and kills the tree.
        Err(_) => ExitCode::FAILURE,
    }
}

struct Guardian<'a> {
    wire: Wire,
    timer: OwnedFd,
    wakeups: UnixStream,
    supervisor: i32,
    stop_signal: Signal,
    command: &'a [OsString],
    hold: Hold,
    /// The command's standard input, until it is handed on.
    stdin: Option<OwnedFd>,
    /// The terminal that the command's group has, to be taken back when the command ends.
    terminal: Option<terminal::Owned>,
    /// The launcher's socket, from the spawn until the exec.
    launching: Option<Wire>,
    /// The command's process, while it is not reaped: only so long are its number and its group's its own.
    child: Option<Pid>,
    stopping: bool,
    expired: bool,
    condemned: bool,
    rounds: u32,
}

impl<'a> Guardian<'a> {
    /// Becomes a subreaper, and waits for the order to launch. None when the supervisor is gone already.
    fn prepare(supervisor: i32, stop_signal: Signal, command: &'a [OsString]) -> io::Result<Option<Self>> {
        let (wakeups, notify) = UnixStream::pair()?;
        wakeups.set_nonblocking(true)?;
        for signal in signals::not_ignored(&HEARD) {
            signal_hook::low_level::pipe::register(signal.as_raw(), notify.try_clone()?)?;
        }
        signal_hook::low_level::pipe::register(Signal::CHILD.as_raw(), notify.try_clone()?)?;
        signal_hook::low_level::pipe::register(DEATH_SIGNAL.as_raw(), notify)?;
        // What `ps` and `top` show; it would be "exe".
        let _ = rustix::thread::set_name(c"lease-guardian");
        stay_in_memory();
        set_child_subreaper(Some(getpid()))?;
        set_parent_process_death_signal(Some(DEATH_SIGNAL))?;
        let wire = Wire::inherited()?;
        let Received::Message(Order::Launch(hold), Some(stdin)) = wire.wait_for_order()? else { return Ok(None) };
        let timer = timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        Ok(Some(Self {
            wire,
            timer,
            wakeups,
            supervisor,
            stop_signal,
            command,
            hold,
            terminal: terminal::Owned::by(supervisor, &stdin),
            stdin: Some(stdin),
            launching: None,
            child: None,
            stopping: false,
            expired: false,
            condemned: false,
            rounds: 0,
        }))
    }

    fn run(mut self) -> io::Result<()> {
        self.spawn()?;
        loop {
            self.obey()?;
            self.hear_launcher();
            self.enforce();
            if !self.reap() {
                self.tell(Report::Gone);
                return Ok(());
            }
            self.wait()?;
        }
    }

    fn spawn(&mut self) -> io::Result<()> {
        let (ours, theirs) = Wire::pair()?;
        let child = launcher::command(getpid(), self.command).stdin(Stdio::from(theirs)).spawn()?;
        let pid = Pid::from_child(&child);
        self.child = Some(pid);
        self.launching = Some(ours);
        self.tell(Report::Spawned(pid));
        Ok(())
    }

    /// Takes every order that is there. An end of the socket is the end of the supervisor.
    fn obey(&mut self) -> io::Result<()> {
        while !self.condemned {
            match self.wire.next_order()? {
                Received::Nothing => break,
                Received::Closed => self.condemned = true,
                Received::Message(order, _) => self.follow(order),
            }
        }
        Ok(())
    }

    fn follow(&mut self, order: Order) {
        match order {
            Order::Launch(_) => {}
            Order::Go => {
                if let (Some(wire), Some(stdin)) = (&self.launching, self.stdin.take()) {
                    // A launcher that is gone is reaped, and reported so.
                    drop(wire.order(Order::Launch(self.hold), Some(stdin.as_fd())));
                }
            }
            Order::Extend { number, hold } => {
                // The stop signal cannot be taken back, so a hold that has ended here stays ended.
                if !self.expired {
                    self.hold = hold;
                }
                self.tell(Report::Acknowledged(number));
            }
            Order::Drain => self.stop(),
            Order::End { kill_at } => {
                self.expired = true;
                self.hold.kill_at = self.hold.kill_at.earliest(kill_at);
                self.stop();
            }
            Order::Signal(number) => {
                if let (Some(signal), Some(group)) = (Signal::from_named_raw(number), self.child) {
                    let _ = kill_process_group(group, signal);
                }
            }
            Order::Kill => self.condemned = true,
        }
    }

    /// Passes on whether the launcher became the command.
    fn hear_launcher(&mut self) {
        let Some(wire) = &self.launching else { return };
        let report = match wire.next_report() {
            Ok(Received::Nothing) => return,
            Ok(Received::Message(Report::NotRun(error), _)) => Report::NotRun(error),
            Ok(_) => Report::Running,
            Err(error) => Report::NotRun(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
        };
        self.launching = None;
        self.tell(report);
    }

    fn enforce(&mut self) {
        let now = clock::now();
        // Another process is the parent now: the supervisor is gone, even if somebody holds its socket.
        if Pid::as_raw(getppid()) != self.supervisor || now.has_reached_either(self.hold.kill_at) {
            self.condemned = true;
        }
        if self.condemned {
            self.kill();
        } else if !self.expired && now.has_reached_either(self.hold.ends) {
            self.expired = true;
            self.stop();
            self.tell(Report::Expired);
        }
    }

    /// Asks the command's group to stop; once.
    fn stop(&mut self) {
        if self.stopping {
            return;
        }
        self.stopping = true;
        match self.child {
            Some(group) => {
                let _ = kill_process_group(group, self.stop_signal);
                // A stopped process acts on nothing but this.
                let _ = kill_process_group(group, Signal::CONT);
            }
            None => tree::signal_descendants(self.stop_signal),
        }
    }

    fn kill(&mut self) {
        // The group needs no scan, and is most of the tree.
        if let Some(group) = self.child {
            let _ = kill_process_group(group, Signal::KILL);
        }
        tree::kill_descendants();
        self.rounds += 1;
    }

    /// Collects what ended. False when nothing of the tree is left.
    fn reap(&mut self) -> bool {
        self.take_back_the_terminal();
        let (mut ended, mut suspended) = (None, false);
        let any_left = tree::reap(|pid, status| {
            if Some(pid) == self.child {
                ended = Status::of(status).or(ended);
                suspended |= status.stopping_signal() == Some(Signal::TSTP.as_raw());
            }
        });
        if let (true, Some(_), Some(group)) = (suspended, &self.terminal, self.child) {
            // Ctrl-Z. There is no shell between us and the command to resume it, and a lease is not held
            // by a command that stands still.
            let _ = kill_process_group(group, Signal::CONT);
        }
        if let Some(status) = ended {
            self.child = None;
            // The exec or its failure comes before the end in the reports too.
            self.hear_launcher();
            self.tell(Report::Exited(status));
            if any_left && !self.condemned {
                // What the command left behind has no business to go on: the lease is about to be released.
                tree::signal_descendants(self.stop_signal);
            }
        }
        any_left
    }

    /// Before the command is reaped: its group ends with it, and only a member can take the terminal.
    fn take_back_the_terminal(&mut self) {
        let Some(group) = self.child else { return };
        let ended = || {
            let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
            matches!(waitid(WaitId::Pid(group), look), Ok(Some(_)))
        };
        if let Some(terminal) = self.terminal.take_if(|_| ended()) {
            terminal.take_back(group);
        }
    }

    /// Sleeps until something happens or the next deadline is due.
    fn wait(&mut self) -> io::Result<()> {
        if !self.condemned {
            self.arm()?;
        }
        // Once condemned, what is left is killed again until it is gone; a process in an uninterruptible
        // sleep takes its time, so the rounds get rarer. No deadline is left then, and nothing takes the
        // sentence back: the timer is neither set nor heard any more.
        let pause_ms = 1 << self.rounds.min(ROUND_PAUSE_MAX_LOG2);
        let round = Timespec { tv_sec: 0, tv_nsec: pause_ms * 1_000_000 };
        let launching = self.launching.as_ref().map_or(self.timer.as_fd(), AsFd::as_fd);
        let mut sources = [
            PollFd::new(&self.wakeups, PollFlags::IN),
            PollFd::new(&self.timer, PollFlags::IN),
            PollFd::from_borrowed_fd(launching, PollFlags::IN),
            PollFd::new(&self.wire, PollFlags::IN),
        ];
        // A closed socket is readable for ever too, and so is a launcher's.
        let heard = if self.condemned { &mut sources[..1] } else { &mut sources[..] };
        match poll(heard, self.condemned.then_some(&round)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        while matches!((&self.wakeups).read(&mut [0; 64]), Ok(1..)) {}
        let _ = rustix::io::read(&self.timer, &mut [0; 8]);
        Ok(())
    }

    /// Sets the timer to the first of the two instants that is still to come, as the nearer of the two
    /// clocks sees it. It runs on the clock that counts through suspend.
    fn arm(&self) -> io::Result<()> {
        let end = if self.expired { self.hold.kill_at } else { self.hold.ends.earliest(self.hold.kill_at) };
        let now = clock::now();
        let left_ns = u64::try_from(now.until_either(end).as_nanos()).unwrap_or(u64::MAX);
        let due_ns = now.boottime_nanos().saturating_add(left_ns).min(FAR_NS);
        let spec = Itimerspec { it_interval: Timespec::default(), it_value: timespec(due_ns) };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &spec)?;
        Ok(())
    }

    /// A supervisor that cannot be told is stopped or gone, and both are noticed otherwise.
    fn tell(&self, report: Report) {
        drop(self.wire.report(report));
    }
}

/// Keeps what killing needs from being thrown out of memory while nothing is to be killed.
///
/// On a machine that runs out of memory the kernel drops the code of idle programs first, and reading it
/// back can take longer than the deadline allows, while a busy command goes on. Where the system does not
/// grant this much locked memory, the guardian does without.
fn stay_in_memory() {
    // Only what has been used is locked, so it is used once. Not what is mapped in future: under a limit
    // that would turn a later allocation into a failure.
    let _ = mlockall(MlockAllFlags::CURRENT | MlockAllFlags::ONFAULT);
    tree::kill_descendants();
}

fn timespec(nanos: u64) -> Timespec {
    let seconds = i64::try_from(nanos / 1_000_000_000).expect("64 bits of nanoseconds are few seconds");
    let rest = i64::try_from(nanos % 1_000_000_000).expect("less than a second");
    Timespec { tv_sec: seconds, tv_nsec: rest }
}

/// What a terminal, or a `kill` by the program's name, may send: the guardian outlives it, because the
/// supervisor decides what it means. Handlers and not "ignore", which the command would inherit.
const HEARD: [Signal; 6] = [Signal::INT, Signal::QUIT, Signal::HUP, Signal::USR1, Signal::USR2, Signal::ALARM];
/// Any signal with a handler would do: it only wakes the loop, which looks who its parent is.
const DEATH_SIGNAL: Signal = Signal::TERM;
/// The kernel refuses times that do not fit its signed count of nanoseconds.
const FAR_NS: u64 = u64::MAX / 4;
/// 2^6 ms: the longest pause between two rounds of killing.
const ROUND_PAUSE_MAX_LOG2: u32 = 6;
