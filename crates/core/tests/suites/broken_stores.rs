// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! State stores that are broken on purpose.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use fnstream_core::Result;
use fnstream_core::delta::{Delta, Write};
use fnstream_core::epoch::TaskId;
use fnstream_core::state::{Marker, StateStore, StateStores, Unfinished, Visit};
use fnstream_core::test_util::mem_broker::{Manners, MemBroker};
use fnstream_core::test_util::mem_state::MemStateStores;
use fnstream_core::test_util::suites::run;
use fnstream_core::test_util::suites::state_store::{self, StateHarness};

use crate::rejects;

/// The stores of one process in memory; a restart forgets the newest applies of each.
struct InMemory(Arc<MemStateStores>);

impl StateHarness for InMemory {
    fn stores(&self) -> Arc<dyn StateStores> {
        self.0.clone()
    }

    fn reopen(&mut self) {
        self.0.lose_unsynced(|_, unsynced| unsynced.saturating_sub(7));
        self.0.sync();
    }

    fn die_within(&mut self, task: TaskId, part: usize, apply: &dyn Fn(&dyn StateStore)) {
        die_within(&self.0, &*self.0.store(task), task, part, apply);
    }
}

#[test]
fn the_in_memory_stores_keep_to_the_contract() {
    run(state_store::CHECKS, || Box::new(InMemory(Arc::default())));
}

/// The same stores of a process whose applies go to the state topics of a broker too.
struct InTopics {
    broker: MemBroker,
    disk: Arc<MemStateStores>,
}

impl StateHarness for InTopics {
    fn stores(&self) -> Arc<dyn StateStores> {
        self.broker.connect(1).state_stores(self.disk.clone())
    }

    fn reopen(&mut self) {
        self.disk.lose_unsynced(|_, unsynced| unsynced.saturating_sub(7));
        self.disk.sync();
    }

    fn die_within(&mut self, task: TaskId, part: usize, apply: &dyn Fn(&dyn StateStore)) {
        let store = self.stores().open(task).unwrap();
        die_within(&self.disk, &*store, task, part, apply);
    }
}

#[test]
fn the_stores_of_state_topics_keep_to_the_contract() {
    run(state_store::CHECKS, || {
        let broker = MemBroker::with(Manners { state_topic: true, ..Manners::default() });
        Box::new(InTopics { broker, disk: Arc::default() })
    });
}

/// Keeps the first thousand entries for each part.
fn die_within(
    disk: &MemStateStores,
    store: &dyn StateStore,
    task: TaskId,
    part: usize,
    apply: &dyn Fn(&dyn StateStore),
) {
    disk.sync();
    apply(store);
    disk.cut_unsynced(|_, _| 0, |cut| if cut == task { part * 1000 } else { 0 });
    disk.sync();
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    TreatsEmptyAsAbsent,
    TreatsAbsentAsEmpty,
    ForgetsDeletes,
    ScansBackwards,
    ScansPastItsEnd,
    ScansFromAfterItsStart,
    IgnoresBreak,
    ShowsLaterWritesInAScan,
    LeaksAnotherTask,
    WritesEntriesBeforeRanges,
    IgnoresOpenRanges,
    MergeReplaces,
    MergeNeedsAValue,
    KeepsTheFirstMarker,
    DropsTheMarkersLogEnd,
    IgnoresEmptyDeltas,
    TakesEpochZeroForNothing,
    ForgetsPairsButNotTheMarker,
    ForgetsThatAnApplyIsUnfinished,
    MovesTheMarkerWithTheFirstPart,
    BeginsAnUnfinishedApplyAgain,
    TakesAnotherApplyForTheUnfinishedOne,
}

