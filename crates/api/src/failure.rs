// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The body of every answer that is not a success.

use fnstream_core::{Error, ErrorCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What went wrong, with a code that never changes its meaning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// The stable code; `docs/errors/` has a page for each.
    #[schema(example = "FS-1101")]
    pub code: String,
    /// What happened here.
    #[schema(example = "function 'example' exists")]
    pub message: String,
    /// What to do about it.
    #[schema(example = "choose another name, or delete the function first")]
    pub advice: String,
}

impl ErrorBody {
    /// The code, where this build knows it.
    pub fn known_code(&self) -> Option<ErrorCode> {
        ErrorCode::ALL.iter().copied().find(|c| c.as_str() == self.code)
    }
}

impl From<&Error> for ErrorBody {
    fn from(error: &Error) -> Self {
        ErrorBody {
            code: error.code.as_str().to_owned(),
            message: error.message.clone(),
            advice: error.advice().to_owned(),
        }
    }
}
