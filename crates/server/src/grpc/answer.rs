// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Results of the application as answers.

use std::future::Future;
use std::sync::Arc;

use fnstream_api::grpc::proto::{Response, StatusCode};
use fnstream_api::grpc::{MAX_MESSAGE_BYTES, error_message};
use fnstream_core::budget::Budget;
use fnstream_core::{Error, ErrorCode, Result};
use prost::Message;
use tonic::Status;

use super::transport::CallDeadline;
use crate::failure;
use crate::net::{self, Counted};

/// A call as the application answers it: with its caller's deadline, and with an answer for what was refused. The one
/// refusal that is a gRPC status is that the deadline has passed.
pub(super) async fn call<T>(
    budget: &Budget,
    request: &tonic::Extensions,
    work: impl Future<Output = Result<T>>,
    refused: impl Fn(&Error) -> T,
) -> std::result::Result<tonic::Response<T>, Status>
where
    T: Message,
{
    let deadline = request.get::<CallDeadline>().map(|deadline| deadline.0).unwrap_or_default();
    let answer = match deadline.scope(work).await {
        Ok(answer) => answer,
        Err(error) if error.code == ErrorCode::DeadlinePassed => {
            return Err(Status::deadline_exceeded(error_message(&error)));
        }
        Err(error) => {
            failure::note(&error);
            refused(&error)
        }
    };
    let bytes = answer.encoded_len();
    if bytes <= MAX_MESSAGE_BYTES {
        // As it is, and as it is sent.
        let memory = net::memory(budget, &budget.answers, bytes * 2).await;
        let memory = memory.map_err(|error| Status::unavailable(error_message(&error)))?;
        let mut answer = tonic::Response::new(answer);
        answer.extensions_mut().insert(Counted(Arc::new(memory)));
        return Ok(answer);
    }
    let message = format!("the answer has {bytes} bytes, more than {MAX_MESSAGE_BYTES}: ask for fewer rows with LIMIT");
    Ok(tonic::Response::new(refused(&Error::new(ErrorCode::InvalidRequest, message))))
}

/// What was done, in words.
pub(super) fn done(status: StatusCode, message: String) -> Response {
    Response { status_code: status.into(), message, ..Response::default() }
}
