//! Where a configuration comes from.

use std::env::VarError;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::str::FromStr;
use std::sync::Arc;

use super::merge::{merge, nested, unfold};
use super::parse::{DEPTH_MAX, TEXT_MAX, parse, too_long};
use super::problems::{Problems, nearest};
use super::tree::{Key, Node, Place, Value};

/// Gives the value of a variable of the environment; [`std::env::var`] is that of the process.
pub type Environment<'a> = &'a dyn Fn(&str) -> Result<String, VarError>;

/// A part of a configuration: what one `--config` or one `--set` names.
#[derive(Clone, PartialEq, Eq)]
pub enum Source {
    /// `PATH` or `file:PATH`: a file.
    File(String),
    /// `env:NAME`: a variable that holds YAML; `env:NAME:-TEXT` has a default.
    Env(String),
    /// `yaml:TEXT`: YAML itself, with `::` between the keys of a path.
    Yaml(String),
    /// `--set KEY.KEY=VALUE`: one value.
    Set {
        /// The keys, with dots between them.
        keys: String,
        /// YAML.
        value: String,
    },
}

/// A text names no part of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSource {
    /// It is nothing.
    #[error("a path, file:PATH, env:NAME or yaml:TEXT is expected")]
    Empty,
    /// It is behind something that this does not speak.
    #[error("`{scheme}:` is not a place to read from; write a path, file:PATH, env:NAME or yaml:TEXT")]
    Scheme {
        /// What stands before the colon.
        scheme: Box<str>,
    },
    /// It has no `=`, or no key before it.
    #[error("KEY.KEY=VALUE is expected, as in exporters.debug.verbosity=detailed")]
    Set,
}

impl Source {
    /// What `--set` says.
    pub fn set(text: &str) -> Result<Self, InvalidSource> {
        let (keys, value) = text.split_once('=').ok_or(InvalidSource::Set)?;
        let keys = keys.trim();
        if keys.is_empty() {
            return Err(InvalidSource::Set);
        }
        Ok(Self::Set { keys: keys.to_owned(), value: value.trim().to_owned() })
    }

    /// What it is called where something is wrong with it. No values: they may be secret.
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => path.clone(),
            Self::Env(name) => format!("env:{}", name.split_once(":-").map_or(name.as_str(), |(name, _)| name)),
            Self::Yaml(_) => "yaml".to_owned(),
            Self::Set { keys, .. } => format!("--set {keys}"),
        }
    }

    /// What it holds: a map, with every `::` unfolded. None when that could not be read, and then it is noted.
    pub(crate) fn read(&self, environment: Environment<'_>, problems: &mut Problems) -> Option<Node> {
        let name: Arc<str> = self.name().into();
        let top = Place { source: Arc::clone(&name), line: 0, column: 0 };
        let before = problems.errors.len();
        let mut node = match self {
            Self::Set { keys, value } => set(keys, value, &top, problems)?,
            _ => parse(&name, &self.text(&top, environment, problems)?, problems)?,
        };
        match node.value {
            Value::Null => node.value = Value::Map(Vec::new()),
            Value::Map(_) => unfold(&mut node, problems),
            ref other => {
                let message = format_args!("a map of sections is expected here, not {}", other.kind());
                problems.error(&node.place, "", message);
            }
        }
        (problems.errors.len() == before).then_some(node)
    }

    fn text(&self, top: &Place, environment: Environment<'_>, problems: &mut Problems) -> Option<String> {
        match self {
            Self::File(path) => {
                let text = read_file(path);
                text.map_err(|error| problems.error(top, "", format_args!("the file cannot be read: {error}"))).ok()
            }
            Self::Env(name) => {
                let text = variable(name, environment);
                text.map_err(|message| problems.error(top, "", message)).ok()
            }
            Self::Yaml(text) => Some(text.clone()),
            Self::Set { value, .. } => Some(value.clone()),
        }
    }
}

