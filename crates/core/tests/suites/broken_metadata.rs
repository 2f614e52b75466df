// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Registers of functions that are broken on purpose.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fnstream_core::Result;
use fnstream_core::epoch::FunctionId;
use fnstream_core::metadata::Metadata;
use fnstream_core::spec::{DesiredState, FunctionEntry, FunctionSpec};
use fnstream_core::test_util::mem_metadata::MemMetadata;
use fnstream_core::test_util::suites::metadata::{self, MetadataHarness};
use fnstream_core::test_util::suites::run;
use fnstream_core::waker::Waker;

use crate::rejects;

struct InMemory(Arc<MemMetadata>);

impl MetadataHarness for InMemory {
    fn metadata(&self) -> Arc<dyn Metadata> {
        self.0.clone()
    }

    fn reopen(&mut self) {
        self.0 = Arc::new(self.0.reopened());
    }
}

#[test]
fn the_in_memory_register_keeps_to_the_contract() {
    run(metadata::CHECKS, || Box::new(InMemory(Arc::default())));
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    UpdatesWhateverTheRevision,
    RemovesWhateverTheRevision,
    OverwritesOnCreate,
    ForgetsDesiredState,
    ForgetsConfig,
    CountsNoRevisions,
    ListsBackwards,
    ReusesIds,
    WakesTheFirstWatcherOnly,
    WakesOnce,
    ForgetsOnRestart,
}

const FAULTS: [(Fault, &str); 12] = [
    (Fault::UpdatesWhateverTheRevision, "an_update_is_based_on_the_latest_revision"),
    (Fault::UpdatesWhateverTheRevision, "of_two_changes_of_one_revision_one_wins"),
    (Fault::RemovesWhateverTheRevision, "a_removal_is_based_on_the_latest_revision"),
    (Fault::OverwritesOnCreate, "a_name_is_taken_once"),
    (Fault::ForgetsDesiredState, "what_is_created_is_found"),
    (Fault::ForgetsConfig, "what_is_created_is_found"),
    (Fault::CountsNoRevisions, "an_update_is_based_on_the_latest_revision"),
    (Fault::ListsBackwards, "functions_are_listed_by_name"),
    (Fault::ReusesIds, "ids_are_never_given_again"),
    (Fault::WakesTheFirstWatcherOnly, "every_change_wakes_every_watcher"),
    (Fault::WakesOnce, "every_change_wakes_every_watcher"),
    (Fault::ForgetsOnRestart, "everything_outlasts_the_process"),
];

#[test]
fn every_broken_register_is_rejected() {
    rejects(metadata::CHECKS, &FAULTS, |fault| {
        let metadata = BrokenMetadata { sound: MemMetadata::new(), fault, watched: AtomicBool::new(false) };
        Box::new(Broken(Arc::new(metadata)))
    });
}

struct Broken(Arc<BrokenMetadata>);

impl MetadataHarness for Broken {
    fn metadata(&self) -> Arc<dyn Metadata> {
        self.0.clone()
    }

    fn reopen(&mut self) {
        let fault = self.0.fault;
        let sound = if fault == Fault::ForgetsOnRestart { MemMetadata::new() } else { self.0.sound.reopened() };
        self.0 = Arc::new(BrokenMetadata { sound, fault, watched: AtomicBool::new(false) });
    }

    fn patience(&self) -> Duration {
        // There are no threads that could wake later.
        Duration::ZERO
    }
}

struct BrokenMetadata {
    sound: MemMetadata,
    fault: Fault,
    watched: AtomicBool,
}

impl BrokenMetadata {
    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn shown(&self, mut entry: FunctionEntry) -> FunctionEntry {
        match self.fault {
            Fault::ForgetsDesiredState => entry.desired = DesiredState::Running,
            Fault::ForgetsConfig => entry.spec.config.clear(),
            Fault::CountsNoRevisions => entry.revision = 1,
            Fault::ReusesIds => entry.id = FunctionId(1),
            _ => {}
        }
        entry
    }

    fn latest(&self, name: &str, based_on: u64) -> Result<u64> {
        Ok(self.sound.get(name)?.map_or(based_on, |entry| entry.revision))
    }
}

impl Metadata for BrokenMetadata {
    fn list(&self) -> Result<Vec<FunctionEntry>> {
        let mut entries: Vec<_> = self.sound.list()?.into_iter().map(|entry| self.shown(entry)).collect();
        if self.is(Fault::ListsBackwards) {
            entries.reverse();
        }
        Ok(entries)
    }

    fn get(&self, name: &str) -> Result<Option<FunctionEntry>> {
        Ok(self.sound.get(name)?.map(|entry| self.shown(entry)))
    }

    fn create(&self, spec: FunctionSpec, desired: DesiredState) -> Result<FunctionEntry> {
        if self.is(Fault::OverwritesOnCreate)
            && let Some(before) = self.sound.get(&spec.name)?
        {
            return self.sound.update(spec, desired, before.revision);
        }
        self.sound.create(spec, desired).map(|entry| self.shown(entry))
    }

    fn update(&self, spec: FunctionSpec, desired: DesiredState, based_on: u64) -> Result<FunctionEntry> {
        let any = self.is(Fault::UpdatesWhateverTheRevision) || self.is(Fault::CountsNoRevisions);
        loop {
            let based_on = if any { self.latest(&spec.name, based_on)? } else { based_on };
            match self.sound.update(spec.clone(), desired, based_on) {
                // Another thread was faster: a register without compare-and-set would not have noticed.
                Err(e) if any && e.code == fnstream_core::ErrorCode::FunctionChanged => {}
                result => return result.map(|entry| self.shown(entry)),
            }
        }
    }

    fn remove(&self, name: &str, based_on: u64) -> Result<()> {
        let any = self.is(Fault::RemovesWhateverTheRevision) || self.is(Fault::CountsNoRevisions);
        let based_on = if any { self.latest(name, based_on)? } else { based_on };
        self.sound.remove(name, based_on)
    }

    fn watch(&self, waker: Waker) {
        if self.is(Fault::WakesTheFirstWatcherOnly) && self.watched.swap(true, Ordering::SeqCst) {
            return;
        }
        let woken = AtomicBool::new(false);
        let once = self.is(Fault::WakesOnce);
        self.sound.watch(Waker::new(move || {
            if !(once && woken.swap(true, Ordering::SeqCst)) {
                waker.wake();
            }
        }));
    }
}
