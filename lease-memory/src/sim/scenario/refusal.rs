//! What a parser says of a file, for whoever wrote the file: without the parser's own words, and the place only once.

/// The refusal in a line, without the place, which is told elsewhere.
pub(super) fn told(said: &str, place: Option<(u64, u64)>) -> String {
    let first = said.lines().next().unwrap_or_default();
    let place = place.map(|(line, column)| format!(" at line {line}, column {column}"));
    let what = place.and_then(|place| first.strip_suffix(&place)).unwrap_or(first);
    unknown(what).or_else(|| plain(what)).unwrap_or_else(|| what.to_owned())
}

/// What is not known, and what was probably meant.
fn unknown(what: &str) -> Option<String> {
    let (kind, rest) = match what.strip_prefix("unknown field `") {
        Some(rest) => ("key", rest),
        None => ("value", what.strip_prefix("unknown variant `")?),
    };
    let (name, rest) = rest.split_once('`')?;
    let known = rest.strip_prefix(", expected one of ").or_else(|| rest.strip_prefix(", expected "))?;
    let near = known.split(", ").map(|known| (steps(name, known), known)).min_by_key(|(steps, _)| *steps);
    let meant = match near {
        Some((steps, near)) if steps <= STEPS_MAX && steps < near.len().min(name.len()) => {
            format!("did you mean `{near}`? ")
        }
        _ => String::new(),
    };
    Some(format!("unknown {kind} `{name}`: {meant}there are {known}"))
}

fn plain(what: &str) -> Option<String> {
    if let Some((_, key)) = what.split_once("duplicate mapping key: ") {
        return Some(format!("`{}` is there twice", key.split(',').next().unwrap_or(key)));
    }
    if let Some(key) = what.strip_prefix("missing field ") {
        return Some(format!("{key} is missing"));
    }
    // A parser of several would be another function of it.
    if what.contains("from_str_multiple") {
        return Some(
            "a second document begins; there should be one, so without a line of three dashes in it".to_owned(),
        );
    }
    let words = match what {
        "invalid boolean" => "neither true nor false",
        "expected mapping start" => "there should be keys with values, as in \"until: 10m\"",
        "expected sequence start" => "there should be a list, each line of it with a dash",
        "expected string scalar" => "there should be a single value",
        "unexpected end of input" => "the file is empty, or ends too early",
        _ if INTEGERS.iter().any(|kind| what.strip_prefix("invalid ") == Some(kind)) => {
            "there should be a whole number, not below zero and not absurdly large"
        }
        _ => return None,
    };
    Some(words.to_owned())
}

/// How many letters are missing, too many, other ones or exchanged with their neighbour.
fn steps(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=other.len()).collect()];
    for i in 1..=one.len() {
        let mut row = vec![i];
        for j in 1..=other.len() {
            let differs = usize::from(one[i - 1] != other[j - 1]);
            let mut least = (rows[i - 1][j] + 1).min(row[j - 1] + 1).min(rows[i - 1][j - 1] + differs);
            if i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[one.len()][other.len()]
}

/// More than that is another word.
const STEPS_MAX: usize = 2;
const INTEGERS: [&str; 8] = ["u8", "u16", "u32", "u64", "usize", "i64", "i32", "u128"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_in_the_words_of_whoever_wrote_the_file() {
        for (said, told_as) in [
            (
                "invalid u64 at line 2, column 8",
                "there should be a whole number, not below zero and not absurdly large",
            ),
            (
                "duplicate mapping key: until, set DuplicateKeyPolicy in Options if acceptable at line 2, column 8",
                "`until` is there twice",
            ),
            (
                "unknown field `nodse`, expected one of about, nodes, until at line 2, column 8",
                "unknown key `nodse`: did you mean `nodes`? there are about, nodes, until",
            ),
            (
                "unknown variant `explode`, expected one of crash, shutdown at line 2, column 8",
                "unknown value `explode`: there are crash, shutdown",
            ),
            ("missing field `at` at line 2, column 8", "`at` is missing"),
            ("5 has no unit at line 2, column 8", "5 has no unit"),
            ("something new\nand more", "something new"),
        ] {
            assert_eq!(told(said, Some((2, 8))), told_as);
        }
        assert_eq!((steps("fro", "for"), steps("", "abc"), steps("kitten", "sitting")), (1, 3, 3));
    }
}
