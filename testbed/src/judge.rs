//! The judge: says from the guarded programs' own logs who acted when, and whether two ever acted at once.
//!
//! Nothing is asked of the programs under test. Every actor appends to its own log on one host with one clock, so an
//! overlap is measured, not inferred. The definitions:
//!
//! - An **act** is a line `BOOTTIME_NS PID act TOKEN WHO`; actors write one every 10 ms.
//! - A **term** is all acts with the same holder and token. (A peer without tokens has one term for all its reigns,
//!   which the gaps between them keep apart.) Two candidates that share an identity need actors with names of their
//!   own, or they count as one holder.
//! - A **span** is a longest run of acts of one term with less than [`Judge::GAP`] between neighbours: a program that
//!   is stopped does not act.
//! - An **overlap** is the time that two spans of different terms share. A single act inside another term's span is
//!   an overlap of length zero, and an overlap all the same.
//! - A **stale act** is one whose token is lower than a token that acted before it, however far apart the spans are.
//!
//! Resolution: each act proves that its program ran at that moment, so an overlap is never invented, and its length is
//! a lower bound: the true one is at most two periods (20 ms) longer. Not seen is a program that is stopped between
//! reading the clock and writing its line: that is what the fencing token is for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

/// One act of a guarded program.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Act {
    /// When it happened, on `CLOCK_BOOTTIME`.
    pub at_ns: u64,
    /// The process that acted.
    pub pid: u32,
    /// In whose name it acted.
    pub term: Term,
}

/// In whose name a program acts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Term {
    /// The holder's name.
    pub holder: String,
    /// The fencing token; none for a peer that has no such thing, and for work that nobody guards.
    pub token: Option<u128>,
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.token {
            Some(token) => write!(f, "{} (token {token})", self.holder),
            None => f.write_str(&self.holder),
        }
    }
}

/// A stretch of time in which one term acted without a pause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Who acted.
    pub term: Term,
    /// The first act.
    pub from_ns: u64,
    /// The last act.
    pub until_ns: u64,
    /// How many acts.
    pub acts: usize,
}

/// Two terms acting at the same time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// The term whose span began earlier.
    pub first: Term,
    /// The other one.
    pub second: Term,
    /// When both had begun.
    pub from_ns: u64,
    /// When one of them had ended.
    pub until_ns: u64,
}

impl Overlap {
    /// How long it lasted at least.
    pub fn length(&self) -> Duration {
        Duration::from_nanos(self.until_ns - self.from_ns)
    }
}

/// A change of the acting term, seen from a moment such as that of a kill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Takeover {
    /// The term that acted last before the moment.
    pub from: Term,
    /// The term that acted next.
    pub to: Term,
    /// From the moment to the first act of the next term.
    pub delay: Duration,
    /// From the last act of the one to the first act of the other; zero where they overlap.
    pub leaderless: Duration,
}

/// A time in which nobody acted, between two spans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaderless {
    /// The last act before it.
    pub from_ns: u64,
    /// The first act after it.
    pub until_ns: u64,
}

impl Leaderless {
    /// How long nobody acted.
    pub fn length(&self) -> Duration {
        Duration::from_nanos(self.until_ns - self.from_ns)
    }
}

/// A log that cannot be judged.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The logs cannot be read.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line is not in the format.
    #[error("{path}: line {line_number} is not of the form \"NS PID EVENT TOKEN WHO\": {line:?}", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The place in it, from 1.
        line_number: usize,
        /// The line.
        line: String,
    },
}

/// All acts of a test, in the order of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judge {
    acts: Vec<Act>,
}

impl Judge {
    /// The pause that ends a span: ten periods and more, so that a busy machine does not end it, and far below the
    /// shortest reign that a test brings about.
    pub const GAP: Duration = Duration::from_millis(200);

