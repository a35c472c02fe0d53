//! `lease validate`, `components` and `print-config` as processes: everything that is wrong at once with its place, and no
//! secret that was not asked for.

use std::fs;
use std::process::{Command, Stdio};

use tempfile::TempDir;

const GOOD: &str = "
extensions: {memory_leader_elector: }
receivers:
  dummy: {interval: '${INTERVAL:-5s}', k8s_leader_elector: memory_leader_elector}
exporters:
  debug: ${file:debug.yaml}
  otlp: {endpoint: 'localhost:4317', headers: {x-key: '${env:KEY}'}}
service:
  extensions: [memory_leader_elector]
  pipelines: {metrics: {receivers: [dummy], exporters: [debug]}}
";

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(TempDir::new().expect("a directory"));
        place.write("good.yaml", GOOD);
        place.write("debug.yaml", "verbosity: basic\n");
        place
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.path().join(name), text).expect("written");
    }

    /// The exit code and both streams.
    fn lease(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut lease = Command::new(env!("CARGO_BIN_EXE_lease"));
        lease.env_clear().env("HOME", self.0.path()).env("KEY", "hunter2");
        lease.current_dir(self.0.path()).stdin(Stdio::null()).args(arguments);
        let output = lease.output().expect("lease starts");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        (output.status.code().expect("it ends by itself"), text(output.stdout), text(output.stderr))
    }
}

const CONFIGURATION: i32 = 78;
const USAGE: i32 = 64;

const BAD: &str = "receivers:
  dumy: {}
  dummy: {intervall: 5s}
exporters: {debug: }
service: {pipelines: {metrics: {receivers: [dummy], exporters: [debug]}}}
";

#[test]
fn everything_that_is_wrong_is_listed_with_its_place() {
    let place = Place::new();
    place.write("bad.yaml", BAD);
    let (code, out, said) =
        place.lease(&["validate", "--config", "bad.yaml", "--set", "exporters.debug.verbosity=${NOBODY}"]);
    assert_eq!((code, out.as_str()), (CONFIGURATION, ""), "{said}");
    let errors: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("error: ")).collect();
    assert_eq!(
        errors,
        [
            "bad.yaml:2:3: receivers.dumy: unknown kind of receiver `dumy`; did you mean `dummy`?",
            "bad.yaml:3:11: receivers.dummy.intervall: unknown key; did you mean `interval`?",
            "--set exporters.debug.verbosity: the variable `NOBODY` is not set; set it, or give a \
             default: ${env:NOBODY:-DEFAULT}",
        ]
    );
    for arguments in [["collector", "--config", "bad.yaml"], ["print-config", "--config", "bad.yaml"]] {
        let (code, out, said) = place.lease(&arguments);
        assert_eq!((code, out.as_str(), said.matches("error: bad.yaml:").count()), (CONFIGURATION, "", 2), "{said}");
    }
}

#[test]
fn programs_read_what_is_wrong() {
    let place = Place::new();
    place.write("bad.yaml", BAD);
    let (code, out, said) = place.lease(&["validate", "--config", "bad.yaml", "-o", "json"]);
    assert_eq!((code, said.as_str()), (CONFIGURATION, ""));
    let verdict: serde_json::Value = serde_json::from_str(&out).expect("it is JSON");
    let key = serde_json::json!({
        "source": "bad.yaml", "line": 3, "column": 11, "path": "receivers.dummy.intervall",
        "message": "unknown key; did you mean `interval`?",
    });
    assert_eq!((&verdict["valid"], &verdict["errors"][1]), (&false.into(), &key), "{out}");
    let (code, out, _) = place.lease(&["validate", "--config", "good.yaml", "-o", "json"]);
    let verdict: serde_json::Value = serde_json::from_str(&out).expect("it is JSON");
    assert_eq!((code, &verdict["valid"], &verdict["errors"]), (0, &true.into(), &serde_json::json!([])), "{out}");
    let warning = "is in no pipeline, so it does not run";
    assert_eq!(verdict["warnings"][0]["message"], warning, "{out}");
}

