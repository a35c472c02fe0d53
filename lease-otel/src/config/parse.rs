//! From the text of YAML to a tree whose nodes know where they stand.

mod build;
mod scalar;

use std::sync::Arc;

use saphyr_parser::{Event, Parser, Span};

use self::build::Builder;
use super::problems::Problems;
use super::tree::{Node, Place, Value};

/// The longest text that is read, in bytes: 10 MiB. What is longer is no configuration.
pub const TEXT_MAX: usize = 10 << 20;

/// How deep maps and lists may be within each other.
pub(crate) const DEPTH_MAX: usize = 64;

/// How many brackets and commas there may be. The parser looks for the end of what a bracket opens before it gives anything
/// of it, and takes a hundred bytes and more for each.
const BRACKETS_MAX: usize = 250_000;

/// After so many errors no more are looked for.
const ERRORS_MAX: usize = 100;

/// Reads the text of one YAML document, which `source` names in places; an empty one is nothing.
///
/// None when something was wrong, and then it is noted: all duplicate keys, and the first of other errors.
pub fn parse(source: &Arc<str>, text: &str, problems: &mut Problems) -> Option<Node> {
    let top = Place { source: Arc::clone(source), line: 0, column: 0 };
    if text.len() > TEXT_MAX {
        problems.error(&top, "", too_long());
        return None;
    }
    if text.bytes().filter(|byte| matches!(byte, b'[' | b']' | b'{' | b'}' | b',')).count() > BRACKETS_MAX {
        problems.error(&top, "", format_args!("over {BRACKETS_MAX} brackets and commas, which no configuration has"));
        return None;
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let before = problems.errors.len();
    let mut builder = Builder::new(problems, before + ERRORS_MAX);
    let mut documents = 0_usize;
    for event in Parser::new_from_str(text) {
        let (event, span) = match event {
            Ok(found) => found,
            Err(error) => {
                let mark = error.marker();
                let place = Place { line: mark.line().max(1), column: mark.col() + 1, ..top };
                // The parser has a limit of its own, beyond ours.
                if error.info() == "recursion limit exceeded" {
                    problems.error(&place, "", too_deep());
                    return None;
                }
                let has_reference = text.lines().nth(place.line - 1).is_some_and(|line| line.contains("${"));
                let hint = if has_reference { "; within [] and {} a `${...}` needs quotes" } else { "" };
                problems.error(&place, "", format_args!("this is not valid YAML: {}{hint}", error.info()));
                return None;
            }
        };
        if matches!(event, Event::DocumentStart(_)) {
            documents += 1;
            if documents > 1 {
                let message = "another document begins here; one is expected: give each a --config of its own";
                problems.error(&place(source, span), "", message);
                return None;
            }
        }
        builder.take(event, place(source, span))?;
    }
    let node = builder.finish().unwrap_or_else(|| Node::new(Place { line: 1, column: 1, ..top }, Value::Null));
    (problems.errors.len() == before).then_some(node)
}

/// What is said of a text that is too long.
pub(crate) fn too_long() -> String {
    format!("longer than {} MiB, which no configuration is", TEXT_MAX >> 20)
}

/// What is said where maps and lists are too deep within each other.
fn too_deep() -> String {
    format!("maps and lists are nested more than {DEPTH_MAX} deep here")
}

fn place(source: &Arc<str>, span: Span) -> Place {
    Place { source: Arc::clone(source), line: span.start.line().max(1), column: span.start.col() + 1 }
}

#[cfg(test)]
mod tests;
