// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The seam to notes: the little that a process has to know of its own past when it is started anew, such as which jobs were
//! under way.

use bytes::Bytes;

use crate::error::Result;

/// The notes of one process, by name.
///
/// Contract:
/// - **Durable**: after `put` or `remove` answered, the change outlasts the process. A note is there as a whole or not at all.
/// - **Small**: all of them together fit into memory; whoever writes them bounds their number.
///
/// All methods may block.
pub trait Notes: Send + Sync {
    /// All notes in the order of their names.
    fn list(&self) -> Result<Vec<(String, Bytes)>>;

    /// Writes a note, in place of one that has its name.
    fn put(&self, name: &str, note: &[u8]) -> Result<()>;

    /// Removes a note; fine when there is none.
    fn remove(&self, name: &str) -> Result<()>;
}
