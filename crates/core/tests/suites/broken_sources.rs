// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Sources and brokers that are broken on purpose.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fnstream_core::batch::{Batch, BatchPositions};
use fnstream_core::broker::{
    Assignment, AssignmentListener, Broker, Membership, PollLimit, Polled, RevokeDone, Source, Subscription,
};
use fnstream_core::committer::Committer;
use fnstream_core::epoch::TaskId;
use fnstream_core::record::{Position, Positions, TopicPartition};
use fnstream_core::test_util::mem_broker::{Manners, MemClient};
use fnstream_core::test_util::suites::source;
use fnstream_core::topic::Topic;
use fnstream_core::waker::Waker;
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_frame::{FrameBuilder, RecordRef};
use parking_lot::Mutex;

use crate::broken_log::{BrokenLog, Client};
use crate::rejects;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    LosesTheLastRecord,
    GivesMoreThanTheLimit,
    PutsAllOnChannelZero,
    TreatsAnEmptyKeyAsAbsent,
    EmptiesNullValues,
    TreatsAnEmptyValueAsNull,
    ForgetsTimestamps,
    RepeatsOnReopen,
    SkipsOnReopen,
    AcknowledgesWhenPolled,
    PassesOverLargeRecords,
    EndsWhenDrained,
    NeverWakes,
    WakesOnce,
    StarvesLaterInputs,
    ReadsTheWrongPartition,
    TellsAnEndTooFar,
    TellsAnEndTooNear,
    ReusesLeases,
    JumpsOverWhatWasDropped,
    InventsPartitions,
    TakesClustersForItsOwn,
    ForgetsOnRestart,
    GivesAnyGroup,
    SaysThatTopicsAreMissing,
    CountsDroppedGaps,
    SeeksOverWhatWasDropped,
    TellsAnEarliestTooLow,
    TellsALatestTooLow,
    NeverLeadsOverGaps,
    LeadsOverRecords,
    GuessesAnEnd,
    IgnoresSeeking,
    MovesAllWhenSeeking,
    RefusesForeignPlaces,
    KeepsWhatWasFetched,
    HidesTrouble,
    IsAlwaysInTrouble,
    FailsWhenAway,
}

