//! Texts become trees whose nodes know their place; what is no YAML, too large or too deep is refused.

use super::*;
use crate::config::tree::Key;

fn read(text: &str) -> (Option<Node>, Problems) {
    let mut problems = Problems::default();
    let node = parse(&"f.yaml".into(), text, &mut problems);
    (node, problems)
}

fn good(text: &str) -> Node {
    let (node, problems) = read(text);
    assert_eq!(problems, Problems::default(), "{text}");
    node.expect("it is good")
}

fn errors(text: &str) -> Vec<String> {
    let (node, problems) = read(text);
    assert!(node.is_none() && !problems.errors.is_empty(), "{text}");
    problems.errors.iter().map(ToString::to_string).collect()
}

fn get<'a>(node: &'a Node, key: &str) -> &'a Node {
    let Value::Map(entries) = &node.value else { panic!("no map: {node:?}") };
    &entries.iter().find(|(found, _)| found.name == key).unwrap_or_else(|| panic!("no {key}")).1
}

#[test]
fn scalars_are_what_the_collector_takes_them_for() {
    let text = |text: &str| Value::String(text.to_owned());
    for (yaml, value, written) in [
        ("", Value::Null, None),
        ("~", Value::Null, None),
        ("Null", Value::Null, None),
        ("true", Value::Bool(true), None),
        ("FALSE", Value::Bool(false), Some("FALSE")),
        ("yes", text("yes"), None),
        ("12", Value::Int(12), None),
        ("-7", Value::Int(-7), None),
        ("+7", Value::Int(7), Some("+7")),
        ("0123", Value::Int(83), Some("0123")),
        ("089", Value::Float(89.0), Some("089")),
        ("0xdeadbeef", Value::Int(3_735_928_559), Some("0xdeadbeef")),
        ("0o17", Value::Int(15), Some("0o17")),
        ("0b101", Value::Int(5), Some("0b101")),
        ("1_000", Value::Int(1000), Some("1_000")),
        ("0x", text("0x"), None),
        ("-+1", text("-+1"), None),
        ("9223372036854775807", Value::Int(i64::MAX), None),
        ("-9223372036854775808", Value::Int(i64::MIN), None),
        ("9223372036854775808", Value::Float(9_223_372_036_854_775_808.0), Some("9223372036854775808")),
        ("1.10", Value::Float(1.1), Some("1.10")),
        ("1e3", Value::Float(1000.0), Some("1e3")),
        (".5", Value::Float(0.5), Some(".5")),
        ("-.inf", Value::Float(f64::NEG_INFINITY), Some("-.inf")),
        ("inf", text("inf"), None),
        ("nan", text("nan"), None),
        ("1.2.3", text("1.2.3"), None),
        ("15s", text("15s"), None),
        ("'12'", text("12"), None),
        ("\"\"", text(""), None),
        ("!!str 0123", text("0123"), None),
        ("!!str", text(""), None),
        ("!!float 3", Value::Float(3.0), None),
        ("!!int '12'", Value::Int(12), None),
        ("! 12", text("12"), None),
        ("2023-03-20T03:17:55Z", text("2023-03-20T03:17:55Z"), None),
        ("1111:1111::1", text("1111:1111::1"), None),
    ] {
        let node = good(&format!("a: {yaml}"));
        let found = get(&node, "a");
        assert_eq!((&found.value, found.written.as_deref()), (&value, written), "{yaml}");
    }
    assert!(matches!(get(&good("a: .NaN"), "a").value, Value::Float(value) if value.is_nan()));
    assert_eq!(get(&good("a: 1.10"), "a").text().as_deref(), Some("1.10"));
}

#[test]
fn every_node_knows_where_it_stands() {
    let node = good("# one\nreceivers:\n  dummy: {interval: 5s}\nlist:\n  - a\n  - b: 1\n");
    let at = |node: &Node| (node.place.line, node.place.column);
    let Value::Map(entries) = &node.value else { panic!("{node:?}") };
    let keys: Vec<(&str, usize, usize)> =
        entries.iter().map(|(Key { name, place }, _)| (name.as_str(), place.line, place.column)).collect();
    assert_eq!(keys, [("receivers", 2, 1), ("list", 4, 1)]);
    assert_eq!(at(get(get(&node, "receivers"), "dummy")), (3, 10));
    assert_eq!(at(get(get(get(&node, "receivers"), "dummy"), "interval")), (3, 21));
    let Value::List(items) = &get(&node, "list").value else { panic!("{node:?}") };
    assert_eq!([at(&items[0]), at(&items[1])], [(5, 5), (6, 5)]);
}

#[test]
fn nothing_is_no_error() {
    for text in ["", "\n# only a comment\n", "---\n", "\u{feff}", "~"] {
        assert_eq!(good(text).value, Value::Null, "{text:?}");
    }
    assert_eq!(get(&good("\u{feff}a: 1"), "a").value, Value::Int(1));
}

