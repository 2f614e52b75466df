// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A task that processes: one turn after the other, each about a slice of time long.
//!
//! `feed` gives the instance its records, `blame` says who is to blame when a call fails, `replace` goes on with another instance
//! where that is enough, `time` tells it what time it is, `serve` answers what users ask, `freeze` ends epochs, `resting` lets go of an instance that has nothing to do.

mod blame;
mod feed;
mod freeze;
mod replace;
mod rest;
mod resting;
mod serve;
mod time;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use fnstream_core::error::Result;
use fnstream_core::runtime::CallFailure;
use fnstream_core::waker::Waker;

use self::rest::Rest;
use self::time::Climb;
use super::dead_letters::DeadLetterReader;
use super::decide::{Action, Facts, InFlight, Life, Search, Supply, Time, Work, after_open_failure, next_action};
use super::env::TaskEnv;
use super::epoch::OpenEpoch;
use super::event_time::EventTime;
use super::failure::Failure;
use super::guest::Guest;
use super::hunt::Hunt;
use super::ownership::Ownership;
use super::pace::Pace;
use super::trial::Trial;
use super::turns::Turns;
use super::view::View;
use crate::dead_letters::DeadLetterOrder;
use crate::requests::Asked;
use crate::status::TaskState;

/// The outcome of a turn of a running task.
pub(super) enum Turn {
    /// There is more to do.
    Again,
    /// An epoch was committed, and there may be more to do.
    Committed,
    /// Nothing until a wake or that time.
    Wait(Option<Duration>),
    /// All is committed, the task has ended.
    End,
}

/// The things a turn works with that outlive the instance.
pub(super) struct Cx<'a> {
    pub(super) env: &'a Arc<TaskEnv>,
    pub(super) waker: &'a Waker,
    pub(super) hunt: &'a mut Hunt,
    pub(super) order: &'a mut Option<DeadLetterOrder>,
    pub(super) requests: &'a mut VecDeque<Asked>,
    /// The task is to end.
    pub(super) ending: bool,
}

/// How long gaps that were passed over wait for a commit of something else.
const SKIPS_AGE: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct Running {
    own: Box<Ownership>,
    guest: Guest,
    epoch: OpenEpoch,
    /// Which input group is read next.
    turns: Turns,
    event_time: EventTime,
    /// What is left of the batch that was read last: it comes before anything else is read.
    rest: Option<Rest>,
    /// The last record that failed and was dealt with where it is, and when, until that is shown.
    failed: Option<(CallFailure, i64)>,
    /// How often the instance was replaced where it failed, until that is shown.
    replaced: u64,
    /// There was no more input when the source was last asked.
    drained: bool,
    /// The instance was told that it ends.
    closed: bool,
    /// Since when there has been nothing to do, as far as the instance goes.
    idle_since: Option<Duration>,
    /// How calls of time and input take turns.
    pace: Pace,
    /// What is done of the way to where the watermark rises.
    climb: Climb,
    /// The kind of the last call because of time, and of the one that is due.
    last_kind: usize,
    next_kind: usize,
    /// Open while dead letters are replayed or dropped.
    reader: Option<DeadLetterReader>,
    /// Dead letters that another program is to be given.
    trial: Option<Trial>,
}

/// The parts of a running task that each instance begins with.
pub(super) struct Start {
    guest: Guest,
    turns: Turns,
    event_time: EventTime,
}

impl Running {
    /// Starts an instance for a task that is owned, and goes back to its last commit.
    pub(super) fn start(env: &TaskEnv, own: &mut Ownership) -> Result<Start, Failure> {
        own.rewind()?;
        let inputs = &own.assignment.inputs;
        let turns = Turns::new(env.spec().selector, inputs.iter().map(|input| input.group));
        let event_time = EventTime::open(env.spec(), inputs, &own.committed.time, env.now())?;
        let guest = Guest::start(env, &own.spec, &own.host);
        let guest = guest.map_err(|failure| Failure::new(after_open_failure(&failure.error), failure))?;
        Ok(Start { guest, turns, event_time })
    }

    /// Goes on from the last commit with what was started.
    pub(super) fn new(mut own: Box<Ownership>, start: Start) -> Self {
        let Start { guest, turns, event_time } = start;
        own.polled = true;
        let epoch = own.next_epoch();
        Running {
            own,
            guest,
            epoch,
            turns,
            event_time,
            rest: None,
            failed: None,
            replaced: 0,
            drained: false,
            closed: false,
            idle_since: None,
            pace: Pace::default(),
            climb: Climb::default(),
            last_kind: 0,
            next_kind: 0,
            reader: None,
            trial: None,
        }
    }

