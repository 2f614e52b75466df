// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What was done and how functions fare, in the words that SQL and gRPC share. Clients match on them.

use std::sync::Arc;

use bytes::Bytes;
use fnstream_api::grpc::proto::StatusCode;
use fnstream_api::{FunctionDescription, FunctionStatus, FunctionSummary};
use fnstream_core::{ErrorCode, Result};
use fnstream_sql::Pattern;

use crate::app::pages::Page;
use crate::app::{App, Archive, CreateMode, Described, Made, Wait};
use crate::gather::{Asked, Bounds, gather};

/// What every function is made of, until there are others.
pub(crate) const TASK_TYPE: &str = "processor";

/// The word that the interface has for what a function does.
pub(crate) fn status_word(status: FunctionStatus) -> &'static str {
    match status {
        FunctionStatus::Running | FunctionStatus::Stopping => "Running",
        FunctionStatus::Stopped => "Stopped",
        FunctionStatus::Starting | FunctionStatus::BackingOff => "Initialized",
        FunctionStatus::Failed => "Error",
    }
}

/// The functions whose names are like the pattern.
pub(crate) async fn summaries(app: &Arc<App>, like: Option<&Pattern>, asked: &Asked) -> Result<Page<FunctionSummary>> {
    let bounds = Bounds { limit: None, most: usize::MAX, what: "functions" };
    let size = |function: &FunctionSummary| function.name.len() + function.reason.as_ref().map_or(0, String::len);
    let gathered = gather(&app.net.budget, asked, bounds, size, |wanted| async {
        let mut page = app.inspection.status_page(wanted).await?;
        page.rows.retain(|function| like.is_none_or(|pattern| pattern.matches(&function.name)));
        Ok(page)
    });
    // What is left of them is small.
    Ok(gathered.await?.0)
}

/// Registers a function, starts it and waits until it is up; the status and what was done in words. One that takes longer is
/// done too, and the words say what it waits for.
pub(crate) async fn create(
    app: &Arc<App>,
    config: Bytes,
    artifact: Bytes,
    mode: CreateMode,
) -> Result<(StatusCode, String)> {
    let Described { spec, archive, mut notes } = app.shelf.described(config).await?;
    if archive.is_some() {
        notes.push("note: 'archive' has no effect: the artifact came with the request".to_owned());
    }
    let name = spec.name.clone();
    let (made, came) = app.functions.make(spec, Archive::Bytes(artifact), mode, Some(Wait::of_caller())).await?;
    let (status, what) = match made {
        Made::New => (StatusCode::Created, up(came, |_| format!("function '{name}' created and started"))?),
        Made::Kept => (StatusCode::Ok, up(came, |_| format!("function '{name}' exists and stays as it is"))?),
        Made::Replaced => {
            let at = |function: &FunctionDescription| format!("function '{name}' is at revision {}", function.revision);
            (StatusCode::Ok, up(came, at)?)
        }
    };
    Ok((status, [vec![what], notes].concat().join("\n")))
}

/// Starts a function and waits until it is up; says so.
pub(crate) async fn start(app: &Arc<App>, name: String) -> Result<String> {
    let came = app.functions.start(name, Some(Wait::of_caller())).await;
    up(came, |function| format!("function '{}' started", function.name))
}

/// What was done with a function, in words; for one that is not up yet, what it waits for.
pub(crate) fn up(
    came: Result<FunctionDescription>,
    done: impl FnOnce(&FunctionDescription) -> String,
) -> Result<String> {
    match came {
        Ok(function) => Ok(done(&function)),
        Err(error) if error.code == ErrorCode::NotUpYet => Ok(error.message),
        Err(error) => Err(error),
    }
}

/// Stops a function; says so, or that it still finishes what it began.
pub(crate) async fn stop(app: &Arc<App>, name: String) -> Result<String> {
    let function = app.functions.stop(name).await?;
    Ok(match function.status {
        FunctionStatus::Stopped => format!("function '{}' stopped", function.name),
        _ => format!("function '{}' stops as soon as it has finished what it began", function.name),
    })
}

/// Deletes a function; says so.
pub(crate) async fn drop_function(app: &Arc<App>, name: String) -> Result<String> {
    app.functions.delete(name.clone()).await?;
    Ok(format!("function '{name}' dropped"))
}
