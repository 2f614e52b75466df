// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A task's dead letters: writing them, and reading them back as the records that they were.

use std::sync::Arc;

use bytes::Bytes;
use fnstream_core::batch::{Batch, BatchPositions};
use fnstream_core::broker::{Assignment, PollLimit, Polled, Source, TaskInput};
use fnstream_core::dead_letter::DeadLetter;
use fnstream_core::epoch::TaskId;
use fnstream_core::error::{Error, ErrorCode, Result};
use fnstream_core::record::{Position, Positions, TopicPartition};
use fnstream_core::runtime::CallFailure;
use fnstream_core::spec::FunctionSpec;
use fnstream_core::waker::Waker;
use fnstream_frame::{FrameBuilder, HeadersBuilder, RecordView};

use super::env::TaskEnv;

/// The longest message of an error that a dead letter keeps.
const MESSAGE_BYTES: usize = 8 << 10;

/// The partition with the dead letters of a task, if its function keeps any.
pub(super) fn partition(env: &TaskEnv, index: u32) -> Result<Option<TopicPartition>> {
    let Some(topic) = env.spec().dead_letter_topic() else { return Ok(None) };
    let partitions = env.backend.broker.partitions(&topic)?;
    Ok(Some(TopicPartition::new(topic, FunctionSpec::dead_letter_partition(index, partitions))))
}

/// Reads dead letters of one task.
pub(super) struct DeadLetterReader {
    at: TopicPartition,
    source: Box<dyn Source>,
    /// The position at which reading goes on.
    position: Position,
    env: Arc<TaskEnv>,
    task: TaskId,
}

/// The answer of a [`DeadLetterReader`].
#[expect(clippy::large_enum_variant, reason = "one is made for each batch, and taken apart at once")]
pub(super) enum Read {
    /// Some dead letters.
    Some(DeadLetters),
    /// There are more, but not yet: the waker is called when there are.
    Pending,
    /// There are no more up to the place that was asked for.
    End,
}

/// Some dead letters of a partition.
pub(super) struct DeadLetters {
    /// As they are in the topic, others' included.
    pub(super) raw: Batch,
    /// The task's own, as the records that they were, at the positions of the dead letters.
    pub(super) records: Batch,
    /// The position at which reading goes on.
    pub(super) end: Position,
}

impl DeadLetterReader {
    /// Opens the dead letters at a position, or at the first that retention has left.
    pub(super) fn open(
        env: &Arc<TaskEnv>,
        assignment: &Assignment,
        at: &TopicPartition,
        from: Position,
        waker: &Waker,
    ) -> Result<Self> {
        let broker = &env.backend.broker;
        let position = from.max(broker.earliest(at)?);
        let inputs = vec![TaskInput { group: 0, partition: at.clone() }];
        let alone = Assignment { inputs, ..assignment.clone() };
        let source = broker.open_source(&alone, &Positions::from([(at.clone(), position)]), waker.clone())?;
        Ok(DeadLetterReader { at: at.clone(), source, position, env: env.clone(), task: assignment.task })
    }

    /// The end of the partition, once it is known.
    pub(super) fn end(&self) -> Option<Position> {
        self.source.ends().get(&self.at).copied()
    }

    /// Why nothing of it can be read at present.
    pub(super) fn trouble(&self) -> Option<Error> {
        self.source.trouble()
    }

    /// The next dead letters below `until`, of those that retention has left.
    pub(super) fn next(&mut self, limit: PollLimit, until: Position) -> Result<Read> {
        while self.position < until {
            let polled = match self.source.poll(None, limit) {
                Err(error) if error.code == ErrorCode::PositionDropped => {
                    self.pass_over_dropped(error)?;
                    continue;
                }
                polled => polled?,
            };
            match polled {
                Polled::Batch(raw) => {
                    self.position = raw.end().unwrap_or(self.position);
                    return self.own(raw, until);
                }
                // The topic of one function's dead letters may be another's output.
                Polled::Watermark { .. } => {}
                Polled::Skipped { to, .. } => self.position = to,
                Polled::Pending => return Ok(Read::Pending),
            }
        }
        Ok(Read::End)
    }

    /// Goes on at the first that retention has left; with the error when there is none behind the place.
    fn pass_over_dropped(&mut self, error: Error) -> Result<()> {
        let earliest = self.env.backend.broker.earliest(&self.at)?;
        if earliest <= self.position {
            return Err(error);
        }
        self.position = earliest;
        self.source.seek(&Positions::from([(self.at.clone(), earliest)]))
    }

    /// The task's own dead letters below `until`. Functions may share a topic of dead letters, and tasks a partition of it.
    fn own(&self, raw: Batch, until: Position) -> Result<Read> {
        let below: Vec<_> = raw.iter().take_while(|(position, _)| *position < until).collect();
        let Some((last, _)) = below.last() else { return Ok(Read::End) };
        let (end, mut frame, mut positions) = (last.next(), FrameBuilder::new(), Vec::new());
        for (position, record) in below {
            if let Some(info) = self.info(&record) {
                let headers = DeadLetter::original(record.headers)?;
                frame.push(RecordView { channel: info.input, headers: headers.as_headers(), ..record });
                positions.push(position);
            }
        }
        let bytes = Bytes::from(frame.to_bytes());
        let records = Batch::new(self.at.clone(), BatchPositions::Each(positions), bytes)?;
        Ok(Read::Some(DeadLetters { raw, records, end }))
    }

    /// The description that a record carries, if it is a dead letter of the task.
    fn info(&self, record: &RecordView<'_>) -> Option<DeadLetter> {
        let info = DeadLetter::read(record.headers)?;
        let spec = self.env.spec();
        let is_own = info.function == spec.name && spec.task_of(info.input, info.source.partition) == self.task.index;
        is_own.then_some(info)
    }
}

/// The headers of the dead letter that a record becomes. One that died again stays a dead letter of the record that it was.
pub(super) fn headers(
    env: &TaskEnv,
    (from, position, record): (&TopicPartition, Position, &RecordView<'_>),
    is_dead_letter: bool,
    (attempts, failure): (u32, &CallFailure),
) -> Result<HeadersBuilder> {
    let before = is_dead_letter.then(|| DeadLetter::read(record.headers)).flatten();
    let original = DeadLetter::original(record.headers)?;
    let info = DeadLetter {
        code: failure.error.code.as_str().to_owned(),
        message: bounded(&failure.error.message),
        backtrace: failure.backtrace.clone(),
        function: env.spec().name.clone(),
        revision: env.entry.revision,
        source: before.as_ref().map_or_else(|| from.clone(), |before| before.source.clone()),
        position: before.as_ref().map_or(position, |before| before.position),
        input: before.as_ref().map_or(record.channel, |before| before.input),
        attempts: before.as_ref().map_or(0, |before| before.attempts).saturating_add(attempts.into()),
        failed_at_ms: env.core.deps.clock.unix_ms(),
    };
    info.headers(if before.is_some() { original.as_headers() } else { record.headers })
}

fn bounded(message: &str) -> String {
    match message.char_indices().find(|(at, _)| *at >= MESSAGE_BYTES) {
        Some((at, _)) => format!("{} … (cut)", &message[..at]),
        None => message.to_owned(),
    }
}
