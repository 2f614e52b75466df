// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Descriptions: what is registered, with what the processes of the group say of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fnstream_api::function::total_lag;
use fnstream_api::{
    ErrorBody, FileGrant, FunctionDescription, FunctionMemory, FunctionStatus, FunctionSummary, OnError, Selector,
    TaskDescription, Watermark,
};
use fnstream_core::budget;
use fnstream_core::error::internal;
use fnstream_core::spec::{Beginning, DesiredState, FunctionEntry, FunctionSpec, Limits, check_name};
use fnstream_core::topic::TopicRef;
use fnstream_core::units::counted;
use fnstream_core::{Error, ErrorCode, Result};
use serde::Serialize;

use super::Inspection;
use super::circle;
use super::matched::Matched;
use crate::app::functions::told_grant;
use crate::app::group::{Look, Part};
use crate::app::ops::blocking;
use crate::app::pages::{Page, Wanted};
use crate::app::programs::Loading;

/// How a function fares in all processes together.
struct Whole {
    /// The revision that its user knows.
    revision: u64,
    /// Records consumed and emitted since it exists, as committed.
    records: (u64, u64),
    part: Option<Part>,
    failure: Option<Error>,
    /// Damage of what it reads or keeps.
    damage: Option<Error>,
    /// How far its artifact is that is being loaded here.
    loading: Option<Loading>,
    /// Whether no task can be in another process, which may not have told of it yet.
    is_alone: bool,
    /// What is found of each pattern of topics that it reads.
    patterns: Vec<Matched>,
}

impl Whole {
    /// Bytes of memory that the instances of all its tasks hold.
    fn held(&self) -> u64 {
        self.part.iter().flat_map(|part| &part.tasks).map(|task| task.memory_bytes).sum()
    }
}

impl Inspection {
    /// What a function is and how it fares.
    pub(crate) async fn describe(self: &Arc<Self>, name: String) -> Result<FunctionDescription> {
        check_name("function", &name)?;
        let register = self.register.clone();
        let entry = blocking(move || crate::app::entry(&*register, &name)).await?;
        self.describe_entry(entry).await
    }

    /// The same of a function whose entry is known.
    pub(in crate::app) async fn describe_entry(self: &Arc<Self>, entry: FunctionEntry) -> Result<FunctionDescription> {
        let guests = &self.net.budget.guests;
        let interval = self.fellows.local().clusters.commit_interval(&entry.spec);
        let described = self.whole(vec![entry]).await?.into_iter();
        let described = described.map(|(entry, whole)| description(&entry, whole, interval, guests));
        described.last().ok_or_else(|| internal("a function was lost while it was described"))
    }

    /// The same for whoever has just changed the function or started it, with what only then is worth going through the register for.
    pub(in crate::app) async fn describe_changed(
        self: &Arc<Self>,
        entry: FunctionEntry,
    ) -> Result<FunctionDescription> {
        let (register, spec) = (self.register.clone(), entry.spec.clone());
        let mut description = self.describe_entry(entry).await?;
        let clusters = self.fellows.local().clusters.clone();
        let circle = blocking(move || Ok(circle::through(&spec, &register.list()?, &clusters))).await?;
        description.notes.extend(circle.map(|path| circle::warning(&path)));
        Ok(description)
    }

    /// How a function fares.
    pub(crate) async fn status(self: &Arc<Self>, name: String) -> Result<FunctionSummary> {
        let register = self.register.clone();
        let entry = blocking(move || crate::app::entry(&*register, &name)).await?;
        let told = self.whole(vec![entry]).await?.first().map(|(entry, whole)| summary(entry, whole));
        told.ok_or_else(|| internal("a function was lost while it was described"))
    }

    /// How some functions fare, in the order of their names.
    pub(crate) async fn status_page(self: &Arc<Self>, wanted: Wanted) -> Result<Page<FunctionSummary>> {
        let register = self.register.clone();
        let Page { rows, next } = blocking(move || crate::app::function_page(&*register, &wanted)).await?;
        let rows = self.whole(rows).await?.iter().map(|(entry, whole)| summary(entry, whole)).collect();
        Ok(Page { rows, next })
    }

    /// Whether a function runs and did not fail for good, in no process.
    pub(in crate::app) async fn is_well(self: &Arc<Self>, entry: &FunctionEntry) -> Result<bool> {
        let wholes = self.whole(vec![entry.clone()]).await?;
        Ok(wholes.iter().all(|(_, whole)| {
            let part = whole.part.as_ref();
            let runs =
                part.is_some_and(|part| !matches!(part.status, FunctionStatus::Failed | FunctionStatus::Stopping));
            runs && whole.failure.is_none()
        }))
    }

