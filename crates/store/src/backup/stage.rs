// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A moment of the store, as files that nobody changes any more.
//!
//! It is made in the data folder itself: there the files can be links to those of the database, so that it takes hardly any
//! time, however much data there is. What a crash leaves of it the next start removes.

use std::fs::{self, OpenOptions};
use std::io;

use fnstream_core::dir::Dir;
use fnstream_core::{Error, ErrorCode, Result};
use rocksdb::DBRecoveryMode;
use rustix::fs::{AtFlags, linkat};

use crate::base::Base;
use crate::check;
use crate::dir::{self, ARTIFACTS, CHECKPOINT, DB};
use crate::error::file;
use crate::log_file;
use crate::opening;
use crate::options::StoreOptions;
use crate::reach::Reach;

/// What is in a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moment {
    /// The last write that is in it.
    pub last_write: u64,
    pub topics: u64,
    pub functions: u64,
    /// The digests of the artifacts that are needed.
    pub artifacts: Vec<String>,
}

/// A file to be copied.
pub(super) struct Source {
    pub folder: &'static str,
    pub name: String,
    pub bytes: u64,
}

/// The folder with the checkpoint. It goes when this is dropped.
pub(super) struct Stage<'a> {
    root: &'a Dir,
    folder: Dir,
}

impl<'a> Stage<'a> {
    /// Takes a checkpoint.
    pub(super) fn make(base: &'a Base) -> Result<Self> {
        let root = base.root();
        dir::remove_checkpoint(root)?;
        let folder = root.make_sub(CHECKPOINT).map_err(|e| file("cannot make", &root.path().join(CHECKPOINT), &e))?;
        let stage = Stage { root, folder };
        // No artifact is swept from before the checkpoint until it is linked: what the register has at that moment was there
        // before, and is there.
        let artifacts = base.artifacts();
        artifacts.unswept(|names, from| {
            base.db()?.checkpoint(&stage.folder.path().join(DB))?;
            stage.link(names()?, from)
        })?;
        stage.cut_unfinished()?;
        Ok(stage)
    }

    fn link(&self, names: Vec<String>, from: &Dir) -> Result<()> {
        let to = self.folder.make_sub(ARTIFACTS).map_err(|e| file("cannot make", self.folder.path(), &e))?;
        for name in names {
            let linked = linkat(from.as_file(), &name, to.as_file(), &name, AtFlags::empty());
            if linked.is_err() {
                // A file system without links.
                let (from, to) = (from.path().join(&name), to.path().join(&name));
                fs::copy(&from, &to).map_err(|e| file("cannot copy", &from, &e))?;
            }
        }
        Ok(())
    }

    /// The newest log was copied while it was written to, so that it may end within a write, which then is not in the checkpoint.
    fn cut_unfinished(&self) -> Result<()> {
        let Some(log) = opening::logs(&self.folder.path().join(DB))?.pop() else { return Ok(()) };
        let extent = log_file::read(&log, |_, _| {}).map_err(|e| file("cannot read", &log, &e))?;
        if extent.flaw.is_none() {
            return Ok(());
        }
        let cut = || OpenOptions::new().write(true).open(&log)?.set_len(extent.whole);
        cut().map_err(|e| file("cannot cut", &log, &e))
    }

    /// Opens the checkpoint, unchanged, and looks what is in it. It must be whole to its end.
    pub(super) fn moment(&self) -> Result<Moment> {
        // Memory and files are the store's own share, and this is beside it.
        let options = StoreOptions {
            block_cache_bytes: 8 << 20,
            write_buffer_bytes: 8 << 20,
            max_open_files: 32,
            ..StoreOptions::default()
        };
        let path = self.folder.path().join(DB);
        let db = opening::open_unchanged(&path, &options, DBRecoveryMode::AbsoluteConsistency)?;
        let needed = check::needs(&db)?;
        Ok(Moment {
            last_write: db.latest_sequence_number(),
            topics: needed.topics,
            functions: needed.functions,
            artifacts: needed.artifacts,
        })
    }

    /// The files to be copied, folder by folder.
    pub(super) fn files(&self, moment: &Moment) -> Result<Vec<Source>> {
        let db = self.folder(DB)?;
        let mut names = db.names().map_err(|e| file("cannot list", db.path(), &e))?;
        names.sort_unstable();
        let mut sources = Vec::new();
        for name in names.into_iter().filter(|name| name != "LOCK" && name != "LOG") {
            let meta = fs::symlink_metadata(db.path().join(&name)).map_err(|e| file("cannot read", db.path(), &e))?;
            sources.push(Source { folder: DB, name, bytes: meta.len() });
        }
        let artifacts = self.folder(ARTIFACTS)?;
        for digest in &moment.artifacts {
            let name = format!("{digest}.wasm");
            let path = artifacts.path().join(&name);
            let bytes = match fs::symlink_metadata(&path) {
                Ok(meta) => meta.len(),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    let message = format!("the artifact {digest}, which a function needs, is missing");
                    return Err(Error::new(ErrorCode::ArtifactCorrupt, message));
                }
                Err(e) => return Err(file("cannot read", &path, &e)),
            };
            sources.push(Source { folder: ARTIFACTS, name, bytes });
        }
        Ok(sources)
    }

    /// A folder of the checkpoint.
    pub(super) fn folder(&self, name: &str) -> Result<Dir> {
        self.folder.sub(name).map_err(|e| file("cannot open", &self.folder.path().join(name), &e))
    }

    /// The files that say what the data folder is and how far it reaches.
    pub(super) fn marks(&self, moment: &Moment) -> Result<[(&'static str, Vec<u8>); 2]> {
        let path = self.folder.path().join(DB);
        let reach = Reach::of_backup(&path, moment.last_write).map_err(|e| file("cannot read", &path, &e))?;
        Ok([(dir::REACH, reach), (dir::FORMAT, dir::mark_text().into_bytes())])
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        if let Err(error) = dir::remove_checkpoint(self.root) {
            tracing::warn!(%error, "the checkpoint of a backup cannot be removed: the next start does it");
        }
    }
}
