// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Bytes that may become an artifact, kept on its disk while they come: they may turn out to be too many for memory.
//!
//! The file has no name, so it is gone with the process, however that ends.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use fnstream_core::Result;
use fnstream_core::dir::{Dir, How};

use crate::error::file;

/// A file without a name.
#[derive(Debug)]
pub struct Spool {
    file: File,
    /// The name that it had, for messages.
    path: PathBuf,
    len: usize,
}

impl Spool {
    /// Makes a file in a folder and takes its name away.
    pub fn new(folder: &Dir) -> Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("spool.{}.{number}.tmp", std::process::id());
        let path = folder.path().join(&name);
        let spool = folder.file(&name, How::New).map_err(|e| file("cannot make", &path, &e))?;
        folder.remove(&name).map_err(|e| file("cannot remove", &path, &e))?;
        Ok(Spool { file: spool, path, len: 0 })
    }

    /// The number of its bytes.
    #[allow(clippy::len_without_is_empty, reason = "nobody asks")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Adds bytes at the end. After an error it is good for nothing.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|e| file("cannot write", &self.path, &e))?;
        self.len += bytes.len();
        Ok(())
    }

    /// All bytes, with `rest` after them.
    pub fn finish(mut self, rest: &[u8]) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(self.len + rest.len());
        let read = self.file.rewind().and_then(|()| self.file.read_to_end(&mut bytes));
        read.map_err(|e| file("cannot read", &self.path, &e))?;
        bytes.extend_from_slice(rest);
        Ok(bytes)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use fnstream_core::dir::Access;

    use super::*;

    #[test]
    fn what_is_written_is_read_and_leaves_no_file() {
        let place = tempfile::tempdir().unwrap();
        let folder = Dir::open(place.path(), Access::Owner).unwrap();
        let mut spool = Spool::new(&folder).unwrap();
        spool.write(b"one ").unwrap();
        spool.write(b"two ").unwrap();
        assert_eq!((spool.len(), folder.names().unwrap().len()), (8, 0));
        assert_eq!(spool.finish(b"three").unwrap(), b"one two three");
    }
}
