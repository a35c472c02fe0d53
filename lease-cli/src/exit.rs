//! How the program ends: its exit codes, and errors that say what to do about them.

use std::error::Error;
use std::io::Write;

use lease_core::{LockError, LockErrorKind};
use lease_k8s::{K8sError, MissingNamespace, MissingRule};

use crate::picture::visible;

/// Exit codes of the program itself, after `sysexits.h`. Those of the command are passed through, and so
/// are 126, 127 and 128 + N.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Code {
    /// The answer is no: there is no such lease.
    No = 1,
    /// The command line makes no sense.
    Usage = 64,
    /// A record cannot be understood.
    Data = 65,
    /// A file that is to be read is not there.
    NoInput = 66,
    /// The backend cannot be reached.
    Unreachable = 69,
    /// The operating system refused something.
    System = 71,
    /// The lease was not acquired, or something else changed in between: try again later.
    NotAcquired = 75,
    /// An operator must grant something.
    Denied = 77,
    /// The configuration makes no sense.
    Configuration = 78,
    /// The lease was lost.
    Lost = 79,
}

impl Code {
    /// Of a file that could not be read, for whatever reason: what was asked for is not there, or is nothing to read.
    pub(crate) fn unread(error: &std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::InvalidData { Self::Data } else { Self::NoInput }
    }
}

/// What went wrong, why, and what to do about it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    what: String,
    causes: Vec<String>,
    help: Option<String>,
    /// What else is wrong, independently of this.
    others: Vec<Failure>,
}

impl Failure {
    pub(crate) fn new(code: Code, what: impl Into<String>) -> Self {
        Self { code: code as u8, what: what.into(), causes: Vec::new(), help: None, others: Vec::new() }
    }

    /// All that went wrong, with the exit code of the first.
    ///
    /// # Panics
    /// When nothing did.
    pub(crate) fn all(failures: impl IntoIterator<Item = Option<Self>>) -> Self {
        let mut failures = failures.into_iter().flatten();
        let first = failures.next().expect("something went wrong");
        Self { others: failures.collect(), ..first }
    }

    /// An error with everything below it.
    pub(crate) fn of(code: Code, error: &dyn Error) -> Self {
        Self::new(code, error.to_string()).because_of(error)
    }

