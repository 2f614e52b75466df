// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Committers that are broken on purpose.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use fnstream_core::broker::{
    Assignment, AssignmentListener, Broker, Membership, PollLimit, Polled, RevokeDone, Source, Subscription,
};
use fnstream_core::committer::{Acquired, CommitDone, CommitFailure, Committer, Replay};
use fnstream_core::delta::{Delta, Write};
use fnstream_core::epoch::{Epoch, FrozenEpoch, Generation, OutboxBatch, Progress, TaskId};
use fnstream_core::error::{Error, ErrorCode, Result};
use fnstream_core::record::{Position, Positions, TopicPartition};
use fnstream_core::state::Marker;
use fnstream_core::test_util::mem_broker::{MemBroker, MemClient};
use fnstream_core::test_util::suites::committer;
use fnstream_core::topic::Topic;
use fnstream_core::waker::Waker;
use fnstream_frame::Frame;
use parking_lot::Mutex;

use crate::broken_log::{BrokenLog, Client};
use crate::rejects;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    CommitsTwice,
    CommitsARepeatAgain,
    RefusesARepeat,
    AnswersEarly,
    KeepsTheEpoch,
    NeverAnswers,
    SwapsEpochs,
    PassesOverEmptyEpochs,
    EmitsOnePartitionOnly,
    AcceptsAFencedGeneration,
    PublishesWhatWasFenced,
    PublishesBeforeCommitting,
    PublishesWhatWasAborted,
    PublishesWhatIsRetriable,
    PublishesWhatWasFatal,
    AnswersOkAfterAFailure,
    StaleAssignmentFences,
    StaleAssignmentTakesOver,
    ReusesGenerations,
    InventsProgress,
    ForgetsTime,
    ForgetsTheLastCommit,
    ForgetsOnRestart,
    ReplaysEverything,
    ReplaysTheLastAgain,
    LosesTheNewestDelta,
    ReplaysBackwards,
    SwallowsAReplayError,
    TrimsTooMuch,
    LeaksDeltasOfOtherTasks,
    ForgetsDeletes,
    ForgetsRanges,
    TurnsMergesIntoPuts,
    ForgetsWatermarks,
    LetsWatermarksFall,
    ForgetsWhoEmitted,
    ForgetsWatermarksWhenSought,
    PublishesWhatWasRejected,
    BlamesNobodyForWhatWasRejected,
    NamesAnOutputThatIsNotThere,
    RefusesTheNumberOfWhatFailed,
    WrapsReplayErrors,
    HoldsOthersUpWhileRestoring,
    NeverSaysThatATaskIsLost,
    HidesTrouble,
    IsAlwaysInTrouble,
    GivesUpWhenAway,
}

