// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The records that the open epoch has emitted, by output and partition.

use std::sync::Arc;

use bytes::Bytes;
use fnstream_core::broker::Broker;
use fnstream_core::epoch::{OutboxBatch, OutboxWatermark};
use fnstream_core::error::{Error, ErrorCode, Result, internal};
use fnstream_core::record::partition_for_key;
use fnstream_core::topic::Topic;
use fnstream_core::units::counted;
use fnstream_frame::{Frame, FrameBuilder, RecordRef};

/// An output of the function.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    pub(crate) topic: Topic,
    pub(crate) partitions: u32,
    /// The most bytes of a packed record that the topic takes, if that is known.
    pub(crate) max_record_bytes: Option<usize>,
    /// The only partition that is written, if the description names one.
    pub(crate) only: Option<u32>,
}

impl Output {
    /// A topic as the broker has it. A partition that is named has to be there.
    pub(crate) fn of(broker: &dyn Broker, topic: &Topic, only: Option<u32>) -> Result<Output> {
        let (partitions, max_record_bytes) = (broker.partitions(topic)?, broker.max_record_bytes(topic));
        if let Some(only) = only.filter(|only| *only >= partitions) {
            let message = format!("output '{topic}' has {partitions} partitions, and none of the number {only}");
            return Err(Error::new(ErrorCode::PartitionNotFound, message));
        }
        Ok(Output { topic: topic.clone(), partitions, max_record_bytes, only })
    }
}

/// Emitted records on their way into a commit.
///
/// A record with a key goes to the partition of its key. One without a key goes to the partition of the task's index, so
/// that the records of a task stay in order. Dead letters always do, for the same reason. An output may name the only partition.
pub(crate) struct Outbox {
    /// The function's outputs, then the topic of its dead letters, if it has one.
    outputs: Arc<[Output]>,
    /// The number of those that the function can emit to.
    targets: usize,
    task_index: u32,
    /// One builder for each output and partition, by output; made when first used.
    batches: Vec<Vec<FrameBuilder>>,
    /// The watermark of each output that was emitted in the open epoch; 0 = none.
    watermarks: Vec<u64>,
    records: u64,
    dead_letters: u64,
    bytes: usize,
    /// Those of the dead letters.
    dead_letter_bytes: usize,
}

impl Outbox {
    pub(crate) fn new(mut outputs: Vec<Output>, dead_letters: Option<Output>, task_index: u32) -> Self {
        let targets = outputs.len();
        outputs.extend(dead_letters);
        let batches = outputs.iter().map(|_| Vec::new()).collect();
        let watermarks = vec![0; targets];
        Outbox {
            outputs: outputs.into(),
            targets,
            task_index,
            batches,
            watermarks,
            records: 0,
            dead_letters: 0,
            bytes: 0,
            dead_letter_bytes: 0,
        }
    }

    /// Records that the function has emitted in the open epoch.
    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// All records that are to be committed, dead letters included.
    pub(crate) fn all_records(&self) -> u64 {
        self.records + self.dead_letters
    }

    /// Reports whether nothing is to be committed.
    pub(crate) fn is_empty(&self) -> bool {
        self.all_records() == 0 && self.watermarks.iter().all(|watermark| *watermark == 0)
    }

