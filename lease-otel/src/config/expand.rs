//! Replaces `${...}` by what it names, and `$$` by `$`, in every value.

mod text;

use std::collections::HashSet;

use self::text::Expanded;
use super::merge::unfold;
use super::parse::{DEPTH_MAX, TEXT_MAX, parse};
use super::problems::Problems;
use super::source::{Environment, forget_lines, read_file, scheme, unknown_scheme, variable};
use super::tree::{Node, Place, Value};

/// How many `${...}` are followed, those within what others name counted.
const REFERENCES_MAX: usize = 10_000;

/// How long all that they name may be together. Some of it is read twice: as YAML and as text.
const BYTES_MAX: usize = 4 * TEXT_MAX;

/// What is said of a reference that does not end.
const UNCLOSED: &str = "a `}` is missing for a `${`: write ${env:NAME}, and `$$` for a literal `$`";

/// What was found wrong while values were expanded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Failed {
    /// The paths of the values that are not known, so that nobody is told that they are missing.
    paths: HashSet<String>,
}

impl Failed {
    /// Whether a whole section is not known, so that little can be said of the others.
    pub(crate) fn has_section(&self) -> bool {
        self.paths.iter().any(|path| !path.contains('.'))
    }

    /// How many values are not known.
    pub(crate) fn count(&self) -> usize {
        self.paths.len()
    }

    /// Whether the value at a path is not known, or one that it is in.
    pub(crate) fn is_about(&self, path: &str) -> bool {
        let ends = path.match_indices(['.', '[']).map(|(at, _)| at).chain([path.len()]);
        ends.into_iter().any(|end| self.paths.contains(&path[..end]))
    }
}

/// Expands all values of a tree; what cannot be is noted, and becomes nothing.
pub(crate) fn expand(root: &mut Node, environment: Environment<'_>, problems: &mut Problems) -> Failed {
    let mut expander = Expander {
        environment,
        problems,
        references: 0,
        bytes: 0,
        is_exhausted: false,
        following: Vec::new(),
        failed: Failed::default(),
    };
    expander.node(root, "", 0);
    expander.failed
}

struct Expander<'a> {
    environment: Environment<'a>,
    problems: &'a mut Problems,
    references: usize,
    /// The length of all that was named.
    bytes: usize,
    is_exhausted: bool,
    /// The references that led here, one within what the other names.
    following: Vec<String>,
    failed: Failed,
}

