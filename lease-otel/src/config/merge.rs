//! Several configurations as one: maps merge, everything else is replaced.

use std::collections::HashMap;

use super::parse::DEPTH_MAX;
use super::problems::Problems;
use super::tree::{Key, Node, Value};

/// Puts `over` over `base`: where both are maps, key by key; otherwise it takes the place of what was there, also when it is
/// a list or nothing, as in the OpenTelemetry Collector.
pub(crate) fn merge(base: &mut Node, over: Node) {
    match (&mut base.value, over.value) {
        (Value::Map(entries), Value::Map(more)) => merge_entries(entries, more),
        (_, value) => *base = Node::written(over.place, value, over.written),
    }
}

fn merge_entries(entries: &mut Vec<(Key, Node)>, more: Vec<(Key, Node)>) {
    let mut index: HashMap<String, usize> =
        entries.iter().enumerate().map(|(at, (key, _))| (key.name.clone(), at)).collect();
    for (key, node) in more {
        if let Some(at) = index.get(&key.name) {
            let (was, base) = &mut entries[*at];
            if !matches!((&base.value, &node.value), (Value::Map(_), Value::Map(_))) {
                *was = key;
            }
            merge(base, node);
        } else {
            index.insert(key.name.clone(), entries.len());
            entries.push((key, node));
        }
    }
}

/// Takes `a::b: value` as `a: {b: value}`, at every depth but not within lists, as the OpenTelemetry Collector does.
pub(crate) fn unfold(node: &mut Node, problems: &mut Problems) {
    unfold_below(node, "", 0, problems);
}

fn unfold_below(node: &mut Node, path: &str, depth: usize, problems: &mut Problems) {
    let Value::Map(entries) = &mut node.value else { return };
    let path_of = |key: &Key| if path.is_empty() { key.name.clone() } else { format!("{path}.{}", key.name) };
    if entries.iter().any(|(key, _)| key.name.contains(DELIMITER)) {
        let mut unfolded = Vec::with_capacity(entries.len());
        for (key, value) in std::mem::take(entries) {
            let names: Vec<&str> = key.name.split(DELIMITER).collect();
            if depth + names.len() > DEPTH_MAX {
                let message = format_args!("keys are nested more than {DEPTH_MAX} deep here");
                problems.error(&key.place, path, message);
                continue;
            }
            if names.iter().any(|name| name.is_empty()) {
                problems.error(&key.place, path_of(&key), "a key is empty before, between or after `::`");
                continue;
            }
            merge_entries(&mut unfolded, vec![nested(&names, &key, value)]);
        }
        *entries = unfolded;
    }
    for (key, value) in entries {
        let path = path_of(key);
        unfold_below(value, &path, depth + 1, problems);
    }
}

/// `value` below these keys, which all stand where `key` stands.
pub(crate) fn nested(names: &[&str], key: &Key, value: Node) -> (Key, Node) {
    let at = |name: &str| Key { name: name.to_owned(), place: key.place.clone() };
    let (last, above) = names.split_last().map_or((key.name.as_str(), &[][..]), |(last, above)| (*last, above));
    let innermost = (at(last), value);
    above.iter().rev().fold(innermost, |inner, name| (at(name), Node::new(key.place.clone(), Value::Map(vec![inner]))))
}

/// Between the keys of a path, as the OpenTelemetry Collector writes it.
const DELIMITER: &str = "::";

#[cfg(test)]
mod tests;
