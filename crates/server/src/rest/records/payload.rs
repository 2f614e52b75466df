// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The body of a produce request as records.

use axum::http::{HeaderMap, header::CONTENT_TYPE};
use fnstream_api::json::wrong;
use fnstream_api::{JsonEvent, header};
use fnstream_core::ErrorCode;
use fnstream_frame::{Frame, FrameBuilder, HeadersBuilder, RecordRef};

use crate::rest::failure::{Answer, Failure};

/// Key, headers and time, the same for each event of a request.
pub(super) struct Labels {
    key: Option<Vec<u8>>,
    headers: HeadersBuilder,
    timestamp: Option<i64>,
}

impl Labels {
    /// Reads the labels; the key is in the query or in a header, not in both.
    pub(super) fn read(headers: &HeaderMap, query_key: Option<&[u8]>, timestamp: Option<i64>) -> Answer<Self> {
        let mut keys = headers.get_all(header::KEY).iter().map(|v| v.as_bytes());
        let key = match (keys.next(), query_key) {
            (Some(_), Some(_)) => return Err(Failure::invalid("the key is given in the query and in FS-Key")),
            (Some(text), None) => Some(header::decode(text).ok_or_else(|| malformed("FS-Key"))?),
            (None, key) => key.map(<[u8]>::to_vec),
        };
        if keys.next().is_some() {
            return Err(Failure::invalid("FS-Key is given twice"));
        }
        let mut labels = Labels { key, headers: HeadersBuilder::new(), timestamp };
        for value in headers.get_all(header::HEADER) {
            let (name, value) = header::decode_header(value.as_bytes()).ok_or_else(|| malformed("FS-Header"))?;
            let pushed = labels.headers.push(&name, &value);
            pushed.map_err(|e| Failure::invalid(format!("FS-Header is not a header: {e}")))?;
        }
        Ok(labels)
    }

    fn record<'a>(&'a self, value: &'a [u8], now_ms: i64) -> RecordRef<'a> {
        let record = RecordRef::new(value).with_key(self.key.as_deref()).with_headers(self.headers.as_headers());
        record.at(self.timestamp.unwrap_or(now_ms))
    }

    fn is_empty(&self) -> bool {
        self.key.is_none() && self.headers.as_headers().is_empty() && self.timestamp.is_none()
    }
}

fn malformed(name: &str) -> Failure {
    Failure::invalid(format!("{name} is not percent-encoded: '%' must be followed by two hexadecimal digits"))
}

/// The record of a request for one whose value is null.
pub(super) fn null(headers: &HeaderMap, body: &[u8], labels: &Labels, now_ms: i64) -> Answer<FrameBuilder> {
    if !body.is_empty() {
        return Err(Failure::invalid(
            "'null=true' and a body are both given: an event whose value is null has no body",
        ));
    }
    let media_type = media_type(headers);
    if !matches!(kind(&media_type)?, Kind::One) {
        let message = format!("'null=true' appends one event, but the content type '{media_type}' is of several");
        return Err(Failure::invalid(message));
    }
    let mut records = FrameBuilder::new();
    records.push(RecordRef { value: None, ..labels.record(b"", now_ms) });
    Ok(records)
}

/// The records of a body that is not empty.
pub(super) fn records(headers: &HeaderMap, body: &[u8], labels: &Labels, now_ms: i64) -> Answer<FrameBuilder> {
    let mut records = FrameBuilder::new();
    match kind(&media_type(headers))? {
        Kind::Lines => {
            for (index, line) in lines(body).enumerate() {
                if line.is_empty() {
                    return Err(Failure::invalid(format!(
                        "line {} is empty: an event has at least one byte",
                        index + 1
                    )));
                }
                records.push(labels.record(line, now_ms));
            }
        }
        Kind::Sequence => {
            for text in sequence(body)? {
                records.push(labels.record(text, now_ms));
            }
        }
        Kind::Json => {
            for (index, event) in serde_json::Deserializer::from_slice(body).into_iter::<JsonEvent>().enumerate() {
                let event = event.map_err(|e| Failure::invalid(format!("event {}: {}", index + 1, wrong(&e))))?;
                let mut own = labels.headers.clone();
                for header in &event.headers {
                    let pushed = own.push(&header.name, &header.value.0);
                    pushed.map_err(|e| Failure::invalid(format!("event {}: a header: {e}", index + 1)))?;
                }
                let (key, value) = (event.key.as_ref().map(|key| &key.0[..]), event.value.as_ref().map(|v| &v.0[..]));
                let record = labels.record(b"", now_ms);
                let record = RecordRef { value, key: key.or(record.key), ..record }.with_headers(own.as_headers());
                records.push(record.at(event.timestamp.unwrap_or(record.timestamp)));
            }
        }
        Kind::Frame => {
            let frame = Frame::parse(body).map_err(|e| Failure::invalid(format!("the body is not a frame: {e}")))?;
            if !labels.is_empty() {
                return Err(Failure::invalid("the records of a frame have keys, headers and times of their own"));
            }
            records.extend(&frame, 0..frame.len(), Some(0));
        }
        Kind::One => records.push(labels.record(body, now_ms)),
    }
    Ok(records)
}

