// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The lines of one function on disk: the newest segment and the one before it.
//!
//! ```text
//! logs/<function>/00000000000000000000.jsonl     named by the offset of its first byte; 1 MiB at most
//!                 00000000000001048512.jsonl     the newest: lines are added at its end
//! ```
//!
//! An offset counts the bytes that the log ever had, so that it stays a place to go on from when segments go. A process
//! that is killed may leave half a line; the next one to write ends it, and whoever reads skips it. Nothing is synced:
//! after a loss of power the newest lines may be missing.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use fnstream_api::{LogLine, LogPage};
use fnstream_core::dir::{Dir, How};
use serde::{Deserialize, Serialize};

/// The most bytes of a segment.
pub(super) const SEGMENT_BYTES: u64 = 1 << 20;

const FOLDER: &str = "logs";
const EXTENSION: &str = "jsonl";

/// The folder of all logs in the data folder, if it is there.
pub(super) fn root(data: &Dir) -> io::Result<Option<Dir>> {
    if_there(data.sub(FOLDER))
}

/// The folder of a function's log, made if it is not there.
pub(super) fn make_folder(data: &Dir, function: &str) -> io::Result<Dir> {
    data.make_sub(FOLDER)?.make_sub(function)
}

fn if_there<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

/// Where lines of one function are added.
#[derive(Debug, Default)]
pub(super) struct Segments {
    /// Not known before the first line, and after a failure.
    newest: Option<Newest>,
}

#[derive(Debug, Clone, Copy)]
struct Newest {
    base: u64,
    bytes: u64,
    /// Its last line has no end.
    torn: bool,
}

impl Segments {
    /// Adds whole lines to the log in a folder; answers the offset behind them. After an error some of them may be there.
    pub(super) fn append(&mut self, folder: &Dir, lines: &[u8]) -> io::Result<u64> {
        let mut newest = match self.newest.take() {
            Some(newest) => newest,
            None => find_newest(folder)?,
        };
        let mut left = lines;
        while !left.is_empty() {
            let room = SEGMENT_BYTES.saturating_sub(newest.bytes + u64::from(newest.torn));
            let taken = match whole_lines(left, room as usize) {
                // A line that fits nowhere has a segment of its own.
                0 if newest.bytes == 0 => first_line(left),
                taken => taken,
            };
            let (chunk, rest) = left.split_at(taken);
            if !chunk.is_empty() {
                newest = write(folder, newest, chunk)?;
            }
            left = rest;
            if !left.is_empty() {
                newest = Newest { base: newest.base + newest.bytes, bytes: 0, torn: false };
                drop_before(folder, newest.base)?;
            }
        }
        self.newest = Some(newest);
        Ok(newest.base + newest.bytes)
    }
}

fn name_of(base: u64) -> String {
    format!("{base:020}.{EXTENSION}")
}

fn write(folder: &Dir, newest: Newest, chunk: &[u8]) -> io::Result<Newest> {
    let end: &[u8] = if newest.torn { b"\n" } else { b"" };
    folder.file(name_of(newest.base), How::Append)?.write_all(&[end, chunk].concat())?;
    let bytes = newest.bytes + (end.len() + chunk.len()) as u64;
    Ok(Newest { base: newest.base, bytes, torn: false })
}

/// Removes what is older than the segment before the one that begins at `base`.
fn drop_before(folder: &Dir, base: u64) -> io::Result<()> {
    let older: Vec<u64> = bases(folder)?.into_iter().filter(|older| *older < base).collect();
    older.iter().rev().skip(1).try_for_each(|older| folder.remove(name_of(*older)))
}

/// The bytes of the lines that fit into so much room.
fn whole_lines(lines: &[u8], room: usize) -> usize {
    let room = &lines[..lines.len().min(room)];
    room.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)
}

fn first_line(lines: &[u8]) -> usize {
    lines.iter().position(|byte| *byte == b'\n').map_or(lines.len(), |at| at + 1)
}

fn find_newest(folder: &Dir) -> io::Result<Newest> {
    let Some(base) = bases(folder)?.pop() else { return Ok(Newest { base: 0, bytes: 0, torn: false }) };
    let mut file = folder.file(name_of(base), How::Read)?;
    let bytes = file.metadata()?.len();
    let mut last = [b'\n'];
    if bytes > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    Ok(Newest { base, bytes, torn: last != *b"\n" })
}

/// The offsets at which segments begin, in order.
fn bases(folder: &Dir) -> io::Result<Vec<u64>> {
    let base = |name: &String| {
        let path = Path::new(name);
        let stem = path.extension().filter(|extension| *extension == EXTENSION).and(path.file_stem());
        stem?.to_str()?.parse().ok()
    };
    let mut bases: Vec<u64> = folder.names()?.iter().filter_map(base).collect();
    bases.sort_unstable();
    Ok(bases)
}

/// What is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reading {
    /// The last lines.
    Tail(usize),
    /// Everything behind that place. One that this log has not reached is of an earlier function of the name: then
    /// everything.
    After(u64),
}

/// Reads lines that were written before; none if the function has no log yet.
pub(super) fn read(data: &Dir, function: &str, reading: Reading) -> io::Result<LogPage> {
    let folder = root(data)?.map_or(Ok(None), |root| if_there(root.sub(function)))?;
    match folder {
        None => Ok(LogPage { lines: Vec::new(), next: 0.to_string() }),
        Some(folder) => read_folder(&folder, reading),
    }
}

