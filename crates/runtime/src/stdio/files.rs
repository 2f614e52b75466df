// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The files of a stdio module: the record and its result, and those of the server that it was granted.
//!
//! ```text
//! fd 0       standard input: the record's bytes, then the end
//! fd 1       standard output: the result while a record is in process, else the log
//! fd 2       standard error: the log
//! fd 3, 4    the folders "/" and ".", holding one file
//!            `process`: reading gives the record's bytes, writing adds to the result
//!            and, when a folder was granted as "/", what is in that
//! fd 5...    the granted folders, to be read only
//! ```

use std::fs::File;

use bytes::Bytes;

use super::errno::{self, Errno};
use super::folder::{Folder, Granted, Opened, read_file, stat_file};
use crate::log::LineLog;

/// The virtual file that modules of the first generation read instead of the standard input.
pub(super) const RECORD_FILE: &str = "process";

/// The folders that are open from the start, from this descriptor on.
const FOLDERS: [&str; 2] = ["/", "."];
const FIRST_FOLDER: usize = 3;

/// The most files that a module may have open beside those that are open from the start.
const MOST_OPEN: usize = 64;

/// Bytes of memory that a result's buffer keeps for the next record.
const KEPT: usize = 256 << 10;

/// An open file.
#[derive(Debug)]
enum Handle {
    Stdin { at: usize },
    Stdout,
    Stderr,
    Root(&'static str),
    Folder(Granted),
    Record { at: usize },
    File { file: File, at: u64 },
}

/// The open files of one module.
pub(super) struct Files {
    open: Vec<Option<Handle>>,
    most_open: usize,
    /// The folder that was granted as "/".
    root: Option<Folder>,
    input: Bytes,
    output: Vec<u8>,
    /// A record is in process.
    active: bool,
    /// The most bytes of a result.
    largest: usize,
    stdout: LineLog,
    stderr: LineLog,
}

/// The kind of an open file, in the numbers of WASI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum FileType {
    Unknown = 0,
    Directory = 3,
    Regular = 4,
    Symlink = 7,
}

/// The facts about a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stat {
    pub(super) kind: FileType,
    pub(super) size: u64,
    pub(super) inode: u64,
    /// Nanoseconds since the Unix epoch.
    pub(super) modified: u64,
}

impl Stat {
    /// Of something that is not on a disk.
    fn of(kind: FileType, size: usize) -> Self {
        Stat { kind, size: size as u64, inode: 0, modified: 0 }
    }
}

/// The target of a path below a folder.
enum Place<'a> {
    Root,
    Record,
    Below(&'a Folder),
    Nothing,
}

impl Files {
    pub(super) fn new(largest: usize, granted: &[Granted], stdout: LineLog, stderr: LineLog) -> Self {
        let mut open = vec![Some(Handle::Stdin { at: 0 }), Some(Handle::Stdout), Some(Handle::Stderr)];
        open.extend(FOLDERS.map(|name| Some(Handle::Root(name))));
        let is_root = |granted: &&Granted| granted.name.trim_end_matches('/').is_empty();
        open.extend(granted.iter().filter(|g| !is_root(g)).map(|g| Some(Handle::Folder(g.clone()))));
        let root = granted.iter().find(is_root).map(|granted| granted.folder.clone());
        let (input, output) = (Bytes::new(), Vec::new());
        Files { most_open: open.len() + MOST_OPEN, open, root, input, output, active: false, largest, stdout, stderr }
    }

    /// A record comes: whatever is still open reads it from its start.
    pub(super) fn begin(&mut self, record: Bytes) {
        self.input = record;
        self.output.clear();
        self.output.shrink_to(KEPT);
        self.active = true;
        for handle in self.open.iter_mut().flatten() {
            if let Handle::Stdin { at } | Handle::Record { at } = handle {
                *at = 0;
            }
        }
    }

    /// The record is done.
    pub(super) fn end(&mut self) {
        self.input = Bytes::new();
        self.active = false;
    }

    /// Returns what was written since [`Files::begin`].
    pub(super) fn output(&self) -> &[u8] {
        &self.output
    }

    /// The most bytes of a result.
    pub(super) fn largest(&self) -> usize {
        self.largest
    }

