// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The rows of each statement that shows something. Their schemas are public: `docs/grpc.md` has them.

use std::sync::{Arc, OnceLock};

use fnstream_api::units::format_time;
use fnstream_api::{FunctionDescription, TaskDescription, TopicDescription};
use fnstream_core::Result;
use fnstream_core::units::counted;
use fnstream_sql::Pattern;

use super::Done;
use super::rows::Rows;
use crate::answer::{TASK_TYPE, status_word, summaries};
use crate::app::pages::Page;
use crate::app::{App, Count, StateEntry, WaitingDeadLetter, WantedEntry};
use crate::gather::{Asked, Bounds, gather};

/// The most dead letters of one answer.
const MOST_DEAD_LETTERS: usize = 10_000;

pub(super) async fn functions(app: &Arc<App>, like: Option<&Pattern>, asked: &Asked) -> Result<Done> {
    let Page { rows: functions, next } = summaries(app, like, asked).await?;
    let rows = Rows::default()
        .text("name", functions.iter().map(|function| &function.name))
        .text("task_type", functions.iter().map(|_| TASK_TYPE))
        .text("status", functions.iter().map(|function| status_word(function.status)));
    Ok(Done { rows: Some(rows), next, ..Done::new(counted(functions.len(), "function")) })
}

pub(super) async fn function(app: &Arc<App>, name: String) -> Result<Done> {
    let summary = app.inspection.status(name.clone()).await?;
    let function = app.inspection.describe(name).await?;
    let properties = properties(&function, summary.reason);
    let rows = Rows::default()
        .text("property", properties.iter().map(|(property, _)| property))
        .text("value", properties.iter().map(|(_, value)| value));
    Ok(Done { rows: Some(rows), ..Done::new(format!("function '{}'", function.name)) })
}

/// What a function is and how it fares, in words.
fn properties(function: &FunctionDescription, reason: Option<String>) -> Vec<(String, String)> {
    let groups = match function.groups.as_slice() {
        [] => function.inputs.join(", "),
        groups => groups.iter().map(|group| format!("[{}]", group.join(", "))).collect::<Vec<_>>().join(", "),
    };
    let mut all = vec![
        ("name".to_owned(), function.name.clone()),
        ("task_type".to_owned(), TASK_TYPE.to_owned()),
        ("status".to_owned(), status_word(function.status).to_owned()),
        ("reason".to_owned(), reason.unwrap_or_default()),
        ("revision".to_owned(), function.revision.to_string()),
        ("created".to_owned(), format_time(function.created_ms)),
        ("archive".to_owned(), function.archive.clone()),
        ("kind".to_owned(), function.kind.clone().unwrap_or_else(|| "not loaded".to_owned())),
        ("inputs".to_owned(), groups),
        ("selector".to_owned(), function.selector.as_str().to_owned()),
        ("outputs".to_owned(), function.outputs.join(", ")),
        ("replicas".to_owned(), function.replicas.to_string()),
        ("delivery".to_owned(), function.delivery.clone()),
        ("commit-interval".to_owned(), format!("{}ms", function.commit_interval_ms)),
    ];
    all.extend(function.from.map(|from| ("from".to_owned(), from.to_string())));
    all.extend(function.watermarks.iter().map(|(topic, of)| (format!("watermark.{topic}"), of.to_string())));
    all.extend(function.config.iter().map(|(name, value)| (format!("config.{name}"), value.clone())));
    all.extend(function.env.iter().map(|(name, value)| (format!("env.{name}"), value.clone())));
    all.extend(
        function
            .files
            .iter()
            .map(|grant| (format!("files.{}", grant.guest.as_ref().unwrap_or(&grant.host)), grant.host.clone())),
    );
    all.extend(fields("limits", &function.limits));
    all.extend(fields("memory", &function.memory));
    all.extend(fields("on-error", &function.on_error));
    all.extend(function.tasks.iter().map(|of| (format!("task.{}", of.index), task(of))));
    all
}

/// The fields of a part of the description, as JSON names them.
fn fields(what: &str, part: &impl serde::Serialize) -> Vec<(String, String)> {
    let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(part) else { return Vec::new() };
    let text = |value: serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    fields.into_iter().map(|(name, value)| (format!("{what}.{name}"), text(value))).collect()
}

fn task(task: &TaskDescription) -> String {
    let lag = task.lag().map_or_else(|| "unknown".to_owned(), |lag| lag.to_string());
    let TaskDescription { epoch, records_in, records_out, restarts, .. } = task;
    let status = task.status.as_str();
    let mut told =
        format!("{status}, epoch {epoch}, in {records_in}, out {records_out}, lag {lag}, restarts {restarts}");
    if let Some(watermark) = task.watermark_ms {
        told.push_str(&format!(", watermark {watermark}"));
    }
    if let Some(error) = &task.trouble {
        told.push_str(&format!(", waiting: {}: {}", error.code, error.message));
    }
    if let Some(error) = &task.last_error {
        told.push_str(&format!(", last error {}: {}", error.code, error.message));
    }
    told
}