const FAULTS: [(Fault, &str); 39] = [
    (Fault::LosesTheLastRecord, "records_come_in_order_with_ascending_positions"),
    (Fault::GivesMoreThanTheLimit, "records_come_in_order_with_ascending_positions"),
    (Fault::PutsAllOnChannelZero, "a_record_is_given_as_it_was_appended"),
    (Fault::TreatsAnEmptyKeyAsAbsent, "a_record_is_given_as_it_was_appended"),
    (Fault::EmptiesNullValues, "a_record_is_given_as_it_was_appended"),
    (Fault::TreatsAnEmptyValueAsNull, "a_record_is_given_as_it_was_appended"),
    (Fault::ForgetsTimestamps, "a_record_is_given_as_it_was_appended"),
    (Fault::RepeatsOnReopen, "reopening_at_a_position_yields_exactly_what_follows_it"),
    (Fault::SkipsOnReopen, "reopening_at_a_position_yields_exactly_what_follows_it"),
    (Fault::AcknowledgesWhenPolled, "an_abandoned_source_loses_nothing"),
    (Fault::PassesOverLargeRecords, "a_large_record_is_given_all_the_same"),
    (Fault::EndsWhenDrained, "a_source_goes_on_with_what_comes_later"),
    (Fault::NeverWakes, "the_waker_is_called_after_every_pending"),
    (Fault::WakesOnce, "the_waker_is_called_after_every_pending"),
    (Fault::StarvesLaterInputs, "a_busy_partition_does_not_keep_another_from_being_polled"),
    (Fault::ReadsTheWrongPartition, "a_task_reads_the_partitions_of_its_index_only"),
    (Fault::TellsAnEndTooFar, "ends_are_where_the_next_records_go"),
    (Fault::TellsAnEndTooNear, "ends_are_where_the_next_records_go"),
    (Fault::ReusesLeases, "a_later_assignment_has_a_higher_lease"),
    (Fault::JumpsOverWhatWasDropped, "a_dropped_position_is_an_error_and_never_a_jump"),
    (Fault::InventsPartitions, "partitions_are_counted_and_unknown_ones_refused"),
    (Fault::TakesClustersForItsOwn, "topics_of_other_clusters_are_refused"),
    (Fault::ForgetsOnRestart, "records_outlast_the_process"),
    (Fault::GivesAnyGroup, "a_poll_of_one_group_gives_nothing_of_another"),
    (Fault::SaysThatTopicsAreMissing, "what_is_not_known_yet_is_unavailable_and_not_missing"),
    (Fault::CountsDroppedGaps, "a_dropped_gap_is_no_dropped_record"),
    (Fault::SeeksOverWhatWasDropped, "a_dropped_position_is_an_error_and_never_a_jump"),
    (Fault::TellsAnEarliestTooLow, "a_dropped_position_is_an_error_and_never_a_jump"),
    (Fault::TellsALatestTooLow, "a_dropped_position_is_an_error_and_never_a_jump"),
    (Fault::NeverLeadsOverGaps, "who_took_everything_stands_at_the_end"),
    (Fault::LeadsOverRecords, "records_come_in_order_with_ascending_positions"),
    (Fault::GuessesAnEnd, "ends_are_where_the_next_records_go"),
    (Fault::IgnoresSeeking, "seeking_moves_the_named_partitions_and_no_others"),
    (Fault::MovesAllWhenSeeking, "seeking_moves_the_named_partitions_and_no_others"),
    (Fault::RefusesForeignPlaces, "seeking_moves_the_named_partitions_and_no_others"),
    (Fault::KeepsWhatWasFetched, "seeking_moves_the_named_partitions_and_no_others"),
    (Fault::HidesTrouble, "a_broker_that_is_away_is_trouble_and_no_error"),
    (Fault::IsAlwaysInTrouble, "a_broker_that_is_away_is_trouble_and_no_error"),
    (Fault::FailsWhenAway, "a_broker_that_is_away_is_trouble_and_no_error"),
];

#[test]
fn every_broken_source_is_rejected() {
    rejects(source::CHECKS, &FAULTS, |fault| {
        let wrap = move |_, sound| Arc::new(BrokenClient { sound, fault, polled: Arc::default() });
        let manners = match fault {
            Fault::SaysThatTopicsAreMissing => Manners { stale_lookups: 3, ..Manners::default() },
            Fault::CountsDroppedGaps | Fault::NeverLeadsOverGaps => Manners { gaps: true, ..Manners::default() },
            Fault::GuessesAnEnd => Manners { prefetch: true, ..Manners::default() },
            _ => Manners::default(),
        };
        Box::new(BrokenLog::with(manners, Box::new(wrap), fault == Fault::ForgetsOnRestart))
    });
}

struct BrokenClient {
    sound: Arc<MemClient>,
    fault: Fault,
    /// How far anybody polled.
    polled: Arc<Mutex<Positions>>,
}

impl Client for BrokenClient {
    fn broker(self: Arc<Self>) -> Arc<dyn Broker> {
        self
    }

    fn committer(self: Arc<Self>) -> Arc<dyn Committer> {
        self.sound.clone()
    }
}

impl Broker for BrokenClient {
    fn join(&self, subscription: Subscription, listener: Arc<dyn AssignmentListener>) -> Result<Box<dyn Membership>> {
        self.sound.join(subscription, Arc::new(BrokenListener { sound: listener, fault: self.fault }))
    }