#[test]
fn aliases_are_what_they_name_and_merge_keys_add_to_a_map() {
    let node = good(
        "base: &base {a: 1, b: 2}\nsame: *base\nmore: {<<: *base, b: 3, c: 4}\nboth:\n  <<: [*base, {a: 9, d: 5}]\n",
    );
    assert_eq!(get(&node, "same").value, get(&node, "base").value);
    let more = get(&node, "more");
    assert_eq!(["a", "b", "c"].map(|key| get(more, key).value.clone()), [1, 3, 4].map(Value::Int));
    let both = get(&node, "both");
    assert_eq!(["a", "b", "d"].map(|key| get(both, key).value.clone()), [1, 2, 5].map(Value::Int));
    let keyed = good("name: &k dummy\nreceivers:\n  *k : {interval: 1s}\n");
    assert_eq!(get(get(get(&keyed, "receivers"), "dummy"), "interval").value, Value::String("1s".into()));
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    for (text, says) in [
        ("a: [1, 2\n", "f.yaml:2:1: this is not valid YAML"),
        ("a: 1\n b: 2\n", "f.yaml:2:"),
        ("receivers:\n\tdummy:\n", "f.yaml:2:"),
        ("a: 'x\n", "this is not valid YAML"),
        ("e: {a: ${A}, b: 1}\n", "; within [] and {} a `${...}` needs quotes"),
        ("a: *nobody\n", "this is not valid YAML"),
        ("a: 1\n---\nb: 2\n", "f.yaml:2:1: another document begins here"),
        ("a: &x [*x]\n", "f.yaml:1:8: a[0]: this alias stands within what it names"),
        ("a: !secret x\n", "f.yaml:1:4: a: the tag `!secret` has no meaning"),
        ("a: !thing {b: 1}\n", "the tag `!thing` has no meaning"),
        ("a: !!int x\n", "f.yaml:1:4: a: this is not a whole number"),
        ("a: !!binary aGk=\n", "has no meaning"),
        (&"? ".repeat(200_000), "f.yaml:1:3: a key has to be a text"),
        ("? [a, b]\n: 1\n", "f.yaml:1:3: a key has to be a text"),
        ("a:\n  <<: 3\n", "f.yaml:2:7: a: a map, an alias of one or a list of them is expected after `<<`"),
        ("s:\n  a: 1\n  b: 2\n  a: 3\n", "f.yaml:4:3: s.a: this key comes twice; it is in line 2 too"),
    ] {
        let errors = errors(text);
        assert!(errors[0].contains(says), "{text:?}: {errors:?}");
    }
}

#[test]
fn all_keys_that_come_twice_are_told_at_once() {
    let errors = errors("a: 1\na: 2\nb: {c: 1, c: 2}\nl:\n  - {d: 1, d: 2}\n");
    assert_eq!(
        errors,
        [
            "f.yaml:2:1: a: this key comes twice; it is in line 1 too",
            "f.yaml:3:11: b.c: this key comes twice; it is in line 3 too",
            "f.yaml:5:12: l[0].d: this key comes twice; it is in line 5 too",
        ]
    );
}

#[test]
fn what_is_deep_is_refused_however_it_is_written() {
    let deep = |n: usize, one: &str| one.repeat(n);
    let block = |n: usize| (0..n).map(|depth| " ".repeat(depth) + "k:\n").collect::<String>();
    good(&deep(DEPTH_MAX, "- "));
    good(&block(DEPTH_MAX));
    for text in [
        deep(DEPTH_MAX + 1, "- "),
        block(DEPTH_MAX + 2),
        deep(TEXT_MAX / 2, "- "),
        deep(200_000, "["),
        deep(200_000, "{a: "),
        block(4000),
        // Each alias is one deeper than what it names.
        (1..100).fold("a0: &a0 [x]\n".to_owned(), |text, n| format!("{text}a{n}: &a{n} [*a{}]\n", n - 1)),
    ] {
        let errors = errors(&text);
        let is_clear = errors[0].ends_with("maps and lists are nested more than 64 deep here");
        assert!(errors.len() == 1 && is_clear && errors[0].len() < 200, "{errors:?}");
    }
}

#[test]
fn a_billion_laughs_end_soon() {
    let laughs = (1..10).fold("a0: &a0 lol\n".to_owned(), |text, n| {
        let nine = vec![format!("*a{}", n - 1); 9].join(", ");
        format!("{text}a{n}: &a{n} [{nine}]\n")
    });
    let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(100_000), vec!["*a"; 100_000].join(", "));
    for text in [laughs, long] {
        let errors = errors(&text);
        assert!(errors.len() == 1 && errors[0].contains("the document becomes too large here"), "{errors:?}");
    }
}

#[test]
fn as_long_as_it_may_be_and_no_longer() {
    let line = "# a comment, as a long file of them may have\n";
    let mut text = line.repeat(TEXT_MAX / line.len());
    text.push_str(&"#".repeat(TEXT_MAX - text.len()));
    assert_eq!(text.len(), TEXT_MAX);
    assert_eq!(good(&text).value, Value::Null);
    text.push('#');
    assert_eq!(errors(&text), ["f.yaml: longer than 10 MiB, which no configuration is"]);
}

#[test]
fn long_ones_of_every_kind_end_soon() {
    for (one, says) in [
        ("a: b\n", "this key comes twice"),
        ("- a\n", "the document becomes too large here: over"),
        ("- - a\n", "the document becomes too large here: over"),
        ("'a': {\n", "brackets and commas"),
        ("a, ", "brackets and commas"),
    ] {
        let text = one.repeat(TEXT_MAX / one.len());
        let text = if one == "a, " { format!("[{}", &text[..text.len() - 2]) } else { text };
        let errors = errors(&text);
        assert!(errors.len() <= ERRORS_MAX + 1 && errors[0].contains(says), "{one}: {}", errors[0]);
    }
    let one_text = format!("a: {}", "b".repeat(TEXT_MAX - 3));
    assert!(matches!(good(&one_text).value, Value::Map(_)));
}
