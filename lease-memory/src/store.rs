//! The store: objects by name, one counter of revisions, and what an operator can do to them.
//!
//! One mutex guards everything, because a store that orders all its writes is what is being modelled.
//! Wakers run after it is released, so that an executor that polls at once cannot deadlock.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use lease_core::{Attachment, LeaseRecord, LockError, LockErrorKind, Version, Versioned};

use crate::lock::MemoryLock;
use crate::watch::{Topic, Watches};

/// A store of leases by name. Its clones are the same store.
#[derive(Clone, Default)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
}

/// The whole content of a store at one moment: what a backup has.
#[derive(Clone)]
pub struct Snapshot(Data);

/// What a mutex guards.
#[derive(Default)]
pub(crate) struct State {
    data: Data,
    pub(crate) topics: HashMap<Arc<str>, Topic>,
    /// To be woken once the mutex is free.
    pub(crate) wakers: Vec<Waker>,
}

/// What survives in a backup.
#[derive(Clone, Default)]
struct Data {
    /// The revision of the latest write to any lease.
    revision: u128,
    uid_last: u64,
    objects: BTreeMap<Arc<str>, Object>,
}

#[derive(Clone)]
struct Object {
    uid: u64,
    revision: u128,
    record: LeaseRecord,
    labels: Arc<Labels>,
    readable: bool,
    /// What every reader of this version is given, made once.
    version: Version,
    attachment: Attachment,
}

pub(crate) type Labels = BTreeMap<String, String>;

/// What a handle keeps of an object between its read and its write.
struct Kept {
    uid: u64,
    labels: Arc<Labels>,
}

/// A request as it travels to the store.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Get,
    Create(LeaseRecord),
    Update(Box<Versioned>, LeaseRecord),
}

/// Some record, or for a read none; a write that succeeded always has one.
pub(crate) type Answer = Result<Option<Versioned>, LockError>;

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// A new handle on the lease of this name, with a script of its own. Nothing is stored by that.
    pub fn lock(&self, name: impl Into<Arc<str>>) -> MemoryLock {
        MemoryLock::new(self.clone(), name.into())
    }

    /// The lease as it is, past every script; none when there is none.
    pub fn read(&self, name: &str) -> Option<Versioned> {
        self.with(|state| state.data.objects.get(name).map(Object::versioned))
    }

    /// The names of the leases that exist, sorted.
    pub fn names(&self) -> Vec<Arc<str>> {
        self.with(|state| state.data.objects.keys().cloned().collect())
    }

    /// The revision of the latest write to any lease; 0 before the first.
    pub fn revision(&self) -> u128 {
        self.with(|state| state.data.revision)
    }

    /// Changes a record by hand, as `kubectl edit` does; none, and nothing happens, when there is no such lease.
    ///
    /// An edit that changes nothing leaves the version alone. `change` must not use the store itself.
    pub fn edit(&self, name: &str, change: impl FnOnce(&mut LeaseRecord)) -> Option<Versioned> {
        self.with(|state| state.edit(name, change))
    }

    /// Changes the labels of a lease, which no elector looks at; none when there is no such lease. `change` must
    /// not use the store itself.
    pub fn edit_labels(&self, name: &str, change: impl FnOnce(&mut BTreeMap<String, String>)) -> Option<Versioned> {
        self.with(|state| state.edit_labels(name, change))
    }

    /// The labels of a lease; none when there is no such lease.
    pub fn labels(&self, name: &str) -> Option<BTreeMap<String, String>> {
        self.with(|state| state.labels(name).map(|labels| (**labels).clone()))
    }

    /// Stores this record by hand, whatever was there before.
    pub fn put(&self, name: impl Into<Arc<str>>, record: LeaseRecord) -> Versioned {
        let name = name.into();
        self.with(|state| match state.data.objects.get(&name).cloned() {
            Some(object) => state.replace(&name, Object { record, readable: true, ..object }),
            None => state.insert(&name, record),
        })
    }

    /// Makes the record unreadable to every lock until somebody overwrites or edits it; false when there is no such lease.
    pub fn corrupt(&self, name: &str) -> bool {
        self.with(|state| state.corrupt(name))
    }

    /// Deletes a lease; false when there is no such lease. The revisions go on from where they were.
    pub fn delete(&self, name: &str) -> bool {
        self.with(|state| state.delete(name))
    }

    /// The content of all leases, and the revision, as of now.
    pub fn snapshot(&self) -> Snapshot {
        self.with(|state| state.snapshot())
    }

    /// Goes back to an older content, its revision included: later writes use revisions and versions again
    /// that others have used before.
    ///
    /// The watches are not told, as on a Kubernetes API server, where a watch from a version that does not
    /// exist yet is mute; see [`MemoryStore::set_watches`].
    pub fn restore(&self, snapshot: &Snapshot) {
        self.with(|state| state.restore(snapshot));
    }

    /// Breaks, silences or mends the watches on a lease, those that there are and those to come.
    pub fn set_watches(&self, name: impl Into<Arc<str>>, watches: Watches) {
        let name = name.into();
        self.with(|state| {
            let present = state.get(&name);
            state.topics.entry(name).or_default().set(watches, &present, &mut state.wakers);
        });
    }

    /// How many watches on a lease are open.
    pub fn watcher_count(&self, name: &str) -> usize {
        self.with(|state| state.topics.get(name).map_or(0, Topic::len))
    }

    pub(crate) fn apply(&self, name: &Arc<str>, request: &Request) -> Answer {
        self.with(|state| match request {
            Request::Get => state.get(name),
            Request::Create(record) => state.create(name, record).map(Some),
            Request::Update(seen, record) => state.update(name, seen, record).map(Some),
        })
    }

    pub(crate) fn with<R>(&self, act: impl FnOnce(&mut State) -> R) -> R {
        // Each change of the state is a single assignment at its end, so a panic elsewhere did no harm.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let result = act(&mut state);
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        result
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("revision", &self.revision()).field("names", &self.names()).finish()
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Snapshot(revision {}, {} leases)", self.0.revision, self.0.objects.len())
    }
}

