// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! One artifact's files in the folder, and the locks that keep processes out of each other's way.
//!
//! ```text
//! find    shared lock on the code, then see that it is still the file of that name: whoever removes it needs the lock alone
//! put     write beside, under shared locks of the new files; then rename under the folder's lock, the code last
//! ```

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicU64, Ordering};

use fnstream_core::dir::{Dir, How, strange_file};
use rustix::fs::{FlockOperation, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, flock, futimens};
use rustix::process::geteuid;
use sha2::{Digest, Sha256};

use super::hex;
use super::key::Key;
use crate::inspect::Kind;

/// The end of a file's name while it is written.
pub(super) const UNFINISHED: &str = "tmp";
pub(super) const CODE: &str = "cwasm";
pub(super) const ARTIFACT: &str = "wasm";
pub(super) const SUM: &str = "sum";

/// The rights of others to write.
const OTHERS_WRITE: u32 = 0o022;

/// What the names of an artifact's files begin with.
#[derive(Debug)]
pub(super) struct Entry(String);

/// Code that is whole, and stays while the lock is held.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) kind: Kind,
    pub(super) in_use: File,
}

/// The lock of the folder. Held for renames and removals only, so whoever waits for it waits for no more than those.
#[derive(Debug)]
pub(super) struct Folder(Dir);

impl Folder {
    /// The folder, if nobody else can put files in it. Nobody adds or removes any while it is [locked](Folder::lock).
    pub(super) fn trusted(dir: Dir) -> io::Result<Self> {
        let stat = rustix::fs::fstat(dir.as_file())?;
        if stat.st_uid != geteuid().as_raw() || u32::from(stat.st_mode as u16) & OTHERS_WRITE != 0 {
            return Err(io::Error::other("others than the server's user may write to the folder"));
        }
        Ok(Folder(dir))
    }

    pub(super) fn dir(&self) -> &Dir {
        &self.0
    }

    /// Waits for the lock, which is held until the guard is dropped.
    pub(super) fn lock(&self) -> io::Result<Guard<'_>> {
        flock(self.0.as_file(), FlockOperation::LockExclusive)?;
        Ok(Guard(self))
    }
}

/// The folder is locked.
pub(super) struct Guard<'a>(&'a Folder);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        // It is given back with the file too.
        let _ = flock(self.0.0.as_file(), FlockOperation::Unlock);
    }
}

impl Entry {
    /// The files of that artifact for that engine.
    pub(super) fn new(digest: &str, engine: &str) -> Self {
        Entry(format!("{digest}-{engine}"))
    }

    /// The files whose names begin with that.
    pub(super) fn of(stem: String) -> Self {
        Entry(stem)
    }

    /// The name of one of them.
    pub(super) fn name(&self, extension: &str) -> String {
        format!("{}.{extension}", self.0)
    }

    /// The code when it is there, whole and ours; `Err` says what is wrong with it.
    pub(super) fn find(&self, folder: &Folder) -> Result<Option<Found>, &'static str> {
        let mut file = match folder.0.file(self.name(CODE), How::Read) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(|_| "it cannot be opened")?,
        };
        // Somebody is removing it. Where the file system has no locks, nothing can be locked alone either, and so nothing is
        // removed.
        if flock(&file, FlockOperation::NonBlockingLockShared) == Err(rustix::io::Errno::WOULDBLOCK) {
            return Ok(None);
        }
        if !is_at(&file, folder, &self.name(CODE)) {
            return Ok(None);
        }
        let sum = folder.0.read(self.name(SUM)).map_err(|_| "its sum is missing")?;
        let sum = str::from_utf8(&sum).map_err(|_| "its sum is malformed")?.trim_end();
        let (sum, signature) = sum.rsplit_once(' ').ok_or("its sum is malformed")?;
        let (kind, hash) = sum.split_once(' ').ok_or("its sum is malformed")?;
        let kind = Kind::parse(kind).ok_or("its sum is malformed")?;
        let key = Key::read(folder)?.ok_or("the folder has no key")?;
        if !key.signed(&self.signed(sum), signature) {
            return Err("its sum is not signed with the folder's key");
        }
        if hash_of(&mut file).map_err(|_| "it cannot be read")? != hash {
            return Err("it does not match its sum");
        }
        Ok(Some(Found { kind, in_use: file }))
    }

    /// What is signed of a sum: it holds for this artifact alone.
    fn signed(&self, sum: &str) -> String {
        format!("{} {sum}", self.0)
    }

    /// Notes that the code is used now. Where that cannot be written, nothing can be removed either.
    pub(super) fn used(&self, folder: &Folder) {
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let as_it_is = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
        if let Ok(sum) = folder.0.file(self.name(SUM), How::Read) {
            let _ = futimens(&sum, &Timestamps { last_access: as_it_is, last_modification: now });
        }
    }

    /// Puts files in place, unless somebody else was quicker. Gives the lock of the code that is there then.
    pub(super) fn put(&self, folder: &Folder, artifact: Option<&[u8]>, kind: Kind, code: &[u8]) -> io::Result<File> {
        let write = |extension, bytes: &[u8]| Unfinished::write(folder, self, extension, bytes);
        let artifact = artifact.map(|bytes| write(ARTIFACT, bytes)).transpose()?;
        let written = write(CODE, code)?;
        let locked = folder.lock()?;
        // Theirs may be in use, which is why it is not replaced; unless its sum names a kind that it cannot be.
        if let Ok(Some(found)) = self.find(folder)
            && found.kind == kind
        {
            return Ok(found.in_use);
        }
        let sum = format!("{} {}", kind.as_str(), hex(&Sha256::digest(code)));
        let signature = Key::ensure(folder, &locked)?.sign(&self.signed(&sum));
        let sum = Unfinished::write_locked(folder, self, SUM, format!("{sum} {signature}\n").as_bytes(), &locked)?;
        if let Some(artifact) = artifact {
            artifact.finish()?;
        }
        sum.finish()?;
        written.finish()
    }

    /// Removes the files, code first; the rest counts for nothing without it. The caller holds the folder's lock. `false` when
    /// somebody uses them.
    pub(super) fn remove(&self, folder: &Folder) -> io::Result<bool> {
        match folder.0.file(self.name(CODE), How::Read) {
            Ok(code) => match flock(&code, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => self.remove_files(folder).map(|()| true),
                Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
                Err(e) => Err(e.into()),
            },
            // What is not a file is nobody's code.
            Err(e) if e.kind() == io::ErrorKind::NotFound || strange_file(&e).is_some() => {
                self.remove_files(folder).map(|()| true)
            }
            Err(e) => Err(e),
        }
    }

    fn remove_files(&self, folder: &Folder) -> io::Result<()> {
        [CODE, ARTIFACT, SUM].into_iter().try_for_each(|extension| remove(folder, &self.name(extension)))
    }
}

