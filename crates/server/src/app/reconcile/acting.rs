// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Doing what was decided.

use std::sync::Arc;

use fnstream_core::ErrorCode;
use fnstream_core::epoch::FunctionId;
use fnstream_core::spec::FunctionEntry;

use super::Reconciler;
use super::plan::{End, Life};
use super::slots::{Act, Slot};
use crate::app::ops::blocking;

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

    /// Loads a function's program and starts it.
    async fn bring_up(self: Arc<Self>, entry: FunctionEntry, ticket: u64, quiet: bool) {
        let program = self.runner.load(&entry).await;
        let reconciler = self.clone();
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
                    true => reconciler.runner.start(&entry, program?, quiet).map(|()| true),
                    false => Ok(false),
                }
            });
            match started.await {
                Ok(true) => reconciler.slots.lock().started(&entry),
                Ok(false) => reconciler.slots.lock().outdated(&entry.spec.name),
                Err(error) => {
                    reconciler.runner.note_failure(&entry, &error);
                    reconciler.slots.lock().failed(&entry, error);
                }
            }
            // It may have changed meanwhile.
            reconciler.look(&entry.spec.name);
            reconciler.say_so();
            Ok(())
        });
        if let Err(error) = done.await
            && error.code != ErrorCode::ShuttingDown
        {
            tracing::error!(code = %error.code, error = error.message, "a function could not be started");
        }
    }
}
