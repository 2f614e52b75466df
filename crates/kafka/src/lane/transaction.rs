// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! One transaction.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use fnstream_core::epoch::{OutboxWatermark, TaskId};
use fnstream_core::topic::Topic;
use fnstream_core::watermarks::Said;
use fnstream_core::{Error, ErrorCode, Result, failpoint};
use fnstream_frame::{Frame, RecordRef};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;

use super::{Beginner, INIT_MS, Job, TURNS, Thread, lane_of};
use crate::delta_log::entries;
use crate::error::Failure;
use crate::native::{Producer, Proof};
use crate::place::Shared;
use crate::source::offset_of;

/// How long the client is asked to wait at once.
const STEP_MS: i32 = 100;
/// How long a step may take before the client answers that it may be repeated.
const REPEAT_MS: i32 = 10_000;

/// The end of the transactional id that writes state.
pub(crate) const STATES: &str = "states";

/// How a transaction ended.
pub(super) enum Ended {
    /// All of it is visible; the offset of the last entry that each job has written.
    Committed(Vec<i64>),
    /// It was aborted, and nobody's epoch is to blame.
    Nothing(Error),
    /// It was aborted because of one job: of an output of its epoch, or of its delta or progress.
    Blamed { job: usize, output: Option<u32>, error: Error },
    /// It was aborted: this process is not what it has claimed to be in the group of processes. Nothing happened.
    Unproved(Error),
    /// Another producer of the same id is there; nothing happened.
    Fenced(Error),
    /// It is not known whether all of it is visible or nothing.
    Unknown(Error),
}

/// What a produced record belongs to.
#[derive(Clone, Copy)]
struct Of {
    job: usize,
    /// The index in the epoch's outbox; `None` for an entry of a delta log.
    output: Option<u32>,
}

impl Thread {
    pub(super) fn transact(&mut self, shared: &Arc<Shared>, jobs: &[Job], proof: Option<&Proof>) -> Ended {
        if let Err(e) = self.ready(shared) {
            return if e.code == ErrorCode::Fenced { Ended::Fenced(e) } else { Ended::Nothing(e) };
        }
        self.turn = (self.turn + 1) % self.producers.len();
        failpoint!("kafka.commit.before-begin");
        match self.attempt(shared, jobs, proof) {
            Ok(offsets) => {
                failpoint!("kafka.commit.after-commit");
                Ended::Committed(offsets)
            }
            Err(ended) => ended,
        }
    }

    /// Has producers that may begin transactions: all of the lane's, since any of them may have left one open in an earlier life.
    pub(super) fn ready(&mut self, shared: &Arc<Shared>) -> Result<()> {
        let lane = self.number.map_or_else(|| STATES.to_owned(), |number| number.to_string());
        for (place, name) in self.producers.iter_mut().zip(producers_of(&lane)) {
            if place.is_none() {
                let producer = begin(shared, &shared.options.transactional_id(&name))?;
                *place = Some(Beginner { producer, topics: HashMap::new() });
            }
        }
        Ok(())
    }

    fn attempt(&mut self, shared: &Arc<Shared>, jobs: &[Job], proof: Option<&Proof>) -> Result<Vec<i64>, Ended> {
        self.producer().begin().map_err(|failure| self.failed(&failure, "beginning a transaction"))?;
        let mut of = Vec::new();
        let mut blamed = None;
        for (job, asked) in jobs.iter().enumerate() {
            if let Err((output, error)) = self.produce(shared, job, asked, &mut of) {
                blamed = Some((job, output, error));
                break;
            }
        }
        failpoint!("kafka.commit.after-blob");
        let offsets = match blamed {
            Some((job, output, error)) => Err((job, output, error)),
            None => self.delivered(shared, jobs, &mut of),
        };
        let offsets = match offsets {
            Ok(offsets) => offsets,
            Err((job, output, error)) => {
                self.abort()?;
                // The refused record has left a gap in the producer's numbers, at which its next transaction would fail.
                self.producers[self.turn] = None;
                return Err(match error.code {
                    ErrorCode::Fenced => self.gone(error),
                    ErrorCode::CommitRejected
                    | ErrorCode::InvalidName
                    | ErrorCode::TopicNotFound
                    | ErrorCode::PartitionNotFound => Ended::Blamed { job, output, error },
                    _ => Ended::Nothing(error),
                });
            }
        };
        if let Some(proof) = proof {
            self.prove(shared, jobs, &offsets, proof)?;
        }
        self.send_offsets(shared, jobs)?;
        failpoint!("kafka.commit.after-offsets");
        self.end(shared)?;
        Ok(offsets)
    }

