// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Calls on files that fail when a test says so: a library for the server's process, and the order that it follows.
//!
//! The library is `tests/faults/faults.c`, compiled on the spot. It follows a file that the test changes at any time, so that the
//! same process meets a fault and its end.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::binary;
use crate::server::ServerOptions;

/// Calls that are meant, as in the library.
pub mod calls {
    /// A file is opened, or a folder made.
    pub const OPEN: u32 = 1;
    /// Something is written.
    pub const WRITE: u32 = 2;
    /// Something is synced.
    pub const SYNC: u32 = 4;
    /// A file is renamed.
    pub const RENAME: u32 = 8;
    /// A file is cut.
    pub const TRUNCATE: u32 = 16;
    /// Space is allocated.
    pub const ALLOCATE: u32 = 32;
    /// A file is removed.
    pub const REMOVE: u32 = 64;
    /// Something is read.
    pub const READ: u32 = 128;
    /// Everything that changes something.
    pub const CHANGES: u32 = OPEN | WRITE | SYNC | RENAME | TRUNCATE | ALLOCATE | REMOVE;
}

/// How a call is dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// It fails and does nothing.
    Fail,
    /// A write does half, and says so.
    Short,
    /// A write does half, and fails.
    Torn,
    /// It succeeds, so much later.
    Slow(Duration),
}

/// What is to happen to which calls.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    /// Of [`calls`].
    pub calls: u32,
    /// How.
    pub manner: Manner,
    /// The error, as the system numbers it.
    pub errno: i32,
    /// So many calls pass before.
    pub skip: u32,
    /// So many are dealt with; `None` is all, until the fault is lifted.
    pub times: Option<u32>,
}

impl Fault {
    /// All these calls fail with that error from now on.
    pub fn failing(calls: u32, errno: rustix::io::Errno) -> Self {
        Fault { calls, manner: Manner::Fail, errno: errno.raw_os_error(), skip: 0, times: None }
    }
}

/// The faults of a server.
#[derive(Debug)]
pub struct Faults {
    order: File,
    path: PathBuf,
    library: PathBuf,
}

const BYTES: usize = 40;
const DEALT_AT: u64 = 32;

impl Faults {
    /// No fault yet. What is needed is made in that folder.
    pub fn new(folder: &Path) -> Result<Self> {
        let (path, library) = (folder.join("faults.order"), folder.join("faults.so"));
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o"]).arg(&library);
        compiler.arg(binary::root().join("tests/faults/faults.c")).arg("-ldl");
        let compiled = compiler.output().context("cannot run 'cc': a C compiler is needed")?;
        ensure!(compiled.status.success(), "cc: {}", String::from_utf8_lossy(&compiled.stderr));
        let order = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        order.set_len(BYTES as u64)?;
        Ok(Faults { order, path, library })
    }

    /// Lets a server follow the orders, for files below its data folder.
    pub fn preload(&self, options: ServerOptions, data_dir: &Path) -> ServerOptions {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        options
            .env("LD_PRELOAD", text(&self.library))
            .env("FNSTREAM_FAULTS_ORDER", text(&self.path))
            .env("FNSTREAM_FAULTS_FOLDER", text(data_dir))
    }

    /// The same for calls that pass the C library by, below any folder: opens, syncs, renames and removals. What is started so cannot
    /// start others, so it compiles no functions.
    pub fn trap(&self, options: ServerOptions, folder: &Path) -> ServerOptions {
        self.preload(options, folder).env("FNSTREAM_FAULTS_TRAP", "1")
    }

    /// From now on.
    pub fn set(&self, fault: Fault) -> Result<()> {
        self.lift()?;
        let (manner, delay) = match fault.manner {
            Manner::Fail => (0, Duration::ZERO),
            Manner::Short => (1, Duration::ZERO),
            Manner::Torn => (2, Duration::ZERO),
            Manner::Slow(delay) => (3, delay),
        };
        let mut bytes = Vec::with_capacity(BYTES);
        for number in [fault.errno as u32, manner, delay.as_millis() as u32] {
            bytes.extend(number.to_ne_bytes());
        }
        bytes.extend(i64::from(fault.skip).to_ne_bytes());
        bytes.extend(fault.times.map_or(i64::MAX, i64::from).to_ne_bytes());
        bytes.extend(0_u64.to_ne_bytes());
        self.order.write_all_at(&bytes, 4)?;
        // Last: from here on it counts.
        self.order.write_all_at(&fault.calls.to_ne_bytes(), 0).context("cannot give the order")
    }

    /// All calls pass again.
    pub fn lift(&self) -> Result<()> {
        self.order.write_all_at(&0_u32.to_ne_bytes(), 0).context("cannot lift the order")
    }

    /// How many calls were dealt with since the last fault was set.
    pub fn dealt(&self) -> Result<u64> {
        let mut bytes = [0; 8];
        self.order.read_exact_at(&mut bytes, DEALT_AT)?;
        Ok(u64::from_ne_bytes(bytes))
    }
}
