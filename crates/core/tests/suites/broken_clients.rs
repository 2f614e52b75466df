// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Topics and groups of consumers that are broken on purpose.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fnstream_core::batch::Batch;
use fnstream_core::broker::PollLimit;
use fnstream_core::groups::{Claim, GroupPlace, Groups, Taking};
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::test_util::mem_broker::{MemBroker, MemGroups};
use fnstream_core::test_util::suites::groups::{self, GroupsHarness};
use fnstream_core::test_util::suites::topics::{self, TopicsHarness};
use fnstream_core::topic::Topic;
use fnstream_core::topics::{Ahead, AppendDone, Retention, TopicChange, TopicInfo, Topics, Watch};
use fnstream_core::waker::Waker;
use fnstream_core::{ErrorCode, Result};
use fnstream_frame::{Frame, FrameBuilder};
use parking_lot::Mutex;

use crate::mem_clients::MemCluster;
use crate::rejects;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    MakesTwice,
    ListsBackwards,
    AlwaysGivesTheFirstPage,
    InventsTopics,
    TakesAnyNumber,
    ResetsWhatIsNotNamed,
    Shrinks,
    ForgetsKeys,
    IgnoresKeys,
    SpreadsKeyless,
    IgnoresThePartition,
    ReadsOneRecordTooMany,
    IgnoresTheLimit,
    JumpsSilently,
    WakesOnce,
    WakesNobodyAtADeletion,
    KeepsWhatIsDeleted,
    WakesTheDropped,
    SubtractsPositions,
    ForgetsOnRestart,
    BeginsAtTheEnd,
    GivesTwice,
    ClaimsNothing,
    WakesNobody,
    LosesWhatIsPutBack,
    PutsBackWhatIsAccepted,
    MovesItsPlaceLate,
    KeepsClaimsOfTheDead,
    HidesWhatWasDropped,
    TakesFromTheLastPartition,
    ListsNoPlaces,
}

const TOPIC_FAULTS: [(Fault, &str); 20] = [
    (Fault::AlwaysGivesTheFirstPage, "a_page_begins_behind_a_topic"),
    (Fault::MakesTwice, "a_topic_is_made_once"),
    (Fault::ListsBackwards, "topics_are_listed_by_name"),
    (Fault::InventsTopics, "what_is_not_there_is_not_found"),
    (Fault::TakesAnyNumber, "a_topic_has_a_possible_number_of_partitions"),
    (Fault::ResetsWhatIsNotNamed, "a_change_of_a_topic_leaves_what_it_does_not_name"),
    (Fault::Shrinks, "partitions_are_added_and_never_removed"),
    (Fault::ForgetsKeys, "records_are_read_as_they_were_appended"),
    (Fault::IgnoresKeys, "keyed_records_go_to_the_partition_of_their_key"),
    (Fault::SpreadsKeyless, "keyless_records_of_one_call_stay_together"),
    (Fault::IgnoresThePartition, "a_named_partition_gets_everything"),
    (Fault::ReadsOneRecordTooMany, "reading_begins_anywhere_and_keeps_to_its_limit"),
    (Fault::IgnoresTheLimit, "reading_begins_anywhere_and_keeps_to_its_limit"),
    (Fault::JumpsSilently, "a_place_without_records_is_no_silent_jump"),
    (Fault::WakesOnce, "every_append_wakes_every_watcher"),
    (Fault::WakesNobodyAtADeletion, "a_deletion_takes_everything_and_wakes_who_waits"),
    (Fault::KeepsWhatIsDeleted, "a_deletion_takes_everything_and_wakes_who_waits"),
    (Fault::WakesTheDropped, "a_dropped_watch_is_not_woken"),
    (Fault::SubtractsPositions, "a_lag_is_right_or_unknown"),
    (Fault::ForgetsOnRestart, "topics_outlast_the_process"),
];