const FAULTS: [(Fault, &str); 22] = [
    (Fault::TreatsEmptyAsAbsent, "absent_is_not_empty"),
    (Fault::TreatsAbsentAsEmpty, "absent_is_not_empty"),
    (Fault::ForgetsDeletes, "a_deleted_key_is_absent"),
    (Fault::ScansBackwards, "scans_go_in_byte_order"),
    (Fault::ScansPastItsEnd, "a_scan_has_its_start_but_not_its_end"),
    (Fault::ScansFromAfterItsStart, "a_scan_has_its_start_but_not_its_end"),
    (Fault::IgnoresBreak, "a_visitor_ends_a_scan"),
    (Fault::ShowsLaterWritesInAScan, "a_scan_sees_one_moment"),
    (Fault::LeaksAnotherTask, "a_task_never_sees_another"),
    (Fault::WritesEntriesBeforeRanges, "ranges_are_deleted_before_entries_are_written"),
    (Fault::IgnoresOpenRanges, "ranges_are_deleted_before_entries_are_written"),
    (Fault::MergeReplaces, "a_merge_appends"),
    (Fault::MergeNeedsAValue, "a_merge_appends"),
    (Fault::KeepsTheFirstMarker, "the_marker_moves_with_the_pairs"),
    (Fault::DropsTheMarkersLogEnd, "the_marker_moves_with_the_pairs"),
    (Fault::IgnoresEmptyDeltas, "the_marker_moves_with_the_pairs"),
    (Fault::TakesEpochZeroForNothing, "the_marker_of_a_restore_that_was_cut_off_is_kept"),
    (Fault::ForgetsPairsButNotTheMarker, "a_reopened_store_is_what_its_marker_says"),
    (Fault::ForgetsThatAnApplyIsUnfinished, "an_unfinished_apply_has_its_first_keys"),
    (Fault::MovesTheMarkerWithTheFirstPart, "an_unfinished_apply_has_its_first_keys"),
    (Fault::BeginsAnUnfinishedApplyAgain, "an_unfinished_apply_is_rolled_forward_and_merges_once"),
    (Fault::TakesAnotherApplyForTheUnfinishedOne, "an_unfinished_apply_keeps_another_out"),
];

#[test]
fn every_broken_store_is_rejected() {
    rejects(state_store::CHECKS, &FAULTS, |fault| {
        Box::new(Broken { stores: Arc::new(BrokenStores { sound: MemStateStores::new(), fault }) })
    });
}

struct Broken {
    stores: Arc<BrokenStores>,
}

impl StateHarness for Broken {
    fn stores(&self) -> Arc<dyn StateStores> {
        self.stores.clone()
    }

    fn reopen(&mut self) {
        let stores = &self.stores.sound;
        if self.stores.fault == Fault::ForgetsPairsButNotTheMarker {
            let mut markers = Vec::new();
            stores.lose_unsynced(|task, unsynced| {
                markers.push(task);
                unsynced
            });
            let markers: Vec<_> =
                markers.into_iter().map(|task| (task, stores.store(task).marker().unwrap())).collect();
            stores.lose_unsynced(|_, unsynced| unsynced.saturating_sub(1));
            for (task, marker) in markers {
                stores.store(task).apply(&Delta::new(), &marker.unwrap_or_default()).unwrap();
            }
        }
        stores.sync();
    }

    fn die_within(&mut self, task: TaskId, part: usize, apply: &dyn Fn(&dyn StateStore)) {
        let stores = &self.stores.sound;
        die_within(stores, &*stores.store(task), task, part, apply);
    }
}

struct BrokenStores {
    sound: MemStateStores,
    fault: Fault,
}

impl StateStores for BrokenStores {
    fn open(&self, task: TaskId) -> Result<Arc<dyn StateStore>> {
        let task =
            if self.fault == Fault::LeaksAnotherTask { TaskId { index: task.index & 0xff, ..task } } else { task };
        Ok(Arc::new(BrokenStore { sound: self.sound.open(task)?, fault: self.fault }))
    }
}

struct BrokenStore {
    sound: Arc<dyn StateStore>,
    fault: Fault,
}

impl BrokenStore {
    fn collect(&self, start: &[u8], end: Option<&[u8]>) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut pairs = Vec::new();
        self.sound.scan(start, end, &mut |key, value| {
            pairs.push((key.to_vec(), value.to_vec()));
            ControlFlow::Continue(())
        })?;
        Ok(pairs)
    }
}

