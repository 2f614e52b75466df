// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Backups of a data folder that is in use, and their way back.
//!
//! A checkpoint of the one database is one moment of everything: it is made first, of links, in the data folder, where it costs
//! neither time nor space ([`stage`]). Then its files are copied, as slowly as is wished, with their checksums. The copies
//! share nothing with the server's own files, so what becomes of those cannot touch them.
//!
//! ```text
//! TO.partial/       while it is made; whoever finds it without a lock on INCOMPLETE may remove it
//!   INCOMPLETE      locked by the server that makes it
//! TO/               when all of it is on the disk
//!   BACKUP          the list of the files with their checksums, and a checksum of the list ([`manifest`])
//!   FORMAT, REACH, db/, artifacts/     what a data folder has
//! ```
//!
//! Artifacts are those that the functions of that moment need, and their kept revisions. Logs of functions and compiled code are not
//! in it: nothing depends on them.
//!
//! A restore ([`restore`]) reads all of a backup before it writes anything.

mod copy;
mod manifest;
mod place;
mod restore;
mod stage;

use std::path::Path;

use fnstream_core::backups::{Backups, Made, Progress, Watch};
use fnstream_core::dir::{Dir, How};
use fnstream_core::{Error, ErrorCode, Result};

use crate::dir::ARTIFACTS;
use crate::error::file;
use crate::store::Store;
use copy::Copying;
pub use manifest::Manifest;
use manifest::{Contents, FileSum};
use place::Place;
pub use restore::{Restored, restore, verify};
use stage::Stage;

/// The list of a backup's files.
pub(crate) const LIST: &str = "BACKUP";

/// Backups of a store.
pub(crate) struct StoreBackups(pub Store);

impl Backups for StoreBackups {
    fn make(&self, to: &Path, rate: Option<u64>, watch: &dyn Watch) -> Result<Made> {
        let inner = self.0.inner();
        let under_way = || Error::new(ErrorCode::BackupUnderWay, "this server is making a backup already");
        let _alone = inner.backup.try_lock().ok_or_else(under_way)?;
        // A copy of what is known to be damaged would be found out when it is needed.
        inner.base.health().check_undamaged()?;
        let place = Place::claim(to, inner.base.root())?;
        let stage = Stage::make(&inner.base)?;
        let at_unix_ms = inner.options.clock.unix_ms();
        let made = write(&stage, &place, at_unix_ms, Copying::new(rate, watch))?;
        place.publish()?;
        Ok(made)
    }
}

/// Copies everything to where it is made, and writes the list.
fn write(stage: &Stage, place: &Place, at_unix_ms: i64, mut copying: Copying<'_>) -> Result<Made> {
    let (moment, root) = (stage.moment()?, place.folder());
    let mut files = Vec::new();
    let sources = stage.files(&moment)?;
    copying.all = sources.iter().map(|source| source.bytes).sum();
    copying.begin();
    for (folder, names) in sources.chunk_by(|a, b| a.folder == b.folder).map(|chunk| (chunk[0].folder, chunk)) {
        let from = stage.folder(folder)?;
        let to = root.make_sub(folder).map_err(|e| unwritten(root, folder, &e))?;
        for source in names {
            let bytes = from.file(&source.name, How::Read).map_err(|e| file("cannot read", from.path(), &e))?;
            let target = to.file(&source.name, How::New).map_err(|e| unwritten(&to, &source.name, &e))?;
            let path = to.path().join(&source.name);
            let (bytes, sha256) = copying.copy(
                bytes,
                Some(target),
                |e| unwritten_at(&path, e),
                |e| file("cannot read", &from.path().join(&source.name), e),
            )?;
            if folder == ARTIFACTS && source.name != format!("{sha256}.wasm") {
                let message = format!("the artifact '{}' has {bytes} bytes that do not match its digest", source.name);
                return Err(Error::new(ErrorCode::ArtifactCorrupt, message));
            }
            files.push(FileSum { path: format!("{folder}/{}", source.name), bytes, sha256 });
        }
        to.sync().map_err(|e| unwritten(root, folder, &e))?;
    }
    for (name, bytes) in stage.marks(&moment)? {
        files.push(FileSum::of(name, &bytes));
        root.put(name, &bytes).map_err(|e| unwritten(root, name, &e))?;
    }
    let contents = Contents::new(at_unix_ms, &moment, files);
    root.put(LIST, contents.encode().as_bytes()).map_err(|e| unwritten(root, LIST, &e))?;
    Ok(contents.made())
}

/// An error at the place of a backup.
fn unwritten(folder: &Dir, name: &str, error: &std::io::Error) -> Error {
    unwritten_at(&folder.path().join(name), error)
}

fn unwritten_at(path: &Path, error: &std::io::Error) -> Error {
    let mut error = file("cannot write", path, error);
    error.code = match error.code {
        ErrorCode::StorageFull => ErrorCode::BackupFull,
        ErrorCode::Storage => ErrorCode::BackupUnwritable,
        other => other,
    };
    error
}

/// How far copying is.
fn progress(bytes: u64, of: u64) -> Progress {
    Progress { bytes, of }
}
