//! Style as a test: what a compiler does not check and a reviewer should not have to.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{Failure, dependencies, root};

/// Runs every check that needs no compiler.
///
/// # Errors
/// All findings at once.
pub fn run() -> Result<(), Failure> {
    let mut findings = dependencies::check()?;
    findings.extend(style()?);
    if findings.is_empty() { Ok(()) } else { Err(Failure::Findings(findings)) }
}

/// The findings in the files of the workspace.
///
/// # Errors
/// When a file cannot be read.
pub fn style() -> Result<Vec<String>, Failure> {
    let mut findings = Vec::new();
    for path in files(root())? {
        let bytes = fs::read(&path).map_err(Failure::io(&path))?;
        // A file that is no text has no style.
        let Ok(text) = String::from_utf8(bytes) else { continue };
        let name = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
        findings.extend(findings_in(&name, &text));
    }
    Ok(findings)
}

/// The findings in one file, each with its place.
pub fn findings_in(name: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    let is_rust = Path::new(name).extension().is_some_and(|extension| extension == "rs");
    if is_rust && !text.starts_with("//!") {
        findings.push(format!("{name}:1: a file opens with //!, saying what it is, what it refuses and why"));
    }
    let is_crate = name.ends_with("/Cargo.toml") && text.contains("[package]");
    if is_crate && !text.contains("[lints]\nworkspace = true") {
        findings.push(format!("{name}:1: a crate inherits the lints of the workspace"));
    }
    for (index, line) in text.lines().enumerate() {
        let at = index + 1;
        if let Some(word) = unfinished_words().iter().find(|word| has_word(line, word)) {
            findings.push(format!("{name}:{at}: {word}: do it, or open an issue"));
        }
        if let Some(path) = machine_paths().iter().find(|path| has_path(line, path)) {
            findings.push(format!("{name}:{at}: {path} is a path of somebody's machine"));
        }
        if is_rust && line.trim_end() != line {
            findings.push(format!("{name}:{at}: a space at the end of the line"));
        }
    }
    findings
}

/// Put together here, so that this file passes its own check.
fn unfinished_words() -> [String; 3] {
    [["TO", "DO"], ["FIX", "ME"], ["XX", "X"]].map(|parts| parts.concat())
}

fn machine_paths() -> [String; 4] {
    ["home", "root", "work", "Users"].map(|folder| format!("/{folder}/"))
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(|c: char| !c.is_ascii_alphanumeric()).any(|part| part == word)
}

/// Whether an absolute path begins here; the same folder inside another path or an address is nobody's machine.
fn has_path(line: &str, path: &str) -> bool {
    let starts = line.match_indices(path).map(|(at, _)| line[..at].chars().next_back());
    starts.into_iter().any(|before| before.is_none_or(|c| !c.is_alphanumeric() && !matches!(c, '.' | '-' | '_' | '}')))
}

/// The files that people write: not what is built or locked, nor the history.
pub(crate) fn files(root: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(Failure::io(&folder))? {
            let path = entry.map_err(Failure::io(&folder))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if ["target", ".git", "go.sum", "Cargo.lock", "LICENSE"].contains(&name.as_str()) {
                continue;
            }
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_workspace_is_tidy() {
        assert_eq!(style().unwrap(), Vec::<String>::new());
    }

    #[test]
    fn each_rule_finds_what_it_is_for() {
        let unfinished = format!("//! A file.\n// {}: later\n", unfinished_words()[0]);
        let path = format!("//! A file.\nconst P: &str = \"{}me/x\";\n", machine_paths()[0]);
        let cases = [
            ("a/src/lib.rs", "fn f() {}\n", "a/src/lib.rs:1: a file opens"),
            ("a/src/lib.rs", &unfinished, "a/src/lib.rs:2: "),
            ("a/src/lib.rs", &path, "a/src/lib.rs:2: "),
            ("a/src/lib.rs", "//! A file. \n", "a/src/lib.rs:1: a space"),
            ("a/Cargo.toml", "[package]\nname = \"a\"\n", "a/Cargo.toml:1: a crate inherits"),
        ];
        for (name, text, begin) in cases {
            let findings = findings_in(name, text);
            assert_eq!(findings.len(), 1, "{text}: {findings:?}");
            assert!(findings[0].starts_with(begin), "{findings:?}");
        }
    }

    #[test]
    fn a_folder_inside_another_path_is_nobodys_machine() {
        let inner = format!("docs{}plan.md and https://example.invalid{0}", machine_paths()[2]);
        assert!(!has_path(&inner, &machine_paths()[2]));
    }
}