pub(super) async fn topics(app: &Arc<App>, like: Option<&Pattern>, asked: &Asked) -> Result<Done> {
    let bounds = Bounds { limit: None, most: usize::MAX, what: "topics" };
    let size = |topic: &TopicDescription| {
        let users = topic.read_by.iter().chain(&topic.written_by).map(String::len).sum::<usize>();
        topic.name.len() + users
    };
    let gathered = gather(&app.net.budget, asked, bounds, size, |wanted| async {
        let mut page = app.records.describe_topics(wanted).await?;
        page.rows.retain(|topic| like.is_none_or(|pattern| pattern.matches(&topic.name)));
        Ok(page)
    });
    let (Page { rows: topics, next }, _memory) = gathered.await?;
    let records = |topic: &TopicDescription| {
        // Where positions are numbers of records, as in the embedded log and Kafka. Those of Pulsar are wider, and tell no number.
        let count = topic.partitions.iter().map(|of| {
            let (earliest, end) = (of.earliest.parse::<u64>().ok()?, of.end.parse::<u64>().ok()?);
            end.checked_sub(earliest)
        });
        count.sum::<Option<u64>>()
    };
    let rows = Rows::default()
        .text("name", topics.iter().map(|topic| &topic.name))
        .u32("partitions", topics.iter().map(|topic| topic.partitions.len() as u32))
        .optional_u64("records", topics.iter().map(records))
        .optional_u64("bytes", topics.iter().map(|topic| topic.partitions.iter().map(|of| of.bytes).sum()))
        .optional_u64("retention_ms", topics.iter().map(|topic| topic.retention_ms))
        .optional_u64("retention_bytes", topics.iter().map(|topic| topic.retention_bytes))
        .text("read_by", topics.iter().map(|topic| topic.read_by.join(", ")))
        .text("written_by", topics.iter().map(|topic| topic.written_by.join(", ")))
        .optional_times("created", topics.iter().map(|topic| topic.created_ms));
    Ok(Done { rows: Some(rows), next, ..Done::new(counted(topics.len(), "topic")) })
}

pub(super) async fn state(
    app: &Arc<App>,
    name: String,
    like: Option<Pattern>,
    limit: Option<u64>,
    asked: &Asked,
) -> Result<Done> {
    let bounds = Bounds { limit, most: usize::MAX, what: "entries" };
    let is_wanted: WantedEntry =
        Arc::new(move |entry| like.as_ref().is_none_or(|pattern| pattern.matches(&entry.key())));
    // The key is shown as text, too.
    let size = |entry: &StateEntry| 2 * entry.key().len() + entry.value.len();
    let page = |wanted| app.inspection.state(name.clone(), is_wanted.clone(), wanted);
    let (Page { rows: entries, next }, _memory) = gather(&app.net.budget, asked, bounds, size, page).await?;
    let part = |index: usize| entries.iter().map(move |entry| entry.complex.as_ref().map(|parts| &parts[index]));
    let rows = Rows::default()
        .u32("task", entries.iter().map(|entry| entry.task))
        .text("store", entries.iter().map(|entry| &entry.store))
        .text("key", entries.iter().map(|entry| entry.key()))
        .bytes("value", entries.iter().map(|entry| &entry.value))
        .optional_bytes("key_group", part(0))
        .optional_bytes("primary_key", part(1))
        .optional_bytes("namespace", part(2))
        .bytes("user_key", entries.iter().map(|entry| &entry.user_key));
    Ok(Done { rows: Some(rows), next, ..Done::new(counted(entries.len(), "entry")) })
}

pub(super) async fn dead_letters(app: &Arc<App>, name: String, limit: Option<u64>, asked: &Asked) -> Result<Done> {
    let bounds = Bounds { limit, most: MOST_DEAD_LETTERS, what: "dead letters" };
    let size = |letter: &WaitingDeadLetter| letter.batch.frame().packed_len(letter.index..letter.index + 1);
    let count = OnceLock::new();
    let gathered = gather(&app.net.budget, asked, bounds, size, |wanted| async {
        let page = app.dead_letters.list(name.clone(), wanted).await?;
        page.count.map(|told| count.set(told));
        Ok(Page { rows: page.rows, next: page.next })
    });
    let (Page { rows: dead_letters, next }, _memory) = gathered.await?;
    let record = |index: usize| dead_letters[index].batch.frame().record(dead_letters[index].index);
    let of = || dead_letters.iter().map(|dead_letter| &dead_letter.dead_letter);
    let id = |dead_letter: &WaitingDeadLetter| {
        format!("{}:{}", dead_letter.batch.from().partition, dead_letter.batch.position(dead_letter.index))
    };
    let rows = Rows::default()
        .text("id", dead_letters.iter().map(id))
        .text("error_code", of().map(|dead_letter| &dead_letter.code))
        .text("message", of().map(|dead_letter| &dead_letter.message))
        .text("topic", of().map(|dead_letter| dead_letter.source.topic.to_string()))
        .u32("partition", of().map(|dead_letter| dead_letter.source.partition))
        .text("position", of().map(|dead_letter| dead_letter.position.to_string()))
        .u64("attempts", of().map(|dead_letter| dead_letter.attempts))
        .u64("revision", of().map(|dead_letter| dead_letter.revision))
        .times("failed_at", of().map(|dead_letter| dead_letter.failed_at_ms))
        .optional_bytes("key", (0..dead_letters.len()).map(|index| record(index).key))
        .optional_bytes("value", (0..dead_letters.len()).map(|index| record(index).value));
    let what = counted(dead_letters.len(), "dead letter");
    let message = match count.get() {
        Some(Count { waiting, .. }) if *waiting != dead_letters.len() as u64 => {
            format!("{what} of {waiting} that wait")
        }
        _ => what,
    };
    Ok(Done { rows: Some(rows), next, ..Done::new(message) })
}
