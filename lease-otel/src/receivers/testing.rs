//! What the tests of the receivers share.

use serde_json::Value as Json;

use crate::config::{Fields, Key, Node, Place, Problems, Value};

/// Reads a section, called `x`, with this reader, and gives all that is wrong with it.
pub(crate) fn section<T>(section: &Json, read: impl FnOnce(&mut Fields<'_>) -> T) -> (T, Problems) {
    let mut problems = Problems::default();
    let node = node(section);
    let mut fields = Fields::new(&node, "x", &mut problems);
    let read = read(&mut fields);
    fields.finish();
    (read, problems)
}

fn node(json: &Json) -> Node {
    let value = match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => number.as_i64().map_or_else(|| Value::Float(number.as_f64().unwrap()), Value::Int),
        Json::String(text) => Value::String(text.clone()),
        Json::Array(items) => Value::List(items.iter().map(node).collect()),
        Json::Object(map) => Value::Map(
            map.iter().map(|(name, value)| (Key { name: name.clone(), place: place() }, node(value))).collect(),
        ),
    };
    Node::new(place(), value)
}

fn place() -> Place {
    Place { source: "test".into(), line: 0, column: 0 }
}
