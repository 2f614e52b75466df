// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Questions from process to process of a server group, over the port of REST.
//!
//! ```text
//!  POST /internal/v1/questions        function-stream-peer: the id of the process that is asked
//!  content-type: application/octet-stream     function-stream-caller: on whose behalf, as JSON
//! ```
//!
//! The answer has the bytes, or an error as any other request has it. Questions are of one version of the server: what they are is no
//! interface for others.

use std::time::Duration;

use fnstream_api::ErrorBody;
use fnstream_core::peers::{Answered, PeerId, Question};
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_group::Exchange;
use reqwest::header::CONTENT_TYPE;
use tokio::runtime::Handle;

/// The path of questions.
pub(crate) const PATH: &str = "/internal/v1/questions";
/// The header with the id of the process that is asked.
pub(crate) const PEER: &str = "function-stream-peer";
/// The header with the caller.
pub(crate) const CALLER: &str = "function-stream-caller";

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);

/// Asks by HTTP.
pub(crate) struct HttpExchange {
    http: reqwest::Client,
    runtime: Handle,
}

impl HttpExchange {
    pub(crate) fn new(runtime: Handle) -> Result<Self> {
        let http = reqwest::Client::builder().connect_timeout(CONNECT).no_proxy().build();
        let http = http.map_err(|e| fnstream_core::error::internal(format!("no client for the peers: {e}")))?;
        Ok(HttpExchange { http, runtime })
    }
}

impl Exchange for HttpExchange {
    fn ask(&self, address: &str, peer: &PeerId, question: Question, done: Answered) {
        let caller = serde_json::to_string(&question.caller).unwrap_or_default();
        let request = self.http.post(format!("http://{address}{PATH}"));
        let request = request.header(CONTENT_TYPE, "application/octet-stream");
        let request = request.header(PEER, &*peer.0).header(CALLER, caller).body(question.body);
        let (peer, address) = (peer.clone(), address.to_owned());
        self.runtime.spawn(async move {
            let gone = |why: &dyn std::fmt::Display| {
                let message =
                    format!("the process '{}' of the server group does not answer at {address}: {why}", peer.0);
                Error::new(ErrorCode::PeerUnavailable, message)
            };
            let answer = async {
                let response = request.send().await.map_err(|e| gone(&e))?;
                let is_answer = response.status().is_success();
                let bytes = response.bytes().await.map_err(|e| gone(&e))?;
                if is_answer {
                    return Ok(bytes);
                }
                let body: ErrorBody = serde_json::from_slice(&bytes).map_err(|e| gone(&e))?;
                let code = body.known_code().unwrap_or(ErrorCode::PeerUnavailable);
                Err(Error::new(code, body.message).advising(body.advice))
            };
            done(answer.await);
        });
    }
}
