//! The name and the tag in an image's reference.

/// The repository with its registry, and the tag, which is `latest` where none is written. None for what is no reference.
pub(crate) fn parse(image: &str) -> Option<(&str, &str)> {
    let (rest, digest) = match image.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (image, None),
    };
    if digest.is_some_and(|digest| !is_digest(digest)) {
        return None;
    }
    // A colon before the last slash is that of a port.
    let path = rest.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match rest[path..].rfind(':') {
        Some(colon) => (&rest[..path + colon], Some(&rest[path + colon + 1..])),
        None => (rest, None),
    };
    (is_name(name) && tag.is_none_or(is_tag)).then(|| (name, tag.unwrap_or("latest")))
}

fn is_name(name: &str) -> bool {
    if name.len() > NAME_MAX {
        return false;
    }
    let is_path = |path: &str| path.split('/').all(is_component);
    match name.split_once('/') {
        Some((domain, path)) => is_path(name) || (is_domain(domain) && is_path(path)),
        None => is_component(name),
    }
}

/// Lower-case letters and digits, and between them a point, one or two underscores, or any number of dashes.
fn is_component(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let mut rest = text;
    loop {
        let word = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        if word == 0 {
            return false;
        }
        rest = &rest[word..];
        let separator = &rest[..rest.find(is_word).unwrap_or(rest.len())];
        match separator {
            "" => return rest.is_empty(),
            "." | "_" | "__" => {}
            dashes if dashes.bytes().all(|byte| byte == b'-') => {}
            _ => return false,
        }
        rest = &rest[separator.len()..];
    }
}

fn is_domain(text: &str) -> bool {
    let (host, port) = match text.rfind(':').filter(|colon| !text[*colon..].contains(']')) {
        Some(colon) => (&text[..colon], Some(&text[colon + 1..])),
        None => (text, None),
    };
    let is_label = |label: &str| {
        let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        edge(label.chars().next())
            && edge(label.chars().last())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => !address.is_empty() && address.chars().all(|c| c.is_ascii_hexdigit() || c == ':'),
        None => host.split('.').all(is_label),
    };
    is_host && port.is_none_or(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_tag(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.len() <= TAG_MAX && text.starts_with(is_word) && text.chars().all(|c| is_word(c) || matches!(c, '.' | '-'))
}

fn is_digest(text: &str) -> bool {
    let Some((algorithm, hex)) = text.split_once(':') else { return false };
    let is_part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic()) && part.chars().all(|c| c.is_ascii_alphanumeric())
    };
    algorithm.split(['-', '_', '+', '.']).all(is_part)
        && hex.len() >= DIGEST_MIN
        && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
}

const NAME_MAX: usize = 255;
const TAG_MAX: usize = 128;
const DIGEST_MIN: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn a_reference_has_a_repository_and_a_tag() {
        let sha = format!("sha256:{HEX}");
        let digested = format!("registry.k8s.io/pause@{sha}");
        let both = format!("ghcr.io/a/b_c:1.2@{sha}");
        for (image, expected) in [
            ("nginx", ("nginx", "latest")),
            ("nginx:1.27", ("nginx", "1.27")),
            ("example.com:5000/alpine/alpine:test", ("example.com:5000/alpine/alpine", "test")),
            ("example.com:5000/alpine", ("example.com:5000/alpine", "latest")),
            ("docker.io/library/redis:7-alpine", ("docker.io/library/redis", "7-alpine")),
            ("[::1]:5000/a--b:c", ("[::1]:5000/a--b", "c")),
            ("Registry.Example/a", ("Registry.Example/a", "latest")),
            (&digested, ("registry.k8s.io/pause", "latest")),
            (&both, ("ghcr.io/a/b_c", "1.2")),
            (&sha, ("sha256", HEX)),
        ] {
            assert_eq!(parse(image), Some(expected), "{image}");
        }
    }

    #[test]
    fn what_is_no_reference_has_none() {
        for image in
            ["", "Nginx", "a:", "a:-x", "a@sha256:12", "a b", "/a", "a/", "a//b", "a___b", "-a", "a:b:c", "a.-b"]
        {
            assert_eq!(parse(image), None, "{image}");
        }
    }
}
