//! `${...}` and `$$` within one text.

/// What a text is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Expanded {
    /// Text.
    Text(String),
    /// Text in which a `${` has no `}`.
    Unclosed(String),
    /// One reference and nothing else; what is within it is expanded.
    Reference(String),
}

/// A `${` whose `}` has not come.
#[derive(Debug, Default)]
struct Open {
    /// What is within it so far.
    reference: String,
    /// The same as text, should it be no reference after all.
    text: String,
    /// Whether a `$${` is within it: then it is text, as in the OpenTelemetry Collector.
    is_text: bool,
}

impl Open {
    fn push(&mut self, text: &str) {
        self.reference.push_str(text);
        self.text.push_str(text);
    }
}

/// Expands a text from the left; the innermost `${...}` first.
pub(super) fn expand(text: &str, lookup: &mut dyn FnMut(&str) -> Result<String, String>) -> Result<Expanded, String> {
    // The first is the text itself.
    let mut open = vec![Open::default()];
    let mut rest = text;
    // Whether a reference was replaced, or could be.
    let mut has_closed = false;
    while let Some(at) = rest.find(['$', '}']) {
        let (before, from) = rest.split_at(at);
        let depth = open.len() - 1;
        let Some(top) = open.last_mut() else { break };
        top.push(before);
        if let Some(after) = from.strip_prefix("$$") {
            top.reference.push_str("$$");
            top.text.push('$');
            top.is_text |= after.starts_with('{');
            rest = after;
        } else if let Some(after) = from.strip_prefix("${") {
            open.push(Open::default());
            rest = after;
        } else {
            let (this, after) = from.split_at(1);
            rest = after;
            if this == "$" || depth == 0 {
                top.push(this);
                continue;
            }
            let Some(closed) = open.pop() else { break };
            // Of those at the top it is the first, so it is the one that the text begins with.
            let is_all = depth == 1 && !has_closed && rest.is_empty() && text.starts_with("${");
            has_closed |= depth == 1;
            let Some(top) = open.last_mut() else { break };
            if closed.is_text {
                top.push("${");
                top.push(&closed.text);
                top.push("}");
            } else if is_all {
                return Ok(Expanded::Reference(closed.reference));
            } else {
                top.push(&lookup(&closed.reference)?);
            }
        }
    }
    let mut whole = String::new();
    for (depth, open) in open.iter().enumerate() {
        whole.push_str(if depth == 0 { "" } else { "${" });
        whole.push_str(&open.text);
    }
    whole.push_str(rest);
    Ok(if open.len() > 1 { Expanded::Unclosed(whole) } else { Expanded::Text(whole) })
}
