// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Taking a task over.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use fnstream_core::broker::Assignment;
use fnstream_core::committer::{Acquired, CommitDone, CommitFailure, Replay};
use fnstream_core::epoch::{Epoch, Generation, Progress, TaskId};
use fnstream_core::record::Position;
use fnstream_core::state::Marker;
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_pulsar_client::{Access, Message, Producer, ReceivedMessage};

use super::{Function, Pulsar, Shared};
use crate::delta_log::{Assembly, Commit, Entry, Outbox};
use crate::lane::{Begin, Lane, unknown};
use crate::outputs::Outputs;
use crate::position::{EntryId, entry_of, from_bytes, id_of, position, position_of, to_bytes};
use crate::{error, names, outputs, runtime};

/// So many entries of the end of a log are read first to find what was told last.
const TAIL: [u64; 3] = [30, 300, 3_000];

/// Puts what it finds in an entry in the place of what it has found before.
type Find<'a, T> = dyn FnMut(Position, Bytes, &mut Option<T>) -> Result<()> + 'a;

/// What reading a log gives.
#[derive(Default)]
struct Read {
    progress: Progress,
    end: Option<Position>,
    has_state: bool,
    places: BTreeMap<Epoch, Position>,
    /// Outboxes that may not be published, with the number of the record after theirs.
    tail: VecDeque<(Epoch, Outbox, u64)>,
}

impl Read {
    fn published(&mut self, through: Epoch) {
        while self.tail.pop_front_if(|(epoch, ..)| *epoch <= through).is_some() {}
    }
}

/// Commits that this process had under way when it took the task over from itself.
struct UnderWay(Vec<(Epoch, CommitDone)>);

impl UnderWay {
    /// Says which of them were made: the log does.
    fn decide(&mut self, stands: &Progress, end: Option<Position>) {
        for (epoch, done) in self.0.drain(..) {
            match end.filter(|_| epoch <= stands.epoch) {
                Some(end) => done(Ok(Bytes::copy_from_slice(&to_bytes(end)))),
                None => {
                    let error =
                        Error::new(ErrorCode::Fenced, "the task was taken over anew before the epoch was committed");
                    done(Err(CommitFailure::Fenced(error)));
                }
            }
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.drain(..).for_each(|(_, done)| unknown(done));
    }
}

impl Pulsar {
    pub(super) fn take_over(
        &self,
        assignment: &Assignment,
        applied: Option<&Marker>,
        replay: &mut Replay<'_>,
    ) -> Result<Acquired> {
        let (shared, task) = (&self.shared, assignment.task);
        let taking = shared.owners.lock().entry(task).or_default().taking.clone();
        let _taking = taking.lock();
        shared.check_lease(assignment)?;
        let function = shared.function(task.function)?;
        // What this process has under way itself is there by now, or never.
        let before = shared.owners.lock().entry(task).or_default().lane.take();
        let mut under_way = UnderWay(before.map(|lane| runtime::wait(lane.stop())).unwrap_or_default());
        let topic = names::partition(&function.log, task.index, 1);
        let (log, generation, fence) = runtime::wait(shared.fence(&topic, task))?;
        // A store that has what the log begins with, or more, needs nothing but the log.
        let dropped = runtime::wait(shared.dropped(task))?;
        let place = applied.filter(|applied| applied.epoch > Epoch(0)).and_then(|applied| from_bytes(&applied.log_end));
        let is_enough = match (dropped, place) {
            (None, _) => true,
            (Some(dropped), Some(place)) => entry_of(place) > dropped,
            (Some(_), None) => false,
        };
        let restored = match is_enough {
            true => None,
            false => shared.restore(&names::partition(&function.state, task.index, 1), applied, replay)?,
        };
        let has = restored.as_ref().or(applied.filter(|_| is_enough));
        let from = has.and_then(|has| from_bytes(&has.log_end));
        let has = has.map_or(Epoch(0), |has| has.epoch);
        let mut read = Read { has_state: has > Epoch(0), ..Read::default() };
        let mut assembly = Assembly::default();
        // From the commit on that the store has last: it says where the task stands, if nothing comes after it.
        let replayed = shared.read_log(&topic, from, fence, &mut |at, payload| {
            let entry = Entry::decode(payload)?;
            if let Entry::Published(through) = entry {
                read.published(through);
            }
            let Some(commit) = assembly.take(at, entry)? else { return Ok(()) };
            let Commit { progress, published, delta, outbox, place, .. } = commit;
            read.has_state |= !delta.is_empty();
            read.published(published);
            let epoch = progress.epoch;
            read.places.insert(epoch, place);
            read.tail.push_back((epoch, outbox, progress.records_out));
            (read.progress, read.end) = (progress, Some(place));
            match epoch > has {
                true => replay(Marker { epoch, log_end: Bytes::copy_from_slice(&to_bytes(place)) }, delta),
                false => Ok(()),
            }
        });
        if let Err(error) = replayed {
            runtime::spawn(async move { log.close().await });
            return Err(error);
        }
        let name = Function::internal(&shared.options, function.id, &function.name, &task.index.to_string());
        let name = names::parts(&name).map_or(&*name, |(_, local)| local).to_owned();
        let outputs = Outputs::new(shared.clone(), task, &function, name);
        let published = runtime::wait(async {
            for (_, outbox, next) in &read.tail {
                if let Err(error) = outputs.publish(outbox, *next).await {
                    outputs.begin_anew().await;
                    drop(log.close().await);
                    return Err(error.context("publishing what is committed already"));
                }
            }
            Ok(())
        });
        published?;
        under_way.decide(&read.progress, read.end);
        let log_end = read.end.map_or_else(Bytes::new, |end| Bytes::copy_from_slice(&to_bytes(end)));
        let lane = Lane::start(
            shared,
            Begin {
                task,
                generation,
                log,
                outputs,
                committed: read.progress.epoch,
                log_end: log_end.clone(),
                places: read.places,
            },
        );
        let lane = Arc::new(lane);
        {
            let mut owners = shared.owners.lock();
            let owner = owners.entry(task).or_default();
            // Whoever was assigned it meanwhile takes it over anew.
            if owner.lease <= assignment.lease {
                owner.lane = Some(lane.clone());
                owner.has_state = read.has_state;
            }
        }
        if let Err(stale) = shared.check_lease(assignment) {
            runtime::spawn(async move { lane.stop().await.into_iter().for_each(|(_, done)| unknown(done)) });
            return Err(stale);
        }
        Ok(Acquired { generation, progress: read.progress, log_end })
    }
}

impl Shared {
    fn check_lease(&self, assignment: &Assignment) -> Result<()> {
        let latest = self.owners.lock().get(&assignment.task).map_or(0, |owner| owner.lease);
        if assignment.lease >= latest {
            return Ok(());
        }
        let message = format!("lease {} of task {} is not the latest, {latest}", assignment.lease, assignment.task);
        Err(Error::new(ErrorCode::Fenced, message))
    }

