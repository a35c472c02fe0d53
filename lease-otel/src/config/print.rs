//! A configuration as it is shown: without its secrets, unless they are asked for.

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use super::tree::{Key, Node, Value};

/// Whether secrets are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// `[REDACTED]` takes the place of each.
    #[default]
    Redacted,
    /// They are.
    Unredacted,
}

/// A tree to be serialized, as YAML or JSON.
///
/// What it says can be loaded again: each `$` that would begin a `${...}` is doubled, and what a component has taken as a text
/// is one, as it is written: `0123`, and not 83.
#[derive(Clone, Copy)]
pub struct Printed<'a> {
    node: &'a Node,
    mode: Mode,
    /// How many keys lead to it. The first two are a section and a name, which say nothing about what is secret.
    depth: usize,
    /// Whether it stands below a key of which everything is secret, and how.
    secret: Secret,
}

impl<'a> Printed<'a> {
    /// The tree, shown in this mode.
    pub fn new(node: &'a Node, mode: Mode) -> Self {
        Self { node, mode, depth: 0, secret: Secret::No }
    }

    fn below(self, key: &Key, node: &'a Node) -> Self {
        let secret = match self.secret {
            // The name in `{name, value}` is none, and two that are hidden would be the same.
            Secret::Items if key.name == "name" => Secret::No,
            Secret::No if self.depth >= 2 => secret(&key.name),
            other => other,
        };
        Self { node, depth: self.depth + 1, secret, ..self }
    }
}

impl Printed<'_> {
    /// How a text is shown here.
    fn shown(&self, text: &str) -> String {
        match (self.mode, self.secret) {
            (Mode::Unredacted, _) => escaped(text),
            (Mode::Redacted, Secret::No) => escaped(&without_secrets(text)),
            (Mode::Redacted, Secret::Pairs) => without_values(text),
            (Mode::Redacted, Secret::Whole | Secret::Items) => REDACTED.to_owned(),
        }
    }
}

impl std::fmt::Debug for Printed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Printed").field("mode", &self.mode).finish_non_exhaustive()
    }
}

impl Serialize for Printed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let is_hidden = self.secret != Secret::No && self.mode == Mode::Redacted;
        if let Some(text) = self.node.taken() {
            return serializer.serialize_str(&self.shown(text));
        }
        match &self.node.value {
            Value::Null => serializer.serialize_unit(),
            Value::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                let secret = if self.secret == Secret::Whole { Secret::Items } else { self.secret };
                for node in items {
                    list.serialize_element(&Self { node, secret, ..*self })?;
                }
                list.end()
            }
            Value::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, node) in entries {
                    map.serialize_entry(&key.name, &self.below(key, node))?;
                }
                map.end()
            }
            Value::String(text) => serializer.serialize_str(&self.shown(text)),
            _ if is_hidden => serializer.serialize_str(REDACTED),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Int(value) => serializer.serialize_i64(*value),
            Value::Float(value) => serializer.serialize_f64(*value),
        }
    }
}

/// What the OpenTelemetry Collector shows in the place of a secret.
const REDACTED: &str = "[REDACTED]";

/// Words that make a key's value secret, whatever else is in the key.
const SECRET: [&str; 9] =
    ["password", "passwd", "secret", "token", "apikey", "credential", "authorization", "cookie", "privatekey"];

/// Keys all of whose values are secret: `key_pem` is a key itself, and what is in `headers` and `env` is anybody's guess.
const SECRET_WHOLE: [&str; 6] = ["headers", "headerslist", "env", "environment", "keypem", "bearer"];

/// What of a node is secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Secret {
    No,
    /// All of it.
    Whole,
    /// It is an item of a list that is, which may be `{name, value}`.
    Items,
    /// The values in `NAME=VALUE,NAME=VALUE`.
    Pairs,
}

fn secret(key: &str) -> Secret {
    match key {
        "headers_list" => Secret::Pairs,
        _ if is_secret(key) => Secret::Whole,
        _ => Secret::No,
    }
}

/// `NAME=VALUE,NAME=VALUE` without the values; what has no `=` may be a value as a whole.
fn without_values(text: &str) -> String {
    let pair =
        |pair: &str| pair.split_once('=').map_or_else(|| REDACTED.to_owned(), |(name, _)| format!("{name}={REDACTED}"));
    text.split(',').map(pair).collect::<Vec<_>>().join(",")
}

fn is_secret(key: &str) -> bool {
    let key: String = key.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    // A path is none.
    let is_path = ["file", "path", "dir"].iter().any(|end| key.ends_with(end));
    !is_path && (SECRET_WHOLE.contains(&key.as_str()) || SECRET.iter().any(|word| key.contains(word)))
}

/// A text without a private key, and a URL without its login and without what stands behind a `?`, which may be a key too.
fn without_secrets(text: &str) -> String {
    if text.contains("PRIVATE KEY-----") {
        return REDACTED.to_owned();
    }
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (login, host) = authority.rfind('@').map_or(("", authority), |at| (REDACTED, &authority[at..]));
    let Some(query) = rest.find('?').map(|mark| mark + 1) else { return format!("{scheme}://{login}{host}{rest}") };
    let (before, query) = rest.split_at(query);
    // A command may go on after it.
    let after = &query[query.find([' ', '\'', '"', '#']).unwrap_or(query.len())..];
    format!("{scheme}://{login}{host}{before}{REDACTED}{after}")
}

fn escaped(text: &str) -> String {
    if text.contains("${") || text.contains("$$") { text.replace('$', "$$") } else { text.to_owned() }
}

#[cfg(test)]
mod tests;
