// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `/api/v1/topic/{name}/groups` and `/api/v1/topic/{name}/group/{group}`, with what consumers with acknowledgement do there.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use fnstream_api::units::{Quantity, parse_duration, parse_size};
use fnstream_api::{ErrorBody, GroupDescription, GroupReset, GroupSummary, LeasedEvents, Receipts, SettledEvents};

use super::failure::{Answer, Failure};
use super::params::{Name, NameAndId, Query, number};
use super::records::events::{self, Form};
use super::{body, openapi};
use crate::app::{App, ResetTo, Settling, Taking};
use crate::most::Most;
use crate::net::Presence;

/// The largest body: 10,000 receipts.
const MAX_BODY: usize = 1 << 20;

/// How long a stream waits before it shows that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The consumer groups of a topic.
#[utoipa::path(get, path = "/api/v1/topic/{name}/groups", operation_id = "list_groups", tag = openapi::GROUPS,
    params(("name" = String, Path, description = "the topic's name")),
    responses(
        (status = 200, description = "the groups in the order of their names", body = Vec<GroupSummary>),
        (status = 404, description = "there is no topic of this name", body = ErrorBody),
    ))]
pub(super) async fn list(State(app): State<Arc<App>>, Name(topic): Name, uri: Uri) -> Answer<Json<Vec<GroupSummary>>> {
    Query::parse(&uri, &[])?;
    let _memory = app.net.for_list().await?;
    Ok(Json(app.records.list_groups(&topic).await?))
}

/// How far a group is in each partition, and what is out.
#[utoipa::path(get, path = "/api/v1/topic/{name}/group/{group}", operation_id = "describe_group", tag = openapi::GROUPS,
    params(("name" = String, Path, description = "the topic's name"), ("group" = String, Path, description = "the group's name")),
    responses(
        (status = 200, description = "the group", body = GroupDescription),
        (status = 404, description = "there is no topic or no group of this name", body = ErrorBody),
    ))]
pub(super) async fn describe(
    State(app): State<Arc<App>>,
    NameAndId(topic, group): NameAndId,
    uri: Uri,
) -> Answer<Json<GroupDescription>> {
    Query::parse(&uri, &[])?;
    Ok(Json(app.records.describe_group(&topic, &group).await?))
}

/// Removes a group with what it has consumed and acknowledged. The topic keeps its events.
#[utoipa::path(delete, path = "/api/v1/topic/{name}/group/{group}", operation_id = "delete_group", tag = openapi::GROUPS,
    params(("name" = String, Path, description = "the topic's name"), ("group" = String, Path, description = "the group's name")),
    responses(
        (status = 200, description = "removed"),
        (status = 404, description = "there is no topic or no group of this name", body = ErrorBody),
    ))]
pub(super) async fn delete(State(app): State<Arc<App>>, NameAndId(topic, group): NameAndId, uri: Uri) -> Answer<()> {
    Query::parse(&uri, &[])?;
    Ok(app.records.delete_group(&topic, &group).await?)
}

/// Has a group go on elsewhere. Its leases end, and what it had acknowledged is forgotten. A group that is not there is made.
#[utoipa::path(post, path = "/api/v1/topic/{name}/group/{group}/reset", operation_id = "reset_group", tag = openapi::GROUPS,
    params(("name" = String, Path, description = "the topic's name"), ("group" = String, Path, description = "the group's name")),
    request_body = GroupReset,
    responses(
        (status = 200, description = "it goes on there", body = GroupDescription),
        (status = 400, description = "the body is not well formed, or the position is past the end", body = ErrorBody),
        (status = 404, description = "there is no topic of this name", body = ErrorBody),
        (status = 410, description = "retention has dropped the position", body = ErrorBody),
    ))]
pub(super) async fn reset(
    State(app): State<Arc<App>>,
    NameAndId(topic, group): NameAndId,
    request: Request,
) -> Answer<Json<GroupDescription>> {
    let reset: GroupReset = read(&app, request).await?;
    let to = ResetTo::try_from(&reset)?;
    Ok(Json(app.records.reset_group(&topic, &group, to, reset.partition).await?))
}

