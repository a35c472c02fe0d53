//! The invariants of the protocol, one file each: what must never be seen from outside.
//!
//! They know the true time, what the store really applied and what each application was told; nothing of how the
//! machine comes to its decisions. So whatever makes two act, they find it without having been told what to look for.

pub(super) mod i01_mutual_exclusion;
pub(super) mod i02_rising_tokens;
pub(super) mod i03_fenced_resource;
pub(super) mod i04_bounded_hold;
pub(super) mod i05_full_wait;
pub(super) mod i06_release_after_stop;
pub(super) mod i07_order_of_writes;
pub(super) mod i08_no_revival;
pub(super) mod i09_alternation;
pub(super) mod i10_request_rate;
pub(super) mod i11_foreign_fields;
pub(super) mod i12_agreement;
pub(super) mod liveness;
pub(super) mod requests;
pub(super) mod rules;

use std::fmt;

/// What was violated, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The name of the invariant.
    pub invariant: &'static str,
    /// When, in true time.
    pub at_ns: u64,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = std::time::Duration::from_nanos(self.at_ns).as_secs_f64();
        write!(f, "{} at {at:.3}s: {}", self.invariant, self.what)
    }
}

/// Fine, or the name of what was violated with what was seen; the time is added by whoever asked.
pub(super) type Verdict = Result<(), (&'static str, String)>;

/// What people call a candidate: `a` to `g`.
pub(super) fn letter(node: usize) -> char {
    char::from(b'a' + u8::try_from(node % 26).unwrap_or(0))
}
