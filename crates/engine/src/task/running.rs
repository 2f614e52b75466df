// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A task that processes: its open epoch, the one in flight, and what it waits for.
//!
//! `feed` gives the instance its records and says who is to blame when a call fails, `commit` ends epochs, `apply` brings
//! committed state to the store.

mod apply;
mod commit;
mod feed;
mod time;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use fnstream_core::broker::{Assignment, Source};
use fnstream_core::committer::Acquired;
use fnstream_core::epoch::{Generation, Progress};
use fnstream_core::error::{Error, ErrorCode};
use fnstream_core::record::{Position, Positions, TopicPartition};
use fnstream_core::runtime::{CallFailure, Instance, InstanceSpec};
use fnstream_core::waker::Waker;

use self::apply::{DirtyAccount, bounds};
use self::commit::InFlight;
pub(super) use self::commit::Unanswered;
use super::decide::{Action, Facts, Recovery, is_congested, next_action};
use super::event_time::EventTime;
use super::host::SharedTaskHost;
use super::hunt::Hunt;
use super::letters::LetterReader;
use super::trial;
use super::turns::Turns;
use super::view::View;
use crate::engine::EngineCore;
use crate::function::Function;
use crate::letters::{LetterAction, LetterOrder};
use crate::requests::Asked;
use crate::state::TaskBase;
use crate::status::TaskState;

/// What a turn of a running task leads to.
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

/// A failure with what it leads to.
type Failed = (Recovery, CallFailure);

/// What a turn works with that outlives this life of the task.
pub(super) struct Cx<'a> {
    pub(super) function: &'a Arc<Function>,
    pub(super) waker: &'a Waker,
    pub(super) hunt: &'a mut Hunt,
    pub(super) order: &'a mut Option<LetterOrder>,
    pub(super) requests: &'a mut VecDeque<Asked>,
    /// The task is to end.
    pub(super) ending: bool,
}

/// What an epoch did, to be counted when it is committed.
#[derive(Debug, Default)]
struct Counts {
    records: u64,
    emitted: u64,
    dead_lettered: u64,
    skipped: u64,
    replayed: u64,
    failed_again: u64,
    dropped: u64,
}

/// What a task is made of when it was opened.
pub(super) struct Parts {
    pub(super) assignment: Assignment,
    pub(super) acquired: Acquired,
    pub(super) base: Arc<TaskBase>,
    pub(super) host: SharedTaskHost,
    pub(super) spec: InstanceSpec,
    pub(super) instance: Box<dyn Instance>,
    pub(super) source: Box<dyn Source>,
    pub(super) dead_letters: Option<TopicPartition>,
    pub(super) turns: Turns,
    pub(super) event_time: EventTime,
}

pub(super) struct Running {
    assignment: Assignment,
    generation: Generation,
    host: SharedTaskHost,
    spec: InstanceSpec,
    instance: Box<dyn Instance>,
    source: Box<dyn Source>,
    base: Arc<TaskBase>,
    committed: Progress,
    /// Where the task stands, the open epoch included.
    open: Progress,
    records: u64,
    /// Timers and watermarks that the instance was told of in the open epoch.
    told: u64,
    bytes: usize,
    counts: Counts,
    opened_at: Duration,
    /// The last record that was consumed.
    last: Option<(TopicPartition, Position)>,
    /// A record was given up without a call since the task was opened.
    gave_up: bool,
    in_flight: Option<InFlight>,
    /// Why the epoch in flight was refused when it was last handed in.
    refused: Option<Error>,
    drained: bool,
    closed: bool,
    heartbeat_at: Duration,
    dirty: DirtyAccount,
    /// The open epoch is to be committed soon whatever is in it.
    urgent: bool,
    /// How many records a batch may have for what it emits to fit into an epoch.
    fitting: usize,
    /// Bytes of the instance's memory when it was new.
    memory_when_new: usize,
    /// Where the task's dead letters are.
    dead_letters: Option<TopicPartition>,
    /// Open while letters are replayed or dropped.
    letters: Option<LetterReader>,
    /// Which input group is read next.
    turns: Turns,
    event_time: EventTime,
}

