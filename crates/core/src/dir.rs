// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A folder whose files belong to the server alone.
//!
//! ```text
//! rights    folders 0700, files 0600; with Access::Group 0750 and 0640. A umask can only take from them
//! links     the folder itself may be named by a symbolic link; inside it none is followed, at any depth
//! kinds     only regular files are opened: a pipe under a file's name would hold its reader up for ever
//! ```
//!
//! Everything is asked of the open folder and by a name in it, never by a path. So what is opened is in the folder, whatever
//! becomes of the names above it meanwhile.

use std::ffi::OsStr;
use std::fs::{DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, fchmod, fstat, mkdirat, openat, renameat, stat, statat, unlinkat};

use crate::{Error, ErrorCode};

/// Who may read the files, beside the user that the server runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Access {
    /// Nobody.
    #[default]
    Owner,
    /// The group that the folder belongs to.
    Group,
}

impl Access {
    /// The rights of a folder.
    pub fn of_folders(self) -> u32 {
        match self {
            Access::Owner => 0o700,
            Access::Group => 0o750,
        }
    }

    /// The rights of a file.
    pub fn of_files(self) -> u32 {
        self.of_folders() & 0o666
    }
}

/// An open folder.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
    path: PathBuf,
    access: Access,
}

/// The way a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// To read it.
    Read,
    /// To write it; it is made if it is not there, and keeps what it has.
    Write,
    /// To add to its end; it is made if it is not there.
    Append,
    /// To read and write a new file. Fails if there is one.
    New,
}

impl Dir {
    /// Opens a folder by its path. The path may lead over links: whoever named it meant where they lead.
    pub fn open(path: &Path, access: Access) -> io::Result<Self> {
        let path = path.canonicalize()?;
        let fd = rustix::fs::open(&path, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Dir { fd, path, access })
    }

    /// Opens a folder by its path, and makes it and those above it that are missing.
    pub fn make(path: &Path, access: Access) -> io::Result<Self> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        match DirBuilder::new().mode(access.of_folders()).create(path) {
            Ok(()) => {
                let made = Dir::open(path, access)?;
                fchmod(&made.fd, mode(access.of_folders()))?;
                Ok(made)
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Dir::open(path, access),
            Err(e) => Err(e),
        }
    }

    /// The path, without links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Who may read what is made here.
    pub fn access(&self) -> Access {
        self.access
    }

    /// The folder as a file: to lock it, and to look at its rights.
    pub fn as_file(&self) -> &OwnedFd {
        &self.fd
    }

    /// A folder in this one.
    pub fn sub(&self, name: impl AsRef<OsStr>) -> io::Result<Dir> {
        let name = name.as_ref();
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(&self.fd, name, flags, Mode::empty()).map_err(|e| self.named(name, e.into()))?;
        Ok(Dir { fd, path: self.path.join(name), access: self.access })
    }

    /// A folder in this one, made if it is not there.
    pub fn make_sub(&self, name: impl AsRef<OsStr>) -> io::Result<Dir> {
        let name = name.as_ref();
        match mkdirat(&self.fd, name, mode(self.access.of_folders())) {
            Ok(()) => {
                let made = self.sub(name)?;
                fchmod(&made.fd, mode(self.access.of_folders()))?;
                Ok(made)
            }
            Err(rustix::io::Errno::EXIST) => self.sub(name),
            Err(e) => Err(e.into()),
        }
    }

    /// A file in this folder.
    pub fn file(&self, name: impl AsRef<OsStr>, how: How) -> io::Result<File> {
        let name = name.as_ref();
        let flags = match how {
            How::Read => OFlags::RDONLY,
            How::Write => OFlags::WRONLY | OFlags::CREATE,
            How::Append => OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND,
            How::New => OFlags::RDWR | OFlags::CREATE | OFlags::EXCL,
        };
        // A pipe is opened without waiting for its other end, and then refused.
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let opened = openat(&self.fd, name, flags, mode(self.access.of_files()));
        let opened = opened.map_err(|e| self.named(name, e.into()))?;
        if FileType::from_raw_mode(fstat(&opened)?.st_mode) != FileType::RegularFile {
            return Err(strange(&self.path.join(name), "is not a regular file"));
        }
        Ok(File::from(opened))
    }

