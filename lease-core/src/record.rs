//! What a lock stores, and the names and versions around it.
//!
//! The fields of [`LeaseRecord`] and their meaning are those of client-go's leader election, so that Go
//! and Rust candidates can share one Kubernetes Lease. Everything that a machine copies in its steady
//! state is cheap to clone: no allocation.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Who holds a lease: a candidate's name, unique to one start of one process unless made by [`exact`].
///
/// [`exact`]: HolderIdentity::exact
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HolderIdentity(Arc<str>);

/// Why a name cannot be a holder identity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The name is empty, which in a record means that nobody holds it.
    #[error("identity is empty; give each replica a name, such as its host's")]
    Empty,
    /// The name is too long for some backend.
    #[error("identity of {length} bytes is longer than {max} bytes")]
    TooLong {
        /// Its length in bytes.
        length: usize,
        /// The longest that is accepted.
        max: usize,
    },
    /// The name has a character that would corrupt a terminal or a log.
    #[error("identity {identity:?} contains the control character {character:?}")]
    ControlCharacter {
        /// The name.
        identity: String,
        /// Its first control character.
        character: char,
    },
}

impl HolderIdentity {
    /// The longest name that is accepted from a candidate, in bytes.
    pub const LENGTH_MAX: usize = 512;

    /// `name` with a random suffix, `name_0a1b2c3d4e`: the identity of this start of this process.
    ///
    /// Two processes that were given the same name, and a process and its predecessor, stay two holders.
    ///
    /// # Panics
    /// When the operating system has no randomness to give.
    pub fn unique(name: &str) -> Result<Self, IdentityError> {
        let suffix = getrandom::u64().expect("the operating system gives random numbers") >> 24;
        Self::exact(&format!("{name}_{suffix:010x}"))
    }

    /// Exactly `name`, the same at each start.
    ///
    /// Two live processes with one identity cannot be told apart by people, and only by their writes'
    /// times by each other: whoever notices the other ends its term as an identity conflict. A restarted
    /// process still waits for its own former lease to run out, because identity never grants authority.
    /// Prefer [`HolderIdentity::unique`].
    pub fn exact(name: &str) -> Result<Self, IdentityError> {
        if name.is_empty() {
            return Err(IdentityError::Empty);
        }
        if name.len() > Self::LENGTH_MAX {
            return Err(IdentityError::TooLong { length: name.len(), max: Self::LENGTH_MAX });
        }
        if let Some(character) = name.chars().find(|c| c.is_control()) {
            return Err(IdentityError::ControlCharacter { identity: name.to_owned(), character });
        }
        Ok(Self(name.into()))
    }

    /// The identity that a record shows, whatever it is; none when it is empty.
    ///
    /// Other programs write records too, so nothing is refused here.
    pub fn from_record(holder: &str) -> Option<Self> {
        (!holder.is_empty()).then(|| Self(holder.into()))
    }

    /// The whole identity, with its suffix, unescaped.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name before the last `_`, or the whole when there is none: what people call the candidate.
    pub fn name(&self) -> &str {
        self.0.rsplit_once('_').map_or(&*self.0, |(name, _)| name)
    }

    /// Whether `wanted` is this identity or the name before its suffix.
    pub fn is_called(&self, wanted: &str) -> bool {
        self.as_str() == wanted || self.name() == wanted
    }
}

/// Control characters are escaped, because anybody may have written the record.
impl fmt::Display for HolderIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.chars().any(char::is_control) { write!(f, "{}", self.0.escape_debug()) } else { f.pad(&self.0) }
    }
}

impl fmt::Debug for HolderIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// Names one term of one holder: its identity and the record's count of transitions.
///
/// Each acquisition and each release of ours leaves one beside the record. A client-go peer can erase
/// another's record with a release of its own, but it cannot leave a fitting mark.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TermMark {
    /// Who held.
    pub identity: HolderIdentity,
    /// The record's transitions during that term.
    pub transitions: u32,
}

/// `identity/transitions`, unescaped: the form in which backends store it.
impl fmt::Display for TermMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.identity.as_str(), self.transitions)
    }
}

impl TermMark {
    /// Reads what [`Display`](fmt::Display) writes; nothing for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let (identity, transitions) = text.rsplit_once('/')?;
        Some(Self { identity: HolderIdentity::from_record(identity)?, transitions: transitions.parse().ok()? })
    }
}

/// What an operator asks of the holder: to drain, and to release the lease to somebody else.
///
/// It names the term it is meant for and is void for any other.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HandoverRequest {
    /// The holder that is asked.
    pub holder: HolderIdentity,
    /// The start of the term that is asked to end.
    pub acquire_time: Timestamp,
    /// Who should lead next, an identity or the name before its suffix; none for anyone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<Arc<str>>,
    /// Set by the holder as its answer: it has seen the request and is draining.
    #[serde(default)]
    pub draining: bool,
}

