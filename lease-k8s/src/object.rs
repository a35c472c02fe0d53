//! A Lease object as JSON, and the record in it.
//!
//! Everything that is not the record's is kept as the text it came in, so that fields this crate has never
//! heard of survive, and a renewal does not build trees of values. The fields and their meaning are client-go's
//! (`tools/leaderelection/resourcelock/leaselock.go`); where it takes anything, so do we: what a Lease does not
//! say is zero or none. A field that it could not decode makes the record malformed; what has no version or uid is no
//! Lease at all, and says nothing of the record.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::time::Duration;

use lease_core::{Attachment, HandoverRequest, HolderIdentity, LeaseRecord, TermMark, Timestamp, Version, Versioned};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::Serialize;
use serde_json::value::RawValue;

use crate::K8sError;

/// The name of an annotation of ours.
macro_rules! annotation {
    ($name:literal) => {
        concat!("lease-election.internal/", $name)
    };
}

/// What the annotations begin with that hold what a Lease has no field for.
///
/// An annotation's prefix must be a DNS name. `internal` is the top-level domain that ICANN has set aside for
/// private use (resolution 2024.07.29.06), so this one is nobody else's.
pub const ANNOTATION_PREFIX: &str = annotation!("");

/// What was found in an object.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) created: Option<Timestamp>,
    pub(crate) versioned: Versioned,
    /// What could not be read, when something could not.
    pub(crate) problem: Option<String>,
}

/// What a write must send back: the attachment of what was read.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) uid: String,
    annotations: BTreeMap<String, String>,
    metadata: KeptMembers,
    spec: KeptMembers,
    top: KeptMembers,
}

/// Members of a JSON object, in their order, with their values as text: where they lie in what was received, because
/// most of them are not kept.
#[derive(Debug, Default)]
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// The members that are.
type KeptMembers = Vec<(String, Box<RawValue>)>;

/// What has no `resourceVersion` and `uid`, or is no JSON object with metadata: nothing to build a write on.
#[derive(Debug)]
pub(crate) struct NoLease(pub(crate) String);

/// Reads a Lease object.
pub(crate) fn decode(json: &[u8]) -> Result<Found, NoLease> {
    let mut top: Members<'_> = serde_json::from_slice(json).map_err(|error| NoLease(error.to_string()))?;
    let mut problems = Problems::default();
    top.forget("apiVersion");
    top.forget("kind");
    let mut metadata: Members<'_> = top.take("metadata", &mut problems).unwrap_or_default();
    let version: String = metadata.take("resourceVersion", &mut problems).unwrap_or_default();
    let uid: String = metadata.take("uid", &mut problems).unwrap_or_default();
    if version.is_empty() || uid.is_empty() {
        return Err(NoLease("metadata.resourceVersion or metadata.uid is missing".to_owned()));
    }
    // The list of who wrote which field is the server's own. Sent back, it would be half the traffic.
    metadata.forget("managedFields");
    let name = metadata.take("name", &mut problems).unwrap_or_default();
    let namespace = metadata.take("namespace", &mut problems).unwrap_or_default();
    let created = metadata.time("creationTimestamp");
    let mut annotations: BTreeMap<String, String> = metadata.take("annotations", &mut problems).unwrap_or_default();
    let mut spec: Members<'_> = top.take("spec", &mut problems).unwrap_or_default();
    let mut record = record_of_spec(&mut spec, &mut problems);
    read_annotations(&mut record, &mut annotations, &mut problems);
    let revision = revision(&version);
    let kept = Kept { uid, annotations, metadata: metadata.kept(), spec: spec.kept(), top: top.kept() };
    let versioned = Versioned { record, version: Version::new(version), revision, attachment: Attachment::new(kept) };
    Ok(Found { namespace, name, created, versioned, problem: problems.0 })
}

fn record_of_spec(spec: &mut Members<'_>, problems: &mut Problems) -> LeaseRecord {
    let seconds: i32 = spec.take("leaseDurationSeconds", problems).unwrap_or_default();
    let transitions: i32 = spec.take("leaseTransitions", problems).unwrap_or_default();
    let holder: Option<String> = spec.take("holderIdentity", problems);
    let strategy: Option<String> = spec.take("strategy", problems);
    LeaseRecord {
        holder: holder.as_deref().and_then(HolderIdentity::from_record),
        lease_duration: Duration::from_secs(u64::try_from(seconds).unwrap_or_default()),
        acquire_time: spec.take("acquireTime", problems),
        renew_time: spec.take("renewTime", problems),
        transitions: u32::try_from(transitions).unwrap_or_default(),
        strategy: strategy.filter(|strategy| !strategy.is_empty()).map(Into::into),
        ..LeaseRecord::default()
    }
}

