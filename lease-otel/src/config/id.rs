//! Names of components.

use std::fmt;
use std::str::FromStr;

/// The name of a component: a kind, and after a `/` what tells it from others of that kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ComponentId {
    kind: Box<str>,
    name: Box<str>,
}

/// A text names no component.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` names no component: write a kind, or KIND/NAME")]
pub struct InvalidId {
    text: Box<str>,
}

impl ComponentId {
    /// The kind: what stands before the `/`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// What stands after the `/`; empty if nothing does.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl FromStr for ComponentId {
    type Err = InvalidId;

    /// Spaces around either part are left out, as the Collector does.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, name) = match text.split_once('/') {
            Some((kind, name)) => (kind.trim(), Some(name.trim())),
            None => (text.trim(), None),
        };
        let is_kind = kind.starts_with(|c: char| c.is_ascii_alphabetic())
            && kind.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_kind || name.is_some_and(str::is_empty) {
            return Err(InvalidId { text: text.into() });
        }
        Ok(Self { kind: kind.into(), name: name.unwrap_or_default().into() })
    }
}

impl fmt::Display for ComponentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        if self.name.is_empty() { Ok(()) } else { write!(f, "/{}", self.name) }
    }
}
