// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `/api/v1/topics` and `/api/v1/topic/{name}`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::Uri;
use axum::response::IntoResponse;
use fnstream_api::{ErrorBody, ProducerDescription, TopicAltered, TopicChange, TopicDescription, TopicRequest};

use super::failure::Answer;
use super::params::{BEHIND_HEADER, MAX_ROWS, Name, NameAndId, Query, paged};
use super::{body, openapi};
use crate::app::App;
use crate::most::Most;

/// The largest description of a topic.
const MAX_DESCRIPTION: usize = 64 << 10;

/// The names of topics, in pages.
#[utoipa::path(get, path = "/api/v1/topics", operation_id = "list_topics", tag = openapi::TOPICS,
    params(
        ("max" = Option<usize>, Query, description = MAX_ROWS),
        ("after" = Option<String>, Query, description = BEHIND_HEADER),
    ),
    responses(
        (status = 200, description = "the names in order", body = Vec<String>,
            headers(("fs-next" = Option<String>, description = "the cursor of the next page, if there is one"))),
        (status = 400, description = "a parameter is not well formed", body = ErrorBody),
    ))]
pub(super) async fn list(State(app): State<Arc<App>>, uri: Uri) -> Answer<impl IntoResponse> {
    let wanted = Query::parse(&uri, &["max", "after"])?.page()?;
    let _memory = app.net.for_list().await?;
    Ok(paged(app.records.topics(wanted).await?))
}

/// Makes a topic; without a body, one with a single partition and the server's retention.
#[utoipa::path(post, path = "/api/v1/topic/{name}", operation_id = "create_topic", tag = openapi::TOPICS,
    params(("name" = String, Path, description = "the topic's name")),
    request_body = Option<TopicRequest>,
    responses(
        (status = 200, description = "made", body = TopicDescription),
        (status = 400, description = "the name or the body is not valid", body = ErrorBody),
        (status = 409, description = "a topic of this name exists", body = ErrorBody),
    ))]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    Name(name): Name,
    request: Request,
) -> Answer<Json<TopicDescription>> {
    Query::parse(request.uri(), &[])?;
    let (head, body) = request.into_parts();
    let body = body::read(&app, &head.headers, body, Most::always(MAX_DESCRIPTION)).await?;
    let topic = if body.is_empty() { TopicRequest::default() } else { body::json(&body)? };
    Ok(Json(app.records.create_topic(name, topic).await?))
}

/// What a topic is, how full it is, and which functions use it.
#[utoipa::path(get, path = "/api/v1/topic/{name}", operation_id = "describe_topic", tag = openapi::TOPICS,
    params(("name" = String, Path, description = "the topic's name")),
    responses(
        (status = 200, description = "the topic", body = TopicDescription),
        (status = 404, description = "there is no topic of this name", body = ErrorBody),
    ))]
pub(super) async fn describe(
    State(app): State<Arc<App>>,
    Name(name): Name,
    uri: Uri,
) -> Answer<Json<TopicDescription>> {
    Query::parse(&uri, &[])?;
    Ok(Json(app.records.describe_topic(name).await?))
}

/// Changes a topic: how long it keeps its events, and how many partitions it has. When it gets more partitions, the functions that
/// read or write it are restarted.
#[utoipa::path(patch, path = "/api/v1/topic/{name}", operation_id = "alter_topic", tag = openapi::TOPICS,
    params(("name" = String, Path, description = "the topic's name")),
    request_body = TopicChange,
    responses(
        (status = 200, description = "changed", body = TopicAltered),
        (status = 400, description = "the name or the body is not valid", body = ErrorBody),
        (status = 404, description = "there is no topic of this name", body = ErrorBody),
        (status = 409, description = "it has more partitions already, or a function keeps state by its keys", body = ErrorBody),
    ))]
pub(super) async fn alter(
    State(app): State<Arc<App>>,
    Name(name): Name,
    request: Request,
) -> Answer<Json<TopicAltered>> {
    Query::parse(request.uri(), &[])?;
    let (head, body) = request.into_parts();
    let body = body::read(&app, &head.headers, body, Most::always(MAX_DESCRIPTION)).await?;
    Ok(Json(app.alter_topic(name, body::json(&body)?).await?))
}

/// Removes a topic with its events.
#[utoipa::path(delete, path = "/api/v1/topic/{name}", operation_id = "delete_topic", tag = openapi::TOPICS,
    params(("name" = String, Path, description = "the topic's name")),
    responses(
        (status = 200, description = "removed"),
        (status = 404, description = "there is no topic of this name", body = ErrorBody),
        (status = 409, description = "a function uses it", body = ErrorBody),
    ))]
pub(super) async fn delete(State(app): State<Arc<App>>, Name(name): Name, uri: Uri) -> Answer<()> {
    Query::parse(&uri, &[])?;
    Ok(app.records.delete_topic(name).await?)
}

/// How far a producer that numbers its events has got in a topic, so that it can go on there.
///
/// A producer is known from its first event on, and is forgotten when it has sent nothing for 7 days, or when the topic has more
/// than 100,000 others that have sent something since.
#[utoipa::path(get, path = "/api/v1/topic/{name}/producer/{producer}", operation_id = "describe_producer", tag = openapi::TOPICS,
    params(
        ("name" = String, Path, description = "the topic's name"),
        ("producer" = String, Path, description = "the producer's name"),
    ),
    responses(
        (status = 200, description = "where it stands", body = ProducerDescription),
        (status = 404, description = "there is no topic of this name, or it does not know the producer", body = ErrorBody),
    ))]
pub(super) async fn producer(
    State(app): State<Arc<App>>,
    NameAndId(topic, producer): NameAndId,
    uri: Uri,
) -> Answer<Json<ProducerDescription>> {
    Query::parse(&uri, &[])?;
    Ok(Json(app.records.describe_producer(topic, producer).await?))
}
