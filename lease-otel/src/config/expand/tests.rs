//! What stands for something else becomes it, and what refers to itself or to nothing is refused.

use std::env::VarError;

use super::text::expand as expand_text;
use super::*;

/// What the tests of the OpenTelemetry Collector have in their environment, and some more.
fn environment(name: &str) -> Result<String, VarError> {
    let value = match name {
        "HOST" => "localhost",
        "PORT" => "3044",
        "OS" => "ubuntu",
        "PR" => "amd",
        "INT" => "123",
        "OCTAL" => "0123",
        "QUOTED" => "\"0123\"",
        "TAGGED" => "!!str 0123",
        "TRUE" => "true # with a ${env:hello.world} reference",
        "BROKEN" => "[\"a\",",
        "LIST" => "[filelog,windowseventlog/application]",
        "LIST_OF" => "[filelog,'${env:HOST}']",
        // To YAML a `{` within a list needs quotes.
        "LIST_UNQUOTED" => "[filelog,${env:HOST}]",
        "LIST_ESCAPED" => "[\"filelog\",\"$${env:HOST}\"]",
        "IPV6" => "1111:1111:1111:1111:1111::",
        "DOLLARS" => "$$ENV",
        "ESCAPED" => "$${env:ENV}",
        "EMPTY" => "",
        "INDIRECT" => "${env:OCTAL}",
        "WRAPPED" => "The value ${env:WRAPPED2} is wrapped",
        "WRAPPED2" => "The value ${INT} is wrapped",
        "MAP" => "# with ${HOST}\ndebug:\n  verbosity: detailed",
        "MAP1" => "{env: \"${env:MAP2}\", inline: \"inline ${env:MAP2}\"}",
        "MAP2" => "{env2: \"${env:MAP3}\"}",
        "MAP3" => "{value: 123}",
        "NAME" => "env:HOST",
        "TORN" => "pa${ss",
        "SELF" => "a ${env:SELF} b",
        "TIC" => "${env:TAC}",
        "TAC" => "[${env:TIC}]",
        "MANY0" => "${HOST}",
        name if name.starts_with("MANY") => {
            let next = name["MANY".len()..].parse::<u32>().map_or(0, |n| n - 1);
            return Ok(format!("${{MANY{next}}} ").repeat(10));
        }
        _ => return Err(VarError::NotPresent),
    };
    Ok(value.to_owned())
}

/// A value as it is expanded below the key `a`.
fn value(text: &str) -> Result<Node, Vec<String>> {
    let place = Place { source: "f".into(), line: 3, column: 4 };
    let mut node = Node::new(place, Value::String(text.to_owned()));
    let mut problems = Problems::default();
    expand(&mut node, &environment, &mut problems);
    if problems.errors.is_empty() { Ok(node) } else { Err(problems.errors.iter().map(ToString::to_string).collect()) }
}

fn text(text: &str) -> String {
    value(text).expect(text).text().expect(text)
}

fn error(text: &str) -> String {
    value(text).expect_err(text).join("\n")
}

