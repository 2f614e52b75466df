// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Places in a guest's source, for the backtraces of artifacts that carry DWARF.
//!
//! Reading the tables of a large artifact takes tens of milliseconds, so it happens once, at the first failure: a thread of
//! the [`Shelf`] reads them and answers from then on. Wasmtime would read them anew for each frame of each backtrace.
//!
//! ```text
//! failure ─ offsets of its frames ─► Shelf ─► the artifact's reader, made when there is none ─► places
//! ```
//!
//! What a reader needs is the artifact itself, which is kept beside its compiled code, or in memory where that is too. Its
//! digest shows that it is the right one. Memory is bounded: readers of at most [`MOST_BYTES`] stay, and the one that was
//! asked longest ago goes first. Tables are the guest's own words: whatever they hold, a reader that takes too long or dies
//! costs its artifact the places in its source, and nobody else anything.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender, SyncSender};
use std::time::Duration;
use std::{fs, io, thread};

use fnstream_core::panics;
use parking_lot::Mutex;

use crate::cache::digest;

mod tables;

pub(crate) use tables::{Place, has_tables};

use tables::Tables;

/// The most bytes of artifacts whose tables stay. What is made of them comes on top, for the parts that were asked for.
const MOST_BYTES: usize = 64 << 20;

/// The most readers that stay; each is a thread that waits.
const MOST_READERS: usize = 16;

/// The time that a backtrace waits for its places.
const PATIENCE: Duration = Duration::from_secs(5);

/// An artifact's tables, wherever they are.
#[derive(Debug)]
pub(crate) struct Lines {
    digest: String,
    artifact: Kept,
    shelf: Arc<Shelf>,
    /// Asking was in vain once.
    unreadable: AtomicBool,
}

/// The place of an artifact that has tables.
#[derive(Debug, Clone)]
pub(crate) enum Kept {
    /// It has none.
    Nowhere,
    /// In memory.
    Here(Arc<[u8]>),
    /// In a file.
    File(PathBuf),
}

impl Lines {
    /// The tables of the artifact of that digest.
    pub(crate) fn new(digest: &str, artifact: Kept, shelf: &Arc<Shelf>) -> Self {
        Lines { digest: digest.to_owned(), artifact, shelf: Arc::clone(shelf), unreadable: AtomicBool::new(false) }
    }

    /// The places of some offsets in the artifact: for each the innermost function that was inlined there first, and the one
    /// that has them all last. Nothing for what the tables don't have.
    pub(crate) fn places(&self, offsets: &[usize]) -> Vec<Vec<Place>> {
        if matches!(self.artifact, Kept::Nowhere) || self.unreadable.load(Ordering::Relaxed) {
            return Vec::new();
        }
        self.shelf.ask(&self.digest, &self.artifact, offsets).unwrap_or_else(|reason| {
            self.unreadable.store(true, Ordering::Relaxed);
            tracing::warn!(artifact = self.digest, reason, "backtraces go without places in the source");
            Vec::new()
        })
    }
}

/// The readers of a runtime.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    /// The one that was asked last is last.
    readers: Mutex<Vec<Reader>>,
}

/// A thread that has read an artifact's tables, or does so now. It ends when nobody can ask it any more.
#[derive(Debug)]
struct Reader {
    digest: String,
    bytes: usize,
    questions: Sender<Question>,
}

#[derive(Debug)]
struct Question {
    offsets: Vec<usize>,
    answer: SyncSender<Vec<Vec<Place>>>,
}

impl Shelf {
    fn ask(&self, digest: &str, artifact: &Kept, offsets: &[usize]) -> Result<Vec<Vec<Place>>, &'static str> {
        let (answer, answers) = mpsc::sync_channel(1);
        let questions = self.reader(digest, artifact)?;
        let asked = questions.send(Question { offsets: offsets.to_vec(), answer });
        asked.ok().and_then(|()| answers.recv_timeout(PATIENCE).ok()).ok_or_else(|| {
            self.readers.lock().retain(|reader| reader.digest != digest);
            "its tables cannot be read, or not in time"
        })
    }

    fn reader(&self, digest: &str, artifact: &Kept) -> Result<Sender<Question>, &'static str> {
        let mut readers = self.readers.lock();
        if let Some(at) = readers.iter().position(|reader| reader.digest == digest) {
            let reader = readers.remove(at);
            let questions = reader.questions.clone();
            readers.push(reader);
            return Ok(questions);
        }
        let bytes = artifact.len().map_err(|_| "the artifact is not beside its code any more")?;
        if bytes > MOST_BYTES {
            return Err("it is too large to be read for them");
        }
        readers.push(Reader::start(digest, artifact.clone(), bytes).map_err(|_| "no thread can be started")?);
        while readers.len() > MOST_READERS || readers.iter().map(|reader| reader.bytes).sum::<usize>() > MOST_BYTES {
            readers.remove(0);
        }
        Ok(readers.last().ok_or("it was given up")?.questions.clone())
    }
}