    /// Of the transaction that is under way.
    fn producer(&self) -> &Producer {
        let beginner = self.producers[self.turn].as_ref();
        // `ready` was called, and nothing has dropped it since.
        &beginner.unwrap_or_else(|| unreachable!("a transaction without a producer")).producer
    }

    /// Hands the records of a job over.
    fn produce(
        &mut self,
        shared: &Shared,
        job: usize,
        asked: &Job,
        of: &mut Vec<Of>,
    ) -> Result<(), (Option<u32>, Error)> {
        // Where processes share tasks, each entry says by whose lane the task is committed: see `Shared::fence_predecessor`.
        let lane = match asked {
            Job::Write { task: Some(task), .. } => Some(lane_of(*task, shared.options.lanes.max(1))),
            _ => self.number,
        };
        let writer =
            shared.share().zip(lane).map(|(_, lane)| shared.options.transactional_id(&lane.to_string()).into_bytes());
        let signed = |value| RecordRef::new(value).with_key(writer.as_deref());
        match asked {
            Job::Note { topic, partition, value, .. } => {
                self.send(topic, *partition, &signed(value), Of { job, output: None }, of)?;
            }
            Job::Rejoin(function) => {
                let value = asked.rejoins().unwrap_or_else(|| Ok(Vec::new())).map_err(|e| (None, e))?;
                self.send(&function.log, 0, &signed(&value), Of { job, output: None }, of)?;
            }
            Job::Trim { .. } => {}
            Job::Write { topic, partition, records, entry, .. } => {
                let whose = Of { job, output: None };
                for (key, value) in records {
                    let record = value.as_deref().map_or(RecordRef::null(), RecordRef::new).with_key(Some(key));
                    self.send(topic, *partition, &record, whose, of)?;
                }
                failpoint!("kafka.state.before-marker");
                if let Some((log, entry)) = entry {
                    // Its offset is of another topic.
                    self.send(log, *partition, &signed(entry), Of { output: Some(0), ..whose }, of)?;
                }
            }
            Job::Commit { epoch, .. } => {
                for (index, batch) in (0u32..).zip(&epoch.outbox) {
                    let at = |e| (Some(index), e);
                    let name = shared.name(&batch.topic).map_err(at)?;
                    let frame = Frame::parse(&batch.frame)
                        .map_err(|e| at(Error::new(ErrorCode::Internal, format!("an outbox for {name}: {e}"))))?;
                    for record in frame.iter() {
                        self.send(&name, batch.partition, &record, Of { job, output: Some(index) }, of)?;
                    }
                }
                failpoint!("kafka.commit.after-outputs");
                let function = shared.function(epoch.task.function).map_err(|e| (None, e))?;
                let written = entries(epoch.generation, &epoch.progress, &epoch.delta).map_err(|e| (None, e))?;
                for value in &written {
                    self.send(&function.log, epoch.task.index, &signed(value), Of { job, output: None }, of)?;
                }
            }
        }
        Ok(())
    }

    fn send(
        &mut self,
        topic: &str,
        partition: u32,
        record: &RecordRef<'_>,
        whose: Of,
        of: &mut Vec<Of>,
    ) -> Result<(), (Option<u32>, Error)> {
        let Some(Beginner { producer, topics }) = &mut self.producers[self.turn] else { return Ok(()) };
        if !topics.contains_key(topic) {
            topics.insert(topic.to_owned(), producer.topic(topic).map_err(|e| (whose.output, e))?);
        }
        loop {
            match producer.produce(&topics[topic], partition as i32, record, of.len()) {
                Ok(()) => break,
                // Its queue is full: what was delivered makes room.
                Err(RDKafkaErrorCode::QueueFull) => producer.poll(STEP_MS),
                Err(code) => return Err((whose.output, refused(code, topic, partition))),
            }
        }
        of.push(whose);
        Ok(())
    }

