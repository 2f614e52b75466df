// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A note beside the database of how far it reaches, so that an end that is missing is noticed.
//!
//! A write-ahead log that was cut between two writes, or its newest file deleted, looks like one that never had more. So
//! after each write the file `REACH` says which was the last one, and which was the last one that was synced.
//!
//! The note itself is not synced, since that would double the cost of a commit. It is changed after the write that it tells
//! of, so whatever of it is on the disk after a loss of power is true, if perhaps old:
//!
//! ```text
//! the process died, the machine did not    everything that was written must be there
//! the machine started anew since           everything that was synced must be there, as far as the note knows
//! no note                                  nothing is known: the folder is of an older version
//! a note that cannot be read               nothing is known, and something was damaged: the logs must be whole to their ends
//! ```
//!
//! The note is there twice, and the two are written in turn: one that was interrupted, or that the disk took half of, leaves the one
//! before it. Of two that can be read the later one counts.
//!
//! The same holds for the manifest, in which RocksDB keeps the list of its files.
//!
//! ```text
//! REACH    two notes; a single one is of an older version
//! note     1, boot [16], synced, written, crc32c u32 BE of all before it
//! each     sequence number of the last write u64 BE, number of the manifest u64 BE, its bytes u64 BE
//! ```

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use fnstream_core::Result;
use fnstream_core::dir::{Access, Dir, How};
use parking_lot::Mutex;

use crate::error::file;
use crate::log_file::crc32c;

/// The name of the file.
pub(crate) const NAME: &str = "REACH";
const VERSION: u8 = 1;
const BYTES: usize = 69;
const NOTES: u64 = 2;
/// The kernel's name for the time since the machine was started.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// The last write, and the manifest with which it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Point {
    pub write: u64,
    pub manifest: Manifest,
}

/// Which manifest, and how long it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Manifest {
    pub number: u64,
    pub bytes: u64,
}

/// What the note says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Reach {
    /// All zeros if the system does not tell.
    boot: [u8; 16],
    synced: Point,
    written: Point,
}

/// What is known of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Noted {
    /// There is no note, or none has reached the disk yet.
    Nothing,
    /// There is one that cannot be read.
    Unreadable,
    Reach(Reach),
}

impl Noted {
    /// Reads the note of a folder.
    pub(crate) fn read(root: &Dir) -> Result<Noted> {
        match root.read(NAME) {
            Ok(bytes) if bytes.iter().all(|byte| *byte == 0) => Ok(Noted::Nothing),
            Ok(bytes) => {
                let notes = bytes.chunks(BYTES).filter_map(Reach::decode);
                Ok(notes.max_by_key(|note| note.written).map_or(Noted::Unreadable, Noted::Reach))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Noted::Nothing),
            Err(e) => Err(file("cannot read", &root.path().join(NAME), &e)),
        }
    }

    /// Whether the machine was started anew since the note was written.
    pub(crate) fn is_of_another_boot(&self) -> bool {
        matches!(self, Noted::Reach(reach) if !reach.is_of_this_boot())
    }

    /// How far the database has to reach.
    pub(crate) fn demanded(&self) -> Point {
        match self {
            Noted::Nothing | Noted::Unreadable => Point::default(),
            Noted::Reach(reach) if reach.is_of_this_boot() => reach.written,
            Noted::Reach(reach) => reach.synced,
        }
    }
}

impl Reach {
    fn is_of_this_boot(&self) -> bool {
        self.boot != [0; 16] && self.boot == boot()
    }

    /// The note of a copy of a database, all of which is there. It is of no run of the machine.
    pub(crate) fn of_backup(db: &Path, write: u64) -> io::Result<Vec<u8>> {
        let all = Point { write, manifest: ManifestFile::open(db)?.now()? };
        Ok(Reach { boot: [0; 16], synced: all, written: all }.encode().repeat(NOTES as usize))
    }

    fn encode(&self) -> [u8; BYTES] {
        let mut bytes = [VERSION; BYTES];
        bytes[1..17].copy_from_slice(&self.boot);
        let points = [self.synced, self.written].map(|p| [p.write, p.manifest.number, p.manifest.bytes]);
        for (to, number) in bytes[17..65].as_chunks_mut::<8>().0.iter_mut().zip(points.as_flattened()) {
            *to = number.to_be_bytes();
        }
        let sum = crc32c(&bytes[..65]);
        bytes[65..].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; BYTES] = bytes.as_array()?;
        let numbers = bytes[17..65].as_chunks::<8>().0;
        let point = |at: usize| {
            let number = |i: usize| u64::from_be_bytes(numbers[at + i]);
            Point { write: number(0), manifest: Manifest { number: number(1), bytes: number(2) } }
        };
        let boot = *bytes[1..17].as_array()?;
        let good = bytes[0] == VERSION && crc32c(&bytes[..65]).to_be_bytes() == bytes[65..];
        good.then(|| Reach { boot, synced: point(0), written: point(3) })
    }
}