/// What a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// One event.
    One,
    /// One in each line.
    Lines,
    /// One behind each record separator.
    Sequence,
    /// JSON objects.
    Json,
    /// A packed frame.
    Frame,
}

fn kind(media_type: &str) -> Answer<Kind> {
    match media_type {
        header::EVENTS => Ok(Kind::Json),
        header::FRAME => Ok(Kind::Frame),
        lines if lines == header::LINES || header::LINES_TOO.contains(&lines) => Ok(Kind::Lines),
        sequence if sequence == header::SEQUENCE || sequence.ends_with(header::SEQUENCE_SUFFIX) => Ok(Kind::Sequence),
        // Its parts are not told from each other here, and no event is meant to have their boundaries in it.
        parts if parts.starts_with("multipart/") => {
            let message = format!("events are not sent as '{}'", parts.escape_debug());
            Err(Failure::new(ErrorCode::ContentTypeRefused, message))
        }
        _ => Ok(Kind::One),
    }
}

fn media_type(headers: &HeaderMap) -> String {
    let content_type = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The lines of a text without their ends, which are LF or CR LF; the last one may lack it.
fn lines(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let body = body.strip_suffix(b"\n").unwrap_or(body);
    body.split(|&b| b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// The texts of a JSON text sequence (RFC 7464) without what stands around them: each is behind a record separator and ends with a line
/// feed. One that does not may be cut off. Separators that follow each other hold nothing between them.
fn sequence(body: &[u8]) -> Answer<Vec<&[u8]>> {
    const SEPARATOR: u8 = 0x1e;
    let Some(body) = body.strip_prefix(&[SEPARATOR]) else {
        return Err(Failure::invalid(
            "a sequence of JSON texts begins with a record separator, which is the byte 0x1E",
        ));
    };
    let mut texts = Vec::new();
    for text in body.split(|&byte| byte == SEPARATOR).filter(|text| !text.is_empty()) {
        let Some(whole) = text.strip_suffix(b"\n") else {
            let message =
                format!("text {} of the sequence does not end with a line feed: it may be cut off", texts.len() + 1);
            return Err(Failure::invalid(message));
        };
        let whole = whole.trim_ascii();
        if whole.is_empty() {
            return Err(Failure::invalid(format!("text {} of the sequence is empty", texts.len() + 1)));
        }
        texts.push(whole);
    }
    Ok(texts)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<&str> {
        lines(text.as_bytes()).map(|line| std::str::from_utf8(line).unwrap()).collect()
    }

    #[test]
    fn a_last_line_needs_no_end() {
        assert_eq!(split("a\nb"), ["a", "b"]);
        assert_eq!(split("a\r\nb\r\n"), ["a", "b"]);
        assert_eq!(split("a\n\nb"), ["a", "", "b"]);
    }

    #[test]
    fn texts_of_a_sequence_are_told_from_each_other_and_from_what_was_cut_off() {
        let read = |text: &str| match sequence(text.as_bytes()) {
            Ok(texts) => Ok(texts.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect::<Vec<_>>()),
            Err(Failure(error)) => Err(error.message),
        };
        assert_eq!(read("\x1e1\n\x1e{\n \"a\": 2\n}\r\n").unwrap(), ["1", "{\n \"a\": 2\n}"]);
        assert_eq!(read("\x1e\x1e1\n\x1e").unwrap(), ["1"]);
        for (wrong, why) in [
            ("1\n", "begins with a record separator"),
            ("\x1e1\n\x1e12", "text 2 of the sequence does not end with a line feed"),
            ("\x1e1\x1e2\n", "text 1 of the sequence does not end"),
            ("\x1e1\n\x1e \n", "text 2 of the sequence is empty"),
        ] {
            assert!(read(wrong).unwrap_err().contains(why), "{wrong:?}");
        }
    }

    #[test]
    fn the_names_of_types_of_several_events_are_known() {
        for (name, several) in [
            ("application/json-lines", true),
            ("application/json-seq", true),
            ("application/geo+json-seq", true),
            ("application/jsonl", true),
            ("application/json", false),
            ("text/plain", false),
        ] {
            assert_eq!(!matches!(kind(name).unwrap(), Kind::One), several, "{name}");
        }
    }
}
