// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! How the key and the headers of a record travel in HTTP headers.
//!
//! An HTTP header holds visible ASCII only, a key and a record's header any bytes. So `FS-Key` and `FS-Header` are
//! percent-encoded: visible ASCII stands for itself, except `%` (and `=` within a header's name), and every other byte is
//! `%` and two hexadecimal digits. An ordinary key therefore reads as it is, and every key survives.

use percent_encoding::{AsciiSet, CONTROLS, percent_decode, percent_encode};

/// The record's key, percent-encoded.
pub const KEY: &str = "fs-key";
/// One header of the record as `name=value`, both percent-encoded; repeated for each.
pub const HEADER: &str = "fs-header";
/// The topic that the record is from.
pub const TOPIC: &str = "fs-topic";
/// The partition that the record is from.
pub const PARTITION: &str = "fs-partition";
/// The record's position.
pub const POSITION: &str = "fs-position";
/// Where reading goes on after the record.
pub const NEXT_POSITION: &str = "fs-next-position";
/// The record's time in milliseconds since the Unix epoch.
pub const TIMESTAMP: &str = "fs-timestamp";
/// How the payload became a JSON string: `utf-8`, or `base64` for bytes that are not UTF-8.
pub const ENCODING: &str = "fs-encoding";
/// `true` when the record's value is null, which is not an empty one; absent otherwise.
pub const NULL: &str = "fs-null";
/// How many records are in the answer.
pub const COUNT: &str = "fs-count";
/// The cursor with which the next page of a list is asked for; absent on the last one.
pub const NEXT: &str = "fs-next";
/// Given when retention dropped records that the group had not consumed: the position where it stood.
pub const SKIPPED_FROM: &str = "fs-skipped-from";

/// The content type of many events, one per line.
pub const LINES: &str = "application/x-ndjson";
/// Other names of the same type.
pub const LINES_TOO: [&str; 6] = [
    "application/json-lines",
    "application/ndjson",
    "application/jsonl",
    "application/x-jsonl",
    "application/jsonlines",
    "application/x-jsonlines",
];
/// The content type of many events, each behind a record separator: a JSON text sequence (RFC 7464).
pub const SEQUENCE: &str = "application/json-seq";
/// The end of the names of content types of that form (RFC 8091), such as `application/geo+json-seq`.
pub const SEQUENCE_SUFFIX: &str = "+json-seq";
/// The content type of events as JSON objects with keys, headers and times of their own; see [`crate::event`].
pub const EVENTS: &str = "application/vnd.function-stream.events+json";
/// The content type of many records in one packed frame.
pub const FRAME: &str = "application/vnd.function-stream.frame";

const VALUE: &AsciiSet = &CONTROLS.add(b' ').add(b'%');
const NAME: &AsciiSet = &VALUE.add(b'=');

/// A key as the value of [`KEY`].
pub fn encode_key(key: &[u8]) -> String {
    percent_encode(key, VALUE).to_string()
}

/// A record's header as the value of [`HEADER`].
pub fn encode_header(name: &str, value: &[u8]) -> String {
    format!("{}={}", percent_encode(name.as_bytes(), NAME), percent_encode(value, VALUE))
}

/// The bytes that were encoded; `None` when a `%` is not followed by two hexadecimal digits.
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|&b| b == b'%') {
        if !rest.get(at + 1..at + 3)?.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        rest = &rest[at + 3..];
    }
    Some(percent_decode(text).collect())
}

/// Name and value of a [`HEADER`]; `None` when it is not of that form or the name is empty or not UTF-8.
pub fn decode_header(text: &[u8]) -> Option<(String, Vec<u8>)> {
    let at = text.iter().position(|&b| b == b'=')?;
    let name = String::from_utf8(decode(&text[..at])?).ok()?;
    (!name.is_empty()).then_some((name, decode(&text[at + 1..])?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_keys_read_as_they_are() {
        assert_eq!(encode_key(b"order-17/eu=a"), "order-17/eu=a");
        assert_eq!(encode_header("trace", b"a=b"), "trace=a=b");
    }

    #[test]
    fn every_byte_survives() {
        let all: Vec<u8> = (0..=255).collect();
        assert!(encode_key(&all).bytes().all(|b| b.is_ascii_graphic()));
        assert_eq!(decode(encode_key(&all).as_bytes()).unwrap(), all);
        let (name, value) = decode_header(encode_header("a=b%ä", &all).as_bytes()).unwrap();
        assert_eq!((name.as_str(), value), ("a=b%ä", all));
    }

    #[test]
    fn malformed_values_are_refused() {
        for bad in ["%", "%4", "a%zz", "%+1"] {
            assert_eq!(decode(bad.as_bytes()), None, "{bad}");
        }
        for bad in ["no-equals", "=value", "%ff=x"] {
            assert_eq!(decode_header(bad.as_bytes()), None, "{bad}");
        }
    }
}
