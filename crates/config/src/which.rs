// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Whether a file is a function's or the server's.

use crate::function::keys::FUNCTION;
use crate::key::Key;
use crate::server::keys::SERVER;
use crate::tree::{self, Content};

/// What a file describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigKind {
    /// A function.
    Function,
    /// A server.
    Server,
}

impl ConfigKind {
    /// What a file most likely describes: its keys tell, and a file that tells nothing is taken for a function's.
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