/// A mark or a request that cannot be read fits no term, so it is as good as none. An epoch guards against tokens
/// of a store that went back, so one that cannot be read must not pass for 0.
fn read_annotations(record: &mut LeaseRecord, annotations: &mut BTreeMap<String, String>, problems: &mut Problems) {
    let mut take = |name: &str| annotations.remove(name);
    if let Some(text) = take(EPOCH) {
        match text.parse() {
            Ok(epoch) => record.epoch = epoch,
            Err(_) => problems.add(format_args!("annotation {EPOCH} {text:?} is not an epoch")),
        }
    }
    record.acquired = take(ACQUIRED).and_then(|text| TermMark::parse(&text));
    record.released = take(RELEASED).and_then(|text| TermMark::parse(&text));
    record.successor = take(SUCCESSOR).filter(|text| !text.is_empty()).map(Into::into);
    record.request = take(HANDOVER).and_then(|text| serde_json::from_str(&text).ok()).map(std::sync::Arc::new);
}

/// Writes the object that stores this record.
///
/// With what was `kept` and the version of a read, it replaces that very object; without, it creates.
pub(crate) fn encode(
    namespace: &str,
    name: &str,
    record: &LeaseRecord,
    seen: Option<(&Kept, &Version)>,
) -> Result<Vec<u8>, K8sError> {
    let seconds = whole_seconds(record.lease_duration)?;
    for time in [record.acquire_time, record.renew_time].into_iter().flatten() {
        if !time.to_string().ends_with('Z') {
            return Err(K8sError::TimeRange { time });
        }
    }
    let mut json = JsonWriter::default();
    json.open();
    json.member("apiVersion", "coordination.k8s.io/v1");
    json.member("kind", "Lease");
    json.key("metadata");
    json.open();
    json.member("name", name);
    json.member("namespace", namespace);
    if let Some((kept, version)) = seen {
        json.member("uid", &kept.uid);
        json.member("resourceVersion", version.as_str());
        json.members(&kept.metadata);
    }
    write_annotations(&mut json, record, seen.map(|(kept, _)| &kept.annotations));
    json.close();
    json.key("spec");
    json.open();
    write_spec(&mut json, record, seconds);
    if let Some((kept, _)) = seen {
        json.members(&kept.spec);
    }
    json.close();
    if let Some((kept, _)) = seen {
        json.members(&kept.top);
    }
    json.close();
    Ok(json.0)
}

fn write_spec(json: &mut JsonWriter, record: &LeaseRecord, seconds: i32) {
    // Nobody is the empty string, as client-go writes it when it releases.
    json.member("holderIdentity", record.holder.as_ref().map_or("", HolderIdentity::as_str));
    json.member("leaseDurationSeconds", &seconds);
    if let Some(time) = &record.acquire_time {
        json.member("acquireTime", time);
    }
    if let Some(time) = &record.renew_time {
        json.member("renewTime", time);
    }
    json.member("leaseTransitions", &record.transitions.min(LeaseRecord::TRANSITIONS_MAX));
    if let Some(strategy) = &record.strategy {
        json.member("strategy", &**strategy);
    }
}

fn write_annotations(json: &mut JsonWriter, record: &LeaseRecord, foreign: Option<&BTreeMap<String, String>>) {
    json.key("annotations");
    json.open();
    for (key, value) in foreign.into_iter().flatten() {
        json.member(key, value);
    }
    let mut own = |name: &str, value: &str| json.member(name, value);
    if record.epoch > 0 {
        own(EPOCH, &record.epoch.to_string());
    }
    if let Some(mark) = &record.acquired {
        own(ACQUIRED, &mark.to_string());
    }
    if let Some(mark) = &record.released {
        own(RELEASED, &mark.to_string());
    }
    if let Some(successor) = &record.successor {
        own(SUCCESSOR, successor);
    }
    if let Some(request) = &record.request {
        own(HANDOVER, &handover_json(request));
    }
    json.close();
}