const GROUP_FAULTS: [(Fault, &str); 12] = [
    (Fault::BeginsAtTheEnd, "a_group_begins_at_the_earliest_record"),
    (Fault::GivesTwice, "each_record_goes_to_one_consumer_of_each_group"),
    (Fault::ClaimsNothing, "while_a_claim_is_open_nobody_else_is_given_anything"),
    (Fault::WakesNobody, "who_was_refused_is_woken_when_the_claim_ends"),
    (Fault::LosesWhatIsPutBack, "records_that_are_put_back_are_the_next_ones"),
    (Fault::PutsBackWhatIsAccepted, "a_closed_claim_stays_closed"),
    (Fault::MovesItsPlaceLate, "a_place_is_durable_before_the_records_are_given"),
    (Fault::KeepsClaimsOfTheDead, "a_claim_ends_with_its_process"),
    (Fault::HidesWhatWasDropped, "dropped_records_are_passed_over_and_it_is_said"),
    (Fault::TakesFromTheLastPartition, "the_first_partition_that_has_records_is_taken_from"),
    (Fault::ListsNoPlaces, "places_are_listed_and_go_with_the_topic"),
    (Fault::ListsNoPlaces, "a_place_is_durable_before_the_records_are_given"),
];

#[test]
fn every_broken_cluster_is_rejected() {
    rejects(topics::CHECKS, &TOPIC_FAULTS, |fault| Box::new(Broken::new(fault)));
}

#[test]
fn every_broken_group_is_rejected() {
    rejects(groups::CHECKS, &GROUP_FAULTS, |fault| Box::new(Broken::new(fault)));
}

struct Broken {
    sound: MemCluster,
    fault: Fault,
    memory: Arc<Mutex<Memory>>,
}

/// What a fault needs to remember.
#[derive(Default)]
struct Memory {
    turn: u32,
    dropped: Vec<Box<dyn Watch>>,
    held: Option<Claim>,
}

impl Broken {
    fn new(fault: Fault) -> Self {
        let gaps = matches!(fault, Fault::SubtractsPositions);
        let broker = if gaps { MemBroker::with_gaps() } else { MemBroker::new() };
        Broken { sound: MemCluster(broker), fault, memory: Arc::default() }
    }
}

impl TopicsHarness for Broken {
    fn topics(&self) -> Arc<dyn Topics> {
        let sound = self.sound.topics();
        Arc::new(BrokenTopics { sound, fault: self.fault, memory: self.memory.clone() })
    }

    fn reopen(&mut self) {
        match self.fault {
            Fault::ForgetsOnRestart => self.sound = MemCluster(MemBroker::new()),
            Fault::KeepsClaimsOfTheDead => {}
            _ => self.sound.reopen(),
        }
    }

    fn drop_before(&self, at: &TopicPartition, position: Position) -> bool {
        self.sound.drop_before(at, position)
    }

    fn patience(&self) -> Duration {
        // There are no threads that could wake or answer later.
        Duration::ZERO
    }
}

impl GroupsHarness for Broken {
    fn groups(&self) -> Arc<dyn Groups> {
        let sound = MemGroups::new(&self.sound.0, 1);
        Arc::new(BrokenGroups { sound, topics: self.sound.topics(), fault: self.fault, memory: self.memory.clone() })
    }
}

struct BrokenTopics {
    sound: Arc<dyn Topics>,
    fault: Fault,
    memory: Arc<Mutex<Memory>>,
}

/// A frame with each record changed, in the order in which they are.
fn changed(frame: &Bytes, keep_key: bool, wanted: impl Fn(usize) -> bool) -> Bytes {
    let parsed = Frame::parse(frame).unwrap();
    let mut builder = FrameBuilder::new();
    for (_, record) in parsed.iter().enumerate().filter(|(index, _)| wanted(*index)) {
        builder.push(record.with_key(record.key.filter(|_| keep_key)));
    }
    builder.to_bytes().into()
}

impl Topics for BrokenTopics {
    fn create(&self, topic: &Topic, partitions: u32, retention: Retention) -> Result<()> {
        match self.fault {
            Fault::MakesTwice => self.sound.create(topic, partitions, retention).or(Ok(())),
            Fault::TakesAnyNumber => self.sound.create(topic, partitions.clamp(1, 1024), retention),
            Fault::KeepsWhatIsDeleted if self.sound.describe(topic).is_ok() => Ok(()),
            _ => self.sound.create(topic, partitions, retention),
        }
    }

