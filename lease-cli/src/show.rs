//! Leases as people and programs read them.

use std::io::{self, Write};

use lease_core::{LeaseRecord, Timestamp};
use serde::Serialize;

use crate::backend::Listed;
use crate::cli::Output;
use crate::exit::{Code, Failure};

/// A lease as programs read it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Row {
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    name: String,
    holder: Option<String>,
    state: State,
    renew_time: Option<Timestamp>,
    /// The holder's clock and the duration; compared to another clock it is an estimate.
    expires_estimate: Option<Timestamp>,
    acquire_time: Option<Timestamp>,
    lease_duration_seconds: f64,
    transitions: u32,
    token_revision: Option<String>,
    created: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

/// Whether somebody holds it, as far as one look can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// It was renewed within its duration, by the wall clocks.
    Held,
    /// It was not; only a candidate that watched it can know.
    Expired,
    /// Nobody holds it.
    Free,
    /// The record cannot be understood.
    Malformed,
}

impl State {
    pub(crate) fn of(record: &LeaseRecord, now: Timestamp) -> Self {
        match (&record.holder, expiry(record)) {
            (None, _) => Self::Free,
            (Some(_), Some(expiry)) if micros_between(now, expiry) > 0 => Self::Held,
            (Some(_), _) => Self::Expired,
        }
    }

    fn shown(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Expired => "~expired",
            Self::Free => "free",
            Self::Malformed => "malformed",
        }
    }
}

impl Row {
    pub(crate) fn new(listed: &Listed, now: Timestamp) -> Self {
        let (problem, seen) = match &listed.lease {
            Ok(seen) => (None, Some(seen)),
            Err(error) => (Some(error.to_string()), error.unreadable()),
        };
        let unknown = LeaseRecord::default();
        let record = seen.map_or(&unknown, |seen| &seen.record);
        Self {
            namespace: listed.namespace.clone(),
            name: listed.name.clone(),
            holder: record.holder.as_ref().map(|holder| holder.as_str().to_owned()),
            state: if problem.is_some() { State::Malformed } else { State::of(record, now) },
            renew_time: record.renew_time,
            expires_estimate: record.holder.as_ref().and_then(|_| expiry(record)),
            acquire_time: record.acquire_time.filter(|_| record.holder.is_some()),
            lease_duration_seconds: record.lease_duration.as_secs_f64(),
            transitions: record.transitions,
            token_revision: seen.and_then(|seen| seen.revision).map(|revision| revision.to_string()),
            created: listed.created,
            problem,
        }
    }

    /// What is odd about its times, for people.
    fn doubt(&self, now: Timestamp) -> Option<String> {
        let ahead_us = micros_between(now, self.renew_time?);
        let holder = self.holder.as_deref().filter(|_| ahead_us > CLOCKS_DIFFER_US)?;
        let (name, holder, ahead) = (&self.name, escaped(holder), age(ahead_us));
        Some(format!(
            "{name}: renewed in the future by {ahead}: the clock of {holder} is ahead of this one, or this one is behind; \
             candidates do not compare them, but EXPIRES is too late by that"
        ))
    }

    fn cells(&self, now: Timestamp, with_namespace: bool) -> Vec<String> {
        let ago = |time: Option<Timestamp>| time.map_or_else(|| NONE.to_owned(), |time| age(micros_between(time, now)));
        let expires = self.expires_estimate.map_or_else(
            || NONE.to_owned(),
            |expiry| match micros_between(now, expiry) {
                left_us @ 0.. => format!("~{}", age(left_us)),
                past_us => format!("~{} ago", age(past_us.saturating_neg())),
            },
        );
        let renewed = self.renew_time.map_or_else(
            || NONE.to_owned(),
            |time| match micros_between(now, time) {
                ahead_us if ahead_us > CLOCKS_DIFFER_US => format!("{} ahead", age(ahead_us)),
                _ => format!("{} ago", ago(Some(time))),
            },
        );
        let mut cells = vec![
            self.name.clone(),
            self.holder.as_deref().map_or_else(|| NONE.to_owned(), escaped),
            self.state.shown().to_owned(),
            renewed,
            expires,
            ago(self.acquire_time),
            self.transitions.to_string(),
            ago(self.created),
        ];
        if with_namespace {
            cells.insert(0, self.namespace.clone().unwrap_or_default());
        }
        cells
    }
}

/// Writes leases to standard output.
pub(crate) fn leases(listed: &[Listed], output: Output, with_namespace: bool) -> Result<(), Failure> {
    let now = wall();
    let rows: Vec<Row> = listed.iter().map(|listed| Row::new(listed, now)).collect();
    let text = match output {
        Output::Table => {
            rows.iter().filter_map(|row| row.doubt(now)).for_each(|doubt| tracing::warn!("{doubt}"));
            let mut table = vec![HEADINGS[usize::from(!with_namespace)..].iter().map(ToString::to_string).collect()];
            table.extend(rows.iter().map(|row| row.cells(now, with_namespace)));
            columns(&table)
        }
        Output::Name => rows.iter().flat_map(|row| [row.name.as_str(), "\n"]).collect(),
        Output::Json | Output::Yaml => document(&rows, output)?,
    };
    print(&text)
}