/// Rows of `TestResolverExpandStringValues` and `TestExpandEscapedEnvVars` of the OpenTelemetry Collector.
#[test]
fn references_within_text_are_those_of_the_collector() {
    for (input, output) in [
        ("${HOST}:${PORT}", "localhost:3044"),
        ("${HOST}:$PORT", "localhost:$PORT"),
        ("${env:HOST}:3043", "localhost:3043"),
        ("https://${env:HOST}:3045", "https://localhost:3045"),
        ("test_${env:INT}_test_${env:INT}", "test_123_test_123"),
        ("${yaml:localhost:${env:PORT}}", "localhost:3044"),
        ("${yaml:${HOST}:${PORT}}", "localhost:3044"),
        ("${yaml:localhost:${env:PORT}}?os=${env:OS}", "localhost:3044?os=ubuntu"),
        ("${yaml:1${yaml:2${yaml:3${yaml:4}}}}x", "1234x"),
        ("${${env:NAME}}", "localhost"),
        ("env:HOST}", "env:HOST}"),
        ("HO{ST}", "HO{ST}"),
        ("env:HOST}${env:PORT}", "env:HOST}3044"),
        ("${env:HOST}env:PORT}", "localhostenv:PORT}"),
        ("env:HOST}${env:PORT}?os=env:OS}&pr=${env:PR}", "env:HOST}3044?os=env:OS}&pr=amd"),
        ("${HOST}${env:PORT}", "localhost3044"),
        ("$$ENV", "$ENV"),
        ("$$$$ENV", "$$ENV"),
        ("$$${HOST}", "$localhost"),
        ("some$${HOST}text", "some${HOST}text"),
        ("$${ONE}$${TWO}", "${ONE}${TWO}"),
        ("text$$", "text$"),
        ("$", "$"),
        ("$${env:${HOST}}", "${env:localhost}"),
        ("$${env:$${HOST}}", "${env:${HOST}}"),
        ("env:MAP_VALUE_2}$${HOST}{", "env:MAP_VALUE_2}${HOST}{"),
        ("${env:UNDEFINED:-default_value}", "default_value"),
        ("${env:UNDEFINED:-$${env:UNDEFINED}}", "${env:UNDEFINED:-${env:UNDEFINED}}"),
        // There the first escape ends the search; here what follows it is expanded.
        ("$${HOST} ${HOST}", "${HOST} localhost"),
    ] {
        assert_eq!(text(input), output, "{input}");
    }
}

/// The rest of those rows: there they are text, and a mistyped reference goes unnoticed.
#[test]
fn a_reference_that_does_not_end_is_an_error_where_it_is_written() {
    for (input, named) in [
        ("${HOST", "${HOST"),
        ("${env:HOST${env:PORT?os=${env:OS", "${env:HOST${env:PORT?os=${env:OS"),
        ("env:HOST}${env:PORT", "env:HOST}${env:PORT"),
        ("${env:HOST${env:PORT}", "${env:HOST3044"),
        ("${env:HOST}${env:PORT", "localhost${env:PORT"),
        ("${env:HOST}}}}}}${env:PORT?os=${env:OS}", "localhost}}}}}${env:PORT?os=ubuntu"),
        ("${env:HOST${env:PORT?os=${env:OS}", "${env:HOST${env:PORT?os=ubuntu"),
        ("${env:HOST}${${${${${env:PORT}?os=${env:OS}", "localhost${${${${3044?os=ubuntu"),
        ("${env:HOST${env:PORT}?os=${env:OS&pr=${env:PR}", "${env:HOST3044?os=${env:OS&pr=amd"),
    ] {
        let told = "f:3:4: a `}` is missing for a `${`: write ${env:NAME}, and `$$` for a literal `$`";
        assert_eq!(error(input), told, "{input}");
        let expanded = expand_text(input, &mut |reference| {
            environment(reference.trim_start_matches("env:")).map_err(|error| error.to_string())
        });
        assert_eq!(expanded, Ok(Expanded::Unclosed(named.to_owned())), "{input}");
    }
    // A variable may hold any characters.
    assert_eq!((text("${TORN}"), text("x${TORN}")), ("pa${ss".to_owned(), "xpa${ss".to_owned()));
}