impl StateStore for BrokenStore {
    fn marker(&self) -> Result<Option<Marker>> {
        let marker = self.sound.marker()?;
        Ok(match self.fault {
            Fault::TakesEpochZeroForNothing => marker.filter(|marker| marker.epoch.0 > 0),
            Fault::DropsTheMarkersLogEnd => marker.map(|m| Marker { log_end: Bytes::new(), ..m }),
            Fault::MovesTheMarkerWithTheFirstPart => self.sound.unfinished()?.map(|begun| begun.marker).or(marker),
            _ => marker,
        })
    }

    fn unfinished(&self) -> Result<Option<Unfinished>> {
        match self.fault {
            Fault::ForgetsThatAnApplyIsUnfinished => Ok(None),
            _ => self.sound.unfinished(),
        }
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        let value = self.sound.get(key)?;
        Ok(match self.fault {
            Fault::TreatsEmptyAsAbsent => value.filter(|value| !value.is_empty()),
            Fault::TreatsAbsentAsEmpty => Some(value.unwrap_or_default()),
            _ => value,
        })
    }

    fn scan(&self, start: &[u8], end: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<()> {
        if self.fault == Fault::ShowsLaterWritesInAScan {
            let mut from = start.to_vec();
            while let Some((key, value)) = self.collect(&from, end)?.into_iter().next() {
                if visit(&key, &value).is_break() {
                    break;
                }
                from = key;
                from.push(0);
            }
            return Ok(());
        }
        let mut pairs = self.collect(start, end)?;
        match self.fault {
            Fault::ScansBackwards => pairs.reverse(),
            Fault::ScansFromAfterItsStart => pairs.retain(|(key, _)| key != start),
            Fault::ScansPastItsEnd => {
                if let Some(end) = end
                    && end >= start
                    && let Some(value) = self.sound.get(end)?
                {
                    pairs.push((end.to_vec(), value.to_vec()));
                }
            }
            _ => {}
        }
        for (key, value) in pairs {
            if visit(&key, &value).is_break() && self.fault != Fault::IgnoresBreak {
                break;
            }
        }
        Ok(())
    }

    fn apply(&self, delta: &Delta, marker: &Marker) -> Result<()> {
        let (mut ranges, mut entries) = (Delta::new(), Delta::new());
        for range in delta.ranges() {
            if self.fault != Fault::IgnoresOpenRanges || range.end.is_some() {
                ranges.delete_range(&range.start, range.end.as_deref());
            }
        }
        for (key, write) in delta.entries() {
            match (self.fault, write.clone()) {
                (Fault::ForgetsDeletes, Write::Delete) => {}
                (Fault::MergeReplaces, Write::Merge(value)) => entries.write(key, Write::Put(value)),
                (Fault::MergeNeedsAValue, Write::Merge(_)) if self.sound.get(key)?.is_none() => {}
                (_, write) => entries.write(key, write),
            }
        }
        match (self.fault, self.sound.unfinished()?) {
            (Fault::BeginsAnUnfinishedApplyAgain, Some(begun)) => {
                self.sound.apply(&Delta::new(), &begun.marker)?;
            }
            (Fault::TakesAnotherApplyForTheUnfinishedOne, Some(begun)) => {
                return self.sound.apply(delta, &begun.marker);
            }
            _ => {}
        }
        let kept = match self.fault {
            Fault::KeepsTheFirstMarker => self.sound.marker()?.unwrap_or_else(|| marker.clone()),
            Fault::IgnoresEmptyDeltas if delta.is_empty() => return Ok(()),
            _ => marker.clone(),
        };
        if self.fault == Fault::WritesEntriesBeforeRanges {
            self.sound.apply(&entries, &kept)?;
            return self.sound.apply(&ranges, &kept);
        }
        ranges.absorb(entries);
        self.sound.apply(&ranges, &kept)
    }
}
