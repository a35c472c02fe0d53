//! Locks that break one promise each, in front of the sound one.
//!
//! What a fault changes is either what gets written, what is told of it, or how the two requests of one
//! write interleave; the yields below stand for the network between them.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use futures_util::StreamExt;
use lease_core::{
    Attachment, Constraints, HandoverRequest, HolderIdentity, LeaseRecord, LockError, LockErrorKind, ResourceLock,
    TermMark, Timestamp, Version, Versioned, WatchEvent, WatchLock,
};
use lease_memory::MemoryLock;
use tokio::task::yield_now;

/// What a lock does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing: the wrapper itself is sound.
    None,
    AbsentReadsAsAnEmptyRecord,
    AbsentIsAnError,
    CreateAnswersWithAnEmptyRecord,
    CreateOverwrites,
    CreateOverwritesItsOwnHolder,
    CreateChecksBeforeItWrites,
    UpdateAnswersWithTheOldVersion,
    UpdateComparesNothing,
    UpdateComparesOnlyTheLatestTwoVersions,
    UpdateComparesOnlyContent,
    UpdateChecksBeforeItWrites,
    UpdateRecreatesADeletedLease,
    UpdateDropsForeignFields,
    UpdatePutsBackForeignFields,
    RenewalKeepsTheVersion,
    AnswersGoToTheWrongRacer,
    ReadsRecordAndVersionApart,
    DroppedRequestsKeepTheirConnection,
    IdentitiesAreCutTo255Bytes,
    IdentitiesAreAscii,
    MarksAreSplitAtTheFirstSlash,
    FractionsOfDurationsAreCut,
    FractionsOfDurationsAreCutWhereTheyShouldBeRefused,
    Forgets(Field),
    ClearedFieldsStay,
    TransitionsHave16Bits,
    AcquireTimesAreWholeSeconds,
    ReleaseKeepsTheHolder,
    RenewTimesAreMilliseconds,
    NoRevisions,
    RenewalKeepsTheRevision,
    TakeoverKeepsTheRevision,
    CreationRestartsTheRevision,
    ReadsShowTheRevisionOfTheStore,
    LostCreateIsUnavailable,
    LostUpdateIsUnavailable,
    LostUpdateIsSentAgain,
    UnreadableReadsAsNone,
    UnreadableHasNoVersion,
    WatchEnds,
    WatchIsMute,
    WatchStartsInSilence,
    WatchSkipsEveryThirdChange,
    WatchSkipsDeletions,
}

/// A field of a record that can be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Acquired,
    Released,
    Successor,
    Request,
    RequestDraining,
    RequestSuccessor,
    Epoch,
}

/// A lock with a fault.
pub(crate) struct Broken {
    inner: MemoryLock,
    fault: Fault,
    shared: Arc<Shared>,
    /// How far this handle is from the store, in yields.
    distance: u32,
    /// Connections that are in use, or were when their request was dropped.
    busy: AtomicU32,
}

/// What the handles on a store's leases keep together, where a sound lock keeps nothing.
#[derive(Default)]
pub(crate) struct Shared {
    handles: AtomicU32,
    told: Mutex<Told>,
}

/// What the locks pretend, by the version in the store.
#[derive(Default)]
struct Told {
    written: HashSet<String>,
    versions: HashMap<Version, Version>,
    revisions: HashMap<Version, u128>,
    /// The writes that are still to be answered, by the version they were built on; true once another took the answer.
    answers: HashMap<Version, bool>,
}

impl Broken {
    pub(crate) fn new(inner: MemoryLock, fault: Fault, shared: Arc<Shared>) -> Self {
        let distance = shared.handles.fetch_add(1, Ordering::Relaxed) % 2 * 3;
        Self { inner, fault, shared, distance, busy: AtomicU32::new(0) }
    }

    fn told<R>(&self, act: impl FnOnce(&mut Told) -> R) -> R {
        act(&mut self.shared.told.lock().expect("no test panics while it holds this"))
    }

    /// What this lock says of what is in the store.
    fn tell(&self, mut found: Versioned) -> Versioned {
        self.told(|told| {
            if let Some(revision) = told.revisions.get(&found.version) {
                found.revision = Some(*revision);
            }
            if let Some(version) = told.versions.get(&found.version) {
                found.version = version.clone();
            }
        });
        if self.fault == Fault::NoRevisions {
            found.revision = None;
        }
        found
    }