    /// The name of a folder that is open from the start.
    pub(super) fn preopen(&self, fd: u32) -> Result<&str, Errno> {
        match self.handle(fd)? {
            Handle::Root(name) if (FIRST_FOLDER..FIRST_FOLDER + FOLDERS.len()).contains(&(fd as usize)) => Ok(name),
            Handle::Folder(folder) if !folder.name.is_empty() => Ok(&folder.name),
            _ => Err(errno::BADF),
        }
    }

    /// Opens a path below a folder.
    pub(super) fn open(&mut self, folder: u32, path: &str, wanted: Wanted) -> Result<u32, Errno> {
        let handle = match self.find(folder, path)? {
            Place::Root => Handle::Root("."),
            Place::Record if wanted.directory => return Err(errno::NOTDIR),
            Place::Record if wanted.exclusive => return Err(errno::EXIST),
            Place::Record => Handle::Record { at: 0 },
            Place::Below(folder) => match folder.open(path, wanted)? {
                Opened::Folder(folder) => Handle::Folder(Granted { name: "".into(), folder }),
                Opened::File(file) => Handle::File { file, at: 0 },
            },
            Place::Nothing if wanted.create => return Err(errno::ROFS),
            Place::Nothing => return Err(errno::NOENT),
        };
        let fd = match self.open.iter().position(Option::is_none) {
            Some(free) => free,
            None if self.open.len() == self.most_open => return Err(errno::MFILE),
            None => {
                self.open.push(None);
                self.open.len() - 1
            }
        };
        self.open[fd] = Some(handle);
        Ok(fd as u32)
    }

    pub(super) fn close(&mut self, fd: u32) -> Result<(), Errno> {
        self.handle(fd)?;
        self.open[fd as usize] = None;
        Ok(())
    }

    /// Moves bytes into `into`, as many as fit or fewer; 0 at the end.
    pub(super) fn read(&mut self, fd: u32, into: &mut [u8]) -> Result<usize, Errno> {
        let handle = self.open.get_mut(fd as usize).and_then(Option::as_mut).ok_or(errno::BADF)?;
        match handle {
            Handle::Stdin { at } | Handle::Record { at } => {
                let n = copy(&self.input, *at, into);
                *at += n;
                Ok(n)
            }
            Handle::File { file, at } => {
                let n = read_file(file, into, *at)?;
                *at += n as u64;
                Ok(n)
            }
            Handle::Root(_) | Handle::Folder(_) => Err(errno::ISDIR),
            Handle::Stdout | Handle::Stderr => Err(errno::BADF),
        }
    }

    /// The same from a place of its own.
    pub(super) fn read_at(&self, fd: u32, into: &mut [u8], at: u64) -> Result<usize, Errno> {
        match self.handle(fd)? {
            Handle::Record { .. } => Ok(copy(&self.input, usize::try_from(at).unwrap_or(usize::MAX), into)),
            Handle::File { file, .. } => read_file(file, into, at),
            Handle::Root(_) | Handle::Folder(_) => Err(errno::ISDIR),
            Handle::Stdin { .. } | Handle::Stdout | Handle::Stderr => Err(errno::SPIPE),
        }
    }

    /// Standard output, as far as it is no result, and standard error.
    pub(super) fn log(&mut self) -> [&mut LineLog; 2] {
        [&mut self.stdout, &mut self.stderr]
    }

    /// Takes bytes; `Err` with nothing taken when the result would be larger than a record may be.
    pub(super) fn write(&mut self, fd: u32, bytes: &[u8]) -> Result<(), WriteError> {
        match self.open.get(fd as usize).and_then(Option::as_ref).ok_or(errno::BADF)? {
            Handle::Stdout | Handle::Record { .. } if self.active => {
                if bytes.len() > self.largest - self.output.len() {
                    return Err(WriteError::TooLarge);
                }
                self.output.extend_from_slice(bytes);
            }
            Handle::Stdout => self.stdout.write(bytes),
            Handle::Stderr => self.stderr.write(bytes),
            Handle::Root(_) | Handle::Folder(_) => return Err(errno::ISDIR.into()),
            Handle::Stdin { .. } | Handle::Record { .. } | Handle::File { .. } => return Err(errno::BADF.into()),
        }
        Ok(())
    }

