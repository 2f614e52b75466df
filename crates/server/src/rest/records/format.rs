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
use fnstream_frame::RecordView;

use super::encoded;
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
    /// Several records.
    Frame,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "json" => Ok(Format::Json),
            "raw" => Ok(Format::Raw),
            "base64" => Ok(Format::Base64),
            "frame" => Ok(Format::Frame),
            _ => Err(format!("'{}' is not json, raw, base64 or frame", text.escape_debug())),
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
        Format::Frame => (header::FRAME, batch.bytes().clone().into()),
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
        for (name, value) in self.0 {
            let value = HeaderValue::try_from(value).map_err(|e| Failure(internal(format!("{name}: {e}"))))?;
            response.headers_mut().append(HeaderName::from_static(name), value);
        }
        Ok(response)
    }
}
