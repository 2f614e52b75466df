// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Compares what is stored: batches with their partitions, positions with topics, state with progress, functions with artifacts.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use fnstream_core::Result;
use fnstream_core::delta::Delta;
use fnstream_core::epoch::{FunctionId, Progress, TaskId};
use rocksdb::DB;

use super::{Area, PartitionExtent, Report, TaskExtent, Unreadable, each};
use crate::damage::{Concerned, Extent};
use crate::error::corrupt;
use crate::formats::{self, Floor, StoredBatch, TopicDescriptor};
use crate::keys;

/// What the small entries say.
#[derive(Default)]
struct Facts {
    topics: BTreeMap<u32, TopicDescriptor>,
    floors: HashMap<(u32, u32), Floor>,
    cursors: Vec<(u32, u32, String, u64)>,
    progress: BTreeMap<TaskId, Progress>,
    /// The epoch to which the state of a task is applied.
    markers: BTreeMap<TaskId, u64>,
    counters: HashMap<Vec<u8>, u32>,
    /// Whose an id is; kept revisions have ids too.
    names: HashMap<FunctionId, String>,
    /// The functions of the register: a kept revision may stand at a topic that has been made anew since.
    current: HashSet<FunctionId>,
    /// Which function needs which artifact.
    artifacts: Vec<(String, String)>,
    /// The artifacts of kept revisions.
    of_revisions: HashSet<String>,
}

/// What a data folder has, by its small entries.
#[derive(Default)]
pub(crate) struct Needs {
    pub topics: u64,
    pub functions: u64,
    /// The artifacts of the functions and of their kept revisions, in order.
    pub artifacts: Vec<String>,
}

/// Looks what a database has, and which artifacts it needs.
pub(crate) fn needs(db: &DB) -> Result<Needs> {
    let (mut needs, mut artifacts) = (Needs::default(), BTreeSet::new());
    let mut report = Report::default();
    let mut unreadable = read(db, keys::META, &mut report, |key, value| {
        match key.first() {
            Some(b't') => needs.topics += 1,
            Some(b'r') => {
                artifacts.extend(formats::decode_revisions(value)?.into_iter().map(|kept| kept.spec.artifact))
            }
            _ => {}
        }
        Ok(())
    });
    unreadable.extend(read(db, keys::FUNCTIONS, &mut report, |_, value| {
        artifacts.insert(formats::decode_function(value)?.spec.artifact);
        needs.functions += 1;
        Ok(())
    }));
    let problems = report.problems.into_iter().map(|problem| problem.message);
    if let Some(problem) = unreadable.into_iter().map(|(message, _)| message).chain(problems).next() {
        return Err(corrupt(problem));
    }
    needs.artifacts = artifacts.into_iter().collect();
    Ok(needs)
}

/// Reads everything and reports what is wrong.
pub(super) fn check(db: &DB, artifacts: &[String], report: &mut Report) {
    let mut facts = Facts::default();
    let mut unreadable = read(db, keys::META, report, |key, value| facts.small(key, value));
    unreadable.extend(read(db, keys::FUNCTIONS, report, |_, value| facts.function(value)));
    let mut ends: HashMap<(u32, u32), Floor> = facts.floors.clone();
    unreadable.extend(read(db, keys::TOPICS, report, |key, value| facts.batch(key, value, &mut ends)));
    unreadable.extend(read(db, keys::DELTAS, report, |key, value| facts.delta(key, value)));
    unreadable.extend(read(db, keys::STATE, report, |_, _| Ok(())));
    for (message, extent) in unreadable {
        let lies_there = extent.and_then(|extent| facts.lies_in(&extent));
        report.add(
            Area::Database,
            message + &lies_there.map_or(String::new(), |what| format!("; in that file is {what}")),
        );
    }
    for problem in facts.misfits(&ends) {
        report.add(Area::Database, problem);
    }
    for (function, digest) in &facts.artifacts {
        if !artifacts.contains(digest) {
            report.add(Area::Artifact, format!("function '{function}' needs the artifact {digest}, which is missing"));
        }
    }
    let used: HashSet<_> = facts.artifacts.iter().map(|(_, digest)| digest).chain(&facts.of_revisions).collect();
    report.unused_artifacts.extend(artifacts.iter().filter(|digest| !used.contains(digest)).cloned());
    report.functions.extend(facts.artifacts.iter().map(|(function, _)| function.clone()));
    for (id, topic) in &facts.topics {
        report.partitions.extend((0..topic.partitions).map(|partition| PartitionExtent {
            topic: topic.name.clone(),
            partition,
            earliest: facts.floors.get(&(*id, partition)).map_or(0, |floor| floor.position),
            end: ends.get(&(*id, partition)).map_or(0, |end| end.position),
        }));
    }
    report.tasks.extend(facts.progress.iter().filter_map(|(task, progress)| {
        let function = facts.names.get(&task.function)?.clone();
        Some(TaskExtent { function, task: task.index, epoch: progress.epoch.0, records_in: progress.records_in })
    }));
}

