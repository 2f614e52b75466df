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

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use fnstream_api::{LogLine, LogPage};
use serde::{Deserialize, Serialize};

/// The most bytes of a segment.
pub(super) const SEGMENT_BYTES: u64 = 1 << 20;

const EXTENSION: &str = "jsonl";

/// Where lines of one function are added.
#[derive(Debug)]
pub(super) struct Segments {
    folder: PathBuf,
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
    pub(super) fn new(folder: PathBuf) -> Self {
        Segments { folder, newest: None }
    }

    /// Adds whole lines; answers the offset behind them. After an error some of them may be there.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<u64> {
        let mut newest = match self.newest.take() {
            Some(newest) => newest,
            None => find_newest(&self.folder)?,
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
                newest = self.write(newest, chunk)?;
            }
            left = rest;
            if !left.is_empty() {
                newest = Newest { base: newest.base + newest.bytes, bytes: 0, torn: false };
                self.drop_before(newest.base)?;
            }
        }
        self.newest = Some(newest);
        Ok(newest.base + newest.bytes)
    }

    fn write(&self, newest: Newest, chunk: &[u8]) -> io::Result<Newest> {
        let path = self.folder.join(format!("{:020}.{EXTENSION}", newest.base));
        let mut file = match File::options().append(true).create(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(&self.folder)?;
                File::options().append(true).create(true).open(&path)?
            }
            opened => opened?,
        };
        let end: &[u8] = if newest.torn { b"\n" } else { b"" };
        file.write_all(&[end, chunk].concat())?;
        let bytes = newest.bytes + (end.len() + chunk.len()) as u64;
        Ok(Newest { base: newest.base, bytes, torn: false })
    }

    /// Removes what is older than the segment before the one that begins at `base`.
    fn drop_before(&self, base: u64) -> io::Result<()> {
        let older: Vec<u64> = bases(&self.folder)?.into_iter().filter(|older| *older < base).collect();
        for older in older.iter().rev().skip(1) {
            fs::remove_file(self.folder.join(format!("{older:020}.{EXTENSION}")))?;
        }
        Ok(())
    }
}

/// The bytes of the lines that fit into so much room.
fn whole_lines(lines: &[u8], room: usize) -> usize {
    let room = &lines[..lines.len().min(room)];
    room.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)
}

fn first_line(lines: &[u8]) -> usize {
    lines.iter().position(|byte| *byte == b'\n').map_or(lines.len(), |at| at + 1)
}

fn find_newest(folder: &Path) -> io::Result<Newest> {
    let Some(base) = bases(folder)?.pop() else { return Ok(Newest { base: 0, bytes: 0, torn: false }) };
    let mut file = File::open(folder.join(format!("{base:020}.{EXTENSION}")))?;
    let bytes = file.metadata()?.len();
    let mut last = [b'\n'];
    if bytes > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    Ok(Newest { base, bytes, torn: last != *b"\n" })
}

/// The offsets at which segments begin, in order.
fn bases(folder: &Path) -> io::Result<Vec<u64>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut bases = Vec::new();
    for entry in entries {
        let path = PathBuf::from(entry?.file_name());
        if path.extension().is_some_and(|extension| extension == EXTENSION)
            && let Some(base) = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok())
        {
            bases.push(base);
        }
    }
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

