//! `lease delete`: removes a lease, after its name was said twice.

use lease_core::{HolderIdentity, LockErrorKind, ResourceLock};

use crate::backend;
use crate::cli::Global;
use crate::exit::{Code, Failure};
use crate::get::absent;
use crate::show::{self, State};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The lease
    name: String,
    /// The same name again: whoever leads by this lease stops at once
    #[arg(long, value_name = "NAME", required = true)]
    confirm: String,
}

pub(crate) async fn delete(arguments: &Arguments, global: &Global) -> Result<(), Failure> {
    let name = arguments.name.as_str();
    if arguments.confirm != name {
        let what = format!("--confirm={:?} is not the lease's name, {name:?}", arguments.confirm);
        return Err(Failure::new(Code::Usage, what).help(format!("lease delete {name} --confirm={name}")));
    }
    let store = backend::open(&global.backend).await?;
    let lock = store.lock(name)?;
    let mut tries_left = TRIES;
    loop {
        tries_left -= 1;
        let seen = match lock.get().await {
            Ok(seen) => seen,
            // It can be deleted all the same, as it was seen.
            Err(error) if error.kind() == LockErrorKind::Malformed => error.unreadable().cloned(),
            Err(error) => return Err(error.into()),
        };
        let seen = seen.ok_or_else(|| absent(&[name], store.namespace()))?;
        match store.delete(name, &seen).await {
            // Renewed in between: only what was seen is deleted.
            Err(failure) if failure.code == Code::NotAcquired as u8 && tries_left > 0 => {}
            Err(failure) => return Err(failure),
            Ok(()) => {
                if let Some(holder) = &seen.record.holder {
                    tell(holder, State::of(&seen.record, show::wall()));
                }
                return show::print(&format!("{name} deleted\n"));
            }
        }
    }
}

fn tell(holder: &HolderIdentity, state: State) {
    if state == State::Expired {
        tracing::info!(%holder, "the lease had run out, by this machine's clock; it named its last holder still");
    } else {
        tracing::warn!(%holder, "the lease was held; its holder stops, and the next term begins when it has run out");
    }
}

/// A renewal comes once in a second at most, and a deletion takes milliseconds.
const TRIES: u32 = 5;
