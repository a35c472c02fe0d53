//! Reads the keys of one section, and notes everything that is wrong with it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use lease_core::Pretty;

use super::named::{Named, Thing};
use super::problems::{Problems, nearest};
use super::tree::{Key, Located, Node, Place, Value};

/// The keys of one section of a configuration.
///
/// Each is asked for once; what is missing gives none, and what is wrong is noted and gives none too. At the end
/// [`finish`](Fields::finish) notes the keys that nobody has asked for.
#[derive(Debug)]
pub struct Fields<'a> {
    place: Place,
    path: String,
    entries: &'a [(Key, Node)],
    asked: Vec<&'static str>,
    /// What has been told of already, and is nothing to recommend.
    told: Vec<&'static str>,
    problems: &'a mut Problems,
}

impl<'a> Fields<'a> {
    /// The keys of a section; one that is empty has none, and anything but a map is noted.
    pub fn new(section: &'a Node, path: impl Into<String>, problems: &'a mut Problems) -> Self {
        let path = path.into();
        let entries = match &section.value {
            Value::Map(entries) => entries.as_slice(),
            Value::Null => &[],
            other => {
                problems.error(
                    &section.place,
                    path.clone(),
                    format_args!("a map is expected here, not {}", other.kind()),
                );
                &[]
            }
        };
        Self { place: section.place.clone(), path, entries, asked: Vec::new(), told: Vec::new(), problems }
    }

