// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! From a backup to a data folder.
//!
//! ```text
//! verify      every file of the list is there with its length and checksum, and nothing else is
//! make room   what is in the target, if it is to be replaced, moves to 'replaced-N' in it
//! copy        everything but FORMAT, with the checksums compared once more, synced
//! FORMAT      last: a folder without it is not taken for a data folder, so an interrupted restore is never served
//! check       as 'function-stream check' does
//! ```

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use fnstream_core::backups::Watch;
use fnstream_core::dir::{Access, Dir, How};
use fnstream_core::units::counted;
use fnstream_core::{Error, ErrorCode, Result};

use super::LIST;
use super::copy::Copying;
use super::manifest::{Contents, FileSum, parts};
use super::place::INCOMPLETE;
use crate::check;
use crate::dir;
use crate::error::file;

/// What was in a data folder that was replaced, by number.
const REPLACED: &str = "replaced-";

/// A data folder that was restored.
#[derive(Debug)]
pub struct Restored {
    /// What the backup says of itself.
    pub manifest: Contents,
    /// Where what was there before is kept, if there was something.
    pub replaced: Option<PathBuf>,
}

/// Reads all of a backup and compares it with its list. An error names the first file that does not fit.
pub fn verify(from: &Path, watch: &dyn Watch) -> Result<Contents> {
    open(from).and_then(|root| read(&root, watch)).map(|(contents, _)| contents)
}

/// Makes a data folder of a backup, in a folder that is empty or not there. With `replace`, also in one that is not empty: what is in
/// it moves to a folder of its own.
pub fn restore(from: &Path, to: &Path, replace: bool, watch: &dyn Watch) -> Result<Restored> {
    let backup = open(from)?;
    let (manifest, bytes) = read(&backup, watch)?;
    let entangled = || {
        let message = format!("'{}' and the backup are one in the other", to.display());
        Err(Error::new(ErrorCode::RestorePlace, message)
            .advising("name a folder that is outside of the backup and not above it"))
    };
    // Before anything is made: what is in a backup and not in its list would make it a damaged one.
    let absolute = std::path::absolute(to).map_err(|e| file("cannot find", to, &e))?;
    let above = absolute.ancestors().find_map(|path| path.canonicalize().ok()).unwrap_or_default();
    if above.starts_with(backup.path()) {
        return entangled();
    }
    let target = dir::create_durably(to, Access::Owner)?;
    if backup.path().starts_with(target.path()) {
        return entangled();
    }
    if !replace {
        // Before anything is made in a folder that may be somebody else's.
        make_room(&target, false)?;
    }
    let lock = dir::claim(&target)?;
    let replaced = make_room(&target, replace)?;
    let mut copying = Copying::new(None, watch);
    copying.all = bytes;
    // By folder, since each is synced once.
    for folder in [Some(dir::DB), Some(dir::ARTIFACTS), None] {
        let (source, made) = match folder {
            Some(name) => (
                sub(&backup, name)?,
                Some(target.make_sub(name).map_err(|e| file("cannot make", &target.path().join(name), &e))?),
            ),
            None => (None, None),
        };
        let (source, made) = (source.as_ref().unwrap_or(&backup), made.as_ref().unwrap_or(&target));
        let here = manifest.files.iter().filter(|file| file.path != dir::FORMAT);
        for (listed, name) in
            here.filter_map(|file| parts(&file.path).filter(|(f, _)| *f == folder).map(|p| (file, p.1)))
        {
            let path = made.path().join(name);
            let target = made.file(name, How::New).map_err(|e| file("cannot make", &path, &e))?;
            compare(source, listed, name, Some((target, &path)), &mut copying)?;
        }
        made.sync().map_err(|e| file("cannot sync", made.path(), &e))?;
    }
    dir::mark(&target)?;
    drop(lock);
    let report = check::check(target.path())?;
    if let Some(problem) = report.problems.first() {
        return Err(Error::new(ErrorCode::BackupDamaged, format!("what was restored is damaged: {}", problem.message)));
    }
    Ok(Restored { manifest, replaced })
}

fn open(from: &Path) -> Result<Dir> {
    let none = |why: &str| Error::new(ErrorCode::BackupMissing, format!("'{}' {why}", from.display()));
    let root = Dir::open(from, Access::Owner).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => none("does not exist"),
        io::ErrorKind::NotADirectory => none("is not a folder"),
        _ => file("cannot open", from, &e),
    })?;
    let has = |name: &str| root.has(name).map_err(|e| file("cannot read", from, &e));
    if has(INCOMPLETE)? {
        return Err(Error::new(
            ErrorCode::BackupDamaged,
            format!("'{}' is a backup that was interrupted while it was made", from.display()),
        ));
    }
    if !has(LIST)? {
        // A backup that lost its list is damaged; anything else is none.
        let looks_so = has(dir::FORMAT)? && !has(dir::LOCK)?;
        return Err(match looks_so {
            true => damaged(&root, LIST, "is missing"),
            false => none(&format!("has no file '{LIST}'")),
        });
    }
    Ok(root)
}

