//! Texts of a picture: made harmless, measured and shortened.
//!
//! Anybody may have written the record that a name comes from, so nothing is trusted: what moves a cursor, turns the
//! direction of writing or is no character of XML is shown as an escape.

/// The text without what would harm a terminal, a page or a reader.
pub fn visible(text: &str) -> String {
    let mut visible = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmful(c) { visible.extend(c.escape_unicode()) } else { visible.push(c) }
    }
    visible
}

/// The text as it may stand in XML and HTML, between tags or in an attribute.
pub(super) fn xml(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in visible(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(c),
        }
    }
    escaped
}

/// How many columns of a terminal a visible text takes, near enough: East Asian characters take two.
pub(super) fn columns(text: &str) -> usize {
    text.chars().map(width).sum()
}

/// The visible text in at most so many columns; the middle is left out, because names differ at both ends.
pub(super) fn shortened(text: &str, columns_max: usize) -> String {
    if columns(text) <= columns_max {
        return text.to_owned();
    }
    let room = columns_max.saturating_sub(1);
    let head = taken(text.chars(), room.div_ceil(2));
    let tail: String = taken(text.chars().rev(), room / 2).chars().rev().collect();
    format!("{head}…{tail}")
}

/// The visible text in lines of at most so many columns, broken at spaces where there are any.
pub(super) fn wrapped(text: &str, columns_max: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let word = shortened(word, columns_max);
        match lines.last_mut() {
            Some(line) if columns(line) + 1 + columns(&word) <= columns_max => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines
}

/// The text and spaces to fill so many columns.
pub(super) fn padded(text: &str, columns_wanted: usize) -> String {
    let text = shortened(text, columns_wanted);
    let missing = columns_wanted.saturating_sub(columns(&text));
    text + &" ".repeat(missing)
}

fn taken(chars: impl Iterator<Item = char>, columns_max: usize) -> String {
    let mut room = columns_max;
    let fits = |c: &char| {
        let fits = width(*c) <= room;
        room = room.saturating_sub(width(*c));
        fits
    };
    chars.take_while(fits).collect()
}

fn width(c: char) -> usize {
    match c {
        '\u{300}'..='\u{36f}' => 0,
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{1f300}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

fn is_harmful(c: char) -> bool {
    let turns_direction = matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let breaks_lines = matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}');
    // XML has no place for the last two of a plane, not even as an escape.
    let is_no_character = (c as u32) & 0xfffe == 0xfffe;
    c.is_control() || turns_direction || breaks_lines || is_no_character
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_record_reaches_a_terminal_or_a_page_as_it_is() {
        assert_eq!(visible("a\u{1b}[2J\n\u{202e}b\u{fffe}\0"), "a\\u{1b}[2J\\u{a}\\u{202e}b\\u{fffe}\\u{0}");
        assert_eq!(xml("<script>&\"'\u{7}"), "&lt;script&gt;&amp;&quot;&#39;\\u{7}");
        assert_eq!(visible("pod-0_ü 漢"), "pod-0_ü 漢");
    }

    #[test]
    fn long_names_keep_both_ends() {
        assert_eq!(
            shortened("controller-7d9f_0a1b2c3d4e", 12),
            "contro…2c3d4e"[..].chars().take(6).collect::<String>() + "…c3d4e"
        );
        assert_eq!(shortened("漢漢漢漢", 5), "漢…漢");
        assert_eq!(shortened("abc", 3), "abc");
        assert_eq!((shortened("abc", 1), shortened("abc", 0)), ("…".to_owned(), "…".to_owned()));
        assert_eq!(padded("漢", 4), "漢  ");
    }

    #[test]
    fn lines_are_broken_at_spaces() {
        assert_eq!(wrapped("one two three", 8), ["one two", "three"]);
        assert_eq!(wrapped("", 8), Vec::<String>::new());
        assert_eq!(wrapped("unbreakable", 5), ["un…le"]);
    }
}
