// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Where logs go: to standard error, filtered by `RUST_LOG` or the level that was asked for.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::failure::{Failure, Result};

/// Begins to log.
pub fn init(default_level: &str) -> Result {
    let filter = EnvFilter::try_from_default_env().or_else(|_| EnvFilter::try_new(default_level));
    let filter = filter.map_err(|e| Failure::Plain(format!("log level '{default_level}': {e}")))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init()
        .map_err(|e| Failure::Plain(e.to_string()))
}