#[test]
fn what_is_good_is_counted_and_what_is_doubtful_is_told_apart() {
    let (code, out, said) = Place::new().lease(&["validate", "--config", "good.yaml"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(out, "valid: 1 pipeline, 1 receiver, 0 processors, 1 exporter, 1 extension\n");
    assert!(said.contains("good.yaml:7:3: exporters.otlp: is in no pipeline, so it does not run"), "{said}");
    assert!(!said.contains("error:"), "{said}");
}

#[test]
fn warnings_and_errors_have_one_form_and_are_no_log() {
    let place = Place::new();
    place.write("bad.yaml", &GOOD.replace("interval:", "intervall:"));
    let (code, _, said) = place.lease(&["validate", "--config", "bad.yaml"]);
    assert_eq!(code, CONFIGURATION, "{said}");
    let warning = "warning: bad.yaml:7:3: exporters.otlp: is in no pipeline, so it does not run";
    let error = "error: bad.yaml:4:11: receivers.dummy.intervall: unknown key; did you mean `interval`?";
    assert_eq!(said.lines().collect::<Vec<_>>(), [warning, error]);
    let (code, _, said) = place.lease(&["validate", "--config", "good.yaml", "-q"]);
    assert_eq!((code, said.as_str()), (0, ""));
    let (code, _, said) = place.lease(&["print-config", "--config", "good.yaml"]);
    assert_eq!(
        (code, said.as_str()),
        (0, "warning: good.yaml:7:3: exporters.otlp: is in no pipeline, so it does not run\n")
    );
}

#[test]
fn what_is_named_and_not_here_is_a_warning() {
    let place = Place::new();
    let text = "receivers:
  exec/name: {command: [no-such-program, x]}
  exec/path: {command: [./no-such-program]}
  exec/elsewhere: {command: [no-such-program], env: {PATH: /there}}
  exec/good: {command: [/bin/sh]}
exporters:
  otlp:
    endpoint: localhost:4317
    tls: {ca_file: no-such-ca.pem}
  file: {path: no-such-directory/a.json}
  file/made: {path: no-such-directory/b.json, create_directory: true}
  file/here: {path: c.json}
service:
  pipelines:
    logs:
      receivers: [exec/name, exec/path, exec/elsewhere, exec/good]
      exporters: [otlp, file, file/made, file/here]
";
    place.write("named.yaml", text);
    let (code, out, said) = place.lease(&["validate", "--config", "named.yaml"]);
    assert_eq!((code, out.starts_with("valid: ")), (0, true), "{said}");
    let elsewhere = "; the collector needs it where it runs";
    let told = [
        "named.yaml:2:24: receivers.exec/name.command: there is no program `no-such-program` in the PATH of this machine",
        "named.yaml:3:24: receivers.exec/path.command: the program `./no-such-program` is not on this machine",
        "named.yaml:9:20: exporters.otlp.tls.ca_file: there is no file `no-such-ca.pem` on this machine",
        "named.yaml:10:16: exporters.file.path: there is no directory `no-such-directory` on this machine",
    ];
    let warnings: Vec<&str> = said.lines().filter(|line| line.contains(elsewhere)).collect();
    assert_eq!(warnings, told.map(|told| format!("warning: {told}{elsewhere}")), "{said}");
    let (_, out, _) = place.lease(&["validate", "--config", "named.yaml", "-o", "json"]);
    let verdict: serde_json::Value = serde_json::from_str(&out).expect("it is JSON");
    let paths: Vec<_> =
        verdict["warnings"].as_array().expect("a list").iter().map(|found| found["path"].clone()).collect();
    assert!(paths.contains(&"exporters.file.path".into()) && verdict["valid"] == true, "{out}");
}

#[test]
fn the_configuration_is_shown_as_one_and_without_its_secrets() {
    let place = Place::new();
    let set = ["--set", "exporters.debug={verbosity: detailed}"];
    let (code, out, said) = place.lease(&[&["print-config", "--config", "good.yaml"][..], &set].concat());
    assert_eq!(code, 0, "{said}");
    for part in ["interval: 5s", "verbosity: detailed", "x-key: \"[REDACTED]\"", "endpoint: localhost:4317"] {
        assert!(out.replace('\'', "\"").contains(part), "{part}: {out}");
    }
    assert!(!out.contains("hunter2") && !said.contains("hunter2"), "{out}{said}");
    let (_, out, _) = place.lease(&["print-config", "--config", "good.yaml", "--mode", "unredacted", "-o", "json"]);
    let shown: serde_json::Value = serde_json::from_str(&out).expect("it is JSON");
    assert_eq!(shown["exporters"]["otlp"]["headers"]["x-key"], "hunter2");
    assert_eq!(shown["exporters"]["debug"]["verbosity"], "basic");
    // What is shown loads as it is.
    let (_, out, _) = place.lease(&["print-config", "--config", "good.yaml", "--mode", "unredacted"]);
    place.write("shown.yaml", &out);
    let (_, again, _) = place.lease(&["print-config", "--config", "shown.yaml", "--mode", "unredacted"]);
    assert_eq!(again, out);
}

/// Values that are texts though they look like something else, and every kind of secret.
const DELICATE: &str = "
extensions:
  memory_leader_elector: {lease_name: 0123, lease_namespace: '${ID}', identity: 1.10}
receivers:
  dummy: {k8s_leader_elector: memory_leader_elector}
  exec:
    command: [curl, 'https://me:hunter2@host/?key=hunter2', 0123]
    env: {TOKEN: hunter2, MODE: 0123, EMPTY: }
    stop_timeout: 5s
exporters:
  debug: {sampling_initial: 012}
  otlp:
    endpoint: localhost:4317
    headers: {x-key: hunter2, x-number: 0123}
    tls: {cert_pem: '-----BEGIN CERTIFICATE-----', key_pem: '-----BEGIN PRIVATE KEY-----hunter2'}
  otlphttp:
    endpoint: 'https://host/?key=hunter2'
    headers: [{name: x-key, value: hunter2}]
  file: {path: '$${env:NOBODY}/0123', directory_permissions: 0755, create_directory: true}
service:
  extensions: [memory_leader_elector]
  pipelines:
    metrics: {receivers: [dummy], exporters: [debug, otlp, otlphttp, file]}
    logs: {receivers: [exec], exporters: [debug]}
  telemetry:
    resource: {service.version: 1.10, secret.number: 0123}
    metrics:
      readers:
        - periodic: {interval: 0144, exporter: {otlp: {protocol: grpc, endpoint: 'http://localhost:4317', headers_list: 'a=hunter2,b=hunter2'}}}
";

#[test]
fn what_is_shown_without_secrets_is_valid_and_shown_the_same_again() {
    let place = Place::new();
    place.write("delicate.yaml", &DELICATE.replace("${ID}", "${env:ID:-0456}"));
    for output in ["yaml", "json"] {
        let (code, out, said) = place.lease(&["print-config", "--config", "delicate.yaml", "-o", output]);
        assert_eq!(code, 0, "{said}");
        assert!(!out.contains("hunter2"), "{out}");
        let plain = out.replace(['"', '\''], "");
        for part in ["lease_name: 0123", "lease_namespace: 0456", "identity: 1.10", "directory_permissions: 0755"] {
            assert!(plain.contains(part), "{part}: {out}");
        }
        for part in ["sampling_initial: 10", "interval: 100", "service.version: 1.10", "x-number: [REDACTED]"] {
            assert!(plain.contains(part), "{part}: {out}");
        }
        place.write("shown.yaml", &out);
        let (code, _, said) = place.lease(&["validate", "--config", "shown.yaml"]);
        assert_eq!(code, 0, "{said}\n{out}");
        let (_, again, _) = place.lease(&["print-config", "--config", "shown.yaml", "-o", output]);
        assert_eq!(again, out);
    }
}

#[test]
fn every_kind_of_component_is_shown() {
    let place = Place::new();
    let (code, out, _) = place.lease(&["components"]);
    assert_eq!(code, 0);
    let row = |kind: &str| out.lines().find(|line| line.contains(kind)).unwrap_or_else(|| panic!("no {kind}: {out}"));
    assert!(row("k8s_leader_elector").starts_with("extension "), "{out}");
    assert!(row("otlp_grpc").contains("otlp"), "{out}");
    let (_, names, _) = place.lease(&["components", "-o", "name"]);
    assert_eq!(names.lines().count() + 1, out.lines().count());
    let (_, json, _) = place.lease(&["components", "-o", "json"]);
    let rows: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
    assert_eq!(rows.as_array().map(Vec::len), Some(names.lines().count()));
}

#[test]
fn a_command_line_that_makes_no_sense_is_refused() {
    let place = Place::new();
    for (arguments, says) in [
        (&["validate"][..], "--config <URI>"),
        (&["validate", "--config", "https://example.com/a"], "`https:` is not a place to read from"),
        (&["validate", "--config", "good.yaml", "--set", "a"], "KEY.KEY=VALUE is expected"),
        (&["validate", "--config", "good.yaml", "-o", "name"], "validate has no names to show"),
        (&["print-config", "--config", "good.yaml", "-o", "name"], "print-config has no names to show"),
        (&["print-config", "--config", "good.yaml", "--mode", "secret"], "redacted, unredacted"),
    ] {
        let (code, out, said) = place.lease(arguments);
        assert_eq!((code, out.as_str()), (USAGE, ""), "{arguments:?}: {said}");
        assert!(said.contains(says), "{says}: {said}");
    }
}

/// The blocks of YAML in a document, each with the line where it begins.
fn blocks(text: &str) -> Vec<(usize, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (index, line) in text.lines().enumerate() {
        match (&mut open, line.trim_start()) {
            (None, "```yaml") => open = Some((index + 2, String::new())),
            (Some(_), "```") => blocks.extend(open.take()),
            (Some((_, block)), _) => {
                block.push_str(line);
                block.push('\n');
            }
            (None, _) => {}
        }
    }
    blocks
}

#[test]
fn every_whole_configuration_in_the_documents_is_valid() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut documents = vec![root.join("README.md")];
    for entry in fs::read_dir(root.join("docs")).expect("there are documents") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        if name.starts_with("collector-") && path.extension().is_some_and(|extension| extension == "md") {
            documents.push(path);
        }
    }
    assert!(documents.len() > 3, "{documents:?}");
    let place = Place::new();
    let mut whole = 0;
    for document in &documents {
        let text = fs::read_to_string(document).expect("it can be read");
        for (line, block) in blocks(&text) {
            let is_whole = ["receivers:", "exporters:", "service:"]
                .iter()
                .all(|section| block.lines().any(|line| line.starts_with(section)));
            if !is_whole {
                continue;
            }
            whole += 1;
            place.write("block.yaml", &block);
            let (code, out, said) = place.lease(&["validate", "--config", "block.yaml"]);
            assert_eq!(code, 0, "{}:{line}: {said}", document.display());
            assert!(out.starts_with("valid: "), "{}:{line}: {out}", document.display());
        }
    }
    assert!(whole > 0, "README.md shows a configuration");
}
