// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `/api/v1/produce/{queue}` and `/api/v1/consume/{queue}`.

mod encoded;
pub(super) mod events;
mod format;
mod payload;

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use fnstream_api::units::parse_duration;
use fnstream_api::{ErrorBody, JsonEvent, Produced, header};
use fnstream_core::producers::Numbered;
use fnstream_core::record::Position;
use fnstream_core::{Error, ErrorCode};

use super::failure::{Answer, Failure};
use super::params::{Name, Query, boolean, number};
use super::{body, openapi};
use crate::app::{App, Outcome, Reading, Start};
use crate::net::Presence;
use format::Format;

/// The group of consumers that don't name one.
const DEFAULT_GROUP: &str = "default";

/// The most records of one answer.
const MAX_RECORDS: usize = 65_536;

/// Appends events to a topic, which is made with one partition when it is not there and the server makes topics.
///
/// The body is one event as it is; with the content type `application/x-ndjson` it is one event per line, and with
/// `application/vnd.function-stream.frame` one packed frame of records with keys, headers and times of their own. With
/// `application/vnd.function-stream.events+json` it is JSON objects, one after the other, with `value` and, if they are wanted,
/// `key`, `headers` and `timestamp`: for keys and headers that HTTP headers cannot hold. The answer comes when all are durable.
///
/// A body may be compressed, with `Content-Encoding` gzip, deflate or zstd. Its limit is that of a plain body once it is
/// decompressed. `application/ndjson`, `application/json-lines`, `application/jsonl`, `application/x-jsonl`, `application/jsonlines` and
/// `application/x-jsonlines` are other names of `application/x-ndjson`. With `application/json-seq`, or a type that ends in
/// `+json-seq`, each text of the sequence (RFC 7464) is an event.
///
/// With `producer` and `sequence` the events are numbered: the first of the request has the number `sequence`, and each other the
/// next one, whatever their partitions. A producer begins at 0. Those whose number is there already are not appended again, so a
/// request whose answer was lost can be sent again as it was, or beginning elsewhere. All events of a request are appended, with
/// the producer's next number, in one atomic step.
///
/// An event whose value is null comes of `null=true` without a body, or of a frame. A line `null` is an event of four bytes.
#[utoipa::path(put, path = "/api/v1/produce/{queue}", tag = openapi::EVENTS,
    params(
        ("queue" = String, Path, description = "the topic's name"),
        ("partition" = Option<u32>, Query, description = "the partition; without it the key decides, and without a key the server takes turns"),
        ("key" = Option<String>, Query, description = "the key of each event"),
        ("timestamp" = Option<i64>, Query, description = "the time of each event in milliseconds since the Unix epoch; without it that of its arrival"),
        ("producer" = Option<String>, Query, description = "the name of a producer that numbers its events; one client uses it at a time"),
        ("sequence" = Option<u64>, Query, description = "the number of the first event; needed with 'producer'"),
        ("null" = Option<bool>, Query, description = "true appends one event whose value is null, which is not an empty one; the body must be empty then"),
        ("FS-Key" = Option<String>, Header, description = "the key of each event, percent-encoded, in place of the query's"),
        ("FS-Header" = Option<String>, Header, description = "a header of each event as name=value, both percent-encoded; may be repeated"),
    ),
    request_body(content((openapi::Binary = "application/octet-stream"), (String = "application/x-ndjson"), (String = "application/json-seq"), (openapi::Binary = "application/vnd.function-stream.frame"), (JsonEvent = "application/vnd.function-stream.events+json"))),
    responses(
        (status = 200, description = "durable", body = Produced),
        (status = 400, description = "the body is empty, or something is not well formed", body = ErrorBody),
        (status = 404, description = "the topic has no such partition, or does not know a producer that does not begin at 0", body = ErrorBody),
        (status = 409, description = "events of the producer are missing before these", body = ErrorBody),
        (status = 413, description = "the body is too large", body = ErrorBody),
        (status = 415, description = "the body has a type or an encoding that is not taken", body = ErrorBody),
        (status = 507, description = "the disk is full", body = ErrorBody),
    ))]
