//! Pieces of OTLP that every receiver here makes.

use std::time::SystemTime;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, KeyValueList};
use serde_json::Value as Json;

/// An attribute with a text.
pub(crate) fn text(key: &str, value: impl Into<String>) -> KeyValue {
    attribute(key, Value::StringValue(value.into()))
}

/// An attribute.
pub(crate) fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// What a receiver calls itself in its telemetry: the name of the reference's, so that what is built on it goes on working.
pub(crate) fn scope(name: &str) -> InstrumentationScope {
    InstrumentationScope {
        name: name.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}

/// A time as OTLP has it, in nanoseconds since 1970; before that it is 0.
pub(crate) fn nanos(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// JSON as a value of OTLP. What is null has no value.
pub(crate) fn any(json: Json) -> AnyValue {
    let value = match json {
        Json::Null => None,
        Json::Bool(value) => Some(Value::BoolValue(value)),
        Json::Number(number) => Some(match number.as_i64() {
            Some(number) => Value::IntValue(number),
            None => Value::DoubleValue(number.as_f64().unwrap_or(f64::NAN)),
        }),
        Json::String(text) => Some(Value::StringValue(text)),
        Json::Array(items) => {
            let values = items.into_iter().map(any).collect();
            Some(Value::ArrayValue(opentelemetry_proto::tonic::common::v1::ArrayValue { values }))
        }
        Json::Object(map) => {
            let pair = |(key, value)| KeyValue { key, value: Some(any(value)), ..KeyValue::default() };
            Some(Value::KvlistValue(KeyValueList { values: map.into_iter().map(pair).collect() }))
        }
    };
    AnyValue { value }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_keeps_its_types() {
        let made = any(json!({"a": [1, -2.5, true, null, "x"]}));
        let Some(Value::KvlistValue(map)) = made.value else { panic!("a map") };
        let Some(Value::ArrayValue(items)) = map.values[0].value.clone().and_then(|value| value.value) else {
            panic!("a list")
        };
        let values: Vec<_> = items.values.into_iter().map(|item| item.value).collect();
        let expected = [
            Some(Value::IntValue(1)),
            Some(Value::DoubleValue(-2.5)),
            Some(Value::BoolValue(true)),
            None,
            Some(Value::StringValue("x".to_owned())),
        ];
        assert_eq!((map.values[0].key.as_str(), values.as_slice()), ("a", expected.as_slice()));
    }
}
