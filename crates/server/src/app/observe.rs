// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! How everything fares: the state of all functions, what was counted, whether the server is ready.

use std::collections::BTreeMap;
use std::sync::Arc;

use fnstream_api::function::total_lag;
use fnstream_api::{FunctionStatus, FunctionSummary, TaskDescription};
use fnstream_core::spec::{DesiredState, FunctionEntry};
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_engine::{TaskState, TaskStatus};
use tokio::sync::watch;

use super::App;
use super::describe::task_status;
use crate::metrics::{FunctionSample, Scrape};

impl App {
    /// How all functions fare, or one of them.
    pub async fn status(self: &Arc<Self>, name: Option<String>) -> Result<Vec<FunctionSummary>> {
        self.blocking(move |app| {
            let entries = match name {
                Some(name) => vec![app.entry(&name)?],
                None => app.metadata.list()?,
            };
            Ok(entries.iter().map(|entry| app.summary(entry)).collect())
        })
        .await
    }

    fn summary(&self, entry: &FunctionEntry) -> FunctionSummary {
        let description = self.describe_entry(entry);
        let tasks = self.engine.status(entry.id).map(|status| status.tasks);
        // A function that was never started here has none.
        let meter = self.engine.meters().get(&entry.spec.name).unwrap_or_default();
        FunctionSummary {
            name: description.name,
            status: description.status,
            revision: entry.revision,
            records_in: meter.records_in.get(),
            records_out: meter.records_out.get(),
            failed: meter.records_failed.get(),
            dead_lettered: meter.records_dead_lettered.get(),
            skipped: meter.records_skipped.get(),
            restarts: meter.restarts.get(),
            lag: tasks.as_ref().and_then(|_| total_lag(description.tasks.iter().map(TaskDescription::lag))),
            memory_bytes: description.tasks.iter().map(|task| task.memory_bytes).sum(),
            reason: match description.error {
                Some(error) => Some(format!("it could not be started: {} ({})", error.message, error.code)),
                None => reason(description.status, &tasks.unwrap_or_default()),
            },
        }
    }

    /// Everything that is exposed to monitoring.
    pub async fn scrape(self: &Arc<Self>) -> Result<Scrape> {
        self.blocking(|app| {
            let functions = app.metadata.list()?.iter().map(|entry| app.sample(entry)).collect();
            Ok(Scrape {
                server: app.meter.clone(),
                uptime: app.clock.now().saturating_sub(app.began),
                unapplied_bytes: app.engine.unapplied_bytes() as u64,
                log_lines_dropped: app.logs.lost(),
                meters: app.engine.meters().all(),
                functions,
            })
        })
        .await
    }

    fn sample(&self, entry: &FunctionEntry) -> FunctionSample {
        let status = self.describe_entry(entry).status;
        let tasks = self.engine.status(entry.id).map(|status| status.tasks).unwrap_or_default();
        let mut lags: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for partition in tasks.iter().flat_map(|task| &task.partitions) {
            let partition = self.partition(partition);
            lags.entry(partition.topic).or_default().push(partition.lag);
        }
        // Of what is not known there is no sample.
        let lag = lags.into_iter().filter_map(|(topic, lags)| Some((topic, total_lag(lags.into_iter())?))).collect();
        FunctionSample {
            name: entry.spec.name.clone(),
            status,
            tasks: tasks.iter().map(|task| task_status(task.state)).collect(),
            memory_bytes: tasks.iter().map(|task| task.memory_bytes as u64).sum(),
            lag,
        }
    }

    /// Whether work can be given to the server: what should run was started, and the disk takes what is written. It looks
    /// anew each time, so a disk that has space again is noticed without anybody's doing.
    pub async fn ready(self: &Arc<Self>) -> Result<()> {
        self.check_open()?;
        if !*self.booted.borrow() {
            return Err(Error::new(ErrorCode::NotReady, "functions are still being started"));
        }
        self.blocking(|app| {
            app.store.measure_synced_write()?;
            // A disk may have room for a word and none for what was really to be committed.
            match app.metadata.list()?.iter().find_map(|entry| app.refused(entry)) {
                Some(error) => Err(error),
                None => Ok(()),
            }
        })
        .await
    }

    /// Whether what should run was started, as it becomes so.
    pub fn booted(&self) -> watch::Receiver<bool> {
        self.booted.subscribe()
    }

    /// Why the disk does not take what a function has done.
    fn refused(&self, entry: &FunctionEntry) -> Option<Error> {
        let status = self.engine.status(entry.id).filter(|_| entry.desired == DesiredState::Running)?;
        let refusals = status.tasks.into_iter().filter_map(|task| task.refused);
        let mut of_the_disk =
            refusals.filter(|error| matches!(error.code, ErrorCode::Storage | ErrorCode::StorageFull));
        let error = of_the_disk.next()?;
        Some(error.context(format!("function '{}' cannot commit", entry.spec.name)))
    }
}

/// Why a function does not run, in the words of whoever has to do something about it.
fn reason(status: FunctionStatus, tasks: &[TaskStatus]) -> Option<String> {
    let failure = |state: TaskState, what: &str| {
        let task = tasks.iter().find(|task| task.state == state)?;
        let error = task.last_error.as_ref()?;
        Some(format!("task {} {what}: {} ({})", task.index, error.message, error.code))
    };
    match status {
        FunctionStatus::Starting => Some("its code is being loaded or its tasks are coming up".to_owned()),
        FunctionStatus::Stopping => Some("it finishes what it began".to_owned()),
        FunctionStatus::Stopped => Some("it was told to stop; 'client start' lets it run again".to_owned()),
        FunctionStatus::BackingOff => failure(TaskState::BackingOff, "failed and will be tried again"),
        FunctionStatus::Failed => failure(TaskState::Failed, "failed and waits until it is started or updated"),
        FunctionStatus::Running => tasks.iter().find_map(|task| {
            let (error, what) = match (&task.refused, &task.trouble) {
                (Some(error), _) => (error, "cannot commit and tries again"),
                (None, Some(error)) => (error, "waits for the broker"),
                (None, None) => return None,
            };
            Some(format!("task {} {what}: {} ({})", task.index, error.message, error.code))
        }),
    }
}