const FAULTS: [(Fault, &str); 47] = [
    (Fault::CommitsTwice, "a_commit_makes_outbox_delta_and_progress_durable"),
    (Fault::CommitsARepeatAgain, "commit_twice_is_commit_once"),
    (Fault::RefusesARepeat, "commit_twice_is_commit_once"),
    (Fault::AnswersEarly, "an_answered_epoch_is_readable_and_let_go"),
    (Fault::KeepsTheEpoch, "an_answered_epoch_is_readable_and_let_go"),
    (Fault::NeverAnswers, "a_commit_makes_outbox_delta_and_progress_durable"),
    (Fault::SwapsEpochs, "epochs_commit_in_the_order_in_which_they_were_handed_in"),
    (Fault::PassesOverEmptyEpochs, "an_epoch_without_outbox_or_delta_counts_too"),
    (Fault::EmitsOnePartitionOnly, "records_are_emitted_as_they_are"),
    (Fault::AcceptsAFencedGeneration, "a_fenced_generation_never_commits"),
    (Fault::PublishesWhatWasFenced, "what_was_under_way_at_a_take_over_is_there_or_never"),
    (Fault::PublishesBeforeCommitting, "what_was_under_way_at_a_take_over_is_there_or_never"),
    (Fault::PublishesWhatWasAborted, "an_aborted_epoch_leaves_no_trace"),
    (Fault::PublishesWhatIsRetriable, "a_retriable_epoch_leaves_no_trace_and_can_be_handed_in_again"),
    (Fault::PublishesWhatWasFatal, "a_fatal_commit_is_there_or_not_as_a_whole"),
    (Fault::AnswersOkAfterAFailure, "what_follows_a_failed_epoch_fails_too"),
    (Fault::StaleAssignmentFences, "a_stale_assignment_is_refused_and_fences_nobody"),
    (Fault::StaleAssignmentTakesOver, "a_stale_assignment_is_refused_and_fences_nobody"),
    (Fault::ReusesGenerations, "a_fenced_generation_never_commits"),
    (Fault::InventsProgress, "a_new_task_stands_at_the_beginning"),
    (Fault::ForgetsTime, "a_commit_makes_outbox_delta_and_progress_durable"),
    (Fault::ForgetsTheLastCommit, "a_commit_makes_outbox_delta_and_progress_durable"),
    (Fault::ForgetsOnRestart, "commits_outlast_the_process"),
    (Fault::ReplaysEverything, "replay_gives_exactly_the_deltas_after_the_marker"),
    (Fault::ReplaysTheLastAgain, "replay_gives_exactly_the_deltas_after_the_marker"),
    (Fault::LosesTheNewestDelta, "a_commit_makes_outbox_delta_and_progress_durable"),
    (Fault::ReplaysBackwards, "epochs_commit_in_the_order_in_which_they_were_handed_in"),
    (Fault::SwallowsAReplayError, "a_failed_replay_can_be_repeated"),
    (Fault::TrimsTooMuch, "trimming_keeps_what_the_store_may_lack"),
    (Fault::LeaksDeltasOfOtherTasks, "tasks_of_a_function_are_apart"),
    (Fault::ForgetsDeletes, "every_kind_of_state_write_survives"),
    (Fault::ForgetsRanges, "every_kind_of_state_write_survives"),
    (Fault::TurnsMergesIntoPuts, "every_kind_of_state_write_survives"),
    (Fault::ForgetsWatermarks, "an_emitted_watermark_follows_the_records_of_its_epoch"),
    (Fault::LetsWatermarksFall, "an_emitted_watermark_follows_the_records_of_its_epoch"),
    (Fault::ForgetsWhoEmitted, "the_watermark_of_a_partition_is_the_least_of_its_writers"),
    (Fault::ForgetsWatermarksWhenSought, "a_source_that_was_sought_gives_the_watermark_of_its_position_again"),
    (Fault::PublishesWhatWasRejected, "a_rejected_epoch_leaves_no_trace_and_another_takes_its_number"),
    (Fault::BlamesNobodyForWhatWasRejected, "a_rejected_epoch_leaves_no_trace_and_another_takes_its_number"),
    (Fault::NamesAnOutputThatIsNotThere, "a_rejected_epoch_leaves_no_trace_and_another_takes_its_number"),
    (Fault::RefusesTheNumberOfWhatFailed, "an_aborted_epoch_leaves_no_trace"),
    (Fault::WrapsReplayErrors, "a_failed_replay_can_be_repeated"),
    (Fault::HoldsOthersUpWhileRestoring, "other_tasks_go_on_while_one_is_restored"),
    (Fault::NeverSaysThatATaskIsLost, "a_fenced_owner_hears_that_it_lost_the_task"),
    (Fault::HidesTrouble, "a_committer_that_cannot_commit_says_why"),
    (Fault::IsAlwaysInTrouble, "a_committer_that_cannot_commit_says_why"),
    (Fault::GivesUpWhenAway, "a_committer_that_cannot_commit_says_why"),
];

#[test]
fn every_broken_committer_is_rejected() {
    rejects(committer::CHECKS, &FAULTS, |fault| {
        let wrap = move |broker, sound| Arc::new(BrokenClient { broker, sound, fault, seen: Arc::default() });
        Box::new(BrokenLog::new(Box::new(wrap), fault == Fault::ForgetsOnRestart))
    });
}

struct BrokenClient {
    broker: MemBroker,
    sound: Arc<MemClient>,
    fault: Fault,
    seen: Arc<Mutex<Seen>>,
}

/// What a fault needs to remember.
#[derive(Default)]
struct Seen {
    latest: HashMap<TaskId, Assignment>,
    generations: HashMap<TaskId, Generation>,
    committed: HashMap<TaskId, Epoch>,
    trimmed: HashMap<TaskId, Epoch>,
    kept: Vec<Arc<FrozenEpoch>>,
    held: Option<(Arc<FrozenEpoch>, CommitDone)>,
    failed: bool,
    /// The epoch that failed last, until somebody acquires.
    refused: Option<(TaskId, Epoch)>,
    restoring: u32,
    waiting: Vec<(Arc<FrozenEpoch>, CommitDone)>,
}