impl Expander<'_> {
    fn node(&mut self, node: &mut Node, path: &str, depth: usize) {
        if depth > DEPTH_MAX {
            let message = format_args!("maps and lists are nested more than {DEPTH_MAX} deep here");
            self.problems.error(&node.place, path, message);
            *node = Node::new(node.place.clone(), Value::Null);
            return;
        }
        match &mut node.value {
            Value::String(text) => {
                // Nearly all texts.
                if !text.contains('$') {
                    return;
                }
                let text = std::mem::take(text);
                *node = self.string(&text, &node.place, path, depth);
            }
            Value::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.node(item, &format!("{path}[{index}]"), depth + 1);
                }
            }
            Value::Map(entries) => {
                for (key, value) in entries {
                    let dot = if path.is_empty() { "" } else { "." };
                    self.node(value, &format!("{path}{dot}{}", key.name), depth + 1);
                }
            }
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => {}
        }
    }

    /// A text: any value where all of it is one reference, and text otherwise.
    fn string(&mut self, text: &str, place: &Place, path: &str, depth: usize) -> Node {
        let found = match text::expand(text, &mut |reference| self.inline(reference)) {
            // What is named may be a secret of any characters; what is written here is a slip.
            Ok(Expanded::Unclosed(_)) if self.following.is_empty() => Err(UNCLOSED.to_owned()),
            Ok(Expanded::Text(text) | Expanded::Unclosed(text)) => {
                return Node::new(place.clone(), Value::String(text));
            }
            Ok(Expanded::Reference(reference)) => self.whole(&reference, place, path, depth),
            Err(message) => Err(message),
        };
        found.unwrap_or_else(|message| {
            self.fail(place, path, &message);
            Node::new(place.clone(), Value::Null)
        })
    }

    fn fail(&mut self, place: &Place, path: &str, message: &str) {
        self.failed.paths.insert(path.to_owned());
        self.problems.error(place, path, message);
    }

    /// What a reference within other text names, as text.
    fn inline(&mut self, reference: &str) -> Result<String, String> {
        self.follow(reference, |this, text| match text::expand(&text, &mut |inner| this.inline(inner))? {
            Expanded::Text(text) | Expanded::Unclosed(text) => Ok(text),
            Expanded::Reference(inner) => this.inline(&inner),
        })
    }

    /// What a reference names, as YAML types it; where YAML sees a text, or none of it, that is its text, quotes and all.
    fn whole(&mut self, reference: &str, place: &Place, path: &str, depth: usize) -> Result<Node, String> {
        let reference = qualified(reference);
        self.follow(&reference, |this, text| {
            // An empty default is an empty text, and an empty variable is nothing.
            let is_default = text.is_empty() && reference.ends_with(":-");
            let mut node = match this.typed(&reference, &text, place, path) {
                Some(node) if !is_default => node,
                _ => Node::new(place.clone(), Value::String(text)),
            };
            if let Value::String(text) = &node.value {
                return Ok(this.string(&text.clone(), place, path, depth));
            }
            this.node(&mut node, path, depth);
            Ok(node)
        })
        .map(|mut node| {
            if !matches!(node.value, Value::String(_)) && node.written.is_none() {
                // Whoever wants a text gets what was written, if that can be expanded at all.
                node.written = self.inline(&reference).ok().map(Into::into);
            }
            node
        })
    }

    /// The value that YAML sees in a text; none when it sees a text, or when it is no YAML.
    fn typed(&mut self, reference: &str, text: &str, place: &Place, path: &str) -> Option<Node> {
        let is_file = reference.starts_with("file:");
        let source = if is_file { reference["file:".len()..].into() } else { place.source.clone() };
        let mut quiet = Problems::default();
        let Some(mut node) = parse(&source, text, &mut quiet) else {
            // A token or certificate is no YAML either, but has no `key: value`.
            if let Some(error) = quiet.errors.first().filter(|_| is_file && text.contains(": ")) {
                let message = format_args!("this file is not YAML and is taken as text: {error}");
                self.problems.warning(place, path, message);
            }
            return None;
        };
        match node.value {
            Value::String(_) => return None,
            Value::Map(_) | Value::List(_) if is_file => {}
            _ => forget_lines(&mut node, place),
        }
        node.written = None;
        unfold(&mut node, &mut quiet);
        quiet.errors.is_empty().then_some(node)
    }

    /// Hands the text that a reference names to `then`, unless following it would never end.
    fn follow<T>(
        &mut self,
        reference: &str,
        then: impl FnOnce(&mut Self, String) -> Result<T, String>,
    ) -> Result<T, String> {
        let reference = qualified(reference);
        if let Some(at) = self.following.iter().position(|earlier| *earlier == reference) {
            let chain: Vec<&str> = self.following[at..].iter().chain([&reference]).map(String::as_str).collect();
            return Err(format!("this leads back to itself: {}", chain.join(" -> ")));
        }
        if self.following.len() >= DEPTH_MAX {
            return Err(format!("more than {DEPTH_MAX} references follow each other here"));
        }
        if reference.contains('$') {
            return Err("`$` cannot stand within `${...}`".to_owned());
        }
        let text = self.retrieve(&reference)?;
        self.references += 1;
        self.bytes += text.len();
        if self.references > REFERENCES_MAX || self.bytes > BYTES_MAX || self.is_exhausted {
            self.is_exhausted = true;
            return Err(format!(
                "the configuration becomes too large here: over {REFERENCES_MAX} references, or {} MiB of what they name",
                BYTES_MAX >> 20
            ));
        }
        self.following.push(reference);
        let found = then(self, text);
        self.following.pop();
        found
    }

    fn retrieve(&self, reference: &str) -> Result<String, String> {
        match scheme(reference) {
            Some(("env", name)) => variable(name, self.environment),
            Some(("file", path)) => {
                read_file(path).map_err(|error| format!("the file `{path}` cannot be read: {error}"))
            }
            Some(("yaml", text)) => Ok(text.to_owned()),
            Some((scheme, _)) => Err(unknown_scheme(scheme)),
            None => Err("this names nothing; write ${env:NAME}, ${file:PATH} or ${yaml:TEXT}".to_owned()),
        }
    }
}

/// A reference with how it is read: a name alone, or with a default, is that of a variable.
fn qualified(reference: &str) -> String {
    let name = reference.split_once(":-").map_or(reference, |(name, _)| name);
    if name.contains(':') { reference.to_owned() } else { format!("env:{reference}") }
}

#[cfg(test)]
mod tests;
