// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The place of a backup: claimed, filled under another name, and published.

use std::fs::File;
use std::io;
use std::path::{Component, Path};

use fnstream_core::dir::{Dir, How};
use fnstream_core::{Error, ErrorCode, Result};
use rustix::fs::{AtFlags, FlockOperation, Mode, RenameFlags, flock, mkdirat, renameat, renameat_with, unlinkat};
use rustix::io::Errno;

use super::{LIST, unwritten, unwritten_at};

/// What a backup has until it is whole.
pub(super) const INCOMPLETE: &str = "INCOMPLETE";

/// A place that this process holds.
pub(super) struct Place {
    parent: Dir,
    name: String,
    partial: String,
    folder: Dir,
    /// Held while it is made, also against other servers.
    _lock: File,
    published: bool,
}

impl Place {
    /// Takes the place at a path where nothing is. What is left there of a backup that was interrupted goes.
    pub(super) fn claim(to: &Path, data: &Dir) -> Result<Self> {
        let refused = |why: &str| Error::new(ErrorCode::BackupPlace, format!("'{}' {why}", to.display()));
        if !to.is_absolute() {
            return Err(refused("is not an absolute path"));
        }
        if to.components().any(|part| matches!(part, Component::ParentDir | Component::CurDir)) {
            return Err(refused("has a part '..' or '.'"));
        }
        let (Some(above), Some(name)) = (to.parent(), to.file_name()) else {
            return Err(refused("is no name of a folder"));
        };
        let name = name.to_str().ok_or_else(|| refused("is not utf-8"))?.to_owned();
        let parent = Dir::open(above, data.access()).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => refused(&format!("cannot be made: there is no folder '{}'", above.display())),
            io::ErrorKind::NotADirectory => refused(&format!("cannot be made: '{}' is no folder", above.display())),
            _ => unwritten_at(above, &e),
        })?;
        if parent.path().starts_with(data.path()) {
            return Err(refused("is in the data folder itself"));
        }
        if parent.has(&name).map_err(|e| unwritten(&parent, &name, &e))? {
            return Err(refused("exists already"));
        }
        let partial = format!("{name}.partial");
        let (folder, lock) = begin(&parent, &partial)?;
        Ok(Place { parent, name, partial, folder, _lock: lock, published: false })
    }

    /// Where it is made.
    pub(super) fn folder(&self) -> &Dir {
        &self.folder
    }

    /// Gives it its name, when all of it is written.
    pub(super) fn publish(mut self) -> Result<()> {
        let failed = |place: &Self, e: io::Error| unwritten(&place.parent, &place.name, &e);
        self.folder.remove(INCOMPLETE).map_err(|e| failed(&self, e))?;
        self.folder.sync().map_err(|e| failed(&self, e))?;
        match rename_new(&self.parent, &self.partial, &self.name) {
            Err(Errno::EXIST | Errno::NOTEMPTY) => {
                let path = self.parent.path().join(&self.name);
                let message = format!("'{}' was made by somebody else meanwhile", path.display());
                return Err(Error::new(ErrorCode::BackupPlace, message));
            }
            renamed => renamed.map_err(|e| failed(&self, e.into()))?,
        }
        // Whoever is told that there is none must not find one, and be refused its place.
        self.partial.clone_from(&self.name);
        self.parent.sync().map_err(|e| failed(&self, e))?;
        self.published = true;
        Ok(())
    }
}

/// What is not whole is not left.
impl Drop for Place {
    fn drop(&mut self) {
        if self.published {
            return;
        }
        if let Err(error) = self.parent.remove_all(&self.partial) {
            let folder = self.parent.path().join(&self.partial);
            tracing::warn!(%error, folder = %folder.display(), "what was begun of a backup cannot be removed");
        }
        let _ = self.parent.sync();
    }
}

/// Makes the folder and locks it.
fn begin(parent: &Dir, partial: &str) -> Result<(Dir, File)> {
    let failed = |e: io::Error| unwritten(parent, partial, &e);
    let make = || mkdirat(parent.as_file(), partial, Mode::from_raw_mode(parent.access().of_folders() as _));
    // Held until the new one is locked.
    let mut _old = None;
    match make() {
        Err(Errno::EXIST) => {
            // An empty one is what is left when nothing but its folder was made.
            if unlinkat(parent.as_file(), partial, AtFlags::REMOVEDIR).is_err() {
                _old = Some(abandoned(parent, partial)?);
                parent.remove_all(partial).map_err(failed)?;
            }
            make().map_err(|e| failed(e.into()))?;
        }
        made => made.map_err(|e| failed(e.into()))?,
    }
    let begun = || -> io::Result<_> {
        let folder = parent.sub(partial)?;
        let lock = folder.file(INCOMPLETE, How::New)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        Ok((folder, lock))
    };
    begun().map_err(|e| {
        let _ = parent.remove_all(partial);
        failed(e)
    })
}

/// The lock of a backup that was interrupted. An error if it is being made, or if it is none.
fn abandoned(parent: &Dir, partial: &str) -> Result<File> {
    let path = parent.path().join(partial);
    let in_the_way = |what: &str| {
        let message = format!("'{}' is in the way, and is {what}", path.display());
        Error::new(ErrorCode::BackupPlace, message)
    };
    const NONE: &str = "no backup that was interrupted";
    // What the system says of it when it is there but is of another kind.
    let is_other = |e: &io::Error| {
        e.raw_os_error().is_none() || matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
    };
    let failed = |e: io::Error| if is_other(&e) { in_the_way(NONE) } else { unwritten_at(&path, &e) };
    let folder = parent.sub(partial).map_err(failed)?;
    let lock = match folder.file(INCOMPLETE, How::Read) {
        // One that could not be given its name, or somebody's own: it is not ours to remove.
        Err(e) if is_other(&e) && folder.has(LIST).unwrap_or_default() => {
            return Err(in_the_way("a backup that is whole: move or remove it"));
        }
        lock => lock.map_err(failed)?,
    };
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(Errno::WOULDBLOCK) => {
            let message = format!("another server is making a backup in '{}'", path.display());
            Err(Error::new(ErrorCode::BackupUnderWay, message))
        }
        Err(e) => Err(unwritten_at(&path, &e.into())),
    }
}

/// Renames to a name that nothing has.
fn rename_new(parent: &Dir, from: &str, to: &str) -> std::result::Result<(), Errno> {
    let fd = parent.as_file();
    match renameat_with(fd, from, fd, to, RenameFlags::NOREPLACE) {
        // Some file systems cannot. Then at least nothing that has something in it is replaced.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => match parent.has(to) {
            Ok(false) => renameat(fd, from, fd, to),
            _ => Err(Errno::EXIST),
        },
        renamed => renamed,
    }
}