    fn open_source(&self, assignment: &Assignment, from: &Positions, waker: Waker) -> Result<Box<dyn Source>> {
        let mut from = from.clone();
        let waker = match self.fault {
            Fault::NeverWakes => Waker::noop(),
            Fault::WakesOnce => once(waker),
            _ => waker,
        };
        for (at, position) in &mut from {
            match self.fault {
                Fault::RepeatsOnReopen => position.0 = position.0.saturating_sub(1),
                Fault::SkipsOnReopen if position.0 == 3 => position.0 += 1,
                Fault::JumpsOverWhatWasDropped => *position = self.sound.earliest(at)?.max(*position),
                Fault::CountsDroppedGaps if *position < self.sound.earliest(at)? => {
                    return Err(Error::new(ErrorCode::PositionDropped, "it was dropped"));
                }
                _ => {}
            }
        }
        if self.fault == Fault::AcknowledgesWhenPolled {
            from.extend(self.polled.lock().clone());
        }
        let mut parts = Vec::new();
        if self.fault == Fault::StarvesLaterInputs {
            for input in &assignment.inputs {
                let alone = Assignment { inputs: vec![input.clone()], ..assignment.clone() };
                parts.push(self.sound.open_source(&alone, &from, waker.clone())?);
            }
        } else {
            parts.push(self.sound.open_source(assignment, &from, waker)?);
        }
        let inputs = assignment.inputs.iter().map(|input| input.partition.clone()).collect();
        let (sound, fault, polled) = (self.sound.clone(), self.fault, self.polled.clone());
        Ok(Box::new(BrokenSource { parts, inputs, sound, fault, polled, drained: false, ahead: None }))
    }

    fn partitions(&self, topic: &Topic) -> Result<u32> {
        if self.fault == Fault::TakesClustersForItsOwn {
            return self.sound.partitions(&Topic::own(topic.name.clone()));
        }
        let partitions = self.sound.partitions(topic);
        match self.fault {
            Fault::InventsPartitions => Ok(partitions.unwrap_or(1)),
            Fault::SaysThatTopicsAreMissing => {
                partitions.map_err(|_| Error::new(ErrorCode::TopicNotFound, "there is no such topic"))
            }
            _ => partitions,
        }
    }

    fn earliest(&self, partition: &TopicPartition) -> Result<Position> {
        let earliest = self.sound.earliest(partition)?;
        Ok(if self.fault == Fault::TellsAnEarliestTooLow { Position::START } else { earliest })
    }

    fn latest(&self, partition: &TopicPartition) -> Result<Position> {
        let latest = self.sound.latest(partition)?;
        Ok(if self.fault == Fault::TellsALatestTooLow { Position(latest.0.saturating_sub(1)) } else { latest })
    }
}

fn once(waker: Waker) -> Waker {
    let done = AtomicBool::new(false);
    Waker::new(move || {
        if !done.swap(true, Ordering::SeqCst) {
            waker.wake();
        }
    })
}

struct BrokenListener {
    sound: Arc<dyn AssignmentListener>,
    fault: Fault,
}

impl AssignmentListener for BrokenListener {
    fn assigned(&self, mut assignment: Assignment) {
        match self.fault {
            Fault::ReusesLeases => assignment.lease = 1,
            Fault::ReadsTheWrongPartition if assignment.task.index > 0 => {
                assignment.inputs.iter_mut().for_each(|input| input.partition.partition = 0);
            }
            _ => {}
        }
        self.sound.assigned(assignment);
    }

    fn revoked(&self, task: TaskId, done: RevokeDone) {
        self.sound.revoked(task, done);
    }

    fn lost(&self, task: TaskId) {
        self.sound.lost(task);
    }
}

struct BrokenSource {
    parts: Vec<Box<dyn Source>>,
    inputs: Vec<TopicPartition>,
    sound: Arc<MemClient>,
    fault: Fault,
    polled: Arc<Mutex<Positions>>,
    drained: bool,
    /// What was fetched and not given yet.
    ahead: Option<Batch>,
}

