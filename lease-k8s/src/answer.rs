//! What each answer of the API server means for the caller, in one `match`.

use std::fmt;
use std::time::Duration;

use http::StatusCode;
use lease_core::{LockError, LockErrorKind};
use serde::Deserialize;

use crate::client::{Answer, Failure};
use crate::error::{MissingNamespace, MissingRule};

/// What was asked of the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Delete,
}

/// A request, as it appears in errors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) verb: Verb,
    pub(crate) namespace: Option<&'a str>,
    pub(crate) name: Option<&'a str>,
}

/// The `Status` object that comes with every refusal (`metav1.Status`).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Status {
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) code: u16,
    details: Option<Details>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Details {
    kind: String,
    retry_after_seconds: u64,
}

impl Verb {
    /// The name in RBAC rules.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }

    const ALL: [Self; 6] = [Self::Get, Self::List, Self::Watch, Self::Create, Self::Update, Self::Delete];

    const fn writes(self) -> bool {
        matches!(self, Self::Create | Self::Update | Self::Delete)
    }

    /// How a failure is named that leaves open whether the request was carried out.
    const fn in_doubt(self) -> LockErrorKind {
        if self.writes() { LockErrorKind::Unknown } else { LockErrorKind::Unavailable }
    }
}

/// `update of lease default/foo`
impl fmt::Display for Asked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of ", self.verb.as_str())?;
        match (self.namespace, self.name) {
            (Some(namespace), Some(name)) => write!(f, "lease {namespace}/{name}"),
            (Some(namespace), None) => write!(f, "leases in {namespace}"),
            (None, _) => f.write_str("leases in all namespaces"),
        }
    }
}

impl Asked<'_> {
    /// Names an answer that is no success by what the caller does next.
    ///
    /// The rows are those of kube-apiserver 1.36, tried; overload and gateway timeouts by its documentation.
    pub(crate) fn refused(&self, answer: &Answer) -> LockError {
        let status: Status = serde_json::from_slice(&answer.body).unwrap_or_default();
        let about = status.details.as_ref().map_or("", |details| details.kind.as_str());
        let kind = match (answer.status.as_u16(), self.verb) {
            // Only a Lease that is known to be absent may be created: a 404 for its namespace, or for the whole API
            // because the address is wrong, has no `details` of our kind and is for an operator.
            (404, _) if about == MissingRule::RESOURCE => LockErrorKind::NotFound,
            // `AlreadyExists`, `Conflict` by version, and `Conflict` by uid on a Lease that was deleted or made anew.
            (409, _) => LockErrorKind::Conflict,
            // A PUT without a version on a Lease that somebody else has created.
            (422, Verb::Create) if status.message.contains("must be specified for an update") => {
                LockErrorKind::Conflict
            }
            // Refused before anything was done. 401 comes here once other credentials have been tried.
            (429, _) => LockErrorKind::Unavailable,
            // Somebody gave up waiting for the rest of the request, or for the server behind; or it was overwhelmed.
            (408 | 500..=599, verb) => verb.in_doubt(),
            // 400, 401, 403, 422, redirects and whatever else: the same request will be refused again.
            _ => LockErrorKind::Denied,
        };
        let details = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
        let retry_after = answer.retry_after.or((details > 0).then(|| Duration::from_secs(details)));
        let rule = (answer.status == StatusCode::FORBIDDEN).then(|| self.missing_rule(&status.message)).flatten();
        let mut context = format!("{self}: the API server answered {}", answer.status);
        if !status.message.is_empty() {
            context = format!("{context}: {}", shown(&status.message));
        }
        // Its name is that of the request: what the server quotes is the same, in a sentence.
        let absent = self.namespace.filter(|_| answer.status == StatusCode::NOT_FOUND && about == "namespaces");
        if let Some(namespace) = absent {
            context = format!("{self}: namespace {namespace} does not exist; create it, or name another");
        }
        let error = LockError::new(kind, context).with_retry_after(retry_after);
        match (rule, absent) {
            (Some(rule), _) => error.with_source(rule),
            (None, Some(namespace)) => error.with_source(MissingNamespace { namespace: namespace.into() }),
            (None, None) => error,
        }
    }

    /// Names a request that got no answer.
    pub(crate) fn failed(&self, failure: Failure) -> LockError {
        match failure {
            Failure::NoCredentials(error) => {
                LockError::new(LockErrorKind::Denied, format!("{self}: {error}")).with_source(error)
            }
            Failure::NoConnection(reason) => {
                LockError::new(LockErrorKind::Unavailable, format!("{self}: no connection: {}", shown(&reason)))
            }
            Failure::Certificate(reason) => {
                LockError::new(LockErrorKind::Denied, format!("{self}: certificate refused: {}", shown(&reason)))
            }
            Failure::Lost(reason) => {
                LockError::new(self.verb.in_doubt(), format!("{self}: connection lost: {}", shown(&reason)))
            }
        }
    }

    /// A success whose body is not what it must be.
    pub(crate) fn unreadable(&self, what: &str) -> LockError {
        LockError::new(self.verb.in_doubt(), format!("{self}: unreadable answer: {}", shown(what)))
    }

    /// What to add to the Role, when that is what was missing: a quota or an admission plugin answers 403 too.
    ///
    /// A PUT needs `update`, and on an absent Lease `create` as well, so the verb is taken from the message
    /// (`User "u" cannot create resource "leases" in API group ...`, apiserver's `responsewriters.Forbidden`).
    fn missing_rule(&self, message: &str) -> Option<MissingRule> {
        let says = |verb: Verb| message.contains(&format!("cannot {} resource \"leases\"", verb.as_str()));
        let verb = Verb::ALL.into_iter().find(|&verb| says(verb))?;
        Some(MissingRule {
            verb: verb.as_str(),
            name: self.name.map(Into::into),
            namespace: self.namespace.map(Into::into),
        })
    }
}

/// A text from elsewhere, fit for a line of a log.
pub(crate) fn shown(text: &str) -> String {
    let cut = text.char_indices().nth(SHOWN_CHARACTERS_MAX).map_or(text, |(end, _)| &text[..end]);
    let mut line = String::with_capacity(cut.len());
    for character in cut.chars() {
        if character.is_control() {
            line.extend(character.escape_debug());
        } else {
            line.push(character);
        }
    }
    if cut.len() < text.len() {
        line.push_str("...");
    }
    line
}

const SHOWN_CHARACTERS_MAX: usize = 500;
