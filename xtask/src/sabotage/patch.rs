//! A sabotage as it is kept: a rule, a sentence, and a patch.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Failure;

/// One mistake in the core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sabotage {
    /// The name of its file, without the number and the ending.
    pub(super) name: String,
    pub(super) path: PathBuf,
    /// Which rule it breaks.
    pub(super) rule: String,
    /// What is wrong, in a sentence.
    pub(super) what: String,
    /// The files that it changes.
    pub(super) touches: Vec<PathBuf>,
}

/// All sabotages of a folder, in the order of their numbers.
pub(super) fn read_all(folder: &Path) -> Result<Vec<Sabotage>, Failure> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(Failure::io(folder))? {
        let path = entry.map_err(Failure::io(folder))?.path();
        if path.extension().is_some_and(|extension| extension == "patch") {
            paths.push(path);
        }
    }
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).map_err(Failure::io(&path))?;
        parse(path, &text).map_err(|finding| Failure::Findings(vec![finding]))
    };
    paths.into_iter().map(read).collect()
}

/// Reads `Rule: R1`, the sentence below it, and which files the patch changes; or says what is missing.
fn parse(path: PathBuf, text: &str) -> Result<Sabotage, String> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let missing = |what: &str| format!("{stem}: {what}");
    let (number, name) = stem.split_once('-').ok_or_else(|| missing("a name is NN-what"))?;
    if number.parse::<u32>().is_err() {
        return Err(missing("a name begins with a number"));
    }
    let (header, diff) = text.split_once("\ndiff --git ").ok_or_else(|| missing("there is no patch in it"))?;
    let mut lines = header.lines();
    let rule = lines.next().and_then(|line| line.strip_prefix("Rule: ")).ok_or_else(|| missing("it names no rule"))?;
    let what = lines.collect::<Vec<_>>().join(" ").trim().to_owned();
    if what.is_empty() {
        return Err(missing("it does not say what is wrong"));
    }
    let touches: Vec<PathBuf> =
        diff.lines().filter_map(|line| line.strip_prefix("+++ b/").map(PathBuf::from)).collect();
    if touches.iter().any(|path| !path.starts_with("lease-core/src")) {
        return Err(missing("it changes more than the core"));
    }
    Ok(Sabotage { name: name.to_owned(), rule: rule.to_owned(), what, touches, path })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATCH: &str = "Rule: R1\nToo long.\nMuch.\n\ndiff --git a/lease-core/src/x.rs b/lease-core/src/x.rs\n\
        --- a/lease-core/src/x.rs\n+++ b/lease-core/src/x.rs\n@@ -1 +1 @@\n-a\n+b\n";

    #[test]
    fn a_sabotage_is_a_rule_a_sentence_and_a_patch() {
        let sabotage = parse("x/07-too-long.patch".into(), PATCH).unwrap();
        assert_eq!((sabotage.name.as_str(), sabotage.rule.as_str()), ("too-long", "R1"));
        assert_eq!(sabotage.what, "Too long. Much.");
        assert_eq!(sabotage.touches, [PathBuf::from("lease-core/src/x.rs")]);
    }

    #[test]
    fn what_is_missing_is_said() {
        let error = |name: &str, text: &str| parse(name.into(), text).unwrap_err();
        assert!(error("too-long.patch", PATCH).contains("number"));
        assert!(error("07-x.patch", "Rule: R1\nText.\n").contains("no patch"));
        assert!(error("07-x.patch", &PATCH.replace("Rule: R1\n", "")).contains("no rule"));
        assert!(error("07-x.patch", &PATCH.replace("Too long.\nMuch.\n", "")).contains("what is wrong"));
        assert!(error("07-x.patch", &PATCH.replace("lease-core", "lease-memory")).contains("more than the core"));
    }

    #[test]
    fn all_that_are_kept_can_be_read_and_there_are_enough() {
        let all = read_all(&crate::root().join(super::super::PATCHES)).unwrap();
        assert!(all.len() >= 28, "{}", all.len());
    }
}
