// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! As much of JSON Schema as our schemas use. A keyword that is not known here fails the test, so that none is passed over.

use fnstream_config::schema::{ADDRESS, DURATION, SIZE};
use fnstream_core::units::{parse_duration, parse_size};
use serde_json::Value;

/// A YAML text as the JSON that it stands for.
pub(crate) fn from_yaml(text: &str) -> Value {
    try_yaml(text).unwrap()
}

/// The same, unless YAML itself is wrong.
pub(crate) fn try_yaml(text: &str) -> Option<Value> {
    // As YAML 1.2 has it: `y` and `yes` are text.
    serde_saphyr::from_str_with_options(text, serde_saphyr::options! { strict_booleans: true }).ok()
}

/// Everything in a value that a schema does not allow.
pub(crate) fn violations(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(schema, value, "", &mut found);
    found
}

fn check(schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
    for (keyword, rule) in schema.as_object().unwrap() {
        let good = match keyword.as_str() {
            "$schema" | "title" | "description" => true,
            "type" => match rule {
                Value::Array(kinds) => kinds.iter().any(|kind| is(kind, value)),
                kind => is(kind, value),
            },
            "enum" => rule.as_array().unwrap().contains(value),
            "const" => rule == value,
            "not" => !violations(rule, value).is_empty(),
            "minLength" => value.as_str().is_none_or(|text| text.len() as u64 >= rule.as_u64().unwrap()),
            "minimum" => value.as_f64().is_none_or(|number| number >= rule.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|number| number <= rule.as_f64().unwrap()),
            "minItems" => value.as_array().is_none_or(|list| list.len() as u64 >= rule.as_u64().unwrap()),
            "maxItems" => value.as_array().is_none_or(|list| list.len() as u64 <= rule.as_u64().unwrap()),
            "pattern" => value.as_str().is_none_or(|text| matches(rule.as_str().unwrap(), text)),
            "required" => {
                let has = |name: &Value| value.get(name.as_str().unwrap()).is_some();
                !value.is_object() || rule.as_array().unwrap().iter().all(has)
            }
            "anyOf" => rule.as_array().unwrap().iter().any(|one| violations(one, value).is_empty()),
            "oneOf" => rule.as_array().unwrap().iter().filter(|one| violations(one, value).is_empty()).count() == 1,
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(rule, item, &format!("{path}[{index}]"), found);
                }
                true
            }
            "properties" | "patternProperties" => true,
            "additionalProperties" => {
                entries(schema, rule, value, path, found);
                true
            }
            other => panic!("the keyword '{other}' is not known to this test"),
        };
        if !good {
            found.push(format!("{path}: {keyword} {rule} of {value}"));
        }
    }
}

fn entries(schema: &Value, others: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
    for (name, value) in value.as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        let named = schema.get("properties").and_then(|properties| properties.get(name));
        let by_pattern = schema.get("patternProperties").and_then(Value::as_object).into_iter().flatten();
        let mut rules: Vec<_> = by_pattern.filter(|(pattern, _)| fits(pattern, name)).map(|(_, rule)| rule).collect();
        rules.extend(named);
        match (rules.is_empty(), others) {
            (true, Value::Bool(true)) => {}
            (true, Value::Bool(false)) => found.push(format!("{path}: is not known")),
            (true, rule) => check(rule, value, &path, found),
            (false, _) => rules.into_iter().for_each(|rule| check(rule, value, &path, found)),
        }
    }
}

fn fits(pattern: &str, name: &str) -> bool {
    match pattern {
        "\\." => name.contains('.'),
        pattern => name.starts_with(pattern.strip_prefix('^').unwrap()),
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    match pattern {
        DURATION => parse_duration(text).is_ok(),
        SIZE => parse_size(text).is_ok(),
        ADDRESS => {
            text.rsplit_once(':').is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
        }
        other => panic!("the pattern '{other}' is not known to this test"),
    }
}

fn is(kind: &Value, value: &Value) -> bool {
    match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        other => panic!("the type '{other}' is not known to this test"),
    }
}
