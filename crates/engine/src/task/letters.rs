// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A task's dead letters: writing them, and reading them back as the records that they were.

use std::sync::Arc;

use bytes::Bytes;
use fnstream_core::batch::{Batch, BatchPositions};
use fnstream_core::broker::{Assignment, PollLimit, Polled, Source, TaskInput};
use fnstream_core::dead_letter::DeadLetter;
use fnstream_core::epoch::TaskId;
use fnstream_core::error::Result;
use fnstream_core::record::{Position, Positions, TopicPartition};
use fnstream_core::runtime::CallFailure;
use fnstream_core::spec::FunctionSpec;
use fnstream_core::waker::Waker;
use fnstream_frame::{FrameBuilder, HeadersBuilder, RecordView};

use crate::engine::EngineCore;
use crate::function::Function;

/// The longest message of an error that a letter keeps.
const MESSAGE_BYTES: usize = 8 << 10;

/// Where the dead letters of a task are, if its function keeps any.
pub(super) fn place(function: &Function, index: u32) -> Result<Option<TopicPartition>> {
    let Some(topic) = function.entry.spec.dead_letter_topic() else { return Ok(None) };
    let partitions = function.engine.deps.broker.partitions(&topic)?;
    Ok(Some(TopicPartition::new(topic, FunctionSpec::dead_letter_partition(index, partitions))))
}

/// Reads letters of one task.
pub(super) struct LetterReader {
    at: TopicPartition,
    source: Box<dyn Source>,
    function: Arc<Function>,
    task: TaskId,
}

/// Some letters of a partition.
pub(super) struct Letters {
    /// As they are in the topic, others' included.
    pub(super) raw: Batch,
    /// The task's own, as the records that they were, at the letters' positions.
    pub(super) records: Batch,
    /// Where reading goes on.
    pub(super) end: Position,
}

impl LetterReader {
    /// Opens the letters at a position, or at the first that retention has left.
    pub(super) fn open(
        function: &Arc<Function>,
        assignment: &Assignment,
        at: &TopicPartition,
        from: Position,
        waker: &Waker,
    ) -> Result<Self> {
        let broker = &function.engine.deps.broker;
        let from = from.max(broker.earliest(at)?);
        let inputs = vec![TaskInput { group: 0, partition: at.clone() }];
        let alone = Assignment { inputs, ..assignment.clone() };
        let source = broker.open_source(&alone, &Positions::from([(at.clone(), from)]), waker.clone())?;
        Ok(LetterReader { at: at.clone(), source, function: function.clone(), task: assignment.task })
    }

    /// The end of the letters' partition.
    pub(super) fn end(&self) -> Position {
        self.source.ends().get(&self.at).copied().unwrap_or_default()
    }

    /// The next letters below `until`; `None` when there are no more.
    pub(super) fn next(&mut self, limit: PollLimit, until: Position) -> Result<Option<Letters>> {
        let raw = loop {
            match self.source.poll(None, limit)? {
                Polled::Batch(raw) => break raw,
                // The topic of one function's letters may be another's output.
                Polled::Watermark { .. } | Polled::Skipped { .. } => {}
                Polled::Pending => return Ok(None),
            }
        };
        let below: Vec<_> = raw.iter().take_while(|(position, _)| *position < until).collect();
        let Some((last, _)) = below.last() else { return Ok(None) };
        let (end, mut frame, mut positions) = (last.next(), FrameBuilder::new(), Vec::new());
        for (position, letter) in below {
            // Functions may share a topic of dead letters, and tasks a partition of it.
            if let Some(info) = self.own(&letter) {
                let headers = DeadLetter::original(letter.headers)?;
                frame.push(RecordView { channel: info.input, headers: headers.as_headers(), ..letter });
                positions.push(position);
            }
        }
        let bytes = Bytes::from(frame.to_bytes());
        let records = Batch::new(self.at.clone(), BatchPositions::Each(positions), bytes)?;
        Ok(Some(Letters { raw, records, end }))
    }

    /// What a record says of itself, when it is a letter of the task.
    fn own(&self, record: &RecordView<'_>) -> Option<DeadLetter> {
        let letter = DeadLetter::read(record.headers)?;
        let spec = &self.function.entry.spec;
        let index = spec.task_of(letter.input, letter.source.partition);
        (letter.function == spec.name && index == self.task.index).then_some(letter)
    }
}

/// The headers of the letter that a record becomes. A letter that died again stays a letter of the record that it was.
pub(super) fn headers(
    function: &Function,
    (from, position, record): (&TopicPartition, Position, &RecordView<'_>),
    is_letter: bool,
    (attempts, failure): (u32, &CallFailure),
) -> Result<HeadersBuilder> {
    let before = is_letter.then(|| DeadLetter::read(record.headers)).flatten();
    let original = DeadLetter::original(record.headers)?;
    let letter = DeadLetter {
        code: failure.error.code.as_str().to_owned(),
        message: bounded(&failure.error.message),
        backtrace: failure.backtrace.clone(),
        function: function.entry.spec.name.clone(),
        revision: function.entry.revision,
        source: before.as_ref().map_or_else(|| from.clone(), |before| before.source.clone()),
        position: before.as_ref().map_or(position, |before| before.position),
        input: before.as_ref().map_or(record.channel, |before| before.input),
        attempts: before.as_ref().map_or(0, |before| before.attempts) + u64::from(attempts),
        failed_at_ms: function.engine.deps.clock.unix_ms(),
    };
    letter.headers(if before.is_some() { original.as_headers() } else { record.headers })
}

fn bounded(message: &str) -> String {
    match message.char_indices().find(|(at, _)| *at >= MESSAGE_BYTES) {
        Some((at, _)) => format!("{} … (cut)", &message[..at]),
        None => message.to_owned(),
    }
}

/// Where a task that never had letters begins to look for them: after those of a former function of its name.
pub(super) fn first_place(
    engine: &EngineCore,
    function: &Arc<Function>,
    assignment: &Assignment,
    known: &Positions,
    waker: &Waker,
) -> Result<Option<(TopicPartition, Position)>> {
    let Some(at) = place(function, assignment.task.index)?.filter(|at| !known.contains_key(at)) else {
        return Ok(None);
    };
    let end = LetterReader::open(function, assignment, &at, engine.deps.broker.earliest(&at)?, waker)?.end();
    Ok(Some((at, end)))
}
