// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! From the files of a project to a revision that runs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fnstream_api::{ApplyOutcome, ApplyRequest, Client, UpWait};
use fnstream_core::artifacts::digest;
use fnstream_core::{Error, ErrorCode};

use crate::failure::{Failure, Result};
use crate::files;
use crate::project::{CONFIG, Code, How, Project};

/// How long a function may take to come up.
const WAIT: Duration = Duration::from_secs(60);

/// What is in force now.
pub(super) struct Updated {
    pub(super) artifact: Vec<u8>,
    /// None if nothing was to be done: neither artifact nor description have changed.
    pub(super) revision: Option<u64>,
    pub(super) is_new: bool,
    pub(super) built: Duration,
    pub(super) all: Duration,
    pub(super) version: Version,
}

/// What was applied: the artifact's digest, and the description.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Version(String, Vec<u8>);

/// Builds and applies. What fails leaves what was in force.
pub(super) async fn update(project: Arc<Project>, client: Client, before: Option<Version>) -> Result<Updated> {
    let began = Instant::now();
    let of_project = project.clone();
    let built = tokio::task::spawn_blocking(move || artifact(&of_project)).await;
    let artifact = built.map_err(|error| Failure::Plain(format!("the build ended abnormally: {error}")))??;
    let (took, config) = (began.elapsed(), description(&project)?);
    let version = Version(digest(&artifact), config.clone());
    let done = |revision, is_new| {
        Ok(Updated {
            artifact: artifact.clone(),
            revision,
            is_new,
            built: took,
            all: began.elapsed(),
            version: version.clone(),
        })
    };
    if before.as_ref() == Some(&version) {
        return done(None, false);
    }
    client.upload_artifact(artifact.clone()).await?;
    let archive = format!("sha256:{}", version.0);
    // One that does not come up is taken back: the one before goes on.
    let client = client.waiting(UpWait { time: WAIT, keep_failed: false });
    let applied = client.apply(ApplyRequest { config, archive, dry_run: false }).await?;
    done(applied.function.map(|function| function.revision), applied.outcome == ApplyOutcome::Created)
}

fn artifact(project: &Project) -> Result<Vec<u8>> {
    match &project.code {
        Code::Compiled(_) => Ok(project.build(&How::default())?.bytes),
        // The server checks it.
        Code::Source(_, root) => project.source(root),
    }
}

/// The description as it is sent. A folder without one has a function that reads the topic 'input' and writes 'output'.
pub(super) fn description(project: &Project) -> Result<Vec<u8>> {
    let path = project.dir.join(CONFIG);
    if !path.is_file() {
        let name = project.name();
        let text = format!(
            "name: {name:?}\ninput-groups:\n  - inputs: [{{input-type: log, topic: input}}]\noutputs: [{{output-type: log, topic: output}}]\n"
        );
        return Ok(text.into_bytes());
    }
    let bytes = files::read(&path, files::MOST_TEXT)
        .map_err(|e| Failure::new(ErrorCode::InvalidSpec, format!("cannot read '{}': {e}", path.display())))?;
    // What is wrong with it is told with the file's name here.
    match fnstream_config::parse_function_config(&bytes) {
        Ok(_) => Ok(bytes),
        Err(problems) => Err(Error::from(problems.named(CONFIG)).into()),
    }
}
