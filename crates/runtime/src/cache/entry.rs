// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! One artifact's files in the folder, and the locks that keep processes out of each other's way.
//!
//! ```text
//! find    shared lock on the code, then see that it is still the file of that name: whoever removes it needs the lock alone
//! put     write beside, under shared locks of the new files; then rename under the folder's lock, the code last
//! ```

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{FlockOperation, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, flock, futimens};
use sha2::{Digest, Sha256};

use super::hex;
use crate::inspect::Kind;

/// The end of a file's name while it is written.
pub(super) const UNFINISHED: &str = "tmp";
pub(super) const CODE: &str = "cwasm";
pub(super) const ARTIFACT: &str = "wasm";
pub(super) const SUM: &str = "sum";

/// The names of an artifact's files.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) code: PathBuf,
    pub(super) artifact: PathBuf,
    pub(super) sum: PathBuf,
}

/// Code that is whole, and stays while the lock is held.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) kind: Kind,
    pub(super) in_use: File,
}

/// The lock of the folder. Held for renames and removals only, so whoever waits for it waits for no more than those.
#[derive(Debug)]
pub(super) struct Folder {
    lock: File,
}

impl Folder {
    /// The folder, made if it is not there, with nobody else adding or removing while it is [locked](Folder::lock).
    pub(super) fn make(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        Folder::open(dir)
    }

    /// The folder, if it is there.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        Ok(Folder { lock: File::open(dir)? })
    }

    /// Waits for the lock, which is held until the guard is dropped.
    pub(super) fn lock(&self) -> io::Result<Guard<'_>> {
        flock(&self.lock, FlockOperation::LockExclusive)?;
        Ok(Guard(self))
    }
}

/// The folder is locked.
pub(super) struct Guard<'a>(&'a Folder);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        // It is given back with the file too.
        let _ = flock(&self.0.lock, FlockOperation::Unlock);
    }
}

impl Entry {
    /// The files of that artifact for that engine.
    pub(super) fn new(dir: &Path, digest: &str, engine: &str) -> Self {
        Entry::of(dir, &format!("{digest}-{engine}"))
    }

    /// The files whose names begin with that.
    pub(super) fn of(dir: &Path, stem: &str) -> Self {
        let path = |extension| dir.join(format!("{stem}.{extension}"));
        Entry { code: path(CODE), artifact: path(ARTIFACT), sum: path(SUM) }
    }

    /// The code when it is there and whole; `Err` says what is wrong with it.
    pub(super) fn find(&self) -> Result<Option<Found>, &'static str> {
        let Ok(mut file) = File::open(&self.code) else { return Ok(None) };
        // Somebody is removing it. Where the file system has no locks, nothing can be locked alone either, and so nothing is
        // removed.
        if flock(&file, FlockOperation::NonBlockingLockShared) == Err(rustix::io::Errno::WOULDBLOCK) {
            return Ok(None);
        }
        if !is_at(&file, &self.code) {
            return Ok(None);
        }
        let sum = fs::read_to_string(&self.sum).map_err(|_| "its sum is missing")?;
        let (kind, sum) = sum.trim_end().split_once(' ').ok_or("its sum is malformed")?;
        let kind = Kind::parse(kind).ok_or("its sum is malformed")?;
        if sum_of(&mut file).map_err(|_| "it cannot be read")? != sum {
            return Err("it does not match its sum");
        }
        Ok(Some(Found { kind, in_use: file }))
    }

    /// Notes that the code is used now. Where that cannot be written, nothing can be removed either.
    pub(super) fn used(&self) {
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let as_it_is = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
        if let Ok(sum) = File::open(&self.sum) {
            let _ = futimens(&sum, &Timestamps { last_access: as_it_is, last_modification: now });
        }
    }

    /// Puts files in place, unless somebody else was quicker. Gives the lock of the code that is there then.
    pub(super) fn put(&self, folder: &Folder, artifact: Option<&[u8]>, kind: Kind, code: &[u8]) -> io::Result<File> {
        let sum = format!("{} {}\n", kind.as_str(), hex(&Sha256::digest(code)));
        let write = |path: &Path, bytes: &[u8]| Unfinished::write(folder, path, bytes);
        let artifact = artifact.map(|bytes| write(&self.artifact, bytes)).transpose()?;
        let (code, sum) = (write(&self.code, code)?, write(&self.sum, sum.as_bytes())?);
        let _locked = folder.lock()?;
        // Theirs may be in use, which is why it is not replaced; unless its sum names a kind that it cannot be.
        if let Ok(Some(found)) = self.find()
            && found.kind == kind
        {
            return Ok(found.in_use);
        }
        if let Some(artifact) = artifact {
            artifact.finish()?;
        }
        sum.finish()?;
        code.finish()
    }

    /// Removes the files, code first; the rest counts for nothing without it. The caller holds the folder's lock. `false` when
    /// somebody uses them.
    pub(super) fn remove(&self) -> io::Result<bool> {
        match File::open(&self.code) {
            Ok(code) => match flock(&code, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => self.remove_files().map(|()| true),
                Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
                Err(e) => Err(e.into()),
            },
            Err(e) if e.kind() == io::ErrorKind::NotFound => self.remove_files().map(|()| true),
            Err(e) => Err(e),
        }
    }

    fn remove_files(&self) -> io::Result<()> {
        [&self.code, &self.artifact, &self.sum].into_iter().try_for_each(|path| remove(path))
    }
}

/// A file that is being written, under a name that nobody else has. Its lock says that it is not one that a crash has left.
struct Unfinished {
    path: PathBuf,
    to: PathBuf,
    /// Until it is finished.
    file: Option<File>,
}

impl Unfinished {
    fn write(folder: &Folder, to: &Path, bytes: &[u8]) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = to.with_extension(format!("{}-{number}.{UNFINISHED}", std::process::id()));
        let mut file = {
            // Nobody may see it without its lock.
            let _locked = folder.lock()?;
            let file = File::create(&path)?;
            flock(&file, FlockOperation::NonBlockingLockShared)?;
            file
        };
        let written = file.write_all(bytes);
        let unfinished = Unfinished { path, to: to.to_owned(), file: Some(file) };
        written.map(|()| unfinished)
    }

    /// Gives it its name. What is left is its lock.
    fn finish(mut self) -> io::Result<File> {
        fs::rename(&self.path, &self.to)?;
        self.file.take().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if self.file.is_some() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes a file that a crash has left unfinished; not one that is being written. The caller holds the folder's lock.
pub(super) fn remove_unfinished(path: &Path) -> io::Result<()> {
    match File::open(path) {
        Ok(file) if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() => remove(path),
        Ok(_) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Reports whether a file is the one of that name.
fn is_at(file: &File, path: &Path) -> bool {
    let of = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let (open, named) = (file.metadata().map(of), fs::metadata(path).map(of));
    open.is_ok_and(|open| named.is_ok_and(|named| open == named))
}

fn sum_of(file: &mut File) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&hasher.finalize())),
            n => hasher.update(&buffer[..n]),
        }
    }
}
