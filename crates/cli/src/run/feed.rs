// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! From an input to its topic.
//!
//! A thread reads what has come, makes an event of each line and appends them, without waiting for more. It goes on reading when
//! less than [`MOST_WAITING`] bytes of what it has read are still to be processed: so neither memory nor the folder grows with the
//! input.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::thread;

use fnstream_core::clock::Clock;
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::topics::Topics;
use fnstream_core::{Error, ErrorCode};
use fnstream_engine::FunctionStatus;
use fnstream_frame::{FrameBuilder, HeadersBuilder, RecordRef};
use parking_lot::{Condvar, Mutex};

use super::bell::Bell;
use super::host::{Host, partition};
use super::lines::{Line, Lines};
use super::spec::Described;
use super::{Args, files, named, place, topics};
use crate::event::Read;
use crate::failure::{Failure, Result};
use crate::output;

/// What one read asks for.
const CHUNK_BYTES: usize = 256 << 10;
/// A frame that is larger is appended before more is read.
const FRAME_BYTES: usize = 1 << 20;
/// The bytes of events that wait to be processed above which nothing is read.
const MOST_WAITING: usize = 16 << 20;
/// The largest record that the store takes.
const MOST_RECORD_BYTES: usize = 16 << 20;
/// After how many bytes the log is cut behind what was processed.
pub(super) const CUT_AFTER: usize = 64 << 20;

/// An input that is open.
pub(super) struct Opened {
    at: TopicPartition,
    name: String,
    from: Box<dyn io::Read + Send>,
}

/// Opens what the function's inputs are read from.
pub(super) fn open(described: &Described, args: &Args) -> Result<Vec<Opened>> {
    let (topics, _) = topics(described);
    named("input", &args.inputs, &topics)?;
    let all = described.spec.inputs.iter().flatten();
    let mut opened = Vec::new();
    for (topic, file) in topics.iter().zip(files(&topics, &args.inputs)) {
        let Some(named) = all.clone().find(|named| named.topic.to_string() == *topic) else { continue };
        let (name, from): (_, Box<dyn io::Read + Send>) = match file {
            None => (topic.clone(), Box::new(io::empty())),
            Some(file) if file == "-" => ("standard input".to_owned(), Box::new(io::stdin())),
            Some(file) => {
                let from = File::open(&file);
                let from = from.map_err(|e| Failure::Usage(format!("cannot read '{file}': {e}")))?;
                (format!("'{file}'"), Box::new(from))
            }
        };
        opened.push(Opened { at: partition(named), name, from });
    }
    Ok(opened)
}

/// Begins to read.
pub(super) fn start(host: &Host, inputs: Vec<Opened>, args: &Args, bell: &Bell) -> Result<Vec<Feed>> {
    let start = |Opened { at, name, from }| {
        let taken = host.store.topics().describe(&at.topic)?.partitions[at.partition as usize].end.0;
        let shared = Arc::new(Shared {
            topics: host.store.topics(),
            clock: host.clock.clone(),
            bell: bell.clone(),
            json: args.json_lines,
            at: at.clone(),
            name: name.clone(),
            state: Mutex::new(State { next: taken, ..State::default() }),
            changed: Condvar::new(),
        });
        let (reading, skip) = (shared.clone(), if args.resume { taken } else { 0 });
        thread::Builder::new().name("input".into()).spawn(move || reading.read(from, skip))?;
        Ok(Feed { at, name, shared })
    };
    inputs.into_iter().map(start).collect()
}

/// An input of the function.
pub(super) struct Feed {
    pub(super) at: TopicPartition,
    name: String,
    shared: Arc<Shared>,
}

