//! Builds the tree from the events of the parser. It keeps a stack of its own, so that no depth exhausts that of the thread.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, ScalarStyle, Tag};

use super::scalar::{resolve, unknown_tag};
use super::{DEPTH_MAX, too_deep};
use crate::config::problems::Problems;
use crate::config::tree::{Key, Node, Place, Value};

/// What a document may come to, its aliases followed: each node counts as one, and so does each [`UNIT`] of its text.
const WEIGHT_MAX: usize = 250_000;

/// So many bytes of text weigh as much as a node.
const UNIT: usize = 64;

/// Takes the events of one document.
#[derive(Debug)]
pub(super) struct Builder<'p> {
    open: Vec<Open>,
    /// What anchors name, and its weight.
    anchors: HashMap<usize, (Node, usize)>,
    weight: usize,
    done: Option<Node>,
    problems: &'p mut Problems,
    /// With so many errors it ends.
    errors_max: usize,
}

/// A map or list whose end has not come.
#[derive(Debug)]
struct Open {
    place: Place,
    anchor: usize,
    /// What the document weighed before it.
    before: usize,
    content: Content,
}

#[derive(Debug)]
enum Content {
    List(Vec<Node>),
    Map(Entries),
}

#[derive(Debug, Default)]
struct Entries {
    pairs: Vec<(Key, Node)>,
    /// Where each key stands in them.
    index: HashMap<String, usize>,
    /// A key whose value is to come.
    key: Option<Key>,
    /// The values of `<<`.
    merged: Vec<Node>,
}

impl<'p> Builder<'p> {
    pub(super) fn new(problems: &'p mut Problems, errors_max: usize) -> Self {
        Self { open: Vec::new(), anchors: HashMap::new(), weight: 0, done: None, problems, errors_max }
    }

    /// Takes an event; none when nothing further of the document can be used.
    pub(super) fn take(&mut self, event: Event<'_>, place: Place) -> Option<()> {
        match event {
            Event::Scalar(text, style, anchor, tag) => self.scalar(&text, style, anchor, tag.as_deref(), place),
            Event::Alias(anchor) => self.alias(anchor, place),
            Event::SequenceStart(anchor, tag) => self.begin(anchor, tag, "seq", place, Content::List(Vec::new())),
            Event::MappingStart(anchor, tag) => self.begin(anchor, tag, "map", place, Content::Map(Entries::default())),
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {
                Some(())
            }
        }
    }

    /// The document; none when it was empty.
    pub(super) fn finish(self) -> Option<Node> {
        self.done
    }

    fn error(&mut self, place: &Place, message: impl std::fmt::Display) {
        let path = self.path();
        self.problems.error(place, path, message);
    }

    /// The keys that lead to what comes next.
    fn path(&self) -> String {
        let mut path = String::new();
        for open in &self.open {
            match &open.content {
                Content::List(items) => path = format!("{path}[{}]", items.len()),
                Content::Map(Entries { key: Some(key), .. }) => {
                    path = if path.is_empty() { key.name.clone() } else { format!("{path}.{}", key.name) };
                }
                Content::Map(_) => {}
            }
        }
        path
    }

    /// Notes that the document has grown; none when it has become too large.
    fn grow(&mut self, by: usize, place: &Place) -> Option<()> {
        self.weight = self.weight.saturating_add(by);
        if self.weight > WEIGHT_MAX {
            self.error(
                place,
                format_args!("the document becomes too large here: over {WEIGHT_MAX} values, aliases followed"),
            );
            return None;
        }
        Some(())
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, anchor: usize, tag: Option<&Tag>, place: Place) -> Option<()> {
        self.grow(1 + text.len() / UNIT, &place)?;
        if let Some(Open { content: Content::Map(entries), .. }) = self.open.last_mut()
            && entries.key.is_none()
        {
            // A key is a text, also where it looks like something else.
            entries.key = Some(Key { name: text.to_owned(), place });
            return Some(());
        }
        let (value, written) = match resolve(text, style, tag) {
            Ok(found) => found,
            Err(message) => {
                self.error(&place, message);
                (Value::Null, None)
            }
        };
        self.place(Node::written(place, value, written), anchor, 1 + text.len() / UNIT)
    }

