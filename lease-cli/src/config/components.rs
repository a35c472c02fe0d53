//! `lease components`.

use lease_otel::component::Kind;
use serde::Serialize;

use crate::cli::{Global, Output};
use crate::collector::registry;
use crate::exit::Failure;
use crate::show;

/// A kind of component, as programs read it.
#[derive(Debug, Serialize)]
struct Row {
    class: &'static str,
    name: &'static str,
    aliases: &'static [&'static str],
    signals: Vec<String>,
    summary: &'static str,
}

/// Shows every kind of component.
pub(crate) fn components(global: &Global) -> Result<u8, Failure> {
    let registry = registry();
    let classes = [
        ("receiver", registry.receivers()),
        ("processor", registry.processors()),
        ("exporter", registry.exporters()),
        ("extension", registry.extensions()),
    ];
    let row = |class: &'static str, kind: Kind| Row {
        class,
        name: kind.name,
        aliases: kind.aliases,
        signals: kind.signals.iter().map(ToString::to_string).collect(),
        summary: kind.summary,
    };
    let rows: Vec<Row> =
        classes.into_iter().flat_map(|(class, kinds)| kinds.into_iter().map(move |kind| row(class, kind))).collect();
    let text = match global.output {
        Output::Json | Output::Yaml => show::document(&rows, global.output)?,
        Output::Name => rows.iter().flat_map(|row| [row.name, "\n"]).collect(),
        Output::Table => {
            let mut table = vec![["CLASS", "KIND", "ALIASES", "SIGNALS", "WHAT IT DOES"].map(str::to_owned).to_vec()];
            table.extend(rows.iter().map(Row::cells));
            show::columns(&table)
        }
    };
    show::print(&text).map(|()| 0)
}

impl Row {
    fn cells(&self) -> Vec<String> {
        let list = |items: &[String]| if items.is_empty() { "-".to_owned() } else { items.join(",") };
        let aliases: Vec<String> = self.aliases.iter().map(ToString::to_string).collect();
        let cells = [self.class, self.name, &list(&aliases), &list(&self.signals), self.summary];
        cells.map(str::to_owned).to_vec()
    }
}