    /// Waits until all is delivered, and then says the watermarks, which hold behind that. Gives the offset of each job's last
    /// entry.
    fn delivered(
        &mut self,
        shared: &Shared,
        jobs: &[Job],
        of: &mut Vec<Of>,
    ) -> Result<Vec<i64>, (usize, Option<u32>, Error)> {
        let mut last = HashMap::new();
        self.await_deliveries(shared, of, &mut last)?;
        let offsets = (0..jobs.len()).map(|job| last.get(&(job, None)).copied().unwrap_or(-1)).collect();
        for (job, asked) in jobs.iter().enumerate() {
            let Job::Commit { epoch, .. } = asked else { continue };
            for emitted in &epoch.watermarks {
                self.know_ends(shared, epoch.task, &emitted.topic).map_err(|e| (job, None, e))?;
            }
        }
        self.note_ends(jobs, &last);
        let mut is_said = false;
        for (job, asked) in jobs.iter().enumerate() {
            let Job::Commit { epoch, .. } = asked else { continue };
            for emitted in &epoch.watermarks {
                let (key, value) = self.say(shared, epoch.task, emitted).map_err(|e| (job, None, e))?;
                let record = RecordRef::new(&value).with_key(Some(&key));
                let whose = Of { job, output: None };
                self.send(&shared.watermarks(), 0, &record, whose, of).map_err(|(output, e)| (job, output, e))?;
                is_said = true;
            }
        }
        if is_said {
            self.await_deliveries(shared, of, &mut last)?;
        }
        Ok(offsets)
    }

    /// Notes where the records of those tasks end that emit watermarks.
    fn note_ends(&mut self, jobs: &[Job], last: &HashMap<(usize, Option<u32>), i64>) {
        for ((job, output), offset) in last {
            let (Some(output), Some(Job::Commit { epoch, .. })) = (output, jobs.get(*job)) else { continue };
            let batch = &epoch.outbox[*output as usize];
            if let Some((ends, _)) = self.ends.get_mut(&(epoch.task, batch.topic.clone())) {
                let end = ends.entry(batch.partition).or_default();
                *end = (*end).max(offset + 1);
            }
        }
    }

    /// Begins to follow where the records of a task end in a topic.
    fn know_ends(&mut self, shared: &Shared, task: TaskId, topic: &Topic) -> Result<()> {
        let of = (task, topic.clone());
        if let Entry::Vacant(unknown) = self.ends.entry(of) {
            // What the task has written before is not known: it is before the present ends.
            let name = shared.name(topic)?;
            let partitions = shared.admin.describe(&name)?.map_or(0, |layout| layout.partitions);
            let end = |partition| Ok((partition, shared.admin.bounds(&name, partition)?.1));
            let ends = (0..partitions).map(end).collect::<Result<BTreeMap<_, _>>>()?;
            unknown.insert((ends, 0));
        }
        Ok(())
    }

    /// The record of a watermark.
    fn say(&mut self, shared: &Shared, task: TaskId, emitted: &OutboxWatermark) -> Result<(Vec<u8>, Vec<u8>)> {
        let of = (task, emitted.topic.clone());
        let (ends, number) = self.ends.entry(of).or_default();
        *number += 1;
        let OutboxWatermark { topic, watermark, idle } = emitted.clone();
        let tasks = shared.function(task.function)?.width();
        Said { task, topic, tasks, watermark, idle, ends: ends.clone() }.encode(*number)
    }

