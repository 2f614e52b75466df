// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Error numbers of WASI preview 1, those that are given here.

/// An error number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Errno(pub(super) u16);

pub(super) const BADF: Errno = Errno(8);
pub(super) const EXIST: Errno = Errno(20);
pub(super) const FAULT: Errno = Errno(21);
pub(super) const INVAL: Errno = Errno(28);
pub(super) const ISDIR: Errno = Errno(31);
pub(super) const MFILE: Errno = Errno(33);
pub(super) const NOENT: Errno = Errno(44);
pub(super) const NOSYS: Errno = Errno(52);
pub(super) const NOTDIR: Errno = Errno(54);
pub(super) const ROFS: Errno = Errno(69);
pub(super) const SPIPE: Errno = Errno(70);
