// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Writing to the terminal. A reader that went away (`… | head -1`) is no panic.

use std::io::Write;

use crate::failure::{Failure, Result};

/// Writes a line to standard output at once.
pub(crate) fn line(text: impl AsRef<[u8]>) -> Result {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_ref())?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

/// Writes a value as JSON for programs, indented for people.
pub(crate) fn json(value: &impl serde::Serialize) -> Result {
    line(serde_json::to_vec_pretty(value).map_err(|e| Failure::Plain(e.to_string()))?)
}

/// Writes lines to standard error; when even that fails there is nobody left to tell.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