/// A file that is being written, under a name that nobody else has. Its lock says that it is not one that a crash has left.
struct Unfinished<'a> {
    folder: &'a Folder,
    name: String,
    to: String,
    /// Until it is finished.
    file: Option<File>,
}

impl<'a> Unfinished<'a> {
    fn write(folder: &'a Folder, entry: &Entry, extension: &str, bytes: &[u8]) -> io::Result<Self> {
        // Nobody may see it without its lock.
        let locked = folder.lock()?;
        let mut unfinished = Self::begin(folder, entry, extension, &locked)?;
        drop(locked);
        unfinished.add(bytes)?;
        Ok(unfinished)
    }

    /// The same for whoever holds the folder's lock, and so for few bytes.
    fn write_locked(
        folder: &'a Folder,
        entry: &Entry,
        extension: &str,
        bytes: &[u8],
        locked: &Guard<'_>,
    ) -> io::Result<Self> {
        let mut unfinished = Self::begin(folder, entry, extension, locked)?;
        unfinished.add(bytes)?;
        Ok(unfinished)
    }

    fn begin(folder: &'a Folder, entry: &Entry, extension: &str, _locked: &Guard<'_>) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = entry.name(&format!("{}-{number}.{UNFINISHED}", std::process::id()));
        // What a process of the same number has left.
        remove(folder, &name)?;
        let file = folder.0.file(&name, How::New)?;
        flock(&file, FlockOperation::NonBlockingLockShared)?;
        Ok(Unfinished { folder, name, to: entry.name(extension), file: Some(file) })
    }

    fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), |file| file.write_all(bytes))
    }

    /// Gives it its name. What is left is its lock.
    fn finish(mut self) -> io::Result<File> {
        self.folder.0.rename(&self.name, &self.to)?;
        self.file.take().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if self.file.is_some() {
            let _ = self.folder.0.remove(&self.name);
        }
    }
}

/// Removes a file that a crash has left unfinished; not one that is being written. The caller holds the folder's lock.
pub(super) fn remove_unfinished(folder: &Folder, name: &str) -> io::Result<()> {
    match folder.0.file(name, How::Read) {
        Ok(file) if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() => remove(folder, name),
        Ok(_) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) if strange_file(&e).is_some() => remove(folder, name),
        Err(e) => Err(e),
    }
}

fn remove(folder: &Folder, name: &str) -> io::Result<()> {
    match folder.0.remove(name) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Reports whether a file is the one of that name.
fn is_at(file: &File, folder: &Folder, name: &str) -> bool {
    let of = |file: &File| file.metadata().map(|metadata| (metadata.dev(), metadata.ino()));
    let named = folder.0.file(name, How::Read).and_then(|named| of(&named));
    of(file).is_ok_and(|open| named.is_ok_and(|named| open == named))
}

fn hash_of(file: &mut File) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&hasher.finalize())),
            n => hasher.update(&buffer[..n]),
        }
    }
}