/// Reads lines that were written before.
pub(super) fn read(folder: &Path, reading: Reading) -> io::Result<LogPage> {
    let (mut lines, mut end) = (Vec::new(), 0);
    for base in bases(folder)? {
        let bytes = match fs::read(folder.join(format!("{base:020}.{EXTENSION}"))) {
            // The writer has just moved on.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            bytes => bytes?,
        };
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
    use super::*;

    fn line(text: &str) -> Vec<u8> {
        format!("{{\"ms\":1,\"speaker\":\"host\",\"text\":\"{text}\"}}\n").into_bytes()
    }

    fn texts(folder: &Path, reading: Reading) -> Vec<String> {
        read(folder, reading).unwrap().lines.into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn what_was_written_is_read_from_any_place() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(&folder.path().join("none"), Reading::Tail(9)).unwrap().next, "0");
        let mut segments = Segments::new(folder.path().join("f"));
        let after_b = segments.append(&[line("a"), line("b")].concat()).unwrap();
        let end = segments.append(&line("c")).unwrap();
        let folder = folder.path().join("f");
        assert_eq!(texts(&folder, Reading::Tail(2)), ["b", "c"]);
        assert_eq!(texts(&folder, Reading::Tail(0)), [""; 0]);
        assert_eq!(texts(&folder, Reading::After(after_b)), ["c"]);
        assert_eq!(texts(&folder, Reading::After(end)), [""; 0]);
        assert_eq!(texts(&folder, Reading::After(end + 1)), ["a", "b", "c"], "a place of another log");
        assert_eq!(read(&folder, Reading::Tail(0)).unwrap().next, end.to_string());
    }

    #[test]
    fn half_a_line_of_a_killed_process_is_skipped() {
        let folder = tempfile::tempdir().unwrap();
        Segments::new(folder.path().into()).append(&line("a")).unwrap();
        let file = folder.path().join(format!("{:020}.jsonl", 0));
        File::options().append(true).open(&file).unwrap().write_all(b"{\"ms\":1,\"spea").unwrap();
        assert_eq!(texts(folder.path(), Reading::Tail(9)), ["a"]);
        Segments::new(folder.path().into()).append(&line("b")).unwrap();
        assert_eq!(texts(folder.path(), Reading::Tail(9)), ["a", "b"]);
    }

    #[test]
    fn two_segments_are_kept_and_offsets_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let mut segments = Segments::new(folder.path().into());
        let long = "x".repeat(1000);
        let mut end = 0;
        for i in 0..5000 {
            end = segments.append(&line(&format!("{i} {long}"))).unwrap();
        }
        let bases = bases(folder.path()).unwrap();
        assert_eq!(bases.len(), 2);
        for base in &bases {
            let bytes = fs::metadata(folder.path().join(format!("{base:020}.jsonl"))).unwrap().len();
            assert!(bytes <= SEGMENT_BYTES, "{bytes}");
        }
        let page = read(folder.path(), Reading::Tail(usize::MAX)).unwrap();
        assert_eq!(page.next, end.to_string());
        let first: u32 = page.lines[0].text.split(' ').next().unwrap().parse().unwrap();
        assert_eq!(first as usize + page.lines.len(), 5000, "without a gap");
        assert!(page.lines.len() > 1000);
        // A process that comes later goes on at the same place.
        assert!(Segments::new(folder.path().into()).append(&line("z")).unwrap() > end);
    }

    #[test]
    fn a_batch_that_is_larger_than_a_segment_is_spread() {
        let folder = tempfile::tempdir().unwrap();
        let long = "x".repeat(SEGMENT_BYTES as usize);
        let batch = [line("a"), line(&long), line("b")].concat();
        assert_eq!(Segments::new(folder.path().into()).append(&batch).unwrap(), batch.len() as u64);
        assert_eq!(texts(folder.path(), Reading::Tail(9)), [long, "b".to_owned()]);
    }

    #[test]
    fn the_written_form_stays_readable() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = b"{\"ms\":1700000000000,\"task\":3,\"speaker\":\"stderr\",\"text\":\"a \\\"b\\\"\"}\n";
        Segments::new(folder.path().into()).append(bytes).unwrap();
        let line = LogLine { ms: 1_700_000_000_000, task: Some(3), speaker: "stderr".into(), text: "a \"b\"".into() };
        assert_eq!(read(folder.path(), Reading::Tail(1)).unwrap().lines, std::slice::from_ref(&line));
        assert_eq!([serde_json::to_vec(&line).unwrap(), b"\n".to_vec()].concat(), bytes);
    }
}