struct Shared {
    topics: Arc<dyn Topics>,
    clock: Arc<dyn Clock>,
    bell: Bell,
    json: bool,
    at: TopicPartition,
    name: String,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The position of the next event that is appended.
    next: u128,
    /// Appends that are not answered yet.
    in_flight: usize,
    /// What waits to be processed: the position after each frame, and its bytes.
    waiting: VecDeque<(u128, usize)>,
    waiting_bytes: usize,
    /// Up to where events were processed when that was last told.
    processed: u128,
    /// The bytes of what was processed since the log was last cut.
    uncut: usize,
    /// The lines of events: the line of the first of some events that come from lines without one in between that is none.
    lines: VecDeque<(u128, u64)>,
    /// Lines that are no events.
    failed: u64,
    failure: Option<Failure>,
    ended: bool,
    /// Nobody wants more.
    closed: bool,
}

impl Feed {
    /// Takes note of what was processed; an error if no more can be read.
    pub(super) fn go_on(&self, host: &Host, status: &FunctionStatus) -> Result {
        let processed = place(status, &self.at);
        let cut = {
            let mut state = self.shared.state.lock();
            if let Some(failure) = state.failure.take() {
                return Err(failure);
            }
            state.processed(processed);
            let cut = state.uncut >= CUT_AFTER;
            if cut {
                state.uncut = 0;
            }
            cut
        };
        self.shared.changed.notify_all();
        if cut {
            host.store.trim(&self.at, Position(processed))?;
        }
        Ok(())
    }

    /// The position after the last event, when the input has ended and all of it is in the log.
    pub(super) fn end(&self) -> Option<u128> {
        let state = self.shared.state.lock();
        (state.ended && state.in_flight == 0).then_some(state.next)
    }

    /// How many lines were no events.
    pub(super) fn failed(&self) -> u64 {
        self.shared.state.lock().failed
    }

    /// The line that an event comes from, if it was read by this run and not long ago.
    pub(super) fn line(&self, position: u128) -> Option<u64> {
        let state = self.shared.state.lock();
        let after = state.lines.partition_point(|(first, _)| *first <= position);
        let (first, line) = *state.lines.get(after.checked_sub(1)?)?;
        u64::try_from(position - first).ok().map(|further| line + further)
    }

    /// The words for a line.
    pub(super) fn place(&self, line: u64) -> String {
        format!("line {line} of {}", self.name)
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.shared.state.lock().closed = true;
        self.shared.changed.notify_all();
    }
}

impl State {
    fn processed(&mut self, position: u128) {
        // Failures at what was processed before have been told.
        while self.lines.get(1).is_some_and(|(first, _)| *first <= self.processed) {
            self.lines.pop_front();
        }
        self.processed = position;
        while let Some((_, bytes)) = self.waiting.pop_front_if(|(end, _)| *end <= position) {
            self.waiting_bytes -= bytes;
            self.uncut += bytes;
        }
    }

    fn append(&mut self, frame: &Frame) {
        for (index, line) in &frame.lines {
            let first = self.next + *index as u128;
            let follows = self.lines.back().is_some_and(|(at, of)| u128::from(line - of) == first - at);
            if !follows {
                self.lines.push_back((first, *line));
            }
        }
        self.next += frame.records.len() as u128;
        self.waiting.push_back((self.next, frame.records.byte_len()));
        self.waiting_bytes += frame.records.byte_len();
        self.in_flight += 1;
    }
}

/// Events that are appended together.
#[derive(Default)]
struct Frame {
    records: FrameBuilder,
    /// The first of them, and those before which lines were left out, with their lines.
    lines: Vec<(usize, u64)>,
    last: u64,
}

impl Frame {
    fn push(&mut self, record: RecordRef<'_>, line: u64) {
        if self.records.is_empty() || line != self.last + 1 {
            self.lines.push((self.records.len(), line));
        }
        self.last = line;
        self.records.push(record);
    }
}

