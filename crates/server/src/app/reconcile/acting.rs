// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Doing what was decided.

use std::sync::Arc;
use std::time::Duration;

use fnstream_core::epoch::FunctionId;
use fnstream_core::error::Fault;
use fnstream_core::spec::FunctionEntry;
use fnstream_core::{Error, ErrorCode};

use super::plan::{End, Life};
use super::slots::{Act, Slot};
use super::{RETRY, Reconciler};
use crate::app::ops::blocking;

/// The longest wait until a function is tried again that could not be started.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// How long one waits that could not be started for the so-manieth time.
fn wait(failures: u32) -> Duration {
    RETRY.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX)).min(MAX_WAIT)
}

impl Reconciler {
    pub(super) fn act(self: &Arc<Self>, act: Act) {
        match act {
            Act::Load(entry, ticket, quiet) => drop(tokio::spawn(self.clone().bring_up(entry, ticket, quiet))),
            Act::End(id, name, how) => {
                let ended = {
                    let (reconciler, name) = (Arc::downgrade(self), name.clone());
                    Box::new(move || {
                        if let Some(reconciler) = reconciler.upgrade() {
                            reconciler.slots.lock().ended(&name, id);
                            reconciler.look(&name);
                            reconciler.say_so();
                        }
                    })
                };
                self.runner.end(id, how == End::Abort, ended);
                if how == End::DrainBounded {
                    tokio::spawn(self.clone().hasten(name, id));
                }
            }
            Act::Leave(id) => self.runner.end(id, true, Box::new(|| ())),
            Act::Forget(id, name) => self.runner.forget(id, &name),
        }
    }

    /// Ends a function at once that has not finished within its time.
    async fn hasten(self: Arc<Self>, name: String, id: FunctionId) {
        let mut changes = self.changed.subscribe();
        let ending = |slot: &Slot| matches!(slot.life, Life::Ending { id: ending, .. } if ending == id);
        let ended = self.until(&mut changes, || !self.slots.lock().get(&name).is_some_and(ending));
        if tokio::time::timeout(self.patience, ended).await.is_err() && self.slots.lock().hasten(&name, id) {
            self.runner.end(id, true, Box::new(|| ()));
        }
    }

    /// Has a function started again after a while.
    async fn retry(self: Arc<Self>, entry: FunctionEntry, wait: Duration) {
        if tokio::time::timeout(wait, self.ops.closing().cancelled()).await.is_err() {
            self.slots.lock().retry(&entry);
            self.look(&entry.spec.name);
        }
    }

    /// A function could not be started; it is tried again after a while, if that may help.
    fn not_started(self: &Arc<Self>, entry: &FunctionEntry, error: Error) {
        // Whoever made the function can do nothing about what is away for a while.
        let passes = error.code.fault() != Fault::User;
        let failures = self.slots.lock().failed(entry, error.clone());
        let wait = passes.then(|| wait(failures));
        self.runner.note_failure(entry, &error, wait);
        if let Some(wait) = wait {
            tokio::spawn(self.clone().retry(entry.clone(), wait));
        }
        self.say_so();
    }

    /// Loads a function's program and starts it.
    async fn bring_up(self: Arc<Self>, entry: FunctionEntry, ticket: u64, quiet: bool) {
        let program = self.runner.load(&entry).await;
        let (reconciler, started) = (self.clone(), entry.clone());
        // As an operation, so that nothing is closed below it.
        let done = self.ops.detached(move || async move {
            if !reconciler.slots.lock().loaded(&entry.spec.name, ticket) {
                return Ok(());
            }
            let starting = (reconciler.clone(), entry.clone());
            let started = blocking(move || {
                let (reconciler, entry) = starting;
                let latest = reconciler.register.get(&entry.spec.name)?;
                match latest.as_ref() == Some(&entry) {
                    true => {
                        // The tasks and what they write know the revision as its user does.
                        let revision = crate::app::revision(&*reconciler.register, &entry)?;
                        let told = FunctionEntry { revision, ..entry };
                        reconciler.runner.start(&told, program?, quiet)?;
                        reconciler.follow_patterns(&told);
                        Ok(true)
                    }
                    false => Ok(false),
                }
            });
            match started.await {
                Ok(true) => reconciler.slots.lock().started(&entry),
                Ok(false) => reconciler.slots.lock().outdated(&entry.spec.name),
                Err(error) => reconciler.not_started(&entry, error),
            }
            // It may have changed meanwhile.
            reconciler.look(&entry.spec.name);
            reconciler.say_so();
            Ok(())
        });
        if let Err(error) = done.await
            && error.code != ErrorCode::ShuttingDown
        {
            self.not_started(&started, error);
        }
    }
}