impl Running {
    pub(super) fn new(engine: &Arc<EngineCore>, parts: Parts) -> Self {
        let now = engine.deps.clock.now();
        let Parts { assignment, acquired, base, host, spec, instance, source, dead_letters, turns, event_time } = parts;
        let memory_when_new = instance.memory_bytes();
        let mut running = Running {
            assignment,
            generation: acquired.generation,
            host,
            spec,
            instance,
            source,
            base,
            open: acquired.progress.clone(),
            committed: acquired.progress,
            records: 0,
            told: 0,
            bytes: 0,
            counts: Counts::default(),
            opened_at: now,
            last: None,
            gave_up: false,
            in_flight: None,
            refused: None,
            drained: false,
            closed: false,
            heartbeat_at: now + engine.config.heartbeat,
            dirty: DirtyAccount { engine: engine.clone(), bytes: 0, since: None },
            urgent: false,
            fitting: usize::MAX,
            memory_when_new,
            dead_letters,
            letters: None,
            turns,
            event_time,
        };
        running.account_dirty(now);
        running
    }

    /// Begins at these positions inputs that have none yet, and commits that before anything is read: what retention drops
    /// from then on is missed loudly.
    pub(super) fn begin_at(&mut self, unplaced: Positions) {
        self.urgent = !unplaced.is_empty();
        self.open.positions.extend(unplaced);
    }

    /// Works for about a slice of time.
    pub(super) fn turn(&mut self, cx: &mut Cx<'_>) -> Result<Turn, Failed> {
        let engine = cx.function.engine.clone();
        let begun = engine.deps.clock.now();
        let mut now = begun;
        // Whatever woke us may have been input.
        self.drained = false;
        self.turns.woken();
        for _ in 0..engine.config.slice_batches() {
            if self.settle_commit(cx, now)? {
                self.apply_if_due(&engine, cx.waker, now)?;
                return Ok(Turn::Committed);
            }
            self.settle_apply(&engine, now);
            self.apply_if_due(&engine, cx.waker, now)?;
            self.serve(cx)?;
            let due = self.due(&engine)?;
            match next_action(&self.facts(cx, due.is_some(), now), &engine.config.epoch) {
                Action::Poll => self.feed(cx, now)?,
                Action::TellTime => {
                    if let Some(due) = due {
                        self.tell(cx, due, now)?;
                    }
                }
                Action::Freeze => self.freeze(cx, now)?,
                Action::Close => {
                    self.host.lock().begin_call(1);
                    self.instance.close().map_err(|failure| (Recovery::Reopen, failure))?;
                    self.closed = true;
                }
                Action::End => return Ok(Turn::End),
                Action::Wait => {
                    if !cx.ending && now >= self.heartbeat_at {
                        self.heartbeat_at = now + engine.config.heartbeat;
                        self.check_heartbeat()?;
                    }
                    return Ok(Turn::Wait(self.next_alarm(&engine, cx.ending, now)));
                }
            }
            now = engine.deps.clock.now();
            if now.saturating_sub(begun) >= engine.config.slice {
                break;
            }
        }
        Ok(Turn::Again)
    }

    /// The answer that is still to come for the epoch in flight.
    pub(super) fn unanswered(&mut self) -> Option<Unanswered> {
        self.in_flight.take().and_then(InFlight::unanswered)
    }

    /// Shows where the task stands.
    pub(super) fn show(&self, view: &mut View, ending: bool) {
        view.state = if ending { TaskState::Draining } else { TaskState::Running };
        view.refused = self.refused.clone();
        view.watermark = self.event_time.told();
        if view.progress.epoch != self.committed.epoch {
            view.progress = self.committed.clone();
        }
        if self.drained || view.memory_bytes == 0 {
            view.ends = self.source.ends();
            view.memory_bytes = self.instance.memory_bytes();
        }
    }

    fn facts(&self, cx: &Cx<'_>, time_due: bool, now: Duration) -> Facts {
        let engine = &cx.function.engine;
        let host = self.host.lock();
        let news = self.event_time.idle_is_news();
        let has_work =
            news || self.urgent || self.records + self.told > 0 || !host.layers.is_clean() || !host.outbox.is_empty();
        Facts {
            records: self.records + self.told,
            bytes: self.bytes + host.layers.overlay_bytes() + host.outbox.bytes(),
            age: now.saturating_sub(self.opened_at),
            has_work,
            // A worn instance is given nothing more: what it has done is committed, then it is replaced.
            drained: (self.drained && !self.letters_wait(cx)) || self.is_worn(),
            in_flight: self.in_flight.is_some(),
            ending: cx.ending,
            closed: self.closed,
            urgent: self.urgent || cx.order.as_ref().is_some_and(|order| !order.moves()),
            congested: is_congested(&self.dirty_facts(&host, engine, now), &bounds(engine)),
            isolating: cx.hunt.is_on(),
            time_due: time_due && !self.is_worn(),
            time_apart: cx.hunt.time_apart(),
        }
    }