    /// The bytes of a file.
    pub fn read(&self, name: impl AsRef<OsStr>) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.file(name, How::Read)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Writes a file as a whole, durably: after a crash it has these bytes or those that it had.
    pub fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let beside = format!("{name}.tmp");
        match self.remove(&beside) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut file = self.file(&beside, How::New)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        self.rename(&beside, name)?;
        self.sync()
    }

    /// The names of what is here, in no order; not those that are no Unicode, which are none of ours.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.fd)? {
            let entry = entry?;
            match entry.file_name().to_str() {
                Ok("." | "..") | Err(_) => {}
                Ok(name) => names.push(name.to_owned()),
            }
        }
        Ok(names)
    }

    /// Reports whether something of that name is here, a link included.
    pub fn has(&self, name: impl AsRef<OsStr>) -> io::Result<bool> {
        self.kind(name.as_ref()).map(|kind| kind.is_some())
    }

    /// Refuses a symbolic link under that name.
    pub fn refuse_link(&self, name: impl AsRef<OsStr>) -> io::Result<()> {
        let name = name.as_ref();
        match self.kind(name)? {
            Some(FileType::Symlink) => Err(strange(&self.path.join(name), "is a symbolic link")),
            _ => Ok(()),
        }
    }

    /// Reports whether its path still leads to this folder. It does not when the folder was moved or removed, and when another
    /// one was mounted over it.
    pub fn is_in_place(&self) -> io::Result<bool> {
        let here = fstat(&self.fd)?;
        match stat(&self.path) {
            Ok(there) => Ok((there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)),
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    /// Moves a file to another folder of the same file system, under the same name.
    pub fn move_to(&self, name: impl AsRef<OsStr>, to: &Dir) -> io::Result<()> {
        let name = name.as_ref();
        Ok(renameat(&self.fd, name, &to.fd, name)?)
    }

    /// Gives a file another name, and removes what had that name.
    pub fn rename(&self, from: impl AsRef<OsStr>, to: impl AsRef<OsStr>) -> io::Result<()> {
        Ok(renameat(&self.fd, from.as_ref(), &self.fd, to.as_ref())?)
    }

    /// Removes a file, or a link.
    pub fn remove(&self, name: impl AsRef<OsStr>) -> io::Result<()> {
        Ok(unlinkat(&self.fd, name.as_ref(), AtFlags::empty())?)
    }

    /// Removes a file, a link, or a folder with all that is in it. Links in it go, and not what they lead to.
    pub fn remove_all(&self, name: impl AsRef<OsStr>) -> io::Result<()> {
        let name = name.as_ref();
        if self.kind(name)? != Some(FileType::Directory) {
            return self.remove(name);
        }
        let folder = self.sub(name)?;
        folder.names()?.iter().try_for_each(|inner| folder.remove_all(inner))?;
        Ok(unlinkat(&self.fd, name, AtFlags::REMOVEDIR)?)
    }

    /// Waits until the names in the folder are on the disk.
    pub fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.fd)?)
    }

    fn kind(&self, name: &OsStr) -> io::Result<Option<FileType>> {
        match statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// An error of opening, with what is in the way. Systems differ in what they say of a link.
    fn named(&self, name: &OsStr, error: io::Error) -> io::Error {
        match self.kind(name) {
            Ok(Some(FileType::Symlink)) => strange(&self.path.join(name), "is a symbolic link"),
            Ok(Some(FileType::Socket | FileType::Fifo | FileType::CharacterDevice | FileType::BlockDevice)) => {
                strange(&self.path.join(name), "is not a regular file")
            }
            _ => error,
        }
    }
}

fn mode(rights: u32) -> Mode {
    Mode::from_bits_truncate(rights as _)
}

/// What is in the place of a file or a folder of ours, and is not opened.
fn strange(path: &Path, what: &str) -> io::Error {
    io::Error::other(Error::new(ErrorCode::StrangeFile, format!("'{}' {what}", path.display())))
}

