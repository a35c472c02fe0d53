//! Errors as they are told.

use std::error::Error;

/// An error and its causes in one line; what a cause says that was said already is left out.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Told(&'static str, #[source] Option<Box<Told>>);

    #[test]
    fn each_cause_is_said_once() {
        let cause = |text, below| Some(Box::new(Told(text, below)));
        let error = Told("the file cannot be read: no space", cause("no space", cause("the disk is full", None)));
        assert_eq!(with_causes(&error), "the file cannot be read: no space: the disk is full");
    }
}