impl Client for BrokenClient {
    fn broker(self: Arc<Self>) -> Arc<dyn Broker> {
        match self.fault {
            Fault::NeverSaysThatATaskIsLost => Arc::new(SilentBroker(self.sound.clone())),
            Fault::ForgetsWatermarksWhenSought => Arc::new(ForgetfulBroker(self.sound.clone())),
            _ => self.sound.clone(),
        }
    }

    fn committer(self: Arc<Self>) -> Arc<dyn Committer> {
        self
    }
}

impl BrokenClient {
    /// The acquisition that the fault makes of this one.
    fn chosen(&self, assignment: &Assignment) -> Result<Assignment> {
        let mut seen = self.seen.lock();
        let latest = seen.latest.entry(assignment.task).or_insert_with(|| assignment.clone());
        if latest.lease < assignment.lease {
            *latest = assignment.clone();
        }
        let stale = latest.lease > assignment.lease;
        let latest = latest.clone();
        drop(seen);
        match self.fault {
            Fault::StaleAssignmentTakesOver => Ok(latest),
            Fault::StaleAssignmentFences if stale => {
                self.sound.acquire(&latest, None, &mut |_, _| Ok(()))?;
                Ok(assignment.clone())
            }
            _ => Ok(assignment.clone()),
        }
    }

    fn deltas(&self, task: TaskId, mut deltas: Vec<(Marker, Delta)>) -> Vec<(Marker, Delta)> {
        match self.fault {
            Fault::LosesTheNewestDelta => drop(deltas.pop()),
            Fault::ReplaysBackwards => deltas.reverse(),
            Fault::ReplaysTheLastAgain if deltas.len() == 1 => deltas.extend(self.broker.changelog(task).pop()),
            Fault::LeaksDeltasOfOtherTasks => {
                deltas.extend(self.broker.changelog(TaskId { index: 1 - task.index, ..task }));
            }
            Fault::TrimsTooMuch => {
                let trimmed = self.seen.lock().trimmed.get(&task).copied();
                deltas.retain(|(marker, _)| trimmed.is_none_or(|through| marker.epoch.0 > through.0 + 1));
            }
            _ => {}
        }
        deltas
    }

    /// Makes records readable that nobody committed.
    fn publish(broker: &MemBroker, outbox: &[OutboxBatch]) {
        for batch in outbox {
            for record in Frame::parse(&batch.frame).unwrap().iter() {
                broker.append_record(&batch.topic.name, batch.partition, record);
            }
        }
    }

    fn broken(&self, epoch: &FrozenEpoch) -> FrozenEpoch {
        let mut delta = Delta::new();
        for range in epoch.delta.ranges().iter().filter(|_| self.fault != Fault::ForgetsRanges) {
            delta.delete_range(&range.start, range.end.as_deref());
        }
        for (key, write) in epoch.delta.entries() {
            match (self.fault, write.clone()) {
                (Fault::ForgetsDeletes, Write::Delete) => {}
                (Fault::TurnsMergesIntoPuts, Write::Merge(value)) => delta.write(key, Write::Put(value)),
                (_, write) => delta.write(key, write),
            }
        }
        let mut outbox = epoch.outbox.clone();
        let mut watermarks = epoch.watermarks.clone();
        match self.fault {
            Fault::ForgetsWatermarks => watermarks.clear(),
            Fault::LetsWatermarksFall if epoch.progress.epoch.0 == 3 => watermarks[0].watermark += 100,
            Fault::ForgetsWhoEmitted => watermarks.iter_mut().for_each(|emitted| emitted.watermark = 1_000),
            Fault::EmitsOnePartitionOnly => outbox.truncate(1),
            Fault::PublishesBeforeCommitting => outbox.clear(),
            _ => {}
        }
        let current = self.seen.lock().generations.get(&epoch.task).copied();
        let takes_any = matches!(self.fault, Fault::AcceptsAFencedGeneration | Fault::ReusesGenerations);
        let generation = current.filter(|_| takes_any).unwrap_or(epoch.generation);
        FrozenEpoch { task: epoch.task, generation, progress: epoch.progress.clone(), delta, outbox, watermarks }
    }