    /// The version in the store that is meant by one that this lock told: the latest that it told so.
    fn meant(&self, seen: &Versioned) -> Versioned {
        let number = |version: &Version| version.as_str().parse::<u128>().unwrap_or(0);
        let version = self.told(|told| {
            let same = told.versions.iter().filter(|(_, told)| **told == seen.version).map(|(stored, _)| stored);
            same.chain([&seen.version]).max_by_key(|version| number(version)).cloned()
        });
        Versioned { version: version.expect("there is one at least"), ..seen.clone() }
    }

    /// Keeps in mind what shall be told of a write.
    fn note(&self, seen: Option<&Versioned>, written: &Versioned) {
        self.told(|told| {
            told.written.insert(self.inner.name().to_owned());
            let renewal = seen.is_some_and(|seen| seen.record.holder == written.record.holder);
            let takeover = seen.is_some_and(|seen| seen.record.holder != written.record.holder);
            let before = |seen: &Versioned| told.revisions.get(&seen.version).copied().or(seen.revision);
            let revision = match self.fault {
                Fault::RenewalKeepsTheRevision if renewal => seen.and_then(before),
                Fault::TakeoverKeepsTheRevision if takeover => seen.and_then(before),
                Fault::CreationRestartsTheRevision => Some(seen.and_then(before).map_or(1, |before| before + 1)),
                _ => None,
            };
            told.revisions.extend(revision.map(|revision| (written.version.clone(), revision)));
            if let (Fault::RenewalKeepsTheVersion, Some(seen)) = (self.fault, seen)
                && renewed(&seen.record, written.record.renew_time) == written.record
            {
                let version = told.versions.get(&seen.version).unwrap_or(&seen.version).clone();
                told.versions.insert(written.version.clone(), version);
            }
        });
    }

    /// What gets written in place of a record.
    fn mangle(&self, record: &LeaseRecord, before: Option<&LeaseRecord>) -> LeaseRecord {
        let mut record = record.clone();
        match self.fault {
            Fault::IdentitiesAreCutTo255Bytes => change_holder(&mut record, |name| name.chars().take(255).collect()),
            Fault::IdentitiesAreAscii => change_holder(&mut record, |name| name.replace(|c: char| !c.is_ascii(), "?")),
            Fault::MarksAreSplitAtTheFirstSlash => {
                let first = |identity: HolderIdentity| {
                    identity.as_str().split('/').next().and_then(HolderIdentity::from_record)
                };
                record.acquired =
                    record.acquired.and_then(|mark| Some(TermMark { identity: first(mark.identity)?, ..mark }));
            }
            Fault::FractionsOfDurationsAreCut | Fault::FractionsOfDurationsAreCutWhereTheyShouldBeRefused => {
                record.lease_duration = Duration::from_secs(record.lease_duration.as_secs());
            }
            Fault::Forgets(field) => forget(&mut record, field),
            Fault::ClearedFieldsStay => {
                let before = before.cloned().unwrap_or_default();
                record.successor = record.successor.or(before.successor);
                record.request = record.request.or(before.request);
            }
            Fault::TransitionsHave16Bits => record.transitions = record.transitions.min(0xffff),
            Fault::AcquireTimesAreWholeSeconds => {
                record.acquire_time = record.acquire_time.map(|time| cut(time, 1_000_000));
            }
            Fault::ReleaseKeepsTheHolder => {
                record.holder = record.holder.or(before.and_then(|before| before.holder.clone()));
            }
            Fault::RenewTimesAreMilliseconds => record.renew_time = record.renew_time.map(|time| cut(time, 1_000)),
            _ => {}
        }
        record
    }

    async fn read(&self) -> Result<Option<Versioned>, LockError> {
        let found = self.inner.get().await;
        match (self.fault, found) {
            (Fault::AbsentReadsAsAnEmptyRecord, Ok(None)) if self.is_untouched() => Ok(Some(nothing())),
            (Fault::AbsentIsAnError, Ok(None)) if self.is_untouched() => Err(failure(LockErrorKind::NotFound)),
            (Fault::ReadsRecordAndVersionApart, Ok(Some(first))) => {
                pause(self.distance).await;
                let second = self.inner.get().await?;
                Ok(second.map(|second| Versioned { record: first.record, ..second }))
            }
            (Fault::ReadsShowTheRevisionOfTheStore, Ok(Some(found))) => {
                Ok(Some(Versioned { revision: Some(self.inner.store().revision()), ..found }))
            }
            (Fault::UnreadableReadsAsNone, Err(error)) if error.kind() == LockErrorKind::Malformed => Ok(None),
            (Fault::UnreadableHasNoVersion, Err(error)) if error.kind() == LockErrorKind::Malformed => {
                Err(LockError::malformed("broken on purpose", None))
            }
            (_, found) => found,
        }
    }

