//! Signals by name, the ones that this process was told to ignore, and the wish to be interrupted.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::{fs, io, thread};

use rustix::process::Signal;

/// Those of the signals that were not ignored when this process began, as under `nohup`.
///
/// Whoever started us meant that; a handler would also make the command start with the default action.
pub(crate) fn not_ignored(signals: &[Signal]) -> Vec<Signal> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = ignored_mask(&status);
    signals.iter().copied().filter(|signal| ignored & (1 << (signal.as_raw() - 1)) == 0).collect()
}

/// A flag that the first SIGINT sets, and says so unless nothing is to be said: what has begun may take a while. The
/// second one ends the program, as it always does.
pub(crate) fn interruption(says: bool) -> io::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    if !not_ignored(&[Signal::INT]).is_empty() {
        let signal = Signal::INT.as_raw();
        // In this order, so that the first one does not find the flag set by itself.
        signal_hook::flag::register_conditional_default(signal, Arc::clone(&flag))?;
        signal_hook::flag::register(signal, Arc::clone(&flag))?;
        if says {
            let (mut told, tells) = UnixStream::pair()?;
            signal_hook::low_level::pipe::register(signal, tells)?;
            // It ends with the process.
            thread::spawn(move || {
                if told.read_exact(&mut [0]).is_ok() {
                    // Where standard error is closed nobody wants to know.
                    let _ = io::stderr().write_all(INTERRUPTED.as_bytes());
                }
            });
        }
    }
    Ok(flag)
}

fn ignored_mask(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}

/// Reads a signal's name, with or without `SIG`, or its number. Real-time signals have no place here.
pub(crate) fn parse(text: &str) -> Result<Signal, UnknownSignal> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let by_name = NAMES.iter().find(|(known, _)| *known == name).map(|(_, signal)| *signal);
    let by_number = || name.parse().ok().and_then(Signal::from_named_raw);
    by_name.or_else(by_number).ok_or_else(|| UnknownSignal(text.to_owned()))
}

/// The name without `SIG`, or the number where we know no name.
pub(crate) fn name(signal: Signal) -> String {
    let known = NAMES.iter().find(|(_, candidate)| *candidate == signal);
    known.map_or_else(|| signal.as_raw().to_string(), |(name, _)| (*name).to_owned())
}

/// Not the name of a signal.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a signal; use a name such as TERM, INT, QUIT, HUP or USR1, or its number")]
pub(crate) struct UnknownSignal(String);

/// On a line of its own, below what the terminal shows of Ctrl-C.
const INTERRUPTED: &str = "\ninterrupted: finishing the runs that have begun; once more ends at once\n";
const NAMES: [(&str, Signal); 12] = [
    ("HUP", Signal::HUP),
    ("INT", Signal::INT),
    ("QUIT", Signal::QUIT),
    ("ABRT", Signal::ABORT),
    ("KILL", Signal::KILL),
    ("USR1", Signal::USR1),
    ("USR2", Signal::USR2),
    ("ALRM", Signal::ALARM),
    ("TERM", Signal::TERM),
    ("CONT", Signal::CONT),
    ("STOP", Signal::STOP),
    ("WINCH", Signal::WINCH),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_known_by_name_and_number() {
        assert_eq!(parse("TERM"), Ok(Signal::TERM));
        assert_eq!(parse("sigint"), Ok(Signal::INT));
        assert_eq!(parse("3"), Ok(Signal::QUIT));
        assert_eq!(name(Signal::TERM), "TERM");
        for nonsense in ["", "SIG", "TERMINATE", "0", "-1", "99", "RTMIN+3"] {
            assert!(parse(nonsense).is_err(), "{nonsense}");
        }
    }

    #[test]
    fn the_mask_of_ignored_signals_is_read() {
        assert_eq!(ignored_mask("SigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n"), 0x1001);
        assert_eq!(ignored_mask(""), 0);
    }
}
