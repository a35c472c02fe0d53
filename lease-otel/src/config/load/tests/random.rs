//! No text makes the loader panic, and whatever it refuses has a reason and a place.

use super::*;

const GOOD: &str = "
extensions: {k8s_leader_elector: {lease_name: '${LEASE}', lease_namespace: b, lease_duration: 15s}}
receivers:
  leader_receiver_creator:
    leader_election: &le {lease_name: foo, lease_namespace: bar}
    receiver:
      k8s_cluster:
        node_conditions_to_report: [Ready, \"Memory\\tPressure\"]
        metrics: {k8s.container.cpu_limit: {enabled: false}}
  dummy/x: {<<: {interval: 1m30s}, k8s_leader_elector: k8s_leader_elector}
exporters: {otlp: {endpoint: '$$x${ENDPOINT}', headers: {a: b}}, debug: }
service:
  extensions: [k8s_leader_elector]
  telemetry: {metrics: {readers: [{pull: {exporter: {prometheus: {port: 0x22b8}}}}]}}
  pipelines::metrics: {receivers: [dummy/x, leader_receiver_creator], exporters: [otlp, debug]}
";

/// What means something to YAML or to us; the words are those of the text above.
const SIGNS: [&str; 36] = [
    ":",
    ": ",
    ":\n",
    ",",
    ", ",
    "[",
    "]",
    "{",
    "}",
    "- ",
    "\n",
    "\n  ",
    "\n    ",
    "\n\t",
    "'",
    "\"",
    "#",
    "&a ",
    "*a",
    "*a : ",
    "<<: ",
    "!x ",
    "!!int ",
    "? ",
    "|\n",
    ">-\n",
    "---\n",
    "%",
    "${",
    "${LEASE}",
    "${env:LIST:-[a, ${LEASE}]}",
    "$$",
    "::",
    "\u{feff}",
    "\0",
    "é\u{2028}",
];

fn try_one(text: &str, registry: &Registry) {
    let set = Source::Set { keys: "service.x".into(), value: text.to_owned() };
    for source in [Source::Yaml(text.to_owned()), set] {
        match load(&[source], &environment, registry) {
            Ok(loaded) => assert!(!loaded.collector.pipelines.is_empty(), "{text:?}"),
            Err(problems) => {
                assert!(!problems.errors.is_empty(), "{text:?}");
                for problem in problems.errors {
                    assert!(!problem.message.is_empty() && !problem.place.source.is_empty(), "{text:?}");
                }
            }
        }
    }
}

#[test]
fn pieces_in_any_order_do_not_make_it_panic() {
    let registry = registry();
    let words = GOOD.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
    let pieces: Vec<&str> = words.chain(SIGNS).chain(SIGNS).collect();
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..8_000 {
        let text: String = (0..random.usize(..25)).map(|_| pieces[random.usize(..pieces.len())]).collect();
        try_one(&text, &registry);
    }
}

#[test]
fn a_good_text_that_is_damaged_does_not_make_it_panic() {
    let registry = registry();
    load_all(&[GOOD]).expect("it is good");
    let letters: Vec<char> = GOOD.chars().collect();
    let mut random = fastrand::Rng::with_seed(12);
    for _ in 0..3_000 {
        let mut text = letters.clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..text.len());
            match random.u8(..4) {
                0 => drop(text.drain(at..(at + random.usize(1..30)).min(text.len() - 1).max(at))),
                1 => text.insert(at, letters[random.usize(..letters.len())]),
                2 => {
                    let end = (at + random.usize(1..60)).min(text.len());
                    let again: Vec<char> = text[at..end].to_vec();
                    let to = random.usize(..text.len());
                    text.splice(to..to, again);
                }
                _ => drop(text.splice(at..at, SIGNS[random.usize(..SIGNS.len())].chars())),
            }
        }
        try_one(&text.into_iter().collect::<String>(), &registry);
    }
}