    /// Reads every `*.acts` file of a directory. The unfinished last line of a writer at work is left for later.
    ///
    /// # Errors
    /// The file, and the line if it is one: a log that cannot be read must not pass for an innocent one.
    pub fn read(dir: &Path) -> Result<Self, LogError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| LogError::Io { path, source }
        };
        let mut acts = Vec::new();
        for entry in fs::read_dir(dir).map_err(at(dir))? {
            let path = entry.map_err(at(dir))?.path();
            if path.extension().is_some_and(|extension| extension == "acts") {
                let text = fs::read_to_string(&path).map_err(at(&path))?;
                acts.extend(parse(&path, &text)?);
            }
        }
        Ok(Self::from_acts(acts))
    }

    /// A judge of acts that come from elsewhere.
    pub fn from_acts(mut acts: Vec<Act>) -> Self {
        acts.sort();
        Self { acts }
    }

    /// All acts, in the order of time.
    pub fn acts(&self) -> &[Act] {
        &self.acts
    }

    /// The terms in the order of their first acts.
    pub fn terms(&self) -> Vec<Term> {
        let mut seen = BTreeSet::new();
        self.acts.iter().map(|act| &act.term).filter(|term| seen.insert(*term)).cloned().collect()
    }

    /// The spans of all terms, in the order of their beginnings.
    pub fn spans(&self) -> Vec<Span> {
        let gap_ns = nanos(Self::GAP);
        let mut spans: Vec<Span> = Vec::new();
        let mut current = BTreeMap::new();
        for act in &self.acts {
            let open = current.get(&act.term).copied().filter(|at: &usize| act.at_ns - spans[*at].until_ns < gap_ns);
            if let Some(at) = open {
                spans[at].until_ns = act.at_ns;
                spans[at].acts += 1;
            } else {
                current.insert(&act.term, spans.len());
                spans.push(Span { term: act.term.clone(), from_ns: act.at_ns, until_ns: act.at_ns, acts: 1 });
            }
        }
        spans
    }

    /// Every time that two terms acted at once. Empty is what every test wants.
    pub fn overlaps(&self) -> Vec<Overlap> {
        let mut overlaps = Vec::new();
        let mut open: Vec<Span> = Vec::new();
        for span in self.spans() {
            open.retain(|earlier| earlier.until_ns > span.from_ns);
            for earlier in open.iter().filter(|earlier| earlier.term != span.term) {
                overlaps.push(Overlap {
                    first: earlier.term.clone(),
                    second: span.term.clone(),
                    from_ns: span.from_ns,
                    until_ns: span.until_ns.min(earlier.until_ns),
                });
            }
            open.push(span);
        }
        overlaps
    }

    /// The summed length of all overlaps; see [`Judge::overlaps`] for those of length zero.
    pub fn overlap_total(&self) -> Duration {
        self.overlaps().iter().map(Overlap::length).sum()
    }

    /// The acts that came after an act with a higher token.
    pub fn stale_acts(&self) -> Vec<Act> {
        let mut highest = None;
        let is_stale = |act: &&Act| {
            let Some(token) = act.term.token else {
                return false;
            };
            let stale = highest.is_some_and(|highest| token < highest);
            highest = highest.max(Some(token));
            stale
        };
        self.acts.iter().filter(is_stale).cloned().collect()
    }

    /// Two terms whose tokens do not rise strictly in the order in which the terms began; none is what is wanted.
    pub fn token_out_of_order(&self) -> Option<(Term, Term)> {
        let terms: Vec<Term> = self.terms().into_iter().filter(|term| term.token.is_some()).collect();
        terms.windows(2).find(|pair| pair[0].token >= pair[1].token).map(|pair| (pair[0].clone(), pair[1].clone()))
    }

    /// The times between the first and the last act in which nobody acted.
    pub fn leaderless(&self) -> Vec<Leaderless> {
        let mut gaps = Vec::new();
        let mut covered_until_ns = None;
        for span in self.spans() {
            if let Some(from_ns) = covered_until_ns.filter(|until| span.from_ns > *until) {
                gaps.push(Leaderless { from_ns, until_ns: span.from_ns });
            }
            covered_until_ns = covered_until_ns.max(Some(span.until_ns));
        }
        gaps
    }

    /// Who took over after `moment_ns`, and how fast. None before the next term has acted, or if nobody acted before.
    pub fn takeover_after(&self, moment_ns: u64) -> Option<Takeover> {
        let before = self.acts.iter().rev().find(|act| act.at_ns <= moment_ns)?;
        let after = self.acts.iter().find(|act| act.at_ns > moment_ns && act.term != before.term)?;
        let last = self.acts.iter().rev().find(|act| act.term == before.term && act.at_ns <= after.at_ns)?;
        Some(Takeover {
            from: before.term.clone(),
            to: after.term.clone(),
            delay: Duration::from_nanos(after.at_ns - moment_ns),
            leaderless: Duration::from_nanos(after.at_ns - last.at_ns),
        })
    }

    /// Everything that is wrong, as one text for people; none if all is well: no overlap, no stale act, tokens rising.
    pub fn verdict(&self) -> Option<String> {
        let mut wrong = String::new();
        for overlap in self.overlaps() {
            let (from, length) = (seconds(overlap.from_ns), overlap.length());
            let _ = writeln!(wrong, "overlap of {length:?} from {from}: {} and {}", overlap.first, overlap.second);
        }
        let stale = self.stale_acts();
        if let Some(act) = stale.first() {
            let _ = writeln!(wrong, "{} stale acts, the first at {} by {}", stale.len(), seconds(act.at_ns), act.term);
        }
        if let Some((first, second)) = self.token_out_of_order() {
            let _ = writeln!(wrong, "tokens do not rise: {first}, then {second}");
        }
        if wrong.is_empty() {
            return None;
        }
        for span in self.spans() {
            let (from, until) = (seconds(span.from_ns), seconds(span.until_ns));
            let _ = writeln!(wrong, "  {from} to {until}: {}, {} acts", span.term, span.acts);
        }
        Some(wrong)
    }

    /// Fails the test unless all is well and `terms_min` terms or more have acted, so that silence is no acquittal.
    ///
    /// # Panics
    /// With the [`Judge::verdict`] and all spans.
    #[track_caller]
    pub fn acquit(&self, terms_min: usize) {
        if let Some(wrong) = self.verdict() {
            panic!("{wrong}");
        }
        let terms = self.terms().len();
        assert!(terms >= terms_min, "only {terms} of {terms_min} terms acted: {:?}", self.spans());
    }
}

