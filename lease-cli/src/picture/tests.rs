//! What every picture keeps: it is harmless, small and whole, whatever it is given; and what one looks like.

use std::path::Path;

use super::*;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn span(from_ms: u64, until_ms: u64) -> Span {
    Span::new(ms(from_ms), ms(until_ms))
}

/// Two candidates, of whom one acts too long.
fn overlap() -> Timeline {
    let lane = |name: &str, acts, holds| Lane {
        name: name.to_owned(),
        acts: vec![acts],
        holds: vec![holds],
        ..Lane::default()
    };
    Timeline {
        title: "Two acted at once for 4 s".to_owned(),
        subtitle: "seed 7; lease simulate --seed 7".to_owned(),
        from: Duration::ZERO,
        until: ms(60_000),
        lanes: vec![
            lane("a", span(1_000, 24_000), span(1_000, 20_000)),
            lane("b", span(20_000, 45_000), span(20_000, 60_000)),
        ],
        bands: vec![Band { kind: "partition of a".to_owned(), span: span(5_000, 30_000) }],
        overlaps: vec![span(20_000, 24_000)],
        gaps: Row { name: "nobody acts".to_owned(), spans: vec![span(0, 1_000), span(45_000, 60_000)] },
        marks: vec![Mark { at: ms(45_000), label: "b crashes".to_owned() }],
    }
}

/// As many bars as there are pixels for, each of many spans, and more lanes than are drawn.
fn crowd(name: &str) -> [Picture; 3] {
    let at = |i: u64| (i % 400) * 25_000 + i / 400 * 20;
    let spans: Vec<Span> = (0..2_000).map(|i| span(at(i), at(i) + 10)).collect();
    let lane = |index: u32| Lane {
        name: format!("{name}{index}"),
        acts: spans.clone(),
        holds: spans.clone(),
        pauses: spans.clone(),
    };
    let samples: Vec<Sample> = (0..20_000).map(|i| Sample { at: ms(i * 500), took: ms((i * 7919) % 12_000) }).collect();
    let durations: Vec<Duration> = samples.iter().map(|sample| sample.took).collect();
    let marks = spans.iter().map(|span| Mark { at: span.from, label: name.to_owned() }).collect();
    let bands = spans.iter().map(|span| Band { kind: name.to_owned(), span: *span }).collect();
    let (title, until) = (name.to_owned(), ms(10_000_000));
    let series = (0..8).map(|index| Series { name: format!("{name}{index}"), samples: durations.clone() }).collect();
    [
        Picture::Timeline(Timeline {
            title: title.clone(),
            subtitle: name.to_owned(),
            until,
            lanes: (0..42).map(lane).collect(),
            bands,
            overlaps: spans.clone(),
            gaps: Row { name: name.to_owned(), spans },
            marks,
            ..Timeline::default()
        }),
        Picture::Ecdf(Ecdf { title: title.clone(), subtitle: name.to_owned(), measured: name.to_owned(), series }),
        Picture::Latency(Latency {
            title,
            subtitle: name.to_owned(),
            measured: name.to_owned(),
            until,
            samples,
            limits: vec![Limit { name: name.to_owned(), value: ms(10_000) }],
            ..Latency::default()
        }),
    ]
}

fn empty() -> [Picture; 3] {
    let (timeline, ecdf, latency) = (Timeline::default(), Ecdf::default(), Latency::default());
    [Picture::Timeline(timeline), Picture::Ecdf(ecdf), Picture::Latency(latency)]
}

/// A change of the picture is a change of this file: `REWRITE=1 cargo test -p lease-cli --lib picture`.
#[test]
fn a_timeline_looks_as_it_did() {
    let drawn = Picture::Timeline(overlap()).svg();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/timeline.svg");
    if std::env::var_os("REWRITE").is_some() {
        std::fs::write(&golden, &drawn).expect("written");
    }
    let expected = std::fs::read_to_string(&golden).expect("it is in the repository");
    assert!(drawn == expected, "the picture has changed; look at it, and then run with REWRITE=1:\n{drawn}");
}

#[test]
fn a_timeline_has_a_twin_in_characters() {
    let expected = "\
Two acted at once for 4 s
seed 7; lease simulate --seed 7

partition of a ····~~~~~~~~~~~~~~~~~~~~························
events         ····································|···········
a              ·███████████████!!!·····························
b              ················!!!█████████████████▒▒▒▒▒▒▒▒▒▒▒▒
nobody acts    x···································xxxxxxxxxxxx
overlap        ················!!!·····························
               0           15s         30s         45s       1m
█ acts   ▒ holds the record   ! more than one acts
x nobody acts   ~ goes on   | b crashes
";
    let drawn = Picture::Timeline(overlap()).terminal(63, false);
    assert_eq!(drawn, expected, "\n{drawn}");
    assert!(Picture::Timeline(overlap()).terminal(63, true).contains("\x1b[1;31m!!!\x1b[0m"));
}