/// One value as JSON or YAML.
pub(crate) fn document(value: &impl Serialize, output: Output) -> Result<String, Failure> {
    if output == Output::Yaml {
        return serde_saphyr::to_string(value).map_err(|error| Failure::of(Code::System, &error));
    }
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::of(Code::System, &error))?;
    Ok(text + "\n")
}

/// Writes to standard output. A reader that has seen enough ends the program without a word.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(Failure::of(Code::System, &error)),
        Ok(()) => Ok(()),
    }
}

/// Writes to standard output, and goes on where the reader has seen enough: the verdict is in the exit code too.
pub(crate) fn offer(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::of(Code::System, &error)),
        _ => Ok(()),
    }
}

/// The wall clock.
pub(crate) fn wall() -> Timestamp {
    Timestamp::from_unix_micros(jiff::Timestamp::now().as_microsecond())
}

/// Whatever a record holds, without what would harm a terminal.
pub(crate) fn escaped(text: &str) -> String {
    if text.chars().any(char::is_control) { text.escape_debug().to_string() } else { text.to_owned() }
}

/// An age as kubectl shows it: its two largest units.
fn age(micros: i64) -> String {
    let seconds = micros.max(0) / 1_000_000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{}s", seconds % 60),
        (0, _, _) => format!("{hours}h{minutes}m"),
        _ => format!("{days}d{hours}h"),
    }
}

/// By the holder's clock.
fn expiry(record: &LeaseRecord) -> Option<Timestamp> {
    let duration_us = i64::try_from(record.lease_duration.as_micros()).ok()?;
    record.renew_time?.unix_micros().checked_add(duration_us).map(Timestamp::from_unix_micros)
}

/// From one wall time to another, for people.
fn micros_between(from: Timestamp, to: Timestamp) -> i64 {
    to.unix_micros().saturating_sub(from.unix_micros())
}

/// A table of texts, each column as wide as its widest.
pub(crate) fn columns(table: &[Vec<String>]) -> String {
    let width = |column: usize| table.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..table[0].len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("   ").trim_end().to_owned() + "\n"
    };
    table.iter().map(line).collect()
}

const HEADINGS: [&str; 9] =
    ["NAMESPACE", "NAME", "HOLDER", "STATE", "RENEWED", "EXPIRES", "HELD", "TRANSITIONS", "AGE"];
const NONE: &str = "-";
/// Clocks that differ by less are usual.
const CLOCKS_DIFFER_US: i64 = 2_000_000;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lease_core::{HolderIdentity, LockError, Version, Versioned};

    use super::*;

    fn listed(record: LeaseRecord) -> Listed {
        let version = Version::new("7");
        let lease = Ok(Versioned { record, version, revision: Some(7), attachment: lease_core::Attachment::NONE });
        Listed { namespace: Some("prod".into()), name: "db".into(), created: None, lease }
    }

    fn record(holder: &str, renewed_s: i64) -> LeaseRecord {
        let time = |seconds: i64| Some(Timestamp::from_unix_micros(seconds * 1_000_000));
        LeaseRecord {
            holder: HolderIdentity::from_record(holder),
            lease_duration: Duration::from_secs(15),
            acquire_time: time(0),
            renew_time: time(renewed_s),
            transitions: 3,
            ..LeaseRecord::default()
        }
    }

    #[test]
    fn a_lease_is_shown_in_columns() {
        let now = Timestamp::from_unix_micros(100_000_000);
        let cells = |record| Row::new(&listed(record), now).cells(now, false);
        assert_eq!(cells(record("a", 98)), ["db", "a", "held", "2s ago", "~13s", "1m40s", "3", "-"]);
        assert_eq!(
            cells(record("a\u{1b}", 70)),
            ["db", "a\\u{1b}", "~expired", "30s ago", "~15s ago", "1m40s", "3", "-"]
        );
        assert_eq!(cells(record("", 98)), ["db", "-", "free", "2s ago", "-", "-", "3", "-"]);
        let broken = Listed { lease: Err(LockError::malformed("no Lease", None)), ..listed(record("a", 98)) };
        assert_eq!(Row::new(&broken, now).state, State::Malformed);
    }

    #[test]
    fn a_renewal_in_the_future_is_told() {
        let now = Timestamp::from_unix_micros(100_000_000);
        let row = |renewed_s| Row::new(&listed(record("a", renewed_s)), now);
        assert_eq!(row(400).cells(now, false)[3..5], ["5m0s ahead", "~5m15s"]);
        let doubt = row(400).doubt(now).unwrap();
        assert!(doubt.starts_with("db: renewed in the future by 5m0s: the clock of a is ahead"), "{doubt}");
        assert_eq!((row(101).cells(now, false)[3].as_str(), row(101).doubt(now)), ("0s ago", None));
        assert_eq!(Row::new(&listed(record("", 400)), now).doubt(now), None);
    }

    #[test]
    fn absurd_times_do_no_harm() {
        let now = Timestamp::from_unix_micros(i64::MAX);
        let row = Row::new(&listed(record("a", -9_000_000_000_000)), now);
        assert_eq!(row.state, State::Expired);
        assert_eq!(row.cells(now, true).len(), HEADINGS.len());
    }

    #[test]
    fn ages_have_two_units() {
        for (seconds, shown) in [(0, "0s"), (59, "59s"), (61, "1m1s"), (7_260, "2h1m"), (200_000, "2d7h")] {
            assert_eq!(age(seconds * 1_000_000), shown);
        }
    }
}