/// The order in which both notes are replaced: one that cannot be read goes first, so that at each moment there is one that can.
fn turns(before: &[u8]) -> [u64; 2] {
    let mut turns = [0, 1];
    turns.sort_by_key(|turn| before.chunks(BYTES).nth(*turn as usize).and_then(Reach::decode).is_some());
    turns
}

struct State {
    reach: Reach,
    manifest: ManifestFile,
    /// Which of the two notes is written next.
    turn: u64,
}

/// The note of a database that is in use.
pub(crate) struct Note {
    state: Mutex<State>,
    file: File,
    /// Set when the database is not closed in order.
    left: AtomicBool,
}

impl Note {
    /// Begins the note of a database that was opened, all of which is synced.
    pub(crate) fn begin(root: &Dir, db: &Path, write: u64) -> Result<Self> {
        let path = root.path().join(NAME);
        let opened = || -> io::Result<Self> {
            let mut manifest = ManifestFile::open(db)?;
            let now = Point { write, manifest: manifest.now()? };
            let reach = Reach { boot: boot(), synced: now, written: now };
            let file = root.file(NAME, How::Write)?;
            for turn in turns(&root.read(NAME)?) {
                file.write_all_at(&reach.encode(), turn * BYTES as u64)?;
            }
            file.set_len(NOTES * BYTES as u64)?;
            let state = Mutex::new(State { reach, manifest, turn: 0 });
            Ok(Note { state, file, left: AtomicBool::new(false) })
        };
        opened().map_err(|e| file("cannot write", &path, &e))
    }

    /// Notes that everything up to one write is in the log, and up to another one synced.
    ///
    /// A note that cannot be written leaves the one before it, which is true even so.
    pub(crate) fn advance(&self, written: u64, synced: Option<u64>) {
        let state = &mut *self.state.lock();
        let State { reach, manifest, .. } = state;
        reach.written.write = reach.written.write.max(written);
        // The manifest may be longer than what is synced of it: it counts for this boot only.
        reach.written.manifest = manifest.now().unwrap_or(reach.written.manifest);
        reach.synced.write = reach.synced.write.max(synced.unwrap_or_default());
        state.write(&self.file);
    }

    /// The database does not write any more, so its manifest is perhaps not synced: the note stays as it is.
    pub(crate) fn leave(&self) {
        self.left.store(true, Ordering::Relaxed);
    }

    /// Waits until the note is on the disk.
    pub(crate) fn sync(&self) {
        let _ = self.file.sync_data();
    }
}

/// Comes after the database was closed, which ends with a synced manifest.
impl Drop for Note {
    fn drop(&mut self) {
        if *self.left.get_mut() {
            return;
        }
        let state = self.state.get_mut();
        if let Ok(now) = state.manifest.now() {
            (state.reach.synced.manifest, state.reach.written.manifest) = (now, now);
            state.write(&self.file);
        }
    }
}

impl State {
    fn write(&mut self, file: &File) {
        // The same again if it fails: the other one is good.
        if file.write_all_at(&self.reach.encode(), self.turn * BYTES as u64).is_ok() {
            self.turn = (self.turn + 1) % NOTES;
        }
    }
}

/// The manifest that RocksDB writes to.
struct ManifestFile {
    db: PathBuf,
    number: u64,
    file: File,
}

impl ManifestFile {
    fn open(db: &Path) -> io::Result<Self> {
        let path = current_manifest(db)?;
        let number = manifest_number(&path).unwrap_or_default();
        Ok(ManifestFile { db: db.to_owned(), number, file: File::open(path)? })
    }

    fn now(&mut self) -> io::Result<Manifest> {
        let mut metadata = self.file.metadata()?;
        if metadata.nlink() == 0 {
            // RocksDB has begun a new one.
            *self = Self::open(&self.db)?;
            metadata = self.file.metadata()?;
        }
        Ok(Manifest { number: self.number, bytes: metadata.len() })
    }
}