    /// Whether the instance has come so near to its limit of memory that the next record might end it: memory only grows.
    fn is_worn(&self) -> bool {
        is_worn(self.memory_when_new, self.instance.memory_bytes(), self.spec.limits.memory)
    }

    /// Whether the instance is to be replaced now, when everything that it did is committed; says so.
    pub(super) fn is_to_be_replaced(&self, cx: &Cx<'_>) -> bool {
        let is_over = self.records + self.told == 0 && self.in_flight.is_none() && !cx.ending && self.is_worn();
        if is_over {
            let (used, limit) = (self.instance.memory_bytes(), self.spec.limits.memory);
            let task = self.assignment.task.index;
            cx.function.say(task, format_args!("the instance is replaced: it uses {used} of {limit} bytes of memory"));
        }
        is_over
    }

    /// Whether dead letters are to be replayed or dropped before there is further input.
    fn letters_wait(&self, cx: &Cx<'_>) -> bool {
        let Some(order) = cx.order.as_ref().filter(|order| order.moves()) else { return false };
        self.place_in_letters(&self.open).is_some_and(|place| place < order.until)
    }

    fn place_in_letters(&self, progress: &Progress) -> Option<Position> {
        let at = self.dead_letters.as_ref()?;
        Some(progress.positions.get(at).copied().unwrap_or_default())
    }

    /// Lets go of an order that moves the place in the letters, when it has moved for good.
    fn finish_order(&mut self, cx: &mut Cx<'_>) {
        let place = self.place_in_letters(&self.committed);
        if let Some(done) = cx.order.take_if(|order| order.moves() && place.is_none_or(|place| place >= order.until)) {
            done.finish();
            self.letters = None;
        }
    }

    /// Answers what users ask, and does what an order asks for that keeps nothing, between two epochs.
    fn serve(&mut self, cx: &mut Cx<'_>) -> Result<(), Failed> {
        self.finish_order(cx);
        while let Some(asked) = cx.requests.pop_front() {
            self.host.lock().begin_call(1);
            asked.ask(&mut *self.instance).map_err(|failure| (Recovery::Reopen, failure))?;
        }
        let Some(LetterOrder { action: LetterAction::Try(program), until, tally }) = cx.order.as_ref() else {
            return Ok(());
        };
        let is_between = {
            let host = self.host.lock();
            self.records + self.told == 0 && !self.urgent && host.layers.is_clean() && host.outbox.is_empty()
        };
        if !is_between || cx.ending {
            return Ok(());
        }
        let reopen = |error: Error| (Recovery::Reopen, error.into());
        if let (Some(at), Some(place)) = (&self.dead_letters, self.place_in_letters(&self.open)) {
            let mut reader = LetterReader::open(cx.function, &self.assignment, at, place, cx.waker).map_err(reopen)?;
            let tried = trial::run(&**program, &self.spec, &self.host, &mut reader, *until).map_err(reopen)?;
            tally.note(|report| report.tried.extend(tried));
        }
        if let Some(done) = cx.order.take() {
            done.finish();
        }
        Ok(())
    }

    fn check_heartbeat(&mut self) -> Result<(), Failed> {
        self.host.lock().begin_call(1);
        match self.instance.check_heartbeat() {
            Ok(true) => Ok(()),
            Ok(false) => {
                let error = Error::new(ErrorCode::GuestError, "the instance said that it is not well");
                Err((Recovery::Reopen, error.into()))
            }
            Err(failure) => Err((Recovery::Reopen, failure)),
        }
    }

    /// When to look again although nobody wakes us.
    fn next_alarm(&self, engine: &EngineCore, ending: bool, now: Duration) -> Option<Duration> {
        let heartbeat = (!ending).then_some(self.heartbeat_at);
        let retry = self.in_flight.as_ref().and_then(|in_flight| in_flight.retry_at);
        let apply =
            self.dirty.since.filter(|_| !self.host.lock().layers.is_applying()).map(|s| s + engine.config.dirty_age);
        // What is due already waits for a commit or the store, which wake the task.
        let time = self.next_due(engine).filter(|at| !ending && *at > now);
        [heartbeat, retry, apply, time].into_iter().flatten().min()
    }
}

/// Whether memory has grown to nine tenths of the limit from less than a half.
fn is_worn(when_new: usize, now: usize, limit: usize) -> bool {
    when_new <= limit / 2 && now >= limit / 10 * 9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_that_is_large_from_the_start_is_not_replaced_for_ever() {
        assert!(is_worn(10, 95, 100));
        assert!(!is_worn(10, 80, 100));
        assert!(!is_worn(60, 95, 100));
    }
}
