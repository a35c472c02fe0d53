//! What has become of the sabotages: the table, and what is wrong with it.

use std::fmt::{self, Write as _};

use serde_json::Value;

use super::patch::Sabotage;

/// One sabotage, and what has found it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    name: String,
    rule: String,
    what: String,
    cpu_seconds: f64,
    found: Option<Found>,
}

#[derive(Clone, Debug, PartialEq)]
struct Found {
    invariant: String,
    family: String,
    seed: u64,
    /// How many events the run has after it was made smaller, and how long that took.
    events: u64,
    shrink_seconds: f64,
}

impl Row {
    /// `result` is the last line of the simulator.
    pub(super) fn new(sabotage: &Sabotage, result: &Value) -> Self {
        let text = |name: &str| result[name].as_str().unwrap_or_default().to_owned();
        let found = result["invariant"].as_str().map(|invariant| Found {
            invariant: invariant.to_owned(),
            family: text("family"),
            seed: result["seed"].as_u64().unwrap_or(0),
            events: result["events"].as_u64().unwrap_or(u64::MAX),
            shrink_seconds: result["shrink_seconds"].as_f64().unwrap_or(f64::INFINITY),
        });
        Self {
            name: sabotage.name.clone(),
            rule: sabotage.rule.clone(),
            what: sabotage.what.clone(),
            cpu_seconds: result["cpu_seconds"].as_f64().unwrap_or(f64::INFINITY),
            found,
        }
    }

    pub(super) fn seed(&self) -> Option<u64> {
        self.found.as_ref().map(|found| found.seed)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<27} {:<8} {:>6.2} s  ", self.name, self.rule, self.cpu_seconds)?;
        match &self.found {
            Some(Found { invariant, family, seed, events, shrink_seconds }) => {
                write!(
                    f,
                    "{invariant:<19} {family:<11} {seed:>6}  {events} events, made smaller in {shrink_seconds:.1} s"
                )
            }
            None => f.write_str("NOT FOUND"),
        }
    }
}

/// What is not as it should be, one sentence each.
pub(super) fn findings(rows: &[Row]) -> Vec<String> {
    let mut findings = Vec::new();
    for row in rows {
        let Row { name, cpu_seconds, .. } = row;
        match &row.found {
            None => findings.push(format!("{name} is not found in {cpu_seconds:.0} s of processor time")),
            Some(_) if *cpu_seconds > CPU_SECONDS_MAX => {
                findings.push(format!("{name} is found only after {cpu_seconds:.1} s of processor time"));
            }
            Some(Found { events, .. }) if *events > EVENTS_MAX => {
                findings.push(format!("{name} needs {events} events to be shown, more than {EVENTS_MAX}"));
            }
            Some(_) => {}
        }
    }
    findings
}

/// What is wrong with all of them together; a few have no median that means anything.
pub(super) fn slow_on_the_whole(rows: &[Row]) -> Option<String> {
    let median = median(rows);
    (median >= MEDIAN_MAX).then(|| format!("the median of {median:.1} s is not below {MEDIAN_MAX} s"))
}

/// The middle of all processor times; of two middles the later one.
fn median(rows: &[Row]) -> f64 {
    let mut seconds: Vec<f64> = rows.iter().map(|row| row.cpu_seconds).collect();
    seconds.sort_by(f64::total_cmp);
    seconds.get(seconds.len() / 2).copied().unwrap_or(0.0)
}

/// All of them in a line.
pub(super) fn summary(rows: &[Row]) -> String {
    let found = rows.iter().filter(|row| row.found.is_some()).count();
    let longest = rows.iter().map(|row| row.cpu_seconds).fold(0.0, f64::max);
    let median = median(rows);
    format!("{found} of {} sabotages found; processor time: median {median:.2} s, longest {longest:.1} s", rows.len())
}

/// The table as it is kept.
pub(super) fn markdown(rows: &[Row]) -> String {
    let mut text = format!("{}.\n\n", summary(rows));
    text.push_str("| sabotage | rule | what is wrong | found by | family, seed | events | CPU s |\n|---|---|---|---|---|---|---|\n");
    for Row { name, rule, what, cpu_seconds, found } in rows {
        let found = match found {
            Some(Found { invariant, family, seed, events, .. }) => {
                format!("`{invariant}` | {family} {seed} | {events}")
            }
            None => "nothing | | ".to_owned(),
        };
        let _ = writeln!(text, "| {name} | {rule} | {what} | {found} | {cpu_seconds:.2} |");
    }
    text
}

/// The document with another table between its markers; none when it has no markers.
pub(super) fn replaced(document: &str, table: &str) -> Option<String> {
    let (before, rest) = document.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{table}{END}{after}"))
}

const BEGIN: &str = "<!-- sabotage:begin -->";
const END: &str = "<!-- sabotage:end -->";
const CPU_SECONDS_MAX: f64 = 60.0;
const MEDIAN_MAX: f64 = 2.0;
const EVENTS_MAX: u64 = 30;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(name: &str, result: &Value) -> Row {
        let sabotage = Sabotage {
            name: name.to_owned(),
            path: "x".into(),
            rule: "R1".to_owned(),
            what: "It is wrong.".to_owned(),
            touches: Vec::new(),
        };
        Row::new(&sabotage, result)
    }

    fn found(cpu_seconds: f64, events: u64) -> Row {
        let result = json!({
            "runs": 5, "cpu_seconds": cpu_seconds, "invariant": "full_wait", "family": "swarm", "seed": 7,
            "events": events, "shrink_seconds": 0.5
        });
        row("quick", &result)
    }

    #[test]
    fn a_table_has_a_line_for_each_and_the_median_above() {
        let rows = [found(0.5, 3), found(1.5, 4), row("missed", &json!({ "cpu_seconds": 60.25 }))];
        let text = markdown(&rows);
        assert!(text.starts_with("2 of 3 sabotages found; processor time: median 1.50 s, longest 60.2 s.\n"), "{text}");
        assert!(text.contains("| quick | R1 | It is wrong. | `full_wait` | swarm 7 | 3 | 0.50 |\n"), "{text}");
        assert!(text.contains("| missed | R1 | It is wrong. | nothing | |  | 60.25 |\n"), "{text}");
    }

    #[test]
    fn what_is_missed_found_late_or_not_to_be_read_is_said() {
        assert_eq!(findings(&[found(0.5, 30)]), Vec::<String>::new());
        assert!(findings(&[found(0.5, 31)])[0].contains("31 events"));
        let late = [found(0.1, 1), found(61.0, 1), found(2.0, 1)];
        assert_eq!(findings(&late), ["quick is found only after 61.0 s of processor time"]);
        assert!(slow_on_the_whole(&late).is_some() && slow_on_the_whole(&late[..1]).is_none());
        assert!(findings(&[found(0.1, 1), row("missed", &json!({ "cpu_seconds": 1 }))])[0].starts_with("missed"));
    }

    #[test]
    fn the_table_is_put_between_its_markers_and_nowhere_else() {
        let document = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        let replaced = replaced(&document, "new\n").unwrap();
        assert_eq!(replaced, format!("a\n{BEGIN}\nnew\n{END}\nb\n"));
        assert_eq!(super::replaced("no markers", "new"), None);
    }
}
