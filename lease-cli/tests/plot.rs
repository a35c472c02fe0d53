//! `lease plot` as a process: the pictures of a recording, and one error with a place and a way out for whatever is
//! none.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// One leads and releases; another leads, and is seen no more; then somebody looks until second 40.
const RECORDING: &str = include_str!("../testdata/recording.jsonl");

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(TempDir::new().expect("a directory"));
        place.write("r.jsonl", RECORDING);
        place
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path().join(name), text).expect("written");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).expect("it was written")
    }

    fn lease(&self, arguments: &[&str]) -> Output {
        let mut lease = Command::new(env!("CARGO_BIN_EXE_lease"));
        lease.env_clear().env("HOME", self.path()).current_dir(self.path()).stdin(Stdio::null());
        lease.args(arguments).output().expect("lease starts")
    }

    /// One error, which says all of this.
    fn refused(&self, arguments: &[&str], code: i32, says: &[&str]) {
        let output = self.lease(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert_eq!(said.matches("error:").count(), 1, "{arguments:?}: {said}");
        for part in says {
            assert!(said.contains(part), "{arguments:?} does not say {part:?}: {said}");
        }
        assert!(output.stdout.is_empty() && !said.contains("panicked"), "{arguments:?}: {said}");
    }
}

#[test]
fn a_recording_is_drawn_in_the_terminal() {
    let place = Place::new();
    let output = place.lease(&["plot", "r.jsonl"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.starts_with("prod/db: 2 holders, 2 terms, nobody for 21s in 40s\n"), "{text}");
    assert!(text.contains("Who held the record, as a watch saw it; not who acted."), "{text}");
    assert!(text.contains("<b>\\u{1b}[2J ") && !text.contains('\u{1b}'), "{text}");
    assert!(text.contains("nobody holds it") && text.contains("renewed every 2s"), "{text}");
}

#[test]
fn a_recording_is_drawn_into_files_that_are_overwritten() {
    let place = Place::new();
    for (name, begins) in [("out.svg", "<svg "), ("out.html", "<!doctype html>")] {
        place.write(name, "something older");
        let output = place.lease(&["plot", "r.jsonl", "-O", name]);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout.is_empty() && output.stderr.is_empty());
        let drawn = place.read(name);
        assert!(drawn.starts_with(begins), "{drawn}");
        assert!(drawn.contains("nobody for 21s in 40s") && drawn.contains("not who acted"), "{drawn}");
        assert!(!drawn.contains("<b>") && drawn.contains("&lt;b&gt;\\u{1b}[2J"), "{drawn}");
    }
}

#[test]
fn several_files_are_drawn_at_once_and_none_over_another() {
    let place = Place::new();
    let output = place.lease(&["plot", "r.jsonl", "-O", "a.svg", "-O", "a.html"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(place.read("a.svg").starts_with("<svg ") && place.read("a.html").starts_with("<!doctype html>"));
    place.refused(&["plot", "r.jsonl", "-O", "b.svg", "-O", "./b.svg"], 64, &["overwrite another picture", "-O FILE"]);
    place.write("empty.jsonl", "");
    place.refused(
        &["plot", "empty.jsonl"],
        65,
        &["empty.jsonl:1: the recording is empty", "lease watch NAME --record"],
    );
}

#[test]
fn a_last_line_that_was_cut_off_is_left_out_with_a_warning() {
    let place = Place::new();
    place.write("cut.jsonl", &RECORDING[..RECORDING.len() - 20]);
    let output = place.lease(&["plot", "cut.jsonl"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("WARN") && said.contains("cut off") && said.contains("line=7"), "{said}");
}

#[test]
fn what_is_no_recording_is_refused() {
    const USAGE: i32 = 64;
    const DATA: i32 = 65;
    const NO_INPUT: i32 = 66;
    const SYSTEM: i32 = 71;
    let place = Place::new();
    place.write("empty", "");
    place.write("other.json", "{\"kind\": \"Lease\"}\n");
    place.write("binary", [0xff_u8, 0, 10]);
    place.write("newer.jsonl", RECORDING.replace("\"formatVersion\":1", "\"formatVersion\":2"));
    place.write(
        "garbage.jsonl",
        RECORDING.replace("{\"time\":\"2026-11-21T10:00:04", "{{\"time\":\"2026-11-21T10:00:04"),
    );
    place.write("r.svg", RECORDING);
    let cases: &[(&[&str], i32, &[&str])] = &[
        (&["missing.jsonl"], NO_INPUT, &["missing.jsonl", "No such file", "lease watch NAME --record missing.jsonl"]),
        (&["."], NO_INPUT, &[". is not a file", "name another file"]),
        (&["empty"], DATA, &["empty", "lease watch NAME --record empty"]),
        (&["other.json"], DATA, &["other.json:1: this is not a recording"]),
        (&["binary"], DATA, &["binary:1: this is not a recording"]),
        (
            &["newer.jsonl"],
            DATA,
            &["newer.jsonl:1: ", "format version 2", "version 1", "the version of lease that wrote it"],
        ),
        (&["garbage.jsonl"], DATA, &["garbage.jsonl:4:2: ", "sed -i 4d garbage.jsonl"]),
        (&["r.jsonl", "-O", "out.png"], USAGE, &["out.png", ".svg or as .html"]),
        (&["r.jsonl", "-O", "out"], USAGE, &["out", ".svg or as .html"]),
        (&["r.jsonl", "-O", "no/such/out.svg"], SYSTEM, &["no/such/out.svg", "No such file", "-O FILE"]),
        (&["r.svg", "-O", "./r.svg"], USAGE, &["overwrite the recording"]),
        (&["r.jsonl", "-o", "json"], USAGE, &["--output", "-O FILE.svg"]),
        (&[], USAGE, &["<RECORDING>", "Usage: lease plot"]),
    ];
    for (arguments, code, says) in cases {
        place.refused(&[&["plot"], *arguments].concat(), *code, says);
    }
    assert_eq!(place.read("r.svg"), RECORDING);
}

/// Before anything is sent, and the file is left as it was.
#[test]
fn watch_does_not_record_into_something_else() {
    let place = Place::new();
    place.write("notes.txt", "mine\n");
    place.refused(
        &["watch", "db", "--record", "notes.txt"],
        65,
        &["notes.txt:1: this is not a recording", "name another file"],
    );
    place.refused(&["watch", "db", "--record", "."], 66, &["not a file", "name another file"]);
    // Nor does it leave an empty one behind where there is nothing to watch.
    place.refused(&["watch", "db", "--record", "w.jsonl", "--kubeconfig", "none"], 78, &["kubeconfig"]);
    assert!(!place.path().join("w.jsonl").exists());
    place.refused(
        &["watch", "db", "--record", "no/such/r.jsonl"],
        71,
        &["no/such/r.jsonl", "No such file", "name another file"],
    );
    assert_eq!(place.read("notes.txt"), "mine\n");
}