    /// The bytes of all that is to be committed.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn check_target(&self, target: u32) -> Result<()> {
        if (target as usize) < self.targets {
            return Ok(());
        }
        let count = counted(self.targets, "output");
        Err(Error::new(ErrorCode::UnknownTarget, format!("emitted to target {target}, but the function has {count}")))
    }

    /// Checks that the topic of a target that was checked takes a record of so many packed bytes.
    pub(crate) fn check_size(&self, target: u32, bytes: usize) -> Result<()> {
        let output = &self.outputs[target as usize];
        match output.max_record_bytes {
            Some(most) if bytes > most => Err(Error::new(
                ErrorCode::OutputTooLarge,
                format!("emitted a record of {bytes} bytes, output '{}' takes {most}", output.topic),
            )),
            _ => Ok(()),
        }
    }

    /// The same for all records of a frame, of so many packed bytes together, whose targets were checked.
    pub(crate) fn check_sizes(&self, frame: &Frame<'_>, bytes: usize) -> Result<()> {
        let targets = &self.outputs[..self.targets];
        // Most frames are smaller than one record may be: then none of theirs is too large.
        if targets.iter().all(|output| output.max_record_bytes.is_none_or(|most| bytes <= most)) {
            return Ok(());
        }
        frame.iter().try_for_each(|record| self.check_size(record.channel, record.packed_len()))
    }

    /// Checks the targets of all records of a frame; answers the target when it is the same for all.
    pub(crate) fn check_targets(&self, frame: &Frame<'_>) -> Result<Option<u32>> {
        if frame.is_empty() {
            return Ok(None);
        }
        let first = frame.channel(0);
        self.check_target(first)?;
        let mut uniform = true;
        for channel in (1..frame.len()).map(|index| frame.channel(index)) {
            if channel != first {
                uniform = false;
                self.check_target(channel)?;
            }
        }
        Ok(uniform.then_some(first))
    }

    /// Takes a record whose target was checked.
    pub(crate) fn push(&mut self, record: RecordRef<'_>) {
        self.records += 1;
        self.bytes += record.packed_len();
        self.builder(record.channel, record.key).push(record.on(0));
    }

    /// Takes a frame whose targets were checked, and what came of that.
    pub(crate) fn push_frame(&mut self, frame: &Frame<'_>, uniform: Option<u32>) {
        if let Some(target) = uniform
            && self.outputs[target as usize].partitions == 1
        {
            self.records += frame.len() as u64;
            self.bytes += frame.packed_len(0..frame.len());
            self.builder(target, None).extend(frame, 0..frame.len(), Some(0));
            return;
        }
        for record in frame.iter() {
            self.push(record);
        }
    }

    /// Takes a dead letter; `Err` when the function has no topic for them.
    pub(crate) fn push_dead_letter(&mut self, dead_letter: RecordRef<'_>) -> Result<()> {
        if self.outputs.len() == self.targets {
            return Err(internal("a dead letter of a function that keeps none"));
        }
        self.dead_letters += 1;
        self.bytes += dead_letter.packed_len();
        self.dead_letter_bytes += dead_letter.packed_len();
        self.builder(self.targets as u32, None).push(dead_letter.on(0));
        Ok(())
    }

    /// Takes a watermark for an output that was checked; one that is lower than another of the epoch says nothing.
    pub(crate) fn push_watermark(&mut self, target: u32, watermark: u64) {
        let known = &mut self.watermarks[target as usize];
        *known = watermark.max(*known);
    }

    /// Ends the epoch, together with [`Outbox::take`]: the watermarks that were emitted in it, and to all outputs whether the
    /// task is `idle` when that is `news`.
    pub(crate) fn take_watermarks(&mut self, idle: bool, news: bool) -> Vec<OutboxWatermark> {
        let outputs = self.outputs.iter().zip(&mut self.watermarks);
        let said = outputs.map(|(output, watermark)| (output, std::mem::take(watermark)));
        let said = said.filter(|(_, watermark)| news || *watermark > 0);
        said.map(|(output, watermark)| OutboxWatermark { topic: output.topic.clone(), watermark, idle }).collect()
    }

    /// Forgets what was emitted.
    pub(crate) fn clear(&mut self) {
        self.watermarks.fill(0);
        self.batches.iter_mut().flatten().for_each(FrameBuilder::clear);
        self.count_nothing();
    }

    /// Forgets what the function emitted; dead letters stay.
    pub(crate) fn clear_emitted(&mut self) {
        self.watermarks.fill(0);
        self.batches[..self.targets].iter_mut().flatten().for_each(FrameBuilder::clear);
        (self.records, self.bytes) = (0, self.dead_letter_bytes);
    }

    /// Gives back the memory that it keeps for records to come, if there are none.
    pub(crate) fn shrink(&mut self) {
        if self.all_records() == 0 {
            self.batches.iter_mut().for_each(|builders| *builders = Vec::new());
        }
    }

    fn count_nothing(&mut self) {
        (self.records, self.dead_letters, self.bytes, self.dead_letter_bytes) = (0, 0, 0, 0);
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
        self.count_nothing();
        taken
    }

    fn builder(&mut self, target: u32, key: Option<&[u8]>) -> &mut FrameBuilder {
        let Output { partitions, only, .. } = self.outputs[target as usize];
        let partition = match (only, key) {
            (Some(only), _) => only,
            _ if partitions == 1 => 0,
            (None, Some(key)) => partition_for_key(key, partitions),
            (None, None) => self.task_index % partitions,
        };
        let builders = &mut self.batches[target as usize];
        if builders.is_empty() {
            builders.resize_with(partitions as usize, FrameBuilder::new);
        }
        &mut builders[partition as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox() -> Outbox {
        let output =
            |name: &str| Output { topic: Topic::from(name), partitions: 1, max_record_bytes: None, only: None };
        Outbox::new(vec![output("out")], Some(output("f.dlq")), 0)
    }

    fn taken(outbox: &mut Outbox) -> Vec<(String, u32)> {
        outbox.take().into_iter().map(|batch| (batch.topic.name.to_string(), batch.records)).collect()
    }

    #[test]
    fn an_output_with_a_partition_writes_that_one_alone() {
        let output = Output { topic: Topic::from("out"), partitions: 4, max_record_bytes: None, only: Some(2) };
        let mut outbox = Outbox::new(vec![output], None, 1);
        for key in [None, Some(&b"a"[..]), Some(b"b"), Some(b"c"), Some(b"d")] {
            outbox.push(RecordRef::new(b"x").with_key(key));
        }
        let taken: Vec<_> = outbox.take().into_iter().map(|batch| (batch.partition, batch.records)).collect();
        assert_eq!(taken, [(2, 5)]);
    }

    #[test]
    fn dead_letters_stay_when_what_was_emitted_is_dropped() {
        let mut outbox = outbox();
        outbox.push(RecordRef::new(b"good"));
        outbox.push_dead_letter(RecordRef::new(b"bad")).expect("it has a topic for them");
        let letter = RecordRef::new(b"bad").packed_len();
        assert!(outbox.bytes() > letter);
        outbox.push_watermark(0, 7);
        outbox.clear_emitted();
        assert_eq!((outbox.records(), outbox.all_records(), outbox.bytes()), (0, 1, letter));
        assert!(outbox.take_watermarks(false, false).is_empty());
        assert_eq!(taken(&mut outbox), [("f.dlq".to_owned(), 1)]);
        assert_eq!((outbox.bytes(), outbox.is_empty()), (0, true));
    }

    #[test]
    fn an_outbox_keeps_memory_for_the_next_epoch_until_it_shrinks() {
        let mut outbox = outbox();
        outbox.push(RecordRef::new(&[0; 1000]));
        outbox.shrink();
        assert_eq!(taken(&mut outbox), [("out".to_owned(), 1)]);
        assert_eq!(outbox.batches[0].len(), 1);
        outbox.shrink();
        assert!(outbox.batches.iter().all(Vec::is_empty));
    }
}
