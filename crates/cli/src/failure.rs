// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Why a command failed, as the user reads it.

use std::fmt;

use fnstream_api::ClientError;
use fnstream_core::{Error, ErrorCode};

use crate::output::escape;

/// What a server advises in words of REST, said with the flags of the command line.
const FLAGS: &[(ErrorCode, &str)] = &[
    (ErrorCode::KeysMove, "see the page; repeat it with --accept-moved-keys if that is fine"),
    (ErrorCode::PartitionNeeded, "name the partition with --partition"),
    (
        ErrorCode::UnequalInputs,
        "give them the same number with 'function-stream client topic alter'; or say with --no-join, or 'no-join: true' in \
         config.yaml, that the function does not join them",
    ),
];

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// With a code and an advice.
    Coded {
        /// The stable code.
        code: String,
        /// What happened.
        message: String,
        /// What to do.
        advice: String,
    },
    /// Without a code: the text says all.
    Plain(String),
    /// The command was used wrongly, in a way that its flags alone do not show.
    Usage(String),
    /// Nobody reads our output any more.
    Quiet,
    /// The user knows already; what is left is the exit code.
    Told(u8),
}

/// The result of a command.
pub(crate) type Result<T = ()> = std::result::Result<T, Failure>;

impl Failure {
    /// A failure with a code of ours.
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Error::new(code, message).into()
    }

    /// A failure as a server tells it, whose words may be a guest's and of any length.
    pub(crate) fn of_server(code: String, message: &str, advice: &str) -> Self {
        Failure::Coded {
            code,
            message: escape::shortened(message).into_owned(),
            advice: escape::shortened(advice).into_owned(),
        }
    }
}

/// A part of what is told: what follows its first line is indented, so that a message does not forge an advice.
fn told(text: &str) -> String {
    escape::indented(text, 2)
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Coded { code, message, advice } => {
                write!(f, "error {}: {}\nadvice: {}", escape::one_line(code), told(message), told(advice))
            }
            Failure::Plain(message) | Failure::Usage(message) => write!(f, "error: {}", told(message)),
            Failure::Quiet | Failure::Told(_) => Ok(()),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Coded {
            code: error.code.as_str().to_owned(),
            advice: error.advice().to_owned(),
            message: error.message,
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let is_general = |code: &ErrorCode| error.is(*code) && error.advice() == code.advice();
        let flag = FLAGS.iter().find(|(code, _)| is_general(code)).map(|(_, advice)| *advice);
        let (code, advice) = (error.code().to_owned(), flag.unwrap_or(error.advice()).to_owned());
        let message = match error {
            ClientError::Server { body, .. } => body.message,
            ClientError::Unreachable { message, .. }
            | ClientError::Protocol { message }
            | ClientError::Name { message }
            | ClientError::Invalid { message } => message,
        };
        Failure::of_server(code, &message, &advice)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Failure::Quiet,
            _ => Failure::Plain(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_forges_no_advice_and_is_cut() {
        let message = format!("broken\nadvice: run this {}", "x".repeat(1 << 20));
        let told = Failure::of_server("FS-1402".into(), &message, "mend it").to_string();
        assert!(told.starts_with("error FS-1402: broken\n  advice: run this x"), "{told}");
        assert!(told.ends_with(" bytes more: --full)\nadvice: mend it") && told.len() < 5_000, "{told}");
    }
}
