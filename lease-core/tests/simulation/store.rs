//! The register: one record, replaced on condition of its version.

use lease_core::{Failure, LeaseRecord, LockErrorKind, Op, Version, Versioned};

/// The stored record and its history.
#[derive(Debug, Default)]
pub(crate) struct Store {
    current: Option<Versioned>,
    revision: u128,
    /// Every record there ever was, for restoring an older one by hand.
    pub(crate) history: Vec<LeaseRecord>,
    /// The same with their versions, for watches that tell of the past.
    pub(crate) past: Vec<Versioned>,
    /// Whether the present record cannot be understood.
    pub(crate) unreadable: bool,
    /// Whether the last write has replaced such a record.
    pub(crate) overwritten_unread: bool,
}

impl Store {
    pub(crate) fn current(&self) -> Option<&Versioned> {
        self.current.as_ref()
    }

    /// Applies a request as a real store does.
    pub(crate) fn apply(&mut self, op: &Op) -> Result<Option<Versioned>, Failure> {
        match op {
            Op::Get if self.unreadable => {
                let unreadable =
                    self.current.clone().map(|seen| Box::new(Versioned { record: LeaseRecord::default(), ..seen }));
                Err(Failure { unreadable, ..LockErrorKind::Malformed.into() })
            }
            Op::Get => Ok(self.current.clone()),
            Op::Create(_) if self.current.is_some() => Err(LockErrorKind::Conflict.into()),
            Op::Create(record) => Ok(Some(self.put(record.clone()))),
            Op::Update { seen, record } => match &self.current {
                None => Err(LockErrorKind::NotFound.into()),
                Some(current) if current.version != seen.version => Err(LockErrorKind::Conflict.into()),
                Some(_) => Ok(Some(self.put(record.clone()))),
            },
        }
    }

    /// Stores a record without any condition, as a person does.
    pub(crate) fn put(&mut self, record: LeaseRecord) -> Versioned {
        self.revision += 1;
        self.history.push(record.clone());
        let stored = Versioned {
            record,
            version: Version::new(self.revision.to_string()),
            revision: Some(self.revision),
            attachment: lease_core::Attachment::NONE,
        };
        self.overwritten_unread = std::mem::take(&mut self.unreadable);
        self.past.push(stored.clone());
        self.current = Some(stored.clone());
        stored
    }

    /// Loses its latest writes, and counts on from where it was; says whether there were any.
    pub(crate) fn roll_back(&mut self, rng: &mut fastrand::Rng) -> bool {
        let lost = rng.usize(1..6);
        if self.current.is_none() || self.past.len() <= lost {
            return false;
        }
        self.past.truncate(self.past.len() - lost);
        let back = self.past[self.past.len() - 1].clone();
        self.revision = back.revision.unwrap_or(0);
        // The versions of a restored store are its own again.
        self.current = Some(back);
        true
    }

    pub(crate) fn delete(&mut self) {
        self.revision += 1;
        self.current = None;
    }
}
