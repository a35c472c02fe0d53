//! Which servers a run must have, and a record of the tests that were left out.
//!
//! `LEASE_TEST_REQUIRE=kube-apiserver,etcd` makes a missing server a failure. Without it a test that lacks its
//! server passes, but never in silence: one line goes to the file named by `LEASE_TEST_SKIPPED`, or to standard error.

use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::{env, thread};

/// The names that `LEASE_TEST_REQUIRE` may hold.
pub const NAMES: [&str; 3] = ["kube-apiserver", "etcd", "elector"];

/// A name in `LEASE_TEST_REQUIRE` that means nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("LEASE_TEST_REQUIRE names {name:?}, known are {}", NAMES.join(", "))]
pub struct UnknownName {
    /// The name as it was given.
    pub name: String,
}

/// The servers named in a value of `LEASE_TEST_REQUIRE`; empty for an empty value.
///
/// # Errors
/// The first unknown name: a typo must not turn a required server into an optional one.
pub fn parse(value: &str) -> Result<Vec<&'static str>, UnknownName> {
    let names = value.split(',').map(str::trim).filter(|name| !name.is_empty());
    names
        .map(|name| {
            let known = NAMES.into_iter().find(|known| *known == name);
            known.ok_or_else(|| UnknownName { name: name.to_owned() })
        })
        .collect()
}

/// Whether this run must have the server.
///
/// # Panics
/// When `LEASE_TEST_REQUIRE` holds an unknown name.
pub fn is_required(server: &str) -> bool {
    let value = env::var("LEASE_TEST_REQUIRE").unwrap_or_default();
    match parse(&value) {
        Ok(names) => names.contains(&server),
        Err(unknown) => panic!("{unknown}"),
    }
}

/// Leaves the calling test out because `servers` cannot be had, or fails it if the run requires one of them.
///
/// # Panics
/// With the reason, when one of the servers is required.
pub fn left_out(servers: &[&str], reason: &dyn Display) {
    for server in servers {
        assert!(!is_required(server), "{server} is required, but: {reason}");
    }
    // The test harness names each thread for its test.
    let test = thread::current().name().unwrap_or("a test").to_owned();
    let line = format!("{test}: {}\n", reason.to_string().replace('\n', " "));
    let written = match env::var_os("LEASE_TEST_SKIPPED") {
        Some(path) => OpenOptions::new().append(true).create(true).open(path).and_then(|f| write_at_once(f, &line)),
        // Past the capture of the harness, which shows nothing of a test that passes.
        None => write_at_once(io::stderr(), &format!("left out: {line}")),
    };
    written.expect("a skipped test must be on record, so the file of LEASE_TEST_SKIPPED can be written");
}

/// One write, so that lines of tests that run at once do not mix.
fn write_at_once(mut to: impl Write, line: &str) -> io::Result<()> {
    to.write_all(line.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_with_spaces_and_empty_items() {
        assert_eq!(parse("kube-apiserver, etcd,"), Ok(vec!["kube-apiserver", "etcd"]));
        assert_eq!(parse(""), Ok(vec![]));
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_known_ones() {
        let error = parse("etcd,kube-apisrever").unwrap_err();
        assert_eq!(
            error.to_string(),
            "LEASE_TEST_REQUIRE names \"kube-apisrever\", known are kube-apiserver, etcd, elector"
        );
    }
}