    async fn insert(&self, record: &LeaseRecord) -> Result<Versioned, LockError> {
        let found = self.stored();
        match (self.fault, found) {
            (Fault::CreateOverwrites, Some(found)) => self.inner.update(&found, record).await,
            (Fault::CreateOverwritesItsOwnHolder, Some(found)) if found.record.holder == record.holder => {
                self.inner.update(&found, record).await
            }
            (Fault::CreateChecksBeforeItWrites, None) => {
                yield_now().await;
                match self.stored() {
                    None => self.inner.create(record).await,
                    Some(found) => self.inner.update(&found, record).await,
                }
            }
            _ => self.inner.create(record).await,
        }
    }

    async fn replace(&self, seen: &Versioned, record: &LeaseRecord) -> Result<Versioned, LockError> {
        let found = self.stored();
        let stale = found.as_ref().is_some_and(|found| found.version != seen.version);
        match (self.fault, found) {
            (Fault::UpdateRecreatesADeletedLease, None) => self.inner.create(record).await,
            (Fault::UpdateComparesNothing, Some(found)) => self.inner.update(&found, record).await,
            (Fault::UpdateComparesOnlyTheLatestTwoVersions, Some(found)) if is_far_behind(seen, &found) => {
                self.inner.update(&found, record).await
            }
            (Fault::UpdateComparesOnlyContent, Some(found)) if found.record == seen.record => {
                self.inner.update(&found, record).await
            }
            (Fault::UpdatePutsBackForeignFields, Some(found)) if found.record == seen.record => {
                self.inner.update(&Versioned { version: found.version, ..seen.clone() }, record).await
            }
            (Fault::UpdateChecksBeforeItWrites, Some(_)) if !stale => {
                yield_now().await;
                self.inner.update(&self.stored().unwrap_or_else(|| seen.clone()), record).await
            }
            (Fault::UpdateDropsForeignFields, _) => {
                self.inner.update(&Versioned { attachment: Attachment::NONE, ..seen.clone() }, record).await
            }
            (Fault::AnswersGoToTheWrongRacer, _) => self.replace_and_mix_up(seen, record).await,
            (Fault::LostUpdateIsSentAgain, _) => match self.inner.update(seen, record).await {
                Err(error) if error.kind() == LockErrorKind::Unknown => self.inner.update(seen, record).await,
                answer => answer,
            },
            _ => self.inner.update(seen, record).await,
        }
    }

    /// The writer that wins is told that it lost, when another lost meanwhile, which is told that it won.
    async fn replace_and_mix_up(&self, seen: &Versioned, record: &LeaseRecord) -> Result<Versioned, LockError> {
        let key = seen.version.clone();
        let answer = self.inner.update(seen, record).await;
        match answer {
            Ok(written) => {
                self.told(|told| told.answers.insert(key.clone(), false));
                pause(3).await;
                let taken = self.told(|told| told.answers.remove(&key)).unwrap_or(false);
                if taken { Err(failure(LockErrorKind::Conflict)) } else { Ok(written) }
            }
            Err(error) => {
                let waiting =
                    |told: &mut Told| told.answers.get_mut(&key).is_some_and(|taken| !std::mem::replace(taken, true));
                let written = self.inner.get().await?.filter(|_| self.told(waiting));
                written.map(|written| Versioned { record: record.clone(), ..written }).ok_or(error)
            }
        }
    }

    /// Takes one of a few connections for as long as a request runs; a dropped request never gives it back.
    async fn connect(&self) {
        if self.fault != Fault::DroppedRequestsKeepTheirConnection {
            return;
        }
        if self.busy.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
            std::future::pending::<()>().await;
        }
        pause(100).await;
        self.busy.fetch_sub(1, Ordering::Relaxed);
    }

    /// What is in the store, past the script of the handle.
    fn stored(&self) -> Option<Versioned> {
        self.inner.store().read(self.inner.name())
    }

    fn is_untouched(&self) -> bool {
        self.told(|told| !told.written.contains(self.inner.name()))
    }
}

#[async_trait]
impl ResourceLock for Broken {
    fn constraints(&self) -> Constraints {
        match self.fault {
            Fault::FractionsOfDurationsAreCutWhereTheyShouldBeRefused => Constraints::WHOLE_SECONDS,
            _ => self.inner.constraints(),
        }
    }

    async fn get(&self) -> Result<Option<Versioned>, LockError> {
        self.connect().await;
        Ok(self.read().await?.map(|found| self.tell(found)))
    }

