// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What each request means, without HTTP or gRPC.
//!
//! Services, each with only the parts that it touches: [`Functions`] changes the register, [`Records`] is for clients of topics,
//! [`DeadLetters`] for what functions failed at, [`Jobs`] does what takes long with them, [`Inspection`] looks on, [`Instances`] asks running functions, [`Triggers`] shows what one would do with an event, [`Shelf`] has the
//! artifacts, and [`BackupDesk`] has all of it copied. They work on the seams of `fnstream-core` and know neither an interface nor a store.
//!
//! The order of steps is the point of this module: what the user wants is durable (in the register) before anything is done
//! about it, and the [reconciler](reconcile) has done it before the caller is answered. After a crash at any moment the next
//! start finds what was wanted and does it; nothing else is to be repaired. Operations that change something run to their end
//! also when the caller goes away, and a shutdown waits for them ([`ops`]).
//!
//! # Reading order
//!
//! `functions` (what requests change), `reconcile` (who follows), `group` (the other processes), then `records`,
//! `dead_letters` and `jobs`, `inspection`; lists come in `pages`. `safe_start` says which functions a start leaves alone.

mod alter_topic;
mod backups;
pub(crate) mod caller;
mod dead_letters;
mod deadline;
mod functions;
mod grants;
mod group;
mod inspection;
mod instances;
pub(crate) mod jobs;
mod logs;
mod maintenance;
pub(crate) mod ops;
pub(crate) mod pages;
mod parts;
mod places;
mod programs;
mod reconcile;
mod records;
mod safe_start;
mod shelf;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
mod topic_maker;
mod triggers;

use std::sync::Arc;

use fnstream_config::nearest;
use fnstream_core::metadata::Metadata;
use fnstream_core::peers::{Desk, PeerId};
use fnstream_core::spec::FunctionEntry;
use fnstream_core::{Error, ErrorCode, Result};

pub(crate) use backups::{BackupDesk, BackupUnderWay};
pub(crate) use dead_letters::{Chosen, Count, DeadLetterPage, DeadLetters, WaitingDeadLetter};
pub(crate) use deadline::Deadline;
pub(crate) use functions::{Apply, CreateMode, Functions, Made, NewFunction, Wait};
pub use grants::granted;
pub use inspection::state_key;
pub(crate) use inspection::{Inspection, LogReading, StateEntry, WantedEntry};
pub(crate) use instances::Instances;
pub(crate) use jobs::Jobs;
pub(crate) use ops::{Ops, blocking};
pub(crate) use parts::Parts;
pub(crate) use records::{
    Delivered, GroupSample, Outcome, Reading, Records, ResetTo, Settling, Skipped, Start, Taken, TakenRecord, Taking,
    WaitingRoom,
};
pub(crate) use safe_start::SafeStart;
pub(crate) use shelf::{Archive, Described, Incoming, Shelf};
pub(crate) use triggers::{Origin, Tried, Triggers};

use crate::ServerConfig;
use crate::clusters::Leftovers;
use crate::most::Most;
use crate::net::Net;
use maintenance::Maintenance;
use pages::{List, Page, Wanted};
use reconcile::Reconciler;

/// What functions begin with.
const FIRST_REVISION: u64 = 1;
/// Among how many functions one of a like name is looked for.
const MEANT_AMONG: usize = 1_000;

/// The application: everything that a request can reach.
pub(crate) struct App {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) net: Arc<Net>,
    pub(crate) ops: Arc<Ops>,
    pub(crate) functions: Arc<Functions>,
    pub(crate) records: Arc<Records>,
    pub(crate) dead_letters: Arc<DeadLetters>,
    pub(crate) inspection: Arc<Inspection>,
    pub(crate) instances: Arc<Instances>,
    pub(crate) triggers: Arc<Triggers>,
    pub(crate) jobs: Arc<Jobs>,
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) backups: BackupDesk,
    /// This process of the server group, and who answers what the others ask it.
    pub(crate) me: PeerId,
    pub(crate) desk: Arc<dyn Desk>,
    maintenance: Arc<Maintenance>,
    reconciler: Arc<Reconciler>,
    leftovers: Arc<Leftovers>,
    pub(crate) safe_start: Arc<SafeStart>,
}

impl App {
    /// The largest body of a produce request.
    pub(crate) fn most_produced(&self) -> Most {
        Most::produced(&self.config, &self.net.budget)
    }

    /// The largest artifact.
    pub(crate) fn most_artifact(&self) -> Most {
        Most::artifact(&self.config, &self.net.budget)
    }

    /// What goes on beside requests, until the server closes.
    pub(crate) fn background(&self) -> Vec<tokio::task::JoinHandle<()>> {
        let (reconciler, maintenance) = (self.reconciler.clone(), self.maintenance.clone());
        let (start, started, ops) = (self.safe_start.clone(), self.reconciler.clone(), self.ops.clone());
        let (leftovers, left) = (self.leftovers.clone(), self.ops.clone());
        vec![
            ops::supervised("removing what was left behind", self.ops.clone(), move || {
                leftovers.clone().run(left.clone())
            }),
            ops::supervised("following the register", self.ops.clone(), move || reconciler.clone().run()),
            ops::supervised("maintenance", self.ops.clone(), move || maintenance.clone().run()),
            ops::supervised("watching the start", self.ops.clone(), move || {
                start.clone().watch(started.clone(), ops.clone())
            }),
        ]
    }

    /// Refuses new work and ends all waiting. Requests that wait for events are answered with an error.
    pub(crate) fn close(&self) {
        self.ops.closing().cancel();
    }
}

/// Some functions in the order of their names. Blocks.
fn function_page(register: &dyn Metadata, wanted: &Wanted) -> Result<Page<FunctionEntry>> {
    let after = wanted.after.as_ref().map(|cursor| List::Functions.text(cursor)).transpose()?;
    let rows = register.page(after.as_deref(), wanted.rows() + 1)?;
    Ok(Page::of(List::Functions, rows, wanted.rows(), |entry| entry.spec.name.clone().into_bytes()))
}

/// The number of the revision that a function is at: the one at which its description changed last. Stops and starts are no
/// revisions, though the register counts them. Blocks.
fn revision(register: &dyn Metadata, entry: &FunctionEntry) -> Result<u64> {
    if entry.revision == FIRST_REVISION {
        return Ok(entry.revision);
    }
    let latest = register.revisions(&entry.spec.name)?.pop();
    Ok(latest.map_or(entry.revision, |revision| revision.revision))
}

/// The function of a name. Blocks.
fn entry(register: &dyn Metadata, name: &str) -> Result<FunctionEntry> {
    match register.get(name)? {
        Some(entry) => Ok(entry),
        None => Err(missing(register, name)),
    }
}

/// There is no function of the name; one of a like name is named, if there is one among the first. Blocks.
fn missing(register: &dyn Metadata, name: &str) -> Error {
    let error = Error::new(ErrorCode::FunctionNotFound, format!("there is no function '{name}'"));
    // It is a courtesy: what goes wrong with it is not told.
    let known = register.page(None, MEANT_AMONG).unwrap_or_default();
    match nearest(name, known.iter().map(|entry| &*entry.spec.name)) {
        Some(meant) => {
            let general = ErrorCode::FunctionNotFound.advice();
            error.advising(format!("did you mean '{meant}'? {general}"))
        }
        None => error,
    }
}
