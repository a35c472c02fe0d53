//! I3: a fenced resource never accepts a lower token, whatever the faults, nor two terms with one.

use lease_core::{FenceGate, FencingToken, TermId};

use super::{Verdict, letter};

pub(in crate::sim) const NAME: &str = "fenced_resource";

/// Whose term it is: candidate, process, term.
pub(in crate::sim) type Owner = (usize, u32, TermId);

/// The resource: the gate that ships, and what was let through.
#[derive(Debug)]
pub(in crate::sim) struct FencedResource {
    gate: FenceGate,
    last: Option<(FencingToken, Owner)>,
}

impl FencedResource {
    pub(in crate::sim) fn new() -> Self {
        Self { gate: FenceGate::restore(None), last: None }
    }

    /// Somebody acts on it, whether it still may or not; says whether it was let through. `excused` when the store
    /// went back, after which only a raised epoch helps.
    pub(in crate::sim) fn acted(
        &mut self,
        owner: Owner,
        token: Option<FencingToken>,
        excused: bool,
    ) -> Result<bool, (&'static str, String)> {
        let Some(token) = token else { return Ok(false) };
        if self.gate.admit(token, |_| Ok::<_, ()>(())).is_err() {
            return Ok(false);
        }
        let node = letter(owner.0);
        let verdict: Verdict = match self.last {
            Some((before, _)) if token < before => {
                Err((NAME, format!("the resource lets {node} through with {token} after {before}")))
            }
            Some((before, other)) if token == before && other != owner && !excused => Err((
                NAME,
                format!("the resource cannot tell {node} from {}: both have token {token}", letter(other.0)),
            )),
            _ => Ok(()),
        };
        verdict?;
        self.last = Some((token, owner));
        Ok(true)
    }
}
