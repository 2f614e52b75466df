// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The conformance suites of the seams, run against the store.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use fnstream_core::ErrorCode;
use fnstream_core::artifacts::Artifacts;
use fnstream_core::broker::{Assignment, Broker};
use fnstream_core::committer::{Acquired, CommitDone, Committer, Replay};
use fnstream_core::epoch::{Epoch, FrozenEpoch, FunctionId, OutboxBatch, TaskId};
use fnstream_core::forks::Forks;
use fnstream_core::groups::Groups;
use fnstream_core::metadata::Metadata;
use fnstream_core::notes::Notes;
use fnstream_core::producers::Producers;
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::state::{Marker, StateStore, StateStores};
use fnstream_core::tasks::Tasks;
use fnstream_core::test_util::suites::artifacts::ArtifactsHarness;
use fnstream_core::test_util::suites::forks::ForksHarness;
use fnstream_core::test_util::suites::groups::GroupsHarness;
use fnstream_core::test_util::suites::log::{Failing, LogHarness};
use fnstream_core::test_util::suites::metadata::MetadataHarness;
use fnstream_core::test_util::suites::notes::NotesHarness;
use fnstream_core::test_util::suites::producers::ProducersHarness;
use fnstream_core::test_util::suites::state_store::StateHarness;
use fnstream_core::test_util::suites::tasks::TasksHarness;
use fnstream_core::test_util::suites::topics::TopicsHarness;
use fnstream_core::test_util::suites::{
    artifacts, committer, forks, groups, metadata, notes, producers, run, source, state_store, tasks, topics,
};
use fnstream_core::topics::Retention;
use fnstream_core::topics::Topics;
use fnstream_frame::{FrameBuilder, RecordRef};
use fnstream_store::{Durability, Store, StoreOptions};
use parking_lot::Mutex;
use tempfile::TempDir;

use crate::support::*;

/// Topics keep the newest record of one byte, once retention is enforced.
const ONE_SMALL_RECORD: u64 = 45;

struct Process {
    dir: TempDir,
    /// Where the folder is now: killing the process means going on with a copy of what it left.
    now: PathBuf,
    restarts: usize,
    durability: Durability,
    store: Store,
    failing: Arc<Mutex<Option<Failing>>>,
}

impl Process {
    fn start(durability: Durability) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let now = dir.path().join("0");
        let store = open_with(&now, durability);
        Process { dir, now, restarts: 0, durability, store, failing: Arc::default() }
    }

    fn restart(&mut self) {
        self.restarts += 1;
        let next = self.dir.path().join(self.restarts.to_string());
        copy_folder(&self.now, &next);
        self.store = open_with(&next, self.durability);
        self.now = next;
    }
}

fn open_with(dir: &Path, durability: Durability) -> Store {
    Store::open(dir, StoreOptions { durability, ..options() }).unwrap()
}

/// Lets single commits fail.
struct FailingCommitter {
    store: Store,
    failing: Arc<Mutex<Option<Failing>>>,
}

impl Committer for FailingCommitter {
    fn acquire(
        &self,
        assignment: &Assignment,
        applied: Option<&Marker>,
        replay: &mut Replay<'_>,
    ) -> fnstream_core::Result<Acquired> {
        self.store.committer().acquire(assignment, applied, replay)
    }

    fn commit(&self, epoch: Arc<FrozenEpoch>, done: CommitDone) {
        match self.failing.lock().take() {
            Some(Failing::Retriable) => {
                self.store.inject_fault(Some(ErrorCode::Storage));
                let store = self.store.clone();
                let healed = Box::new(move |result| {
                    store.inject_fault(None);
                    done(result);
                });
                self.store.committer().commit(epoch, healed);
            }
            Some(Failing::Abortable) => {
                // An output that was deleted: found out only when the group is prepared.
                let mut outbox = epoch.outbox.clone();
                let (topic, frame) = ("deleted".into(), Bytes::from(frame(["x"]).to_bytes()));
                outbox.push(OutboxBatch { topic, partition: 0, frame, records: 1 });
                let (task, generation) = (epoch.task, epoch.generation);
                let (progress, delta) = (epoch.progress.clone(), epoch.delta.clone());
                let broken = FrozenEpoch { task, generation, progress, delta, outbox, watermarks: Vec::new() };
                self.store.committer().commit(Arc::new(broken), done);
            }
            _ => self.store.committer().commit(epoch, done),
        }
    }

    fn trim(&self, task: TaskId, through: Epoch) {
        self.store.committer().trim(task, through);
    }

    fn trouble(&self, task: TaskId) -> Option<fnstream_core::Error> {
        self.store.committer().trouble(task)
    }
}

impl LogHarness for Process {
    fn broker(&self) -> Arc<dyn Broker> {
        self.store.broker()
    }

    fn committer(&self) -> Arc<dyn Committer> {
        Arc::new(FailingCommitter { store: self.store.clone(), failing: self.failing.clone() })
    }

    fn create_topic(&self, topic: &str, partitions: u32) {
        let retention = Retention { max_age: None, max_bytes: Some(ONE_SMALL_RECORD), ..Retention::default() };
        self.store.create_topic(topic, partitions, retention).unwrap();
    }

