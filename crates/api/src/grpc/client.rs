// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A client of a server's gRPC interface.
//!
//! Every call is one request; nothing is repeated behind the caller's back.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use fnstream_core::{Error as Refusal, ErrorCode};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use super::proto::function_stream_service_client::FunctionStreamServiceClient;
use super::proto::{CreateFunctionRequest, FunctionInfo, Response, ShowFunctionsRequest, SqlRequest, StatusCode};
use super::{MAX_MESSAGE_BYTES, error_of};
use crate::client::ClientError;
use crate::failure::ErrorBody;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a server that a call waits for is asked whether it is there, and how long it may take to say so.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// What a create means when the function is there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CreateMode {
    /// It fails.
    #[default]
    New,
    /// The function stays as it is.
    IfNotExists,
    /// The function becomes what is asked for, and goes on with its state.
    OrReplace,
}

/// A connection to one server. Cheap to clone.
#[derive(Debug, Clone)]
pub struct GrpcClient {
    url: String,
    service: FunctionStreamServiceClient<Channel>,
}

impl GrpcClient {
    /// Connects to the server at `url`, such as `http://127.0.0.1:8080`. A connection that breaks later is made anew by
    /// the next call.
    pub async fn connect(url: &str) -> Result<Self, ClientError> {
        let endpoint = Endpoint::from_shared(url.to_owned())
            .map_err(|e| ClientError::invalid(format!("url '{url}': {e}")))?
            .connect_timeout(CONNECT_TIMEOUT)
            // Only while a call waits: a server that does not even answer a ping is gone.
            .http2_keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_INTERVAL)
            .tcp_nodelay(true);
        let channel = endpoint.connect().await.map_err(|e| ClientError::Unreachable {
            message: format!("cannot reach the server at {url}: {}", root_cause(&e)),
            sent: false,
        })?;
        let service = FunctionStreamServiceClient::new(channel)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        Ok(GrpcClient { url: url.to_owned(), service })
    }

    /// The server's URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Runs statements. A statement that was refused is an answer too: look at [`Response::failure`].
    pub async fn execute_sql(&self, sql: impl Into<String>) -> Result<Response, ClientError> {
        self.sql(SqlRequest { sql: sql.into(), ..SqlRequest::default() }).await
    }

    /// Runs one statement that shows something, and answers at most `max` of its rows: the first ones, or those behind `after`,
    /// the `next` of an earlier answer. A page may have no rows and not be the last.
    pub async fn execute_sql_page(
        &self,
        sql: impl Into<String>,
        max: u32,
        after: impl Into<String>,
    ) -> Result<Response, ClientError> {
        self.sql(SqlRequest { sql: sql.into(), max: Some(max), after: after.into() }).await
    }

    async fn sql(&self, request: SqlRequest) -> Result<Response, ClientError> {
        let answer = self.service.clone().execute_sql(request).await;
        answer.map(tonic::Response::into_inner).map_err(|status| self.broken(&status))
    }

    /// Registers a function, `config` being its config.yaml and `artifact` what it runs, and starts it. The answer is a
    /// success: what was refused is an error.
    pub async fn create_function(
        &self,
        config: Bytes,
        artifact: Bytes,
        mode: CreateMode,
    ) -> Result<Response, ClientError> {
        let request = CreateFunctionRequest {
            config_bytes: config,
            function_bytes: artifact,
            if_not_exists: mode == CreateMode::IfNotExists,
            or_replace: mode == CreateMode::OrReplace,
        };
        let answer = self.service.clone().create_function(request).await;
        let response = answer.map_err(|status| self.broken(&status))?.into_inner();
        match response.failure() {
            Some(body) => Err(refused(response.status_code, body)),
            None => Ok(response),
        }
    }

    /// The functions whose names are like the pattern, or all.
    pub async fn show_functions(&self, filter: Option<String>) -> Result<Vec<FunctionInfo>, ClientError> {
        let answer = self
            .service
            .clone()
            .show_functions(ShowFunctionsRequest { filter, ..ShowFunctionsRequest::default() })
            .await;
        let answer = answer.map_err(|status| self.broken(&status))?.into_inner();
        match answer.status_code() {
            StatusCode::Ok => Ok(answer.functions),
            _ => {
                let body = ErrorBody { code: answer.error_code, message: answer.message, advice: answer.advice };
                Err(refused(answer.status_code, body))
            }
        }
    }

    /// The call itself did not come through.
    fn broken(&self, status: &Status) -> ClientError {
        let url = &self.url;
        let server =
            |error: &Refusal| ClientError::Server { status: error.code.http_status(), body: ErrorBody::from(error) };
        if let Some(error) = error_of(status.message()) {
            return server(&error);
        }
        let message = words(status);
        match status.code() {
            Code::ResourceExhausted | Code::OutOfRange => server(&Refusal::new(ErrorCode::BodyTooLarge, message)),
            Code::Unimplemented => ClientError::Protocol {
                message: format!(
                    "{url} does not know the call: it may not be the gRPC address of a function-stream server"
                ),
            },
            Code::Unavailable | Code::Unknown | Code::Cancelled | Code::DeadlineExceeded => ClientError::Unreachable {
                message: format!("the connection broke to the server at {url}: {message}"),
                sent: true,
            },
            _ => ClientError::Protocol { message: format!("unexpected answer of {url}: {message}") },
        }
    }
}

fn refused(status: i32, body: ErrorBody) -> ClientError {
    ClientError::Server { status: u16::try_from(status).unwrap_or_default(), body }
}

/// The server's words, or what broke the connection.
fn words(status: &Status) -> String {
    status.source().map_or_else(|| status.message().to_owned(), root_cause)
}

/// The innermost cause says what happened; the outer ones say that something did.
fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string().chars().take(300).collect::<String>().to_lowercase()
}