/// Leases the next events of a topic to the caller, which acknowledges them by their receipts when it is done with them.
///
/// An event that is not acknowledged before its lease ends, or is given back with `nack`, is given again: each is delivered at least
/// once. Events of a partition are new in their order; those that are given again come before new ones. The first take makes the
/// group one that acknowledges: it goes on at its place, a new group at the oldest event.
///
/// `format=json` answers all events in one object, `ndjson` one in a line. `sse` is a stream of server-sent events without an end:
/// what is taken is sent as it comes, as long as fewer than 10,000 events of a partition are out.
#[utoipa::path(post, path = "/api/v1/topic/{name}/group/{group}/take", operation_id = "take_events", tag = openapi::GROUPS,
    params(
        ("name" = String, Path, description = "the topic's name; it is made with one partition when it is not there"),
        ("group" = String, Path, description = "the group's name; it is made when it is not there"),
        ("max" = Option<u32>, Query, description = "at most so many events, 1 without it, 10000 at most"),
        ("max_bytes" = Option<String>, Query, description = "about so many bytes, such as 1MiB, which is the default; a single event may have more"),
        ("wait" = Option<String>, Query, description = "how long to wait for the first event, such as 20s; not at all without it"),
        ("lease" = Option<String>, Query, description = "how long they are the caller's, 1ms to 12h; 30s without it"),
        ("max_deliveries" = Option<u32>, Query, description = "an event that was delivered so often and not acknowledged goes to the topic TOPIC.GROUP.dlq; without it events are given again without end"),
        ("partition" = Option<u32>, Query, description = "takes from this partition only"),
        ("format" = Option<String>, Query, description = "json (default), ndjson, or sse"),
    ),
    responses(
        (status = 200, description = "the events, none if none came in time", content((LeasedEvents = "application/json"), (String = "application/x-ndjson"), (String = "text/event-stream")), headers(
            ("FS-Count" = u32, description = "how many events the answer has; not of a stream"),
            ("FS-Skipped-From" = String, description = "partition and position where the group stood, as P:N, when retention dropped events that it had not acknowledged; repeated for each partition. `skipped` of the body has it too, with how many they are"),
        )),
        (status = 400, description = "something is not well formed", body = ErrorBody),
        (status = 404, description = "the topic has no such partition", body = ErrorBody),
        (status = 409, description = "there are as many groups as may be", body = ErrorBody),
    ))]
pub(super) async fn take(
    State(app): State<Arc<App>>,
    Extension(client): Extension<Presence>,
    NameAndId(topic, group): NameAndId,
    uri: Uri,
) -> Answer<Response> {
    let known = ["max", "max_bytes", "wait", "lease", "max_deliveries", "partition", "format"];
    let query = Query::parse(&uri, &known)?;
    let form = query.read("format", str::parse)?.unwrap_or(Form::Json);
    let bytes = query.read("max_bytes", parse_size)?;
    let taking = Taking {
        topic,
        group,
        partition: query.read("partition", number)?,
        records: query.read("max", number)?.unwrap_or(if form == Form::Stream { 100 } else { 1 }),
        bytes: bytes.map_or(Taking::BYTES, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
        wait: query.read("wait", parse_duration)?.unwrap_or_default(),
        lease: query.read("lease", parse_duration)?.unwrap_or(Taking::LEASE),
        max_deliveries: query.read("max_deliveries", number)?,
    };
    if form == Form::Stream {
        if query.text("wait")?.is_some() {
            return Err(Failure::invalid("'wait' has no meaning with 'format=sse', which does not end"));
        }
        // What is wrong with the request is told before the stream begins.
        let first = app.records.take(Taking { wait: Duration::ZERO, ..taking.clone() }).await?;
        let records = app.records.clone();
        let next = move || {
            let (records, taking) = (records.clone(), Taking { wait: HEARTBEAT, ..taking.clone() });
            async move { Ok(records.take(taking).await?.into()) }
        };
        return Ok(events::stream(client, first.into(), next));
    }
    Ok(events::answer(client.while_there(app.records.take(taking)).await?.into(), form))
}

/// Acknowledges events: they are not given to the group again. Durable when it is answered.
///
/// To acknowledge an event again is no error. Events that are not the caller's any more, since their lease ended and they were given
/// to somebody else, are named in the answer with the status 409; all others are acknowledged.
#[utoipa::path(post, path = "/api/v1/topic/{name}/group/{group}/ack", operation_id = "acknowledge_events", tag = openapi::GROUPS,
    params(("name" = String, Path, description = "the topic's name"), ("group" = String, Path, description = "the group's name")),
    request_body = Receipts,
    responses(
        (status = 200, description = "all are acknowledged", body = SettledEvents),
        (status = 400, description = "the body is not well formed", body = ErrorBody),
        (status = 404, description = "there is no such topic, or no group of this name that acknowledges", body = ErrorBody),
        (status = 409, description = "some are not the caller's any more: an error with the fields of SettledEvents beside it", body = SettledEvents),
    ))]
