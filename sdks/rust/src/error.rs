// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

use std::fmt;

/// The reason why a record or a call failed, in words for whoever reads the dead letter or the log.
///
/// `?` converts every standard error.
pub struct Error {
    message: String,
    /// Not about the record in process: an earlier one of the batch may be the reason.
    pub(crate) of_batch: bool,
}

impl Error {
    /// Creates an error with a message.
    pub fn new(message: impl Into<String>) -> Self {
        Error { message: message.into(), of_batch: false }
    }

    /// Puts what was being done before the message.
    #[must_use]
    pub fn context(self, doing: impl fmt::Display) -> Self {
        Error { message: format!("{doing}: {}", self.message), ..self }
    }

    pub(crate) fn of_batch(message: impl Into<String>) -> Self {
        Error { message: message.into(), of_batch: true }
    }

    pub(crate) fn into_message(self) -> String {
        self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

// `Error` itself is no `std::error::Error`, or this would overlap with `From<T> for T`.
impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        Error::new(error.to_string())
    }
}