fn handover_json(request: &HandoverRequest) -> String {
    serde_json::to_string(request).expect("a struct of strings and a flag is always written")
}

/// What a Lease cannot hold is refused, never truncated: client-go's truncation lets a live 1.9 s lease be stolen.
fn whole_seconds(duration: Duration) -> Result<i32, K8sError> {
    if duration.subsec_nanos() != 0 {
        return Err(K8sError::SubSecondDuration { duration });
    }
    match i32::try_from(duration.as_secs()) {
        Ok(seconds) if seconds > 0 => Ok(seconds),
        _ => Err(K8sError::DurationRange { duration }),
    }
}

/// The number that a resource version is, when it is one: decimal digits without a leading zero, as
/// `apimachinery` `util/resourceversion` has it, and of at most 128 bits.
pub(crate) fn revision(version: &str) -> Option<u128> {
    let decimal = !version.starts_with('0') && version.bytes().all(|byte| byte.is_ascii_digit());
    decimal.then(|| version.parse().ok()).flatten()
}

/// What could not be read so far, as one line.
#[derive(Default)]
struct Problems(Option<String>);

impl Problems {
    fn add(&mut self, problem: fmt::Arguments<'_>) {
        match &mut self.0 {
            None => self.0 = Some(problem.to_string()),
            Some(line) => write!(line, "; {problem}").expect("writing to a string does not fail"),
        }
    }
}

impl<'a> Members<'a> {
    /// Removes a member and reads it. None when it is absent, null, or (with a problem) something else.
    fn take<T: Deserialize<'a>>(&mut self, key: &str, problems: &mut Problems) -> Option<T> {
        let text = self.remove(key)?;
        serde_json::from_str(text.get()).unwrap_or_else(|error| {
            problems.add(format_args!("{key}: {error}"));
            None
        })
    }

    /// A time that is kept where it is; none when it cannot be read.
    fn time(&self, key: &str) -> Option<Timestamp> {
        let (_, text) = self.0.iter().find(|(name, _)| name == key)?;
        serde_json::from_str(text.get()).ok()
    }

    fn forget(&mut self, key: &str) {
        self.remove(key);
    }

    /// Of a member that is there more than once the last counts, as in Go.
    fn remove(&mut self, key: &str) -> Option<&'a RawValue> {
        let mut found = None;
        while let Some(at) = self.0.iter().position(|(name, _)| name == key) {
            found = Some(self.0.remove(at).1);
        }
        found
    }

    fn kept(self) -> KeptMembers {
        self.0.into_iter().map(|(key, value)| (key.into_owned(), value.to_owned())).collect()
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

        struct AsMap;

        impl<'de> Visitor<'de> for AsMap {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::with_capacity(MEMBERS_TYPICAL);
                while let Some((Key(key), value)) = map.next_entry()? {
                    members.push((key, value));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(AsMap)
    }
}

/// JSON text in the making. Every `open` has its `close`.
struct JsonWriter(Vec<u8>);

impl Default for JsonWriter {
    fn default() -> Self {
        Self(Vec::with_capacity(ENCODED_BYTES_TYPICAL))
    }
}

impl JsonWriter {
    fn open(&mut self) {
        self.0.push(b'{');
    }

    fn close(&mut self) {
        self.0.push(b'}');
    }

    fn key(&mut self, key: &str) {
        if self.0.last() != Some(&b'{') {
            self.0.push(b',');
        }
        self.value(key);
        self.0.push(b':');
    }

    fn member<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) {
        self.key(key);
        self.value(value);
    }

    fn members(&mut self, members: &KeptMembers) {
        for (key, value) in members {
            self.member(key, value);
        }
    }

    fn value<T: Serialize + ?Sized>(&mut self, value: &T) {
        serde_json::to_writer(&mut self.0, value).expect("strings, numbers and JSON text are always written");
    }
}

const EPOCH: &str = annotation!("epoch");
const ACQUIRED: &str = annotation!("acquired");
const RELEASED: &str = annotation!("released");
const SUCCESSOR: &str = annotation!("successor");
const HANDOVER: &str = annotation!("handover");
const MEMBERS_TYPICAL: usize = 8;
const ENCODED_BYTES_TYPICAL: usize = 768;
