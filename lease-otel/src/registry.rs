//! Every kind of component that the collector has.

use crate::component::Registry;

/// All kinds, one line each.
pub fn registry() -> Registry {
    Registry::default()
}