pub(super) async fn acknowledge(app: State<Arc<App>>, names: NameAndId, request: Request) -> Answer<Response> {
    settle(app, names, request, |receipts| match (&receipts.delay, &receipts.lease) {
        (None, None) => Ok(Settling::Acknowledge),
        _ => Err(Failure::invalid("to acknowledge takes neither 'delay' nor 'lease'")),
    })
    .await
}

/// Gives events back: they are given again, to whoever takes next, after a delay if one is given.
#[utoipa::path(post, path = "/api/v1/topic/{name}/group/{group}/nack", operation_id = "give_back_events", tag = openapi::GROUPS,
    params(("name" = String, Path, description = "the topic's name"), ("group" = String, Path, description = "the group's name")),
    request_body = Receipts,
    responses(
        (status = 200, description = "all are given back", body = SettledEvents),
        (status = 400, description = "the body is not well formed", body = ErrorBody),
        (status = 404, description = "there is no such topic, or no group of this name that acknowledges", body = ErrorBody),
        (status = 409, description = "some are not the caller's any more: an error with the fields of SettledEvents beside it", body = SettledEvents),
    ))]
pub(super) async fn give_back(app: State<Arc<App>>, names: NameAndId, request: Request) -> Answer<Response> {
    settle(app, names, request, |receipts| match (&receipts.delay, &receipts.lease) {
        (delay, None) => Ok(Settling::GiveBack(duration("delay", delay.as_ref())?.unwrap_or_default())),
        _ => Err(Failure::invalid("to give back takes no 'lease'")),
    })
    .await
}

/// Extends leases, of events whose processing takes longer.
#[utoipa::path(post, path = "/api/v1/topic/{name}/group/{group}/extend", operation_id = "extend_leases", tag = openapi::GROUPS,
    params(("name" = String, Path, description = "the topic's name"), ("group" = String, Path, description = "the group's name")),
    request_body = Receipts,
    responses(
        (status = 200, description = "all are extended", body = SettledEvents),
        (status = 400, description = "the body is not well formed", body = ErrorBody),
        (status = 404, description = "there is no such topic, or no group of this name that acknowledges", body = ErrorBody),
        (status = 409, description = "some are not the caller's any more: an error with the fields of SettledEvents beside it", body = SettledEvents),
    ))]
pub(super) async fn extend(app: State<Arc<App>>, names: NameAndId, request: Request) -> Answer<Response> {
    settle(app, names, request, |receipts| match (&receipts.delay, &receipts.lease) {
        (None, lease) => Ok(Settling::Extend(duration("lease", lease.as_ref())?.unwrap_or(Taking::LEASE))),
        _ => Err(Failure::invalid("to extend takes no 'delay'")),
    })
    .await
}

async fn settle(
    State(app): State<Arc<App>>,
    NameAndId(topic, group): NameAndId,
    request: Request,
    settling: impl FnOnce(&Receipts) -> Answer<Settling>,
) -> Answer<Response> {
    let receipts: Receipts = read(&app, request).await?;
    let settling = settling(&receipts)?;
    let settled = app.records.settle(&topic, &group, &receipts.receipts, settling).await?;
    let lost = settled.lost();
    let settled = SettledEvents { done: settled.done as u64, refused: settled.refused };
    let Some(error) = lost else { return Ok(Json(settled).into_response()) };
    let body = serde_json::json!({
        "code": error.code.as_str(), "message": error.message, "advice": error.advice(),
        "done": settled.done, "refused": settled.refused,
    });
    Ok((StatusCode::CONFLICT, Json(body)).into_response())
}

async fn read<T: serde::de::DeserializeOwned>(app: &Arc<App>, request: Request) -> Answer<T> {
    Query::parse(request.uri(), &[])?;
    let (head, body) = request.into_parts();
    let body = body::read(app, &head.headers, body, Most::always(MAX_BODY)).await?;
    body::json(&body)
}

fn duration(name: &str, quantity: Option<&Quantity>) -> Answer<Option<Duration>> {
    let read = |quantity: &Quantity| quantity.to_duration().map_err(|e| Failure::invalid(format!("'{name}': {e}")));
    quantity.map(read).transpose()
}
