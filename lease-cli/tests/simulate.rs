//! `lease simulate` and `lease advise` as programs: what they say, what they refuse, and how they end. No cluster.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

struct Place(TempDir);

struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Place {
    fn new() -> Self {
        Self(TempDir::new().expect("a directory"))
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

    fn lease(&self, line: &str) -> Said {
        let mut lease = Command::new(env!("CARGO_BIN_EXE_lease"));
        lease.env_clear().env("HOME", self.path()).current_dir(self.path()).stdin(Stdio::null());
        let Output { status, stdout, stderr } = lease.args(line.split_whitespace()).output().expect("lease starts");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        Said { code: status.code().expect("it ends by itself"), out: text(stdout), err: text(stderr) }
    }

    fn refused(&self, line: &str, code: i32, says: &[&str]) {
        let said = self.lease(line);
        assert_eq!(said.code, code, "{line}: {}", said.err);
        assert_eq!(said.err.matches("error:").count(), 1, "{line}: {}", said.err);
        for part in says {
            assert!(said.err.contains(part), "{line} does not say {part:?}: {}", said.err);
        }
        assert!(!said.err.contains("panicked"), "{line}: {}", said.err);
    }
}

const NO_INPUT: i32 = 66;
const USAGE: i32 = 64;
const DATA: i32 = 65;
const CONFIGURATION: i32 = 78;

#[test]
fn one_seed_always_says_the_same() {
    let place = Place::new();
    let line = "simulate --preset partition --runs 20 --compare 15s/10s/2s,8s/5s/1s --rule ours,client-go";
    let (one, other) = (place.lease(line), place.lease(line));
    assert_eq!((one.out.as_str(), one.code), (other.out.as_str(), other.code));
    for part in ["partition: the leader is cut off", "SETTING", "15s/10s/2s client-go", "8s/5s/1s", "acts"] {
        assert!(one.out.contains(part), "{part:?} is not in: {}", one.out);
    }
    assert_eq!(one.err, "", "progress is for terminals");
    assert_ne!(place.lease(&format!("{line} --seed 2")).out, one.out);
}

#[test]
fn every_preset_says_that_no_two_act_at_once() {
    let place = Place::new();
    for preset in ["crash", "partition", "skew", "slow-api", "rolling-update"] {
        let said = place.lease(&format!("simulate --preset {preset} --runs 20"));
        assert_eq!(said.code, 0, "{preset}: {}{}", said.out, said.err);
    }
    let said = place.lease("simulate --preset swarm --runs 20");
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert!(said.out.contains("no violation"), "{}", said.out);
    // Both say how many overlaps there were, and why.
    let line = "simulate --preset mixed --runs 20";
    let (text, json) = (place.lease(line).out, place.lease(&format!("{line} -o json")).out);
    let document: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let kinds = document["overlaps"].as_array().expect("a list");
    let counts: Vec<u64> = kinds.iter().filter_map(|kind| kind["count"].as_u64()).collect();
    assert_eq!(Some(counts.iter().sum()), document["overlapCount"].as_u64(), "{json}");
    assert!(
        kinds.len() > 1 && kinds.iter().all(|kind| text.contains(&format!("{} overlap", kind["count"]))),
        "{text}{json}"
    );
    assert!(text.contains("client-go's rules, which promise no exclusion"), "{text}");
    let said = place.lease("simulate --preset swarm --runs 2 --save none.json");
    assert!(said.out.contains("nothing is saved") && !place.path().join("none.json").exists(), "{}", said.out);
    let said = place.lease("simulate --preset edits --seed 8812 -o json");
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert!(said.out.contains("\"origin\": \"seed 8812 of edits\""), "{}", said.out);
}

/// What client-go accepts and what the inequality refuses both show two leaders, and the exit code says so.
#[test]
fn two_leaders_are_exit_code_one() {
    let place = Place::new();
    let said = place.lease("simulate --preset partition --rule client-go --compare 15s/14s/2s --runs 20 -o json");
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    let document: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    let setting = &document["settings"][0];
    assert!(setting["overlapCount"].as_u64() > Some(0), "{document:#}");
    assert_eq!(setting["overlaps"][0]["brokenAssumption"], serde_json::Value::Null);
    assert_eq!(setting["overlapsComplete"], true);
    let all = place.lease("simulate --preset partition --rule client-go --compare 15s/14s/2s --runs 200 -o json");
    let document: serde_json::Value = serde_json::from_str(&all.out).expect("JSON");
    let setting = &document["settings"][0];
    let listed = setting["overlaps"].as_array().expect("a list");
    assert_eq!((listed.len(), &setting["overlapsComplete"]), (100, &false.into()), "{setting:#}");
    let seconds = |value: &serde_json::Value| value.as_f64().expect("seconds");
    let longest = listed.iter().map(|one| seconds(&one["forSeconds"])).fold(0.0, f64::max);
    assert!(seconds(&setting["maxOverlapSeconds"]) >= longest && longest > 0.0, "{setting:#}");
    let again = place.lease("simulate --preset partition --rule ours --compare 15s/14s/2s --runs 20");
    assert_eq!(again.code, 0, "{}", again.out);
}

#[test]
fn unsafe_timing_is_said_in_every_output() {
    let place = Place::new();
    let line = "simulate --preset partition --compare 15s/20s/2s --runs 5";
    place.refused(line, CONFIGURATION, &["15s/20s/2s", "renew deadline 20s", "--unsafe-timing runs them all the same"]);
    let line = format!("{line} --unsafe-timing");
    let said = place.lease(&format!("{line} -O report.html --save run.json"));
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    let (first, rest) = said.out.split_once('\n').expect("several lines");
    assert!(first.starts_with("UNSAFE TIMING: "), "{first}");
    for line in rest.lines().filter(|line| line.contains("15s/20s/2s") && !line.contains("lease simulate ")) {
        assert!(line.contains("UNSAFE TIMING"), "{line}");
    }
    assert!(place.read("report.html").contains("<h1>UNSAFE TIMING: "));
    for format in ["json", "yaml"] {
        let said = place.lease(&format!("{line} -o {format}"));
        assert!(said.out.contains("15s/20s/2s UNSAFE TIMING"), "{}", said.out);
        assert!(said.out.contains("unsafeTiming\": true") || said.out.contains("unsafeTiming: true"), "{}", said.out);
    }
    place.lease(&format!("{line} -O picture.svg"));
    assert!(place.read("picture.svg").contains("UNSAFE TIMING"));
    place.refused("simulate --replay run.json", CONFIGURATION, &["run.json", "inequality", "--unsafe-timing"]);
    let said = place.lease("simulate --replay run.json --unsafe-timing");
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    assert!(said.out.starts_with("UNSAFE TIMING: "), "{}", said.out);
    assert!(said.out.contains("UNSAFE TIMING: violates mutual_exclusion"), "{}", said.out);
    // Durations within the theorem are no more unsafe for the flag.
    let said = place.lease("simulate --preset partition --runs 2 --unsafe-timing");
    assert!(said.code == 0 && !said.out.contains("UNSAFE TIMING"), "{}", said.out);
}

#[test]
fn a_replay_is_a_story_and_a_picture() {
    let place = Place::new();
    let said =
        place.lease("simulate --preset partition --rule client-go --compare 15s/14s/2s --runs 5 --save run.json");
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    let said = place.lease("simulate --replay run.json -O run.svg");
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    for part in
        ["of partition, 15s/14s/2s client-go", "a: starts", "; LEADS", "-- partition of a", "act at once", "█ acts"]
    {
        assert!(said.out.contains(part), "{part:?} is not in: {}", said.out);
    }
    assert!(place.read("run.svg").starts_with("<svg"));
    place.lease("simulate --preset crash --runs 1 --save good.json");
    let good = place.lease("simulate --replay good.json");
    assert_eq!(good.code, 0, "{}{}", good.out, good.err);
    assert!(good.out.contains("no two act at once"), "{}", good.out);
}

#[test]
fn replay_files_that_cannot_be_trusted() {
    let place = Place::new();
    place.lease("simulate --preset crash --runs 1 --save run.json");
    let text = place.read("run.json");
    place.write("newer.json", text.replacen("\"format\": 1", "\"format\": 2", 1));
    place.write("edited.json", text.replacen("\"watches\": true", "\"watches\": false", 1));
    place.write("short.json", &text[..text.len() / 2]);
    place.write("scenario.yaml", "until: 5m\n");
    place.write("renamed.json", text.replacen("seed 1 of crash", "seed 2 of crash", 1));
    place.refused("simulate --replay renamed.json", DATA, &["renamed.json", "digest"]);
    place.refused(
        "simulate run.json",
        CONFIGURATION,
        &["run.json is not a scenario", "lease simulate --replay run.json"],
    );
    place.refused("simulate --replay newer.json", DATA, &["newer.json", "format 2", "not 1", "the version"]);
    place.refused("simulate --replay edited.json", DATA, &["edited.json", "digest", "again from its seed"]);
    place.refused("simulate --replay short.json", DATA, &["short.json", "not a replay file", "line"]);
    place.refused("simulate --replay scenario.yaml", DATA, &["scenario.yaml", "not a replay file", "--save"]);
    place.refused("simulate --replay none.json", NO_INPUT, &["none.json", "cannot be read", "--save"]);
}

#[test]
fn scenarios_that_cannot_be_played() {
    let place = Place::new();
    let event = |rest: &str| format!("until: 5m\nevents:\n  - at: 1m\n    what: {rest}");
    let cases: &[(&str, String, &[&str])] = &[
        ("unknown.yaml", "until: 5m\nnodse: 3\n".into(), &["unknown.yaml:2:", "nodse", "nodes", "docs/simulate.md"]),
        ("zero.yaml", "nodes: 0\nuntil: 5m\n".into(), &["zero.yaml:1:", "1 to 7 candidates, not 0"]),
        ("no-unit.yaml", "until: 5\n".into(), &["no-unit.yaml:1:", "no unit"]),
        ("late.yaml", event("crash\n    times: 9\n    every: 1m\n"), &["late.yaml:3:9:", "9m", "ends at 5m"]),
        ("useless.yaml", event("crash\n    extra: 1s\n"), &["useless.yaml:5:", "extra means nothing to crash"]),
        ("missing.yaml", event("partition\n"), &["missing.yaml:3:", "partition needs for"]),
        ("nobody.yaml", event("crash\n    who: g\n"), &["nobody.yaml:5:10:", "no candidate g", "a to c"]),
        (
            "durations.yaml",
            "until: 5m\ncompare: [10s/10s/2s]\n".into(),
            &["durations.yaml:2:11: 10s/10s/2s", "--unsafe-timing"],
        ),
        ("escape.yaml", "until: 5m\n\"\\e[2J\": 1\n".into(), &["escape.yaml:2:", "\\u{1b}[2J"]),
        ("longer.yaml", event("partition\n    for: 20m\n"), &["longer.yaml:5:", "20m", "the whole run lasts 5m"]),
        ("two.yaml", "until: 5m\n---\nuntil: 6m\n".into(), &["two.yaml", "a second document begins", "three dashes"]),
        ("list.yaml", "- a\n".into(), &["list.yaml"]),
        ("empty.yaml", String::new(), &["empty.yaml"]),
        ("broken.yaml", "until: [\n".into(), &["broken.yaml:"]),
    ];
    for (name, text, says) in cases {
        place.write(name, text);
        place.refused(&format!("simulate {name}"), CONFIGURATION, says);
    }
    place.refused("simulate none.yaml", NO_INPUT, &["none.yaml", "No such file", "--preset"]);
    place.write("binary.yaml", b"\xff\xfe");
    place.refused("simulate binary.yaml", DATA, &["binary.yaml", "cannot be read"]);
}

#[test]
fn where_nobody_ever_led_that_is_said() {
    let place = Place::new();
    place.write("deaf.yaml", "about: \"no \\e[2J answers\"\nuntil: 10m\nlatency: 2s\n");
    let said = place.lease("simulate deaf.yaml --runs 3 -O deaf.html -O deaf.svg");
    assert!(place.read("deaf.svg").starts_with("<svg "));
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert!(!said.out.contains('\u{1b}') && said.out.contains("no \\u{1b}[2J answers"), "{}", said.out);
    for part in ["3 of 3 runs never had a leader", "deaf.yaml, 15s/10s/2s: nobody ever led", "nobody acts xxxxxxxx"] {
        assert!(said.out.contains(part), "{part:?} is not in: {}", said.out);
    }
    assert!(!said.out.contains("never without") && !place.read("deaf.html").contains("never without"));
    let json = place.lease("simulate --preset crash --compare 1ms/1ms/1ms --unsafe-timing --runs 2 -o json").out;
    assert!(json.contains("\"neverLed\": 2"), "{json}");
}

#[test]
fn what_happens_at_a_moment_is_drawn_too() {
    let place = Place::new();
    place.write(
        "moments.yaml",
        "until: 5m\nevents:\n  - at: 1m\n    what: resign\n  - at: 2m\n    what: edit\n    edit: delete\n",
    );
    let said = place.lease("simulate moments.yaml --runs 1").out;
    let events = said.lines().find(|line| line.starts_with("events ")).unwrap_or_else(|| panic!("{said}"));
    assert_eq!(events.matches('|').count(), 2, "{said}");
    assert!(said.contains("| resignation a, edit"), "{said}");
}

#[test]
fn a_paused_leader_is_drawn_as_paused() {
    let place = Place::new();
    place.write("pause.yaml", "until: 6m\nevents:\n  - {at: 1m, what: pause, for: 60s}\n");
    let said = place.lease("simulate pause.yaml --runs 5 -O pause.svg").out;
    assert!(said.contains("15s/10s/2s: nobody acts for 1") && said.contains("nobody acts ·"), "{said}");
    assert!(said.contains("= paused"), "{said}");
    let lane = said.lines().find(|line| line.starts_with("a ")).unwrap_or_else(|| panic!("{said}"));
    assert!(lane.contains("█=") && !lane.contains("=█"), "it acts until it is paused, and not after: {said}");
    assert!(place.read("pause.svg").contains("a is paused: 1m to 2m"));
}

/// The strip below a row is a run of that row, and not of its neighbour.
#[test]
fn each_setting_shows_its_own_longest_time() {
    let place = Place::new();
    let said = place.lease("simulate --preset crash --runs 30 --compare 15s/10s/2s,8s/5s/1s").out;
    let longest = |setting: &str| {
        let row = said.lines().find(|line| line.starts_with(&format!("{setting} "))).expect("a row");
        row.split_whitespace().nth(3).expect("the longest")[..4].to_owned()
    };
    for setting in ["15s/10s/2s", "8s/5s/1s"] {
        let title = said.lines().find(|line| line.starts_with(&format!("crash, {setting}: "))).expect("a strip");
        let told = title.rsplit(' ').next().expect("how long").trim_end_matches('s').to_owned();
        let (told, longest): (f64, f64) = (told.parse().expect("seconds"), longest(setting).parse().expect("seconds"));
        assert!((told - longest).abs() < 0.06, "{said}");
    }
}

/// Nothing that was asked for depends on whether somebody reads to the end.
#[test]
fn whoever_stops_reading_changes_neither_the_files_nor_the_verdict() {
    let place = Place::new();
    let line = "simulate --preset partition --rule client-go --compare 15s/14s/2s --runs 5 -O r.html --save run.json";
    let mut lease = Command::new(env!("CARGO_BIN_EXE_lease"));
    lease.env_clear().current_dir(place.path()).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = lease.args(line.split_whitespace()).spawn().expect("lease starts");
    drop(child.stdout.take());
    assert_eq!(child.wait().expect("it ends").code(), Some(1));
    let page = place.read("r.html");
    assert!(
        page.contains("<pre><code>lease simulate --preset partition --compare 15s/14s/2s --rule client-go "),
        "{page}"
    );
    assert!(page.contains("two act at once") && place.read("run.json").contains("\"digest\""));
    let said = place.lease("simulate --preset partition --compare 15s/20s/2s --unsafe-timing --runs 5 --save run.json");
    assert!(said.out.contains("saved: run.json (seed ") && said.out.contains("made smaller: "), "{}", said.out);
    let said = place.lease("simulate --preset crash --runs 1 --save good.json").out;
    assert!(
        said.contains("saved: good.json (seed 1 of crash, 15s/10s/2s; whole, for it breaks no invariant)"),
        "{said}"
    );
}

#[test]
fn a_file_that_cannot_be_written_is_refused_before_the_first_run() {
    let place = Place::new();
    place.write("s.yaml", "until: 5m\n");
    place.write("s.svg", "until: 5m\n");
    place.lease("simulate --preset crash --runs 1 --save r.svg");
    for (line, code, says) in [
        (
            "simulate --preset crash --runs 10000000 -O none/r.svg",
            71,
            &["none/r.svg", "cannot be written", "-O FILE"][..],
        ),
        ("simulate --preset crash --runs 10000000 --save .", 71, &["cannot be written", "--save FILE"]),
        ("simulate --preset swarm --runs 10000000 --save none/x.json", 71, &["none/x.json", "cannot be written"]),
        ("simulate s.yaml --runs 10000000 --save s.yaml", USAGE, &["overwrite the scenario"]),
        ("simulate s.svg --runs 10000000 -O ./s.svg", USAGE, &["picture would overwrite the scenario", "another -O"]),
        ("simulate --replay r.svg -O r.svg", USAGE, &["picture would overwrite the replay file", "another -O"]),
        ("simulate s.yaml --runs 10000000 -O x.svg -O ./x.svg", USAGE, &["picture would overwrite another picture"]),
        ("simulate s.yaml --runs 10000000 --save x.svg -O ./x.svg", USAGE, &["overwrite the run that is saved"]),
    ] {
        place.refused(line, code, says);
    }
    place.refused("simulate --preset crash --runs 1 -O a.svg --save none/x.json", 71, &["none/x.json"]);
    assert!(!place.path().join("a.svg").exists(), "nothing is left behind");
}

/// A disk that is full, or a limit, takes away neither the old file nor leaves half of a new one.
#[test]
fn what_cannot_be_written_whole_is_not_written() {
    let place = Place::new();
    for (name, line) in
        [("r.html", "--preset crash --runs 1 -O r.html"), ("r.json", "--preset crash --runs 1 --save r.json")]
    {
        place.write(name, "something older");
        let mut shell = Command::new("sh");
        shell.env_clear().current_dir(place.path()).stdin(Stdio::null());
        let limited = format!("trap '' XFSZ; ulimit -f 1; exec {} simulate {line}", env!("CARGO_BIN_EXE_lease"));
        let output = shell.args(["-c", &limited]).output().expect("a shell");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(71), "{said}");
        assert!(said.contains("cannot be written") && said.contains(name), "{said}");
        assert_eq!(place.read(name), "something older");
    }
    assert_eq!(fs::read_dir(place.path()).expect("a directory").count(), 2, "nothing is left behind");
}