    /// What the fault does when the sound committer answers.
    fn answered(&self, epoch: &FrozenEpoch, done: CommitDone) -> CommitDone {
        let (fault, broker, seen) = (self.fault, self.broker.clone(), self.seen.clone());
        let (task, number, outbox) = (epoch.task, epoch.progress.epoch, epoch.outbox.clone());
        Box::new(move |result| {
            let repeated = seen.lock().committed.get(&task).is_some_and(|last| *last >= number);
            let publishes = match (&result, fault) {
                (Ok(_), Fault::CommitsTwice) => !repeated,
                (Ok(_), Fault::CommitsARepeatAgain) => repeated,
                (Err(CommitFailure::Fenced(_)), Fault::PublishesWhatWasFenced)
                | (Err(CommitFailure::Abortable(_)), Fault::PublishesWhatWasAborted)
                | (Err(CommitFailure::Rejected { .. }), Fault::PublishesWhatWasRejected)
                | (Err(CommitFailure::Retriable(_)), Fault::PublishesWhatIsRetriable)
                | (Err(CommitFailure::Fatal(_)), Fault::PublishesWhatWasFatal) => true,
                _ => false,
            };
            if publishes {
                Self::publish(&broker, &outbox);
            }
            let refused = CommitFailure::Abortable(Error::new(ErrorCode::CommitAborted, "it was committed already"));
            let failed_before = std::mem::replace(&mut seen.lock().failed, result.is_err());
            let result = match (result, fault) {
                (Ok(_), Fault::RefusesARepeat) if repeated => Err(refused),
                (Err(_), Fault::AnswersOkAfterAFailure) if failed_before => Ok(Bytes::new()),
                (Err(CommitFailure::Rejected { error, .. }), Fault::NamesAnOutputThatIsNotThere) => {
                    Err(CommitFailure::Rejected { error, output: Some(9) })
                }
                (Err(CommitFailure::Rejected { output, .. }), Fault::BlamesNobodyForWhatWasRejected) => {
                    Err(CommitFailure::Rejected { error: Error::new(ErrorCode::CommitAborted, "no"), output })
                }
                (result, _) => result,
            };
            if result.is_ok() {
                seen.lock().committed.insert(task, number);
            } else if fault == Fault::RefusesTheNumberOfWhatFailed {
                seen.lock().refused = Some((task, number));
            }
            done(result);
        })
    }
}

impl Committer for BrokenClient {
    fn acquire(&self, assignment: &Assignment, applied: Option<&Marker>, replay: &mut Replay<'_>) -> Result<Acquired> {
        let chosen = self.chosen(assignment)?;
        let applied = applied.filter(|_| self.fault != Fault::ReplaysEverything);
        let mut deltas = Vec::new();
        self.seen.lock().refused = None;
        let mut acquired = self.sound.acquire(&chosen, applied, &mut |marker, delta| {
            deltas.push((marker, delta));
            Ok(())
        })?;
        self.seen.lock().restoring += 1;
        for (marker, delta) in self.deltas(assignment.task, deltas) {
            let replayed = replay(marker, delta);
            match self.fault {
                Fault::SwallowsAReplayError => {}
                Fault::WrapsReplayErrors => {
                    replayed.map_err(|e| Error::new(ErrorCode::CommitFatal, e.message))?;
                }
                _ => replayed?,
            }
        }
        let waiting = {
            let mut seen = self.seen.lock();
            seen.restoring -= 1;
            std::mem::take(&mut seen.waiting)
        };
        waiting.into_iter().for_each(|(epoch, done)| self.sound.commit(epoch, done));
        self.seen.lock().generations.insert(assignment.task, acquired.generation);
        match self.fault {
            Fault::InventsProgress if acquired.progress.epoch == Epoch(0) => acquired.progress.records_in = 1,
            Fault::ForgetsTime => acquired.progress.time = Bytes::new(),
            Fault::ForgetsTheLastCommit if acquired.progress.epoch == Epoch(1) => {
                acquired.progress = Progress::default()
            }
            Fault::ReusesGenerations => acquired.generation = Generation(1),
            _ => {}
        }
        Ok(acquired)
    }

