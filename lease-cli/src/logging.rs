//! Logs on standard error, which never make anybody wait.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;

/// When to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Color {
    /// Whether standard error is coloured.
    pub(crate) fn on_stderr(self) -> bool {
        self.on(&io::stderr())
    }

    /// Whether standard output is coloured.
    pub(crate) fn on_stdout(self) -> bool {
        self.on(&io::stdout())
    }

    fn on(self, stream: &impl IsTerminal) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && stream.is_terminal(),
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// One line of text.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Begins to log. `verbosity` counts `-v`, less `-q`.
pub(crate) fn begin(verbosity: i16, format: LogFormat, color: Color) {
    let level = match verbosity {
        ..=-2 => LevelFilter::OFF,
        -1 => LevelFilter::ERROR,
        0 => LevelFilter::INFO,
        1 => LevelFilter::DEBUG,
        2.. => LevelFilter::TRACE,
    };
    let subscriber = tracing_subscriber::fmt()
        .with_writer(Unhurried)
        .with_max_level(level)
        .with_target(verbosity > 0)
        .with_ansi(color.on_stderr());
    let targets = Targets::new().with_default(level);
    // It tells of each failed list as a program sees it, where whoever follows that list tells it for people, and once.
    let targets = if verbosity > 0 { targets } else { targets.with_target("kube_runtime", LevelFilter::OFF) };
    // Somebody who began before is a test, and keeps its logs.
    let _ = match format {
        LogFormat::Text => tracing::subscriber::set_global_default(subscriber.finish().with(targets)),
        LogFormat::Json => {
            tracing::subscriber::set_global_default(subscriber.json().flatten_event(true).finish().with(targets))
        }
    };
}

/// Standard error as long as it takes a line at once; lines that it does not take are dropped.
///
/// A pager that nobody scrolls, or a terminal that was stopped with Ctrl-S, must not hold up renewals.
#[derive(Clone, Copy, Debug)]
struct Unhurried;

impl Write for Unhurried {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let stderr = io::stderr();
        let writable = {
            let mut ready = [PollFd::new(&stderr, PollFlags::OUT)];
            poll(&mut ready, Some(&Timespec::default())).is_ok_and(|count| count > 0)
        };
        // A pipe that is writable has room for so much; more could block.
        let length = line.len().min(rustix::pipe::PIPE_BUF);
        if writable {
            stderr.lock().write_all(&line[..length])?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Unhurried {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        *self
    }
}
