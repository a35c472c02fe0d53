//! YAML as a tree whose nodes know where they stand.

use std::fmt;
use std::sync::{Arc, OnceLock};

/// Where something stands: the source, and the line and column from 1 on; no line where the source has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// A file's path, or how else it was given: `--set exporters.debug.verbosity`.
    pub source: Arc<str>,
    /// The line, from 1 on; 0 where there is none.
    pub line: usize,
    /// The column, from 1 on.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            f.write_str(&self.source)
        } else {
            write!(f, "{}:{}:{}", self.source, self.line, self.column)
        }
    }
}

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub place: Place,
    /// The keys that lead there, with dots between them.
    pub path: String,
}

/// A node of the tree.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it begins.
    pub place: Place,
    /// What it is.
    pub value: Value,
    /// How it is written, where that is not plain from the value: `0123` for 83, `1.10` for 1.1, or the whole text of a
    /// variable of which YAML makes a list. Whoever wants a text takes this one.
    pub written: Option<Box<str>>,
    /// Set when somebody has taken it as a text: then it is shown as one.
    taken: OnceLock<()>,
}

impl Node {
    /// A node of which nothing else is known.
    pub fn new(place: Place, value: Value) -> Self {
        Self::written(place, value, None)
    }

    /// A node that is written so, where that is not plain from the value.
    pub fn written(place: Place, value: Value, written: Option<Box<str>>) -> Self {
        Self { place, value, written, taken: OnceLock::new() }
    }

    /// It as a text, if it can be one: numbers and truth values are taken as they are written.
    pub fn text(&self) -> Option<String> {
        if let Some(written) = &self.written {
            // More than once is the same.
            let _ = self.taken.set(());
            return Some(written.to_string());
        }
        match &self.value {
            Value::String(text) => Some(text.clone()),
            Value::Bool(value) => Some(value.to_string()),
            Value::Int(value) => Some(value.to_string()),
            Value::Float(value) => Some(value.to_string()),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// How it is written, if that is what somebody has taken, and not the value.
    pub(super) fn taken(&self) -> Option<&str> {
        self.taken.get().and(self.written.as_deref())
    }
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing: a key without a value, `~` or `null`.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Another number.
    Float(f64),
    /// Text.
    String(String),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of its keys, each of which it has once.
    Map(Vec<(Key, Node)>),
}

/// A key of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The key.
    pub name: String,
    /// Where it stands.
    pub place: Place,
}

impl Value {
    /// What it is called in a message.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a truth value",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::String(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}
