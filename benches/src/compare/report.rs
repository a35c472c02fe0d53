//! The page docs/comparison.md.

use std::fmt::Write as _;
use std::time::Duration;

use super::candidate::Peer;
use super::collector;
use super::edits::Edit;
use super::facts;
use super::options::{Options, Part};
use super::record::Results;
use super::simulated::{KEEPING, RELEASING};
use super::stats::Summary;
use super::steps::{CHECK, CLOCKS, STEP_LEADER, STEP_STANDBY};
use super::takeovers::LOST;
use super::usage::{CPU, MEMORY, RENEWALS, REQUESTS, WATCHES};

/// A line of the table.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    what: &'static str,
    peer: String,
    ours: String,
    target: &'static str,
    /// Whether ours reaches the target; none when the peer gave nothing to hold it against.
    reached: Option<bool>,
}

/// The whole page. What was not measured is not in the table.
pub(super) fn page(options: &Options, facts: &[String], results: &Results) -> String {
    let mut page = String::from(HEAD);
    let _ = writeln!(page, "```console\n$ {}\n```\n\nMeasured on {}:\n", options.command, facts::today());
    for fact in facts {
        let _ = writeln!(page, "* {fact}");
    }
    page.push_str("\n| | client-go | ours | target | reached |\n|---|---|---|---|---|\n");
    for row in rows(results) {
        let reached = match row.reached {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "not shown",
        };
        let _ = writeln!(page, "| {} | {} | {} | {} | {reached} |", row.what, row.peer, row.ours, row.target);
    }
    let retries = results.takeovers.iter().map(|sample| sample.retries).sum::<u32>()
        + results.edits.iter().map(|sample| sample.retries).sum::<u32>();
    let _ = writeln!(page, "\nScenes that were not right before the event, and were made again: {retries}.");
    page.push_str(DEFINITIONS);
    page.extend(collector::section(results));
    page
}

fn rows(results: &Results) -> Vec<Row> {
    let mut rows = Vec::new();
    rows.extend(takeovers(results, Part::Graceful));
    rows.extend(takeovers(results, Part::Crash));
    rows.extend(costs(results));
    rows.extend(Edit::ALL.into_iter().filter_map(|edit| edits(results, edit)));
    rows.extend(simulated(results));
    rows.extend(steps(results));
    rows
}

fn takeovers(results: &Results, part: Part) -> Option<Row> {
    let of = |peer| results.takeovers.iter().filter(move |sample| sample.part == part && sample.peer == peer);
    // One that never came counts as the longest wait for it.
    let gaps = |peer| Summary::of(of(peer).map(|sample| sample.gap.unwrap_or(sample.leaderless)));
    let said = |peer, summary: &Summary| {
        let lost = of(peer).filter(|sample| sample.gap.is_none_or(|gap| gap > LOST)).count();
        let overlapping: Vec<_> = of(peer).filter(|sample| sample.overlaps > 0).collect();
        let overlap = overlapping.iter().map(|sample| sample.overlap).max().unwrap_or_default();
        let mut said = shown(summary);
        if part == Part::Graceful {
            let _ = write!(said, "; {lost} lost");
        }
        if !overlapping.is_empty() {
            let _ = write!(said, "; two acted at once in {}, for up to {}", overlapping.len(), time(overlap));
        }
        said
    };
    let (ours, peer) = (gaps(Peer::Ours)?, gaps(Peer::ClientGo)?);
    let clean = of(Peer::Ours).all(|sample| sample.overlaps == 0);
    let (what, target, reached) = if part == Part::Graceful {
        let reached = ours.p99 <= Duration::from_millis(250) && ours.max <= LOST;
        ("graceful handover, 15/10/2, one standby", "p99 <= 250 ms, none lost", reached)
    } else {
        let reached = ours.mean <= Duration::from_millis(14_400) && ours.max <= Duration::from_millis(15_500);
        ("crash takeover (kill -9 of everything), the same", "mean <= 14.4 s, max <= 15.5 s", reached)
    };
    let (said_peer, said_ours) = (said(Peer::ClientGo, &peer), said(Peer::Ours, &ours));
    Some(Row { what, peer: said_peer, ours: said_ours, target, reached: Some(reached && clean) })
}

