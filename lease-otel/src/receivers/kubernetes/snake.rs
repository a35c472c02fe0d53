//! Names of conditions and resources as parts of a metric's name.

/// `MemoryPressure` is `memory_pressure`, `PIDPressure` `pid_pressure`, `ephemeral-storage` `ephemeral_storage`.
///
/// A word ends before a capital that follows a small letter, before the last of several capitals that a small letter
/// follows, and between letters and digits. Spaces, points and dashes are underscores; the rest stays.
pub(crate) fn snake(name: &str) -> String {
    let name = name.trim();
    let mut snake = String::with_capacity(name.len() + 4);
    let mut before: Option<char> = None;
    let mut rest = name.chars().peekable();
    while let Some(c) = rest.next() {
        let is_new_word = match before {
            Some(last) if c.is_ascii_uppercase() => {
                let next_is_small = rest.peek().is_some_and(char::is_ascii_lowercase);
                last.is_ascii_lowercase() || last.is_ascii_digit() || (last.is_ascii_uppercase() && next_is_small)
            }
            Some(last) if c.is_ascii_lowercase() => last.is_ascii_digit(),
            Some(last) if c.is_ascii_digit() => last.is_ascii_alphabetic(),
            _ => false,
        };
        if is_new_word {
            snake.push('_');
        }
        snake.push(if matches!(c, ' ' | '.' | '-') { '_' } else { c.to_ascii_lowercase() });
        before = Some(c);
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_parted_by_underscores() {
        for (name, expected) in [
            ("Ready", "ready"),
            ("MemoryPressure", "memory_pressure"),
            ("PIDPressure", "pid_pressure"),
            ("ephemeral-storage", "ephemeral_storage"),
            ("hugepages-2Mi", "hugepages_2_mi"),
            ("nvidia.com/gpu", "nvidia_com/gpu"),
            ("KubeletHTTPSProblem", "kubelet_https_problem"),
            ("already_snake", "already_snake"),
            ("A", "a"),
            ("", ""),
        ] {
            assert_eq!(snake(name), expected);
        }
    }
}
