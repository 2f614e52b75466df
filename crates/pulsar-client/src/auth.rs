// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Who the client says that it is.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::{Error, Result};

/// How the client authenticates itself.
///
/// Tokens are asked for again whenever a connection begins and whenever the broker finds that one has expired, so that a
/// file or a supplier can renew them.
#[derive(Clone, Default)]
pub struct Authentication(Option<Source>);

#[derive(Clone)]
enum Source {
    Token(String),
    File(PathBuf),
    Supplier(Arc<dyn Fn() -> Result<String> + Send + Sync>),
}

/// Shows the kind, and never the token.
impl fmt::Debug for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            None => "Authentication::none",
            Some(Source::Token(_)) => "Authentication::token",
            Some(Source::File(_)) => "Authentication::token_file",
            Some(Source::Supplier(_)) => "Authentication::token_supplier",
        })
    }
}

impl Authentication {
    /// No authentication.
    pub fn none() -> Authentication {
        Authentication(None)
    }

    /// A token (a JWT) that stays the same.
    pub fn token(token: impl Into<String>) -> Authentication {
        Authentication(Some(Source::Token(token.into())))
    }

    /// A file with a token. White space around it does not count.
    pub fn token_file(path: impl Into<PathBuf>) -> Authentication {
        Authentication(Some(Source::File(path.into())))
    }

    /// A function that gives a token. It must not block for long: it is called on a thread of the runtime.
    pub fn token_supplier(supplier: impl Fn() -> Result<String> + Send + Sync + 'static) -> Authentication {
        Authentication(Some(Source::Supplier(Arc::new(supplier))))
    }

    /// The name of the method, for the broker.
    pub(crate) fn method(&self) -> Option<&'static str> {
        self.0.as_ref().map(|_| "token")
    }

    /// The credentials as they are now.
    pub(crate) async fn data(&self) -> Result<Option<Bytes>> {
        let token = match &self.0 {
            None => return Ok(None),
            Some(Source::Token(token)) => token.clone(),
            Some(Source::File(path)) => tokio::fs::read_to_string(path)
                .await
                .map_err(|error| Error::AuthenticationFailed(format!("{}: {error}", path.display())))?,
            Some(Source::Supplier(supplier)) => supplier()?,
        };
        Ok(Some(token.trim().to_owned().into()))
    }
}