fn edits(results: &Results, edit: Edit) -> Option<Row> {
    let of = |peer| results.edits.iter().filter(move |sample| sample.edit == edit && sample.peer == peer);
    let said = |peer| {
        let overlapping: Vec<_> = of(peer).filter(|sample| sample.overlaps > 0).collect();
        let lengths = Summary::of(overlapping.iter().map(|sample| sample.overlap));
        let idle = Summary::of(of(peer).map(|sample| sample.leaderless));
        let mut said = format!("{} of {} tries", overlapping.len(), of(peer).count());
        if let Some(lengths) = lengths {
            let _ = write!(said, ", for {} on average, {} at most", time(lengths.mean), time(lengths.max));
        }
        if let Some(idle) = idle {
            let _ = write!(said, " (nobody acted for up to {})", time(idle.max));
        }
        said
    };
    of(Peer::Ours).next()?;
    let clean = of(Peer::Ours).all(|sample| sample.overlaps == 0);
    // The judge has to have caught somebody, or its silence means nothing.
    let caught = results.edits.iter().any(|sample| sample.peer == Peer::ClientGo && sample.overlaps > 0);
    let what = match edit {
        Edit::Delete => "two leaders after `kubectl delete lease`",
        Edit::Clear => "two leaders after the holder was cleared by hand",
        Edit::Overwrite => "two leaders after the holder was overwritten by hand",
    };
    let reached = if clean && !caught { None } else { Some(clean) };
    Some(Row { what, peer: said(Peer::ClientGo), ours: said(Peer::Ours), target: "none", reached })
}

fn costs(results: &Results) -> Vec<Row> {
    let value = |what, peer| results.used.iter().rfind(|used| used.what == what && used.peer == peer).map(|u| u.value);
    let both = |what| Some((value(what, Peer::ClientGo)?, value(what, Peer::Ours)?));
    let mut rows = Vec::new();
    if let (Some((peer, ours)), Some(rates)) = (both(CPU), both(RENEWALS)) {
        rows.push(Row {
            what: "CPU of the process per renewal, 100 leases, each renewed every second",
            peer: format!("{peer:.3} ms ({:.0} renewals/s)", rates.0),
            ours: format!("{ours:.3} ms ({:.0} renewals/s): {:.2} of the peer's", rates.1, ours / peer),
            target: "<= a third of the peer's",
            reached: Some(ours * 3.0 <= peer),
        });
    }
    if let Some((peer, ours)) = both(MEMORY) {
        rows.push(Row {
            what: "resident memory of a leader of one lease, the guardian included",
            peer: format!("{peer:.1} MiB"),
            ours: format!("{ours:.1} MiB"),
            target: "<= 14 MiB",
            reached: Some(ours <= 14.0),
        });
    }
    if let (Some((peer, ours)), Some(watches)) = (both(REQUESTS), both(WATCHES)) {
        let said = |requests: f64, watches: f64| format!("{requests:.2}/s and {watches:.3} new watches/s");
        rows.push(Row {
            what: "requests of an idle standby",
            peer: said(peer, watches.0),
            ours: said(ours, watches.1),
            target: "<= 0.1/s beside one watch",
            // A watch is renewed every four minutes or so.
            reached: Some(ours <= 0.1 && watches.1 <= 0.01),
        });
    }
    rows
}

fn simulated(results: &Results) -> Option<Row> {
    let value = |what, peer| results.used.iter().rfind(|used| used.what == what && used.peer == peer).map(|u| u.value);
    let of = |[overlaps, longest, years]: [&'static str; 3], peer| {
        Some((value(overlaps, peer)?, value(longest, peer)?, value(years, peer)?))
    };
    let (ours, longest, years) = of(RELEASING, Peer::Ours)?;
    let (peer, peer_longest, _) = of(RELEASING, Peer::ClientGo)?;
    let (keeping, keeping_longest, _) = of(KEEPING, Peer::ClientGo)?;
    Some(Row {
        what: "two leaders in 1,000 simulated cluster-years, something happening every 25 minutes",
        peer: format!(
            "{peer:.0} times, for {peer_longest:.2} s at most (without release on cancel {keeping:.0} times, \
             for {keeping_longest:.2} s at most)"
        ),
        ours: if ours > 0.0 {
            format!("{ours:.0} times, for {longest:.2} s at most")
        } else {
            format!("never, in {years:.2} cluster-years")
        },
        target: "none",
        reached: if ours == 0.0 && peer == 0.0 { None } else { Some(ours == 0.0) },
    })
}

