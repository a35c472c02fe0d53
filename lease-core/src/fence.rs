//! The resource's side of fencing: refuse whoever comes with an older token.

use crate::record::FencingToken;

/// Remembers the highest token that a resource has seen, and refuses lower ones.
///
/// Timed exclusion ends where a process is paused without bound or a write is delayed without bound;
/// from there on only the resource itself can refuse a former leader. The high-water mark must be as
/// durable as what it protects, and change together with it: [`admit`](FenceGate::admit) hands the
/// mark to the guarded write, which stores both in one transaction, and [`restore`](FenceGate::restore)
/// takes it back when the resource restarts.
///
/// ```
/// # use lease_core::{FenceGate, FencingToken};
/// let mut gate = FenceGate::restore(None);
/// let token = |revision| FencingToken { epoch: 0, revision };
/// gate.admit(token(7), |mark| { /* store the data and the mark in one transaction */ Ok::<_, ()>(mark) }).unwrap();
/// assert!(gate.admit(token(5), |_| Ok::<_, ()>(())).is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FenceGate {
    mark: Option<FencingToken>,
}

impl FenceGate {
    /// A gate with the mark that the resource has stored; none for a resource that never saw a token.
    pub fn restore(mark: Option<FencingToken>) -> Self {
        Self { mark }
    }

    /// The highest token seen.
    pub fn mark(&self) -> Option<FencingToken> {
        self.mark
    }

    /// Runs the guarded write, unless a higher token was seen before.
    ///
    /// `write` gets the mark to store in the same transaction. When it fails the mark stays raised: the
    /// write may have happened, and whoever holds an older token is no longer the leader either way.
    pub fn admit<T, E>(
        &mut self,
        token: FencingToken,
        write: impl FnOnce(FencingToken) -> Result<T, E>,
    ) -> Result<T, FenceError<E>> {
        match self.mark {
            Some(mark) if token < mark => return Err(FenceError::Stale { token, mark }),
            _ => self.mark = Some(token),
        }
        write(token).map_err(FenceError::Write)
    }
}

/// Why a guarded write did not happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FenceError<E> {
    /// A later leader was here already.
    #[error("fencing token {token} is older than {mark}, which this resource has already seen")]
    Stale {
        /// The token of the caller.
        token: FencingToken,
        /// The highest token seen.
        mark: FencingToken,
    },
    /// The write itself failed.
    #[error("guarded write failed")]
    Write(#[source] E),
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A resource that keeps its data and its mark in one file, replaced in one rename.
    struct Journal {
        path: std::path::PathBuf,
        gate: FenceGate,
    }

    impl Journal {
        fn open(path: std::path::PathBuf) -> Self {
            let stored = std::fs::read_to_string(&path).unwrap_or_default();
            let mark = stored.lines().next().map(|line| line.parse().expect("a token"));
            Self { path, gate: FenceGate::restore(mark) }
        }

        fn write(&mut self, token: FencingToken, data: &str) -> Result<(), FenceError<std::io::Error>> {
            let path = &self.path;
            self.gate.admit(token, |mark| {
                let draft = path.with_extension("draft");
                std::fs::write(&draft, format!("{mark}\n{data}\n"))?;
                std::fs::rename(&draft, path)
            })
        }
    }

    #[test]
    fn a_restarted_resource_still_refuses_the_former_leader() {
        let path = std::env::temp_dir().join(format!("lease-fence-{}", std::process::id()));
        let token = |revision| FencingToken { epoch: 0, revision };
        let mut journal = Journal::open(path.clone());
        journal.write(token(4), "by the first").expect("first leader");
        journal.write(token(9), "by the second").expect("second leader");
        drop(journal);
        let mut restarted = Journal::open(path.clone());
        assert!(matches!(restarted.write(token(4), "late"), Err(FenceError::Stale { .. })));
        restarted.write(token(9), "by the second again").expect("the leader goes on");
        assert_eq!(std::fs::read_to_string(&path).expect("stored"), "9\nby the second again\n");
        std::fs::remove_file(path).expect("cleaned up");
    }

    #[test]
    fn a_failed_write_keeps_the_mark() {
        let mut gate = FenceGate::restore(None);
        let token = |revision| FencingToken { epoch: 0, revision };
        assert_eq!(gate.mark(), None);
        assert_eq!(gate.admit(token(2), |_| Err::<(), _>("disk full")), Err(FenceError::Write("disk full")));
        assert_eq!(gate.mark(), Some(token(2)));
        assert_eq!(
            gate.admit(token(1), |_| Ok::<_, &str>(())),
            Err(FenceError::Stale { token: token(1), mark: token(2) })
        );
    }

    #[test]
    fn a_raised_epoch_outranks_any_revision() {
        let mut gate = FenceGate::restore(Some(FencingToken { epoch: 0, revision: 1_000 }));
        assert!(gate.admit(FencingToken { epoch: 1, revision: 3 }, |_| Ok::<_, ()>(())).is_ok());
        assert!(gate.admit(FencingToken { epoch: 0, revision: 1_001 }, |_| Ok::<_, ()>(())).is_err());
    }
}
