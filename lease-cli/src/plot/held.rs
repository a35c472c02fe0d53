//! Who held the record when, from a recording: the rule by which a candidate would have judged it.
//!
//! A record names its holder from when that was seen until the lease duration after the last renewal that was seen, or
//! until a release, a deletion or another holder. Whether the holder acted cannot be seen in a record, and is not said.

use std::time::Duration;

use lease_core::Timestamp;

use crate::picture::{Band, Lane, Mark, Sample, Span, covered, without};
use crate::recording::{Fields, Happened, Recording, Session, Sighting};

/// What a recording tells of one lease.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) name: String,
    pub(super) lanes: Vec<Lane>,
    /// How many times somebody acquired it, or was found holding it.
    pub(super) terms: usize,
    /// When nobody held it, as far as was watched.
    pub(super) vacant: Vec<Span>,
    pub(super) bands: Vec<Band>,
    pub(super) marks: Vec<Mark>,
    /// The times between renewals of one term.
    pub(super) renewals: Vec<Sample>,
    /// The lease durations that were seen, in ascending order.
    pub(super) durations: Vec<Duration>,
    pub(super) from: Duration,
    pub(super) until: Duration,
    /// How long it was watched.
    pub(super) watched: Duration,
    hold: Option<Hold>,
    /// The holder and the start of the last term, which a later run may find again.
    term: Option<(String, Option<Timestamp>)>,
    lost_at: Option<Duration>,
}

/// The term that is on.
#[derive(Debug)]
struct Hold {
    holder: String,
    acquire_time: Option<Timestamp>,
    renew_time: Option<Timestamp>,
    /// None when it was not seen.
    renewed_at: Option<Duration>,
    from: Duration,
    ends: Duration,
}