    /// Waits until all records have an answer, or one has failed; notes the last offset of each job's output.
    fn await_deliveries(
        &self,
        shared: &Shared,
        of: &[Of],
        last: &mut HashMap<(usize, Option<u32>), i64>,
    ) -> Result<(), (usize, Option<u32>, Error)> {
        loop {
            let is_done = self.producer().flush(STEP_MS);
            let mut failed: Option<(usize, Option<u32>, Error)> = None;
            for delivery in self.producer().take_deliveries() {
                let Some(whose) = of.get(delivery.token) else { continue };
                match delivery.failed {
                    None => {
                        let end = last.entry((whose.job, whose.output)).or_insert(-1);
                        *end = (*end).max(delivery.offset);
                    }
                    Some(code) => {
                        let error = refused(code, "a topic", 0);
                        // After the first failure the rest fails because of it.
                        let is_own = error.code != ErrorCode::Unavailable;
                        if failed.as_ref().is_none_or(|(.., e)| is_own && e.code == ErrorCode::Unavailable) {
                            failed = Some((whose.job, whose.output, error));
                        }
                    }
                }
            }
            if let Some((job, output, error)) = failed {
                return Err((job, output, self.reason(error)));
            }
            if is_done {
                shared.health.is_well();
                return Ok(());
            }
        }
    }

    /// Why a record failed that was only dropped with its transaction: what is refused is a commit, which says why.
    fn reason(&self, error: Error) -> Error {
        if error.code != ErrorCode::Unavailable {
            return error;
        }
        match self.producer().commit(STEP_MS) {
            Err(failure) if failure.code != RDKafkaErrorCode::Inconsistent => failure.error("a transaction"),
            _ => error,
        }
    }

    /// Moves the offsets of the groups. They are sent whether or not they have changed, so that the groups' owner is checked.
    fn send_offsets(&mut self, shared: &Shared, jobs: &[Job]) -> Result<(), Ended> {
        let mut groups: BTreeMap<String, TopicPartitionList> = BTreeMap::new();
        for job in jobs {
            let Job::Commit { epoch, .. } = job else { continue };
            for (at, position) in &epoch.progress.positions {
                let (Ok(name), Ok(offset)) = (shared.name(&at.topic), offset_of(*position)) else { continue };
                let Some(group) = shared.group_of(epoch.task.function, at) else { continue };
                let list = groups.entry(group).or_default();
                // The last one counts: epochs come in their order.
                let added = match list.find_partition(&name, at.partition as i32) {
                    Some(mut element) => element.set_offset(Offset::Offset(offset)),
                    None => list.add_partition_offset(&name, at.partition as i32, Offset::Offset(offset)),
                };
                debug_assert!(added.is_ok(), "offset {offset}");
            }
        }
        for (group, offsets) in &groups {
            let doing = format!("moving the offsets of group '{group}'");
            let proof = Proof::without_members(group).map_err(|failure| self.failed(&failure, &doing))?;
            self.move_to(&proof, offsets).map_err(|failure| self.failed(&failure, &doing))?;
        }
        Ok(())
    }

    /// Has the coordinator check that this process is a member of the server's group as it is now. The group's offsets say how far the
    /// logs are, for those who look at it.
    fn prove(&mut self, shared: &Shared, jobs: &[Job], offsets: &[i64], proof: &Proof) -> Result<(), Ended> {
        let mut places: BTreeMap<(&str, u32), i64> = BTreeMap::new();
        let functions: Vec<_> = jobs.iter().map(|job| job.function(shared)).collect();
        for ((job, function), offset) in jobs.iter().zip(&functions).zip(offsets) {
            let at = match job {
                Job::Commit { epoch, .. } => function.as_ref().map(|function| (&*function.log, epoch.task.index)),
                Job::Note { topic, partition, .. } | Job::Write { topic, partition, .. } => {
                    Some((&**topic, *partition))
                }
                Job::Rejoin(function) => Some((&*function.log, 0)),
                Job::Trim { .. } => None,
            };
            if let Some(at) = at {
                // Behind the end of the transaction.
                let place = places.entry(at).or_default();
                *place = (*place).max(offset + 2);
            }
        }
        let mut list = TopicPartitionList::with_capacity(places.len());
        for ((topic, partition), offset) in places {
            let added = list.add_partition_offset(topic, partition as i32, Offset::Offset(offset));
            debug_assert!(added.is_ok(), "offset {offset}");
        }
        let Err(failure) = self.move_to(proof, &list) else { return Ok(()) };
        let doing = "proving to be a member of the server group";
        let is_refused = failure.error_code() == ErrorCode::GroupInUse;
        match self.failed(&failure, doing) {
            Ended::Nothing(error) if is_refused => {
                Err(Ended::Unproved(Error::new(ErrorCode::Unavailable, error.message)))
            }
            ended => Err(ended),
        }
    }

