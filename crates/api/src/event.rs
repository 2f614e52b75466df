// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! An event as a JSON object: for what does not fit into a line or into HTTP headers.
//!
//! ```text
//! {"value":"text","key":"k","headers":[{"name":"trace","value":{"base64":"/w=="}}],"timestamp":1700000000000}
//! ```
//!
//! Values, keys and values of headers are a string, or an object with the base64 of bytes that are no text. A value may also be
//! `null`, which is not an empty one. All but the value may be left out, and `null` says the same for key and timestamp. An event as
//! `client consume --json` prints it has this form: its place, `partition` and `position`, may be there and says nothing of where
//! the event goes.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

use crate::json;

/// An event that is to be produced.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JsonEvent {
    /// The payload; `null` is a value that is null, not an empty one.
    #[serde(deserialize_with = "present")]
    pub value: Option<Bytes>,
    /// The key; without one that of the request, if it has one.
    #[serde(default)]
    pub key: Option<Bytes>,
    /// The headers in order, behind those of the request.
    #[serde(default)]
    pub headers: Vec<JsonHeader>,
    /// The time in milliseconds since the Unix epoch; without it that of the request, or of its arrival.
    #[serde(default)]
    pub timestamp: Option<i64>,
    /// Where an event was that has been consumed: says nothing of where it goes.
    #[serde(default, rename = "partition")]
    #[schema(value_type = Option<u32>)]
    _partition: Option<Anything>,
    /// The same.
    #[serde(default, rename = "position")]
    #[schema(value_type = Option<String>)]
    _position: Option<Anything>,
}

/// A header of an event.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JsonHeader {
    /// The name.
    pub name: String,
    /// The value.
    pub value: Bytes,
}

/// Bytes: a string, or an object with the base64 of what is no text.
#[derive(Debug, Clone, PartialEq, Eq, Default, ToSchema)]
#[schema(value_type = String)]
pub struct Bytes(pub Vec<u8>);

/// Bytes that are written so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonBytes<'a>(pub &'a [u8]);

impl Serialize for JsonBytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => {
                let mut object = serializer.serialize_map(Some(1))?;
                object.serialize_entry("base64", &STANDARD.encode(self.0))?;
                object.end()
            }
        }
    }
}

/// What is not looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Anything;

impl<'de> Deserialize<'de> for Anything {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Anything)
    }
}

/// A field that may be null and has to be there.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Bytes>, D::Error> {
    Option::deserialize(deserializer)
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BytesVisitor)
    }
}

struct BytesVisitor;

impl<'de> Visitor<'de> for BytesVisitor {
    type Value = Bytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or {\"base64\": \"…\"}")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Bytes, E> {
        Ok(Bytes(text.as_bytes().to_vec()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Bytes, A::Error> {
        let no_bytes = || A::Error::custom("an object stands for bytes and has one field, \"base64\"");
        if map.next_key::<String>()?.is_none_or(|name| name != "base64") {
            return Err(no_bytes());
        }
        let text = map.next_value::<String>()?;
        if map.next_key::<IgnoredAny>()?.is_some() {
            return Err(no_bytes());
        }
        json::base64(&text).map(Bytes).map_err(|why| A::Error::custom(format_args!("not base64: {why}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<JsonEvent, String> {
        serde_json::from_str(text).map_err(|e| json::wrong(&e))
    }

    #[test]
    fn null_empty_text_and_bytes_are_told_apart() {
        for (text, value) in [
            (r#"{"value":null}"#, None),
            (r#"{"value":""}"#, Some(vec![])),
            (r#"{"value":"/w=="}"#, Some(b"/w==".to_vec())),
            (r#"{"value":"\u0000\n"}"#, Some(b"\0\n".to_vec())),
            (r#"{"value":{"base64":"/w=="}}"#, Some(vec![0xff])),
        ] {
            assert_eq!(read(text).unwrap().value, value.map(Bytes), "{text}");
        }
    }

    #[test]
    fn an_event_has_a_key_headers_and_a_time() {
        let text = r#"{"partition":2,"position":"8","timestamp":-1,"key":"","headers":[{"name":"h","value":{"base64":"/w=="}}],"value":"v"}"#;
        let event = read(text).unwrap();
        let header = JsonHeader { name: "h".into(), value: Bytes(vec![0xff]) };
        assert_eq!((event.timestamp, event.key, event.headers), (Some(-1), Some(Bytes(vec![])), vec![header]));
        let least = read(r#"{"value":"v","key":null,"timestamp":null,"position":null}"#).unwrap();
        assert_eq!((least.timestamp, least.key, least.headers), (None, None, vec![]));
    }

    #[test]
    fn what_is_no_event_is_refused_with_a_reason() {
        for (text, why) in [
            ("{}", "the field 'value' is missing"),
            (r#"{"value":1}"#, "a string or {\"base64\": \"…\"}"),
            (r#"{"value":{"money":2}}"#, "one field, \"base64\""),
            (r#"{"value":{"base64":"a","b":"c"}}"#, "one field, \"base64\""),
            (r#"{"value":{"base64":"%"}}"#, "not base64"),
            (r#"{"value":"v","kye":"k"}"#, "there is no field 'kye'"),
            (r#"{"value":"v","headers":{"a":"b"}}"#, "an array is expected, not an object"),
            (r#"{"value":"v","timestamp":"now"}"#, "a whole number is expected, not the text \"now\""),
            (r#""v""#, "an object is expected, not the text"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