/// One value below its keys.
fn set(keys: &str, value: &str, top: &Place, problems: &mut Problems) -> Option<Node> {
    let mut value = parse(&top.source, value, problems)?;
    forget_lines(&mut value, top);
    let names: Vec<&str> = keys.split("::").flat_map(|part| part.split('.')).map(str::trim).collect();
    if names.iter().any(|name| name.is_empty()) || names.len() > DEPTH_MAX / 2 {
        problems.error(top, "", "this is not a list of keys with dots between them");
        return None;
    }
    let key = Key { name: keys.to_owned(), place: top.clone() };
    let mut root = Node::new(top.clone(), Value::Map(Vec::new()));
    merge(&mut root, Node::new(top.clone(), Value::Map(vec![nested(&names, &key, value)])));
    Some(root)
}

/// Lets a node and all below it stand at a place.
pub(crate) fn forget_lines(node: &mut Node, place: &Place) {
    node.place = place.clone();
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(|item| forget_lines(item, place)),
        Value::Map(entries) => {
            for (key, node) in entries {
                key.place = place.clone();
                forget_lines(node, place);
            }
        }
        _ => {}
    }
}

/// The text of a file of UTF-8, if it is no longer than a configuration may be.
pub(crate) fn read_file(path: &str) -> io::Result<String> {
    let mut bytes = Vec::new();
    // One byte more than there may be; a device or pipe has no length to ask for.
    File::open(path)?.take(TEXT_MAX as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > TEXT_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, too_long()));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = good.split(|byte| *byte == b'\n').count();
        io::Error::new(io::ErrorKind::InvalidData, format!("it is not UTF-8 from line {line} on"))
    })
}

/// The value of a variable, or its default: `NAME` or `NAME:-DEFAULT`.
pub(crate) fn variable(text: &str, environment: Environment<'_>) -> Result<String, String> {
    let (name, default) = match text.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (text, None),
    };
    if name.is_empty() {
        return Err("the name of a variable is missing: write ${env:NAME}, and `$$` for a literal `$`".to_owned());
    }
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_name {
        return Err(format!("`{name}` is not the name of a variable: letters, digits and _ are expected"));
    }
    match (environment(name), default) {
        (Ok(value), _) if value.len() > TEXT_MAX => Err(format!("the variable `{name}` is {}", too_long())),
        (Ok(value), _) => Ok(value),
        (Err(VarError::NotPresent), Some(default)) => Ok(default.to_owned()),
        (Err(VarError::NotPresent), None) => {
            Err(format!("the variable `{name}` is not set; set it, or give a default: ${{env:{name}:-DEFAULT}}"))
        }
        (Err(VarError::NotUnicode(_)), _) => Err(format!("the variable `{name}` is not UTF-8")),
    }
}

/// What stands before the colon, if that can be the name of a way to read something.
pub(crate) fn scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    // A single letter is a drive.
    let is_scheme = scheme.len() > 1
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '.' | '-'));
    is_scheme.then_some((scheme, rest))
}

impl FromStr for Source {
    type Err = InvalidSource;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match scheme(text) {
            _ if text.is_empty() => Err(InvalidSource::Empty),
            None => Ok(Self::File(text.to_owned())),
            Some(("file" | "env", "")) => Err(InvalidSource::Empty),
            Some(("file", path)) => Ok(Self::File(path.to_owned())),
            Some(("env", name)) => Ok(Self::Env(name.to_owned())),
            Some(("yaml", text)) => Ok(Self::Yaml(text.to_owned())),
            Some((scheme, _)) => Err(InvalidSource::Scheme { scheme: scheme.into() }),
        }
    }
}

impl fmt::Debug for Source {
    /// Without values, which may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({})", self.name())
    }
}

/// What is said of a reference to something that this does not speak.
pub(crate) fn unknown_scheme(scheme: &str) -> String {
    let known = ["env", "file", "yaml"];
    match nearest(scheme, known) {
        Some(near) => format!("`{scheme}:` is not a place to read from; did you mean `{near}:`?"),
        None => format!("`{scheme}:` is not a place to read from; known are env:, file: and yaml:"),
    }
}

#[cfg(test)]
mod tests;