impl Shared {
    /// Reads an input to its end, past so many events.
    fn read(self: Arc<Self>, mut from: impl io::Read, mut skip: u128) {
        let (mut lines, mut chunk, mut frame) = (Lines::default(), vec![0; CHUNK_BYTES], Frame::default());
        let mut is_end = false;
        while !is_end {
            match from.read(&mut chunk) {
                Ok(0) => is_end = true,
                Ok(count) => lines.push(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => {
                    return self.end_with(Some(Failure::Plain(format!("cannot read {}: {error}", self.name))));
                }
            }
            let now_ms = self.clock.unix_ms();
            while let Some(line) = lines.next(is_end) {
                if !self.take(&line, now_ms, &mut skip, &mut frame) {
                    continue;
                }
                if frame.records.byte_len() >= FRAME_BYTES && !self.append(&mut frame) {
                    return;
                }
            }
            if !self.append(&mut frame) {
                return;
            }
        }
        self.end_with(None);
    }

    fn end_with(&self, failure: Option<Failure>) {
        let mut state = self.state.lock();
        state.ended = true;
        state.failure = state.failure.take().or(failure);
        drop(state);
        self.bell.ring();
    }

    /// Adds a line's event; false if there is none.
    fn take(&self, line: &Line<'_>, now_ms: i64, skip: &mut u128, frame: &mut Frame) -> bool {
        let number = line.number;
        let Some(bytes) = line.bytes else {
            return self.refuse(number, &Error::new(ErrorCode::RecordTooLarge, "the line is too long for an event"));
        };
        if bytes.is_empty() {
            return false;
        }
        let (read, mut headers) = match self.json.then(|| Read::line(bytes)).transpose() {
            Ok(read) => (read, HeadersBuilder::new()),
            Err(why) => return self.refuse(number, &Error::new(ErrorCode::LineInvalid, why)),
        };
        let record = match &read {
            None => Ok(RecordRef::new(bytes).at(now_ms)),
            Some(read) => read.record(now_ms, &mut headers),
        };
        let record = match record {
            Ok(record) if record.packed_len() <= MOST_RECORD_BYTES => record,
            Ok(record) => {
                let message = format!("the event has {} bytes, more than {MOST_RECORD_BYTES}", record.packed_len());
                return self.refuse(number, &Error::new(ErrorCode::RecordTooLarge, message));
            }
            Err(why) => return self.refuse(number, &Error::new(ErrorCode::LineInvalid, why)),
        };
        if *skip > 0 {
            *skip -= 1;
            return false;
        }
        frame.push(record, number);
        true
    }

    /// Tells why a line is no event.
    fn refuse(&self, number: u64, error: &Error) -> bool {
        output::complain(&format!("line {number} of {} is no event: {error}", self.name));
        self.state.lock().failed += 1;
        false
    }

    /// Appends events, once there is room for them; false if nobody wants them.
    fn append(self: &Arc<Self>, frame: &mut Frame) -> bool {
        let frame = std::mem::take(frame);
        {
            let mut state = self.state.lock();
            self.changed.wait_while(&mut state, |state| {
                state.waiting_bytes >= MOST_WAITING && !state.closed && state.failure.is_none()
            });
            if state.closed || state.failure.is_some() {
                return false;
            }
            if frame.records.is_empty() {
                return true;
            }
            state.append(&frame);
        }
        let shared = self.clone();
        let done = Box::new(move |appended: fnstream_core::Result<_>| {
            let mut state = shared.state.lock();
            state.in_flight -= 1;
            if let Err(error) = appended {
                state.failure.get_or_insert(error.into());
            }
            drop(state);
            shared.bell.ring();
        });
        self.topics.append(&self.at.topic, Some(self.at.partition), frame.records.to_bytes().into(), done);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_an_event_is_known_past_lines_that_are_none() {
        let mut state = State { next: 100, ..State::default() };
        for numbers in [&[1, 2, 5][..], &[6, 7], &[9]] {
            let mut frame = Frame::default();
            numbers.iter().for_each(|line| frame.push(RecordRef::new(b"x"), *line));
            state.append(&frame);
        }
        assert_eq!(state.lines, [(100, 1), (102, 5), (105, 9)]);
        let bytes = state.waiting_bytes;
        state.processed(104);
        assert_eq!((state.waiting.len(), state.lines.len()), (2, 3));
        assert!(state.waiting_bytes < bytes && state.uncut > 0);
        state.processed(106);
        assert_eq!((state.lines.front(), state.waiting_bytes), (Some(&(102, 5)), 0));
    }
}
