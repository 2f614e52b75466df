// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Seams that panic as they are told: before or after they have done what they were asked for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use fnstream_core::Result;
use fnstream_core::batch::Batch;
use fnstream_core::broker::{
    Assignment, AssignmentListener, Broker, Membership, PollLimit, Polled, Source, Subscription,
};
use fnstream_core::clock::Clock;
use fnstream_core::committer::{Acquired, CommitDone, Committer, Replay};
use fnstream_core::delta::{Delta, Write};
use fnstream_core::epoch::{Epoch, FrozenEpoch, TaskId};
use fnstream_core::function_log::{FunctionLog, LogLine};
use fnstream_core::record::{Position, Positions, TopicPartition};
use fnstream_core::runtime::{CallResult, Host, Instance, InstanceSpec, Program, SharedHost};
use fnstream_core::state::{Marker, StateStore, StateStores, Unfinished, Visit};
use fnstream_core::test_util::rng::Rng;
use fnstream_core::timer::{TimeDomain, Timer};
use fnstream_core::topic::Topic;
use fnstream_core::waker::Waker;
use fnstream_engine::Backend;
use fnstream_frame::RecordRef;
use parking_lot::Mutex;

/// All places at which one can be planted.
pub(crate) const SEAMS: [&str; 27] = [
    "broker.open_source",
    "broker.partitions",
    "broker.earliest",
    "source.poll",
    "source.seek",
    "source.ends",
    "committer.acquire",
    "committer.commit",
    "committer.trim",
    "stores.open",
    "store.marker",
    "store.get",
    "store.scan",
    "store.apply",
    "clock.now",
    "clock.unix_ms",
    "log.write",
    "program.instantiate",
    "instance.init",
    "instance.process",
    "instance.process_watermark",
    "instance.on_timers",
    "instance.take_checkpoint",
    "host.emit",
    "host.get",
    "host.write",
    "host.scan",
];

/// Says when a seam panics. Only while it is armed, which is while a task takes a step.
#[derive(Default)]
pub(crate) struct Bomb {
    armed: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The calls of a seam until it panics.
    planted: BTreeMap<&'static str, u32>,
    /// One in so many calls panics, by chance; 0: none.
    chance: Option<(Rng, usize)>,
    blown: BTreeMap<&'static str, u32>,
}

impl Bomb {
    #[allow(dead_code, reason = "the two tests that share this plant in different ways")]
    pub(crate) fn by_chance(seed: u64, one_in: usize) -> Arc<Self> {
        let bomb = Bomb::default();
        bomb.state.lock().chance = Some((Rng::new(seed), one_in));
        Arc::new(bomb)
    }

    /// Has a seam panic at its `nth` passing, of which each call has two: one before it and one after it.
    #[allow(dead_code, reason = "the two tests that share this plant in different ways")]
    pub(crate) fn plant(&self, seam: &'static str, nth: u32) {
        self.state.lock().planted.insert(seam, nth);
    }

    /// Does something during which seams panic.
    pub(crate) fn armed<T>(&self, step: impl FnOnce() -> T) -> T {
        self.armed.store(true, Relaxed);
        let done = step();
        self.armed.store(false, Relaxed);
        done
    }

    /// How often each seam has panicked.
    pub(crate) fn blown(&self) -> BTreeMap<&'static str, u32> {
        self.state.lock().blown.clone()
    }

    fn pass(&self, seam: &'static str) {
        if !self.armed.load(Relaxed) {
            return;
        }
        let blows = {
            let state = &mut *self.state.lock();
            let planted = state.planted.get_mut(seam).is_some_and(|left| {
                *left = left.saturating_sub(1);
                *left == 0
            });
            if planted {
                state.planted.remove(seam);
            }
            let chance = state.chance.as_mut().is_some_and(|(rng, one_in)| rng.below(*one_in) == 0);
            let blows = planted || chance;
            *state.blown.entry(seam).or_default() += u32::from(blows);
            blows
        };
        assert!(!blows, "planted in {seam}");
    }

    fn around<T>(&self, seam: &'static str, work: impl FnOnce() -> T) -> T {
        self.pass(seam);
        let done = work();
        self.pass(seam);
        done
    }
}

