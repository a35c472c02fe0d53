//! The signals that are sent to `lease run`.

use std::io;
use std::task::Poll;

use rustix::process::Signal;
use tokio::signal::unix::{self, SignalKind};

use crate::signals;

/// Every signal that means something to the supervisor, in the order in which it is seen.
#[derive(Debug)]
pub struct Inbox {
    streams: Vec<(Signal, unix::Signal)>,
}

impl Inbox {
    /// From now on these signals are ours; those that were ignored when the process began stay ignored.
    pub fn install() -> io::Result<Self> {
        let stream = |signal: Signal| Ok((signal, unix::signal(SignalKind::from_raw(signal.as_raw()))?));
        Ok(Self { streams: signals::not_ignored(&HEARD).into_iter().map(stream).collect::<io::Result<_>>()? })
    }

    /// The next signal. Safe to drop while waiting.
    pub async fn next(&mut self) -> Signal {
        std::future::poll_fn(|context| {
            for (signal, stream) in &mut self.streams {
                if let Poll::Ready(Some(())) = stream.poll_recv(context) {
                    return Poll::Ready(*signal);
                }
            }
            Poll::Pending
        })
        .await
    }

    /// The next signal that ends the program while there is no command to pass signals on to: also what a
    /// closed terminal sends.
    pub async fn end(&mut self) -> Signal {
        loop {
            let signal = self.next().await;
            if asks_to_end(signal) || matches!(signal, Signal::HUP | Signal::QUIT) {
                return signal;
            }
        }
    }
}

/// Whether the signal asks `lease run` to end, rather than being meant for the command.
pub fn asks_to_end(signal: Signal) -> bool {
    matches!(signal, Signal::INT | Signal::TERM)
}

/// Those that ask to end come first.
const HEARD: [Signal; 8] =
    [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT, Signal::USR1, Signal::USR2, Signal::WINCH, Signal::CONT];