pub(super) async fn produce(
    State(app): State<Arc<App>>,
    Name(topic): Name,
    request: Request,
) -> Answer<Json<Produced>> {
    // A body that is on its way when the server is asked to end is still taken.
    let ops = app.ops.clone();
    ops.admitted(take(app, topic, request)).await?
}

async fn take(app: Arc<App>, topic: String, request: Request) -> Answer<Json<Produced>> {
    let (head, body) = request.into_parts();
    let query = Query::parse(&head.uri, &["partition", "key", "timestamp", "null", "producer", "sequence"])?;
    let partition = query.read("partition", number)?;
    let timestamp = query.read("timestamp", number)?;
    let numbered = numbered(&query)?;
    let is_null = query.read("null", boolean)?.unwrap_or(false);
    let labels = payload::Labels::read(&head.headers, query.bytes("key"), timestamp)?;
    let body = body::read(&app, &head.headers, body, app.most_produced()).await?;
    let records = match (is_null, body.is_empty()) {
        (true, _) => payload::null(&head.headers, &body, &labels, app.records.now_ms())?,
        (false, true) => {
            let message =
                "the request has no body: 'null=true' appends an event whose value is null, a frame one that is empty";
            let advice = "send the event as the request's body";
            return Err(Failure(Error::new(ErrorCode::EmptyBody, message).advising(advice)));
        }
        (false, false) => payload::records(&head.headers, &body, &labels, app.records.now_ms())?,
    };
    Ok(Json(app.records.produce(&topic, partition, numbered, records).await?))
}

/// Waits for the next event of a topic; for the topic too, when it is not there.
///
/// By default the answer is the payload as one JSON string; of a payload that is not UTF-8 it is the base64, and
/// `FS-Encoding` says so. Of an event whose value is null it is the JSON `null`, and nothing in the formats `raw` and `base64`;
/// `FS-Null` says so in each of them. Without `from` the place of a group moves on: an event goes to one consumer of each group, and a
/// new group begins at the oldest event. With `from` no place moves: `FS-Next-Position` says where to go on.
#[utoipa::path(get, path = "/api/v1/consume/{queue}", tag = openapi::EVENTS,
    params(
        ("queue" = String, Path, description = "the topic's name"),
        ("timeout" = Option<String>, Query, description = "answers 204 when nothing came for so long, such as 5s; without it waits"),
        ("group" = Option<String>, Query, description = "the group whose place moves, 'default' without it"),
        ("from" = Option<String>, Query, description = "earliest, latest or a position: reads there and moves no group"),
        ("partition" = Option<u32>, Query, description = "reads this partition only; needed with 'from' when there are several"),
        ("format" = Option<String>, Query, description = "json (default), raw, base64, or up to 'max' records of one partition in the body: frame (a packed frame), ndjson (an object in a line, with partition, position, timestamp, key, headers and value)"),
        ("max" = Option<u32>, Query, description = "the most records of a frame or of ndjson; 1 without it"),
    ),
    responses(
        (status = 200, description = "the event", body = String, headers(
            ("FS-Topic" = String, description = "the topic"),
            ("FS-Partition" = u32, description = "the partition"),
            ("FS-Position" = String, description = "the position"),
            ("FS-Next-Position" = String, description = "where reading goes on"),
            ("FS-Timestamp" = i64, description = "the event's time in milliseconds since the Unix epoch"),
            ("FS-Key" = String, description = "the event's key, percent-encoded"),
            ("FS-Header" = String, description = "a header of the event as name=value, percent-encoded; repeated for each"),
            ("FS-Encoding" = String, description = "of format json: 'utf-8', or 'base64' of a payload that is not UTF-8"),
            ("FS-Null" = bool, description = "'true' when the event's value is null; absent otherwise, and of format frame"),
            ("FS-Count" = u32, description = "how many records the answer has"),
            ("FS-Skipped-From" = String, description = "where the group stood, when retention dropped events that it had not consumed"),
        )),
        (status = 204, description = "nothing came in time"),
        (status = 400, description = "something is not well formed, or the position is past the end", body = ErrorBody),
        (status = 422, description = "key and headers of the event do not fit into the head of an answer: 'format=frame' and 'format=ndjson' have them in the body. The group has not moved", body = ErrorBody),
        (status = 409, description = "the group is consumed with acknowledgement", body = ErrorBody),
        (status = 410, description = "retention has dropped the position", body = ErrorBody),
    ))]