/// The record of a lease: who holds it, since when, and for how long after each renewal.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LeaseRecord {
    /// The holder; none after a release, before the first acquisition, or when somebody emptied it.
    #[serde(rename = "holderIdentity")]
    pub holder: Option<HolderIdentity>,
    /// How long after the last renewal the others wait; zero when the record does not say.
    pub lease_duration: Duration,
    /// When the holder acquired it, kept while it renews.
    pub acquire_time: Option<Timestamp>,
    /// When the holder last renewed it. Every attempt to write has its own.
    pub renew_time: Option<Timestamp>,
    /// How many acquisitions there were; saturates at the largest value that Kubernetes can store.
    pub transitions: u32,
    /// The epoch of the tokens, raised by an operator after the store was restored from a backup.
    pub epoch: u32,
    /// The mark of the latest acquisition by a candidate of ours.
    pub acquired: Option<TermMark>,
    /// The mark of the latest release by a candidate of ours, kept by whoever acquired the lease upon it.
    pub released: Option<TermMark>,
    /// Whom the last holder released it to; the others hold back for one retry period.
    pub successor: Option<Arc<str>>,
    /// What an operator asks of the holder.
    pub request: Option<Arc<HandoverRequest>>,
    /// The strategy of Kubernetes' coordinated election. A record with one is not contended for.
    pub strategy: Option<Arc<str>>,
}

impl LeaseRecord {
    /// The largest count of transitions: a Lease stores it as a signed 32-bit number.
    pub const TRANSITIONS_MAX: u32 = i32::MAX as u32;

    /// Whether `identity` is the holder.
    pub fn is_held_by(&self, identity: &HolderIdentity) -> bool {
        self.holder.as_ref() == Some(identity)
    }

    /// Whether this record was never held: a fresh object that somebody made by hand. One that was emptied by hand still
    /// bears the marks of its terms.
    pub fn is_untouched(&self) -> bool {
        self.holder.is_none() && self.renew_time.is_none() && self.acquired.is_none() && self.released.is_none()
    }
}

/// A backend's version of a record: opaque, good for nothing but equality.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Version(Arc<str>);

impl Version {
    /// The version that the backend calls `text`.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// As the backend wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

/// What a backend wants to keep from a read until the write that builds on it: an object's uid, labels
/// and fields that are not ours. Nobody but the backend looks inside.
#[derive(Clone, Default)]
pub struct Attachment(Option<Arc<dyn Any + Send + Sync>>);

impl Attachment {
    /// Nothing to keep.
    pub const NONE: Self = Self(None);

    /// Keeps `value`.
    pub fn new<T: Any + Send + Sync>(value: T) -> Self {
        Self(Some(Arc::new(value)))
    }

    /// What was kept, when it is a `T`.
    pub fn downcast<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.0.as_ref()?.downcast_ref()
    }
}

impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Attachment(..)" } else { "Attachment(none)" })
    }
}

/// A record as it was stored at one version.
///
/// Equality and hash leave the attachment out: it is a function of the version.
#[derive(Clone, Debug)]
pub struct Versioned {
    /// The record.
    pub record: LeaseRecord,
    /// Its version, for the compare of the next write.
    pub version: Version,
    /// The store's order of writes, where it has one: greater is later. It must belong to the write that
    /// made this version, so that it can be a fencing token.
    pub revision: Option<u128>,
    /// What the backend keeps for its next write.
    pub attachment: Attachment,
}

impl PartialEq for Versioned {
    fn eq(&self, other: &Self) -> bool {
        self.version == other.version && self.revision == other.revision && self.record == other.record
    }
}

impl Eq for Versioned {}

impl std::hash::Hash for Versioned {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.version.hash(state);
        self.revision.hash(state);
        self.record.hash(state);
    }
}

/// Strictly rises from term to term; a resource that remembers the highest it saw can refuse the late
/// writes of a former leader (see [`FenceGate`](crate::FenceGate)).
///
/// Ordered by epoch, then by revision. The revision is the store's own, and Kubernetes allows it 128 bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FencingToken {
    /// Raised by an operator after the store was restored from a backup. Default 0.
    pub epoch: u32,
    /// The revision of the write that began the term, or of the read that confirmed it.
    pub revision: u128,
}

/// One decimal number, ordered as the token is: the revision alone in epoch 0, and otherwise the epoch
/// followed by the revision with 39 digits.
impl fmt::Display for FencingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.epoch {
            0 => write!(f, "{}", self.revision),
            epoch => write!(f, "{epoch}{:0width$}", self.revision, width = REVISION_DIGITS),
        }
    }
}