    async fn whole(self: &Arc<Self>, entries: Vec<FunctionEntry>) -> Result<Vec<(FunctionEntry, Whole)>> {
        let names: BTreeMap<_, _> = entries.iter().map(|entry| (entry.id, entry.spec.name.clone())).collect();
        let mut elsewhere = self.fellows.parts(names).await?;
        let inspection = self.clone();
        blocking(move || {
            let is_alone = inspection.fellows.others()?.is_empty();
            let mut failures = inspection.fellows.failures_elsewhere();
            let look = Look::default();
            let whole = |entry: FunctionEntry| {
                let revision = crate::app::revision(&*inspection.register, &entry)?;
                let here = inspection.fellows.local().part(entry.id, &entry.spec.name, &look);
                let mut part = Part::merged(here.into_iter().chain(elsewhere.remove(&entry.id).unwrap_or_default()));
                // A place that cannot be read is told as damage.
                let records = inspection.records(&entry, part.as_mut(), &look).unwrap_or_default();
                let failure = inspection.reconciler.failure(&entry);
                let failure = failure.or_else(|| failures.remove(&entry.id));
                let damage = inspection.upkeep.damage_to(&entry);
                let loading = inspection.programs.loading(&entry.spec.artifact);
                let clusters = &inspection.fellows.local().clusters;
                let patterns = part.as_ref().map(|part| Matched::all(clusters, &entry.spec, part)).unwrap_or_default();
                Ok::<_, Error>((entry, Whole { revision, records, part, failure, damage, loading, is_alone, patterns }))
            };
            entries.into_iter().map(whole).collect()
        })
        .await
    }
}

impl Inspection {
    /// How many records all tasks have consumed and emitted, the same as their descriptions say of each: what they have committed,
    /// whether or not they run. Blocks.
    fn records(&self, entry: &FunctionEntry, part: Option<&mut Part>, look: &Look) -> Option<(u64, u64)> {
        let sum = |counts: &mut dyn Iterator<Item = (u64, u64)>| {
            counts.fold((0, 0), |(read, emitted): (u64, u64), (of, also)| (read + of, emitted + also))
        };
        let committed = || look.committed(|| self.tasks.progress(entry.id));
        Some(match part.filter(|part| !part.tasks.is_empty()) {
            Some(part) => {
                if !part.is_placed()
                    && let Some(standing) = committed()
                {
                    let topics = self.fellows.local().clusters.topics_of_id(entry.id).ok()?;
                    part.place(&standing, &*topics, look);
                }
                sum(&mut part.tasks.iter().map(|task| (task.records_in, task.records_out)))
            }
            None => {
                let standing = committed()?;
                sum(&mut standing.values().map(|progress| (progress.records_in, progress.records_out)))
            }
        })
    }
}

pub(super) fn word(entry: &FunctionEntry, part: Option<&Part>, failed: bool) -> FunctionStatus {
    match (part, entry.desired) {
        _ if failed => FunctionStatus::Failed,
        (Some(part), _) => part.status,
        (None, DesiredState::Running) => FunctionStatus::Starting,
        (None, DesiredState::Stopped) => FunctionStatus::Stopped,
    }
}

fn description(entry: &FunctionEntry, whole: Whole, interval: Duration, guests: &budget::Part) -> FunctionDescription {
    let memory = memory(&whole, &entry.spec.limits, guests);
    let Whole { revision, part, failure, damage, is_alone, patterns, .. } = whole;
    let spec = &entry.spec;
    let notes = part
        .as_ref()
        .filter(|_| is_alone)
        .and_then(|part| too_many_replicas(spec.replicas, part.tasks.len()))
        .into_iter()
        .chain(patterns.iter().map(Matched::to_string))
        .collect();
    let Described {
        archive,
        inputs,
        groups,
        selector,
        watermarks,
        from,
        outputs,
        replicas,
        no_join,
        config,
        limits,
        on_error,
        env,
        files,
    } = described(spec);
    FunctionDescription {
        name: spec.name.clone(),
        revision,
        desired: match entry.desired {
            DesiredState::Running => "running".to_owned(),
            DesiredState::Stopped => "stopped".to_owned(),
        },
        status: word(entry, part.as_ref(), failure.is_some()),
        kind: part.as_ref().map(|part| part.kind.clone()),
        archive,
        inputs,
        groups,
        selector,
        watermarks,
        from,
        outputs,
        replicas,
        delivery: "exactly-once".to_owned(),
        commit_interval_ms: interval.as_millis() as u64,
        no_join,
        config,
        limits,
        on_error,
        env,
        files,
        memory,
        created_ms: entry.created_ms,
        notes,
        error: failure.as_ref().or(damage.as_ref()).map(ErrorBody::from),
        tasks: part.map(|part| part.tasks).unwrap_or_default(),
    }
}

