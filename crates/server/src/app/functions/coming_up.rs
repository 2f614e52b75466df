// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Whether a function that was created, changed or started comes up, and what becomes of a change that does not.
//!
//! ```text
//! changed (durable) -> given to the engine -> every task has started an instance:  up
//!                                          -> a task failed for good:              does not come up  ─┐ an update: back to the
//!                                          -> the time is over:                    not up yet        ─┘ description before it
//! ```
//!
//! An update goes back only to a description with which the function was up, and not for what that would wait for just the
//! same, such as state that is rebuilt or a broker that is away. Going back is a revision of its own: state and positions go on
//! as they are, and the one that failed can be looked at. It is done although the caller has gone away meanwhile, but not after
//! the death of the server: the next start has the changed function.

use std::sync::Arc;
use std::time::Duration;

use fnstream_api::{FunctionDescription, FunctionStatus, TaskDescription, TaskError, TaskStatus};
use fnstream_core::spec::{DesiredState, FunctionEntry, FunctionSpec};
use fnstream_core::units::write_duration;
use fnstream_core::{Error, ErrorCode, Result};
use tokio::time::Instant;

use super::Functions;
use crate::app::Deadline;
use crate::app::group::ComingUp;
use crate::app::ops::blocking;

/// How long is waited when nothing else is said.
const WAIT: Duration = Duration::from_secs(30);

/// What is left of a caller's time to go back and to answer.
const RESERVE: Duration = Duration::from_secs(2);

/// How often the other processes of a group are asked, which do not tell how their tasks fare.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// How long a caller waits until a function is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wait {
    /// At most so long.
    pub(crate) time: Duration,
    /// An update that does not come up stays in force.
    pub(crate) keep_failed: bool,
}

impl Wait {
    /// As long as nothing else is said, and a caller with a deadline waits.
    pub(crate) fn of_caller() -> Self {
        let left = Deadline::of_caller().left().map(|left| left.saturating_sub(RESERVE));
        Wait { time: left.map_or(WAIT, |left| left.min(WAIT)), keep_failed: false }
    }
}

/// A function that was changed.
pub(super) struct Changed {
    /// As it is now.
    pub(super) entry: FunctionEntry,
    /// What it was, if it was up like that and is another now.
    pub(super) before: Option<Before>,
    /// Whether it is what it was.
    pub(super) is_same: bool,
}

/// What a function was before a change.
pub(super) struct Before {
    pub(super) spec: FunctionSpec,
    pub(super) revision: u64,
}

impl Changed {
    /// One that there is nothing to go back to.
    pub(super) fn for_good(entry: FunctionEntry) -> Self {
        Changed { entry, before: None, is_same: false }
    }

    /// One that stays what it was.
    pub(super) fn none(entry: FunctionEntry) -> Self {
        Changed { is_same: true, ..Changed::for_good(entry) }
    }
}

/// Why a function has failed.
fn failure(function: &FunctionDescription) -> String {
    let of_task = |task: &TaskDescription| {
        let TaskError { code, message, .. } = task.last_error.as_ref()?;
        Some(format!("task {}: {message} ({code})", task.index))
    };
    let failed = function.tasks.iter().find(|task| task.status == TaskStatus::Failed).and_then(of_task);
    failed.or_else(|| function.error.as_ref().map(|error| error.message.clone())).unwrap_or_default()
}

impl Functions {
    /// How a function came up that was given to the engine: what is known of it by then, or by the end of the wait. What may go back
    /// has to be part of what outlasts its caller.
    pub(super) async fn seen_up(
        self: &Arc<Self>,
        done: String,
        changed: Changed,
        started: Result<FunctionDescription>,
        wait: Option<Wait>,
    ) -> Result<FunctionDescription> {
        match wait {
            Some(wait) => self.see_up(done, changed, wait).await,
            None => started,
        }
    }

    /// Waits until a function is up, if it is to run; the error is why it is not, and what became of it. `done` says what was done
    /// with it, in words.
    async fn see_up(self: &Arc<Self>, done: String, changed: Changed, wait: Wait) -> Result<FunctionDescription> {
        let Changed { entry, before, .. } = changed;
        let (code, why, outside) = match self.comes_up(&entry, wait.time).await? {
            // It may have met a first event meanwhile.
            ComingUp::Up => match self.inspection.describe_entry(entry.clone()).await? {
                up if up.status != FunctionStatus::Failed => return Ok(up),
                failed => (ErrorCode::NotUp, format!("came up and failed: {}", failure(&failed)), false),
            },
            ComingUp::Failed(why) => (ErrorCode::NotUp, format!("does not come up: {why}"), false),
            ComingUp::NotYet { waits_for, outside } => {
                let why = format!("is not up after {}: {waits_for}", write_duration(wait.time));
                (ErrorCode::NotUpYet, why, outside)
            }
        };
        let message = format!("function '{}' {done}, but {why}", entry.spec.name);
        match before {
            Some(before) if !outside && !wait.keep_failed => {
                // It is done even if the caller does not wait for it any more.
                Err(Deadline::default().scope(self.fall_back(entry, before, message, wait)).await)
            }
            _ => Err(refused(code, &entry.spec.name, message)),
        }
    }