/// A text that is no fencing token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("fencing token {text:?} is not a decimal number of at most 49 digits with a revision below 2^128")]
pub struct TokenError {
    text: String,
}

/// Reads what [`Display`](fmt::Display) writes.
impl std::str::FromStr for FencingToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || TokenError { text: text.to_owned() };
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(error());
        }
        let (epoch, revision) = text.split_at(text.len().saturating_sub(REVISION_DIGITS));
        let epoch = if epoch.is_empty() { 0 } else { epoch.parse().map_err(|_| error())? };
        Ok(Self { epoch, revision: revision.parse().map_err(|_| error())? })
    }
}

/// How many decimal digits a revision of 128 bits can have.
const REVISION_DIGITS: usize = 39;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unique_identities_differ_and_keep_their_name() {
        let first = HolderIdentity::unique("pod_0").expect("a good name");
        let second = HolderIdentity::unique("pod_0").expect("a good name");
        assert_ne!(first, second);
        assert_eq!(first.name(), "pod_0");
        assert!(first.is_called("pod_0") && first.is_called(first.as_str()) && !first.is_called("pod"));
        assert_eq!(first.as_str().len(), "pod_0".len() + "_0a1b2c3d4e".len());
    }

    #[test]
    fn bad_identities_are_refused_from_candidates_and_escaped_from_records() {
        assert_eq!(HolderIdentity::exact(""), Err(IdentityError::Empty));
        assert!(matches!(HolderIdentity::exact("a\nb"), Err(IdentityError::ControlCharacter { character: '\n', .. })));
        assert!(HolderIdentity::exact(&"x".repeat(512)).is_ok());
        assert!(matches!(HolderIdentity::exact(&"x".repeat(513)), Err(IdentityError::TooLong { length: 513, .. })));
        let stored = HolderIdentity::from_record("a\u{1b}[31m").expect("not empty");
        assert_eq!(stored.to_string(), "a\\u{1b}[31m");
        assert_eq!(HolderIdentity::from_record(""), None);
    }

    #[test]
    fn marks_survive_a_slash_in_the_identity() {
        let mark = TermMark { identity: HolderIdentity::exact("ns/pod").expect("a good name"), transitions: 7 };
        assert_eq!(TermMark::parse(&mark.to_string()), Some(mark));
        assert_eq!(TermMark::parse("nobody"), None);
        assert_eq!(TermMark::parse("/3"), None);
    }

    #[test]
    fn a_version_has_one_record_and_what_is_attached_is_the_backend_s_alone() {
        use std::hash::{BuildHasher, RandomState};
        let record = LeaseRecord { transitions: 7, ..LeaseRecord::default() };
        let seen = Versioned { record, version: Version::new("5"), revision: Some(5), attachment: Attachment::NONE };
        let attached = Versioned { attachment: Attachment::new(3_u8), ..seen.clone() };
        assert_eq!(attached.attachment.downcast::<u8>(), Some(&3));
        assert_eq!((attached.attachment.downcast::<u16>(), seen.attachment.downcast::<u8>()), (None, None));
        let hasher = RandomState::new();
        let hash = |versioned: &Versioned| hasher.hash_one(versioned);
        assert_eq!(seen, attached);
        assert_eq!(hash(&seen), hash(&attached));
        for other in [
            Versioned { version: Version::new("6"), ..seen.clone() },
            Versioned { revision: None, ..seen.clone() },
            Versioned { record: LeaseRecord::default(), ..seen.clone() },
        ] {
            assert_ne!(seen, other);
            assert_ne!(hash(&seen), hash(&other));
        }
    }

    #[test]
    fn debug_output_is_short() {
        let identity = HolderIdentity::exact("pod").expect("a good name");
        assert_eq!(format!("{identity:?} {:?}", Version::new("5")), "\"pod\" v5");
        assert_eq!(format!("{:?} {:?}", Attachment::NONE, Attachment::new(3)), "Attachment(none) Attachment(..)");
    }

    #[test]
    fn tokens_are_decimals_in_the_order_of_the_tokens() {
        let old = FencingToken { epoch: 0, revision: u128::MAX };
        let new = FencingToken { epoch: 1, revision: 5 };
        assert!(old < new);
        assert!(old.to_string().len() < new.to_string().len());
        for token in [old, new, FencingToken { epoch: u32::MAX, revision: u128::MAX }] {
            assert_eq!(token.to_string().parse(), Ok(token));
        }
        for bad in ["", "-1", "12x", "99999999999999999999999999999999999999999999999999"] {
            assert!(bad.parse::<FencingToken>().is_err(), "{bad}");
        }
    }
}