    /// Takes a log over from whoever wrote it. Gives its producer, the generation, and where the log begins that is written from now on.
    pub(crate) async fn fence(&self, topic: &str, task: TaskId) -> Result<(Producer, Generation, Position)> {
        let failed = |e| error::of(format!("taking task {task} over"), &e);
        let make = || self.client.producer(topic).access(Access::ExclusiveWithFencing).create();
        let mut log = make().await.map_err(failed)?;
        if self.options.is_shared {
            // The broker may let two in that come at the same moment, such as one that comes back. Whoever was let in beside the first
            // time is fenced by the second, and kept out: its epoch is over.
            outputs::end(&log).await;
            log = make().await.map_err(failed)?;
        }
        let generation = Generation(log.topic_epoch().unwrap_or(0) + 1);
        let fenced = log.send(Message::new(Entry::Fence.encode())).await;
        match fenced {
            Ok(receipt) => Ok((log, generation, position_of(&receipt.message_id))),
            Err(failure) => {
                drop(log.close().await);
                Err(failed(failure))
            }
        }
    }

    /// The last entry of a task's log that was dropped, or may be at any time.
    async fn dropped(&self, task: TaskId) -> Result<Option<EntryId>> {
        let keeper = self.owners.lock().get(&task).and_then(|owner| owner.keeper.clone());
        let keeper =
            keeper.ok_or_else(|| Error::new(ErrorCode::Fenced, format!("task {task} is not held any more")))?;
        let told = keeper.last_message_id().await;
        let told = told.map_err(|e| error::of(format!("looking at the log of task {task}"), &e))?;
        Ok(told.mark_delete.map(|mark| (mark.ledger, mark.entry)))
    }

    /// What is told last in a log before a position: `each` takes what it finds. So much of the end of the log is read as is needed for
    /// it to find something. Blocks.
    pub(crate) fn told_last<T>(&self, topic: &str, until: Position, each: &mut Find<'_, T>) -> Result<Option<T>> {
        let (ledger, entry) = entry_of(until);
        let spans = TAIL.iter().filter_map(|span| entry.checked_sub(*span));
        for after in spans.map(|entry| Some(position(ledger, entry, 0))).chain([None]) {
            let mut found = None;
            self.read_log(topic, after, until, &mut |at, payload| each(at, payload, &mut found))?;
            if found.is_some() || after.is_none() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Gives what a log has from a position on, or from its beginning, up to another position, exclusive. Blocks.
    pub(crate) fn read_log(
        &self,
        topic: &str,
        from: Option<Position>,
        until: Position,
        each: &mut dyn FnMut(Position, Bytes) -> Result<()>,
    ) -> Result<()> {
        self.read_messages(topic, from, until, &mut |at, message| each(at, message.payload.unwrap_or_default()))
    }

    /// The same, with all that is known of a message.
    pub(crate) fn read_messages(
        &self,
        topic: &str,
        from: Option<Position>,
        until: Position,
        each: &mut dyn FnMut(Position, ReceivedMessage) -> Result<()>,
    ) -> Result<()> {
        let failed = |e| error::of(format!("reading the log '{topic}'"), &e);
        if from.is_some_and(|from| from >= until) {
            return Ok(());
        }
        let mut reader = self.client.reader(topic).force_topic_creation(false);
        if let Some(from) = from {
            reader = reader.from(id_of(from));
        }
        let reader = runtime::wait(reader.open()).map_err(failed)?;
        let mut read = || -> Result<()> {
            loop {
                let message = runtime::wait(reader.next()).map_err(failed)?;
                let at = position_of(&message.id);
                if at < until {
                    each(at, message)?;
                }
                if at.next() >= until {
                    return Ok(());
                }
            }
        };
        let read = read();
        runtime::spawn(async move { reader.close().await });
        read
    }
}