/// The coded error within an error of a [`Dir`], if something else was in the place of a file.
pub fn strange_file(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn rights(path: impl AsRef<Path>) -> u32 {
        std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
    }

    fn is_strange<T>(done: io::Result<T>) -> bool {
        done.is_err_and(|e| strange_file(&e).is_some_and(|e| e.code == ErrorCode::StrangeFile))
    }

    #[test]
    fn what_is_made_is_its_owners() {
        for (access, folders, files) in [(Access::Owner, 0o700, 0o600), (Access::Group, 0o750, 0o640)] {
            let place = tempfile::tempdir().unwrap();
            let dir = Dir::make(&place.path().join("above/own"), access).unwrap();
            dir.make_sub("sub").unwrap().file("new", How::New).unwrap();
            dir.file("written", How::Write).unwrap();
            dir.file("added", How::Append).unwrap();
            let own = place.path().join("above/own");
            assert_eq!([rights(&own), rights(own.join("sub"))], [folders; 2]);
            assert_eq!(["sub/new", "written", "added"].map(|name| rights(own.join(name))), [files; 3]);
        }
    }

    #[test]
    fn a_link_is_followed_to_the_folder_and_not_in_it() {
        let place = tempfile::tempdir().unwrap();
        let outside = place.path().join("outside");
        std::fs::create_dir_all(outside.join("folder")).unwrap();
        std::fs::write(outside.join("file"), "theirs").unwrap();
        std::fs::create_dir(place.path().join("real")).unwrap();
        symlink(place.path().join("real"), place.path().join("named")).unwrap();
        let dir = Dir::make(&place.path().join("named"), Access::Owner).unwrap();
        for (name, to) in
            [("file", outside.join("file")), ("none", outside.join("none")), ("sub", outside.join("folder"))]
        {
            symlink(to, dir.path().join(name)).unwrap();
        }
        for how in [How::Read, How::Write, How::Append] {
            assert!(is_strange(dir.file("file", how)), "{how:?}");
            assert!(is_strange(dir.file("none", how)), "{how:?}");
        }
        assert!(dir.file("file", How::New).is_err());
        assert!(is_strange(dir.sub("sub")) && is_strange(dir.make_sub("sub")) && is_strange(dir.refuse_link("sub")));
        assert!(dir.refuse_link("nothing").is_ok());
        dir.remove_all("sub").unwrap();
        assert_eq!(std::fs::read_to_string(outside.join("file")).unwrap(), "theirs");
        assert!(outside.join("folder").exists() && !outside.join("none").exists());
    }

    #[test]
    fn a_folder_that_was_moved_is_not_in_place_until_it_is_back() {
        let place = tempfile::tempdir().unwrap();
        let (above, away) = (place.path().join("above"), place.path().join("away"));
        let dir = Dir::make(&above.join("own"), Access::Owner).unwrap();
        let sub = dir.make_sub("sub").unwrap();
        let in_place = || (dir.is_in_place().unwrap(), sub.is_in_place().unwrap());
        assert_eq!(in_place(), (true, true));
        std::fs::rename(&above, &away).unwrap();
        assert_eq!(in_place(), (false, false));
        // Another one of the name is not this one.
        std::fs::create_dir_all(above.join("own/sub")).unwrap();
        assert_eq!(in_place(), (false, false));
        std::fs::remove_dir_all(&above).unwrap();
        std::fs::write(&above, "in the way").unwrap();
        assert_eq!(in_place(), (false, false));
        std::fs::remove_file(&above).unwrap();
        std::fs::rename(&away, &above).unwrap();
        assert_eq!(in_place(), (true, true));
        dir.file("file", How::New).unwrap();
        dir.move_to("file", &sub).unwrap();
        assert_eq!((dir.names().unwrap(), sub.names().unwrap()), (vec!["sub".to_owned()], vec!["file".to_owned()]));
    }

    #[test]
    fn removing_a_folder_spares_what_its_links_lead_to() {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir(place.path().join("theirs")).unwrap();
        std::fs::write(place.path().join("theirs/file"), "").unwrap();
        let dir = Dir::make(&place.path().join("own"), Access::Owner).unwrap();
        let sub = dir.make_sub("a").unwrap().make_sub("b").unwrap();
        sub.file("c", How::New).unwrap();
        symlink(place.path().join("theirs"), sub.path().join("link")).unwrap();
        dir.remove_all("a").unwrap();
        assert_eq!(dir.names().unwrap(), [""; 0]);
        assert!(place.path().join("theirs/file").exists());
    }

    #[test]
    fn a_pipe_holds_nobody_up() {
        let place = tempfile::tempdir().unwrap();
        let dir = Dir::make(&place.path().join("own"), Access::Owner).unwrap();
        let fifo = rustix::fs::mknodat(dir.as_file(), "pipe", FileType::Fifo, mode(0o600), 0);
        fifo.unwrap();
        for how in [How::Read, How::Write, How::Append] {
            assert!(is_strange(dir.file("pipe", how)), "{how:?}");
        }
    }

    #[test]
    fn files_are_written_read_renamed_and_removed() {
        let place = tempfile::tempdir().unwrap();
        let dir = Dir::make(place.path(), Access::Owner).unwrap();
        dir.file("a", How::New).unwrap().write_all(b"one").unwrap();
        dir.file("a", How::Append).unwrap().write_all(b" two").unwrap();
        dir.rename("a", "b").unwrap();
        dir.sync().unwrap();
        assert_eq!((dir.read("b").unwrap(), dir.names().unwrap()), (b"one two".to_vec(), vec!["b".to_owned()]));
        assert!(dir.has("b").unwrap() && !dir.has("a").unwrap());
        assert_eq!(dir.read("a").unwrap_err().kind(), io::ErrorKind::NotFound);
        // What a crash has left beside it is in nobody's way.
        dir.file("b.tmp", How::New).unwrap();
        dir.put("b", b"three").unwrap();
        assert_eq!((dir.read("b").unwrap(), dir.names().unwrap()), (b"three".to_vec(), vec!["b".to_owned()]));
    }
}