    fn append(&self, at: &TopicPartition, records: &[RecordRef<'_>]) {
        let mut frame = FrameBuilder::new();
        records.iter().for_each(|record| frame.push(*record));
        append(&self.store, &at.topic.name, Some(at.partition), &frame).unwrap();
    }

    fn read_all(&self, at: &TopicPartition) -> Vec<Vec<u8>> {
        read_all(&self.store, at, ALL).into_iter().map(|(_, value)| value).collect()
    }

    fn reopen(&mut self) {
        self.restart();
    }

    fn fail_next(&self, how: Failing) -> bool {
        let arranged = matches!(how, Failing::Retriable | Failing::Abortable);
        *self.failing.lock() = arranged.then_some(how);
        arranged
    }

    fn drop_before(&self, at: &TopicPartition, position: Position) -> bool {
        self.store.enforce_retention(0).unwrap();
        self.store.broker().earliest(at).unwrap() == position
    }
}

impl StateHarness for Process {
    fn stores(&self) -> Arc<dyn StateStores> {
        self.store.state_stores()
    }

    fn reopen(&mut self) {
        self.restart();
    }

    fn die_within(&mut self, task: TaskId, part: usize, apply: &dyn Fn(&dyn StateStore)) {
        self.store.inject_fault_after(part as u32, ErrorCode::Storage);
        apply(&*self.store.state_stores().open(task).unwrap());
        self.store.inject_fault(None);
        self.restart();
    }
}

impl TopicsHarness for Process {
    fn topics(&self) -> Arc<dyn Topics> {
        self.store.topics()
    }

    fn reopen(&mut self) {
        self.restart();
    }
}

impl GroupsHarness for Process {
    fn groups(&self) -> Arc<dyn Groups> {
        self.store.groups()
    }
}

impl ProducersHarness for Process {
    fn producers(&self) -> Arc<dyn Producers> {
        self.store.producers()
    }
}

impl TasksHarness for Process {
    fn tasks(&self) -> Arc<dyn Tasks> {
        self.store.tasks()
    }
}

impl NotesHarness for Process {
    fn notes(&self) -> Arc<dyn Notes> {
        self.store.notes()
    }

    fn reopen(&mut self) {
        self.restart();
    }
}

impl ForksHarness for Process {
    fn forks(&self) -> Arc<dyn Forks> {
        self.store.forks()
    }

    fn metadata(&self) -> Arc<dyn Metadata> {
        self.store.metadata()
    }
}

impl ArtifactsHarness for Process {
    fn artifacts(&self) -> Arc<dyn Artifacts> {
        self.store.artifacts()
    }

    fn damage(&self, digest: &str) {
        std::fs::write(self.now.join("artifacts").join(format!("{digest}.wasm")), "changed").unwrap();
    }

    fn reopen(&mut self) {
        self.restart();
    }
}

impl MetadataHarness for Process {
    fn metadata(&self) -> Arc<dyn Metadata> {
        self.store.metadata()
    }

    fn fork(&self, of: FunctionId) -> FunctionId {
        self.store.forks().fork(of).unwrap()
    }

    fn reopen(&mut self) {
        self.restart();
    }
}

#[test]
fn the_log_is_a_source() {
    run(source::CHECKS, || Box::new(Process::start(Durability::Group)));
}

#[test]
fn retention_can_be_arranged_for_the_suite() {
    let process = Process::start(Durability::Group);
    process.create_topic("in", 1);
    for value in [b"a", b"b", b"c"] {
        LogHarness::append(&process, &at("in", 0), &[RecordRef::new(value)]);
    }
    assert!(LogHarness::drop_before(&process, &at("in", 0), Position(2)), "the suite would pass over the check");
}

#[test]
fn the_committer_keeps_its_contract_with_every_durability() {
    for durability in [Durability::Group, Durability::Sync, Durability::Os] {
        run(committer::CHECKS, || Box::new(Process::start(durability)));
    }
}

#[test]
fn the_state_of_tasks_is_a_state_store() {
    run(state_store::CHECKS, || Box::new(Process::start(Durability::Group)));
}

#[test]
fn the_register_is_metadata() {
    run(metadata::CHECKS, || Box::new(Process::start(Durability::Group)));
}

#[test]
fn the_store_keeps_notes() {
    run(notes::CHECKS, || Box::new(Process::start(Durability::Group)));
}

#[test]
fn the_log_has_topics_for_clients() {
    run(topics::CHECKS, || Box::new(Process::start(Durability::Group)));
}

#[test]
fn the_log_has_groups_of_consumers() {
    run(groups::CHECKS, || Box::new(Process::start(Durability::Group)));
}

#[test]
fn the_log_has_producers_that_number_their_records() {
    for durability in [Durability::Group, Durability::Sync, Durability::Os] {
        run(producers::CHECKS, || Box::new(Process::start(durability)));
    }
}

#[test]
fn what_tasks_have_committed_is_seen_and_fenced() {
    for durability in [Durability::Group, Durability::Sync] {
        run(tasks::CHECKS, || Box::new(Process::start(durability)));
    }
}

#[test]
fn what_tasks_have_committed_is_forked() {
    for durability in [Durability::Group, Durability::Sync] {
        run(forks::CHECKS, || Box::new(Process::start(durability)));
    }
}

#[test]
fn artifacts_are_kept() {
    run(artifacts::CHECKS, || Box::new(Process::start(Durability::Group)));
}
