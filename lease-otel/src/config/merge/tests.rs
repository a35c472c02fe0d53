//! A later source changes what an earlier one says, key by key.

use super::*;
use crate::config::parse::parse;

fn read(text: &str) -> Node {
    let mut problems = Problems::default();
    let mut node = parse(&"f".into(), text, &mut problems).expect("it is YAML");
    unfold(&mut node, &mut problems);
    assert_eq!(problems, Problems::default());
    node
}

/// The values alone, as JSON.
fn shown(node: &Node) -> String {
    let printed = crate::config::Printed::new(node, crate::config::Mode::Unredacted);
    serde_json::to_string(&printed).expect("it can be shown")
}

#[test]
fn maps_merge_and_all_else_is_replaced() {
    for (base, over, merged) in [
        ("{a: {b: 1, c: 2}}", "{a: {c: 3, d: 4}, e: 5}", r#"{"a":{"b":1,"c":3,"d":4},"e":5}"#),
        ("{a: [1, 2]}", "{a: [3]}", r#"{"a":[3]}"#),
        ("{a: {b: 1}}", "{a: ~}", r#"{"a":null}"#),
        ("{a: {b: 1}}", "{a: {}}", r#"{"a":{"b":1}}"#),
        ("{a: 1}", "{a: {b: 1}}", r#"{"a":{"b":1}}"#),
        ("{a: {b: 1}}", "{a: x}", r#"{"a":"x"}"#),
        ("{a: ~}", "{a: {b: 1}}", r#"{"a":{"b":1}}"#),
    ] {
        let mut node = read(base);
        merge(&mut node, read(over));
        assert_eq!(shown(&node), merged, "{base} {over}");
    }
}

#[test]
fn what_is_replaced_stands_where_the_new_value_does() {
    let mut node = read("a: 1\nb: {c: 1}\n");
    merge(&mut node, read("\n\nb: {c: 2}\n"));
    let Value::Map(entries) = &node.value else { panic!("{node:?}") };
    let Value::Map(inner) = &entries[1].1.value else { panic!("{node:?}") };
    assert_eq!((entries[1].0.place.line, inner[0].0.place.line), (2, 3));
}

#[test]
fn colons_stand_for_depth_but_not_within_lists() {
    for (text, unfolded) in [
        ("{'a::b::c': 1}", r#"{"a":{"b":{"c":1}}}"#),
        ("{a: {'b::c': 1, b: {d: 2}}}", r#"{"a":{"b":{"c":1,"d":2}}}"#),
        ("{'a::b': {'c::d': 1}, 'a::e': 2}", r#"{"a":{"b":{"c":{"d":1}},"e":2}}"#),
        ("{a: [{'b::c': 1}], 'd:e': 2}", r#"{"a":[{"b::c":1}],"d:e":2}"#),
    ] {
        assert_eq!(shown(&read(text)), unfolded, "{text}");
    }
}

#[test]
fn colons_do_not_go_deeper_than_anything_else() {
    for (key, says) in [
        ("a::".repeat(100_000) + "b", "keys are nested more than 64 deep"),
        ("a::".into(), "a key is empty"),
        ("::".into(), "a key is empty"),
        ("a::::b".into(), "a key is empty"),
    ] {
        let mut problems = Problems::default();
        let mut node = parse(&"f".into(), &format!("? '{key}'\n: 1\n"), &mut problems).expect("it is YAML");
        unfold(&mut node, &mut problems);
        assert_eq!(problems.errors.len(), 1);
        assert!(problems.errors[0].message.contains(says), "{}", problems.errors[0]);
    }
}