fn read(
    db: &DB,
    family: &str,
    report: &mut Report,
    mut visit: impl FnMut(&[u8], &[u8]) -> Result<()>,
) -> Vec<Unreadable> {
    let mut problems = Vec::new();
    let unreadable = each(db, family, |key, value| problems.extend(visit(key, value).err().map(|e| e.message)));
    problems.into_iter().for_each(|problem| report.add(Area::Database, problem));
    unreadable
}

impl Facts {
    /// An entry of [`keys::META`].
    fn small(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let truncated = || corrupt(format_args!("the key '{}' is truncated", key.escape_ascii()));
        let (tag, rest) = key.split_first().ok_or_else(truncated)?;
        let ids = two_numbers(rest);
        match tag {
            b't' => {
                let topic = formats::decode_topic(value)?;
                self.topics.insert(topic.id, topic);
            }
            b'f' => drop(self.floors.insert(ids.ok_or_else(truncated)?, Floor::decode(value)?)),
            b'c' => {
                let (topic, partition) = ids.ok_or_else(truncated)?;
                let (_, group) = keys::cursor_parts(key).ok_or_else(truncated)?;
                self.cursors.push((topic, partition, group.to_owned(), formats::decode_cursor(value)?));
            }
            b'g' => {
                let (topic, partition) = ids.ok_or_else(truncated)?;
                let (_, group) = keys::cursor_parts(key).ok_or_else(truncated)?;
                let acknowledged = formats::decode_acknowledged(value)?;
                let last = acknowledged.acked.last().map_or(acknowledged.committed, |(_, end)| *end);
                self.cursors.push((topic, partition, group.to_owned(), last.0 as u64));
            }
            b'p' => {
                let (_, progress) = formats::decode_progress(value)?;
                self.progress.insert(task(ids.ok_or_else(truncated)?), progress);
            }
            b'm' => {
                let marker = formats::decode_marker(value)?;
                // State of a function that commits in another cluster: how far it is, is known there.
                if !marker.log_end.is_empty() {
                    return Ok(());
                }
                self.markers.insert(task(ids.ok_or_else(truncated)?), marker.epoch.0);
            }
            b'i' => drop(formats::decode_unfinished(value)?),
            b'n' => drop(self.counters.insert(key.to_vec(), formats::decode_counter(value)?)),
            b'r' => {
                for revision in formats::decode_revisions(value)? {
                    if let Some(id) = revision.state {
                        self.names.insert(id, format!("{}, revision {}", revision.spec.name, revision.revision));
                    }
                    self.of_revisions.insert(revision.spec.artifact);
                }
            }
            b's' => drop(formats::decode_producer(value)?),
            b'w' => drop(formats::decode_watermark(value)?),
            b'W' => drop(formats::decode_writer(value)?),
            // Whoever wrote a note knows what is in it.
            b'j' | b'u' | b'z' => {}
            _ => return Err(corrupt(format_args!("the key '{}' is not known", key.escape_ascii()))),
        }
        Ok(())
    }

    fn function(&mut self, value: &[u8]) -> Result<()> {
        let entry = formats::decode_function(value)?;
        self.artifacts.push((entry.spec.name.clone(), entry.spec.artifact.clone()));
        self.current.insert(entry.id);
        self.names.insert(entry.id, entry.spec.name);
        Ok(())
    }

    fn batch(&self, key: &[u8], value: &[u8], ends: &mut HashMap<(u32, u32), Floor>) -> Result<()> {
        let ids = two_numbers(key);
        let (Some(ids), Some(base)) = (ids, keys::batch_base(key)) else {
            return Err(corrupt("a key of the log is truncated"));
        };
        // What a topic that was deleted leaves until it is compacted away does not matter.
        let Some(topic) = self.topics.get(&ids.0) else {
            return Ok(());
        };
        let place = format!("topic '{}', partition {}", topic.name, ids.1);
        let stored = StoredBatch::decode(value).map_err(|e| e.context(format_args!("{place}, position {base}")))?;
        let after = Floor {
            position: base + stored.frame.len() as u64,
            bytes_before: stored.bytes_before + stored.bytes.len() as u64,
        };
        let end = ends.entry(ids).or_default();
        // Retention may leave some below the floor for a while.
        if after.position <= end.position && self.floors.get(&ids).is_some_and(|floor| after.position <= floor.position)
        {
            return Ok(());
        }
        let before = std::mem::replace(end, after);
        if base != before.position {
            return Err(corrupt(format_args!("{place}: records {} to {base} are missing", before.position)));
        }
        if stored.bytes_before != before.bytes_before {
            return Err(corrupt(format_args!("{place}: the sizes before position {base} do not add up")));
        }
        Ok(())
    }

