//! From sources to what the host runs.

use super::components::Sections;
use super::connect::connect;
use super::expand::{Failed, expand};
use super::merge::merge;
use super::pipelines;
use super::problems::Problems;
use super::service::{Collector, Loaded};
use super::source::{Environment, Source};
use super::tree::{Node, Place, Value};
use crate::component::Registry;

/// A configuration of which nothing is known but the text: merged and expanded.
#[derive(Clone)]
pub struct Resolved {
    /// All of it.
    pub root: Node,
    /// What is wrong and doubtful so far.
    pub problems: Problems,
    failed: Failed,
    sources: Vec<String>,
}

/// Reads all sources, puts each over those before it, and expands `${...}`.
pub fn resolve(sources: &[Source], environment: Environment<'_>) -> Resolved {
    let mut problems = Problems::default();
    let names: Vec<String> = sources.iter().map(Source::name).collect();
    let first = names.first().map_or("the configuration", String::as_str);
    let mut root = Node::new(Place { source: first.into(), line: 0, column: 0 }, Value::Map(Vec::new()));
    for source in sources {
        if let Some(node) = source.read(environment, &mut problems) {
            merge(&mut root, node);
        }
    }
    let failed = expand(&mut root, environment, &mut problems);
    problems.sort(&names);
    Resolved { root, problems, failed, sources: names }
}

impl std::fmt::Debug for Resolved {
    /// Without values, which may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolved")
            .field("sources", &self.sources)
            .field("problems", &self.problems)
            .finish_non_exhaustive()
    }
}

impl Resolved {
    /// Checks all of it, and gives what the host runs, or everything that is wrong, in the order of its place.
    ///
    /// Where a source could not be read nothing is said of what is missing in the others. Its nodes remember afterwards what
    /// was taken as a text, for whoever shows them.
    pub fn configure(&self, registry: &Registry) -> Result<Loaded, Problems> {
        let Self { root, problems, failed, sources } = self;
        let mut problems = problems.clone();
        // Each value that is not known is an error; any other is a source that is not there.
        if problems.errors.len() > failed.count() || failed.has_section() {
            return Err(problems);
        }
        let mut found = Problems::default();
        let collector = configure(root, registry, &mut found);
        // A value that is not known is not missing.
        found.errors.retain(|problem| !failed.is_about(&problem.path));
        problems.errors.append(&mut found.errors);
        problems.warnings.append(&mut found.warnings);
        problems.named = found.named;
        problems.sort(sources);
        if problems.errors.is_empty() {
            Ok(Loaded { collector, warnings: problems.warnings, named: problems.named })
        } else {
            Err(problems)
        }
    }
}

/// Reads, merges, expands and checks a configuration.
pub fn load(sources: &[Source], environment: Environment<'_>, registry: &Registry) -> Result<Loaded, Problems> {
    resolve(sources, environment).configure(registry)
}

/// What the host runs; of use only when nothing was noted.
fn configure(root: &Node, registry: &Registry, problems: &mut Problems) -> Collector {
    let mut fields = super::Fields::new(root, "", problems);
    let sections = Sections::read(&mut fields, registry);
    let service = pipelines::Service::read(&mut fields);
    fields.finish();
    connect(service, sections, problems)
}

#[cfg(test)]
mod tests;