    fn commit(&self, epoch: Arc<FrozenEpoch>, done: CommitDone) {
        let done = self.answered(&epoch, done);
        let broken = Arc::new(self.broken(&epoch));
        match self.fault {
            Fault::NeverAnswers => return drop(done),
            Fault::GivesUpWhenAway if self.broker.is_away() => {
                let away = CommitFailure::Abortable(Error::new(ErrorCode::CommitAborted, "it is away"));
                return done(Err(away));
            }
            Fault::RefusesTheNumberOfWhatFailed
                if self.seen.lock().refused == Some((epoch.task, epoch.progress.epoch)) =>
            {
                let again = CommitFailure::Abortable(Error::new(ErrorCode::CommitAborted, "acquire it anew"));
                return done(Err(again));
            }
            Fault::HoldsOthersUpWhileRestoring if self.seen.lock().restoring > 0 => {
                return self.seen.lock().waiting.push((broken, done));
            }
            Fault::KeepsTheEpoch => self.seen.lock().kept.push(epoch),
            Fault::PublishesBeforeCommitting => Self::publish(&self.broker, &epoch.outbox),
            Fault::PassesOverEmptyEpochs if epoch.delta.is_empty() => return done(Ok(Bytes::new())),
            Fault::AnswersEarly => {
                drop(epoch);
                self.sound.commit(broken, Box::new(|_| ()));
                return done(Ok(Bytes::new()));
            }
            Fault::SwapsEpochs => {
                let Some(before) = self.seen.lock().held.take() else {
                    self.seen.lock().held = Some((broken, done));
                    return;
                };
                self.sound.commit(broken, done);
                return self.sound.commit(before.0, before.1);
            }
            _ => drop(epoch),
        }
        self.sound.commit(broken, done);
    }

    fn trim(&self, task: TaskId, through: Epoch) {
        let mut seen = self.seen.lock();
        let trimmed = seen.trimmed.entry(task).or_insert(through);
        *trimmed = through.max(*trimmed);
        self.sound.trim(task, through);
    }

    fn trouble(&self, task: TaskId) -> Option<Error> {
        match self.fault {
            Fault::HidesTrouble => None,
            Fault::IsAlwaysInTrouble => Some(Error::new(ErrorCode::Unavailable, "it is always away")),
            _ => self.sound.trouble(task),
        }
    }
}

/// Does not say that a task is lost.
struct SilentBroker(Arc<MemClient>);

struct Silent(Arc<dyn AssignmentListener>);

impl AssignmentListener for Silent {
    fn assigned(&self, assignment: Assignment) {
        self.0.assigned(assignment);
    }

    fn revoked(&self, task: TaskId, done: RevokeDone) {
        self.0.revoked(task, done);
    }

    fn lost(&self, _task: TaskId) {}
}

/// Gives a watermark once, whatever is sought.
struct ForgetfulBroker(Arc<MemClient>);

struct Forgetful {
    sound: Box<dyn Source>,
    highest: BTreeMap<TopicPartition, u64>,
}

impl Source for Forgetful {
    fn poll(&mut self, group: Option<u32>, limit: PollLimit) -> Result<Polled> {
        loop {
            match self.sound.poll(group, limit)? {
                Polled::Watermark { from, watermark } => {
                    let highest = self.highest.entry(from.clone()).or_default();
                    if watermark > std::mem::replace(highest, watermark.max(*highest)) {
                        return Ok(Polled::Watermark { from, watermark });
                    }
                }
                polled => return Ok(polled),
            }
        }
    }

    fn seek(&mut self, to: &Positions) -> Result<()> {
        self.sound.seek(to)
    }

    fn ends(&self) -> Positions {
        self.sound.ends()
    }

    fn trouble(&self) -> Option<Error> {
        self.sound.trouble()
    }
}

/// A broker that is sound but for how it joins or opens.
macro_rules! broker {
    ($broker:ident, $listener:expr, $source:expr) => {
        impl Broker for $broker {
            fn join(
                &self,
                subscription: Subscription,
                listener: Arc<dyn AssignmentListener>,
            ) -> Result<Box<dyn Membership>> {
                self.0.join(subscription, $listener(listener))
            }

            fn open_source(&self, of: &Assignment, from: &Positions, waker: Waker) -> Result<Box<dyn Source>> {
                Ok($source(self.0.open_source(of, from, waker)?))
            }

            fn partitions(&self, topic: &Topic) -> Result<u32> {
                self.0.partitions(topic)
            }

            fn earliest(&self, partition: &TopicPartition) -> Result<Position> {
                self.0.earliest(partition)
            }

            fn latest(&self, partition: &TopicPartition) -> Result<Position> {
                self.0.latest(partition)
            }
        }
    };
}

broker!(SilentBroker, |listener| Arc::new(Silent(listener)), |source| source);
broker!(ForgetfulBroker, |listener| listener, |sound| Box::new(Forgetful { sound, highest: BTreeMap::new() }));
