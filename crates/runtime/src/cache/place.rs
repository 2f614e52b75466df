// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The place of the cache's folder, in a folder that stays open.
//!
//! The cache may lie in a data folder, which somebody moves away while the process runs. Whoever then made the cache anew by its path
//! would make a data folder that is none, in the way of the right one when it comes back. So the folder around the cache is made
//! once, at the start, and the cache's own is made in that one and nowhere else.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use fnstream_core::dir::{Access, Dir};

use super::entry::Folder;

/// See the module.
#[derive(Debug)]
pub(super) struct Place {
    around: Dir,
    name: OsString,
}

impl Place {
    /// The place of that path. Makes the folders above it that are missing.
    pub(super) fn find(path: &Path) -> io::Result<Self> {
        // The path may lead over links: whoever named it meant where they lead.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let name = path.file_name().ok_or_else(|| io::Error::other("the path has no last part"))?.to_owned();
        let around = match path.parent().filter(|around| !around.as_os_str().is_empty()) {
            Some(around) => around,
            None => Path::new("."),
        };
        std::fs::create_dir_all(around)?;
        Ok(Place { around: Dir::open(around, Access::Owner)?, name })
    }

    /// The folder's path, for messages.
    pub(super) fn path(&self) -> PathBuf {
        self.around.path().join(&self.name)
    }

    /// The folder, if it is there.
    pub(super) fn open(&self) -> io::Result<Option<Folder>> {
        self.check()?;
        match self.around.sub(&self.name) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => Folder::trusted(opened?).map(Some),
        }
    }

    /// The folder, made if it is not there.
    pub(super) fn make(&self) -> io::Result<Folder> {
        self.check()?;
        Folder::trusted(self.around.make_sub(&self.name)?)
    }

    /// Code is mapped by its path, so that has to lead here.
    fn check(&self) -> io::Result<()> {
        if self.around.is_in_place()? {
            return Ok(());
        }
        Err(io::Error::other(format!("the folder '{}' was moved or removed", self.around.path().display())))
    }
}
