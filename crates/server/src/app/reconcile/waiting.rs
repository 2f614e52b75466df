// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Waiting until the register was followed, and keeping a function from running while it is changed.
//!
//! Every wait has an end, so that whoever stops, changes or deletes a function gets an answer whatever the function does:
//!
//! | waits for | most | then |
//! |---|---|---|
//! | a stopped function to rest | the stop timeout | answers how it fares: it is still stopping |
//! | a removed function to be forgotten | the stop timeout | answers: it is removed, and nothing of it can be committed |
//! | a held function to rest | the stop timeout, then [`LAST`] | its tasks are left to themselves, fenced |
//! | a function to be started | the stop timeout and [`LAST`] | an error that says so; it goes on |

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fnstream_core::peers::PeerId;
use fnstream_core::spec::{DesiredState, FunctionEntry};
use fnstream_core::{Error, ErrorCode, Result};
use tokio::sync::watch;

use super::plan::At;
use super::slots::Slots;
use super::{Expected, Hold, Reconciler};

/// How long a function has that was told to end at once: its calls are interrupted, so it is done in a moment.
const LAST: Duration = Duration::from_secs(5);

fn starting(name: &str) -> Error {
    Error::new(ErrorCode::FunctionBusy, format!("function '{name}' is still being started"))
}

