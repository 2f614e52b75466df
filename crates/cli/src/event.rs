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

pub(crate) use fnstream_api::event::JsonBytes as Data;
use fnstream_api::event::{JsonEvent, JsonHeader};
use fnstream_api::json::wrong_in_line;
use fnstream_frame::{HeadersBuilder, RecordRef, RecordView};

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

/// An event that was read.
pub(crate) struct Read(JsonEvent);

impl Read {
    /// Reads a line; what is wrong with it is told otherwise.
    pub(crate) fn line(line: &[u8]) -> Result<Read, String> {
        serde_json::from_slice(line).map(Read).map_err(|e| wrong_in_line(&e))
    }

    /// The record, which has that time if the line says none.
    pub(crate) fn record<'a>(&'a self, now_ms: i64, headers: &'a mut HeadersBuilder) -> Result<RecordRef<'a>, String> {
        let Read(event) = self;
        for JsonHeader { name, value } in &event.headers {
            headers.push(name, &value.0).map_err(|e| format!("'{}' is not a header: {e}", name.escape_debug()))?;
        }
        let record = event.value.as_ref().map_or_else(RecordRef::null, |value| RecordRef::new(&value.0));
        let key = event.key.as_ref().map(|key| &*key.0);
        Ok(record.with_key(key).with_headers(headers.as_headers()).at(event.timestamp.unwrap_or(now_ms)))
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
            ("{}", "the field 'value' is missing"),
            (r#"{"value":1}"#, "a string or"),
            (r#"{"value":{"a":1}}"#, "base64"),
            (r#"{"value":{"base64":"?"}}"#, "not base64"),
            (r#"{"value":"v","kee":"k"}"#, "kee"),
            (r#"{"value":"v"} x"#, "more follows"),
            ("v", "a value is missing, or is none"),
        ] {
            let error = Read::line(line.as_bytes()).map(drop).unwrap_err();
            assert!(error.contains(why), "{line}: {error}");
        }
    }
}
