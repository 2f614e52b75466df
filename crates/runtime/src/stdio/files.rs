// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What a stdio module sees as files: the record and its result, nothing of the server's.
//!
//! ```text
//! fd 0       standard input: the record's bytes, then the end
//! fd 1       standard output: the result while a record is in process, else the log
//! fd 2       standard error: the log
//! fd 3, 4    the folders "/" and ".", holding one file
//!            `process`: reading gives the record's bytes, writing adds to the result
//! ```

use bytes::Bytes;

use super::errno::{self, Errno};
use crate::log::LineLog;

/// The virtual file that modules of the first generation read instead of the standard input.
pub(super) const RECORD_FILE: &str = "process";

/// The folders that are open from the start, from this descriptor on.
const FOLDERS: [&str; 2] = ["/", "."];
const FIRST_FOLDER: usize = 3;

/// The most files that a module may have open.
const MOST_OPEN: usize = 64;

/// An open file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Handle {
    Stdin { at: usize },
    Stdout,
    Stderr,
    Folder(&'static str),
    Record { at: usize },
}

/// The open files of one module.
#[derive(Debug)]
pub(super) struct Files {
    open: Vec<Option<Handle>>,
    input: Bytes,
    output: Vec<u8>,
    /// A record is in process.
    active: bool,
    /// The most bytes of a result.
    largest: usize,
    stdout: LineLog,
    stderr: LineLog,
}

/// What an open file is, in the numbers of WASI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum FileType {
    Unknown = 0,
    Directory = 3,
    Regular = 4,
}

/// What is known of a file.
pub(super) struct Stat {
    pub(super) kind: FileType,
    pub(super) size: usize,
}

impl Files {
    pub(super) fn new(largest: usize, stdout: LineLog, stderr: LineLog) -> Self {
        let mut open = vec![Some(Handle::Stdin { at: 0 }), Some(Handle::Stdout), Some(Handle::Stderr)];
        open.extend(FOLDERS.map(|name| Some(Handle::Folder(name))));
        Files { open, input: Bytes::new(), output: Vec::new(), active: false, largest, stdout, stderr }
    }

    /// A record comes: whatever is still open reads it from its start.
    pub(super) fn begin(&mut self, record: Bytes) {
        self.input = record;
        self.output.clear();
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

    /// What was written since [`Files::begin`].
    pub(super) fn output(&self) -> &[u8] {
        &self.output
    }

    /// The name of a folder that is open from the start.
    pub(super) fn preopen(&self, fd: u32) -> Result<&'static str, Errno> {
        match self.handle(fd)? {
            Handle::Folder(name) if (FIRST_FOLDER..FIRST_FOLDER + FOLDERS.len()).contains(&(fd as usize)) => Ok(name),
            _ => Err(errno::BADF),
        }
    }

    /// Opens a path below a folder.
    pub(super) fn open(&mut self, folder: u32, path: &str, options: OpenOptions) -> Result<u32, Errno> {
        let handle = match self.find(folder, path)? {
            Some(FileType::Directory) => Handle::Folder("."),
            Some(_) if options.directory => return Err(errno::NOTDIR),
            Some(_) if options.exclusive => return Err(errno::EXIST),
            Some(_) => Handle::Record { at: 0 },
            None if options.create => return Err(errno::ROFS),
            None => return Err(errno::NOENT),
        };
        let fd = match self.open.iter().position(Option::is_none) {
            Some(free) => free,
            None if self.open.len() == MOST_OPEN => return Err(errno::MFILE),
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

    /// Moves as many bytes as fit into `into`; 0 at the end.
    pub(super) fn read(&mut self, fd: u32, into: &mut [u8]) -> Result<usize, Errno> {
        let handle = self.open.get_mut(fd as usize).and_then(Option::as_mut).ok_or(errno::BADF)?;
        let at = match handle {
            Handle::Stdin { at } | Handle::Record { at } => at,
            Handle::Folder(_) => return Err(errno::ISDIR),
            Handle::Stdout | Handle::Stderr => return Err(errno::BADF),
        };
        let rest = self.input.get(*at..).unwrap_or_default();
        let n = rest.len().min(into.len());
        into[..n].copy_from_slice(&rest[..n]);
        *at += n;
        Ok(n)
    }

    /// Takes bytes; `Err` with nothing taken when the result would be larger than the guest may be.
    pub(super) fn write(&mut self, fd: u32, bytes: &[u8]) -> Result<(), WriteError> {
        match self.handle(fd)? {
            Handle::Stdout | Handle::Record { .. } if self.active => {
                if bytes.len() > self.largest - self.output.len() {
                    return Err(WriteError::TooLarge);
                }
                self.output.extend_from_slice(bytes);
            }
            Handle::Stdout => self.stdout.write(bytes),
            Handle::Stderr => self.stderr.write(bytes),
            Handle::Folder(_) => return Err(errno::ISDIR.into()),
            Handle::Stdin { .. } | Handle::Record { .. } => return Err(errno::BADF.into()),
        }
        Ok(())
    }

    /// Moves the reading position of the record's file.
    pub(super) fn seek(&mut self, fd: u32, offset: i64, whence: u32) -> Result<u64, Errno> {
        let size = self.input.len();
        let handle = self.open.get_mut(fd as usize).and_then(Option::as_mut).ok_or(errno::BADF)?;
        let Handle::Record { at } = handle else { return Err(errno::SPIPE) };
        let from = match whence {
            0 => 0,
            1 => *at,
            2 => size,
            _ => return Err(errno::INVAL),
        };
        let to = (from as i64).checked_add(offset).and_then(|to| usize::try_from(to).ok()).ok_or(errno::INVAL)?;
        *at = to;
        Ok(to as u64)
    }

    pub(super) fn stat(&self, fd: u32) -> Result<Stat, Errno> {
        Ok(match self.handle(fd)? {
            Handle::Stdin { .. } | Handle::Stdout | Handle::Stderr => Stat { kind: FileType::Unknown, size: 0 },
            Handle::Folder(_) => Stat { kind: FileType::Directory, size: 0 },
            Handle::Record { .. } => Stat { kind: FileType::Regular, size: self.input.len() },
        })
    }

    pub(super) fn stat_path(&self, folder: u32, path: &str) -> Result<Stat, Errno> {
        let kind = self.find(folder, path)?.ok_or(errno::NOENT)?;
        Ok(Stat { kind, size: if kind == FileType::Regular { self.input.len() } else { 0 } })
    }

    /// What a path names; `None` when there is nothing.
    fn find(&self, folder: u32, path: &str) -> Result<Option<FileType>, Errno> {
        let Handle::Folder(_) = self.handle(folder)? else { return Err(errno::NOTDIR) };
        let mut parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
        Ok(match (parts.next(), parts.next()) {
            (None, _) => Some(FileType::Directory),
            (Some(RECORD_FILE), None) => Some(FileType::Regular),
            _ => None,
        })
    }

    fn handle(&self, fd: u32) -> Result<Handle, Errno> {
        self.open.get(fd as usize).copied().flatten().ok_or(errno::BADF)
    }
}

/// How a path is to be opened.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct OpenOptions {
    pub(super) create: bool,
    pub(super) directory: bool,
    pub(super) exclusive: bool,
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
