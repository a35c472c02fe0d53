//! The program that a test guards: it acts every 10 ms and appends each act to a log of its own.
//!
//! It can misbehave in the ways that real programs do: ignore SIGTERM, drain for long, leave processes behind in
//! other sessions. It refuses to outlive its test: it ends with the standard input it inherited when
//! `TESTBED_EXIT_ON_STDIN_EOF=1`, and after `--limit-ms` in any case.
//!
//! A line of the log is `BOOTTIME_NS PID EVENT TOKEN WHO`; the events are `start`, `act`, `term` (SIGTERM seen) and
//! `end`. The clock is read and the line is written in one `write` each, so that lines of several writers never mix.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{env, io, thread};

const USAGE: &str = "usage: worker --log-dir DIR [--name WHO] [--every-ms 10] [--ignore-term] [--drain-ms 0]
              [--exit-after-ms N] [--exit-code 0] [--children N] [--sessions N] [--orphans N] [--limit-ms 600000]
--children N   processes that act too, in this process group
--sessions N   the same, each in a session of its own
--orphans N    the same, in sessions of their own and with their parent gone (the double fork of a daemon)";

/// What the command line asks for.
#[derive(Clone, Debug)]
struct Options {
    log_dir: String,
    who: String,
    token: String,
    every: Duration,
    ignore_term: bool,
    drain: Duration,
    exit_after: Option<Duration>,
    exit_code: u8,
    children: u32,
    sessions: u32,
    orphans: u32,
    limit: Duration,
    role: Role,
}

/// Which of its own descendants a process is; the top one was started by the test or by the program under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Top,
    Child,
    Session,
    /// The middle process of a double fork: starts an actor in a new session and leaves.
    Forker,
}

fn main() -> ExitCode {
    if env::args().skip(1).eq(["--help"]) {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let options = match Options::from_args(env::args().skip(1)) {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("worker: {problem}\n{USAGE}");
            return ExitCode::from(64);
        }
    };
    match run(&options) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("worker: {error}");
            ExitCode::from(74)
        }
    }
}

fn run(options: &Options) -> io::Result<ExitCode> {
    if options.role == Role::Forker {
        spawn(options, "session")?;
        return Ok(ExitCode::SUCCESS);
    }
    if options.role == Role::Session {
        rustix::process::setsid()?;
    }
    let terminated = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGTERM, Arc::clone(&terminated))?;
    let mut log = Log::open(options)?;
    log.write("start")?;
    hold_lifeline();
    for (count, role) in [(options.children, "child"), (options.sessions, "session"), (options.orphans, "forker")] {
        for _ in 0..count {
            spawn(options, role)?;
        }
    }
    let code = act(options, &terminated, &mut log)?;
    log.write("end")?;
    Ok(code)
}

/// Acts until the time is up, or until SIGTERM and the drain after it.
fn act(options: &Options, terminated: &AtomicBool, log: &mut Log) -> io::Result<ExitCode> {
    let begun = Instant::now();
    let mut drain_ends = None;
    while begun.elapsed() < options.limit {
        log.write("act")?;
        if options.exit_after.is_some_and(|after| begun.elapsed() >= after) {
            return Ok(ExitCode::from(options.exit_code));
        }
        if terminated.swap(false, Ordering::Relaxed) {
            log.write("term")?;
            if !options.ignore_term && drain_ends.is_none() {
                drain_ends = Some(Instant::now() + options.drain);
            }
        }
        if drain_ends.is_some_and(|end| Instant::now() >= end) {
            return Ok(ExitCode::from(options.exit_code));
        }
        // A signal does not shorten this sleep: the drain starts at most one period late.
        thread::sleep(options.every);
    }
    Ok(ExitCode::from(70))
}