/// What a recording tells of each of its leases, in the order in which they are named.
pub(super) fn held(recording: &Recording) -> Vec<Held> {
    let mut names: Vec<&str> = Vec::new();
    for session in &recording.sessions {
        let seen = session.sightings.iter().map(|sighting| sighting.lease.as_str());
        for name in session.leases.iter().map(String::as_str).chain(seen) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names.into_iter().map(|name| Held::of(name, &recording.sessions)).collect()
}

impl Held {
    fn of(name: &str, sessions: &[Session]) -> Self {
        let about = |session: &&Session| {
            session.leases.iter().any(|lease| lease == name) || session.sightings.iter().any(|one| one.lease == name)
        };
        let sessions: Vec<&Session> = sessions.iter().filter(about).collect();
        let mut held = Self { name: name.to_owned(), ..Self::default() };
        held.from = sessions.first().map_or(Duration::ZERO, |first| first.from);
        let mut watched = Vec::new();
        for session in sessions {
            if session.from > held.until && held.until > held.from {
                held.band("not watched", Span::new(held.until, session.from));
            }
            let sightings = session.sightings.iter().filter(|sighting| sighting.lease == name);
            // Before the first answer nothing is known, and nobody's absence either.
            let is_answer = |sighting: &&Sighting| !matches!(sighting.event, Happened::Ready | Happened::Lost);
            let known_from = sightings.clone().find(is_answer).map_or(session.until, |first| first.at);
            sightings.for_each(|sighting| held.see(sighting));
            held.leave(session.until);
            watched.push(Span::new(known_from, session.until));
            held.until = session.until;
        }
        let unknown: Vec<Span> = held.bands.iter().map(|band| band.span).collect();
        let watched = without(&watched, &unknown);
        let holds: Vec<Span> = held.lanes.iter().flat_map(|lane| lane.holds.iter().copied()).collect();
        held.watched = covered(&watched);
        held.vacant = without(&watched, &holds);
        held.durations.sort_unstable();
        held
    }

    fn see(&mut self, sighting: &Sighting) {
        let at = sighting.at;
        match (sighting.event, &sighting.record) {
            (Happened::Lost, _) => {
                self.lost_at.get_or_insert(at);
                // Renewals may go unseen now, and the next interval would be no interval.
                self.hold.iter_mut().for_each(|hold| hold.renewed_at = None);
            }
            (Happened::Ready, _) => self.found(at),
            (Happened::Ended, _) => {}
            (_, None) => self.end(at, "deleted"),
            (_, Some(record)) if record.holder.is_none() => self.end(at, "released"),
            (event, Some(record)) => self.named(sighting, record, event == Happened::Is),
        }
    }

    /// A record with a holder.
    fn named(&mut self, sighting: &Sighting, record: &Fields, is_first: bool) {
        let (at, duration) = (sighting.at, record.lease_duration());
        let holder = record.holder.clone().unwrap_or_default();
        if !self.durations.contains(&duration) {
            self.durations.push(duration);
        }
        let same_term = |hold: &Hold| hold.holder == holder && hold.acquire_time == record.acquire_time;
        let Some(mut hold) = self.hold.take_if(|hold| same_term(hold)) else {
            self.end(at, "");
            let term = Some((holder.clone(), record.acquire_time));
            self.terms += usize::from(self.term != term);
            self.term = term;
            // What was there before the watch is judged by the holder's own clock, and no later than by ours.
            let left = if is_first { left(record, sighting.time) } else { duration };
            let (renew_time, acquire_time) = (record.renew_time, record.acquire_time);
            let renewed_at = (!is_first).then_some(at);
            let ends = at.saturating_add(left);
            self.hold = Some(Hold { holder, acquire_time, renew_time, renewed_at, from: at, ends });
            return;
        };
        if hold.renew_time == record.renew_time {
            // An edit of something else renews nothing, but may change how long the last renewal counts.
            if let Some(renewed_at) = hold.renewed_at {
                hold.ends = renewed_at.saturating_add(duration);
            }
        } else {
            self.renewals.extend(hold.renewed_at.map(|before| Sample { at, took: at.saturating_sub(before) }));
            if at > hold.ends {
                self.held_by(&hold.holder, Span::new(hold.from, hold.ends));
                self.mark(hold.ends, "expired");
                hold.from = at;
            }
            hold.renewed_at = Some(at);
            hold.renew_time = record.renew_time;
            hold.ends = at.saturating_add(duration);
        }
        self.hold = Some(hold);
    }

    /// The term that is on ends here, unless it ran out before.
    fn end(&mut self, at: Duration, word: &str) {
        let Some(hold) = self.hold.take() else { return };
        self.held_by(&hold.holder, Span::new(hold.from, hold.ends.min(at)));
        if hold.ends < at {
            self.mark(hold.ends, "expired");
        } else if !word.is_empty() {
            self.mark(at, word);
        }
    }

    /// The run ends: what comes later was not seen.
    fn leave(&mut self, at: Duration) {
        self.end(at, "");
        self.found(at);
    }

    fn found(&mut self, at: Duration) {
        if let Some(lost_at) = self.lost_at.take() {
            self.band("watch interrupted", Span::new(lost_at, at));
        }
    }

    fn held_by(&mut self, holder: &str, span: Span) {
        match self.lanes.iter_mut().find(|lane| lane.name == holder) {
            Some(lane) => lane.holds.push(span),
            None => self.lanes.push(Lane { name: holder.to_owned(), holds: vec![span], ..Lane::default() }),
        }
    }

    fn mark(&mut self, at: Duration, word: &str) {
        self.marks.push(Mark { at, label: word.to_owned() });
    }

    fn band(&mut self, kind: &str, span: Span) {
        self.bands.push(Band { kind: kind.to_owned(), span });
    }
}

/// How long a record that was found still counts, by the wall clocks.
fn left(record: &Fields, now: Timestamp) -> Duration {
    let duration = record.lease_duration();
    let Some(renewed) = record.renew_time else { return duration };
    let age_us = now.unix_micros().saturating_sub(renewed.unix_micros()).max(0);
    duration.saturating_sub(Duration::from_micros(age_us.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    /// A recording of these lines, each with its second; a run begins at second 0.
    fn recorded(runs: &[&[(u64, &str)]]) -> Vec<Held> {
        let mut text = String::new();
        for (run, lines) in runs.iter().enumerate() {
            let began = 1_000 * run as u64;
            let time =
                |second: u64| Timestamp::from_unix_micros(i64::try_from((began + second) * 1_000_000).expect("small"));
            let head =
                r#""format":"lease-recording","formatVersion":1,"program":"lease","backend":"k8s","leases":["db"]"#;
            writeln!(text, r#"{{{head},"namespace":null,"boottimeNs":77,"time":"{}"}}"#, time(0)).expect("a string");
            for (second, rest) in *lines {
                let boottime_ns = 77 + second * 1_000_000_000;
                let time = time(*second);
                writeln!(text, r#"{{"time":"{time}","boottimeNs":{boottime_ns},{rest}}}"#).expect("a string");
            }
        }
        let place = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(place.path(), text).expect("written");
        held(&Recording::read(place.path()).expect("a recording"))
    }

    /// A line that shows this holder, who acquired and renewed at these seconds.
    fn shows(event: &str, holder: &str, acquired: u32, renewed: u32) -> String {
        let time = |second: u32| Timestamp::from_unix_micros(i64::from(second) * 1_000_000);
        let (acquired, renewed) = (time(acquired), time(renewed));
        format!(
            r#""name":"db","event":"{event}","record":{{"holder":{holder},"leaseDurationMs":15000,"transitions":1,
            "acquireTime":"{acquired}","renewTime":"{renewed}"}}"#
        )
        .replace('\n', "")
    }

    fn seconds(spans: &[Span]) -> Vec<(u64, u64)> {
        spans.iter().map(|span| (span.from.as_secs(), span.until.as_secs())).collect()
    }

    const ENDED: &str = r#""event":"ended""#;
    const DELETED: &str = r#""name":"db","event":"deleted""#;

    #[test]
    fn a_hold_ends_by_release_by_another_holder_or_by_itself() {
        let lines = [
            (0, DELETED.to_owned()),
            (2, shows("acquired", r#""a""#, 2, 2)),
            (4, shows("renewed", r#""a""#, 2, 4)),
            (5, shows("released", "null", 2, 5)),
            (6, shows("acquired", r#""b""#, 6, 6)),
            (40, shows("acquired", r#""a""#, 40, 40)),
            (41, shows("acquired", r#""b""#, 41, 41)),
            (42, DELETED.to_owned()),
            (50, ENDED.to_owned()),
        ];
        let lines: Vec<(u64, &str)> = lines.iter().map(|(at, line)| (*at, line.as_str())).collect();
        let held = recorded(&[&lines]);
        let [db] = &held[..] else { panic!("{held:?}") };
        let holders: Vec<_> = db.lanes.iter().map(|lane| (lane.name.as_str(), seconds(&lane.holds))).collect();
        assert_eq!(holders, [("a", vec![(2, 5), (40, 41)]), ("b", vec![(6, 21), (41, 42)])]);
        assert_eq!(seconds(&db.vacant), [(0, 2), (5, 6), (21, 40), (42, 50)]);
        assert_eq!((db.terms, db.renewals.len(), db.renewals[0].took), (4, 1, Duration::from_secs(2)));
        let marks: Vec<_> = db.marks.iter().map(|mark| (mark.at.as_secs(), mark.label.as_str())).collect();
        assert_eq!(marks, [(5, "released"), (21, "expired"), (42, "deleted")]);
    }

    #[test]
    fn a_renewal_that_came_too_late_leaves_a_gap() {
        let acquired = shows("acquired", r#""a""#, 1, 1);
        let (renewed, edited) = (shows("renewed", r#""a""#, 1, 30), shows("changed", r#""a""#, 1, 30));
        let held = recorded(&[&[(0, DELETED), (1, &acquired), (30, &renewed), (32, &edited), (60, ENDED)]]);
        assert_eq!(seconds(&held[0].lanes[0].holds), [(1, 16), (30, 45)], "an edit renews nothing");
        assert_eq!((held[0].terms, held[0].renewals[0].took), (1, Duration::from_secs(29)));
    }

    /// A record that ran out long ago is not drawn as held because somebody looked at it.
    #[test]
    fn what_was_there_before_is_judged_by_its_own_clock() {
        let (old, fresh) = (shows("is", r#""a""#, 0, 0), shows("is", r#""a""#, 990, 995));
        let held = recorded(&[&[(500, &old), (600, ENDED)], &[(0, &fresh), (60, ENDED)]]);
        assert_eq!(seconds(&held[0].lanes[0].holds), [(500, 500), (1_000, 1_010)]);
        assert_eq!(seconds(&held[0].vacant), [(500, 600), (1_010, 1_060)]);
        assert_eq!(held[0].bands[0].kind, "not watched");
        assert_eq!(seconds(&[held[0].bands[0].span]), [(600, 1_000)]);
    }

    #[test]
    fn what_may_have_gone_unseen_is_neither_vacant_nor_an_interval() {
        let acquired = shows("acquired", r#""a""#, 1, 1);
        let (lost, ready) = (r#""name":"db","event":"lost""#, r#""name":"db","event":"ready""#);
        let renewed = shows("renewed", r#""a""#, 1, 39);
        let lines = [(0, DELETED), (1, &acquired), (5, lost), (40, ready), (40, &renewed), (45, ENDED)];
        let held = recorded(&[&lines]);
        assert_eq!(held[0].renewals, []);
        assert_eq!(seconds(&held[0].vacant), [(0, 1)]);
        assert_eq!(held[0].bands[0].kind, "watch interrupted");
    }
}
