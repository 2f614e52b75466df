// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Results of the application as answers.

use std::future::Future;

use fnstream_api::grpc::MAX_MESSAGE_BYTES;
use fnstream_api::grpc::proto::{Response, StatusCode};
use fnstream_core::{Error, ErrorCode, Result};
use prost::Message;
use tonic::Status;

use super::transport::CallDeadline;
use crate::failure;

/// A call as the application answers it: with its caller's deadline, and with an answer for what was refused. The one
/// refusal that is a gRPC status is that the deadline has passed.
pub(super) async fn call<T>(
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
            return Err(Status::deadline_exceeded(fnstream_api::grpc::error_message(&error)));
        }
        Err(error) => {
            failure::note(&error);
            refused(&error)
        }
    };
    let bytes = answer.encoded_len();
    if bytes <= MAX_MESSAGE_BYTES {
        return Ok(tonic::Response::new(answer));
    }
    let message = format!("the answer has {bytes} bytes, more than {MAX_MESSAGE_BYTES}: ask for fewer rows with LIMIT");
    Ok(tonic::Response::new(refused(&Error::new(ErrorCode::InvalidRequest, message))))
}

/// What was done, in words.
pub(super) fn done(status: StatusCode, message: String) -> Response {
    Response { status_code: status.into(), message, ..Response::default() }
}
