//! What is printed can be read again, and shows no secret.

use super::*;
use crate::config::problems::Problems;
use crate::config::{Source, resolve};

fn read(text: &str) -> Node {
    let resolved = resolve(&[Source::Yaml(text.to_owned())], &|_| Err(std::env::VarError::NotPresent));
    assert_eq!(resolved.problems, Problems::default(), "{text}");
    resolved.root
}

fn json(text: &str, mode: Mode) -> String {
    serde_json::to_string(&Printed::new(&read(text), mode)).expect("it can be shown")
}

#[test]
fn secrets_are_shown_only_when_they_are_asked_for() {
    for secret in [
        "headers: {x-api-key: hunter2, n: hunter2}",
        "headers: [{name: a, value: hunter2}]",
        "auth: {password: hunter2}",
        "auth: {Client_Secret: hunter2}",
        "headers_list: 'a=hunter2'",
        "headers_list: 'a=hunter2,b=hunter2==, hunter2'",
        "headers: [hunter2]",
        "api_key: hunter2",
        "api-key: hunter2",
        "bearer_token: hunter2",
        "token: hunter2",
        "tls: {key_pem: hunter2}",
        "env: {ANY: hunter2}",
        "authorization: {credentials: hunter2}",
        "endpoint: 'redis://:hunter2@localhost:6379/0'",
        "endpoint: 'https://me:hunter2@host'",
        "endpoint: 'https://me:hunter2@ab@host'",
        "endpoint: 'https://host/v1?key=hunter2'",
        "endpoint: 'https://host?key=hunter2/a@b'",
        "key_file: \"-----BEGIN PRIVATE KEY-----\\nhunter2\\n-----END PRIVATE KEY-----\"",
    ] {
        let text = format!("exporters: {{otlp: {{{secret}}}}}");
        let shown = json(&text, Mode::Redacted);
        assert!(!shown.contains("hunter2") && shown.contains("[REDACTED]"), "{shown}");
        assert!(json(&text, Mode::Unredacted).contains("hunter2"), "{text}");
    }
    let command = json(
        "receivers: {exec: {command: [sh, -c, 'curl \"http://me:hunter2@host/?k=hunter2\" | x']}}",
        Mode::Redacted,
    );
    assert!(command.contains(r#"curl \"http://[REDACTED]@host/?[REDACTED]\" | x"#), "{command}");
    let number = json("exporters: {otlp: {password: 12345}}", Mode::Redacted);
    assert!(!number.contains("12345"), "{number}");
    let debug = format!("{:?}", Printed::new(&read("a: {b: {token: hunter2}}"), Mode::Unredacted));
    assert!(!debug.contains("hunter2"), "{debug}");
}

#[test]
fn names_of_headers_are_shown_so_that_what_is_shown_loads() {
    for (text, shown) in [
        ("headers_list: 'a=x,b=y=='", r#""headers_list":"a=[REDACTED],b=[REDACTED]""#),
        ("headers: [{name: a, value: x}]", r#""headers":[{"name":"a","value":"[REDACTED]"}]"#),
        ("headers: {name: x}", r#""headers":{"name":"[REDACTED]"}"#),
    ] {
        let json = json(&format!("exporters: {{otlp: {{{text}}}}}"), Mode::Redacted);
        assert!(json.contains(shown), "{json}");
    }
}

#[test]
fn what_is_no_secret_is_shown() {
    for text in [
        "exporters: {otlp: {endpoint: 'http://host:4317/a@b', auth: {authenticator: basic}}}",
        "extensions: {bearertokenauth: {filename: f}}",
        "receivers: {k8sobjects/secrets: {objects: [{name: secrets}]}}",
        "extensions: {k8s_leader_elector: {auth_type: none, token_file: /var/run/token}}",
    ] {
        assert_eq!(json(text, Mode::Redacted), json(text, Mode::Unredacted));
    }
}

#[test]
fn what_is_shown_loads_as_the_same() {
    let text = "a: {t: '$${env:X}', u: '$$$$', v: 'a$b', w: '012', x: 'true', y: '~', z: '', n: 012, f: 1.5, o: ~, \
                p: '# x', q: ' s ', r: \"a\\nb\\u0001\", l: [], m: {}, e: 'é: x', d: '2023-01-01', c: '1_0', k: 'null'}";
    let root = read(text);
    let yaml = serde_saphyr::to_string(&Printed::new(&root, Mode::Unredacted)).expect("it can be shown");
    let again = read(&yaml);
    assert_eq!(json(text, Mode::Unredacted), json(&yaml, Mode::Unredacted), "{yaml}");
    let Value::Map(entries) = &again.value else { panic!("{yaml}") };
    let Value::Map(entries) = &entries[0].1.value else { panic!("{yaml}") };
    assert_eq!(entries[0].1.value, Value::String("${env:X}".into()));
}

#[test]
fn what_is_taken_as_a_text_is_shown_as_it_is_written_and_what_is_not_as_its_value() {
    let root = read("a: {b: {name: 0123, octal: 0123, version: 1.10, token: 0123, headers_list: 0123}}");
    let Value::Map(entries) = &root.value else { panic!("{root:?}") };
    let Value::Map(entries) = &entries[0].1.value else { panic!("{root:?}") };
    let mut problems = Problems::default();
    let mut fields = crate::config::Fields::new(&entries[0].1, "", &mut problems);
    for key in ["name", "version", "token", "headers_list"] {
        assert!(fields.text(key).is_some());
    }
    assert_eq!(fields.count("octal", 0, 99), Some(83));
    let shown = |mode| serde_json::to_string(&Printed::new(&root, mode)).expect("it can be shown");
    let all = r#"{"a":{"b":{"name":"0123","octal":83,"version":"1.10","token":"0123","headers_list":"0123"}}}"#;
    assert_eq!(shown(Mode::Unredacted), all);
    let redacted = r#""octal":83,"version":"1.10","token":"[REDACTED]","headers_list":"[REDACTED]"}}}"#;
    assert!(shown(Mode::Redacted).ends_with(redacted), "{}", shown(Mode::Redacted));
}

#[test]
fn any_text_survives_being_shown() {
    let mut random = fastrand::Rng::with_seed(3);
    let letters: Vec<char> = "$ {}[]01x_b-+.:#'\"\\\n\té,&*!|>%@`?~ynNtrue".chars().collect();
    for _ in 0..3_000 {
        let text: String = (0..random.usize(..8)).map(|_| letters[random.usize(..letters.len())]).collect();
        let place = crate::config::Place { source: "f".into(), line: 1, column: 1 };
        let key = Key { name: "a".into(), place: place.clone() };
        let node = Node::new(place.clone(), Value::Map(vec![(key, Node::new(place, Value::String(text.clone())))]));
        let yaml = serde_saphyr::to_string(&Printed::new(&node, Mode::Unredacted)).expect("it can be shown");
        let Value::Map(entries) = read(&yaml).value else { panic!("{yaml:?}") };
        assert_eq!(entries[0].1.value, Value::String(text), "{yaml:?}");
    }
}
