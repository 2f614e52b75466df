// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! JSON schemas of the files, made of the tables of keys: for editors, and for whoever makes such files with a program.
//!
//! A schema knows less than the reader: what several keys say together, and the bounds of durations and sizes, it cannot.

use serde_json::{Map, Value, json};

use crate::function::keys::FUNCTION;
use crate::key::{Key, Kind, Others, Tagged, Variant, Word};
use crate::server::keys::SERVER;

/// The pattern of a duration.
pub const DURATION: &str = "^[0-9]+(ms|s|m|h|d)$";
/// The pattern of a size with a unit.
pub const SIZE: &str = "^[0-9]+(B|KiB|MiB|GiB|TiB|kB|MB|GB)?$";
/// The pattern of an address.
pub const ADDRESS: &str = ":[0-9]+$";

/// The schema of a function's file.
pub fn function_schema() -> Value {
    document("A function of Function Stream", FUNCTION)
}

/// The schema of the server's file.
pub fn server_schema() -> Value {
    document("A server of Function Stream", SERVER)
}

fn document(title: &str, keys: &[Key]) -> Value {
    let mut schema = block(keys);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!(title);
    schema["type"] = json!("object");
    schema
}

fn of(kind: &Kind) -> Value {
    match kind {
        Kind::Text | Kind::Path | Kind::LogFilter => json!({ "type": "string", "minLength": 1 }),
        Kind::AnyText => json!({ "type": "string" }),
        Kind::Address => json!({ "type": "string", "pattern": ADDRESS }),
        Kind::Word(words) => json!({ "enum": accepted(words) }),
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Number(least, u64::MAX) => json!({ "type": "integer", "minimum": least }),
        Kind::Number(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Kind::Duration => json!({ "type": "string", "pattern": DURATION }),
        Kind::Size(_) => size_from(0),
        Kind::SizeFrom(least) => size_from(*least),
        Kind::Texts => {
            json!({ "type": ["object", "null"], "additionalProperties": { "type": ["string", "number", "boolean"] } })
        }
        Kind::List(of_, least, usize::MAX) => json!({ "type": "array", "items": of(of_), "minItems": least }),
        Kind::List(of_, least, most) => {
            json!({ "type": "array", "items": of(of_), "minItems": least, "maxItems": most })
        }
        Kind::Block(keys) => block(keys),
        Kind::Tagged(tagged) => {
            json!({ "oneOf": tagged.variants.iter().map(|one| variant(tagged, one)).collect::<Vec<_>>() })
        }
        Kind::Either(kinds) => json!({ "anyOf": kinds.iter().map(of).collect::<Vec<_>>() }),
        Kind::Any => json!({}),
    }
}

fn accepted(words: &[Word]) -> Vec<&'static str> {
    words.iter().filter(|word| word.refused.is_none()).map(|word| word.name).collect()
}

fn block(keys: &[Key]) -> Value {
    let (mut properties, mut patterns) = (Map::new(), Map::new());
    for key in keys {
        let mut schema = of(key.kind);
        schema["description"] = json!(description(key));
        match key.name.strip_suffix('*') {
            Some(begin) => {
                patterns.insert(format!("^{begin}"), schema);
            }
            None => {
                properties.extend(key.alias.map(|alias| (alias.to_owned(), schema.clone())));
                properties.insert(key.name.to_owned(), schema);
            }
        }
    }
    let mut schema = json!({ "type": ["object", "null"], "properties": properties, "additionalProperties": false });
    if !patterns.is_empty() {
        schema["patternProperties"] = Value::Object(patterns);
    }
    let (either, required): (Vec<_>, Vec<_>) =
        keys.iter().filter(|key| key.required).partition(|key| key.alias.is_some());
    if !required.is_empty() || !either.is_empty() {
        schema["type"] = json!("object");
        schema["required"] = json!(required.iter().map(|key| key.name).collect::<Vec<_>>());
    }
    // Under either name, and not under both.
    for key in either {
        schema["oneOf"] = json!([{ "required": [key.name] }, { "required": [key.alias] }]);
    }
    schema
}

fn description(key: &Key) -> String {
    match (key.idle, key.default) {
        (Some(why), _) => format!("{} {}.", key.doc, capital(why)),
        (None, "") => key.doc.to_owned(),
        (None, default) => format!("{} Default: {default}.", key.doc),
    }
}

fn capital(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map_or_else(String::new, |first| first.to_uppercase().chain(rest).collect())
}

fn variant(tagged: &Tagged, variant: &Variant) -> Value {
    let mut schema = block(variant.keys);
    schema["type"] = json!("object");
    schema["description"] = json!(variant.doc);
    schema["properties"][tagged.tag] = json!({ "const": variant.word, "description": tagged.doc });
    if schema.get("required").is_none() {
        schema["required"] = json!([]);
    }
    if let Some(required) = schema["required"].as_array_mut() {
        required.insert(0, json!(tagged.tag));
    }
    if let Others::Passed(refused, plain) = &variant.others {
        for (name, why) in *refused {
            schema["properties"][*name] = json!({ "not": {}, "description": format!("Cannot be set: {why}.") });
        }
        let passed =
            json!({ "type": ["string", "number", "boolean"], "description": "Passes to the broker's client." });
        for name in *plain {
            schema["properties"][*name] = passed.clone();
        }
        schema["patternProperties"]["\\."] = passed;
    }
    schema
}

/// A size of so many bytes at least; a text is only looked at for its form.
fn size_from(least: usize) -> Value {
    json!({ "anyOf": [{ "type": "integer", "minimum": least }, { "type": "string", "pattern": SIZE }] })
}
