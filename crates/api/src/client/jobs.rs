// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Calls about jobs.

use std::time::Duration;

use fnstream_core::ErrorCode;
use fnstream_core::units::counted;
use reqwest::Method;

use super::page::all;
use super::{Client, ClientError, Page, PageOptions};
use crate::dead_letter::{TriedDeadLetter, TriedDeadLetters};
use crate::failure::ErrorBody;
use crate::job::{Job, JobState};

/// How long one request waits for a job; then the next one does.
const WAIT: Duration = Duration::from_secs(30);

impl Client {
    /// The jobs of the server, of all functions or of one: those under way and those over that are kept, the newest first.
    pub async fn jobs(&self, function: Option<&str>) -> Result<Vec<Job>, ClientError> {
        let query: Vec<_> = function.into_iter().map(|function| ("function", function)).collect();
        self.json(self.request(Method::GET, &["api", "v1", "jobs"])?.query(&query)).await
    }

    /// A job as it is now; when `wait` is given, as soon as it is over, or after that time.
    pub async fn job(&self, id: &str, wait: Option<Duration>) -> Result<Job, ClientError> {
        let query: Vec<_> = wait.into_iter().map(|wait| ("wait", format!("{}ms", wait.as_millis()))).collect();
        self.json(self.request(Method::GET, &["api", "v1", "job", id])?.query(&query)).await
    }

    /// Waits until a job is over, with one request after the other.
    pub async fn wait_for_job(&self, mut job: Job) -> Result<Job, ClientError> {
        while !job.state.is_over() {
            job = self.job(&job.id, Some(WAIT)).await?;
        }
        Ok(job)
    }

    /// Has a job begin nothing more.
    pub async fn cancel_job(&self, id: &str) -> Result<Job, ClientError> {
        self.json(self.request(Method::POST, &["api", "v1", "job", id, "cancel"])?).await
    }

    /// Some of what a trial made of dead letters, once it is over.
    pub async fn tried_page(&self, id: &str, options: &PageOptions) -> Result<Page<TriedDeadLetter>, ClientError> {
        let request = self.request(Method::GET, &["api", "v1", "job", id, "tried"])?.query(&options.query());
        let TriedDeadLetters { tried, next } = self.json(request).await?;
        Ok(Page { rows: tried, next })
    }

    /// All of what a trial made of dead letters.
    pub async fn tried(&self, id: &str) -> Result<Vec<TriedDeadLetter>, ClientError> {
        all(|options| async move { self.tried_page(id, &options).await }).await
    }
}

impl Job {
    /// The job, if it did everything that it could do; else the reason why not.
    pub fn finished(self) -> Result<Job, ClientError> {
        let error = match (self.state, self.error) {
            (JobState::Failed, Some(error)) => error,
            (JobState::Interrupted, _) => {
                let code = ErrorCode::JobInterrupted;
                ErrorBody {
                    code: code.as_str().to_owned(),
                    message: format!(
                        "the server ended while the job was under way: {} processed before",
                        counted(self.processed, "dead letter")
                    ),
                    advice: code.advice().to_owned(),
                }
            }
            (_, error) => return Ok(Job { error, ..self }),
        };
        let status = error.known_code().map_or(500, ErrorCode::http_status);
        Err(ClientError::Server { status, body: error })
    }
}