/// What a function is, as its description says it.
#[derive(Serialize)]
pub(in crate::app) struct Described {
    archive: String,
    inputs: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    groups: Vec<Vec<String>>,
    selector: Selector,
    watermarks: BTreeMap<String, Watermark>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Beginning>,
    outputs: Vec<String>,
    replicas: u32,
    #[serde(rename = "no-join", skip_serializing_if = "std::ops::Not::not")]
    no_join: bool,
    config: BTreeMap<String, String>,
    limits: fnstream_api::Limits,
    #[serde(rename = "on-error")]
    on_error: OnError,
    env: BTreeMap<String, String>,
    files: Vec<FileGrant>,
}

/// The same of a function that need not be registered.
pub(in crate::app) fn described(spec: &FunctionSpec) -> Described {
    let groups = spec.inputs.iter().map(|group| group.iter().map(TopicRef::to_string).collect());
    Described {
        archive: format!("sha256:{}", spec.artifact),
        inputs: spec.inputs.iter().flatten().map(TopicRef::to_string).collect(),
        groups: if spec.inputs.iter().all(|group| group.len() == 1) { Vec::new() } else { groups.collect() },
        selector: spec.selector.into(),
        watermarks: spec.watermarks.iter().map(|(topic, of)| (topic.to_string(), Watermark::from(of))).collect(),
        from: Some(spec.from).filter(|from| *from != Beginning::default()),
        outputs: spec.outputs.iter().map(TopicRef::to_string).collect(),
        replicas: spec.replicas,
        no_join: spec.no_join,
        config: spec.config.clone(),
        limits: (&spec.limits).into(),
        on_error: OnError::told(&spec.on_error, spec.dead_letter_topic().as_ref()),
        env: spec.env.clone(),
        files: spec.files.iter().map(told_grant).collect(),
    }
}

/// What more replicas than partitions come to.
fn too_many_replicas(replicas: u32, tasks: usize) -> Option<String> {
    let more = tasks > 0 && replicas as usize > tasks;
    more.then(|| {
        let run = format!("{} {}", counted(tasks, "task"), if tasks == 1 { "runs" } else { "run" });
        format!(
            "replicas is {replicas}, but there is a task for each partition of the inputs: {run}, until the inputs have more partitions"
        )
    })
}

fn memory(whole: &Whole, limits: &Limits, guests: &budget::Part) -> FunctionMemory {
    FunctionMemory {
        used_bytes: whole.held(),
        all_used_bytes: guests.used() as u64,
        all_limit_bytes: guests.limit() as u64,
        warning: limits.beyond(guests.limit()),
    }
}

fn summary(entry: &FunctionEntry, whole: &Whole) -> FunctionSummary {
    let part = whole.part.as_ref();
    let status = word(entry, part, whole.failure.is_some());
    // A function that was never started has none.
    let counters = part.map(|part| part.counters).unwrap_or_default();
    let tasks = part.map(|part| &part.tasks[..]).unwrap_or_default();
    FunctionSummary {
        name: entry.spec.name.clone(),
        status,
        revision: whole.revision,
        records_in: whole.records.0,
        records_out: whole.records.1,
        failed: counters.failed,
        dead_lettered: counters.dead_lettered,
        skipped: counters.skipped,
        ahead: counters.ahead,
        restarts: counters.restarts,
        lag: part.and_then(|_| total_lag(tasks.iter().map(TaskDescription::lag))),
        memory_bytes: whole.held(),
        reason: match (&whole.failure, &whole.damage) {
            (Some(error), _) if error.code == ErrorCode::HeldBack => Some(error.to_string()),
            (Some(error), _) => Some(format!("it could not be started: {} ({})", error.message, error.code)),
            (None, Some(error)) => {
                Some(format!("what it reads, keeps or runs is damaged: {} ({})", error.message, error.code))
            }
            (None, None) => {
                let unmatched =
                    || whole.patterns.iter().find(|pattern| pattern.topics.is_empty()).map(Matched::to_string);
                reason(status, part, whole.loading).or_else(unmatched)
            }
        },
    }
}

/// Why a function does not run, in the words of whoever has to do something about it.
fn reason(status: FunctionStatus, part: Option<&Part>, loading: Option<Loading>) -> Option<String> {
    let told = part.and_then(|part| part.reason.clone());
    let or = |what: &str| told.clone().or_else(|| Some(what.to_owned()));
    match status {
        FunctionStatus::Starting => match loading {
            Some(loading) => Some(loading.to_string()),
            None => or("its tasks are coming up"),
        },
        FunctionStatus::Stopping => or("it finishes what it began"),
        FunctionStatus::Stopped => Some("it was told to stop; 'client start' lets it run again".to_owned()),
        FunctionStatus::BackingOff | FunctionStatus::Failed | FunctionStatus::Running => told,
    }
}
