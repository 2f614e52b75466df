// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Error numbers of WASI preview 1, those that are given here.

use std::io;

/// An error number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Errno(pub(super) u16);

pub(super) const ACCES: Errno = Errno(2);
pub(super) const BADF: Errno = Errno(8);
pub(super) const EXIST: Errno = Errno(20);
pub(super) const FAULT: Errno = Errno(21);
pub(super) const INVAL: Errno = Errno(28);
pub(super) const IO: Errno = Errno(29);
pub(super) const ISDIR: Errno = Errno(31);
pub(super) const LOOP: Errno = Errno(32);
pub(super) const MFILE: Errno = Errno(33);
pub(super) const NAMETOOLONG: Errno = Errno(37);
pub(super) const NOENT: Errno = Errno(44);
pub(super) const NOSYS: Errno = Errno(52);
pub(super) const NOTDIR: Errno = Errno(54);
pub(super) const ROFS: Errno = Errno(69);
pub(super) const SPIPE: Errno = Errno(70);
pub(super) const NOTCAPABLE: Errno = Errno(76);

impl From<io::Error> for Errno {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => NOENT,
            // Without a number of the system it is a path that would lead out of the folder.
            io::ErrorKind::PermissionDenied if error.raw_os_error().is_none() => NOTCAPABLE,
            io::ErrorKind::PermissionDenied => ACCES,
            io::ErrorKind::NotADirectory => NOTDIR,
            io::ErrorKind::IsADirectory => ISDIR,
            io::ErrorKind::InvalidFilename => NAMETOOLONG,
            io::ErrorKind::InvalidInput => INVAL,
            _ => IO,
        }
    }
}
