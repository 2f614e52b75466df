// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A log file that does not grow for ever.
//!
//! ```text
//! server.log      being written: at most so many bytes, unless a single event is longer
//! server.log.1    the one before it
//! server.log.2    the one before that; the oldest goes when a new one is begun
//! ```
//!
//! New files have the rights of the one before them. An event is never split between files. A file that cannot be put aside, or written, loses events and not the server:
//! what failed is told on standard error, once until it works again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tracing_subscriber::fmt::MakeWriter;

use crate::output;

/// A log file and those before it. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct LogFile(Arc<Mutex<Current>>);

#[derive(Debug)]
struct Current {
    path: PathBuf,
    file: File,
    bytes: u64,
    max_bytes: u64,
    max_files: u32,
    failing: bool,
}

impl LogFile {
    /// Goes on in the file of that path, which is made with its folder when it is not there.
    pub(super) fn open(path: &Path, max_bytes: u64, max_files: u32) -> io::Result<Self> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder)?;
        }
        let file = append(path)?;
        let bytes = file.metadata()?.len();
        let max_files = max_files.max(1);
        let current = Current { path: path.to_owned(), file, bytes, max_bytes, max_files, failing: false };
        Ok(LogFile(Arc::new(Mutex::new(current))))
    }

    /// Goes on in the file that has the name now: another program may have moved the old one.
    pub(crate) fn reopen(&self) {
        let mut current = self.0.lock();
        let opened = current.open_anew(append);
        current.report(opened);
    }
}

/// Whoever writes an event holds the file until the event is whole.
pub(crate) struct Writing<'a>(MutexGuard<'a, Current>);

impl<'a> MakeWriter<'a> for LogFile {
    type Writer = Writing<'a>;

    fn make_writer(&'a self) -> Writing<'a> {
        Writing(self.0.lock())
    }
}

impl Write for Writing<'_> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.write_all(event).map(|()| event.len())
    }

    /// Gets each event in one piece.
    fn write_all(&mut self, event: &[u8]) -> io::Result<()> {
        self.0.add(event);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Current {
    fn add(&mut self, event: &[u8]) {
        let full = self.bytes > 0 && self.bytes.saturating_add(event.len() as u64) > self.max_bytes;
        let done = if full { self.turn() } else { Ok(()) }.and_then(|()| self.file.write_all(event));
        match done {
            Ok(()) => {
                self.bytes += event.len() as u64;
                self.failing = false;
            }
            failed => self.report(failed),
        }
    }

    /// Tells of a failure, unless it was told before.
    fn report(&mut self, done: io::Result<()>) {
        if let Err(error) = done
            && !std::mem::replace(&mut self.failing, true)
        {
            output::complain(&format!("the log file '{}' cannot be written: {error}", self.path.display()));
        }
    }

    /// Opens the file of the name, with the rights of the present one if it is new.
    fn open_anew(&mut self, open: impl Fn(&Path) -> io::Result<File>) -> io::Result<()> {
        let rights = self.file.metadata()?.permissions();
        let is_new = !self.path.exists();
        let file = open(&self.path)?;
        if is_new {
            file.set_permissions(rights)?;
        }
        self.bytes = file.metadata()?.len();
        self.file = file;
        Ok(())
    }

    /// Puts the file aside and begins a new one.
    fn turn(&mut self) -> io::Result<()> {
        if self.max_files == 1 {
            self.open_anew(|path| File::create(path))
        } else {
            for number in (1..self.max_files - 1).rev() {
                move_over(&self.numbered(number), &self.numbered(number + 1))?;
            }
            move_over(&self.path, &self.numbered(1))?;
            self.open_anew(append)
        }
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// A file that somebody has taken away is as good as moved.
fn move_over(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(log: &LogFile, events: &[&str]) {
        for event in events {
            log.make_writer().write_all(event.as_bytes()).unwrap();
        }
    }

    fn files(folder: &Path) -> Vec<(String, String)> {
        let mut found: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(path).unwrap()))
            .collect();
        found.sort();
        found
    }

    fn named(files: &[(&str, &str)]) -> Vec<(String, String)> {
        files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn a_full_file_is_put_aside_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let log = LogFile::open(&folder.path().join("new/a.log"), 8, 3).unwrap();
        write(&log, &["one\n", "two\n"]);
        let folder = folder.path().join("new");
        assert_eq!(files(&folder), named(&[("a.log", "one\ntwo\n")]));
        write(&log, &["three\n", "a longer one\n", "x\n"]);
        let expected = [("a.log", "x\n"), ("a.log.1", "a longer one\n"), ("a.log.2", "three\n")];
        assert_eq!(files(&folder), named(&expected));
    }

    #[test]
    fn a_new_process_goes_on_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        write(&LogFile::open(&path, 8, 2).unwrap(), &["12345\n"]);
        write(&LogFile::open(&path, 8, 2).unwrap(), &["67\n"]);
        assert_eq!(files(folder.path()), named(&[("a.log", "67\n"), ("a.log.1", "12345\n")]));
    }

    #[test]
    fn a_single_file_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let log = LogFile::open(&folder.path().join("a.log"), 4, 1).unwrap();
        write(&log, &["abc\n", "def\n"]);
        assert_eq!(files(folder.path()), named(&[("a.log", "def\n")]));
    }

    #[test]
    fn a_file_that_was_taken_away_does_not_end_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let log = LogFile::open(&folder.path().join("a.log"), 4, 2).unwrap();
        write(&log, &["abc\n"]);
        fs::remove_file(folder.path().join("a.log")).unwrap();
        write(&log, &["def\n"]);
        assert_eq!(files(folder.path()), named(&[("a.log", "def\n")]));
    }

    #[test]
    fn a_file_that_was_moved_is_gone_on_with_under_its_name_after_reopening() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let log = LogFile::open(&path, 8, 2).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
        write(&log, &["one\n"]);
        fs::rename(&path, folder.path().join("moved")).unwrap();
        write(&log, &["two\n"]);
        log.reopen();
        write(&log, &["three\n", "four\n"]);
        let expected = [("a.log", "four\n"), ("a.log.1", "three\n"), ("moved", "one\ntwo\n")];
        assert_eq!(files(folder.path()), named(&expected));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o604, "new files have its rights");
    }
}