    /// Moves the reading position of a file.
    pub(super) fn seek(&mut self, fd: u32, offset: i64, whence: u32) -> Result<u64, Errno> {
        let size = self.input.len() as u64;
        let handle = self.open.get_mut(fd as usize).and_then(Option::as_mut).ok_or(errno::BADF)?;
        let (at, size) = match handle {
            Handle::Record { at } => (*at as u64, size),
            Handle::File { file, at } => (*at, stat_file(file)?.size),
            _ => return Err(errno::SPIPE),
        };
        let from = match whence {
            0 => 0,
            1 => at,
            2 => size,
            _ => return Err(errno::INVAL),
        };
        let to = from.checked_add_signed(offset).filter(|to| i64::try_from(*to).is_ok()).ok_or(errno::INVAL)?;
        match handle {
            Handle::Record { at } => *at = usize::try_from(to).map_err(|_| errno::INVAL)?,
            Handle::File { at, .. } => *at = to,
            _ => {}
        }
        Ok(to)
    }

    pub(super) fn stat(&self, fd: u32) -> Result<Stat, Errno> {
        Ok(match self.handle(fd)? {
            Handle::Stdin { .. } | Handle::Stdout | Handle::Stderr => Stat::of(FileType::Unknown, 0),
            Handle::Root(_) => Stat::of(FileType::Directory, 0),
            Handle::Record { .. } => Stat::of(FileType::Regular, self.input.len()),
            Handle::Folder(granted) => granted.folder.stat_self()?,
            Handle::File { file, .. } => stat_file(file)?,
        })
    }

    pub(super) fn stat_path(&self, folder: u32, path: &str, follow: bool) -> Result<Stat, Errno> {
        match self.find(folder, path)? {
            Place::Root => Ok(Stat::of(FileType::Directory, 0)),
            Place::Record => Ok(Stat::of(FileType::Regular, self.input.len())),
            Place::Below(folder) => folder.stat(path, follow),
            Place::Nothing => Err(errno::NOENT),
        }
    }

    /// Visits the names in a folder, until `visit` says that it has enough.
    pub(super) fn list(&self, fd: u32, visit: &mut dyn FnMut(&str, Stat) -> bool) -> Result<(), Errno> {
        let folder = match self.handle(fd)? {
            Handle::Root(_) => self.root.as_ref(),
            Handle::Folder(granted) => Some(&granted.folder),
            _ => return Err(errno::NOTDIR),
        };
        let record = matches!(self.handle(fd)?, Handle::Root(_));
        let own = [(".", FileType::Directory), ("..", FileType::Directory), (RECORD_FILE, FileType::Regular)];
        for (name, kind) in &own[..if record { 3 } else { 2 }] {
            if !visit(name, Stat::of(*kind, 0)) {
                return Ok(());
            }
        }
        let Some(folder) = folder else { return Ok(()) };
        for entry in folder.entries()? {
            let (name, stat) = entry?;
            // What has no name in UTF-8 has none that a module could say. The record hides a file of its name.
            let Some(name) = name.to_str().filter(|name| !record || *name != RECORD_FILE) else { continue };
            if !visit(name, stat) {
                break;
            }
        }
        Ok(())
    }

    /// Finds the target of a path.
    fn find(&self, folder: u32, path: &str) -> Result<Place<'_>, Errno> {
        match self.handle(folder)? {
            Handle::Folder(granted) => return Ok(Place::Below(&granted.folder)),
            Handle::Root(_) => {}
            _ => return Err(errno::NOTDIR),
        }
        let mut parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
        Ok(match (parts.next(), parts.next()) {
            (None, _) => Place::Root,
            (Some(RECORD_FILE), None) => Place::Record,
            _ => self.root.as_ref().map_or(Place::Nothing, Place::Below),
        })
    }

    fn handle(&self, fd: u32) -> Result<&Handle, Errno> {
        self.open.get(fd as usize).and_then(Option::as_ref).ok_or(errno::BADF)
    }
}

fn copy(from: &[u8], at: usize, into: &mut [u8]) -> usize {
    let rest = from.get(at..).unwrap_or_default();
    let n = rest.len().min(into.len());
    into[..n].copy_from_slice(&rest[..n]);
    n
}

/// The way in which a path is to be opened.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wanted {
    pub(super) create: bool,
    pub(super) directory: bool,
    pub(super) exclusive: bool,
    pub(super) truncate: bool,
    pub(super) write: bool,
    /// A symbolic link at the end of the path is followed.
    pub(super) follow: bool,
}

/// Why bytes were not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum WriteError {
    Errno(Errno),
    TooLarge,
}

impl From<Errno> for WriteError {
    fn from(errno: Errno) -> Self {
        WriteError::Errno(errno)
    }
}
