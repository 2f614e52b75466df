// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! An event as a JSON object in a line, written and read.
//!
//! ```json
//! {"partition":0,"position":"7","timestamp":1,"key":null,"headers":[{"name":"h","value":"1"}],"value":"a"}
//! ```
//!
//! A key and a value are null, a text, or bytes that are no text as `{"base64":"/w=="}`. Reading needs the value alone; a partition
//! and a position are read over: they say where the event was.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fnstream_frame::{HeadersBuilder, RecordRef, RecordView};
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// An event with all that belongs to it, to be written.
#[derive(serde::Serialize)]
pub(crate) struct Event<'a> {
    partition: u32,
    position: Option<String>,
    timestamp: i64,
    key: Option<Data<'a>>,
    headers: Vec<Header<'a>>,
    value: Option<Data<'a>>,
}

#[derive(serde::Serialize)]
struct Header<'a> {
    name: &'a str,
    value: Data<'a>,
}

impl<'a> Event<'a> {
    /// The event of a record at a place.
    pub(crate) fn of(partition: u32, position: Option<String>, record: &RecordView<'a>) -> Self {
        Event {
            partition,
            position,
            timestamp: record.timestamp,
            key: record.key.map(Data),
            headers: record.headers.iter().map(|(name, value)| Header { name, value: Data(value) }).collect(),
            value: record.value.map(Data),
        }
    }
}

/// Bytes as a text if they are one, and otherwise as their base64 in an object, which no text looks like.
pub(crate) struct Data<'a>(pub(crate) &'a [u8]);

impl Serialize for Data<'_> {
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

/// An event that was read.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Read {
    #[serde(default, rename = "partition")]
    _partition: de::IgnoredAny,
    #[serde(default, rename = "position")]
    _position: de::IgnoredAny,
    #[serde(default)]
    timestamp: Option<i64>,
    #[serde(default)]
    key: Option<Bytes>,
    #[serde(default)]
    headers: Vec<ReadHeader>,
    // Null is said, not left out.
    #[serde(deserialize_with = "Option::deserialize")]
    value: Option<Bytes>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadHeader {
    name: String,
    value: Bytes,
}

#[derive(Debug)]
struct Bytes(Vec<u8>);

impl Read {
    /// Reads a line; what is wrong with it is told otherwise.
    pub(crate) fn line(line: &[u8]) -> Result<Read, String> {
        serde_json::from_slice(line).map_err(|e| e.to_string())
    }

    /// The record, which has that time if the line says none.
    pub(crate) fn record<'a>(&'a self, now_ms: i64, headers: &'a mut HeadersBuilder) -> Result<RecordRef<'a>, String> {
        for ReadHeader { name, value } in &self.headers {
            headers.push(name, &value.0).map_err(|e| format!("'{}' is not a header: {e}", name.escape_debug()))?;
        }
        let record = self.value.as_ref().map_or_else(RecordRef::null, |value| RecordRef::new(&value.0));
        let key = self.key.as_ref().map(|key| &*key.0);
        Ok(record.with_key(key).with_headers(headers.as_headers()).at(self.timestamp.unwrap_or(now_ms)))
    }
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
        f.write_str(r#"a text, or {"base64":"…"}"#)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Bytes, E> {
        Ok(Bytes(text.as_bytes().to_vec()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Bytes, A::Error> {
        let Some((name, text)) = map.next_entry::<String, String>()? else {
            return Err(de::Error::missing_field("base64"));
        };
        if name != "base64" || map.next_key::<String>()?.is_some() {
            return Err(de::Error::custom(r#"an object in the place of bytes has "base64" alone"#));
        }
        STANDARD.decode(text).map(Bytes).map_err(|e| de::Error::custom(format!("no base64: {e}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(record: RecordRef<'_>) -> String {
        serde_json::to_string(&Event::of(3, Some("9".into()), &record)).unwrap()
    }

    #[test]
    fn what_is_written_is_read_as_it_was() {
        let mut headers = HeadersBuilder::new();
        headers.push("h", b"1").unwrap();
        headers.push("h", &[0xff]).unwrap();
        for value in [None, Some(&b""[..]), Some(b"a\"\n"), Some(b"/w=="), Some(&[0xff, 0])] {
            for key in [None, Some(&b""[..]), Some(&[0xfe])] {
                let record = RecordRef { value, ..RecordRef::null() };
                let record = record.with_key(key).with_headers(headers.as_headers()).at(-5);
                let line = written(record);
                let (read, mut headers) = (Read::line(line.as_bytes()).unwrap(), HeadersBuilder::new());
                assert_eq!(written(read.record(7, &mut headers).unwrap()), line);
            }
        }
    }

    #[test]
    fn the_value_is_enough_and_the_rest_is_not_guessed() {
        let (read, mut headers) = (Read::line(br#"{"value":"v"}"#).unwrap(), HeadersBuilder::new());
        let record = read.record(7, &mut headers).unwrap();
        assert_eq!((record.timestamp, record.key, record.bytes()), (7, None, &b"v"[..]));
        for (line, why) in [
            ("{}", "missing field `value`"),
            (r#"{"value":1}"#, "a text, or"),
            (r#"{"value":{"a":1}}"#, "base64"),
            (r#"{"value":{"base64":"?"}}"#, "no base64"),
            (r#"{"value":"v","kee":"k"}"#, "kee"),
            (r#"{"value":"v"} x"#, "trailing"),
            ("v", "expected"),
        ] {
            let error = Read::line(line.as_bytes()).unwrap_err();
            assert!(error.contains(why), "{line}: {error}");
        }
    }
}
