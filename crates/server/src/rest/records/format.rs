// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Records as the body of an answer.

use std::str::FromStr;
use std::sync::Arc;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use bytes::Bytes;
use fnstream_api::header;
use fnstream_core::error::internal;
use fnstream_core::units::counted;
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_frame::RecordView;

use super::encoded;
use super::events::{self, Form};
use crate::app::Delivered;
use crate::net::Counted;
use crate::rest::failure::{Answer, Failure};

/// What the body of an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// The payload as one JSON string; `null` when the value is null.
    Json,
    /// The payload.
    Raw,
    /// The payload's base64.
    Base64,
    /// Several records in a packed frame.
    Frame,
    /// Several records, each as a JSON object in a line.
    Lines,
}

/// The most bytes of a key and headers in the head of an answer. Some clients take no head of more than 16 KiB.
const MOST_HEAD: usize = 14 << 10;

/// The most headers of a record there. Some clients take no more than 100 lines.
const MOST_HEADERS: usize = 80;

impl Format {
    /// Whether an answer has several records, with all that belongs to them in its body.
    pub(super) fn is_batch(self) -> bool {
        matches!(self, Format::Frame | Format::Lines)
    }

    /// Whether a record can be given in this form.
    pub(super) fn check(self) -> fn(&RecordView<'_>) -> Result<()> {
        if self.is_batch() { |_| Ok(()) } else { check_head }
    }
}

/// Whether key and headers fit into the head of an answer, as every client takes it.
fn check_head(record: &RecordView<'_>) -> Result<()> {
    let (mut bytes, mut headers) = (record.key.map_or(0, |key| header::encode_key(key).len()), 0);
    for (name, value) in record.headers.iter() {
        headers += 1;
        // As it is at least, before it is encoded.
        bytes += header::HEADER.len() + 4 + name.len() + value.len();
        if bytes > MOST_HEAD || headers > MOST_HEADERS {
            break;
        }
        bytes += header::encode_header(name, value).len() - name.len() - value.len();
    }
    if bytes <= MOST_HEAD && headers <= MOST_HEADERS {
        return Ok(());
    }
    let message = format!(
        "the key and {} of the next event do not fit into the head of an answer, which has room for {MOST_HEADERS} \
         headers and {MOST_HEAD} bytes: ask with 'format=frame' or 'format=ndjson', which have them in the body",
        counted(record.headers.iter().count(), "header")
    );
    Err(Error::new(ErrorCode::EventHeadTooLarge, message))
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "json" => Ok(Format::Json),
            "raw" => Ok(Format::Raw),
            "base64" => Ok(Format::Base64),
            "frame" => Ok(Format::Frame),
            "ndjson" => Ok(Format::Lines),
            _ => Err(format!("'{}' is not json, raw, base64, frame or ndjson", text.escape_debug())),
        }
    }
}

/// The answer that gives records. It keeps the memory that they take.
pub(super) fn answer(topic: &str, delivered: Delivered, format: Format) -> Answer<Response> {
    let batch = &delivered.batch;
    let first = batch.frame().record(0);
    let mut headers = Headers(Vec::new());
    headers.add(header::TOPIC, topic);
    headers.add(header::PARTITION, batch.from().partition);
    headers.add(header::POSITION, batch.position(0));
    headers.add(header::NEXT_POSITION, delivered.next);
    headers.add(header::COUNT, batch.len());
    if let Some(skipped_from) = delivered.skipped_from {
        headers.add(header::SKIPPED_FROM, skipped_from);
    }
    let payload = || if first.bytes().is_empty() { Bytes::new() } else { batch.bytes().slice_ref(first.bytes()) };
    let (content_type, body) = match format {
        Format::Frame | Format::Lines => (header::FRAME, batch.bytes().clone().into()),
        Format::Raw => ("application/octet-stream", payload().into()),
        Format::Base64 => ("text/plain", encoded::base64(payload(), false)),
        Format::Json if first.value.is_none() => ("application/json", Bytes::from_static(b"null").into()),
        Format::Json => {
            let text = std::str::from_utf8(first.bytes());
            headers.add(header::ENCODING, if text.is_ok() { "utf-8" } else { "base64" });
            let body = match text {
                Ok(text) => encoded::json(text, payload()),
                Err(_) => encoded::base64(payload(), true),
            };
            ("application/json", body)
        }
    };
    if format != Format::Frame {
        headers.add_record(&first);
    }
    headers.add(CONTENT_TYPE.as_str(), content_type);
    let mut answer = headers.answer(body)?;
    answer.extensions_mut().insert(Counted(Arc::new(delivered.memory)));
    Ok(answer)
}

/// The answer that gives several records as lines, with where they are in its head.
pub(super) fn lines(topic: &str, delivered: Delivered) -> Answer<Response> {
    let (partition, position) = (delivered.batch.from().partition, delivered.batch.position(0));
    let mut headers = Headers(Vec::new());
    headers.add(header::TOPIC, topic);
    headers.add(header::PARTITION, partition);
    headers.add(header::POSITION, position);
    headers.add(header::NEXT_POSITION, delivered.next);
    if let Some(skipped_from) = delivered.skipped_from {
        headers.add(header::SKIPPED_FROM, skipped_from);
    }
    let mut answer = events::answer(delivered.into(), Form::Lines);
    headers.put(&mut answer)?;
    Ok(answer)
}

struct Headers(Vec<(&'static str, String)>);

impl Headers {
    fn add(&mut self, name: &'static str, value: impl ToString) {
        self.0.push((name, value.to_string()));
    }

    fn add_record(&mut self, record: &RecordView<'_>) {
        self.add(header::TIMESTAMP, record.timestamp);
        if record.value.is_none() {
            self.add(header::NULL, true);
        }
        if let Some(key) = record.key {
            self.add(header::KEY, header::encode_key(key));
        }
        for (name, value) in record.headers.iter() {
            self.add(header::HEADER, header::encode_header(name, value));
        }
    }

    fn answer(self, body: Body) -> Answer<Response> {
        let mut response = Response::new(body);
        self.put(&mut response)?;
        Ok(response)
    }

    fn put(self, response: &mut Response) -> Answer<()> {
        for (name, value) in self.0 {
            let value = HeaderValue::try_from(value).map_err(|e| Failure(internal(format!("{name}: {e}"))))?;
            response.headers_mut().append(HeaderName::from_static(name), value);
        }
        Ok(())
    }
}