/// Rows of `TestStrictTypeCasting` of the OpenTelemetry Collector.
#[test]
fn a_whole_value_is_typed_and_stays_what_was_written_where_a_text_is_wanted() {
    for (input, typed, written) in [
        ("${INT}", Some(Value::Int(123)), Some("123")),
        ("${OCTAL}", Some(Value::Int(83)), Some("0123")),
        ("${INDIRECT}", Some(Value::Int(83)), Some("0123")),
        ("${QUOTED}", None, Some("\"0123\"")),
        ("${TAGGED}", None, Some("!!str 0123")),
        ("${BROKEN}", None, Some("[\"a\",")),
        ("${LIST_UNQUOTED}", None, Some("[filelog,localhost]")),
        ("${DOLLARS}", None, Some("$ENV")),
        ("${ESCAPED}", None, Some("${env:ENV}")),
        ("${WRAPPED}", None, Some("The value The value 123 is wrapped is wrapped")),
        // What stands in the comment cannot be expanded, so there is no text.
        ("${TRUE}", Some(Value::Bool(true)), None),
        ("${EMPTY}", Some(Value::Null), Some("")),
        ("${UNDEFINED:-}", None, Some("")),
        ("${UNDEFINED:-7}", Some(Value::Int(7)), Some("7")),
        ("${UNDEFINED:-${INT}}", Some(Value::Int(123)), Some("123")),
        ("${yaml:true}", Some(Value::Bool(true)), Some("true")),
    ] {
        let node = value(input).expect(input);
        let typed = typed.unwrap_or_else(|| Value::String(written.expect("a text is written").to_owned()));
        assert_eq!(node.value, typed, "{input}");
        let is_bare = node.written.is_none() && matches!(node.value, Value::Bool(true));
        assert_eq!(if is_bare { None } else { node.text() }.as_deref(), written, "{input}");
        assert_eq!((node.place.line, node.place.column), (3, 4), "{input}");
    }
    for (input, written) in [
        // A map with an empty value, to YAML.
        ("${IPV6}", "1111:1111:1111:1111:1111::"),
        ("${LIST}", "[filelog,windowseventlog/application]"),
        ("${LIST_OF}", "[filelog,'localhost']"),
        ("${LIST_ESCAPED}", "[\"filelog\",\"${env:HOST}\"]"),
        ("${MAP}", "# with localhost\ndebug:\n  verbosity: detailed"),
        ("${MAP1}", "{env: \"{env2: \"{value: 123}\"}\", inline: \"inline {env2: \"{value: 123}\"}\"}"),
    ] {
        let node = value(input).expect(input);
        assert!(matches!(node.value, Value::List(_) | Value::Map(_)), "{input}");
        assert_eq!(node.text().as_deref(), Some(written), "{input}");
    }
    let printed = |node: &Node| {
        serde_json::to_string(&crate::config::Printed::new(node, crate::config::Mode::Unredacted))
            .expect("it can be shown")
    };
    assert_eq!(printed(&value("${LIST_OF}").expect("it is a list")), r#"["filelog","localhost"]"#);
    let maps = r#"{"env":{"env2":{"value":123}},"inline":"inline {env2: \"{value: 123}\"}"}"#;
    assert_eq!(printed(&value("${MAP1}").expect("it is a map")), maps);
}

#[test]
fn what_cannot_be_expanded_is_an_error_with_its_place() {
    for (input, says) in [
        ("${NOBODY}", "f:3:4: the variable `NOBODY` is not set; set it, or give a default: ${env:NOBODY:-DEFAULT}"),
        ("x ${env:NOBODY} y", "the variable `NOBODY` is not set"),
        ("${env:hello.world}", "`hello.world` is not the name of a variable"),
        ("inline ${TRUE}", "`hello.world` is not the name of a variable"),
        ("${}", "the name of a variable is missing: write ${env:NAME}, and `$$` for a literal `$`"),
        ("${env:}", "the name of a variable is missing"),
        ("a ${:-b} c", "the name of a variable is missing"),
        ("${env:A$B}", "`$` cannot stand within"),
        ("${evn:HOST}", "`evn:` is not a place to read from; did you mean `env:`?"),
        ("${https://example.com/a}", "`https:` is not a place to read from; known are env:, file: and yaml:"),
        ("${:x}", "this names nothing"),
        ("${SELF}", "this leads back to itself: env:SELF -> env:SELF"),
        ("x${TIC}", "this leads back to itself: env:TIC -> env:TAC -> env:TIC"),
        ("${TIC}", "this leads back to itself: env:TIC -> env:TAC -> env:TIC"),
        ("${file:/nobody/here.yaml}", "the file `/nobody/here.yaml` cannot be read: No such file"),
        ("${MANY9}", "the configuration becomes too large here"),
    ] {
        let error = error(input);
        assert!(error.contains(says), "{input}: {error}");
    }
}

#[test]
fn files_may_name_files_but_not_themselves() {
    let place = tempfile::tempdir().expect("a directory");
    let path = |name: &str| place.path().join(name).display().to_string();
    let write = |name: &str, text: &str| std::fs::write(path(name), text).expect("it can be written");
    write("inner.yaml", "\nport: ${PORT}\n");
    write("outer.yaml", &format!("deep: ${{file:{}}}\n", path("inner.yaml")));
    let node = value(&format!("${{file:{}}}", path("outer.yaml"))).expect("both are there");
    let Value::Map(entries) = &node.value else { panic!("{node:?}") };
    let Value::Map(inner) = &entries[0].1.value else { panic!("{node:?}") };
    assert_eq!(
        (&inner[0].1.value, inner[0].1.place.to_string()),
        (&Value::Int(3044), format!("{}:2:7", path("inner.yaml")))
    );

    write("a.yaml", &format!("b: ${{file:{}}}\n", path("b.yaml")));
    write("b.yaml", &format!("a: [{{x: '${{file:{}}}'}}]\n", path("a.yaml")));
    let error = error(&format!("${{file:{}}}", path("a.yaml")));
    let [a, b] = ["a.yaml", "b.yaml"].map(path);
    assert!(
        error.contains(&format!("{b}:1:9: b.a[0].x: this leads back to itself: file:{a} -> file:{b} -> file:{a}")),
        "{error}"
    );

    // A certificate or a token is a text, line ends and all.
    write("token", "s3cret\n");
    write("cert", "-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n");
    assert_eq!(text(&format!("${{file:{}}}", path("token"))), "s3cret\n");
    assert!(text(&format!("${{file:{}}}", path("cert"))).ends_with("-----\n"));
}

#[test]
fn a_file_that_is_no_yaml_is_told_of() {
    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().join("bad.yaml").display().to_string();
    std::fs::write(&path, "a: [\n").expect("it can be written");
    let here = Place { source: "f".into(), line: 1, column: 1 };
    let mut node = Node::new(here, Value::String(format!("${{file:{path}}}")));
    let mut problems = Problems::default();
    expand(&mut node, &environment, &mut problems);
    assert_eq!(node.value, Value::String("a: [\n".into()));
    assert!(problems.errors.is_empty() && problems.warnings.len() == 1);
    let warning = problems.warnings[0].to_string();
    assert!(
        warning.contains("this file is not YAML and is taken as text") && warning.contains("bad.yaml:2:1"),
        "{warning}"
    );
}

#[test]
fn a_list_or_map_is_expanded_to_its_leaves() {
    let mut problems = Problems::default();
    let yaml = "k: {a: ['${HOST}', {b: '${NOBODY}'}], '${HOST}': 1}";
    let mut node = parse(&"f".into(), yaml, &mut problems).expect("it is YAML");
    let failed = expand(&mut node, &environment, &mut problems);
    assert_eq!(problems.errors.len(), 1);
    assert_eq!(problems.errors[0].path, "k.a[1].b");
    assert!(failed.is_about("k.a[1].b") && failed.is_about("k.a[1].b.c") && failed.is_about("k.a[1].b[0]"));
    assert!(!failed.is_about("k.a[1].bc") && !failed.is_about("k.a") && !failed.has_section());
    let Value::Map(entries) = &node.value else { panic!("{node:?}") };
    let Value::Map(inner) = &entries[0].1.value else { panic!("{node:?}") };
    // Keys stay what they are.
    assert_eq!(inner[1].0.name, "${HOST}");
}

/// Expanding what was escaped gives what there was.
#[test]
fn doubling_every_dollar_escapes_anything() {
    let mut random = fastrand::Rng::with_seed(7);
    let letters: Vec<char> = "$${}{}aé:-".chars().collect();
    for _ in 0..20_000 {
        let original: String = (0..random.usize(..20)).map(|_| letters[random.usize(..letters.len())]).collect();
        let escaped = original.replace('$', "$$");
        let found = expand_text(&escaped, &mut |reference| panic!("{original}: {reference} is looked up"));
        assert_eq!(found, Ok(Expanded::Text(original)));
    }
}
