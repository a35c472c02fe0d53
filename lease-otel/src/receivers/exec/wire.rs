//! What the collector and the keeper of a command say to each other: lines of text over a socket.

use std::fmt;
use std::str::FromStr;

use lease_core::Instant;

/// From the collector to the keeper. When the socket ends, everything is killed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The command may run until `ends`, and nothing of it is left at `kill_at`. The first one starts it.
    Hold {
        /// When the command is asked to stop, unless a later hold comes before.
        ends: Instant,
        /// When everything is killed.
        kill_at: Instant,
    },
    /// The command is to stop; the hold goes on.
    Drain,
    /// The command is to stop, and nothing of it is left at this instant.
    Over {
        /// When everything is killed.
        kill_at: Instant,
    },
}

/// From the keeper to the collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// The command runs, as the process of this number.
    Running(i32),
    /// The command does not run, and why.
    NotRun(String),
    /// A later hold has arrived, whose last instant this is. So the collector knows that the keeper is not stuck.
    Held(Instant),
    /// Something of the command is still there that was killed. So the collector knows that the keeper is not stuck.
    Killing,
    /// Nothing of the command is left. The last report. How the command itself ended, where that is known.
    Gone(Ended),
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With this code.
    Code(u8),
    /// By this signal.
    Signal(i32),
    /// Nobody saw it.
    Unseen,
}

/// A line that is neither an order nor a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the line is not a message between a collector and a keeper")]
pub struct Garbled;

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hold { ends, kill_at } => {
                write!(f, "hold ")?;
                instant(f, *ends)?;
                write!(f, " ")?;
                instant(f, *kill_at)
            }
            Self::Drain => write!(f, "drain"),
            Self::Over { kill_at } => {
                write!(f, "over ")?;
                instant(f, *kill_at)
            }
        }
    }
}

fn instant(f: &mut fmt::Formatter<'_>, instant: Instant) -> fmt::Result {
    write!(f, "{} {}", instant.boottime_nanos(), instant.raw_nanos())
}

impl FromStr for Order {
    type Err = Garbled;

    fn from_str(line: &str) -> Result<Self, Garbled> {
        let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
        let numbers: Vec<u64> =
            rest.split_ascii_whitespace().map(str::parse).collect::<Result<_, _>>().map_err(|_| Garbled)?;
        match (name, numbers.as_slice()) {
            ("hold", [a, b, c, d]) => {
                Ok(Self::Hold { ends: Instant::from_nanos(*a, *b), kill_at: Instant::from_nanos(*c, *d) })
            }
            ("drain", []) => Ok(Self::Drain),
            ("over", [a, b]) => Ok(Self::Over { kill_at: Instant::from_nanos(*a, *b) }),
            _ => Err(Garbled),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running(pid) => write!(f, "running {pid}"),
            Self::NotRun(why) => write!(f, "not-run {}", why.replace('\n', " ")),
            Self::Held(kill_at) => {
                write!(f, "held ")?;
                instant(f, *kill_at)
            }
            Self::Killing => f.write_str("killing"),
            Self::Gone(Ended::Code(code)) => write!(f, "gone code {code}"),
            Self::Gone(Ended::Signal(number)) => write!(f, "gone signal {number}"),
            Self::Gone(Ended::Unseen) => write!(f, "gone unseen"),
        }
    }
}

impl FromStr for Report {
    type Err = Garbled;

    fn from_str(line: &str) -> Result<Self, Garbled> {
        if line == "killing" {
            return Ok(Self::Killing);
        }
        let (name, rest) = line.split_once(' ').ok_or(Garbled)?;
        match (name, rest.split_once(' ')) {
            ("running", None) => rest.parse().map(Self::Running).map_err(|_| Garbled),
            ("not-run", _) => Ok(Self::NotRun(rest.to_owned())),
            ("held", Some((boottime, raw))) => match (boottime.parse(), raw.parse()) {
                (Ok(boottime), Ok(raw)) => Ok(Self::Held(Instant::from_nanos(boottime, raw))),
                _ => Err(Garbled),
            },
            ("gone", Some(("code", code))) => {
                code.parse().map(|code| Self::Gone(Ended::Code(code))).map_err(|_| Garbled)
            }
            ("gone", Some(("signal", number))) => {
                number.parse().map(|number| Self::Gone(Ended::Signal(number))).map_err(|_| Garbled)
            }
            ("gone", None) if rest == "unseen" => Ok(Self::Gone(Ended::Unseen)),
            _ => Err(Garbled),
        }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(number) => write!(f, "signal {number}"),
            Self::Unseen => write!(f, "nobody saw how"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_is_read_as_it_was_written() {
        let (a, b) = (Instant::from_nanos(1, 2), Instant::from_nanos(3, u64::MAX));
        for order in [Order::Hold { ends: a, kill_at: b }, Order::Drain, Order::Over { kill_at: b }] {
            assert_eq!(order.to_string().parse(), Ok(order));
        }
        for report in [
            Report::Running(7),
            Report::NotRun("no such file: x".to_owned()),
            Report::Held(b),
            Report::Killing,
            Report::Gone(Ended::Code(255)),
            Report::Gone(Ended::Signal(9)),
            Report::Gone(Ended::Unseen),
        ] {
            assert_eq!(report.to_string().parse(), Ok(report));
        }
    }

    #[test]
    fn garbled_lines_are_refused() {
        for line in ["", "hold", "hold 1 2 3", "hold 1 2 3 -4", "drain 1", "over 1", "over 1 2 3"] {
            assert_eq!(line.parse::<Order>(), Err(Garbled), "{line}");
        }
        for line in [
            "",
            "gone",
            "gone code 256",
            "gone unseen 1",
            "running",
            "running x",
            "running 1 2",
            "held 1",
            "held 1 x",
            "killing 1",
        ] {
            assert_eq!(line.parse::<Report>(), Err(Garbled), "{line}");
        }
    }
}