impl Source for BrokenSource {
    fn poll(&mut self, group: Option<u32>, mut limit: PollLimit) -> Result<Polled> {
        if self.fault == Fault::GivesMoreThanTheLimit {
            limit.records += 1;
        }
        if self.fault == Fault::EndsWhenDrained && self.drained {
            return Ok(Polled::Pending);
        }
        if self.fault == Fault::FailsWhenAway
            && let Some(trouble) = self.parts.iter().find_map(|part| part.trouble())
        {
            return Err(trouble);
        }
        if let Some(batch) = self.ahead.take() {
            return Ok(Polled::Batch(batch));
        }
        for part in &mut self.parts {
            let polled = part.poll(group.filter(|_| self.fault != Fault::GivesAnyGroup), limit)?;
            if let Polled::Skipped { .. } = polled
                && self.fault != Fault::NeverLeadsOverGaps
            {
                return Ok(polled);
            }
            if let Polled::Batch(batch) = polled {
                if self.fault == Fault::KeepsWhatWasFetched
                    && let Polled::Batch(next) = part.poll(group, limit)?
                {
                    self.ahead = Some(next);
                }
                if self.fault == Fault::LeadsOverRecords {
                    return Ok(Polled::Skipped { partition: batch.from().clone(), to: batch.end().unwrap() });
                }
                let end = batch.end().unwrap();
                self.polled.lock().insert(batch.from().clone(), end);
                if self.fault == Fault::PassesOverLargeRecords && batch.bytes().len() > limit.bytes {
                    continue;
                }
                return Ok(Polled::Batch(broken(&batch, self.fault)));
            }
        }
        self.drained = true;
        Ok(Polled::Pending)
    }

    fn seek(&mut self, to: &Positions) -> Result<()> {
        self.drained = false;
        let mut to = to.clone();
        for at in &self.inputs {
            let earliest = self.sound.earliest(at)?;
            match (self.fault, to.get_mut(at)) {
                (Fault::MovesAllWhenSeeking, None) => drop(to.insert(at.clone(), earliest)),
                (Fault::SeeksOverWhatWasDropped, Some(position)) => *position = earliest.max(*position),
                _ => {}
            }
        }
        match self.fault {
            Fault::IgnoresSeeking => return Ok(()),
            Fault::RefusesForeignPlaces if to.keys().any(|at| !self.inputs.contains(at)) => {
                return Err(Error::new(ErrorCode::PartitionNotFound, "it is not read here"));
            }
            _ => {}
        }
        self.parts.iter_mut().try_for_each(|part| part.seek(&to))
    }

    fn ends(&self) -> Positions {
        let mut ends: Positions = self.parts.iter().flat_map(|part| part.ends()).collect();
        if self.fault == Fault::GuessesAnEnd {
            for at in &self.inputs {
                ends.entry(at.clone()).or_default();
            }
        }
        for end in ends.values_mut() {
            match self.fault {
                Fault::TellsAnEndTooFar => end.0 += 1,
                Fault::TellsAnEndTooNear => end.0 -= 1,
                _ => {}
            }
        }
        ends
    }

    fn trouble(&self) -> Option<Error> {
        match self.fault {
            Fault::HidesTrouble => None,
            Fault::IsAlwaysInTrouble => Some(Error::new(ErrorCode::Unavailable, "it is always away")),
            _ => self.parts.iter().find_map(|part| part.trouble()),
        }
    }
}

fn broken(batch: &Batch, fault: Fault) -> Batch {
    let mut frame = FrameBuilder::new();
    let mut positions = Vec::new();
    let kept = if fault == Fault::LosesTheLastRecord { batch.len().max(2) - 1 } else { batch.len() };
    for (position, record) in batch.iter().take(kept) {
        let record = match fault {
            Fault::PutsAllOnChannelZero => record.on(0),
            Fault::ForgetsTimestamps => record.at(0),
            Fault::TreatsAnEmptyKeyAsAbsent => RecordRef { key: record.key.filter(|key| !key.is_empty()), ..record },
            Fault::EmptiesNullValues => RecordRef { value: Some(record.bytes()), ..record },
            Fault::TreatsAnEmptyValueAsNull => {
                RecordRef { value: record.value.filter(|value| !value.is_empty()), ..record }
            }
            _ => record,
        };
        frame.push(record);
        positions.push(position);
    }
    Batch::new(batch.from().clone(), BatchPositions::Each(positions), frame.to_bytes().into()).unwrap()
}