/// The list of a backup, all of whose files are as it says, and their bytes.
fn read(root: &Dir, watch: &dyn Watch) -> Result<(Contents, u64)> {
    let list = root.read(LIST).map_err(|e| file("cannot read", &root.path().join(LIST), &e))?;
    let contents = Contents::decode(&list)?;
    let (mut copying, all) = (Copying::new(None, watch), contents.bytes());
    copying.all = all;
    let mut unlisted = names(root)?;
    for listed in &contents.files {
        if !unlisted.remove(&listed.path) {
            return Err(damaged(root, &listed.path, "is missing, or is listed twice"));
        }
        let Some((folder, name)) = parts(&listed.path) else { continue };
        let folder = folder.map(|folder| sub(root, folder)).transpose()?.flatten();
        compare(folder.as_ref().unwrap_or(root), listed, name, None, &mut copying)?;
    }
    unlisted.remove(LIST);
    // Made by whoever looked at the folder as at one with data.
    unlisted.remove(dir::LOCK);
    match unlisted.first() {
        Some(more) => Err(damaged(root, more, "is not in the list of the backup's files")),
        None => Ok((contents, all)),
    }
}

/// Reads a file, and writes it to where it is wanted, if it is; refuses one that is not what the list says.
fn compare(
    folder: &Dir,
    listed: &FileSum,
    name: &str,
    to: Option<(std::fs::File, &Path)>,
    copying: &mut Copying<'_>,
) -> Result<()> {
    let from = folder.path().join(name);
    let unread = |e: &io::Error| file("cannot read", &from, e);
    let source = folder.file(name, How::Read).map_err(|e| unread(&e))?;
    let (to, path) = to.unzip();
    let (bytes, sha256) = copying.copy(source, to, |e| file("cannot write", path.unwrap_or(&from), e), unread)?;
    if bytes != listed.bytes {
        let what = format!("has {}, not {}", counted(bytes, "byte"), listed.bytes);
        return Err(damaged(folder, name, &what));
    }
    match sha256 == listed.sha256 {
        true => Ok(()),
        false => Err(damaged(folder, name, "was changed: its checksum is another one")),
    }
}

/// The paths of all that is in a backup, and of folders that have nothing to do in one.
fn names(root: &Dir) -> Result<BTreeSet<String>> {
    let list = |dir: &Dir| dir.names().map_err(|e| file("cannot list", dir.path(), &e));
    let mut paths = BTreeSet::new();
    for name in list(root)? {
        match [dir::DB, dir::ARTIFACTS].contains(&name.as_str()).then(|| sub(root, &name)).transpose()?.flatten() {
            Some(folder) => paths.extend(list(&folder)?.into_iter().map(|inner| format!("{name}/{inner}"))),
            None => drop(paths.insert(name)),
        }
    }
    Ok(paths)
}

/// A folder of a backup, if it is there.
fn sub(root: &Dir, name: &str) -> Result<Option<Dir>> {
    match root.sub(name) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => Err(damaged(root, name, "is not a folder")),
        opened => opened.map(Some).map_err(|e| file("cannot open", &root.path().join(name), &e)),
    }
}

fn damaged(folder: &Dir, name: &str, what: &str) -> Error {
    Error::new(ErrorCode::BackupDamaged, format!("'{}' {what}", folder.path().join(name).display()))
}

/// Has the target empty; answers where what was in it is.
fn make_room(target: &Dir, replace: bool) -> Result<Option<PathBuf>> {
    let names = target.names().map_err(|e| file("cannot list", target.path(), &e))?;
    let there: Vec<_> = names.into_iter().filter(|name| !dir::is_of_nobody(name)).collect();
    let Some(first) = there.iter().find(|name| !name.starts_with(REPLACED)) else { return Ok(None) };
    if !replace {
        let message = format!("'{}' has '{first}' in it", target.path().display());
        return Err(Error::new(ErrorCode::RestorePlace, message));
    }
    let kept = (1..).map(|number| format!("{REPLACED}{number}")).find(|name| !there.contains(name)).unwrap_or_default();
    let path = target.path().join(&kept);
    let moved = || -> io::Result<()> {
        let kept = target.make_sub(&kept)?;
        // The mark first: what is left behind by a crash is then no data folder any more.
        let (marks, others): (Vec<_>, Vec<_>) = there.iter().partition(|name| *name == dir::FORMAT);
        for name in marks.into_iter().chain(others).filter(|name| !name.starts_with(REPLACED)) {
            target.move_to(name, &kept)?;
        }
        kept.sync()?;
        target.sync()
    };
    moved().map_err(|e| file("cannot move what is there to", &path, &e))?;
    Ok(Some(path))
}
