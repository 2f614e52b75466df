// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The reconciler: the only one who starts and ends functions in this process's engine.
//!
//! ```text
//! a request, here or elsewhere ──► register (durable) ──► watch ──► list ──► plan ──► load, start, drain, end
//!        ▲                                                                              │
//!        └───────────────── waits until that revision has settled ◄────────────────────┘
//! ```
//!
//! What is wanted stands in the register, and what there is in [`slots`]; [`plan`] says what leads from one to the other. So it
//! does not matter who changed the register, and a process that comes late or was cut off does what is to be done when it
//! looks next. Requests name the function that they changed, so that they do not wait until all are listed.

mod acting;
mod patterns;
mod plan;
mod runner;
mod slots;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use fnstream_core::Result;
use fnstream_core::epoch::FunctionId;
use fnstream_core::metadata::Metadata;
use fnstream_core::peers::{Observed, PeerId, Peers};
use fnstream_core::spec::FunctionEntry;
use fnstream_core::waker::Waker;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

pub(super) use runner::Runner;

use super::ops::{Ops, blocking};
use super::safe_start::SafeStart;
use slots::{Count, Slots};

/// How long until a register that could not be read is looked at again.
const RETRY: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct Reconciler {
    register: Arc<dyn Metadata>,
    peers: Arc<dyn Peers>,
    runner: Runner,
    ops: Arc<Ops>,
    safe_start: Arc<SafeStart>,
    /// How long functions have that are to be replaced.
    patience: Duration,
    slots: Mutex<Slots>,
    news: Mutex<News>,
    woken: Notify,
    /// So many of the names that were asked for were looked up.
    looked: AtomicU64,
    /// What the peers were told last.
    told: Mutex<Option<BTreeMap<FunctionId, Observed>>>,
    /// Counts the changes of the slots.
    changed: watch::Sender<u64>,
    /// All that should run was given to the engine, or could not be.
    started: AtomicBool,
    /// The same, and it is known of all tasks how they fare.
    booted: watch::Sender<bool>,
}

/// What is to be looked at.
#[derive(Default)]
struct News {
    all: bool,
    peers: bool,
    names: BTreeSet<String>,
    /// How often one name was asked for, these included.
    asked: u64,
}

/// Keeps a function from running in this process, while it lives.
pub(super) struct Hold {
    reconciler: Arc<Reconciler>,
    name: String,
    by: PeerId,
}

/// A function that is about to be made, while it lives.
pub(super) struct Expected {
    reconciler: Arc<Reconciler>,
    name: String,
    hold: Option<Hold>,
}

impl Expected {
    /// It is registered: it may run.
    pub(super) fn is_made(&mut self) {
        self.hold = None;
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.reconciler.slots.lock().expect_no_more(&self.name);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.reconciler.release(&self.name, &self.by);
    }
}

impl Reconciler {
    pub(super) fn new(
        register: Arc<dyn Metadata>,
        peers: Arc<dyn Peers>,
        runner: Runner,
        ops: Arc<Ops>,
        safe_start: Arc<SafeStart>,
        patience: Duration,
    ) -> Arc<Self> {
        Arc::new(Reconciler {
            register,
            peers,
            runner,
            ops,
            safe_start,
            patience,
            slots: Mutex::default(),
            news: Mutex::default(),
            woken: Notify::new(),
            looked: AtomicU64::new(0),
            told: Mutex::default(),
            changed: watch::Sender::new(0),
            started: AtomicBool::new(false),
            booted: watch::Sender::new(false),
        })
    }

    /// Follows the register until the server closes. May be begun again after it was cut off: all is looked at then.
    pub(super) async fn run(self: Arc<Self>) {
        self.watch();
        self.look_again(*self.booted.borrow(), BTreeSet::new());
        let first = loop {
            match self.list().await {
                Ok(entries) => break entries,
                Err(error) => {
                    tracing::error!(code = %error.code, error = error.message, "the functions could not be listed: none is started yet");
                    if !self.pause().await {
                        return;
                    }
                }
            }
        };
        let (start, entries) = (self.safe_start.clone(), first.clone());
        let held = blocking(move || Ok(start.begin(&entries))).await.unwrap_or_default();
        self.slots.lock().boot(&first, &held);
        self.look_at(first.into_iter().map(|entry| (entry.spec.name.clone(), Some(entry))).collect());
        self.say_so();
        loop {
            let looked = self.pass().await;
            let told = self.tell();
            if let Err(error) = looked {
                tracing::error!(code = %error.code, error = error.message, "the register of functions could not be read");
                if !self.pause().await {
                    return;
                }
                continue;
            }
            // What the peers do not know yet they are told again after a while.
            let patience = if told { Duration::MAX } else { RETRY };
            tokio::select! {
                _ = tokio::time::timeout(patience, self.woken.notified()) => {}
                () = self.ops.closing().cancelled() => return,
            }
        }
    }