    fn move_to(&self, proof: &Proof, offsets: &TopicPartitionList) -> Result<(), Failure> {
        loop {
            match self.producer().send_offsets(proof, offsets, REPEAT_MS) {
                Err(failure) if failure.is_retriable && !failure.requires_abort && !failure.is_fatal => {}
                other => return other,
            }
        }
    }

    /// Commits. Once the coordinator was asked, only its answer tells.
    fn end(&mut self, shared: &Shared) -> Result<(), Ended> {
        loop {
            match self.producer().commit(REPEAT_MS) {
                Ok(()) => {
                    shared.health.is_well();
                    return Ok(());
                }
                Err(failure) if failure.is_fatal => {
                    self.producers[self.turn] = None;
                    return Err(Ended::Unknown(failure.error("committing a transaction")));
                }
                Err(failure) if failure.is_fenced() => return Err(self.failed(&failure, "committing a transaction")),
                Err(failure) if failure.requires_abort => {
                    // An answer that does not say that nothing happened.
                    let error = failure.error("committing a transaction");
                    drop(self.abort());
                    self.producers[self.turn] = None;
                    return Err(Ended::Unknown(error));
                }
                Err(_) => {}
            }
        }
    }

    /// What becomes of a transaction that failed before its commit.
    fn failed(&mut self, failure: &Failure, doing: &str) -> Ended {
        let error = failure.error(doing);
        if failure.is_fatal || failure.is_fenced() {
            return self.gone(error);
        }
        match self.abort() {
            Ok(()) => Ended::Nothing(error),
            Err(ended) => ended,
        }
    }

    /// The producer cannot be used any more. A new one aborts what it has left open. Whoever fences one of a lane fences all.
    fn gone(&mut self, error: Error) -> Ended {
        self.producers[self.turn] = None;
        if error.code != ErrorCode::Fenced {
            return Ended::Nothing(error);
        }
        self.producers.iter_mut().for_each(|place| *place = None);
        Ended::Fenced(error)
    }

    fn abort(&mut self) -> Result<(), Ended> {
        loop {
            match self.producer().abort(REPEAT_MS) {
                Ok(()) => break,
                Err(failure) if failure.is_retriable => {}
                Err(failure) => return Err(self.gone(failure.error("aborting a transaction"))),
            }
        }
        self.producer().flush(STEP_MS);
        self.producer().take_deliveries();
        Ok(())
    }
}

/// The names of a lane's producers, in their transactional ids.
pub(crate) fn producers_of(lane: &str) -> [String; TURNS] {
    [lane.to_owned(), format!("{lane}b")]
}

/// A producer of that transactional id, which has fenced those before it.
fn begin(shared: &Shared, id: &str) -> Result<Producer> {
    let health = shared.health.clone();
    let producer = Producer::new(&shared.options.properties.producing(id), move |failure| health.note(&failure))?;
    if let Err(failure) = producer.init_transactions(INIT_MS) {
        producer.poll(0);
        let doing = format!("beginning to commit as '{id}'");
        let why = shared.health.trouble().filter(|_| failure.passes());
        return Err(why.map_or_else(|| failure.error(&doing), |why| why.context(&doing)));
    }
    shared.health.is_well();
    Ok(producer)
}

fn refused(code: RDKafkaErrorCode, topic: &str, partition: u32) -> Error {
    Failure::of(code).error(format_args!("writing to {topic}-{partition}"))
}
