//! The part of the page about the collector.

use std::fmt::Write as _;
use std::time::Duration;

use super::super::record::Results;
use super::super::stats::Summary;
use super::{
    BAD, BAD_FOUND, BINARY, Costs, KILL_GAP, KILL_LEADS, LARGE, LARGE_FIRST, LEADER, STANDBY, STOP_BATCHES,
    TAKEN_BATCHES, TAKEN_NOTICED, TERM_GAP, TERM_LEADS,
};

/// A line of the table: what, the reference, ours, the target, whether it is reached.
type Row = (&'static str, &'static str, String, &'static str, Option<bool>);

/// The section, if the collector was measured.
pub(in super::super) fn section(results: &Results) -> Option<String> {
    let rows = rows(results);
    if rows.is_empty() {
        return None;
    }
    let mut text = String::from(HEAD);
    for (what, reference, ours, target, reached) in rows {
        let reached = match reached {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "",
        };
        let _ = writeln!(text, "| {what} | {reference} | {ours} | {target} | {reached} |");
    }
    text.push_str(DEFINITIONS);
    Some(text)
}

fn rows(results: &Results) -> Vec<Row> {
    let values = |what: &str| -> Vec<f64> {
        results.used.iter().filter(|used| used.what == what).map(|used| used.value).collect()
    };
    let last = |what: &str| values(what).pop();
    let times = |what: &str| Summary::of(values(what).into_iter().map(Duration::from_secs_f64));
    let mut rows: Vec<Row> = Vec::new();
    let mut takeover = |what, whats: [&str; 2], reference, target, most: [f64; 2]| {
        let (Some(leads), Some(gap)) = (times(whats[0]), times(whats[1])) else { return };
        let ours = format!("{} / {}", shown(&leads), shown(&gap));
        let reached = leads.max.as_secs_f64() <= most[0] && gap.max.as_secs_f64() <= most[1];
        rows.push((what, reference, ours, target, Some(reached)));
    };
    takeover(
        "SIGTERM of the leader: the next one leads / without data",
        [TERM_LEADS, TERM_GAP],
        "mean 17.7 s, max 20.2 s (it never releases) / mean 19.4 s",
        "<= 0.3 s / <= 1.5 s",
        [0.3, 1.5],
    );
    takeover(
        "kill -9 of the leader: the same",
        [KILL_LEADS, KILL_GAP],
        "mean 17.8 s, max 19.8 s / mean 19.5 s",
        "<= 15.5 s / <= 16.5 s",
        [15.5, 16.5],
    );
    if let (Some(most), Some(noticed)) = (most(&values(TAKEN_BATCHES)), times(TAKEN_NOTICED)) {
        rows.push((
            "batches that arrive after the lease was given to another holder",
            "10 to 12; where the receiver registers late, 30 in 30 s, and it never stops",
            format!("{}; noticed after {}", counts(&values(TAKEN_BATCHES)), shown(&noticed)),
            "the one being sent",
            Some(most <= 1.0),
        ));
    }
    if let Some(most) = most(&values(STOP_BATCHES)) {
        rows.push((
            "batches that arrive from the old term after SIGSTOP for 25 s and SIGCONT",
            "10 to 11; where the receiver registers late, 40 in 40 s",
            counts(&values(STOP_BATCHES)),
            "none",
            Some(most <= 0.0),
        ));
    }
    let costs = |[cpu, memory, own]: Costs| Some([last(cpu)?, last(memory)?, last(own)?]);
    if let (Some([cpu, memory, own]), Some([standby_cpu, standby_memory, standby_own])) =
        (costs(LEADER), costs(STANDBY))
    {
        let reached = Some(memory <= 20.0 && standby_memory <= 16.0);
        let ours = format!("{memory:.1} / {standby_memory:.1} MiB, of it their own {own:.1} / {standby_own:.1} MiB");
        rows.push(("resident memory of an idle leader / standby", "60 / 55 MiB", ours, "<= 20 / 16 MiB", reached));
        let reached = Some(cpu <= 0.26 && standby_cpu <= 0.185);
        let ours = format!("{cpu:.2} / {standby_cpu:.2} % of a core");
        rows.push(("processor time of the same", "0.52 / 0.37 % of a core", ours, "<= a half", reached));
    }
    if let Some(binary) = last(BINARY) {
        // The reference's figure is in millions of bytes.
        let megabytes = binary * 1.048_576;
        let ours = format!("{megabytes:.1} MB, all of `lease`");
        rows.push(("the program", "66 MB", ours, "<= 25 MB", Some(megabytes <= 25.0)));
    }
    if let Some(found) = last(BAD_FOUND) {
        let all = BAD.len();
        let reached = Some((found - super::float(all)).abs() < 0.5);
        rows.push((
            "durations that cannot work, found by `validate`",
            "none",
            format!("{found:.0} of {all}"),
            "all",
            reached,
        ));
    }
    let nothing = "not measured";
    if let Some(first) = times(LARGE_FIRST) {
        rows.push((
            "2,000 pods and 200 nodes: from the win to all of it at the endpoint",
            nothing,
            shown(&first),
            "",
            None,
        ));
    }
    if let Some([cpu, memory, own]) = costs(LARGE) {
        let ours = format!("{cpu:.2} % of a core; {memory:.1} MiB, of it its own {own:.1} MiB");
        rows.push(("the same, every 10 s: processor time, resident memory", nothing, ours, "", None));
    }
    rows
}

fn shown(summary: &Summary) -> String {
    let Summary { count, mean, max, .. } = *summary;
    format!("mean {:.2} s, max {:.2} s ({count} samples)", mean.as_secs_f64(), max.as_secs_f64())
}

fn most(values: &[f64]) -> Option<f64> {
    values.iter().copied().reduce(f64::max)
}

fn counts(values: &[f64]) -> String {
    let least = values.iter().copied().reduce(f64::min).unwrap_or_default();
    let most = most(values).unwrap_or_default();
    let count = values.len();
    if least < most {
        format!("{least:.0} to {most:.0} ({count} samples)")
    } else {
        format!("{most:.0} ({count} samples)")
    }
}

const HEAD: &str = "
## The collector
`lease collector` with `k8s_cluster` on an elector, and the OpenTelemetry Collector with the same (contrib v0.149.0,
`k8s_leader_elector`). The reference was measured once, on a real API server, in the same way, and not in this run.

| | reference | ours | target | reached |
|---|---|---|---|---|
";

const DEFINITIONS: &str = "
A leader and a standby that has seen it, at 15 s / 10 s / 2 s and a collection interval of 1 s, over gRPC to a receiver of
OTLP on the same machine; one pod, one node. An event comes 1 s and then a random part of a retry period after the scene is
right; several pairs are measured at once.
* **The next one leads**: from just before the signal to the line in which the standby says that it leads.
* **Without data**: from the last batch of the one to the first of the other, by the times in the data.
* **The lease was given to another holder**: by a patch of `holderIdentity`; from the answer on, what arrives from the term
  that is over. *Noticed* is when the leader says that it has lost.
* **Processor time, memory**: of the process, over 60 s, to 10 ms, beginning 10 s after the scene was right. What of the memory is
  not a process's own is pages of the program's file, which all processes of it share.
* **From the win**: from the line in which the collector says that it leads, on a cluster of its own.
";

#[cfg(test)]
mod tests {
    use super::super::super::candidate::Peer;
    use super::super::super::record::Used;
    use super::*;

    fn results(values: &[(&'static str, f64)]) -> Results {
        let used = values.iter().map(|(what, value)| Used { what, peer: Peer::Ours, value: *value }).collect();
        Results { used, ..Results::default() }
    }

    fn reached(values: &[(&'static str, f64)]) -> Vec<Option<bool>> {
        rows(&results(values)).into_iter().map(|row| row.4).collect()
    }

    #[test]
    fn what_was_not_measured_is_not_told() {
        assert_eq!(section(&Results::default()), None);
        let costs = [LEADER.map(|what| (what, 12.0)), STANDBY.map(|what| (what, 9.0))].concat();
        let told = section(&results(&costs)).unwrap();
        let row = "| 60 / 55 MiB | 12.0 / 9.0 MiB, of it their own 12.0 / 9.0 MiB | <= 20 / 16 MiB | yes |";
        assert!(told.contains(row), "{told}");
        assert!(told.contains("| 12.00 / 9.00 % of a core | <= a half | **no** |"), "{told}");
    }

    #[test]
    fn the_worst_sample_decides() {
        let good = [(TERM_LEADS, 0.1), (TERM_LEADS, 0.2), (TERM_GAP, 1.2)];
        assert_eq!(reached(&good), [Some(true)]);
        assert_eq!(reached(&[&good[..], &[(TERM_LEADS, 0.4)]].concat()), [Some(false)]);
        assert_eq!(reached(&[&good[..], &[(TERM_GAP, 1.6)]].concat()), [Some(false)]);
        assert_eq!(reached(&[(STOP_BATCHES, 0.0), (STOP_BATCHES, 1.0)]), [Some(false)]);
        assert_eq!(reached(&[(BAD_FOUND, super::super::float(BAD.len() - 1))]), [Some(false)]);
    }
}
