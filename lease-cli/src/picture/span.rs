//! Arithmetic on spans: what is drawn is cut to the picture and merged to its resolution.
//!
//! Ten thousand terms in a picture of a thousand pixels are at most a thousand bars, and the file stays small.

use std::time::Duration;

use super::Span;

impl Span {
    /// The time from one moment until another.
    pub fn new(from: Duration, until: Duration) -> Self {
        Self { from, until }
    }

    /// How long it is; zero when it ends before it starts.
    pub fn length(self) -> Duration {
        self.until.saturating_sub(self.from)
    }

    /// The part of it within `other`; none when they do not even touch.
    pub fn within(self, other: Self) -> Option<Self> {
        let common = Self { from: self.from.max(other.from), until: self.until.min(other.until) };
        (common.from <= common.until).then_some(common)
    }
}

/// The spans in order, those that lie no further apart than `apart_max` as one.
pub fn merged(spans: &[Span], apart_max: Duration) -> Vec<Span> {
    let mut spans: Vec<Span> = spans.iter().copied().filter(|span| span.from <= span.until).collect();
    spans.sort_by_key(|span| (span.from, span.until));
    let mut merged: Vec<Span> = Vec::new();
    for span in spans {
        match merged.last_mut() {
            Some(last) if span.from <= last.until.saturating_add(apart_max) => last.until = last.until.max(span.until),
            _ => merged.push(span),
        }
    }
    merged
}

/// How much time the spans cover together.
pub fn covered(spans: &[Span]) -> Duration {
    merged(spans, Duration::ZERO).into_iter().fold(Duration::ZERO, |sum, span| sum.saturating_add(span.length()))
}

/// What is left of the spans without the others.
pub fn without(spans: &[Span], others: &[Span]) -> Vec<Span> {
    let others = merged(others, Duration::ZERO);
    let mut left = Vec::new();
    for span in merged(spans, Duration::ZERO) {
        let mut from = span.from;
        let first = others.partition_point(|other| other.until <= from);
        for other in others[first..].iter().take_while(|other| other.from < span.until) {
            left.extend((other.from > from).then_some(Span::new(from, other.from)));
            from = other.until;
        }
        left.extend((from < span.until).then_some(Span::new(from, span.until)));
    }
    left
}

/// The spans within `window`, merged.
pub(super) fn visible(spans: &[Span], window: Span, apart_max: Duration) -> Vec<Span> {
    let within: Vec<Span> = spans.iter().filter_map(|span| span.within(window)).collect();
    merged(&within, apart_max)
}

/// The parts that both have in common; both in order and merged.
pub(super) fn common(a: &[Span], b: &[Span]) -> Vec<Span> {
    let (mut i, mut j, mut common) = (0, 0, Vec::new());
    while let (Some(one), Some(other)) = (a.get(i), b.get(j)) {
        common.extend(one.within(*other));
        if one.until <= other.until { i += 1 } else { j += 1 }
    }
    common
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(pairs: &[(u64, u64)]) -> Vec<Span> {
        let ms = Duration::from_millis;
        pairs.iter().map(|(from, until)| Span::new(ms(*from), ms(*until))).collect()
    }

    #[test]
    fn neighbours_are_merged_and_impossible_spans_left_out() {
        let mixed = spans(&[(50, 60), (0, 10), (8, 12), (13, 20), (40, 30)]);
        assert_eq!(merged(&mixed, Duration::from_millis(1)), spans(&[(0, 20), (50, 60)]));
        assert_eq!(merged(&mixed, Duration::ZERO), spans(&[(0, 12), (13, 20), (50, 60)]));
        assert_eq!(covered(&mixed), Duration::from_millis(29));
        assert!(merged(&[], Duration::MAX).is_empty());
    }

    #[test]
    fn what_lies_outside_is_cut_off() {
        let window = spans(&[(10, 20)])[0];
        assert_eq!(visible(&spans(&[(0, 5), (5, 12), (19, 99)]), window, Duration::ZERO), spans(&[(10, 12), (19, 20)]));
    }

    #[test]
    fn what_is_left_without_others() {
        let others = spans(&[(2, 4), (9, 12), (15, 99)]);
        assert_eq!(without(&spans(&[(0, 10), (10, 20), (40, 50)]), &others), spans(&[(0, 2), (4, 9), (12, 15)]));
        assert_eq!(without(&others, &[]), others);
    }

    #[test]
    fn what_two_rows_have_in_common() {
        let (a, b) = (spans(&[(0, 10), (20, 30)]), spans(&[(5, 22), (25, 26), (29, 40)]));
        assert_eq!(common(&a, &b), spans(&[(5, 10), (20, 22), (25, 26), (29, 30)]));
        assert!(common(&a, &[]).is_empty());
    }
}