    /// Adds what is below this error.
    fn because_of(mut self, error: &dyn Error) -> Self {
        let mut next = error.source();
        while let Some(cause) = next {
            let text = cause.to_string();
            // Some errors repeat what is below them.
            let said = |earlier: &String| earlier.contains(&text);
            if !said(&self.what) && !self.causes.iter().any(said) {
                self.causes.push(text);
            }
            next = cause.source();
        }
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// With another exit code than the usual one.
    pub(crate) fn with_code(self, code: Option<u8>) -> Self {
        Self { code: code.unwrap_or(self.code), ..self }
    }

    /// Writes it to standard error.
    pub(crate) fn show(&self, colored: bool) {
        let (red, bold, reset) = if colored { ("\x1b[31m", "\x1b[1m", "\x1b[0m") } else { ("", "", "") };
        // Whatever a file holds may be in what is said about it.
        let safe = |text: &str| text.lines().map(visible).collect::<Vec<_>>().join("\n");
        let line = |label: &str, text: &str| format!("{bold}{label}:{reset} {}\n", safe(text));
        let mut text = format!("{red}{}", line("error", &self.what));
        text.extend(self.causes.iter().map(|cause| line("cause", cause)));
        text.extend(self.help.iter().map(|help| line("help", help)));
        // Where standard error is closed nobody wants to know.
        let _ = std::io::stderr().write_all(text.as_bytes());
        self.others.iter().for_each(|other| other.show(colored));
    }
}

impl From<LockError> for Failure {
    fn from(error: LockError) -> Self {
        let code = match error.kind() {
            LockErrorKind::Denied => Code::Denied,
            LockErrorKind::NotFound => Code::No,
            LockErrorKind::Conflict => Code::NotAcquired,
            LockErrorKind::Malformed => Code::Data,
            _ => Code::Unreachable,
        };
        match way_out(&error) {
            // It is of the source, which would be told as the cause: as help it says the same and what to do.
            Some(help) => Self::new(code, error.to_string()).help(help),
            None if code == Code::Denied => Self::of(code, &error).help(NOT_ADMITTED),
            None if code == Code::Unreachable => Self::of(code, &error).help(NOT_REACHED),
            None => Self::of(code, &error),
        }
    }
}

impl From<K8sError> for Failure {
    fn from(error: K8sError) -> Self {
        let help = match &error {
            K8sError::NotInCluster | K8sError::KubeconfigUnset | K8sError::KubeconfigRead { .. } => {
                Some("name a kubeconfig with --kubeconfig FILE or KUBECONFIG, or run in a pod")
            }
            K8sError::KubeconfigUse { .. } => Some("kubectl config get-contexts"),
            _ => None,
        };
        let failure = Self::of(Code::Configuration, &error);
        match help {
            Some(help) => failure.help(help),
            None => failure,
        }
    }
}

/// What to do when the server takes neither us nor our request, and no rule of a role would change that.
pub(crate) const NOT_ADMITTED: &str = "check server, certificate authority, credentials and namespace: \
                                       kubectl config view --minify; choose others with --kubeconfig, --context, --namespace";

/// What to do when there is no answer.
const NOT_REACHED: &str = "see whether the server of the kubeconfig is up: kubectl cluster-info; choose another with \
                           --kubeconfig, --context";

/// Writes a warning to standard error, as an error is written.
pub(crate) fn warn(text: &str, colored: bool) {
    let (yellow, bold, reset) = if colored { ("\x1b[33m", "\x1b[1m", "\x1b[0m") } else { ("", "", "") };
    let text = text.lines().map(visible).collect::<Vec<_>>().join("\n");
    // Where standard error is closed nobody wants to know.
    let _ = writeln!(std::io::stderr(), "{yellow}{bold}warning:{reset} {text}");
}

/// What an operator has to do so that what was denied is not, if the server has said it.
pub(crate) fn way_out(error: &LockError) -> Option<String> {
    let missing = |absent: &MissingNamespace| {
        let namespace = &absent.namespace;
        format!("kubectl create namespace {namespace}, or name another with --namespace")
    };
    MissingRule::of(error).map(grant).or_else(|| MissingNamespace::of(error).map(missing))
}

/// What an operator has to add to a role.
fn grant(rule: &MissingRule) -> String {
    let namespace =
        rule.namespace.as_deref().map_or_else(String::new, |namespace| format!(" in namespace {namespace}"));
    format!("add this rule to a Role of this user{namespace}: {rule}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_says_which_rule_is_missing() {
        let rule = MissingRule { verb: "update", name: Some("db".into()), namespace: Some("prod".into()) };
        let error = LockError::new(LockErrorKind::Denied, "update of prod/db: forbidden").with_source(rule);
        let failure = Failure::from(error);
        assert_eq!(failure.code, 77);
        let help = failure.help.expect("a rule is missing");
        assert!(help.contains("namespace prod") && help.contains("resourceNames: [db], verbs: [update]"), "{help}");
    }

    #[test]
    fn a_missing_namespace_says_how_it_is_made() {
        let absent = MissingNamespace { namespace: "prod".into() };
        let error = LockError::new(LockErrorKind::Denied, "create of lease prod/db: no namespace").with_source(absent);
        let failure = Failure::from(error);
        assert_eq!((failure.code, failure.causes.len()), (77, 0));
        let help = failure.help.expect("a namespace is missing");
        assert_eq!(help, "kubectl create namespace prod, or name another with --namespace");
    }

    #[test]
    fn causes_are_listed_once() {
        let inner = LockError::new(LockErrorKind::Unavailable, "connection refused");
        let outer = LockError::new(LockErrorKind::Unavailable, "get of prod/db").with_source(inner);
        let failure = Failure::from(outer);
        assert_eq!((failure.code, failure.causes.as_slice()), (69, &["connection refused".to_owned()][..]));
    }
}
