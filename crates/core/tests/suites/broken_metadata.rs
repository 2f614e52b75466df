// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Registers of functions that are broken on purpose.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fnstream_core::Result;
use fnstream_core::epoch::FunctionId;
use fnstream_core::metadata::{Metadata, Revision};
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

    fn fork(&self, _: FunctionId) -> FunctionId {
        self.0.fork()
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
    RepeatsTheLastOfAPage,
    ReusesIds,
    WakesTheFirstWatcherOnly,
    WakesOnce,
    ForgetsOnRestart,
    NotesEveryChange,
    KeepsNoState,
    KeepsAllRevisions,
    KeepsItsId,
    SwitchesWhateverTheRevision,
    WakesNobodyOnSwitch,
}

const FAULTS: [(Fault, &str); 20] = [
    (Fault::RepeatsTheLastOfAPage, "a_page_begins_behind_a_name"),
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
    (Fault::NotesEveryChange, "each_description_is_a_revision_of_the_history"),
    (Fault::KeepsNoState, "a_replaced_revision_keeps_its_state"),
    (Fault::KeepsNoState, "a_switched_function_has_another_id_and_its_past_keeps_the_old_one"),
    (Fault::KeepsAllRevisions, "only_the_newest_revisions_are_kept"),
    (Fault::KeepsItsId, "a_switched_function_has_another_id_and_its_past_keeps_the_old_one"),
    (Fault::SwitchesWhateverTheRevision, "a_switched_function_has_another_id_and_its_past_keeps_the_old_one"),
    (Fault::WakesNobodyOnSwitch, "every_change_wakes_every_watcher"),
];

#[test]
fn every_broken_register_is_rejected() {
    rejects(metadata::CHECKS, &FAULTS, |fault| {
        Box::new(Broken(Arc::new(BrokenMetadata::new(MemMetadata::new(), fault))))
    });
}

struct Broken(Arc<BrokenMetadata>);

impl MetadataHarness for Broken {
    fn metadata(&self) -> Arc<dyn Metadata> {
        self.0.clone()
    }

    fn fork(&self, _: FunctionId) -> FunctionId {
        self.0.sound.fork()
    }

    fn reopen(&mut self) {
        let fault = self.0.fault;
        let sound = if fault == Fault::ForgetsOnRestart { MemMetadata::new() } else { self.0.sound.reopened() };
        self.0 = Arc::new(BrokenMetadata::new(sound, fault));
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
    switching: Arc<AtomicBool>,
    /// The revisions that a sound register would have let go.
    hoard: Mutex<Vec<Revision>>,
}

impl BrokenMetadata {
    fn new(sound: MemMetadata, fault: Fault) -> Self {
        BrokenMetadata { sound, fault, watched: false.into(), switching: Arc::default(), hoard: Mutex::default() }
    }

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

    fn page(&self, after: Option<&str>, limit: usize) -> Result<Vec<FunctionEntry>> {
        let after =
            if self.is(Fault::RepeatsTheLastOfAPage) { after.map(|name| &name[..name.len() - 1]) } else { after };
        Ok(self.sound.page(after, limit)?.into_iter().map(|entry| self.shown(entry)).collect())
    }

    fn get(&self, name: &str) -> Result<Option<FunctionEntry>> {
        Ok(self.sound.get(name)?.map(|entry| self.shown(entry)))
    }

    fn revisions(&self, name: &str) -> Result<Vec<Revision>> {
        let mut history = self.sound.revisions(name)?;
        match (self.fault, self.sound.get(name)?) {
            (Fault::KeepsNoState, _) => history.iter_mut().for_each(|of| of.state = None),
            (Fault::KeepsAllRevisions, _) => {
                let mut hoard = self.hoard.lock().unwrap();
                history.retain(|of| hoard.iter().all(|had| had.revision != of.revision));
                hoard.extend(history);
                history = hoard.clone();
            }
            (Fault::NotesEveryChange, Some(entry)) if history.iter().all(|of| of.revision != entry.revision) => {
                history.push(Revision { revision: entry.revision, ..Revision::first(&entry) });
            }
            _ => {}
        }
        Ok(history)
    }

    fn create_from(
        &self,
        spec: FunctionSpec,
        desired: DesiredState,
        fork: Option<FunctionId>,
    ) -> Result<FunctionEntry> {
        if self.is(Fault::OverwritesOnCreate)
            && let Some(before) = self.sound.get(&spec.name)?
        {
            return self.sound.update(spec, desired, before.revision, None);
        }
        self.sound.create_from(spec, desired, fork).map(|entry| self.shown(entry))
    }

    fn update(
        &self,
        spec: FunctionSpec,
        desired: DesiredState,
        based_on: u64,
        snapshot: Option<FunctionId>,
    ) -> Result<FunctionEntry> {
        if self.is(Fault::KeepsAllRevisions) {
            self.revisions(&spec.name)?;
        }
        let any = self.is(Fault::UpdatesWhateverTheRevision) || self.is(Fault::CountsNoRevisions);
        loop {
            let based_on = if any { self.latest(&spec.name, based_on)? } else { based_on };
            match self.sound.update(spec.clone(), desired, based_on, snapshot) {
                // Another thread was faster: a register without compare-and-set would not have noticed.
                Err(e) if any && e.code == fnstream_core::ErrorCode::FunctionChanged => {}
                result => return result.map(|entry| self.shown(entry)),
            }
        }
    }

    fn switch(&self, spec: FunctionSpec, based_on: u64, to: FunctionId) -> Result<FunctionEntry> {
        let any = self.is(Fault::SwitchesWhateverTheRevision) || self.is(Fault::CountsNoRevisions);
        let based_on = if any { self.latest(&spec.name, based_on)? } else { based_on };
        let before = self.sound.get(&spec.name)?.map(|entry| entry.id);
        self.switching.store(true, Ordering::SeqCst);
        let switched = self.sound.switch(spec, based_on, to);
        self.switching.store(false, Ordering::SeqCst);
        let mut entry = self.shown(switched?);
        if let (Fault::KeepsItsId, Some(id)) = (self.fault, before) {
            entry.id = id;
        }
        Ok(entry)
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
        let (switching, deaf) = (self.switching.clone(), self.is(Fault::WakesNobodyOnSwitch));
        self.sound.watch(Waker::new(move || {
            if deaf && switching.load(Ordering::SeqCst) {
                return;
            }
            if !(once && woken.swap(true, Ordering::SeqCst)) {
                waker.wake();
            }
        }));
    }
}