#[test]
fn a_distribution_has_a_twin_in_characters() {
    let series =
        |name: &str, step: u64| Series { name: name.to_owned(), samples: (1..=8).map(|i| ms(i * step)).collect() };
    let ecdf = Ecdf {
        title: "Half".to_owned(),
        measured: "no leader".to_owned(),
        series: vec![series("15s", 1_000), series("8s", 500)],
        ..Ecdf::default()
    };
    let expected = "\
Half

no leader  samples      p50      p90      p99      max
15s              8       4s       8s       8s       8s
8s               8       2s       4s       4s       4s

15s           ▁▁▁▁▁▂▂▂▂▂▃▃▃▃▃▄▄▄▄▄▅▅▅▅▅▆▆▆▆▆▇▇▇▇▇█
8s          ▁▁▂▂▂▃▃▄▄▄▅▅▆▆▆▇▇█████████████████████
          0         2s        4s        6s      8s
";
    let drawn = Picture::Ecdf(ecdf).terminal(50, false);
    assert_eq!(drawn, expected, "\n{drawn}");
}

#[test]
fn nothing_that_is_given_is_too_much() {
    for picture in crowd("node") {
        let (svg, twin) = (picture.svg(), picture.terminal(100, true));
        assert!((10_000..1_000_000).contains(&svg.len()), "{} of {} bytes", picture.title(), svg.len());
        assert!(twin.len() < 100_000, "{} of {} bytes", picture.title(), twin.len());
    }
}

#[test]
fn nothing_at_all_is_a_picture_too() {
    for picture in empty() {
        assert!(picture.svg().contains("nobody was seen") || picture.svg().contains("no samples"));
        let twin = picture.terminal(80, false);
        assert!(twin.contains("nobody was seen") || twin.contains("no samples"), "{twin}");
    }
    assert!(svg(&[]).starts_with("<svg "));
}

/// Every text comes from somebody's record, as far as a picture knows.
#[test]
fn what_a_record_says_stays_text() {
    let hostile = "</text><script>alert(1)</script>\u{1b}]0;x\u{7}\u{202e}&\"'";
    let parts = crowd(hostile).into_iter().map(Part::Picture);
    let table = Table { head: vec![hostile.to_owned()], rows: vec![vec![hostile.to_owned(); 2]] };
    let more = [Part::Heading(hostile.to_owned()), Part::Text(hostile.to_owned()), Part::Table(table)];
    let parts: Vec<Part> = parts.chain(more).collect();
    for part in &parts {
        let Part::Picture(picture) = part else { continue };
        assert!(picture.terminal(200, false).chars().all(|c| c == '\n' || !c.is_control()));
    }
    let page = html(&Report { title: hostile.to_owned(), subtitle: hostile.to_owned(), parts });
    assert!(page.chars().all(|c| c == '\n' || !c.is_control()) && !page.contains('\u{202e}'));
    assert!(!page.contains("<script") && !page.contains("</text><") && page.contains("&lt;script&gt;"));
    assert!(!page.contains("href") && !page.contains("url(") && !page.contains("@import"), "it needs nothing else");
}

#[test]
fn twins_keep_to_the_width() {
    for picture in crowd("a-name-of-some-length").iter().chain(&empty()).chain(&[Picture::Timeline(overlap())]) {
        for width in [0, 57] {
            let twin = picture.terminal(width, false);
            // Figures are a table of their own width.
            let is_table = matches!(picture, Picture::Ecdf(_)) && width < 80;
            let widest = twin.lines().map(text::columns).max().unwrap_or(0);
            assert!(is_table || widest <= width.max(30), "{width}: {twin}");
        }
    }
}

/// Who looks for an overlap must find it, however short it was.
#[test]
fn the_shortest_overlap_is_seen() {
    let brief = Timeline { overlaps: vec![span(20_000, 20_000)], ..overlap() };
    let picture = Picture::Timeline(brief);
    assert!(picture.svg().contains("class=\"over shade\""));
    assert!(picture.terminal(80, false).contains("overlap        "));
    assert_eq!(picture.terminal(80, false).matches('!').count(), 4, "in both lanes, below, and in the legend");
}
