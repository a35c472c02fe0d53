//! What a plain scalar is: nothing, a truth value, a number or text.
//!
//! As the YAML library of the OpenTelemetry Collector resolves them, which is the core schema of YAML 1.2 with the
//! integers of Go: `0644` is octal, `0b1` binary, and `_` may stand between digits.

use saphyr_parser::{ScalarStyle, Tag};

use super::super::tree::Value;

/// The value of a scalar, and how it is written where that is not plain from the value.
pub(super) fn resolve(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<(Value, Option<Box<str>>), String> {
    let value = match tag {
        None if style == ScalarStyle::Plain => plain(text),
        None => Value::String(text.to_owned()),
        Some(tag) => tagged(text, tag)?,
    };
    let as_shown = match &value {
        Value::Bool(value) => value.to_string() == text,
        Value::Int(value) => value.to_string() == text,
        Value::Float(value) => value.to_string() == text,
        Value::Null | Value::String(_) | Value::List(_) | Value::Map(_) => true,
    };
    Ok((value, (!as_shown).then(|| text.into())))
}

fn tagged(text: &str, tag: &Tag) -> Result<Value, String> {
    // The tag `!` alone makes it text, whatever it looks like.
    if tag.handle.is_empty() && tag.suffix == "!" {
        return Ok(Value::String(text.to_owned()));
    }
    let wrong = |what: &str| Err(format!("this is not {what}, as its tag says"));
    if !tag.is_yaml_core_schema() {
        return Err(unknown_tag(tag));
    }
    match (tag.suffix.as_str(), plain(text)) {
        ("str", _) => Ok(Value::String(text.to_owned())),
        ("null", Value::Null) => Ok(Value::Null),
        ("bool", value @ Value::Bool(_)) | ("int", value @ Value::Int(_)) | ("float", value @ Value::Float(_)) => {
            Ok(value)
        }
        // The next double is near enough, as for any number that is written in decimals.
        #[expect(clippy::cast_precision_loss)]
        ("float", Value::Int(value)) => Ok(Value::Float(value as f64)),
        ("null", _) => wrong("null"),
        ("bool", _) => wrong("a truth value"),
        ("int", _) => wrong("a whole number"),
        ("float", _) => wrong("a number"),
        _ => Err(unknown_tag(tag)),
    }
}

/// What is said of a tag that means nothing in a configuration.
pub(super) fn unknown_tag(tag: &Tag) -> String {
    format!("the tag `{tag}` has no meaning in a configuration; leave it out")
}

fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        _ => {}
    }
    integer(text)
        .map(Value::Int)
        .or_else(|| float(text).map(Value::Float))
        .unwrap_or_else(|| Value::String(text.into()))
}

fn integer(text: &str) -> Option<i64> {
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    // Not of the sign of a sign, which the parser of a number would take.
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let digits = digits.replace('_', "");
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits.as_str()),
    };
    if !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    let value = i128::from_str_radix(digits, radix).ok()?;
    i64::try_from(if is_negative { -value } else { value }).ok()
}

fn float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        return Some(if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY });
    }
    // What Rust takes beyond this are words: `infinity`, `nan`.
    let is_number = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && unsigned.contains(|c: char| c.is_ascii_digit())
        && unsigned.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '-' | '+'));
    if is_number { text.parse().ok() } else { None }
}