    fn list(&self) -> Result<Vec<TopicInfo>> {
        let mut all = self.sound.list()?;
        if self.fault == Fault::ListsBackwards {
            all.reverse();
        }
        Ok(all)
    }

    fn page(&self, after: Option<&Topic>, limit: usize) -> Result<Vec<Topic>> {
        self.sound.page(after.filter(|_| self.fault != Fault::AlwaysGivesTheFirstPage), limit)
    }

    fn describe(&self, topic: &Topic) -> Result<TopicInfo> {
        if self.fault == Fault::InventsTopics && self.sound.describe(topic).is_err() {
            self.sound.create(topic, 1, Retention::default())?;
        }
        self.sound.describe(topic)
    }

    fn alter(&self, topic: &Topic, change: TopicChange) -> Result<()> {
        match self.fault {
            Fault::ResetsWhatIsNotNamed => {
                let change = TopicChange { max_age: change.max_age.or(Some(None)), ..change };
                self.sound.alter(topic, change)
            }
            Fault::Shrinks if change.partitions.is_some_and(|wanted| wanted > 0) => {
                self.sound.alter(topic, change).or(Ok(()))
            }
            _ => self.sound.alter(topic, change),
        }
    }

    fn delete(&self, topic: &Topic) -> Result<()> {
        match self.fault {
            Fault::KeepsWhatIsDeleted => self.sound.describe(topic).map(drop),
            Fault::WakesNobodyAtADeletion => {
                self.memory.lock().dropped.clear();
                self.sound.delete(topic)
            }
            _ => self.sound.delete(topic),
        }
    }

    fn append(&self, topic: &Topic, partition: Option<u32>, frame: Bytes, done: AppendDone) {
        match self.fault {
            Fault::ForgetsKeys => self.sound.append(topic, partition, changed(&frame, false, |_| true), done),
            Fault::IgnoresKeys => self.sound.append(topic, partition.or(Some(0)), frame, done),
            Fault::IgnoresThePartition => self.sound.append(topic, None, frame, done),
            Fault::SpreadsKeyless if partition.is_none() => {
                let count = Frame::parse(&frame).unwrap().len();
                let all = Arc::new(Mutex::new(Ok(Vec::new())));
                for index in 0..count {
                    let one = changed(&frame, true, |at| at == index);
                    let parts = all.clone();
                    let note = Box::new(move |part: Result<Vec<_>>| {
                        let mut all = parts.lock();
                        match part {
                            Ok(part) => all.as_mut().unwrap().extend(part),
                            Err(error) => *all = Err(error),
                        }
                    });
                    self.sound.append(topic, None, one, note);
                }
                let all = std::mem::replace(&mut *all.lock(), Ok(Vec::new()));
                done(all);
            }
            _ => self.sound.append(topic, partition, frame, done),
        }
    }

    fn read(&self, partition: &TopicPartition, from: Position, limit: PollLimit) -> Result<Option<Batch>> {
        match self.fault {
            Fault::ReadsOneRecordTooMany if from.0 > 0 => self.sound.read(partition, Position(from.0 - 1), limit),
            Fault::IgnoresTheLimit => {
                self.sound.read(partition, from, PollLimit { records: usize::MAX, bytes: usize::MAX })
            }
            Fault::JumpsSilently => match self.sound.read(partition, from, limit) {
                Err(error) if error.code == ErrorCode::PositionDropped => {
                    self.sound.read(partition, self.sound.describe(&partition.topic)?.partitions[0].earliest, limit)
                }
                Err(error) if error.code == ErrorCode::PositionUnknown => Ok(None),
                read => read,
            },
            _ => self.sound.read(partition, from, limit),
        }
    }

