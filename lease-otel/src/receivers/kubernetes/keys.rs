//! Keys that several receivers read in the same way.

use std::time::Duration;

use crate::config::Fields;

/// Reads `collection_interval`.
pub(crate) fn interval(fields: &mut Fields<'_>, default: Duration) -> Duration {
    fields
        .duration("collection_interval")
        .map_or(default, |found| long_enough(fields, "collection_interval", found.value))
}

/// Notes an interval that is too short.
pub(crate) fn long_enough(fields: &mut Fields<'_>, key: &str, interval: Duration) -> Duration {
    if interval < INTERVAL_MIN {
        fields.error(key, "must be at least 100ms");
    }
    interval
}

/// A section of things that can be turned on and off: `NAME: {enabled: true}`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Switches<'a> {
    /// The key of the section.
    pub(crate) key: &'static str,
    /// The names, in the order of the truth values.
    pub(crate) known: &'a [&'static str],
    /// Names that the reference knows and that are not here.
    pub(crate) others: &'a [&'static str],
    /// Keys of each that have no effect here.
    pub(crate) filters: &'a [&'static str],
}

impl Switches<'_> {
    /// Reads the section, and changes what it names.
    pub(crate) fn read(self, fields: &mut Fields<'_>, on: &mut [bool]) {
        let key = self.key;
        if let Some(mut section) = fields.section(key) {
            for (name, is_on) in self.known.iter().zip(on) {
                if let Some(mut entry) = section.section(name) {
                    *is_on = entry.truth("enabled").unwrap_or(*is_on);
                    entry.accepted(self.filters);
                    entry.finish();
                }
            }
            section.accepted(self.others);
            section.finish();
        }
        // A file that lost its indentation has the names where the section is.
        for name in self.known.iter().chain(self.others) {
            let message = format_args!("belongs under `{key}`: indent it by two spaces more than `{key}:`");
            fields.misplaced(name, message);
        }
    }
}

/// Below this nothing is gained, and a mistyped unit would flood what is behind.
const INTERVAL_MIN: Duration = Duration::from_millis(100);
