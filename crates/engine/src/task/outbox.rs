// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The records that the open epoch has emitted, by output and partition.

use std::sync::Arc;

use bytes::Bytes;
use fnstream_core::epoch::OutboxBatch;
use fnstream_core::error::{Error, ErrorCode, Result};
use fnstream_core::record::partition_for_key;
use fnstream_frame::{Frame, FrameBuilder, RecordRef};

/// An output of the function.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    pub(crate) topic: Arc<str>,
    pub(crate) partitions: u32,
}

/// Emitted records on their way into a commit.
///
/// A record with a key goes to the partition of its key. One without a key goes to the partition of the task's index, so
/// that the records of a task stay in order.
pub(crate) struct Outbox {
    outputs: Arc<[Output]>,
    task_index: u32,
    /// One builder for each output and partition, by output; made when first used.
    batches: Vec<Vec<FrameBuilder>>,
    records: u64,
    bytes: usize,
}

impl Outbox {
    pub(crate) fn new(outputs: Arc<[Output]>, task_index: u32) -> Self {
        let batches = outputs.iter().map(|_| Vec::new()).collect();
        Outbox { outputs, task_index, batches, records: 0, bytes: 0 }
    }

    /// Records emitted in the open epoch.
    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// Their bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn check_target(&self, target: u32) -> Result<()> {
        if (target as usize) < self.outputs.len() {
            return Ok(());
        }
        let count = self.outputs.len();
        Err(Error::new(
            ErrorCode::UnknownTarget,
            format!("emitted to target {target}, but the function has {count} outputs"),
        ))
    }

    pub(crate) fn push(&mut self, record: RecordRef<'_>) -> Result<()> {
        self.check_target(record.channel)?;
        self.records += 1;
        self.bytes += record.packed_len();
        self.builder(record.channel, record.key).push(record.on(0));
        Ok(())
    }

    /// Takes a whole frame or nothing of it.
    pub(crate) fn push_frame(&mut self, frame: &Frame<'_>) -> Result<()> {
        let Some(first) = frame.iter().next() else { return Ok(()) };
        let mut uniform = true;
        for record in frame.iter() {
            uniform &= record.channel == first.channel;
            if record.channel != first.channel {
                self.check_target(record.channel)?;
            }
        }
        self.check_target(first.channel)?;
        if uniform && self.outputs[first.channel as usize].partitions == 1 {
            self.records += frame.len() as u64;
            self.bytes += frame.packed_len(0..frame.len());
            self.builder(first.channel, None).extend(frame, 0..frame.len(), Some(0));
            return Ok(());
        }
        for record in frame.iter() {
            self.push(record)?;
        }
        Ok(())
    }

    /// Ends the epoch: its records, by output and partition in order.
    pub(crate) fn take(&mut self) -> Vec<OutboxBatch> {
        let mut taken = Vec::new();
        for (output, partitions) in self.outputs.iter().zip(&mut self.batches) {
            for (partition, builder) in partitions.iter_mut().enumerate().filter(|(_, builder)| !builder.is_empty()) {
                taken.push(OutboxBatch {
                    topic: output.topic.clone(),
                    partition: partition as u32,
                    frame: Bytes::from(builder.to_bytes()),
                    records: builder.len() as u32,
                });
                builder.clear();
            }
        }
        self.records = 0;
        self.bytes = 0;
        taken
    }

    fn builder(&mut self, target: u32, key: Option<&[u8]>) -> &mut FrameBuilder {
        let partitions = self.outputs[target as usize].partitions;
        let partition = match key {
            _ if partitions == 1 => 0,
            Some(key) => partition_for_key(key, partitions),
            None => self.task_index % partitions,
        };
        let builders = &mut self.batches[target as usize];
        if builders.is_empty() {
            builders.resize_with(partitions as usize, FrameBuilder::new);
        }
        &mut builders[partition as usize]
    }
}