fn parse(path: &Path, text: &str) -> Result<Vec<Act>, LogError> {
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    let mut acts = Vec::new();
    for (index, line) in complete.lines().enumerate() {
        let malformed = || LogError::Malformed { path: path.to_owned(), line_number: index + 1, line: line.to_owned() };
        let (event, act) = parse_line(line).ok_or_else(malformed)?;
        if event == "act" {
            acts.push(act);
        }
    }
    Ok(acts)
}

/// The event of a line and, as if it were one, its act; none for a malformed line.
fn parse_line(line: &str) -> Option<(&str, Act)> {
    let mut fields = line.splitn(5, ' ');
    let at_ns = fields.next()?.parse().ok()?;
    let pid = fields.next()?.parse().ok()?;
    let event = fields.next()?;
    let token = match fields.next()? {
        "-" => None,
        token => Some(token.parse().ok()?),
    };
    let holder = fields.next().filter(|holder| !holder.is_empty())?.to_owned();
    Some((event, Act { at_ns, pid, term: Term { holder, token } }))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).expect("a gap is far shorter than 500 years")
}

fn seconds(at_ns: u64) -> String {
    format!("{}.{:03}s", at_ns / 1_000_000_000, at_ns / 1_000_000 % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// Acts every 10 ms from one millisecond to another, both included.
    fn acting(holder: &str, token: Option<u128>, from_ms: u64, until_ms: u64) -> Vec<Act> {
        let term = Term { holder: holder.to_owned(), token };
        let moments = (from_ms..=until_ms).step_by(10);
        moments.map(|ms| Act { at_ns: ms * MS, pid: 1, term: term.clone() }).collect()
    }

    fn judge(parts: &[Vec<Act>]) -> Judge {
        Judge::from_acts(parts.concat())
    }

    #[test]
    fn terms_one_after_the_other_are_acquitted() {
        let judge = judge(&[acting("a", Some(4), 0, 1000), acting("b", Some(5), 1200, 2000)]);
        judge.acquit(2);
        assert_eq!(judge.leaderless(), [Leaderless { from_ns: 1000 * MS, until_ns: 1200 * MS }]);
        let takeover = judge.takeover_after(990 * MS).unwrap();
        assert_eq!((takeover.from.holder.as_str(), takeover.to.holder.as_str()), ("a", "b"));
        assert_eq!(takeover.delay, Duration::from_millis(210));
        assert_eq!(takeover.leaderless, Duration::from_millis(200));
    }

    #[test]
    fn two_terms_at_once_are_an_overlap_with_its_length() {
        let judge = judge(&[acting("a", Some(4), 0, 1000), acting("b", Some(5), 905, 2000)]);
        assert_eq!(judge.overlap_total(), Duration::from_millis(95));
        assert_eq!(judge.overlaps().len(), 1);
        assert_eq!(judge.stale_acts().len(), 10);
        assert!(judge.verdict().unwrap().contains("overlap of 95ms from 0.905s: a (token 4) and b (token 5)"));
    }

    #[test]
    fn one_act_inside_anothers_span_is_an_overlap() {
        let judge = judge(&[acting("a", None, 505, 505), acting("b", None, 0, 1000)]);
        assert_eq!(judge.overlaps().len(), 1);
        assert_eq!(judge.overlap_total(), Duration::ZERO);
        assert!(judge.verdict().is_some());
    }

    #[test]
    fn a_pause_ends_a_span_so_reigns_of_a_peer_without_tokens_may_alternate() {
        let judge = judge(&[acting("a", None, 0, 1000), acting("b", None, 1300, 2000), acting("a", None, 2300, 3000)]);
        judge.acquit(2);
        assert_eq!(judge.spans().len(), 3);
        assert_eq!(judge.leaderless().len(), 2);
    }

    #[test]
    fn an_act_of_a_former_term_is_stale_even_when_nobody_acts_at_that_moment() {
        let judge =
            judge(&[acting("a", Some(4), 0, 100), acting("b", Some(5), 500, 1000), acting("a", Some(4), 2000, 2000)]);
        assert_eq!(judge.overlaps(), []);
        assert_eq!(judge.stale_acts().len(), 1);
        assert!(judge.verdict().unwrap().contains("1 stale acts, the first at 2.000s by a (token 4)"));
    }

    #[test]
    fn tokens_must_rise_strictly_over_terms() {
        let same = judge(&[acting("a", Some(4), 0, 100), acting("b", Some(4), 500, 1000)]);
        assert!(same.token_out_of_order().is_some());
        let lower = judge(&[acting("a", Some(4), 0, 100), acting("a", Some(3), 500, 1000)]);
        assert!(lower.token_out_of_order().is_some());
        let rising = judge(&[acting("a", Some(4), 0, 100), acting("a", Some(5), 500, 1000)]);
        assert_eq!(rising.token_out_of_order(), None);
    }

    #[test]
    fn two_terms_of_one_holder_at_once_are_an_overlap() {
        let judge = judge(&[acting("a", Some(4), 0, 1000), acting("a", Some(5), 905, 2000)]);
        assert_eq!(judge.overlaps().len(), 1);
    }

    #[test]
    fn many_processes_of_one_term_are_no_overlap() {
        let mut others = acting("a", Some(4), 5, 995);
        for act in &mut others {
            act.pid = 2;
        }
        judge(&[acting("a", Some(4), 0, 1000), others]).acquit(1);
    }

    #[test]
    #[should_panic(expected = "only 0 of 1 terms acted")]
    fn silence_is_no_acquittal() {
        Judge::default().acquit(1);
    }

    #[test]
    fn lines_are_read_and_a_bad_one_is_named() {
        let text = "5 7 start - a b\n6 7 act 340282366920938463463374607431768211455 a b\n9 7 ac";
        let acts = parse(Path::new("x.acts"), text).unwrap();
        let term = Term { holder: "a b".to_owned(), token: Some(u128::MAX) };
        assert_eq!(acts, [Act { at_ns: 6, pid: 7, term }]);
        let error = parse(Path::new("x.acts"), "6 7 act - a\n6 7 act x a\n").unwrap_err();
        assert!(error.to_string().starts_with("x.acts: line 2 is not"), "{error}");
    }
}
