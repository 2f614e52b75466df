// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! How this process fares: what was counted in it, whether it is ready.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fnstream_api::PartitionDescription;
use fnstream_api::function::total_lag;
use fnstream_core::spec::{DesiredState, FunctionEntry};
use fnstream_core::{Error, ErrorCode, Result};
use tokio::sync::watch;

use super::Inspection;
use super::describe::word;
use crate::app::GroupSample;
use crate::app::group::Look;
use crate::app::ops::blocking;
use crate::failure;
use crate::metrics::{FunctionSample, MemorySample, NetworkSample, Scrape};

impl Inspection {
    /// Everything that is exposed to monitoring. Each process counts for itself.
    pub(crate) async fn scrape(self: &Arc<Self>, groups: Vec<GroupSample>) -> Result<Scrape> {
        let inspection = self.clone();
        blocking(move || {
            let entries = inspection.register.list()?;
            let look = Look::default();
            let functions = entries.iter().map(|entry| inspection.sample(entry, &look)).collect();
            let mut store = inspection.upkeep.health();
            store.damages += inspection.damaged_artifacts(&entries);
            let engine = &inspection.fellows.local().engine;
            Ok(Scrape {
                server: inspection.meter.clone(),
                network: NetworkSample::of(&inspection.net, &inspection.room),
                memory: MemorySample::of(&inspection.net.budget, inspection.programs.under_way()),
                uptime: inspection.clock.now().saturating_sub(inspection.began),
                unapplied_bytes: engine.unapplied_bytes() as u64,
                log_lines_dropped: inspection.logs.logs.lost(),
                panics: fnstream_core::panics::count(),
                failed: failure::counts(),
                last_backup_ms: inspection.last_backup.as_ref().map(|last| last.at_ms()),
                store,
                meters: engine.meters().all(),
                functions,
                groups,
                kafka: inspection.fellows.local().clusters.transactions(),
            })
        })
        .await
    }

    fn sample(&self, entry: &FunctionEntry, look: &Look) -> FunctionSample {
        let part = self.fellows.local().part(entry.id, &entry.spec.name, look);
        let status = word(entry, part.as_ref(), self.reconciler.failure(entry).is_some());
        let tasks = part.map(|part| part.tasks).unwrap_or_default();
        let mut lags: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let partitions = || tasks.iter().flat_map(|task| &task.partitions);
        let clusters = &self.fellows.local().clusters;
        let is_abroad = |of: &&PartitionDescription| of.topic.parse().is_ok_and(|topic| !clusters.is_embedded(&topic));
        let behind = partitions().filter(is_abroad).filter_map(|of| {
            // Positions that are wider are those of Pulsar, whose difference says nothing.
            let (end, position) = (of.end.as_ref()?.parse::<u64>().ok()?, of.position.parse::<u64>().ok()?);
            Some((of.topic.clone(), of.partition, end.saturating_sub(position)))
        });
        let behind = behind.collect();
        for partition in partitions() {
            lags.entry(partition.topic.clone()).or_default().push(partition.lag);
        }
        // Of what is not known there is no sample.
        let lag = lags.into_iter().filter_map(|(topic, lags)| Some((topic, total_lag(lags.into_iter())?))).collect();
        FunctionSample {
            name: entry.spec.name.clone(),
            status,
            tasks: tasks.iter().map(|task| task.status).collect(),
            memory_bytes: tasks.iter().map(|task| task.memory_bytes).sum(),
            lag,
            behind,
        }
    }

    /// Whether work can be given to this process: what should run was started, the disk takes what is written, and nothing that a
    /// function needs was found damaged. It looks
    /// anew each time, so a disk that has space again is noticed without anybody's doing.
    pub(crate) async fn ready(self: &Arc<Self>) -> Result<()> {
        self.ops.check_open()?;
        if !*self.reconciler.booted().borrow() {
            return Err(Error::new(ErrorCode::NotReady, "functions are still being started"));
        }
        let inspection = self.clone();
        blocking(move || {
            inspection.upkeep.probe()?;
            let entries = inspection.register.list()?;
            let damage = |entry: &FunctionEntry| {
                let error = inspection.upkeep.damage_to(entry)?;
                Some(error.context(format_args!("function '{}'", entry.spec.name)))
            };
            // A disk may have room for a word and none for what was really to be committed.
            let refused = |entry| inspection.refused(entry);
            match entries.iter().find_map(damage).or_else(|| entries.iter().find_map(refused)) {
                Some(error) => Err(error),
                None => Ok(()),
            }
        })
        .await
    }

    /// How many artifacts are damaged that functions have now. Kept revisions may have others.
    fn damaged_artifacts(&self, entries: &[FunctionEntry]) -> u64 {
        let damaged = entries
            .iter()
            .filter(|entry| self.upkeep.damage_to(entry).is_some_and(|error| error.code == ErrorCode::ArtifactCorrupt));
        damaged.map(|entry| &entry.spec.artifact).collect::<BTreeSet<_>>().len() as u64
    }

    /// How many functions a safe start holds back.
    pub(crate) fn held_back(&self) -> usize {
        self.reconciler.held_back().len()
    }

    /// Whether what should run was started, as it becomes so.
    pub(crate) fn booted(&self) -> watch::Receiver<bool> {
        self.reconciler.booted()
    }

    /// Why the disk does not take what a function has done.
    fn refused(&self, entry: &FunctionEntry) -> Option<Error> {
        let status = self.fellows.local().engine.status(entry.id);
        let status = status.filter(|_| entry.desired == DesiredState::Running)?;
        let refusals = status.tasks.into_iter().filter_map(|task| task.refused);
        let of_disk = [ErrorCode::Storage, ErrorCode::StorageFull, ErrorCode::StoreRecovering];
        let mut of_the_disk = refusals.filter(|error| of_disk.contains(&error.code));
        let error = of_the_disk.next()?;
        Some(error.context(format!("function '{}' cannot commit", entry.spec.name)))
    }
}
