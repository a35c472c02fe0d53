//! Which names Kubernetes accepts, checked before the first request.

use crate::K8sError;

/// Refuses what is no DNS-1123 label (RFC 1123; `apimachinery` `validation.IsDNS1123Label`).
pub(crate) fn check_namespace(namespace: &str) -> Result<(), K8sError> {
    if namespace.len() <= LABEL_LENGTH_MAX && is_label(namespace) {
        return Ok(());
    }
    Err(K8sError::Namespace { namespace: namespace.to_owned() })
}

/// Refuses what is no DNS-1123 subdomain (`apimachinery` `validation.IsDNS1123Subdomain`).
pub(crate) fn check_name(name: &str) -> Result<(), K8sError> {
    if name.len() <= SUBDOMAIN_LENGTH_MAX && name.split('.').all(is_label) {
        return Ok(());
    }
    Err(K8sError::Name { name: name.to_owned() })
}

fn is_label(text: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.first().copied().is_some_and(alphanumeric)
        && bytes.last().copied().is_some_and(alphanumeric)
        && bytes.iter().all(|&byte| alphanumeric(byte) || byte == b'-')
}

const LABEL_LENGTH_MAX: usize = 63;
const SUBDOMAIN_LENGTH_MAX: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_kubernetes() {
        for good in ["a", "0", "my-lease", "a.b-c.d1", &"x".repeat(253)] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "A", "a_b", "-a", "a-", "a..b", ".a", "a.", "a/b", "../x", "a b", "ä", "a\n", &"x".repeat(254)]
        {
            assert!(matches!(check_name(bad), Err(K8sError::Name { name }) if name == bad), "{bad:?}");
        }
        assert!(check_namespace(&"x".repeat(63)).is_ok());
        for bad in ["", "a.b", "Default", &"x".repeat(64)] {
            assert!(matches!(check_namespace(bad), Err(K8sError::Namespace { .. })), "{bad:?}");
        }
    }
}