    /// How far a function is with coming up when that is known, or the time is over.
    async fn comes_up(self: &Arc<Self>, entry: &FunctionEntry, time: Duration) -> Result<ComingUp> {
        let until = Instant::now() + time;
        if entry.desired == DesiredState::Stopped {
            return Ok(ComingUp::Up);
        }
        loop {
            match tokio::time::timeout_at(until, self.reconciler.started(entry)).await {
                Ok(Ok(())) => break,
                Ok(Err(error)) if error.code == ErrorCode::ShuttingDown => return Err(error),
                Ok(Err(error)) if error.code == ErrorCode::FunctionBusy && Instant::now() < until => {}
                Ok(Err(error)) if error.code != ErrorCode::FunctionBusy => {
                    return Ok(ComingUp::Failed(format!("{} ({})", error.message, error.code)));
                }
                Ok(Err(_)) | Err(_) => {
                    return Ok(ComingUp::NotYet { waits_for: "it is still being started".to_owned(), outside: false });
                }
            }
        }
        let mut changes = self.fellows.local().changes();
        loop {
            let now = self.far(entry).await?;
            if !matches!(now, ComingUp::NotYet { .. }) || Instant::now() >= until {
                return Ok(now);
            }
            let next = match self.fellows.others()?.is_empty() {
                true => until,
                false => until.min(Instant::now() + ASK_AGAIN),
            };
            tokio::select! {
                _ = tokio::time::timeout_at(next, changes.changed()) => {}
                () = self.ops.closing().cancelled() => self.ops.check_open()?,
            }
        }
    }

    /// How far a function is, as long as it is what it was when it was changed.
    async fn far(self: &Arc<Self>, entry: &FunctionEntry) -> Result<ComingUp> {
        let (register, name) = (self.register.clone(), entry.spec.name.clone());
        let now = blocking(move || crate::app::entry(&*register, &name)).await?;
        if now != *entry {
            let message = format!("function '{}' was changed while it was waited for", entry.spec.name);
            return Err(Error::new(ErrorCode::FunctionChanged, message));
        }
        self.fellows.coming_up(entry).await
    }

    /// What a function is, if it is up with it.
    pub(super) async fn up_before(self: &Arc<Self>, entry: &FunctionEntry) -> Result<Option<Before>> {
        if entry.desired == DesiredState::Stopped || self.fellows.coming_up(entry).await? != ComingUp::Up {
            return Ok(None);
        }
        let (register, of) = (self.register.clone(), entry.clone());
        let revision = blocking(move || crate::app::revision(&*register, &of)).await?;
        Ok(Some(Before { spec: entry.spec.clone(), revision }))
    }

    /// Puts the description in force again that a function was up with; the answer says what was wrong and what came of it.
    async fn fall_back(self: &Arc<Self>, failed: FunctionEntry, before: Before, why: String, wait: Wait) -> Error {
        let (functions, to, name) = (self.clone(), before.revision, failed.spec.name.clone());
        let back = self.ops.alone(name.clone(), move |name| async move {
            let entry = functions.entry(name).await?;
            if entry != failed {
                let why = "the function was changed by someone else meanwhile";
                return Err(Error::new(ErrorCode::FunctionChanged, why));
            }
            // Kept until the function runs, so that it need not be loaded again.
            let program = functions.programs.load(&before.spec.artifact).await?;
            let put = move |functions: &Functions, entry: &FunctionEntry| {
                let entry = functions.put_in_force(entry, before.spec, &*program)?;
                tracing::warn!(function = entry.spec.name, to, revision = entry.revision, "an update does not come up");
                let text = format!("does not come up: back to revision {to}, as revision {}", entry.revision);
                functions.note(&entry, &text);
                Ok(entry)
            };
            functions.replace(entry, put).await
        });
        let (revision, came) = match back.await {
            Err(error) => {
                let message = format!("{why}; it could not go back to revision {to}: {error}");
                return refused(ErrorCode::NotUp, &name, message);
            }
            Ok(entry) => (entry.revision, self.comes_up(&entry, wait.time).await),
        };
        let came = match came {
            Ok(ComingUp::Up) => "and runs".to_owned(),
            Ok(ComingUp::NotYet { waits_for, .. }) => format!("and is not up yet: {waits_for}"),
            Ok(ComingUp::Failed(why)) => format!("but does not come up any more: {why}"),
            Err(error) => format!("but was not seen to come up: {error}"),
        };
        let message = format!("{why}; revision {to} is in force again, as revision {revision}, {came}");
        refused(ErrorCode::NotUp, &name, message)
    }
}

/// A function is not up: what to do names it.
fn refused(code: ErrorCode, name: &str, message: String) -> Error {
    let error = Error::new(code, message);
    match code {
        ErrorCode::NotUp => {
            error.advising(format!("see what it wrote with 'function-stream client logs -n {name}', then update it"))
        }
        _ => error,
    }
}