    /// Works for about a slice of time.
    pub(super) fn turn(&mut self, cx: &mut Cx<'_>) -> Result<Turn, Failure> {
        let core = cx.env.core.clone();
        self.own.spec.memory.check().map_err(CallFailure::from)?;
        let begun = cx.env.now();
        let mut now = begun;
        // Whatever woke us may have been input.
        self.drained = false;
        self.turns.woken();
        for _ in 0..core.config.slice_batches() {
            if self.own.settle_commit(cx.env, cx.waker, cx.hunt, cx.order.as_ref(), now)? {
                self.finish_order(cx);
                self.own.spec.memory.content();
                self.own.apply_if_due(cx.env, cx.waker, now)?;
                return Ok(Turn::Committed);
            }
            self.own.settle_apply(cx.env, now);
            self.own.apply_if_due(cx.env, cx.waker, now)?;
            self.serve(cx)?;
            let due = self.due(cx, now)?;
            if due.is_some() && self.is_inputs_turn(cx.env, now) {
                // It is looked at anew, however lately that was done.
                self.drained = false;
                self.turns.woken();
            }
            match next_action(&self.facts(cx, due.is_some(), now), &cx.env.backend.epoch) {
                Action::Poll => self.feed(cx, now)?,
                Action::CallTime => {
                    if let Some(due) = due {
                        self.call_time(cx, due, now)?;
                    }
                }
                Action::Freeze => self.freeze(cx, now)?,
                Action::Close => self.close(cx)?,
                Action::End => return Ok(Turn::End),
                Action::Wait if self.is_trying() && !cx.ending && self.is_between_epochs() => return Ok(Turn::Again),
                // What closing adds is committed.
                Action::Wait if self.rest_if_due(cx, now)? => {}
                Action::Wait => {
                    if !cx.ending {
                        self.guest.check_heartbeat(cx.env, &self.own.host, now)?;
                    }
                    return Ok(Turn::Wait(self.next_alarm(cx.env, cx.ending, now)));
                }
            }
            now = cx.env.now();
            if now.saturating_sub(begun) >= core.config.slice {
                break;
            }
        }
        Ok(Turn::Again)
    }

    /// Drops the instance and the open epoch.
    pub(super) fn into_ownership(self) -> Box<Ownership> {
        self.own
    }

    /// Shows where the task stands.
    pub(super) fn show(&mut self, view: &mut View, ending: bool, now: Duration) {
        if let Some((failure, at_ms)) = self.failed.take() {
            view.failed_in_place(&failure, at_ms);
        }
        view.restarts += std::mem::take(&mut self.replaced);
        view.state = if ending { TaskState::Draining } else { TaskState::Running };
        view.watermark = self.event_time.told();
        view.circling = self.circling(now);
        self.own.show(view, self.drained);
        if self.drained || view.memory_bytes == 0 {
            view.memory_bytes = self.guest.instance.memory_bytes();
        }
    }

    fn facts(&self, cx: &Cx<'_>, time_due: bool, now: Duration) -> Facts {
        let env = cx.env;
        let host = self.own.host.lock();
        let news = self.event_time.idle_is_news();
        let has_work = news
            || self.skips_due().is_some_and(|at| now >= at)
            || self.epoch.urgent
            || self.epoch.size() > 0
            || !host.layers.is_clean()
            || !host.outbox.is_empty();
        let urgent = self.epoch.urgent || cx.order.as_ref().is_some_and(|order| !order.moves());
        // A worn instance is given nothing more: what it has done is committed, then it is replaced.
        let worn = self.is_worn();
        Facts {
            size: self.epoch.size(),
            bytes: self.epoch.bytes + host.layers.overlay_bytes() + host.outbox.bytes(),
            age: self.epoch.age(now),
            life: match (cx.ending, self.closed) {
                (false, _) => Life::Open,
                (true, false) => Life::Ending,
                (true, true) => Life::Closed,
            },
            work: match (has_work, urgent) {
                (false, _) => Work::Nothing,
                (true, false) => Work::Some,
                (true, true) => Work::Urgent,
            },
            supply: match self.own.is_congested(&host, env, now) {
                true => Supply::Congested,
                false if self.drained || worn => Supply::Drained,
                false => Supply::More,
            },
            in_flight: self.own.in_flight.as_ref().map_or(InFlight::Nothing, |_| InFlight::Epoch),
            time: match time_due && !worn {
                false => Time::Quiet,
                true if self.is_inputs_turn(env, now) => Time::Yields,
                true => Time::Due,
            },
            search: Search::of(cx.hunt.ends_epoch(self.epoch.records), cx.hunt.time_apart()),
        }
    }

    /// When the gaps that were passed over are committed although nothing else is: until then the function seems to lag.
    fn skips_due(&self) -> Option<Duration> {
        self.epoch.skipped.map(|since| since + SKIPS_AGE)
    }

    fn is_worn(&self) -> bool {
        self.guest.is_worn(self.own.spec.memory_limit())
    }

    /// Reports whether the instance is to be replaced now, when everything that it did is committed; logs it.
    pub(super) fn is_to_be_replaced(&self, cx: &Cx<'_>) -> bool {
        let is_over = self.epoch.size() == 0 && self.own.in_flight.is_none() && !cx.ending && self.is_worn();
        if is_over {
            let (used, limit) = (self.guest.instance.memory_bytes(), self.own.spec.memory_limit());
            let task = self.own.assignment.task.index;
            cx.env.say(task, format_args!("the instance is replaced: it uses {used} of {limit} bytes of memory"));
        }
        is_over
    }

    /// When to look again although nobody wakes us.
    fn next_alarm(&self, env: &TaskEnv, ending: bool, now: Duration) -> Option<Duration> {
        let heartbeat = self.guest.heartbeat_at(&self.own.host).filter(|_| !ending);
        let rest = self.rest_at(env, now).filter(|_| !ending);
        // What is due already waits for a commit or the store, which wake the task.
        let time = self.next_due(env).filter(|at| !ending && *at > now);
        let skips = self.skips_due().filter(|at| *at > now);
        [heartbeat, rest, self.own.next_alarm(env), time, skips].into_iter().flatten().min()
    }
}
