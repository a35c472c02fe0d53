//! The register, with its past.

use std::time::Duration;

use lease_core::{Attachment, Failure, LeaseRecord, LockErrorKind, Op, Version, Versioned};

/// One record, and every record that there was before it.
#[derive(Debug, Default)]
pub(crate) struct Store {
    current: Option<Versioned>,
    revision: u128,
    history: Vec<Versioned>,
    readable: bool,
}

impl Store {
    pub(crate) fn current(&self) -> Option<&Versioned> {
        self.current.as_ref()
    }

    pub(crate) fn apply(&mut self, op: &Op) -> Result<Option<Versioned>, Failure> {
        match op {
            Op::Get => match &self.current {
                Some(current) if !self.readable => Err(Failure {
                    kind: LockErrorKind::Malformed,
                    retry_after: None,
                    unreadable: Some(Box::new(Versioned { record: LeaseRecord::default(), ..current.clone() })),
                }),
                current => Ok(current.clone()),
            },
            Op::Create(_) if self.current.is_some() => Err(LockErrorKind::Conflict.into()),
            Op::Create(record) => Ok(Some(self.put(record.clone()))),
            Op::Update { seen, record } => match &self.current {
                None => Err(LockErrorKind::NotFound.into()),
                Some(current) if current.version != seen.version => Err(LockErrorKind::Conflict.into()),
                Some(_) => Ok(Some(self.put(record.clone()))),
            },
        }
    }

    /// Stores a record on no condition, as a person does. A label counts as a change, too.
    pub(crate) fn put(&mut self, record: LeaseRecord) -> Versioned {
        self.revision += 1;
        self.readable = true;
        let version = Version::new(self.revision.to_string());
        let stored = Versioned { record, version, revision: Some(self.revision), attachment: Attachment::NONE };
        self.history.push(stored.clone());
        self.current = Some(stored.clone());
        stored
    }

    pub(crate) fn delete(&mut self) {
        self.revision += 1;
        self.current = None;
    }

    /// The record becomes one that nobody can understand, at a new version.
    pub(crate) fn corrupt(&mut self) {
        let record = self.current.as_ref().map(|current| current.record.clone());
        self.put(record.expect("there is a record to corrupt"));
        self.readable = false;
    }

    /// The record that had this version.
    pub(crate) fn past(&self, version: &str) -> Versioned {
        let found = self.history.iter().find(|stored| stored.version.as_str() == version);
        found.expect("a version that was stored").clone()
    }

    /// Takes the whole store back to the state of this version; version 0 is before the first.
    pub(crate) fn roll_back(&mut self, version: &str) {
        if version == "0" {
            *self = Self { readable: true, ..Self::default() };
            return;
        }
        let past = self.past(version);
        self.revision = past.revision.expect("every version has a revision");
        self.history.retain(|stored| stored.revision <= past.revision);
        self.current = Some(past);
        self.readable = true;
    }
}

/// A duration as the commands write it: `15s`, `250ms`, `1.5s`, `1h`, `2m`.
pub(crate) fn duration(text: &str) -> Duration {
    let split = text.find(|c: char| c.is_ascii_alphabetic()).expect("a unit");
    let (number, unit) = text.split_at(split);
    let seconds: f64 = number.parse().expect("a number");
    let factor = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        other => panic!("unit {other}"),
    };
    Duration::from_micros(Duration::from_secs_f64(seconds * factor).as_micros().try_into().expect("a short time"))
}