/// A backend whose parts panic.
pub(crate) fn backend(bomb: &Arc<Bomb>, backend: Backend) -> Backend {
    Backend {
        broker: Arc::new(Planted(backend.broker, bomb.clone())),
        committer: Arc::new(Planted(backend.committer, bomb.clone())),
        state_stores: Arc::new(Planted(backend.state_stores, bomb.clone())),
        epoch: backend.epoch,
    }
}

/// Something of which the calls panic.
pub(crate) struct Planted<T>(pub(crate) T, pub(crate) Arc<Bomb>);

impl Broker for Planted<Arc<dyn Broker>> {
    fn join(&self, subscription: Subscription, listener: Arc<dyn AssignmentListener>) -> Result<Box<dyn Membership>> {
        self.0.join(subscription, listener)
    }

    fn open_source(&self, assignment: &Assignment, from: &Positions, waker: Waker) -> Result<Box<dyn Source>> {
        let source = self.1.around("broker.open_source", || self.0.open_source(assignment, from, waker))?;
        Ok(Box::new(Planted(source, self.1.clone())))
    }

    fn partitions(&self, topic: &Topic) -> Result<u32> {
        self.1.around("broker.partitions", || self.0.partitions(topic))
    }

    fn max_record_bytes(&self, topic: &Topic) -> Option<usize> {
        self.0.max_record_bytes(topic)
    }

    fn earliest(&self, partition: &TopicPartition) -> Result<Position> {
        self.1.around("broker.earliest", || self.0.earliest(partition))
    }

    fn latest(&self, partition: &TopicPartition) -> Result<Position> {
        self.1.around("broker.latest", || self.0.latest(partition))
    }
}

impl Source for Planted<Box<dyn Source>> {
    fn poll(&mut self, group: Option<u32>, limit: PollLimit) -> Result<Polled> {
        self.1.around("source.poll", || self.0.poll(group, limit))
    }

    fn seek(&mut self, to: &Positions) -> Result<()> {
        self.1.around("source.seek", || self.0.seek(to))
    }

    fn ends(&self) -> Positions {
        self.1.around("source.ends", || self.0.ends())
    }

    fn trouble(&self) -> Option<fnstream_core::Error> {
        self.0.trouble()
    }
}

impl Committer for Planted<Arc<dyn Committer>> {
    fn acquire(&self, assignment: &Assignment, applied: Option<&Marker>, replay: &mut Replay<'_>) -> Result<Acquired> {
        self.1.around("committer.acquire", || self.0.acquire(assignment, applied, replay))
    }

    fn commit(&self, epoch: Arc<FrozenEpoch>, done: CommitDone) {
        self.1.around("committer.commit", || self.0.commit(epoch, done));
    }

    fn trim(&self, task: TaskId, through: Epoch) {
        self.1.around("committer.trim", || self.0.trim(task, through));
    }

    fn trouble(&self, task: TaskId) -> Option<fnstream_core::Error> {
        self.0.trouble(task)
    }
}

impl StateStores for Planted<Arc<dyn StateStores>> {
    fn open(&self, task: TaskId) -> Result<Arc<dyn StateStore>> {
        let store = self.1.around("stores.open", || self.0.open(task))?;
        Ok(Arc::new(Planted(store, self.1.clone())))
    }
}

impl StateStore for Planted<Arc<dyn StateStore>> {
    fn marker(&self) -> Result<Option<Marker>> {
        self.1.around("store.marker", || self.0.marker())
    }

    fn unfinished(&self) -> Result<Option<Unfinished>> {
        self.0.unfinished()
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        self.1.around("store.get", || self.0.get(key))
    }

