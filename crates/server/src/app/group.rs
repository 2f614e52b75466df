// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The processes of the server group: what needs the tasks of a function is asked of those that run them.
//!
//! ```text
//! a request ──► a service ──► Fellows ──► Local: the engine and the logs of this process
//!                                └──────► Peers ──► the Desk of another process ──► its Local
//! ```
//!
//! Which process runs a task is not kept anywhere: it changes at any time, and the groups are small. All are asked, and the one
//! that has the task answers.

pub(super) mod ask;
mod coming_up;
mod desk;
mod fellows;
mod holds;
mod local;
mod look;
mod part;
mod seen;

pub(super) use coming_up::ComingUp;
pub(super) use desk::PeerDesk;
pub(super) use fellows::Fellows;
pub(super) use holds::Holds;
pub(super) use local::Local;
pub(super) use look::Look;
pub(super) use part::Part;
pub(super) use seen::SeenByAll;