pub(super) async fn consume(
    State(app): State<Arc<App>>,
    Extension(client): Extension<Presence>,
    Name(topic): Name,
    method: Method,
    uri: Uri,
) -> Answer<Response> {
    if method == Method::HEAD {
        // It would take an event and not give it.
        let message = format!("'{}' does not take HEAD", uri.path());
        return Err(Failure(Error::new(ErrorCode::MethodNotAllowed, message)));
    }
    let query = Query::parse(&uri, &["timeout", "group", "from", "partition", "format", "max"])?;
    let format = query.read("format", str::parse)?.unwrap_or(Format::Json);
    let reading = Reading {
        topic: topic.clone(),
        start: start(&query)?,
        partition: query.read("partition", number)?,
        max: max(&query, format)?,
        timeout: query.read("timeout", parse_duration)?,
        check: format.check(),
    };
    match client.while_there(app.records.consume(reading)).await? {
        Outcome::Delivered(delivered) if format == Format::Lines => format::lines(&topic, delivered),
        Outcome::Delivered(delivered) => format::answer(&topic, delivered, format),
        Outcome::Nothing(at) => Ok((StatusCode::NO_CONTENT, next_position(at)).into_response()),
    }
}

fn numbered(query: &Query) -> Answer<Option<Numbered>> {
    match (query.text("producer")?, query.read("sequence", number)?) {
        (Some(producer), Some(sequence)) => Ok(Some(Numbered::new(producer, sequence)?)),
        (None, None) => Ok(None),
        _ => Err(Failure::invalid("'producer' and 'sequence' are given together or not at all")),
    }
}

fn start(query: &Query) -> Answer<Start> {
    match (query.text("from")?, query.text("group")?) {
        (Some(_), Some(_)) => Err(Failure::invalid("'from' moves no group: give either 'from' or 'group'")),
        (None, group) => Ok(Start::Group(group.unwrap_or(DEFAULT_GROUP).to_owned())),
        (Some("earliest"), None) => Ok(Start::Earliest),
        (Some("latest"), None) => Ok(Start::Latest),
        (Some(position), None) => match position.parse() {
            Ok(position) => Ok(Start::At(Position(position))),
            Err(_) => Err(Failure::invalid("query parameter 'from' is not earliest, latest or a position")),
        },
    }
}

fn max(query: &Query, format: Format) -> Answer<usize> {
    match query.read("max", number)? {
        None => Ok(1),
        Some(max) if format.is_batch() && (1..=MAX_RECORDS).contains(&max) => Ok(max),
        Some(_) if !format.is_batch() => Err(Failure::invalid("'max' needs 'format=frame' or 'format=ndjson'")),
        Some(max) => Err(Failure::invalid(format!("query parameter 'max' is {max}, not 1 to {MAX_RECORDS}"))),
    }
}

fn next_position(at: Option<Position>) -> HeaderMap {
    at.into_iter().filter_map(|at| Some((header_name(header::NEXT_POSITION), at.to_string().parse().ok()?))).collect()
}

fn header_name(name: &'static str) -> axum::http::HeaderName {
    axum::http::HeaderName::from_static(name)
}
