// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Writing to the terminal. A reader that went away (`… | head -1`) is no panic.

use std::io::Write;

use crate::failure::Result;

/// Writes a line to standard output at once.
pub fn line(text: impl AsRef<[u8]>) -> Result {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_ref())?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

/// Writes lines to standard error; when even that fails there is nobody left to tell.
pub fn complain(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
