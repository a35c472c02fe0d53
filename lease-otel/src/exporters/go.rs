//! Numbers and values as Go writes them, because the Collector's output is compared with byte by byte.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;

/// The shortest digits that give the number back, with an exponent outside of the range from `least` to `most`.
fn shortest(value: f64, least: f64, most: f64, exponent_digits: usize) -> String {
    let size = value.abs();
    if size == 0.0 || (size >= least && size < most) {
        return value.to_string();
    }
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
    format!("{digits}e{sign}{exponent:0>exponent_digits$}")
}

/// What is written of a number that is none; none for all others.
fn special(value: f64, infinite: &str, plus: &str) -> Option<String> {
    if value.is_nan() {
        Some("NaN".to_owned())
    } else if value.is_infinite() {
        Some(format!("{}{infinite}", if value > 0.0 { plus } else { "-" }))
    } else {
        None
    }
}

/// As `%v`.
pub(crate) fn general(value: f64) -> String {
    special(value, "Inf", "+").unwrap_or_else(|| shortest(value, 1e-4, 1e21, 2))
}

/// As `%f`.
pub(crate) fn fixed(value: f64) -> String {
    special(value, "Inf", "+").unwrap_or_else(|| format!("{value:.6}"))
}

/// As the JSON of OTLP.
pub(crate) fn otlp_json(value: f64) -> String {
    match special(value, "Infinity", "") {
        Some(special) => format!("\"{special}\""),
        None => shortest(value, 1e-6, 1e21, 2),
    }
}

/// As the standard JSON encoder; empty where that fails.
fn json_number(value: f64) -> Option<String> {
    value.is_finite().then(|| shortest(value, 1e-6, 1e21, 1))
}

/// An id in hexadecimal digits; one of zeros is none, and empty.
pub(crate) fn hex(bytes: &[u8]) -> String {
    if bytes.iter().all(|byte| *byte == 0) {
        return String::new();
    }
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// An attribute's value as text.
pub(crate) fn value_text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        None => String::new(),
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::BoolValue(value)) => value.to_string(),
        Some(Value::IntValue(value)) => value.to_string(),
        Some(Value::DoubleValue(value)) => {
            special(*value, "Inf", "+").unwrap_or_else(|| json_number(*value).unwrap_or_default())
        }
        Some(Value::BytesValue(bytes)) => STANDARD.encode(bytes),
        Some(Value::StringValueStrindex(index)) => index.to_string(),
        Some(nested @ (Value::ArrayValue(_) | Value::KvlistValue(_))) => {
            let mut text = String::new();
            // A number that is none cannot be written, and then nothing is.
            if plain_json(&mut text, Some(nested)).is_some() { text } else { String::new() }
        }
    }
}

/// The kind of an attribute's value.
pub(crate) fn value_kind(value: Option<&AnyValue>) -> &'static str {
    match value.and_then(|value| value.value.as_ref()) {
        None => "Empty",
        Some(Value::StringValue(_)) => "Str",
        Some(Value::BoolValue(_)) => "Bool",
        Some(Value::IntValue(_) | Value::StringValueStrindex(_)) => "Int",
        Some(Value::DoubleValue(_)) => "Double",
        Some(Value::BytesValue(_)) => "Bytes",
        Some(Value::ArrayValue(_)) => "Slice",
        Some(Value::KvlistValue(_)) => "Map",
    }
}

/// Nested values as the standard JSON encoder writes them: keys in order, and safe to be put into HTML.
fn plain_json(out: &mut String, value: Option<&Value>) -> Option<()> {
    match value {
        None => out.push_str("null"),
        Some(Value::StringValue(text)) => html_safe(out, text),
        Some(Value::BoolValue(value)) => out.push_str(if *value { "true" } else { "false" }),
        Some(Value::IntValue(value)) => out.push_str(&value.to_string()),
        Some(Value::StringValueStrindex(index)) => out.push_str(&index.to_string()),
        Some(Value::DoubleValue(value)) => out.push_str(&json_number(*value)?),
        Some(Value::BytesValue(bytes)) => html_safe(out, &STANDARD.encode(bytes)),
        Some(Value::ArrayValue(list)) => {
            out.push('[');
            for (index, item) in list.values.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                plain_json(out, item.value.as_ref())?;
            }
            out.push(']');
        }
        Some(Value::KvlistValue(map)) => {
            let mut entries: Vec<_> = map.values.iter().collect();
            entries.sort_by(|a, b| a.key.cmp(&b.key));
            out.push('{');
            for (index, entry) in entries.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                html_safe(out, &entry.key);
                out.push(':');
                plain_json(out, entry.value.as_ref().and_then(|value| value.value.as_ref()))?;
            }
            out.push('}');
        }
    }
    Some(())
}

fn html_safe(out: &mut String, text: &str) {
    quoted(out, text, |c| matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}'));
}

/// A JSON text; what is below a space, and what `escaped` says, as `\u` where it has no short form.
pub(crate) fn quoted(out: &mut String, text: &str, escaped: impl Fn(char) -> bool) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' || escaped(c) => {
                // Writing to a text cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_go_does() {
        let all = |value| (general(value), fixed(value), otlp_json(value));
        let expected = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
        assert_eq!(all(3.0), expected("3", "3.000000", "3"));
        assert_eq!(all(1e-5), expected("1e-05", "0.000010", "0.00001"));
        assert_eq!(all(-1.5e-7), expected("-1.5e-07", "-0.000000", "-1.5e-07"));
        assert_eq!(all(1e21), expected("1e+21", "1000000000000000000000.000000", "1e+21"));
        assert_eq!(all(f64::NEG_INFINITY), expected("-Inf", "-Inf", "\"-Infinity\""));
        assert_eq!(all(f64::INFINITY), expected("+Inf", "+Inf", "\"Infinity\""));
        assert_eq!(all(f64::NAN), expected("NaN", "NaN", "\"NaN\""));
    }
}
