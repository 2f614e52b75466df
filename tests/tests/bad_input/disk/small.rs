// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A server on a disk that can be filled and freed.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use fnstream_api::Client;
use fnstream_core::ErrorCode;
use fnstream_tests::binary;
use fnstream_tests::server::{Server, ServerOptions};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tempfile::TempDir;

/// Room for the store and a few thousand events.
const SIZE: &str = "size=192m";
/// The largest file of a server whose disk is full by limit.
const FULL: u64 = 1 << 10;

/// A server and its disk.
pub(super) struct SmallDisk {
    folder: TempDir,
    kind: Kind,
    options: ServerOptions,
    server: Option<Server>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A file system of its own, filled by a file.
    Mounted,
    /// The limit on the size of the server's files.
    Limited,
}

impl SmallDisk {
    pub(super) fn new() -> Result<SmallDisk> {
        let folder = tempfile::tempdir()?;
        let disk = folder.path().join("disk");
        std::fs::create_dir(&disk)?;
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", SIZE, "fnstream-test"]).arg(&disk).output();
        let kind = if mounted.is_ok_and(|mount| mount.status.success()) { Kind::Mounted } else { Kind::Limited };
        println!("the disk is {kind:?}");
        let mut options = ServerOptions::new(binary::server()?);
        options.args.clear();
        if kind == Kind::Limited {
            // What is too long is then an error of the write, not the end of the process.
            let script =
                format!("#!/bin/sh\ntrap '' XFSZ\nexec '{}' \"$@\"\n", options.binary.canonicalize()?.display());
            options.binary = folder.path().join("server.sh");
            let mut file = File::create(&options.binary)?;
            file.write_all(script.as_bytes())?;
            rustix::fs::fchmod(&file, rustix::fs::Mode::RWXU)?;
        }
        Ok(SmallDisk { folder, kind, options, server: None })
    }

    /// A folder on another disk.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(super) async fn start(&mut self) -> Result<Client> {
        let server = Server::spawn(&self.options, &self.disk().join("data"))?;
        let url = server.listening().await?;
        let url = url.with_context(|| server.last_words())?;
        self.server = Some(server);
        Ok(Client::new(&url)?)
    }

    /// Ends the server orderly and starts it again.
    pub(super) async fn restart(&mut self) -> Result<Client> {
        let mut server = self.server.take().context("the server does not run")?;
        server.terminate()?;
        let status = server.ended().await?;
        ensure!(status.success(), "{status}: {}", server.last_words());
        self.start().await
    }

    /// Takes all space.
    pub(super) fn fill(&self) -> Result<()> {
        if self.kind == Kind::Limited {
            return self.limit(Some(FULL));
        }
        let mut filler = File::create(self.filler())?;
        let block = [0; 64 << 10];
        for size in [block.len(), 1] {
            while filler.write_all(&block[..size]).is_ok() {}
        }
        Ok(())
    }

    /// Gives the space back.
    pub(super) fn free(&self) -> Result<()> {
        match self.kind {
            Kind::Mounted => std::fs::remove_file(self.filler()).context("cannot remove the filler"),
            Kind::Limited => self.limit(None),
        }
    }

    /// With which codes events are refused while there is no space.
    pub(super) fn codes(&self) -> &'static [ErrorCode] {
        match self.kind {
            Kind::Mounted => &[ErrorCode::StorageFull],
            Kind::Limited => &[ErrorCode::Storage, ErrorCode::StoreRecovering],
        }
    }

    fn limit(&self, bytes: Option<u64>) -> Result<()> {
        let server = self.server.as_ref().context("the server does not run")?;
        let pid = i32::try_from(server.pid()).ok().and_then(Pid::from_raw).context("the server has no number")?;
        prlimit(Some(pid), Resource::Fsize, Rlimit { current: bytes, maximum: None })?;
        Ok(())
    }

    fn disk(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    fn filler(&self) -> PathBuf {
        self.disk().join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Before the file system goes.
        self.server = None;
        if self.kind == Kind::Mounted {
            let _ = Command::new("umount").arg(self.disk()).status();
        }
    }
}
