//! I2: tokens strictly rise over grants, also across deletion, a record made anew and a restart.

use lease_core::{FencingToken, Term};

use super::{Verdict, letter};

pub(in crate::sim) const NAME: &str = "rising_tokens";

/// The highest token so far.
#[derive(Debug, Default)]
pub(in crate::sim) struct RisingTokens {
    max: Option<FencingToken>,
}

impl RisingTokens {
    /// A term is granted. `excused` when the store went back, or when terms may have overlapped by no fault of theirs.
    pub(in crate::sim) fn granted(&mut self, node: usize, term: &Term, excused: bool) -> Verdict {
        let before = self.max;
        self.max = before.max(term.token);
        match (term.token, before) {
            _ if excused => Ok(()),
            (None, _) => Err((NAME, format!("{} leads {} without a token", letter(node), term.id))),
            (Some(token), Some(before)) if token <= before => {
                Err((NAME, format!("{} leads with token {token} after {before}", letter(node))))
            }
            _ => Ok(()),
        }
    }
}
