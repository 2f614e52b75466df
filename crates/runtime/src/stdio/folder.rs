// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Folders of the server that a module was granted: to be read, and only what lies in them.
//!
//! Paths are resolved beneath the folder, by the operating system where it can: neither `..` nor an absolute path nor a
//! symbolic link leads out. Only what can be read without waiting is opened, see [`crate::granted`].

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use cap_primitives::fs::{FollowSymlinks, Metadata, MetadataExt, stat};
use fnstream_core::Result as CoreResult;
use fnstream_core::runtime::InstanceSpec;
use fnstream_core::spec::FileGrant;

use super::errno::{self, Errno};
use super::files::{FileType, Stat, Wanted};
use crate::granted;

/// The longest path that is looked at.
const LONGEST_PATH: usize = 4 << 10;

/// The most bytes of one read, so that no single call takes long.
const LARGEST_READ: usize = 1 << 20;

/// A granted folder, with the name under which the module finds it.
#[derive(Debug, Clone)]
pub(super) struct Granted {
    pub(super) name: Arc<str>,
    pub(super) folder: Folder,
}

/// An open folder.
#[derive(Debug, Clone)]
pub(super) struct Folder(Arc<File>);

/// A path that was opened, by its kind.
pub(super) enum Opened {
    Folder(Folder),
    File(File),
}

/// Opens all folders that an instance was granted.
pub(super) fn open_all(spec: &InstanceSpec) -> CoreResult<Vec<Granted>> {
    let granted = |grant: &FileGrant| {
        Ok(Granted { name: grant.guest.as_str().into(), folder: Folder(Arc::new(granted::folder(grant)?)) })
    };
    spec.files.iter().map(granted).collect()
}

impl Folder {
    /// Opens a path below the folder.
    pub(super) fn open(&self, path: &str, wanted: Wanted) -> Result<Opened, Errno> {
        let found = match self.find(path, wanted.follow) {
            Err(errno::NOENT) if wanted.create => return Err(errno::ROFS),
            found => found?,
        };
        if wanted.create && wanted.exclusive {
            return Err(errno::EXIST);
        }
        if wanted.directory && !found.is_dir() {
            return Err(errno::NOTDIR);
        }
        if found.is_file() && (wanted.truncate || wanted.write) {
            return Err(errno::ROFS);
        }
        match granted::open(&self.0, Path::new(path), wanted.follow)? {
            granted::Opened::Folder(folder) => Ok(Opened::Folder(Folder(Arc::new(folder)))),
            granted::Opened::File(file) => Ok(Opened::File(file)),
            granted::Opened::Link => Err(errno::LOOP),
        }
    }

    /// Looks up a path below the folder.
    pub(super) fn stat(&self, path: &str, follow: bool) -> Result<Stat, Errno> {
        Ok(describe(&self.find(path, follow)?))
    }

    /// Looks up the folder itself.
    pub(super) fn stat_self(&self) -> Result<Stat, Errno> {
        stat_file(&self.0)
    }

    /// The names in the folder, in no order of their own.
    pub(super) fn entries(&self) -> Result<impl Iterator<Item = io::Result<(OsString, Stat)>>, Errno> {
        let entries = cap_primitives::fs::read_base_dir(&self.0)?;
        Ok(entries.map(|entry| {
            let entry = entry?;
            Ok((entry.file_name(), describe(&entry.metadata()?)))
        }))
    }

    fn find(&self, path: &str, follow: bool) -> Result<Metadata, Errno> {
        if path.is_empty() {
            return Err(errno::NOENT);
        }
        if path.len() > LONGEST_PATH {
            return Err(errno::NAMETOOLONG);
        }
        Ok(stat(&self.0, Path::new(path), FollowSymlinks::follow(follow))?)
    }
}

/// Looks up an open file.
pub(super) fn stat_file(file: &File) -> Result<Stat, Errno> {
    Ok(describe(&Metadata::from_file(file)?))
}

/// Reads what is at that place, or a part of it.
pub(super) fn read_file(file: &File, into: &mut [u8], at: u64) -> Result<usize, Errno> {
    let most = into.len().min(LARGEST_READ);
    Ok(file.read_at(&mut into[..most], at)?)
}

fn describe(metadata: &Metadata) -> Stat {
    let kind = match metadata {
        m if m.is_dir() => FileType::Directory,
        m if m.is_file() => FileType::Regular,
        m if m.is_symlink() => FileType::Symlink,
        _ => FileType::Unknown,
    };
    let modified = metadata.modified().ok().and_then(|time| time.into_std().duration_since(UNIX_EPOCH).ok());
    Stat {
        kind,
        size: metadata.len(),
        inode: metadata.ino(),
        modified: modified.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)),
    }
}
