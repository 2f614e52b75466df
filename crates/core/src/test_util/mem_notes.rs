// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Notes in memory. Clones share them, as a process that is started anew does.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::error::Result;
use crate::notes::Notes;

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct MemNotes {
    notes: Arc<Mutex<BTreeMap<String, Bytes>>>,
}

impl Notes for MemNotes {
    fn list(&self) -> Result<Vec<(String, Bytes)>> {
        Ok(self.notes.lock().iter().map(|(name, note)| (name.clone(), note.clone())).collect())
    }

    fn put(&self, name: &str, note: &[u8]) -> Result<()> {
        self.notes.lock().insert(name.to_owned(), Bytes::copy_from_slice(note));
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.notes.lock().remove(name);
        Ok(())
    }
}