    async fn create(&self, record: &LeaseRecord) -> Result<Versioned, LockError> {
        self.connect().await;
        let written = match (self.fault, self.insert(&self.mangle(record, None)).await) {
            (Fault::LostCreateIsUnavailable, Err(error)) if error.kind() == LockErrorKind::Unknown => {
                return Err(failure(LockErrorKind::Unavailable));
            }
            (_, answer) => answer?,
        };
        self.note(None, &written);
        let told = self.tell(written);
        match self.fault {
            Fault::CreateAnswersWithAnEmptyRecord => Ok(Versioned { record: LeaseRecord::default(), ..told }),
            _ => Ok(told),
        }
    }

    async fn update(&self, seen: &Versioned, record: &LeaseRecord) -> Result<Versioned, LockError> {
        self.connect().await;
        let meant = self.meant(seen);
        let written = match (self.fault, self.replace(&meant, &self.mangle(record, Some(&seen.record))).await) {
            (Fault::LostUpdateIsUnavailable, Err(error)) if error.kind() == LockErrorKind::Unknown => {
                return Err(failure(LockErrorKind::Unavailable));
            }
            (_, answer) => answer?,
        };
        self.note(Some(&meant), &written);
        let told = self.tell(written);
        match self.fault {
            Fault::UpdateAnswersWithTheOldVersion => Ok(Versioned { version: seen.version.clone(), ..told }),
            _ => Ok(told),
        }
    }
}

impl WatchLock for Broken {
    fn watch(&self) -> BoxStream<'static, WatchEvent> {
        let (fault, mut ready, mut changes) = (self.fault, false, 0);
        let honest = self.inner.watch();
        let told = honest.filter(move |event| {
            let tell = match event {
                WatchEvent::Changed(_) | WatchEvent::Deleted if !ready => fault != Fault::WatchStartsInSilence,
                WatchEvent::Changed(_) => {
                    changes += 1;
                    fault != Fault::WatchSkipsEveryThirdChange || changes % 3 != 0
                }
                WatchEvent::Deleted => fault != Fault::WatchSkipsDeletions,
                WatchEvent::Ready | WatchEvent::Lost(_) => true,
            };
            ready |= matches!(event, WatchEvent::Ready);
            std::future::ready(tell)
        });
        match fault {
            Fault::WatchEnds => Box::pin(futures_util::stream::empty()),
            Fault::WatchIsMute => Box::pin(futures_util::stream::pending()),
            Fault::NoRevisions => Box::pin(told.map(|event| match event {
                WatchEvent::Changed(told) => WatchEvent::Changed(Versioned { revision: None, ..told }),
                event => event,
            })),
            _ => Box::pin(told),
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.inner, f)
    }
}

impl fmt::Debug for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Broken({}, {:?})", self.inner, self.fault)
    }
}

fn forget(record: &mut LeaseRecord, field: Field) {
    let change = |request: &mut Option<Arc<HandoverRequest>>, change: fn(&mut HandoverRequest)| {
        if let Some(request) = request {
            change(Arc::make_mut(request));
        }
    };
    match field {
        Field::Acquired => record.acquired = None,
        Field::Released => record.released = None,
        Field::Successor => record.successor = None,
        Field::Request => record.request = None,
        Field::RequestDraining => change(&mut record.request, |request| request.draining = false),
        Field::RequestSuccessor => change(&mut record.request, |request| request.successor = None),
        Field::Epoch => record.epoch = 0,
    }
}

fn change_holder(record: &mut LeaseRecord, change: impl Fn(&str) -> String) {
    record.holder = record.holder.take().and_then(|holder| HolderIdentity::from_record(&change(holder.as_str())));
}

fn renewed(record: &LeaseRecord, renew_time: Option<Timestamp>) -> LeaseRecord {
    LeaseRecord { renew_time, ..record.clone() }
}

fn cut(time: Timestamp, unit_us: i64) -> Timestamp {
    Timestamp::from_unix_micros(time.unix_micros() / unit_us * unit_us)
}

/// Whether a version is older than the one before the present one.
fn is_far_behind(seen: &Versioned, found: &Versioned) -> bool {
    // The suite makes a lease anew with the very record that it had, which is another fault's case.
    let revisions = seen.revision.zip(found.revision);
    revisions.is_some_and(|(seen, found)| found >= seen + 2) && seen.record != found.record
}

fn nothing() -> Versioned {
    let record = LeaseRecord::default();
    Versioned { record, version: Version::new("0"), revision: Some(0), attachment: Attachment::NONE }
}

fn failure(kind: LockErrorKind) -> LockError {
    LockError::new(kind, "broken on purpose")
}

async fn pause(yields: u32) {
    for _ in 0..yields {
        yield_now().await;
    }
}

const CONNECTIONS_MAX: u32 = 8;
