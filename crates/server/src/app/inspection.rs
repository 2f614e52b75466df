// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Looking on: what functions are, how they fare, what they have committed and said. Nothing of it changes anything.

mod circle;
mod describe;
mod logs;
mod matched;
mod observe;
mod state;

use std::sync::Arc;
use std::time::Duration;

use fnstream_core::clock::Clock;
use fnstream_core::metadata::Metadata;
use fnstream_core::tasks::Tasks;
use fnstream_core::upkeep::Upkeep;

use super::backups::LastBackup;
use super::group::Fellows;
use super::logs::LocalLogs;
use super::ops::Ops;
use super::programs::Programs;
use super::reconcile::Reconciler;
use super::records::WaitingRoom;
use crate::metrics::ServerMeter;
use crate::net::Net;

pub(in crate::app) use describe::described;
pub(crate) use logs::LogReading;
pub use state::state_key;
pub(crate) use state::{StateEntry, WantedEntry};

/// See the module.
pub(crate) struct Inspection {
    pub(super) ops: Arc<Ops>,
    pub(super) register: Arc<dyn Metadata>,
    pub(super) tasks: Arc<dyn Tasks>,
    pub(super) upkeep: Arc<dyn Upkeep>,
    pub(super) reconciler: Arc<Reconciler>,
    pub(super) programs: Arc<Programs>,
    pub(super) fellows: Arc<Fellows>,
    pub(super) logs: Arc<LocalLogs>,
    pub(super) meter: ServerMeter,
    /// Not there if no backups are made here.
    pub(super) last_backup: Option<Arc<LastBackup>>,
    pub(super) net: Arc<Net>,
    /// Who waits for a line of a log takes a place in it.
    pub(super) room: Arc<WaitingRoom>,
    pub(super) clock: Arc<dyn Clock>,
    /// When the server was started, on its clock.
    pub(super) began: Duration,
}
