//! JSON as template values.

use minijinja::Value;
use serde_json::Value as Json;

/// The same data as a template sees it; numbers keep their kind, keys their order.
///
/// Recursion is bounded by the parser of JSON, which stops at 128 levels; deeper values made in code run on the
/// rendering thread's large stack.
pub(super) fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(flag) => Value::from(*flag),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(integer), _) => Value::from(integer),
            (None, Some(integer)) => Value::from(integer),
            (None, None) => Value::from(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => Value::from(items.iter().map(value).collect::<Vec<Value>>()),
        Json::Object(fields) => {
            Value::from_pairs(fields.iter().map(|(name, field)| (name.as_str(), value(field))))
        }
    }
}

/// The same JSON with every string, keys too, replaced by what `map` makes of it.
pub(crate) fn map_strings(json: &Json, map: &dyn Fn(&str) -> String) -> Json {
    match json {
        Json::String(text) => Json::String(map(text)),
        Json::Array(items) => items.iter().map(|item| map_strings(item, map)).collect(),
        Json::Object(fields) => {
            fields.iter().map(|(name, field)| (map(name), map_strings(field, map))).collect()
        }
        other => other.clone(),
    }
}