    fn delta(&self, key: &[u8], value: &[u8]) -> Result<()> {
        let (Some(ids), Some(epoch)) = (two_numbers(key), keys::delta_epoch(key)) else {
            return Err(corrupt("the key of a delta is truncated"));
        };
        let place = format!("the state changes of {} in epoch {}", self.name(task(ids)), epoch.0);
        Delta::decode(value).map_err(|e| e.context(&place))?;
        match self.progress.get(&task(ids)) {
            Some(progress) if progress.epoch >= epoch => Ok(()),
            _ => Err(corrupt(format_args!("{place} are there, and its commit is not"))),
        }
    }

    fn misfits(&self, ends: &HashMap<(u32, u32), Floor>) -> Vec<String> {
        let mut problems = Vec::new();
        let end = |topic: u32, partition| ends.get(&(topic, partition)).map_or(0, |end| end.position);
        let ids: HashMap<&str, u32> = self.topics.values().map(|topic| (topic.name.as_str(), topic.id)).collect();
        for (topic, partition, group, position) in &self.cursors {
            let Some(descriptor) = self.topics.get(topic) else { continue };
            if *position > end(*topic, *partition) {
                let (name, end) = (&descriptor.name, end(*topic, *partition));
                problems
                    .push(format!("group '{group}' is at position {position} of topic '{name}', which ends at {end}"));
            }
        }
        for (id, progress) in self.progress.iter().filter(|(id, _)| self.current.contains(&id.function)) {
            for (at, position) in &progress.positions {
                let topic = ids.get(&*at.topic.name).filter(|_| at.topic.cluster.is_own());
                let Some(topic) = topic else { continue };
                if position.0 > u128::from(end(*topic, at.partition)) {
                    let (name, end) = (self.name(*id), end(*topic, at.partition));
                    problems.push(format!("{name} is at position {} of {at}, which ends at {end}", position.0));
                }
            }
        }
        for (id, applied) in &self.markers {
            let committed = self.progress.get(id).map_or(0, |progress| progress.epoch.0);
            if *applied > committed {
                let name = self.name(*id);
                problems.push(format!("the state of {name} is of epoch {applied}, and it has committed {committed}"));
            }
        }
        for (counter, what, last) in [
            (keys::NEXT_TOPIC, "topic", self.topics.keys().max().copied()),
            (keys::NEXT_FUNCTION, "function", self.names.keys().map(|id| id.0).max()),
        ] {
            let next = self.counters.get(counter).copied().unwrap_or(1);
            if last.is_some_and(|last| last >= next) {
                problems.push(format!("the number of the next {what} is {next}, which is taken"));
            }
        }
        problems
    }

    /// What has keys in the range of a file, as far as that is known.
    fn lies_in(&self, extent: &Extent) -> Option<String> {
        let list = |what: &str, names: Vec<String>| (!names.is_empty()).then(|| format!("{what} {}", names.join(", ")));
        match extent.concerned() {
            Concerned::All => None,
            Concerned::Functions(ids) => {
                let ids = FunctionId(*ids.start())..=FunctionId(*ids.end());
                let names = self.names.iter().filter(|(id, _)| ids.contains(id));
                let names: BTreeSet<_> = names.map(|(_, name)| format!("'{name}'")).collect();
                list("the state of", names.into_iter().collect())
            }
            Concerned::Topics(ids) => {
                let partition = |key: &[u8]| two_numbers(key).map(|(_, partition)| partition);
                let names = self.topics.range(ids.clone()).map(|(id, topic)| {
                    let first = partition(&extent.first).filter(|_| id == ids.start()).unwrap_or(0);
                    let last = partition(&extent.last).filter(|_| id == ids.end()).unwrap_or(topic.partitions - 1);
                    format!("'{}' (partitions {first} to {last})", topic.name)
                });
                list("topic", names.collect())
            }
        }
    }

    fn name(&self, task: TaskId) -> String {
        match self.names.get(&task.function) {
            Some(name) => format!("function '{name}', task {}", task.index),
            None => format!("task {task}"),
        }
    }
}

fn task((function, index): (u32, u32)) -> TaskId {
    TaskId::new(FunctionId(function), index)
}

fn two_numbers(bytes: &[u8]) -> Option<(u32, u32)> {
    let (first, rest) = bytes.split_first_chunk()?;
    Some((u32::from_be_bytes(*first), u32::from_be_bytes(*rest.first_chunk()?)))
}