    fn alias(&mut self, anchor: usize, place: Place) -> Option<()> {
        let Some((_, weight)) = self.anchors.get(&anchor) else {
            self.error(&place, "this alias stands within what it names");
            return None;
        };
        let weight = *weight;
        self.grow(weight, &place)?;
        // Before it is copied: it was not too large.
        let (node, _) = self.anchors.get(&anchor)?;
        let node = node.clone();
        if self.open.len() + depth(&node) > DEPTH_MAX {
            return self.too_deep(&place);
        }
        if let Some(Open { content: Content::Map(Entries { key: key @ None, .. }), .. }) = self.open.last_mut() {
            if let Some(name) = node.text() {
                *key = Some(Key { name, place });
                return Some(());
            }
            self.error(&place, "a key has to be a text");
            return None;
        }
        self.place(node, 0, weight)
    }

    fn begin(
        &mut self,
        anchor: usize,
        tag: Option<Cow<'_, Tag>>,
        kind: &str,
        place: Place,
        content: Content,
    ) -> Option<()> {
        if self.open.len() >= DEPTH_MAX {
            return self.too_deep(&place);
        }
        if let Some(Open { content: Content::Map(Entries { key: None, .. }), .. }) = self.open.last() {
            self.error(&place, "a key has to be a text");
            return None;
        }
        if let Some(tag) = tag
            && !(tag.is_yaml_core_schema() && tag.suffix == kind)
        {
            self.error(&place, unknown_tag(&tag));
        }
        let before = self.weight;
        self.grow(1, &place)?;
        self.open.push(Open { place, anchor, before, content });
        Some(())
    }

    fn too_deep(&mut self, place: &Place) -> Option<()> {
        // The whole path would be as long as it is useless.
        self.problems.error(place, "", too_deep());
        None
    }

    fn end(&mut self) -> Option<()> {
        let Open { place, anchor, before, content } = self.open.pop()?;
        let value = match content {
            Content::List(items) => Value::List(items),
            Content::Map(entries) => Value::Map(self.merge(entries)),
        };
        let weight = self.weight - before;
        self.place(Node::new(place, value), anchor, weight)
    }

    /// The entries with those of `<<`, of which a map's own take precedence.
    fn merge(&mut self, entries: Entries) -> Vec<(Key, Node)> {
        let Entries { mut pairs, mut index, merged, .. } = entries;
        for node in merged {
            let Value::Map(more) = node.value else {
                self.error(&node.place, "a map, an alias of one or a list of them is expected after `<<`");
                continue;
            };
            for (key, node) in more {
                if !index.contains_key(&key.name) {
                    index.insert(key.name.clone(), pairs.len());
                    pairs.push((key, node));
                }
            }
        }
        pairs
    }

    /// Puts a node where it belongs.
    fn place(&mut self, node: Node, anchor: usize, weight: usize) -> Option<()> {
        if anchor != 0 {
            self.grow(weight, &node.place)?;
            self.anchors.insert(anchor, (node.clone(), weight));
        }
        let Some(open) = self.open.last_mut() else {
            self.done = Some(node);
            return Some(());
        };
        let twice = match &mut open.content {
            Content::List(items) => {
                items.push(node);
                None
            }
            Content::Map(map) => map.add(node),
        };
        if let Some((key, line)) = twice {
            let path = match self.path() {
                above if above.is_empty() => key.name.clone(),
                above => format!("{above}.{}", key.name),
            };
            self.problems.error(&key.place, path, format_args!("this key comes twice; it is in line {line} too"));
        }
        (self.problems.errors.len() <= self.errors_max).then_some(())
    }
}

impl Entries {
    /// Adds the value of the last key; gives a key that is there already, and its line.
    fn add(&mut self, node: Node) -> Option<(Key, usize)> {
        let key = self.key.take()?;
        if key.name == "<<" {
            match node.value {
                Value::List(items) => self.merged.extend(items),
                _ => self.merged.push(node),
            }
            return None;
        }
        if let Some(at) = self.index.get(&key.name) {
            let line = self.pairs[*at].0.place.line;
            return Some((key, line));
        }
        self.index.insert(key.name.clone(), self.pairs.len());
        self.pairs.push((key, node));
        None
    }
}

/// How deep maps and lists are within each other.
fn depth(node: &Node) -> usize {
    match &node.value {
        Value::List(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Map(entries) => 1 + entries.iter().map(|(_, node)| depth(node)).max().unwrap_or(0),
        _ => 0,
    }
}