impl Reconciler {
    /// Waits until an entry of the register was acted upon here; the error is why the function does not run.
    pub(in crate::app) async fn settled(&self, entry: &FunctionEntry) -> Result<()> {
        let (name, at) = (&entry.spec.name, At::of(entry));
        let look = self.look(name);
        let mut seen = None;
        self.wait(|| {
            let slots = self.slots.lock();
            let slot = slots.get(name).filter(|slot| slot.has_settled(at));
            seen = slot.map(|slot| slot.failure.clone());
            seen.is_some() || self.is_past(&slots, name, at, look)
        })
        .await?;
        match seen.flatten() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Waits until a function that should run is running here; the error is why it does not.
    pub(in crate::app) async fn started(&self, entry: &FunctionEntry) -> Result<()> {
        match entry.desired {
            DesiredState::Stopped => self.settled(entry).await,
            DesiredState::Running => {
                let (name, at) = (&entry.spec.name, At::of(entry));
                let look = self.look(name);
                let tried = self.wait(|| {
                    let slots = self.slots.lock();
                    slots.get(name).is_some_and(|slot| slot.has_been_tried(at)) || self.is_past(&slots, name, at, look)
                });
                tokio::time::timeout(self.most(), tried).await.unwrap_or_else(|_| Err(starting(name)))?;
                self.failure(entry).map_or(Ok(()), Err)
            }
        }
    }

    /// Waits until nothing of a function runs here that was stopped, at most as long as a function has to finish.
    pub(in crate::app) async fn stopped(&self, entry: &FunctionEntry) -> Result<()> {
        let (name, at) = (&entry.spec.name, At::of(entry));
        let look = self.look(name);
        let stopped = self.wait(|| {
            let slots = self.slots.lock();
            slots.get(name).is_some_and(|slot| slot.has_settled(at)) || self.is_past(&slots, name, at, look)
        });
        // Nobody waits any more when it took too long.
        tokio::time::timeout(self.patience, stopped).await.unwrap_or(Ok(()))
    }

    /// Waits until this process has seen that a function was removed.
    pub(in crate::app) async fn removed(&self, entry: &FunctionEntry) -> Result<()> {
        let name = &entry.spec.name;
        self.look(name);
        let removed = self.wait(|| self.slots.lock().get(name).is_none_or(|slot| !slot.is_of(entry.id)));
        tokio::time::timeout(self.patience, removed).await.unwrap_or(Ok(()))
    }

    /// Keeps a function from running here until the hold is dropped; answers when none of its tasks runs. They finish what they
    /// began, and those that take too long are ended.
    pub(in crate::app) async fn hold(self: &Arc<Self>, name: &str) -> Result<Hold> {
        let by = self.peers.me();
        self.slots.lock().hold(name, &by);
        let hold = Hold { reconciler: self.clone(), name: name.to_owned(), by };
        self.rested(name).await?;
        Ok(hold)
    }

    /// Keeps the name of a function that is about to be made, and knows that whoever makes it writes into its log that it was
    /// started.
    pub(in crate::app) async fn expect(self: &Arc<Self>, name: &str) -> Result<Expected> {
        let hold = self.hold(name).await?;
        self.slots.lock().expect(name);
        Ok(Expected { reconciler: self.clone(), name: name.to_owned(), hold: Some(hold) })
    }

    /// The same on behalf of another process, until it releases the function or is gone.
    pub(in crate::app) async fn hold_for(&self, name: &str, by: &PeerId) -> Result<()> {
        self.slots.lock().hold(name, by);
        self.rested(name).await
    }

    async fn rested(&self, name: &str) -> Result<()> {
        self.look(name);
        let rested = self.wait(|| self.slots.lock().get(name).is_none_or(|slot| slot.rests()));
        match tokio::time::timeout(self.most(), rested).await {
            Ok(rested) => rested,
            Err(_) => self.abandon(name),
        }
    }

    /// A function was told to end at once and has not: it waits for something that nobody can interrupt, such as a disk. It is
    /// left to itself; whoever goes on fences its tasks or takes them over.
    fn abandon(&self, name: &str) -> Result<()> {
        let abandoned = self.slots.lock().abandon(name);
        if let Some(id) = abandoned {
            tracing::warn!(function = name, "a function does not end, its tasks are left to themselves");
            self.runner.abandon(id);
            self.say_so();
            return Ok(());
        }
        if self.slots.lock().get(name).is_none_or(|slot| slot.rests()) { Ok(()) } else { Err(starting(name)) }
    }

    /// The longest wait for a function that is told to end at once after its time.
    fn most(&self) -> Duration {
        self.patience.saturating_add(LAST)
    }

    /// How long functions have that are to be replaced.
    pub(in crate::app) fn patience(&self) -> Duration {
        self.patience
    }

    /// Lets a function run again that was held.
    pub(in crate::app) fn release(&self, name: &str, by: &PeerId) {
        self.slots.lock().release(name, by);
        self.look(name);
    }

    /// Why a function does not run here that should.
    pub(in crate::app) fn failure(&self, entry: &FunctionEntry) -> Option<Error> {
        let slots = self.slots.lock();
        let slot = slots.get(&entry.spec.name).filter(|slot| slot.settled.is_some_and(|at| at.id == entry.id))?;
        slot.failure.clone()
    }

    /// Whether everything that should run since the start of the process does or is known to have failed, as it becomes so.
    pub(in crate::app) fn booted(&self) -> watch::Receiver<bool> {
        self.booted.subscribe()
    }

    /// The functions that a safe start holds back.
    pub(in crate::app) fn held_back(&self) -> BTreeSet<String> {
        self.slots.lock().held_back()
    }

    /// Waits until it is others, or fewer.
    pub(in crate::app) async fn until_held_back_is_not(&self, held: &BTreeSet<String>) {
        let mut changes = self.changed.subscribe();
        self.until(&mut changes, || self.held_back() != *held).await;
    }

    /// Another function has the name, or the function was changed further and is on its way there; or it was gone when it was
    /// looked for.
    fn is_past(&self, slots: &Slots, name: &str, at: At, look: u64) -> bool {
        slots.get(name).map_or_else(|| self.looked.load(Ordering::Acquire) >= look, |slot| slot.is_past(at))
    }

    async fn wait(&self, done: impl FnMut() -> bool) -> Result<()> {
        let mut changes = self.changed.subscribe();
        tokio::select! {
            () = self.until(&mut changes, done) => Ok(()),
            () = self.ops.closing().cancelled() => self.ops.check_open(),
        }
    }

    pub(super) async fn until(&self, changes: &mut watch::Receiver<u64>, mut done: impl FnMut() -> bool) {
        while !done() {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }
}