    fn watch(&self, partition: &TopicPartition, waker: Waker) -> Result<Box<dyn Watch>> {
        struct Gone;
        impl Watch for Gone {}
        match self.fault {
            Fault::WakesOnce => {
                let waker = Mutex::new(Some(waker));
                let once = Waker::new(move || {
                    if let Some(waker) = waker.lock().take() {
                        waker.wake();
                    }
                });
                self.sound.watch(partition, once)
            }
            Fault::WakesTheDropped | Fault::WakesNobodyAtADeletion => {
                let watch = self.sound.watch(partition, waker)?;
                self.memory.lock().dropped.push(watch);
                Ok(Box::new(Gone))
            }
            _ => self.sound.watch(partition, waker),
        }
    }

    fn look(&self, partition: &TopicPartition, from: Position) -> Result<Ahead> {
        let ahead = self.sound.look(partition, from)?;
        if self.fault != Fault::SubtractsPositions {
            return Ok(ahead);
        }
        Ok(Ahead { lag: Some((ahead.end.0 - from.0) as u64), ..ahead })
    }
}

struct BrokenGroups {
    sound: MemGroups,
    topics: Arc<dyn Topics>,
    fault: Fault,
    memory: Arc<Mutex<Memory>>,
}

impl BrokenGroups {
    fn take_from(&self, group: &str, partitions: &[TopicPartition], limit: PollLimit, free: Waker) -> Result<Taking> {
        let taking = self.sound.take(group, partitions, limit, free)?;
        let Taking::Taken(mut taken) = taking else { return Ok(taking) };
        match self.fault {
            Fault::ClaimsNothing => self.sound.accept(taken.claim),
            Fault::HidesWhatWasDropped => taken.skipped_from = None,
            Fault::MovesItsPlaceLate => self.sound.put_back(taken.claim)?,
            _ => {}
        }
        Ok(Taking::Taken(taken))
    }
}

impl Groups for BrokenGroups {
    fn take(&self, group: &str, partitions: &[TopicPartition], limit: PollLimit, free: Waker) -> Result<Taking> {
        if let Some(held) = self.memory.lock().held.take() {
            self.sound.accept(held);
        }
        match self.fault {
            Fault::WakesNobody => self.sound.take(group, partitions, limit, Waker::noop()),
            Fault::TakesFromTheLastPartition => {
                let backwards: Vec<_> = partitions.iter().rev().cloned().collect();
                self.sound.take(group, &backwards, limit, free)
            }
            Fault::BeginsAtTheEnd => {
                let known = self.sound.places(&partitions[0].topic)?;
                let all = PollLimit { records: usize::MAX, bytes: usize::MAX };
                // Of longer partitions it reads everything: what it does wrong is to be found by the checks that look for it.
                let records = self.topics.read(&partitions[0], Position(0), all)?.map_or(0, |batch| batch.len());
                if records != 2 || known.iter().any(|place| place.group == group) {
                    return self.sound.take(group, partitions, limit, free);
                }
                while let Taking::Taken(taken) = self.sound.take(group, partitions, all, Waker::noop())? {
                    self.sound.accept(taken.claim);
                }
                Ok(Taking::Nothing)
            }
            Fault::GivesTwice => {
                let again = {
                    let mut memory = self.memory.lock();
                    memory.turn += 1;
                    memory.turn.is_multiple_of(7)
                };
                let taking = self.sound.take(group, partitions, limit, free)?;
                if let (true, Taking::Taken(taken)) = (again, &taking) {
                    self.sound.put_back(taken.claim)?;
                }
                Ok(taking)
            }
            _ => self.take_from(group, partitions, limit, free),
        }
    }

    fn accept(&self, claim: Claim) {
        match self.fault {
            // Kept open until the next is taken, so that it can be put back.
            Fault::PutsBackWhatIsAccepted => self.memory.lock().held = Some(claim),
            _ => self.sound.accept(claim),
        }
    }

    fn put_back(&self, claim: Claim) -> Result<()> {
        match self.fault {
            Fault::LosesWhatIsPutBack => {
                self.sound.accept(claim);
                Ok(())
            }
            _ => self.sound.put_back(claim),
        }
    }

    fn places(&self, topic: &Topic) -> Result<Vec<GroupPlace>> {
        self.topics.describe(topic)?;
        match self.fault {
            Fault::ListsNoPlaces => Ok(Vec::new()),
            _ => self.sound.places(topic),
        }
    }
}