impl Reader {
    fn start(digest: &str, artifact: Kept, bytes: usize) -> io::Result<Self> {
        let (questions, asked) = mpsc::channel::<Question>();
        let expected = digest.to_owned();
        thread::Builder::new().name("line-tables".into()).spawn(move || {
            let Ok(artifact) = artifact.read(&expected) else { return };
            // Tables are anybody's bytes: what cannot be read of them is not known.
            let Ok(tables) = panics::catch(|| Tables::read(&artifact)) else { return };
            for question in asked {
                let places = || question.offsets.iter().map(|&offset| tables.find(offset)).collect();
                // Who asked may have lost patience.
                let _ = question.answer.send(panics::catch(places).unwrap_or_default());
            }
        })?;
        Ok(Reader { digest: digest.to_owned(), bytes, questions })
    }
}

impl Kept {
    fn len(&self) -> io::Result<usize> {
        match self {
            Kept::Nowhere => Ok(0),
            Kept::Here(bytes) => Ok(bytes.len()),
            Kept::File(path) => Ok(usize::try_from(fs::metadata(path)?.len()).unwrap_or(usize::MAX)),
        }
    }

    fn read(self, expected: &str) -> io::Result<Arc<[u8]>> {
        match self {
            Kept::Nowhere => Ok(Arc::default()),
            Kept::Here(bytes) => Ok(bytes),
            Kept::File(path) => {
                let bytes = fs::read(path)?;
                if digest(&bytes) == expected { Ok(bytes.into()) } else { Err(io::ErrorKind::InvalidData.into()) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A module without tables, and how long it is.
    fn artifact(bytes: usize) -> Kept {
        let mut module = b"\0asm\x01\0\0\0".to_vec();
        module.resize(bytes.max(8), 0);
        Kept::Here(module.into())
    }

    fn shelved(shelf: &Shelf) -> Vec<String> {
        shelf.readers.lock().iter().map(|reader| reader.digest.clone()).collect()
    }

    #[test]
    fn the_reader_that_was_asked_longest_ago_goes_first() {
        let shelf = Shelf::default();
        let third = MOST_BYTES / 3;
        for digest in ["a", "b", "c", "a", "d"] {
            assert_eq!(shelf.ask(digest, &artifact(third), &[1]), Ok(vec![Vec::new()]));
        }
        assert_eq!(shelved(&shelf), ["c", "a", "d"]);
        for number in 0..2 * MOST_READERS {
            shelf.ask(&number.to_string(), &artifact(8), &[1]).unwrap();
        }
        assert_eq!(shelf.readers.lock().len(), MOST_READERS);
    }

    #[test]
    fn an_artifact_is_read_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wasm");
        let bytes = b"\0asm\x01\0\0\0";
        fs::write(&path, bytes).unwrap();
        let lines = Lines::new(&digest(bytes), Kept::File(path.clone()), &Arc::default());
        assert_eq!(lines.places(&[1, 2]), [[], []]);
        fs::remove_file(path).unwrap();
        assert_eq!(lines.places(&[3]), [[]]);
    }

    #[test]
    fn an_artifact_that_is_gone_or_changed_is_asked_for_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wasm");
        fs::write(&path, b"\0asm").unwrap();
        for file in [path, folder.path().join("b.wasm")] {
            let lines = Lines::new("of something else", Kept::File(file), &Arc::default());
            assert_eq!(lines.places(&[1]), Vec::<Vec<Place>>::new());
            assert!(lines.unreadable.load(Ordering::Relaxed) && lines.shelf.readers.lock().is_empty());
        }
    }
}