impl State {
    pub(crate) fn get(&self, name: &str) -> Answer {
        match self.data.objects.get(name) {
            None => Ok(None),
            Some(object) if object.readable => Ok(Some(object.versioned())),
            Some(object) => Err(unreadable(name, Some(object.versioned()))),
        }
    }

    /// The closure is not ours: it runs on a copy, so that a panic in it leaves the store whole.
    pub(crate) fn edit(&mut self, name: &str, change: impl FnOnce(&mut LeaseRecord)) -> Option<Versioned> {
        let mut edited = self.data.objects.get(name)?.clone();
        change(&mut edited.record);
        edited.readable = true;
        Some(self.replace(name, edited))
    }

    pub(crate) fn edit_labels(&mut self, name: &str, change: impl FnOnce(&mut Labels)) -> Option<Versioned> {
        let mut edited = self.data.objects.get(name)?.clone();
        change(Arc::make_mut(&mut edited.labels));
        Some(self.replace(name, edited))
    }

    pub(crate) fn labels(&self, name: &str) -> Option<&Arc<Labels>> {
        Some(&self.data.objects.get(name)?.labels)
    }

    pub(crate) fn corrupt(&mut self, name: &str) -> bool {
        let Some(object) = self.data.objects.get(name).cloned() else { return false };
        self.replace(name, Object { readable: false, ..object });
        true
    }

    pub(crate) fn delete(&mut self, name: &str) -> bool {
        let existed = self.data.objects.remove(name).is_some();
        if existed {
            self.data.revision += 1;
            self.tell(name);
        }
        existed
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot(self.data.clone())
    }

    pub(crate) fn restore(&mut self, snapshot: &Snapshot) {
        self.data = snapshot.0.clone();
    }

    pub(crate) fn create(&mut self, name: &Arc<str>, record: &LeaseRecord) -> Result<Versioned, LockError> {
        if let Some(object) = self.data.objects.get(name) {
            return Err(conflict(format!("memory:{name} exists already, at version {}", object.revision)));
        }
        Ok(self.insert(name, record.clone()))
    }

    pub(crate) fn update(
        &mut self,
        name: &str,
        seen: &Versioned,
        record: &LeaseRecord,
    ) -> Result<Versioned, LockError> {
        let Some(object) = self.data.objects.get(name) else {
            return Err(conflict(format!("memory:{name} does not exist, and version {} is gone", seen.version)));
        };
        let kept = seen.attachment.downcast::<Kept>();
        if kept.is_some_and(|kept| kept.uid != object.uid) {
            return Err(conflict(format!("memory:{name} was deleted and made anew since version {}", seen.version)));
        }
        if object.version != seen.version {
            return Err(conflict(format!(
                "memory:{name} is at version {}, no longer at {}",
                object.revision, seen.version
            )));
        }
        let labels = kept.map(|kept| kept.labels.clone()).unwrap_or_default();
        let (version, attachment) = (object.version.clone(), object.attachment.clone());
        let replacement = Object { record: record.clone(), labels, readable: true, version, attachment, ..*object };
        Ok(self.replace(name, replacement))
    }

    fn insert(&mut self, name: &Arc<str>, record: LeaseRecord) -> Versioned {
        self.data.revision += 1;
        self.data.uid_last += 1;
        let (uid, revision) = (self.data.uid_last, self.data.revision);
        let (version, attachment) = (Version::new(""), Attachment::NONE);
        let labels = Arc::default();
        let mut object = Object { uid, revision, record, labels, readable: true, version, attachment };
        object.note_version();
        let versioned = object.versioned();
        self.data.objects.insert(name.clone(), object);
        self.tell(name);
        versioned
    }

    /// Puts a changed object in the place of the one that is there; an identical one keeps its version.
    fn replace(&mut self, name: &str, mut object: Object) -> Versioned {
        let stored = self.data.objects.get_mut(name).expect("the caller has just read this object");
        if stored.record == object.record && stored.labels == object.labels && stored.readable == object.readable {
            return stored.versioned();
        }
        self.data.revision += 1;
        object.revision = self.data.revision;
        object.note_version();
        let versioned = object.versioned();
        *stored = object;
        self.tell(name);
        versioned
    }

    fn tell(&mut self, name: &str) {
        if self.topics.contains_key(name) {
            let present = self.get(name);
            let topic = self.topics.get_mut(name).expect("it was there a line above");
            topic.tell(&present, &mut self.wakers);
        }
    }
}

impl Object {
    fn note_version(&mut self) {
        self.version = Version::new(self.revision.to_string());
        self.attachment = Attachment::new(Kept { uid: self.uid, labels: self.labels.clone() });
    }

    fn versioned(&self) -> Versioned {
        Versioned {
            record: if self.readable { self.record.clone() } else { LeaseRecord::default() },
            version: self.version.clone(),
            revision: Some(self.revision),
            attachment: self.attachment.clone(),
        }
    }
}

pub(crate) fn unreadable(name: &str, seen: Option<Versioned>) -> LockError {
    LockError::malformed(format!("memory:{name} holds a record that cannot be understood"), seen)
}

fn conflict(context: String) -> LockError {
    LockError::new(LockErrorKind::Conflict, context)
}