    /// Where the section begins.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The keys that lead to it.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The path of a key of it.
    pub fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Everything in it, asked for or not: for a section whose keys are names.
    pub fn all(&mut self) -> &'a [(Key, Node)] {
        self.asked.push("*");
        self.entries
    }

    /// The node of a key.
    pub fn node(&mut self, key: &'static str) -> Option<&'a Node> {
        self.asked.push(key);
        self.entries.iter().find(|(found, _)| found.name == key).map(|(_, node)| node)
    }

    /// The keys of the section below a key, if it is there.
    pub fn section(&mut self, key: &'static str) -> Option<Fields<'_>> {
        let path = self.path_of(key);
        let node = self.node(key)?;
        Some(Fields::new(node, path, self.problems))
    }

    /// Where problems are noted, for what is beyond the methods here.
    pub fn problems(&mut self) -> &mut Problems {
        self.problems
    }

    /// Notes an error at a key, or at the section where it is missing.
    pub fn error(&mut self, key: &str, message: impl fmt::Display) {
        let found = self.entries.iter().find(|(found, _)| found.name == key);
        let place = found.map_or(&self.place, |(found, _)| &found.place).clone();
        let path = self.path_of(key);
        self.problems.error(&place, path, message);
    }

    /// Notes a warning at a key that is there.
    pub fn warning(&mut self, key: &str, message: impl fmt::Display) {
        if let Some((found, _)) = self.entries.iter().find(|(found, _)| found.name == key) {
            let path = self.path_of(key);
            self.problems.warning(&found.place, path, message);
        }
    }

    /// Notes that the value of a key names something that has to be where the collector runs.
    pub(crate) fn names(&mut self, key: &str, what: Thing) {
        if let Some((_, node)) = self.entries.iter().find(|(found, _)| found.name == key) {
            let (place, path) = (node.place.clone(), self.path_of(key));
            self.problems.named.push(Named { place, path, what });
        }
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether a key is there, also one that is not asked for.
    pub fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(found, _)| found.name == key)
    }

    /// Whether a key is there and nothing behind it.
    pub fn is_blank(&self, key: &str) -> bool {
        let found = self.entries.iter().find(|(found, _)| found.name == key);
        found.is_some_and(|(_, node)| match &node.value {
            Value::Null => true,
            Value::String(text) => text.trim().is_empty(),
            _ => false,
        })
    }

    /// Those of these keys that somebody has asked for and that are there with nothing behind them.
    pub(crate) fn asked_and_blank(&self, keys: &[&'static str]) -> Vec<(Place, String)> {
        let blank = keys.iter().filter(|key| self.asked.contains(key) && self.is_blank(key));
        let found = blank.filter_map(|key| self.entries.iter().find(|(found, _)| found.name == **key));
        found.map(|(key, _)| (key.place.clone(), self.path_of(&key.name))).collect()
    }

    fn expected(&mut self, key: &str, what: &str, found: &Node) {
        let path = self.path_of(key);
        self.problems.error(&found.place, path, format_args!("{what} is expected here, not {}", found.value.kind()));
    }

    /// A text. Numbers and truth values are taken as they are written.
    pub fn text(&mut self, key: &'static str) -> Option<Located<String>> {
        let node = self.node(key)?;
        let Some(value) = node.text() else {
            if node.value != Value::Null {
                self.expected(key, "a text", node);
            }
            return None;
        };
        Some(Located { value, place: node.place.clone(), path: self.path_of(key) })
    }

    /// A text that is read as something else, whose error is the message.
    pub fn parsed<T: FromStr<Err: fmt::Display>>(&mut self, key: &'static str) -> Option<Located<T>> {
        let Located { value, place, path } = self.text(key)?;
        match value.parse() {
            Ok(value) => Some(Located { value, place, path }),
            Err(error) => {
                self.problems.error(&place, path, error);
                None
            }
        }
    }

    /// A truth value.
    pub fn truth(&mut self, key: &'static str) -> Option<bool> {
        let node = self.node(key)?;
        match node.value {
            Value::Bool(value) => Some(value),
            Value::Null => None,
            _ => {
                self.expected(key, "true or false", node);
                None
            }
        }
    }

    /// A whole number from `least` to `most`.
    pub fn count(&mut self, key: &'static str, least: u64, most: u64) -> Option<u64> {
        let node = self.node(key)?;
        match node.value {
            Value::Int(value) => {
                if let Ok(value) = u64::try_from(value)
                    && (least..=most).contains(&value)
                {
                    return Some(value);
                }
                let path = self.path_of(key);
                self.problems.error(&node.place, path, format_args!("{value} is not between {least} and {most}"));
                None
            }
            Value::Null => None,
            _ => {
                self.expected(key, "a whole number", node);
                None
            }
        }
    }

    /// A duration as Go writes it: `1m30s`, `500ms`.
    pub fn duration(&mut self, key: &'static str) -> Option<Located<Duration>> {
        let node = self.node(key)?;
        let path = self.path_of(key);
        let text = match &node.value {
            Value::String(text) => text,
            Value::Int(0) => return Some(Located { value: Duration::ZERO, place: node.place.clone(), path }),
            Value::Null => return None,
            Value::Int(number) => {
                let message = format!("`{number}` has no unit; write `{number}s` for seconds, or 500ms, 1m30s");
                self.problems.error(&node.place, path, message);
                return None;
            }
            _ => {
                self.expected(key, "a duration such as 500ms or 1m30s", node);
                return None;
            }
        };
        match text.parse() {
            Ok(Pretty(value)) => Some(Located { value, place: node.place.clone(), path }),
            Err(error) => {
                self.problems.error(&node.place, path, error);
                None
            }
        }
    }

    /// A duration as a whole number of milliseconds, of which there is at least one.
    pub fn milliseconds(&mut self, key: &'static str) -> Option<Duration> {
        if let Some(Value::String(text)) = self.node(key).map(|node| &node.value) {
            let written = text.parse().map_or_else(
                |_| "such as 60000 for a minute".to_owned(),
                |Pretty(value)| format!("write {} for {text}", value.as_millis()),
            );
            self.error(key, format_args!("a whole number of milliseconds is expected here; {written}"));
            return None;
        }
        self.count(key, 1, u32::MAX.into()).map(Duration::from_millis)
    }

    /// A list of texts; one text alone is a list of one.
    pub fn texts(&mut self, key: &'static str) -> Option<Vec<Located<String>>> {
        let node = self.node(key)?;
        let path = self.path_of(key);
        let items = match &node.value {
            Value::List(items) => items.as_slice(),
            Value::String(_) => std::slice::from_ref(node),
            Value::Null => return None,
            _ => {
                self.expected(key, "a list of texts", node);
                return None;
            }
        };
        let mut texts = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let path = format!("{path}[{index}]");
            if let Some(value) = item.text() {
                texts.push(Located { value, place: item.place.clone(), path });
            } else {
                let message = format!("a text is expected here, not {}", item.value.kind());
                self.problems.error(&item.place, path, message);
            }
        }
        Some(texts)
    }

    /// One of these words.
    pub fn word<T: Copy>(&mut self, key: &'static str, words: &[(&'static str, T)]) -> Option<T> {
        let found = self.text(key)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == found.value) {
            return Some(*value);
        }
        let list: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        self.problems.error(&found.place, found.path, format_args!("`{}` is none of {}", found.value, list.join(", ")));
        None
    }

    /// Keys that the reference knows and this does not do: each is accepted with a warning.
    pub fn accepted(&mut self, keys: &[&'static str]) {
        self.ignored(keys, "has no effect here; the OpenTelemetry Collector knows it");
    }

    /// Keys that have no effect, and why: each is accepted with that as a warning.
    pub fn ignored(&mut self, keys: &[&'static str], why: &str) {
        for key in keys {
            self.warning(key, why);
            self.told.push(key);
        }
    }

    /// A key that belongs elsewhere: where it is there, that is an error.
    pub fn misplaced(&mut self, key: &'static str, message: impl fmt::Display) {
        if self.has(key) {
            self.error(key, message);
            self.told.push(key);
        }
    }

    /// Notes the keys that nobody has asked for.
    pub fn finish(self) {
        if self.asked.contains(&"*") {
            return;
        }
        // A key before it of which nothing is below: it may be that what belongs there has lost its indentation.
        let mut above = None;
        for (key, node) in self.entries {
            if self.asked.contains(&key.name.as_str()) || self.told.contains(&key.name.as_str()) {
                above = (node.value == Value::Null).then_some(key);
                continue;
            }
            let path = if self.path.is_empty() { key.name.clone() } else { format!("{}.{}", self.path, key.name) };
            let mut message = if let Some(near) = nearest(&key.name, self.asked.iter().chain(&self.told).copied()) {
                format!("unknown key; did you mean `{near}`?")
            } else {
                let mut known = self.asked.clone();
                known.sort_unstable();
                known.dedup();
                format!("unknown key; known here: {}", known.join(", "))
            };
            if let Some(above) = above.filter(|above| above.place.source == key.place.source) {
                let line = above.place.line;
                let name = &above.name;
                message = format!("{message}; if it belongs to `{name}` of line {line}, which is empty, indent it");
            }
            self.problems.error(&key.place, path, message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    /// What is said of a section of which `metrics` and `interval` are the keys.
    fn told(text: &str) -> Vec<String> {
        let mut problems = Problems::default();
        let node = parse(&"test".into(), text, &mut problems).expect("it is YAML");
        let mut fields = Fields::new(&node, "", &mut problems);
        fields.node("metrics");
        fields.node("interval");
        fields.finish();
        problems.errors.into_iter().map(|error| error.message).collect()
    }

    #[test]
    fn what_has_lost_its_indentation_is_told_where_it_may_belong() {
        let hint = "; if it belongs to `metrics` of line 2, which is empty, indent it";
        let known = "unknown key; known here: interval, metrics";
        let both = told("interval: 5s\nmetrics:\nk8s.pod.phase: {}\nk8s.node.ready: {}\n");
        assert_eq!(both, [format!("{known}{hint}"), format!("{known}{hint}")]);
        assert_eq!(
            told("interval: 5s\nmetrics:\nintervall: 5s\n"),
            [format!("unknown key; did you mean `interval`?{hint}")]
        );
        for elsewhere in
            ["k8s.pod.phase: {}\nmetrics:\n", "metrics: {}\nk8s.pod.phase: {}\n", "metrics:\ninterval: 5s\nother: 1"]
        {
            assert_eq!(told(elsewhere), [known], "{elsewhere}");
        }
    }
}