/// The manifest that the file `CURRENT` names.
pub(crate) fn current_manifest(db: &Path) -> io::Result<PathBuf> {
    let named = fs::read(db.join("CURRENT"))?;
    let path = str::from_utf8(&named).ok().map(|name| db.join(name.trim_end()));
    let path = path.filter(|path| path.parent() == Some(db) && manifest_number(path).is_some());
    path.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it names no list of files"))
}

/// The number in the name of a manifest.
pub(crate) fn manifest_number(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_prefix("MANIFEST-")?.parse().ok()
}

/// This run of the machine; zeros if the system does not tell.
fn boot() -> [u8; 16] {
    let text = fs::read_to_string(BOOT).unwrap_or_default();
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    u128::from_str_radix(&digits, 16).unwrap_or_default().to_be_bytes()
}

/// For tests: makes the note of a folder one of an earlier run of the machine.
#[doc(hidden)]
pub fn pretend_power_loss(root: &Path) -> Result<()> {
    let path = root.join(NAME);
    let root = Dir::open(root, Access::Owner).map_err(|e| file("cannot open", root, &e))?;
    let Noted::Reach(reach) = Noted::read(&root)? else {
        return Ok(());
    };
    fs::write(&path, Reach { boot: [0xb0; 16], ..reach }.encode()).map_err(|e| file("cannot write", &path, &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        let at = |write| Point { write, manifest: Manifest { number: 5, bytes: 300 } };
        let reach = Reach { boot: [7; 16], synced: at(1), written: at(2) };
        let mut golden = vec![1];
        golden.extend([7; 16]);
        for write in [1, 2] {
            golden.extend([0, 0, 0, 0, 0, 0, 0, write, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 1, 44]);
        }
        golden.extend([195, 75, 118, 86]);
        assert_eq!(reach.encode(), golden[..]);
        assert_eq!(Reach::decode(&golden), Some(reach));
        for bit in 0..golden.len() * 8 {
            let mut flipped = golden.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Reach::decode(&flipped), None, "bit {bit}");
        }
        assert_eq!(Reach::decode(&golden[1..]), None);
    }

    #[test]
    fn a_note_that_can_be_read_is_replaced_last() {
        let folder = tempfile::tempdir().unwrap();
        let root = Dir::open(folder.path(), Access::Owner).unwrap();
        fs::create_dir(folder.path().join("db")).unwrap();
        fs::write(folder.path().join("db/CURRENT"), "MANIFEST-000001\n").unwrap();
        fs::write(folder.path().join("db/MANIFEST-000001"), "").unwrap();
        let path = folder.path().join(NAME);
        let good = |write| Reach { boot: boot(), written: Point { write, ..Point::default() }, ..Reach::default() };
        for slots in [[true, false], [false, true]] {
            let bytes = slots.map(|whole| if whole { good(1).encode() } else { [7; BYTES] });
            fs::write(&path, bytes.concat()).unwrap();
            // The first of the two writes alone.
            let order = turns(&fs::read(&path).unwrap());
            assert!(!slots[order[0] as usize], "{slots:?}");
            drop(Note::begin(&root, &folder.path().join("db"), 2).unwrap());
            let now = fs::read(&path).unwrap();
            assert!(now.chunks(BYTES).all(|note| Reach::decode(note).is_some_and(|note| note.written.write == 2)));
        }
    }

    #[test]
    fn the_later_of_two_notes_counts_and_one_is_enough() {
        let folder = tempfile::tempdir().unwrap();
        let root = Dir::open(folder.path(), Access::Owner).unwrap();
        let at = |write| {
            let point = Point { write, manifest: Manifest { number: 5, bytes: 300 } };
            Reach { boot: [7; 16], synced: point, written: point }
        };
        let read = |bytes: &[u8]| {
            fs::write(folder.path().join(NAME), bytes).unwrap();
            Noted::read(&root).unwrap()
        };
        let (first, second) = (at(1).encode(), at(2).encode());
        assert_eq!(read(&first), Noted::Reach(at(1)), "of an older version");
        for both in [[first, second].concat(), [second, first].concat()] {
            assert_eq!(read(&both), Noted::Reach(at(2)));
        }
        let half = [&first[..], &second[..30], &first[30..]].concat();
        assert_eq!(read(&half), Noted::Reach(at(1)));
        assert_eq!(read(&half[1..]), Noted::Unreadable);
        assert_eq!(read(&[0; 2 * BYTES]), Noted::Nothing);
    }
}
