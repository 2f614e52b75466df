// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What a call of the client can fail with.

use fnstream_core::ErrorCode;

use crate::failure::ErrorBody;

/// Why a call failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ClientError {
    /// The server refused or failed, and said why.
    #[error("{} ({})", body.message, body.code)]
    Server {
        /// The HTTP status.
        status: u16,
        /// The server's words.
        body: ErrorBody,
    },
    /// No server was reached, or the connection broke before the answer was there.
    #[error("{message} ({})", ErrorCode::Unavailable)]
    Unreachable {
        /// What happened, with the server's URL.
        message: String,
        /// Whether the request may have been sent, and may therefore be done.
        sent: bool,
    },
    /// What answered does not speak this interface.
    #[error("{message} ({})", ErrorCode::StrangeAnswer)]
    Protocol {
        /// What was odd.
        message: String,
    },
    /// A name that no server takes and no URL can hold.
    #[error("{message} ({})", ErrorCode::InvalidName)]
    Name {
        /// Which name.
        message: String,
    },
    /// The call cannot be made as it is asked for.
    #[error("{message} ({})", ErrorCode::InvalidRequest)]
    Invalid {
        /// What is wrong with it.
        message: String,
    },
}

impl ClientError {
    /// The stable code.
    pub fn code(&self) -> &str {
        match self {
            ClientError::Server { body, .. } => &body.code,
            ClientError::Unreachable { .. } => ErrorCode::Unavailable.as_str(),
            ClientError::Protocol { .. } => ErrorCode::StrangeAnswer.as_str(),
            ClientError::Name { .. } => ErrorCode::InvalidName.as_str(),
            ClientError::Invalid { .. } => ErrorCode::InvalidRequest.as_str(),
        }
    }

    /// What to do about it.
    pub fn advice(&self) -> &str {
        match self {
            ClientError::Server { body, .. } => &body.advice,
            ClientError::Unreachable { .. } => ErrorCode::Unavailable.advice(),
            ClientError::Protocol { .. } => ErrorCode::StrangeAnswer.advice(),
            ClientError::Name { .. } => ErrorCode::InvalidName.advice(),
            ClientError::Invalid { .. } => "correct the option that the message names",
        }
    }

    /// Whether the server answered with that code.
    pub fn is(&self, code: ErrorCode) -> bool {
        self.code() == code.as_str()
    }

    /// Whether what was asked for may be done all the same: it was sent, and no answer that can be read came.
    pub fn may_be_done(&self) -> bool {
        match self {
            ClientError::Unreachable { sent, .. } => *sent,
            ClientError::Protocol { .. } => true,
            _ => false,
        }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        ClientError::Invalid { message: message.into() }
    }

    pub(crate) fn protocol(url: &str, error: &reqwest::Error) -> Self {
        ClientError::Protocol { message: format!("unexpected answer of {url}: {}", root_cause(error)) }
    }

    pub(crate) fn from_send(url: &str, error: &reqwest::Error) -> Self {
        let sent = !error.is_connect();
        let what = if sent { "the connection broke to the server at" } else { "cannot reach the server at" };
        ClientError::Unreachable { message: format!("{what} {url}: {}", root_cause(error)), sent }
    }

    pub(crate) fn broken(url: &str, error: &reqwest::Error) -> Self {
        ClientError::Unreachable {
            message: format!("the connection broke to the server at {url}: {}", root_cause(error)),
            sent: true,
        }
    }

    pub(crate) fn from_answer(url: &str, status: u16, body: &[u8]) -> Self {
        match serde_json::from_slice(body) {
            Ok(body) => ClientError::Server { status, body },
            Err(_) => ClientError::Protocol {
                message: format!(
                    "{url} answered {status} without an error body: it may not be a function-stream server"
                ),
            },
        }
    }
}

/// The innermost cause says what happened; the outer ones repeat the URL.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let text = cause.to_string();
    text.chars().take(300).collect::<String>().to_lowercase()
}
