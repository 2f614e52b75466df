// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Finds out whether a file is a function's or the server's.

use crate::function::keys::FUNCTION;
use crate::key::Key;
use crate::server::keys::SERVER;
use crate::tree::{self, Content};

/// The subject of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigKind {
    /// A function.
    Function,
    /// A server.
    Server,
}

impl ConfigKind {
    /// Judges by its keys what a file most likely describes; one whose keys say nothing is taken for a function's.
    pub fn of(bytes: &[u8]) -> ConfigKind {
        let Ok(Some(root)) = tree::parse(bytes) else { return ConfigKind::Function };
        let Content::Block(entries) = &root.content else { return ConfigKind::Function };
        let known = |table: &[Key]| {
            let is_known = |name: &str| table.iter().any(|key| key.is(name));
            entries.iter().filter(|(key, _)| is_known(&key.name)).count()
        };
        if known(SERVER) > known(FUNCTION) { ConfigKind::Server } else { ConfigKind::Function }
    }
}
