// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Statements carried out at a server.
//!
//! The connection is made when it is first needed and made anew after it broke. A statement is sent once: when the
//! connection breaks before the answer, whether it was carried out is for the user to find out.

use fnstream_api::ClientError;
use fnstream_api::grpc::proto::Response;
use fnstream_api::grpc::{CreateMode, GrpcClient};
use fnstream_core::ErrorCode;
use fnstream_sql::{OnExisting, Statement};
use parking_lot::Mutex;

use super::create::upload;
use super::rows::Rows;
use crate::failure::Failure;
use crate::output::busy::during;

/// How many rows are asked for at once.
const PAGE: u32 = 1_000;

/// What a statement led to.
#[derive(Debug)]
pub(super) struct Answer {
    /// What was done.
    pub message: String,
    /// What there is to show.
    pub rows: Option<Rows>,
    /// The cursor of the rows that follow; none when these are the last.
    pub next: Option<String>,
}

/// Why a statement led to nothing.
#[derive(Debug)]
pub(super) enum Trouble {
    /// No server was reached, or the connection broke.
    Unreachable(Failure),
    /// It was refused, here or there.
    Refused(Failure),
}

/// The way to one server.
pub(super) struct Session {
    url: String,
    client: Mutex<Option<GrpcClient>>,
}

impl Session {
    /// Connects to nothing yet.
    pub(super) fn new(url: String) -> Self {
        Session { url, client: Mutex::new(None) }
    }

    /// The address, as it is shown.
    pub(super) fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// The connection, made now if there is none.
    pub(super) async fn client(&self) -> Result<GrpcClient, Trouble> {
        if let Some(client) = self.client.lock().clone() {
            return Ok(client);
        }
        let client = GrpcClient::connect(&self.url).await.map_err(|e| self.trouble(e))?;
        *self.client.lock() = Some(client.clone());
        Ok(client)
    }

    /// Carries a statement out; `text` is how it was written. Of many rows it answers the first, or those behind `after`.
    pub(super) async fn execute(
        &self,
        statement: &Statement,
        text: &str,
        after: Option<String>,
    ) -> Result<Answer, Trouble> {
        match statement {
            Statement::CreateFunction { on_existing, function_path, config_path } => {
                let files = upload(function_path, config_path).map_err(Trouble::Refused)?;
                let mode = match on_existing {
                    OnExisting::Fail => CreateMode::New,
                    OnExisting::Keep => CreateMode::IfNotExists,
                    OnExisting::Replace => CreateMode::OrReplace,
                };
                let client = self.client().await?;
                let create = client.create_function(files.config.into(), files.artifact.into(), mode);
                let done = during(|| "the server takes, checks and compiles the artifact".to_owned(), create).await;
                Ok(Answer { message: done.map_err(|e| self.trouble(e))?.message, rows: None, next: None })
            }
            Statement::ShowFunctions { .. }
            | Statement::ShowTopics { .. }
            | Statement::ShowState { .. }
            | Statement::ShowDeadLetters { .. } => {
                let page = self.client().await?.execute_sql_page(text, PAGE, after.unwrap_or_default()).await;
                self.answer(page)
            }
            _ => self.ask(text).await,
        }
    }

    /// Has the server carry out a text.
    pub(super) async fn ask(&self, sql: &str) -> Result<Answer, Trouble> {
        let response = self.client().await?.execute_sql(sql).await;
        self.answer(response)
    }

    fn answer(&self, response: Result<Response, ClientError>) -> Result<Answer, Trouble> {
        let response = response.map_err(|e| self.trouble(e))?;
        if let Some(body) = response.failure() {
            return Err(Trouble::Refused(Failure::of_server(body.code, &body.message, &body.advice)));
        }
        let rows = response.data.as_deref().map(Rows::decode).transpose().map_err(Trouble::Refused)?;
        let next = Some(response.next).filter(|next| !next.is_empty());
        Ok(Answer { message: response.message, rows, next })
    }

    pub(super) fn trouble(&self, error: ClientError) -> Trouble {
        match error {
            ClientError::Unreachable { message, .. } => {
                *self.client.lock() = None;
                Trouble::Unreachable(Failure::Coded {
                    code: ErrorCode::Unavailable.as_str().to_owned(),
                    message,
                    advice:
                        "check that 'function-stream standalone' runs and that --service-url, or --host and --port, name its address"
                            .to_owned(),
                })
            }
            other => Trouble::Refused(other.into()),
        }
    }
}