    /// Has changes of the register and of the peers wake the reconciler.
    fn watch(self: &Arc<Self>) {
        let waker = |note: fn(&mut News)| {
            let reconciler = Arc::downgrade(self);
            Waker::new(move || {
                if let Some(reconciler) = reconciler.upgrade() {
                    note(&mut reconciler.news.lock());
                    reconciler.woken.notify_one();
                }
            })
        };
        self.register.watch(waker(|news| news.all = true));
        self.peers.watch(waker(|news| news.peers = true));
    }

    /// Waits a while; `false` when the server closes.
    async fn pause(&self) -> bool {
        tokio::time::timeout(RETRY, self.ops.closing().cancelled()).await.is_err()
    }

    async fn list(self: &Arc<Self>) -> Result<Vec<FunctionEntry>> {
        let register = self.register.clone();
        blocking(move || register.list()).await
    }

    /// Looks at everything of which there is news.
    async fn pass(self: &Arc<Self>) -> Result<()> {
        let (News { all, peers, names, .. }, asked) = {
            let mut news = self.news.lock();
            let asked = news.asked;
            (mem::replace(&mut *news, News { asked, ..News::default() }), asked)
        };
        if peers {
            let reports = self.peers.reports().inspect_err(|_| {
                self.look_again(all, names.clone());
                self.news.lock().peers = true;
            })?;
            let living: BTreeSet<_> = reports.into_iter().map(|report| report.peer).chain([self.peers.me()]).collect();
            let freed = self.slots.lock().release_all_but(&living);
            self.news.lock().names.extend(freed);
            self.woken.notify_one();
        }
        let (register, wanted) = (self.register.clone(), names.clone());
        let looked = blocking(move || {
            wanted.into_iter().map(|name| register.get(&name).map(|entry| (name, entry))).collect::<Result<Vec<_>>>()
        });
        let entries = looked.await.inspect_err(|_| self.look_again(all, names))?;
        self.look_at(entries);
        self.looked.store(asked, Ordering::Release);
        self.say_so();
        if all {
            // Those who asked for one function by its name have been seen to.
            let mut missing = self.slots.lock().seen();
            let entries = self.list().await.inspect_err(|_| self.look_again(true, BTreeSet::new()))?;
            for entry in &entries {
                missing.remove(&entry.spec.name);
            }
            let there = entries.into_iter().map(|entry| (entry.spec.name.clone(), Some(entry)));
            self.look_at(there.chain(missing.into_iter().map(|name| (name, None))).collect());
        }
        Ok(())
    }

    fn look_again(&self, all: bool, names: BTreeSet<String>) {
        let mut news = self.news.lock();
        news.all |= all;
        news.names.extend(names);
    }

    fn look_at(self: &Arc<Self>, entries: Vec<(String, Option<FunctionEntry>)>) {
        if entries.is_empty() {
            return;
        }
        for (name, entry) in entries {
            let acts = self.slots.lock().look(&name, entry.as_ref());
            acts.into_iter().for_each(|act| self.act(act));
        }
        self.say_so();
    }

    /// Has a function looked at whose entry was changed; the number says when it was.
    pub(super) fn look(&self, name: &str) -> u64 {
        let number = {
            let mut news = self.news.lock();
            news.names.insert(name.to_owned());
            news.asked += 1;
            news.asked
        };
        self.woken.notify_one();
        number
    }

    /// Has a function started anew, though nothing has changed.
    pub(super) fn again(&self, name: &str) {
        self.slots.lock().again(name);
        self.look(name);
    }

    fn say_so(&self) {
        let started = {
            let slots = self.slots.lock();
            slots.has_booted().then(|| slots.count())
        };
        if let Some(Count { started, failed, held }) = started.filter(|_| !self.started.swap(true, Ordering::Relaxed)) {
            tracing::info!(started, failed, held, "functions started");
            let booted = self.booted.clone();
            self.runner.engine.when_up(Waker::new(move || {
                booted.send_replace(true);
            }));
        }
        self.changed.send_modify(|changes| *changes = changes.wrapping_add(1));
    }

    /// Reports to the peers how far the register was followed, when that has changed; `false` when they do not know.
    fn tell(&self) -> bool {
        let observed = self.slots.lock().observed();
        let mut told = self.told.lock();
        if told.as_ref() == Some(&observed) {
            return true;
        }
        match self.peers.publish(observed.clone()) {
            Ok(()) => *told = Some(observed),
            Err(error) => {
                tracing::warn!(code = %error.code, error = error.message, "the peers do not know what runs here yet");
                return false;
            }
        }
        true
    }
}
