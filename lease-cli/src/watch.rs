//! `lease watch`: a line for every change of leases, as it happens, and a recording of them.

use std::path::PathBuf;
use std::task::Poll;

use futures_util::StreamExt;
use futures_util::stream::{SelectAll, select_all};
use lease_core::{LeaseRecord, LockErrorKind, Timestamp, Versioned, WatchEvent, WatchLock};
use serde::Serialize;
use tokio::signal::unix::{self, SignalKind};

use crate::backend::{self, Store};
use crate::cli::{Global, Output};
use crate::exit::{Code, Failure};
use crate::recording::{Happened, Recorder};
use crate::show;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Leases to watch, also ones that do not exist yet [default: all that exist now]
    names: Vec<String>,
    /// Also append every change to this file, for lease plot
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

/// What became of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum What {
    /// As it was when the watch began.
    Is,
    /// Another holder, or the same in a new term.
    Acquired,
    Renewed,
    Released,
    /// Anything else: a duration, an annotation, an edit by hand.
    Changed,
    Deleted,
}

impl From<What> for Happened {
    fn from(what: What) -> Self {
        match what {
            What::Is => Self::Is,
            What::Acquired => Self::Acquired,
            What::Renewed => Self::Renewed,
            What::Released => Self::Released,
            What::Changed => Self::Changed,
            What::Deleted => Self::Deleted,
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    time: Timestamp,
    name: &'a str,
    event: What,
    #[serde(skip_serializing_if = "Option::is_none")]
    holder: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transitions: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
}

/// One lease under watch.
#[derive(Debug)]
struct Watched {
    name: String,
    last: Option<Versioned>,
    /// Whether anything was told about it yet.
    known: bool,
}

/// The exit code of the program.
pub(crate) async fn watch(arguments: &Arguments, global: &Global) -> Result<u8, Failure> {
    // Before anything is sent: what cannot be recorded need not be watched.
    let recorder = arguments.record.as_deref().map(Recorder::open).transpose()?;
    let store = backend::open(&global.backend).await?;
    let names = names(arguments, store.as_ref()).await?;
    let mut watched = Vec::with_capacity(names.len());
    let mut streams = Vec::with_capacity(names.len());
    for (index, name) in names.into_iter().enumerate() {
        streams.push(store.lock(&name)?.watch().map(move |event| (index, event)));
        watched.push(Watched { name, last: None, known: false });
    }
    let mut events: SelectAll<_> = select_all(streams);
    let mut watch = Watch { leases: watched, recorder, output: global.output };
    let mut ends = watch.begin(&global.backend.backend, store.namespace())?;
    loop {
        tokio::select! {
            // What has happened is noted before the end is.
            biased;
            event = events.next() => match event {
                Some((index, event)) => watch.happened(index, event)?,
                None => return Err(Failure::new(Code::Unreachable, "the watch has ended")),
            },
            signal = ends.next() => return watch.end(signal),
        }
    }
}

/// The signals that end a recording. Without one they end the program as they always do.
struct Ends(Vec<(SignalKind, unix::Signal)>);

impl Ends {
    async fn next(&mut self) -> SignalKind {
        std::future::poll_fn(|context| {
            let mut ready = self.0.iter_mut().filter_map(|(kind, stream)| {
                matches!(stream.poll_recv(context), Poll::Ready(Some(()))).then_some(*kind)
            });
            ready.next().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

/// Everything under watch, and where it is told.
struct Watch {
    leases: Vec<Watched>,
    recorder: Option<Recorder>,
    output: Output,
}

impl Watch {
    fn begin(&mut self, backend: &str, namespace: Option<&str>) -> Result<Ends, Failure> {
        let Some(recorder) = &mut self.recorder else { return Ok(Ends(Vec::new())) };
        let names: Vec<&str> = self.leases.iter().map(|lease| lease.name.as_str()).collect();
        recorder.begin(backend, namespace, &names)?;
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].into_iter();
        let streams = kinds.map(|kind| Ok((kind, unix::signal(kind)?))).collect::<std::io::Result<_>>();
        streams.map(Ends).map_err(|error| Failure::of(Code::System, &error))
    }

    fn happened(&mut self, index: usize, event: WatchEvent) -> Result<(), Failure> {
        let lease = &mut self.leases[index];
        let what = match event {
            WatchEvent::Ready => return self.record(index, Happened::Ready),
            WatchEvent::Changed(seen) => lease.changed(seen, self.output)?,
            WatchEvent::Deleted => lease.deleted(self.output)?,
            WatchEvent::Lost(Some(error)) if error.kind() == LockErrorKind::Denied => return Err(error.into()),
            WatchEvent::Lost(Some(error)) => {
                tracing::warn!(lease = lease.name, %error, "the watch was interrupted; changes may go unseen");
                return self.record(index, Happened::Lost);
            }
            WatchEvent::Lost(None) => {
                tracing::debug!(lease = lease.name, "the watch begins anew");
                return Ok(());
            }
        };
        what.map_or(Ok(()), |what| self.record(index, what.into()))
    }

    fn record(&mut self, index: usize, event: Happened) -> Result<(), Failure> {
        let Some(recorder) = &mut self.recorder else { return Ok(()) };
        let lease = &self.leases[index];
        let tells_of_a_record = !matches!(event, Happened::Ready | Happened::Lost);
        let seen = lease.last.as_ref().filter(|_| tells_of_a_record);
        Ok(recorder.note(&lease.name, event, seen)?)
    }

    fn end(&mut self, signal: SignalKind) -> Result<u8, Failure> {
        if let Some(recorder) = &mut self.recorder {
            recorder.end()?;
        }
        Ok(u8::try_from(128 + signal.as_raw_value()).unwrap_or(u8::MAX))
    }
}

async fn names(arguments: &Arguments, store: &dyn Store) -> Result<Vec<String>, Failure> {
    let names: Vec<String> = if arguments.names.is_empty() {
        store.list(false).await?.into_iter().map(|lease| lease.name).collect()
    } else {
        arguments.names.clone()
    };
    match names.len() {
        0 => Err(Failure::new(Code::No, "there is no lease to watch").help("name one: it need not exist yet")),
        1..=WATCHES_MAX => Ok(names),
        count => {
            let what = format!("{count} leases are too many to watch, each on a connection of its own");
            Err(Failure::new(Code::Usage, what).help(format!("name at most {WATCHES_MAX}")))
        }
    }
}

impl Watched {
    /// What changed; none when it was told before.
    fn changed(&mut self, seen: Versioned, output: Output) -> Result<Option<What>, Failure> {
        // A watch that reconnects tells the present state again.
        if self.last.as_ref().is_some_and(|last| last.version == seen.version) {
            return Ok(None);
        }
        let event = match &self.last {
            None if self.known && seen.record.holder.is_some() => What::Acquired,
            None if self.known => What::Changed,
            None => What::Is,
            Some(last) => what(&last.record, &seen.record),
        };
        self.known = true;
        let record = &seen.record;
        let line = Line {
            time: show::wall(),
            name: &self.name,
            event,
            holder: record.holder.as_ref().map(lease_core::HolderIdentity::as_str),
            transitions: Some(record.transitions),
            version: Some(seen.version.as_str()),
        };
        line.print(output)?;
        self.last = Some(seen);
        Ok(Some(event))
    }

    fn deleted(&mut self, output: Output) -> Result<Option<What>, Failure> {
        let was_there = self.last.take().is_some();
        if self.known && !was_there {
            return Ok(None);
        }
        self.known = true;
        let (time, name) = (show::wall(), self.name.as_str());
        Line { time, name, event: What::Deleted, holder: None, transitions: None, version: None }.print(output)?;
        Ok(Some(What::Deleted))
    }
}

fn what(before: &LeaseRecord, after: &LeaseRecord) -> What {
    let new_term = after.holder != before.holder || after.acquire_time != before.acquire_time;
    match (&before.holder, &after.holder) {
        (_, Some(_)) if new_term => What::Acquired,
        (Some(_), None) => What::Released,
        (_, Some(_)) if after.renew_time != before.renew_time => What::Renewed,
        _ => What::Changed,
    }
}

impl Line<'_> {
    fn print(&self, output: Output) -> Result<(), Failure> {
        let text = match output {
            Output::Json => serde_json::to_string(self).map_err(|error| Failure::of(Code::System, &error))? + "\n",
            Output::Yaml => format!("---\n{}", show::document(self, output)?),
            Output::Name => format!("{}\n", self.name),
            Output::Table => self.text(),
        };
        show::print(&text)
    }

    fn text(&self) -> String {
        let holder = self.holder.map_or_else(String::new, show::escaped);
        let (time, name) = (self.time, self.name);
        match self.event {
            What::Deleted => format!("{time}  {name}  deleted, or not there\n"),
            What::Released => format!("{time}  {name}  released\n"),
            What::Acquired => {
                let transitions = self.transitions.unwrap_or_default();
                format!("{time}  {name}  acquired by {holder}, transition {transitions}\n")
            }
            What::Renewed => format!("{time}  {name}  renewed by {holder}\n"),
            What::Is | What::Changed => {
                let verb = if self.event == What::Is { "is" } else { "was changed; it is" };
                let state = if holder.is_empty() { "free".to_owned() } else { format!("held by {holder}") };
                format!("{time}  {name}  {verb} {state}\n")
            }
        }
    }
}

/// Each watch is a connection.
const WATCHES_MAX: usize = 50;

#[cfg(test)]
mod tests {
    use lease_core::HolderIdentity;

    use super::*;

    fn record(holder: &str, acquired: i64, renewed: i64) -> LeaseRecord {
        LeaseRecord {
            holder: HolderIdentity::from_record(holder),
            acquire_time: Some(Timestamp::from_unix_micros(acquired)),
            renew_time: Some(Timestamp::from_unix_micros(renewed)),
            ..LeaseRecord::default()
        }
    }

    #[test]
    fn changes_are_named_for_what_they_mean() {
        let held = record("a", 1, 1);
        assert_eq!(what(&held, &record("a", 1, 2)), What::Renewed);
        assert_eq!(what(&held, &record("b", 2, 2)), What::Acquired);
        assert_eq!(what(&held, &record("a", 2, 2)), What::Acquired, "a new term of the same holder");
        assert_eq!(what(&held, &record("", 1, 2)), What::Released);
        assert_eq!(what(&record("", 1, 2), &record("a", 3, 3)), What::Acquired);
        let shorter = LeaseRecord { lease_duration: std::time::Duration::from_secs(1), ..held.clone() };
        assert_eq!(what(&held, &shorter), What::Changed);
    }
}