fn steps(results: &Results) -> Vec<Row> {
    let value = |what| results.used.iter().rfind(|used| used.what == what).map(|used| used.value);
    let none = || "none".to_owned();
    let mut rows = Vec::new();
    if let (Some(clocks), Some(check)) = (value(CLOCKS), value(CHECK)) {
        let ours = format!("{check:.0} ns; the clocks that it reads alone {clocks:.0} ns");
        let reached = Some(check <= 150.0);
        rows.push(Row { what: "`Leadership::check()`", peer: none(), ours, target: "<= 150 ns", reached });
    }
    if let (Some(leader), Some(standby)) = (value(STEP_LEADER), value(STEP_STANDBY)) {
        let ours = format!("{leader:.0} ns leading, {standby:.0} ns standing by");
        let reached = Some(leader <= 200.0 && standby <= 200.0);
        rows.push(Row { what: "one step of the machine", peer: none(), ours, target: "<= 200 ns", reached });
    }
    rows
}

fn shown(summary: &Summary) -> String {
    let Summary { count, mean, p50, p99, max } = *summary;
    format!("mean {}, p50 {}, p99 {}, max {} ({count} samples)", time(mean), time(p50), time(p99), time(max))
}

fn time(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        format!("{:.0} ms", duration.as_secs_f64() * 1000.0)
    } else {
        format!("{:.2} s", duration.as_secs_f64())
    }
}

const HEAD: &str = "# Compared with client-go

`lease run` and a stock client-go elector (nothing of client-go is changed; release on cancel is on) beside each other on
one real API server, in one run. Figures of different runs are not comparable. This page is written by

";

const DEFINITIONS: &str = "
## What is measured
Both peers guard work that notes an act every 10 ms with the time of one clock (`CLOCK_BOOTTIME`). Handovers, crashes and
overlaps are judged by these notes alone. Durations are 15 s / 10 s / 2 s, and each lease has one leader and one standby that has
seen it lead. Peers alternate, sample by sample; several leases are measured at once. An event comes 1 s and then a random
part of a retry period after the scene is right: one acts, the other has not acted for a second.
* **Graceful handover**: from just before the SIGTERM to the leader (`lease run`; the elector) to the first act of the next
  one. The work stops at once when it is asked to. Lost: more than 5 s, or never.
* **Crash takeover**: from just before the first of the kills of all processes of the leader (supervisor, guardian and work;
  the elector is one process) to the first act of the next one.
* **Two leaders**: the lease of a live leader is deleted, its holder cleared, or its holder overwritten, by a request of the
  administrator, and 25 s are observed. An overlap is a time in which both act. None of ours counts only where the same judge
  has seen an overlap of the peer in the same run.
