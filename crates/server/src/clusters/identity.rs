// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What tells this server from others on the clusters that it reaches.

use std::collections::HashMap;
use std::sync::Arc;

use fnstream_core::Result;
use fnstream_core::notes::Notes;
use parking_lot::Mutex;

/// What the names of the server's own topics, groups and producers begin with.
pub(super) const SERVER: &str = "function-stream";

/// The note of what tells this server from others. It is older than other brokers than Kafka.
const ID: &str = "kafka.server-id";

/// What tells this server from others.
pub(super) struct Identity {
    /// Keeps the server's id, where it has no name.
    notes: Arc<dyn Notes>,
    /// The name of the server, if it was given one.
    name: Option<String>,
    drawn: Mutex<HashMap<&'static str, String>>,
}

impl Identity {
    pub(super) fn new(notes: Arc<dyn Notes>, name: Option<String>) -> Identity {
        Identity { notes, name, drawn: Mutex::default() }
    }

    /// The name of this server, which no other has on a cluster: it stays as long as the data folder.
    pub(super) fn server(&self) -> Result<String> {
        match &self.name {
            Some(name) => Ok(name.clone()),
            None => Ok(format!("{SERVER}-{}", self.drawn::<6>(ID)?)),
        }
    }

    /// So many random bytes that were drawn once, in hexadecimal digits; noted under that name.
    pub(super) fn drawn<const N: usize>(&self, name: &'static str) -> Result<String> {
        let mut drawn = self.drawn.lock();
        if let Some(known) = drawn.get(name) {
            return Ok(known.clone());
        }
        let noted = self.notes.list()?.into_iter().find(|(noted, _)| noted == name);
        let text = match noted {
            Some((_, noted)) => String::from_utf8_lossy(&noted).into_owned(),
            None => {
                let mut random = [0; N];
                let filled = getrandom::fill(&mut random);
                filled.map_err(|e| fnstream_core::error::internal(format!("no random number for '{name}': {e}")))?;
                let text = hex(&random);
                self.notes.put(name, text.as_bytes())?;
                text
            }
        };
        Ok(drawn.entry(name).insert_entry(text).get().clone())
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