#[test]
fn an_interruption_tells_what_there_is_so_far() {
    let place = Place::new();
    for line in ["simulate --preset crash --runs 10000000", "simulate --preset swarm --runs 10000000"] {
        let mut lease = Command::new(env!("CARGO_BIN_EXE_lease"));
        lease.env_clear().current_dir(place.path()).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = lease.args(line.split_whitespace()).spawn().expect("lease starts");
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        let mut heading = String::new();
        // Printed after the handler is there.
        out.read_line(&mut heading).expect("a heading");
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it is there");
        let mut rest = String::new();
        out.read_to_string(&mut rest).expect("text");
        assert_eq!(child.wait().expect("it ends").code(), Some(130), "{heading}{rest}");
        assert!(rest.contains("interrupted after ") && rest.contains(" of 10000000 runs"), "{rest}");
    }
}

/// What has begun may take long, and whoever waits for it is told so.
#[test]
fn an_interruption_is_answered_at_once() {
    let place = Place::new();
    place.write("long.yaml", "until: 100h\n");
    let mut lease = Command::new(env!("CARGO_BIN_EXE_lease"));
    lease.env_clear().current_dir(place.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = lease.args(["simulate", "long.yaml", "--runs", "100"]).spawn().expect("lease starts");
    let mut out = BufReader::new(child.stdout.take().expect("piped"));
    out.read_line(&mut String::new()).expect("a heading");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it is there");
    let mut said = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
    assert!(said.any(|line| line.contains("finishing the runs that have begun; once more ends at once")));
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it is there");
    child.wait().expect("it ends");
}

#[test]
fn flags_that_cannot_work() {
    let place = Place::new();
    for (line, code, says) in [
        ("simulate", USAGE, &["--preset"][..]),
        ("simulate --preset nope", USAGE, &["nope", "crash", "rollbacks"]),
        ("simulate --preset crash x.yaml", USAGE, &["cannot be used with"]),
        ("simulate --preset crash --nodes 0", USAGE, &["--nodes", "1..=7"]),
        ("simulate --preset crash --nodes 8", USAGE, &["--nodes", "1..=7"]),
        ("simulate --preset crash --runs 0", USAGE, &["--runs"]),
        ("simulate --preset crash --until 5", USAGE, &["--until", "no unit"]),
        ("simulate --preset crash --until 0", CONFIGURATION, &["a run lasts 1s to"]),
        ("simulate --preset crash --until 1m", CONFIGURATION, &["crash, event 1", "as late as 2m", "--until"]),
        ("simulate --preset crash --compare 15s/10s", USAGE, &["15s/10s/2s"]),
        ("simulate --preset crash --compare 15/10/2", USAGE, &["no unit"]),
        (
            "simulate --preset crash --compare 15s/14.9s/2s",
            CONFIGURATION,
            &["15s/14.9s/2s", "no time to stop", "250ms is needed, and 500ms is better", "14.202s", "--unsafe-timing"],
        ),
        (
            "simulate --preset crash --compare 50ms/20ms/5ms",
            CONFIGURATION,
            &["leaves 29ms to stop before 49ms", "more than 250ms is needed", "lease duration of at least 531ms"],
        ),
        ("simulate --preset crash --compare 0s/0s/0s --unsafe-timing", CONFIGURATION, &["below what can be simulated"]),
        ("simulate --preset crash --compare 0s/0s/0s", CONFIGURATION, &["below what can be simulated"]),
        ("simulate --preset crash --rule theirs", USAGE, &["theirs", "client-go"]),
        ("simulate --preset crash --rule client-go --compare 10s/10s/2s", CONFIGURATION, &["10s/10s/2s", "client-go"]),
        ("simulate --preset crash -O report.pdf", USAGE, &["report.pdf", ".svg", ".html"]),
        ("simulate --preset crash --runs 1 -O none/r.svg", 71, &["none/r.svg", "cannot be written"]),
        ("simulate --preset crash -o name", USAGE, &["no names"]),
        ("simulate --preset edits --compare 8s/5s/1s", USAGE, &["--compare means nothing to preset edits"]),
        ("simulate --preset crash --seed -1", USAGE, &["\"-1\" is not a seed", "from 0 to 18446744073709551615"]),
        ("advise --failover-p99 9s --seed=-1", USAGE, &["\"-1\" is not a seed"]),
        ("simulate --preset edits --nodes 2", USAGE, &["--nodes means nothing to preset edits"]),
        ("simulate --replay x.json --seed 3", USAGE, &["--replay", "--seed"]),
        ("advise", USAGE, &["--failover-p99"]),
        ("advise --failover-p99 15", USAGE, &["--failover-p99", "no unit"]),
        ("advise --max-writes-per-min 0", USAGE, &["--max-writes-per-min", "above zero"]),
        ("advise --failover-p99 9s --backend nope", USAGE, &["nope", "--backend k8s"]),
    ] {
        place.refused(line, code, says);
    }
}

/// A name that looks like an option is none, and what is to be pasted says so.
#[test]
fn what_is_to_be_pasted_is_taken() {
    let place = Place::new();
    place.write("-x.yaml", "until: 1m\n");
    let said = place.lease("simulate --runs 1 -- -x.yaml").out;
    let command =
        said.lines().find_map(|line| line.split("Drawn by: lease ").nth(1)).unwrap_or_else(|| panic!("{said}"));
    assert!(command.contains(" ./-x.yaml "), "{command}");
    assert_eq!(place.lease(command).code, 0, "{command}");
}

#[test]
fn the_example_of_the_documentation_is_played() {
    let guide =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/simulate.md")).expect("the guide");
    let (_, after) = guide.split_once("```yaml\n").expect("an example");
    let (example, _) = after.split_once("```").expect("its end");
    let place = Place::new();
    place.write("scenario.yaml", example);
    let said = place.lease("simulate scenario.yaml --runs 5");
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
}

#[test]
fn advice_meets_its_goals_and_the_next_setting_does_not() {
    let place = Place::new();
    for (goals, says) in [
        ("--failover-p99 15s", &["next cheaper", "misses", "(at least ", "a tenth of them, at least 500ms"][..]),
        ("--survive-outage 0s", &["at least 0s", "(at most 30)", "next quicker", "misses writes a minute"]),
        // Neither looks like what it misses, nor in other units than the other column.
        ("--failover-p99 10m --max-writes-per-min 0.31", &["at most 0.31", "0.296", "9m55s"]),
        ("--failover-p99 15s --survive-outage 4s", &["next cheaper", "misses failover p99"]),
        ("--survive-outage 20s --max-writes-per-min 20", &["next quicker", "misses outage survived"]),
    ] {
        let said = place.lease(&format!("advise {goals} --runs 100"));
        assert_eq!(said.code, 0, "{goals}: {}{}", said.out, said.err);
        for part in says.iter().chain(&["lease_duration: ", "lease run NAME --lease-duration "]) {
            assert!(said.out.contains(part), "{goals}: {part:?} is not in: {}", said.out);
        }
        let flags = said.out.lines().find_map(|line| line.strip_prefix("lease run NAME ")).expect("flags");
        // What is to be pasted is what the program takes: the refusal is about the kubeconfig, and nothing else.
        let refused = place.lease(&format!("run db {}", flags.replace("COMMAND", "true")));
        assert!(refused.err.contains("kubeconfig") && refused.err.matches("error:").count() == 1, "{}", refused.err);
    }
}

/// Each figure has its unit in its name, and no more digits than it has.
#[test]
fn advice_for_programs_has_units() {
    let said = Place::new().lease("advise --failover-p99 15s --survive-outage 4s --runs 10 -o json");
    let document: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    let goals = &document["goals"];
    assert_eq!(goals["failoverP99"]["derivedSeconds"], 13.02, "{document:#}");
    assert_eq!(goals["outageSurvived"]["playedSeconds"], 4.0, "{document:#}");
    assert_eq!((&goals["outageSurvived"]["played"], &goals["outageSurvived"]["leadersLost"]), (&10.into(), &0.into()));
    assert!(goals["writesPerMinute"]["wanted"].is_null(), "{document:#}");
}

#[test]
fn goals_that_stand_against_each_other() {
    let place = Place::new();
    let line = "advise --failover-p99 5s --survive-outage 20s --runs 10";
    let said = place.lease(line);
    assert_eq!(said.code, CONFIGURATION, "{}{}", said.out, said.err);
    assert!(said.err.contains("failover p99 at most 5s, outage survived at least 20s"), "{}", said.err);
    // A hint that asks for as much or more than what was asked for is none.
    assert!(said.err.contains("what can be met instead is --failover-p99 2"), "{}", said.err);
    let nearest = said.err.split("--failover-p99 ").nth(1).and_then(|rest| rest.split(',').next()).expect("a way out");
    let outage = said.err.split("--survive-outage ").nth(1).expect("another way out").to_owned();
    let said = place.lease(&format!("advise --failover-p99 {nearest} --survive-outage 20s --runs 10"));
    assert_eq!(said.code, 0, "the nearest that was named: {}{}", said.out, said.err);
    let outage = outage.trim();
    let said = place.lease(&format!("advise --failover-p99 5s --survive-outage {outage} --runs 10"));
    assert_eq!(said.code, 0, "{outage}: {}{}", said.out, said.err);
    place.refused("advise --failover-p99 9s --max-writes-per-min 0.01 --runs 10", CONFIGURATION, &["at most 0.01"]);
    let bounds = ["no durations", "durations of at most 10m", "a tenth of them, at least 500ms", "--survive-outage 8m"];
    place.refused("advise --survive-outage 9h --runs 10", CONFIGURATION, &bounds);
    place.refused("advise --failover-p99 1s", CONFIGURATION, &["no durations", "--failover-p99 4"]);
}