* **Simulated**: three candidates at the defaults, in virtual time, on a store that behaves as the API server does. Clock rates
  err by up to 1 %, wall clocks by up to an hour. On average something happens every 100 lease durations, from a part of
  these that the seed chooses: crashes, restarts, resignations, pauses and suspends of up to a minute, partitions of one or both
  directions for up to 45 s, losses, delays, errors and time-outs of the API server. Nobody edits the record. The same seeds for
  all: ours is the machine that ships, the peer a machine that reproduces 53 recordings of client-go's elector to the
  nanosecond, whose work stops the very moment it is told to. Only overlaps in which no assumption of
  [the theorem](guarantees.md#timed-exclusion) was broken are counted: what a process does that was stopped beyond its time
  is not. Not modelled: the client's rate limiter, the load on the server, and whatever is between the elector and the work.
  `cargo xtask prove --families ordinary --seeds 4000 --rule client-go-releasing` (or `client-go`, or `ours`) plays them.
* **CPU per renewal**: user and system time of a process with 100 leases at 4 s / 3 s / 1 s, divided by the updates that the
  audit log of the server has of its user; both peers at once. Ours is `benches/src/bin/elections.rs`, with a watch for each
  lease; the peer has none.
* **Resident memory**: of the elector, and the sum over supervisor and guardian of `lease run`, in which pages of the
  program that both share are counted twice. The guarded program is not in it; the work of the elector is.
* **Requests of an idle standby**: what the audit log of the server has of its user, without watches. New watches are
  counted on their own: one stays open.
* **A check, a step**: the median of 31 rounds. A step is of the steady state: a renewal, or a read, and its answer. That
  they allocate nothing is held by `lease-core/tests/allocations.rs`.

Percentiles are by nearest rank, so each is a sample. Raw samples, in CSV, and the logs of odd ones are kept in `target/compare`, or where `--out` says.
";

#[cfg(test)]
mod tests {
    use super::super::record::{Edited, Takeover, Used};
    use super::*;

    fn handover(peer: Peer, gap_ms: u64) -> Takeover {
        Takeover {
            part: Part::Graceful,
            peer,
            lane: 0,
            moment: Duration::ZERO,
            gap: Some(Duration::from_millis(gap_ms)),
            leaderless: Duration::from_millis(gap_ms),
            overlaps: 0,
            overlap: Duration::ZERO,
            retries: 0,
        }
    }

    fn edited(peer: Peer, overlaps: usize) -> Edited {
        let overlap = Duration::from_secs(10) * u32::try_from(overlaps).unwrap();
        let (moment, leaderless) = (Duration::ZERO, Duration::ZERO);
        Edited { edit: Edit::Delete, peer, lane: 0, moment, overlaps, overlap, leaderless, retries: 0 }
    }

    #[test]
    fn a_target_is_reached_or_not() {
        let handovers = vec![handover(Peer::Ours, 40), handover(Peer::ClientGo, 6000)];
        let mut results = Results { takeovers: handovers, ..Results::default() };
        let row = takeovers(&results, Part::Graceful).unwrap();
        assert_eq!(row.reached, Some(true));
        assert!(row.peer.ends_with("max 6.00 s (1 samples); 1 lost"), "{row:?}");
        results.takeovers.push(handover(Peer::Ours, 300));
        assert_eq!(takeovers(&results, Part::Graceful).unwrap().reached, Some(false));
        results.takeovers.push(Takeover { gap: None, ..handover(Peer::Ours, 45_000) });
        assert!(takeovers(&results, Part::Graceful).unwrap().ours.ends_with("; 1 lost"));
    }

    #[test]
    fn an_overlap_in_a_handover_of_ours_is_never_a_success() {
        let overlapping = Takeover { overlaps: 1, ..handover(Peer::Ours, 40) };
        let takeovers_of = vec![overlapping, handover(Peer::ClientGo, 60)];
        let results = Results { takeovers: takeovers_of, ..Results::default() };
        assert_eq!(takeovers(&results, Part::Graceful).unwrap().reached, Some(false));
    }

    #[test]
    fn no_overlap_of_ours_counts_only_where_the_judge_caught_the_peer() {
        let reached = |ours, peer| {
            let edits_of = vec![edited(Peer::Ours, ours), edited(Peer::ClientGo, peer)];
            edits(&Results { edits: edits_of, ..Results::default() }, Edit::Delete).unwrap().reached
        };
        assert_eq!(reached(0, 1), Some(true));
        assert_eq!(reached(0, 0), None);
        assert_eq!(reached(1, 1), Some(false));
        assert_eq!(reached(1, 0), Some(false));
    }

    #[test]
    fn the_page_has_a_row_for_each_thing_that_was_measured() {
        let used = |what, peer, value| Used { what, peer, value };
        let used_of = vec![used(MEMORY, Peer::Ours, 13.0), used(MEMORY, Peer::ClientGo, 26.0)];
        let results = Results { used: used_of, ..Results::default() };
        let page = page(&Options::parse(&[]).unwrap(), &["2 cores".to_owned()], &results);
        assert!(page.contains("| 26.0 MiB | 13.0 MiB | <= 14 MiB | yes |"), "{page}");
        assert!(page.contains("$ cargo xtask compare\n") && page.contains("* 2 cores\n"));
        assert_eq!(page.lines().filter(|line| line.starts_with("| ")).count(), 2);
    }
}
