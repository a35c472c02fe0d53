//! Where a configuration can come from, and what names no source.

use super::*;

fn environment(name: &str) -> Result<String, VarError> {
    match name {
        "YAML" => Ok("exporters: {debug: {verbosity: detailed}}".to_owned()),
        "EMPTY" => Ok(String::new()),
        "SECRET" => Ok("hunter2: [".to_owned()),
        "LIST" => Ok("[a]".to_owned()),
        _ => Err(VarError::NotPresent),
    }
}

fn read(source: &Source) -> Result<String, Vec<String>> {
    let mut problems = Problems::default();
    match source.read(&environment, &mut problems) {
        Some(node) => {
            let printed = crate::config::Printed::new(&node, crate::config::Mode::Unredacted);
            Ok(serde_json::to_string(&printed).expect("it can be shown"))
        }
        None => Err(problems.errors.iter().map(ToString::to_string).collect()),
    }
}

#[test]
fn a_text_names_a_source() {
    for (text, source) in [
        ("a.yaml", Source::File("a.yaml".into())),
        ("file:a.yaml", Source::File("a.yaml".into())),
        ("file:/etc/a:b.yaml", Source::File("/etc/a:b.yaml".into())),
        ("./a:b.yaml", Source::File("./a:b.yaml".into())),
        ("c:\\a.yaml", Source::File("c:\\a.yaml".into())),
        ("env:A", Source::Env("A".into())),
        ("env:A:-x", Source::Env("A:-x".into())),
        ("yaml:a::b: 1", Source::Yaml("a::b: 1".into())),
        ("yaml:", Source::Yaml(String::new())),
    ] {
        assert_eq!(text.parse(), Ok(source), "{text}");
    }
    for text in ["", "file:", "env:", "http://x/y", "https:x", "s3://bucket"] {
        assert!(text.parse::<Source>().is_err(), "{text}");
    }
}

#[test]
fn each_source_gives_a_map() {
    let source = |text: &str| text.parse::<Source>().expect("it is a source");
    let detailed = r#"{"exporters":{"debug":{"verbosity":"detailed"}}}"#;
    assert_eq!(read(&source("env:YAML")).as_deref(), Ok(detailed));
    assert_eq!(read(&source("yaml:exporters::debug::verbosity: detailed")).as_deref(), Ok(detailed));
    assert_eq!(read(&source("env:NOBODY:-{exporters::debug::verbosity: detailed}")).as_deref(), Ok(detailed));
    for empty in ["env:EMPTY", "yaml:", "env:NOBODY:-"] {
        assert_eq!(read(&source(empty)).as_deref(), Ok("{}"), "{empty}");
    }
}

#[test]
fn set_gives_one_value_of_any_kind() {
    for (text, map) in [
        ("exporters.debug.verbosity=detailed", r#"{"exporters":{"debug":{"verbosity":"detailed"}}}"#),
        (" a.b = 2s ", r#"{"a":{"b":"2s"}}"#),
        ("a.b=[x, y]", r#"{"a":{"b":["x","y"]}}"#),
        ("a::b.c=3", r#"{"a":{"b":{"c":3}}}"#),
        ("a={b: 1}", r#"{"a":{"b":1}}"#),
        ("a.b=", r#"{"a":{"b":null}}"#),
        ("a.b=x=y", r#"{"a":{"b":"x=y"}}"#),
        ("a.b='12'", r#"{"a":{"b":"12"}}"#),
    ] {
        assert_eq!(read(&Source::set(text).expect(text)).as_deref(), Ok(map), "{text}");
    }
    for text in ["", "a.b", "=x", " =x"] {
        assert_eq!(Source::set(text), Err(InvalidSource::Set), "{text}");
    }
    for text in ["a..b=1", ".a=1", &format!("{}b=1", "a.".repeat(1000))] {
        let errors = read(&Source::set(text).expect("it has a `=`")).expect_err(text);
        assert!(errors[0].contains("not a list of keys with dots between them"), "{errors:?}");
    }
}

#[test]
fn what_cannot_be_read_says_why() {
    let place = tempfile::tempdir().expect("a directory");
    let path = |name: &str| place.path().join(name).display().to_string();
    std::fs::write(path("latin1"), b"a: 1\nb: \xe4\n").expect("it can be written");
    std::fs::write(path("list"), "- a\n").expect("it can be written");
    for (source, says) in [
        (Source::File(path("missing")), "the file cannot be read: No such file"),
        (Source::File(place.path().display().to_string()), "the file cannot be read: Is a directory"),
        (Source::File(path("latin1")), "it is not UTF-8 from line 2 on"),
        (Source::File(path("list")), "list:1:1: a map of sections is expected here, not a list"),
        // It never ends.
        (Source::File("/dev/zero".into()), "longer than 10 MiB"),
        (Source::Env("NOBODY".into()), "env:NOBODY: the variable `NOBODY` is not set"),
        (Source::Env("NO BODY".into()), "`NO BODY` is not the name of a variable"),
        (Source::Env("LIST".into()), "env:LIST:1:1: a map of sections is expected here"),
        (Source::Yaml("a: [".into()), "yaml:2:1: this is not valid YAML"),
        (Source::set("a=[").expect("it has a `=`"), "--set a:2:1: this is not valid YAML"),
    ] {
        let errors = read(&source).expect_err(says);
        assert!(errors[0].contains(says), "{errors:?} instead of {says}");
    }
}

#[test]
fn no_value_is_shown_by_mistake() {
    let source = Source::set("a.password=hunter2").expect("it has a `=`");
    assert_eq!(format!("{source:?}"), "Source(--set a.password)");
    assert_eq!(format!("{:?}", Source::Yaml("hunter2".into())), "Source(yaml)");
    let errors = read(&Source::Env("SECRET".into())).expect_err("it is no YAML");
    assert!(!errors[0].contains("hunter2"), "{errors:?}");
}