/// Ends the process at the end of its standard input: the one goodbye that a killed test still sends.
fn hold_lifeline() {
    if env::var_os("TESTBED_EXIT_ON_STDIN_EOF").is_some_and(|value| value == "1") {
        thread::spawn(|| {
            let mut sink = [0; 64];
            while matches!(io::stdin().read(&mut sink), Ok(1..)) {}
            std::process::exit(70);
        });
    }
}

/// Starts this program again as one of its own descendants, which act and obey SIGTERM as it does.
fn spawn(options: &Options, role: &str) -> io::Result<()> {
    let mut command = Command::new(env::current_exe()?);
    command.args(["--log-dir", &options.log_dir, "--name", &options.who, "--role", role]);
    command.args(["--every-ms", &options.every.as_millis().to_string()]);
    command.args(["--drain-ms", &options.drain.as_millis().to_string()]);
    command.args(["--limit-ms", &options.limit.as_millis().to_string()]);
    if options.ignore_term {
        command.arg("--ignore-term");
    }
    let mut child = command.stdout(Stdio::null()).spawn()?;
    if role == "forker" {
        child.wait()?;
    } else {
        // Somebody has to reap it, and the actor below is busy.
        thread::spawn(move || child.wait());
    }
    Ok(())
}

/// The log of one process.
struct Log {
    file: File,
    about: String,
}

impl Log {
    fn open(options: &Options) -> io::Result<Self> {
        let path = format!("{}/worker-{}.acts", options.log_dir, std::process::id());
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        // The name comes last in a line, because it alone may hold spaces.
        let who: String = options.who.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        Ok(Self { file, about: format!("{} {who}", options.token) })
    }

    fn write(&mut self, event: &str) -> io::Result<()> {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let line = format!("{}{:09} {} {event} {}\n", now.tv_sec, now.tv_nsec, std::process::id(), self.about);
        self.file.write_all(line.as_bytes())
    }
}

impl Options {
    fn from_args(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            log_dir: String::new(),
            who: env::var("LEASE_IDENTITY").unwrap_or_else(|_| format!("pid-{}", std::process::id())),
            token: env::var("LEASE_TOKEN").unwrap_or_else(|_| "-".to_owned()),
            every: Duration::from_millis(10),
            ignore_term: false,
            drain: Duration::ZERO,
            exit_after: None,
            exit_code: 0,
            children: 0,
            sessions: 0,
            orphans: 0,
            limit: Duration::from_mins(10),
            role: Role::Top,
        };
        while let Some(flag) = args.next() {
            if flag == "--ignore-term" {
                options.ignore_term = true;
                continue;
            }
            let value = args.next().ok_or_else(|| format!("{flag} needs a value"))?;
            options.set(&flag, value)?;
        }
        if options.log_dir.is_empty() { Err("--log-dir is required".to_owned()) } else { Ok(options) }
    }

    fn set(&mut self, flag: &str, value: String) -> Result<(), String> {
        let number = || value.parse::<u32>().map_err(|_| format!("{flag} needs a number, not {value}"));
        let millis = || number().map(|ms| Duration::from_millis(u64::from(ms)));
        match flag {
            "--log-dir" => self.log_dir = value,
            "--name" => self.who = value,
            "--every-ms" => self.every = millis()?,
            "--drain-ms" => self.drain = millis()?,
            "--exit-after-ms" => self.exit_after = Some(millis()?),
            "--limit-ms" => self.limit = millis()?,
            "--exit-code" => {
                self.exit_code = value.parse().map_err(|_| format!("{flag} needs 0 to 255, not {value}"))?;
            }
            "--children" => self.children = number()?,
            "--sessions" => self.sessions = number()?,
            "--orphans" => self.orphans = number()?,
            "--role" => {
                self.role = match value.as_str() {
                    "child" => Role::Child,
                    "session" => Role::Session,
                    "forker" => Role::Forker,
                    _ => return Err(format!("--role {value} is unknown")),
                }
            }
            _ => return Err(format!("{flag} is unknown")),
        }
        Ok(())
    }
}
