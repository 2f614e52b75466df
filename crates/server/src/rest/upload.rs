// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Descriptions of functions with or without their artifact: as JSON, or as a form of both.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{FromRequest, Multipart, Request};
use axum::http::header;
use bytes::Bytes;
use fnstream_api::json::wrong;
use fnstream_api::{Function, FunctionUpdate};
use fnstream_core::{Error, ErrorCode};
use fnstream_runtime::Language;
use fnstream_runtime::source::pack;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

use super::failure::{Answer, Failure};
use super::local::is_local;
use super::{body, encoding, openapi};
use crate::app::{App, Archive, Incoming};
use crate::most::Most;

/// The largest description of a function.
const MAX_DESCRIPTION: usize = 1 << 20;

/// A function and its artifact in one request.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the form for the published interface")]
pub(super) struct FunctionUpload {
    /// The description; its `archive` may be left out.
    function: Function,
    /// The WebAssembly file, a zip of source, or a file whose name says that it is source, such as `app.py`.
    archive: openapi::Binary,
}

/// A change of a function and its artifact in one request.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the form for the published interface")]
pub(super) struct UpdateUpload {
    /// The change.
    function: FunctionUpdate,
    /// The WebAssembly file, a zip of source, or a file whose name says that it is source, such as `app.py`.
    archive: openapi::Binary,
}

/// What the request asks for, and the archive that it brings or names.
pub(super) async fn asked<T: DeserializeOwned>(
    app: &Arc<App>,
    client: SocketAddr,
    request: Request,
    named: impl FnOnce(&T) -> Option<&String>,
) -> Answer<(T, Option<Archive>)> {
    let content_type = request.headers().get(header::CONTENT_TYPE).map_or(&b""[..], |v| v.as_bytes());
    if content_type.to_ascii_lowercase().starts_with(b"multipart/form-data") {
        let (asked, archive) = parts(app, request).await?;
        return Ok((asked, Some(Archive::Bytes(archive))));
    }
    let (head, body) = request.into_parts();
    let asked = body::json(&body::read(app, &head.headers, body, Most::always(MAX_DESCRIPTION)).await?)?;
    let local = is_local(app, client, &head.headers);
    let archive = named(&asked).map(|text| Archive::Named { text: text.clone(), local });
    Ok((asked, archive))
}

/// A file with source becomes the artifact that it is the whole of; any other file is an artifact already.
fn source(name: &str, content: Bytes) -> Answer<Bytes> {
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
    match Language::of_file(name) {
        None => Ok(content),
        Some(_) => Ok(pack(vec![(name.to_owned(), content.to_vec())], Some(name))?.into()),
    }
}

/// Whether a body speaks of the function that the path names.
pub(super) fn check_named(named: &Option<String>, name: &str) -> Answer<()> {
    match named {
        Some(other) if other != name => {
            Err(Failure::invalid(format!("the body names the function '{other}', the path '{name}'")))
        }
        _ => Ok(()),
    }
}

/// The parts `function` and `archive` of a multipart body.
async fn parts<T: DeserializeOwned>(app: &Arc<App>, request: Request) -> Answer<(T, Bytes)> {
    encoding::plain(request.headers())?;
    let broken = |e: &dyn std::fmt::Display| Failure::invalid(format!("the multipart body is not as expected: {e}"));
    let mut form = Multipart::from_request(request, &()).await.map_err(|e| broken(&e))?;
    let (mut function, mut archive) = (None, None);
    while let Some(mut field) = form.next_field().await.map_err(|e| body::slow_or(&e, || broken(&e)))? {
        encoding::plain(field.headers())?;
        let (slot, most) = match field.name() {
            Some("function") => (&mut function, Most::always(MAX_DESCRIPTION)),
            Some("archive") => (&mut archive, app.most_artifact()),
            other => {
                let other = other.unwrap_or_default().escape_debug().to_string();
                return Err(broken(&format!("part '{other}' is neither 'function' nor 'archive'")));
            }
        };
        let named = field.file_name().map(str::to_owned);
        let mut part = Incoming::new(&app.shelf);
        while let Some(chunk) = field.chunk().await.map_err(|e| body::slow_or(&e, || broken(&e)))? {
            if part.len() + chunk.len() > most.bytes {
                let mut pace = app.net.hearing.pace();
                body::hear_out(async {
                    while let Ok(Some(chunk)) = field.chunk().await {
                        pace.took(chunk.len()).await;
                    }
                })
                .await;
                let message = format!("a part of the body has more than {most}");
                return Err(Failure(Error::new(ErrorCode::BodyTooLarge, message)));
            }
            part.add(&chunk).await?;
        }
        let content = body::finish(app, part).await?;
        *slot = Some(match named {
            Some(name) => source(&name, content)?,
            None => content,
        });
    }
    let missing = |part: &str| broken(&format!("part '{part}' is missing"));
    let function = function.ok_or_else(|| missing("function"))?;
    let archive = archive.ok_or_else(|| missing("archive"))?;
    let mut function: serde_json::Value = body::json(&function)?;
    // The artifact is in the other part: what the description says of it is not needed.
    if let Some(fields) = function.as_object_mut() {
        fields.entry("archive").or_insert_with(|| "part".into());
    }
    let function = serde_json::from_value(function).map_err(|e| broken(&format!("part 'function': {}", wrong(&e))))?;
    Ok((function, archive))
}
