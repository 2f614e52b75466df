// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A task: the unit of order, state and commit.
//!
//! ```text
//!  mail (stop, revoke, lost) ─┐            ┌─► source.poll ─► instance.process ─► overlay + outbox
//!  wake-ups ──────────────────┴─► step ────┼─► instance.take_checkpoint, freeze ─► committer.commit ─┐
//!       ▲                                  └─► dirty map ─► bulk apply                               │
//!       └──────────────────────────── answered ◄────────────────────────────────────────────────────┘
//! ```
//!
//! Any failure drops the overlay, the outbox and the instance, and goes on from the last commit. Nobody but the committer
//! has seen anything of the open epoch, so nothing has to be undone. A failure of the function costs no more than that: the
//! task stays owned, and its source is moved back. Only when it is doubtful what still holds is the task taken over anew.
//!
//! Reading order: `handle` (the task as its function sees it), `machine` (its life), `open` (taking it over), `ownership`
//! (what stays as long as it is owned), `running` (one turn after the other), `epoch` and `in_flight` (its work), `decide`
//! (every decision).

mod dead_letters;
mod decide;
mod dirty;
mod dropped;
mod env;
mod epoch;
mod event_time;
mod failure;
mod guest;
mod handle;
mod host;
mod hunt;
mod in_flight;
mod machine;
mod open;
mod outbox;
mod ownership;
mod pace;
mod quota;
mod running;
mod timers;
mod trial;
pub(crate) mod trigger;
mod turns;
mod view;

pub(crate) use self::env::{ShortestStart, TaskEnv};
pub(crate) use self::handle::TaskHandle;
pub(crate) use self::in_flight::Probe;

/// The way in which a task is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    /// Close the instance, commit what is open, then end.
    Drain,
    /// End at once, commit nothing more.
    Abort,
}