fn read_folder(folder: &Dir, reading: Reading) -> io::Result<LogPage> {
    let (mut lines, mut end) = (Vec::new(), 0);
    for base in bases(folder)? {
        // The writer may just have moved on.
        let Some(bytes) = if_there(folder.read(name_of(base)))? else { continue };
        end = base;
        for line in bytes.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n")) {
            end += line.len() as u64;
            if let Ok(line) = serde_json::from_slice::<LogLine>(line) {
                lines.push((end, line));
            }
        }
    }
    let first = match reading {
        Reading::Tail(count) => lines.len().saturating_sub(count),
        Reading::After(cursor) if cursor <= end => lines.partition_point(|(end, _)| *end <= cursor),
        Reading::After(_) => 0,
    };
    Ok(LogPage { lines: lines.into_iter().skip(first).map(|(_, line)| line).collect(), next: end.to_string() })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs::{self, File};

    use fnstream_core::dir::Access;
    use tempfile::TempDir;

    use super::*;

    /// A folder for a log, and a place that it goes with.
    fn folder() -> (TempDir, Dir) {
        let place = tempfile::tempdir().unwrap();
        let folder = Dir::open(place.path(), Access::Owner).unwrap();
        (place, folder)
    }

    fn line(text: &str) -> Vec<u8> {
        format!("{{\"ms\":1,\"speaker\":\"host\",\"text\":\"{text}\"}}\n").into_bytes()
    }

    fn texts(folder: &Dir, reading: Reading) -> Vec<String> {
        read_folder(folder, reading).unwrap().lines.into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn what_was_written_is_read_from_any_place() {
        let (_place, data) = folder();
        assert_eq!(read(&data, "none", Reading::Tail(9)).unwrap().next, "0");
        let (folder, mut segments) = (make_folder(&data, "f").unwrap(), Segments::default());
        let after_b = segments.append(&folder, &[line("a"), line("b")].concat()).unwrap();
        let end = segments.append(&folder, &line("c")).unwrap();
        assert_eq!(texts(&folder, Reading::Tail(2)), ["b", "c"]);
        assert_eq!(texts(&folder, Reading::Tail(0)), [""; 0]);
        assert_eq!(texts(&folder, Reading::After(after_b)), ["c"]);
        assert_eq!(texts(&folder, Reading::After(end)), [""; 0]);
        assert_eq!(texts(&folder, Reading::After(end + 1)), ["a", "b", "c"], "a place of another log");
        assert_eq!(read(&data, "f", Reading::Tail(0)).unwrap().next, end.to_string());
    }

    #[test]
    fn half_a_line_of_a_killed_process_is_skipped() {
        let (place, folder) = folder();
        Segments::default().append(&folder, &line("a")).unwrap();
        let file = place.path().join(format!("{:020}.jsonl", 0));
        File::options().append(true).open(&file).unwrap().write_all(b"{\"ms\":1,\"spea").unwrap();
        assert_eq!(texts(&folder, Reading::Tail(9)), ["a"]);
        Segments::default().append(&folder, &line("b")).unwrap();
        assert_eq!(texts(&folder, Reading::Tail(9)), ["a", "b"]);
    }

    #[test]
    fn two_segments_are_kept_and_offsets_go_on() {
        let (place, folder) = folder();
        let mut segments = Segments::default();
        let long = "x".repeat(1000);
        let mut end = 0;
        for i in 0..5000 {
            end = segments.append(&folder, &line(&format!("{i} {long}"))).unwrap();
        }
        let bases = bases(&folder).unwrap();
        assert_eq!(bases.len(), 2);
        for base in &bases {
            let bytes = fs::metadata(place.path().join(format!("{base:020}.jsonl"))).unwrap().len();
            assert!(bytes <= SEGMENT_BYTES, "{bytes}");
        }
        let page = read_folder(&folder, Reading::Tail(usize::MAX)).unwrap();
        assert_eq!(page.next, end.to_string());
        let first: u32 = page.lines[0].text.split(' ').next().unwrap().parse().unwrap();
        assert_eq!(first as usize + page.lines.len(), 5000, "without a gap");
        assert!(page.lines.len() > 1000);
        // A process that comes later goes on at the same place.
        assert!(Segments::default().append(&folder, &line("z")).unwrap() > end);
    }

    #[test]
    fn a_batch_that_is_larger_than_a_segment_is_spread() {
        let (_place, folder) = folder();
        let long = "x".repeat(SEGMENT_BYTES as usize);
        let batch = [line("a"), line(&long), line("b")].concat();
        assert_eq!(Segments::default().append(&folder, &batch).unwrap(), batch.len() as u64);
        assert_eq!(texts(&folder, Reading::Tail(9)), [long, "b".to_owned()]);
    }

    #[test]
    fn the_written_form_stays_readable() {
        let (_place, folder) = folder();
        let bytes = b"{\"ms\":1700000000000,\"task\":3,\"speaker\":\"stderr\",\"text\":\"a \\\"b\\\"\"}\n";
        Segments::default().append(&folder, bytes).unwrap();
        let line = LogLine { ms: 1_700_000_000_000, task: Some(3), speaker: "stderr".into(), text: "a \"b\"".into() };
        assert_eq!(read_folder(&folder, Reading::Tail(1)).unwrap().lines, std::slice::from_ref(&line));
        assert_eq!([serde_json::to_vec(&line).unwrap(), b"\n".to_vec()].concat(), bytes);
    }
}