    fn scan(&self, start: &[u8], end: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<()> {
        self.1.around("store.scan", || self.0.scan(start, end, visit))
    }

    fn apply(&self, delta: &Delta, marker: &Marker) -> Result<()> {
        self.1.around("store.apply", || self.0.apply(delta, marker))
    }
}

impl<C: Clock> Clock for Planted<Arc<C>> {
    fn now(&self) -> Duration {
        self.1.around("clock.now", || self.0.now())
    }

    fn unix_ms(&self) -> i64 {
        self.1.around("clock.unix_ms", || self.0.unix_ms())
    }
}

impl<L: FunctionLog> FunctionLog for Planted<L> {
    fn write(&self, line: LogLine<'_>) {
        self.1.around("log.write", || self.0.write(line));
    }
}

impl<P: Program + ?Sized> Program for Planted<Arc<P>> {
    fn kind(&self) -> &'static str {
        self.0.kind()
    }

    fn instantiate(&self, spec: &InstanceSpec, host: SharedHost) -> CallResult<Box<dyn Instance>> {
        let host: SharedHost = Arc::new(Mutex::new(Planted(host, self.1.clone())));
        let instance = self.1.around("program.instantiate", || self.0.instantiate(spec, host))?;
        Ok(Box::new(Planted(instance, self.1.clone())))
    }
}

impl Instance for Planted<Box<dyn Instance>> {
    fn init(&mut self) -> CallResult {
        self.1.around("instance.init", || self.0.init())
    }

    fn process(&mut self, batch: &Batch) -> CallResult {
        self.1.around("instance.process", || self.0.process(batch))
    }

    fn process_watermark(&mut self, source: u32, watermark: u64) -> CallResult {
        self.1.around("instance.process_watermark", || self.0.process_watermark(source, watermark))
    }

    fn on_timers(&mut self, timers: &[Timer]) -> CallResult {
        self.1.around("instance.on_timers", || self.0.on_timers(timers))
    }

    fn take_checkpoint(&mut self, epoch: Epoch) -> CallResult {
        self.1.around("instance.take_checkpoint", || self.0.take_checkpoint(epoch))
    }

    fn check_heartbeat(&mut self) -> CallResult<bool> {
        self.0.check_heartbeat()
    }

    fn close(&mut self) -> CallResult {
        self.0.close()
    }

    fn exec(&mut self, class_name: &str, modules: &[(String, Vec<u8>)]) -> CallResult {
        self.0.exec(class_name, modules)
    }

    fn custom(&mut self, payload: &[u8]) -> CallResult<Vec<u8>> {
        self.0.custom(payload)
    }

    fn memory_bytes(&self) -> usize {
        self.0.memory_bytes()
    }
}

impl Host for Planted<SharedHost> {
    fn emit_frame(&mut self, frame: &[u8]) -> Result<()> {
        self.1.around("host.emit", || self.0.lock().emit_frame(frame))
    }

    fn emit(&mut self, record: RecordRef<'_>) -> Result<()> {
        self.1.around("host.emit", || self.0.lock().emit(record))
    }

    fn emit_watermark(&mut self, target: u32, watermark: u64) -> Result<()> {
        self.0.lock().emit_watermark(target, watermark)
    }

    fn set_timer(&mut self, timer: Timer) -> Result<()> {
        self.0.lock().set_timer(timer)
    }

    fn delete_timer(&mut self, domain: TimeDomain, key: &[u8]) -> Result<()> {
        self.0.lock().delete_timer(domain, key)
    }

    fn get(&mut self, key: &[u8]) -> Result<Option<Bytes>> {
        self.1.around("host.get", || self.0.lock().get(key))
    }

    fn write(&mut self, key: &[u8], write: Write) -> Result<()> {
        self.1.around("host.write", || self.0.lock().write(key, write))
    }

    fn delete_range(&mut self, start: &[u8], end: Option<&[u8]>) -> Result<()> {
        self.0.lock().delete_range(start, end)
    }

    fn scan(&mut self, start: &[u8], end: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<()> {
        self.1.around("host.scan", || self.0.lock().scan(start, end, visit))
    }
}
