//! Whether a value is of a schema: the keywords of the tests, as the standard puts them, written without a look at how
//! grammars are made of them.

use serde_json::Value;

/// Checks a value against a part of the schema `root`.
pub fn is_valid(value: &Value, schema: &Value, root: &Value) -> bool {
    let Some(rules) = schema.as_object() else { return schema.as_bool().unwrap_or(false) };
    rules.iter().all(|(keyword, rule)| match keyword.as_str() {
        "$ref" => {
            let pointer = rule.as_str().and_then(|text| text.strip_prefix('#')).unwrap();
            is_valid(value, root.pointer(pointer).unwrap(), root)
        }
        "const" => value == rule,
        "enum" => list(rule).contains(value),
        "anyOf" => list(rule).iter().any(|schema| is_valid(value, schema, root)),
        "allOf" => list(rule).iter().all(|schema| is_valid(value, schema, root)),
        "type" => match rule {
            Value::Array(types) => types.iter().any(|name| is_type(value, name)),
            name => is_type(value, name),
        },
        "minimum" => value.as_f64().is_none_or(|x| x >= number(rule)),
        "maximum" => value.as_f64().is_none_or(|x| x <= number(rule)),
        "minLength" => value.as_str().is_none_or(|text| text.chars().count() as f64 >= number(rule)),
        "maxLength" => value.as_str().is_none_or(|text| text.chars().count() as f64 <= number(rule)),
        "minItems" => value.as_array().is_none_or(|list| list.len() as f64 >= number(rule)),
        "maxItems" => value.as_array().is_none_or(|list| list.len() as f64 <= number(rule)),
        "items" => value.as_array().is_none_or(|list| list.iter().all(|item| is_valid(item, rule, root))),
        "required" => value
            .as_object()
            .is_none_or(|object| list(rule).iter().all(|name| object.contains_key(name.as_str().unwrap()))),
        "properties" => value.as_object().is_none_or(|object| {
            object.iter().all(|(name, value)| rule.get(name).is_none_or(|rule| is_valid(value, rule, root)))
        }),
        "additionalProperties" => value.as_object().is_none_or(|object| {
            let named = |name: &str| rules.get("properties").is_some_and(|all| all.get(name).is_some());
            object.iter().all(|(name, value)| named(name) || is_valid(value, rule, root))
        }),
        "$defs" => true,
        other => panic!("the tests have no keyword {other}"),
    })
}

fn is_type(value: &Value, name: &Value) -> bool {
    match name.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.as_f64().is_some_and(|x| x.fract() == 0.0),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("there is no type {other}"),
    }
}

fn list(rule: &Value) -> &Vec<Value> {
    rule.as_array().unwrap()
}

fn number(rule: &Value) -> f64 {
    rule.as_f64().unwrap()
}
