//! `lease validate`.

use lease_otel::config::{Collector, Problem, Problems};
use serde::Serialize;

use super::{Sources, is_document, no_names, warn, wrong};
use crate::cli::{Global, Output};
use crate::collector::registry;
use crate::exit::{Code, Failure};
use crate::show;

/// What was found, as programs read it.
#[derive(Debug, Serialize)]
struct Verdict<'a> {
    valid: bool,
    errors: Vec<Found<'a>>,
    warnings: Vec<Found<'a>>,
}

#[derive(Debug, Serialize)]
struct Found<'a> {
    source: &'a str,
    /// From 1 on, where the source has lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
    path: &'a str,
    message: &'a str,
}

/// Checks a configuration without starting anything.
pub(crate) fn validate(sources: &Sources, global: &Global) -> Result<u8, Failure> {
    if global.output == Output::Name {
        return Err(no_names("validate"));
    }
    let mut loaded = sources.resolve().configure(&registry());
    if let Ok(loaded) = &mut loaded {
        let search = std::env::var_os("PATH");
        loaded.warnings.extend(loaded.named.iter().filter_map(|named| named.missing(search.as_deref())));
    }
    if is_document(global.output) {
        let nothing = Problems::default();
        let (errors, warnings) = match &loaded {
            Ok(loaded) => (&nothing.errors, &loaded.warnings),
            Err(problems) => (&problems.errors, &problems.warnings),
        };
        let verdict = Verdict { valid: loaded.is_ok(), errors: all(errors), warnings: all(warnings) };
        show::offer(&show::document(&verdict, global.output)?)?;
        return Ok(if loaded.is_ok() { 0 } else { Code::Configuration as u8 });
    }
    let loaded = loaded.map_err(|problems| {
        warn(&problems.warnings, global);
        wrong(&problems)
    })?;
    warn(&loaded.warnings, global);
    show::print(&summary(&loaded.collector)).map(|()| 0)
}

fn all(problems: &[Problem]) -> Vec<Found<'_>> {
    problems.iter().map(found).collect()
}

fn found(problem: &Problem) -> Found<'_> {
    let place = &problem.place;
    let has_line = place.line > 0;
    Found {
        source: &place.source,
        line: has_line.then_some(place.line),
        column: has_line.then_some(place.column),
        path: &problem.path,
        message: &problem.message,
    }
}

fn summary(collector: &Collector) -> String {
    let count = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let counts = [
        count(collector.pipelines.len(), "pipeline"),
        count(collector.receivers.len(), "receiver"),
        count(collector.processors.len(), "processor"),
        count(collector.exporters.len(), "exporter"),
        count(collector.extensions.len(), "extension"),
    ];
    format!("valid: {}\n", counts.join(", "))
}
