// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! One guest's store, and the only way into it: every call is metered, timed, and spoils the guest when it fails.
//!
//! Making the instance and its `init` share one budget, `start_time`; every other call has `call_time` for itself. The engine
//! interrupts a guest with each tick or two to have its [`Timer`] looked at, which costs little until a bound may be reached.

use std::sync::Arc;

use fnstream_core::function_log::FunctionLog;
use fnstream_core::runtime::{CallFailure, CallResult, Limits};
use fnstream_core::{Error, ErrorCode};
use wasmtime::{Engine, Store, UpdateDeadline};

use crate::cache::Artifact;
use crate::fault::{failure, with_last_words};
use crate::meter::Meter;
use crate::options::RuntimeOptions;
use crate::ticker::{TICK, Ticker};
use crate::timer::{Budget, Timer};

/// The engine, the clock that ends its guests' calls, and what else the guests of one artifact share.
#[derive(Clone)]
pub(crate) struct Machine {
    pub(crate) engine: Engine,
    pub(crate) ticker: Arc<Ticker>,
    pub(crate) options: Arc<RuntimeOptions>,
    pub(crate) log: Arc<dyn FunctionLog>,
    pub(crate) artifact: Arc<Artifact>,
}

/// Handles of resources, the guest's own and the host's, that a guest may hold at once. They live in the host's memory, a
/// few words each.
const MOST_HANDLES: usize = 20_000;

/// The data of a store.
pub(crate) trait Guest: Send + 'static {
    /// The memory account.
    fn meter(&mut self) -> &mut Meter;

    /// A call begins.
    fn begin(&mut self);

    /// The guest does not run any more: a line of its output that is still open ends here.
    fn end(&mut self);

    /// What the guest has written last in this call.
    fn last_words(&mut self) -> Option<String>;
}

/// A store and what guards it.
pub(crate) struct Sandbox<T: Guest> {
    store: Store<T>,
    machine: Machine,
    limits: Limits,
    /// The rest of what it may use to start.
    start: Budget,
    poisoned: bool,
}

impl<T: Guest> Sandbox<T> {
    pub(crate) fn new(machine: &Machine, limits: Limits, data: T) -> Self {
        let mut store = Store::new(&machine.engine, data);
        store.limiter(|data| data.meter());
        store.epoch_deadline_callback(|mut cx| {
            Ok(match cx.data_mut().meter().look() {
                // However far its bounds are, its task may have to end meanwhile.
                Some(left) => UpdateDeadline::Continue(Ticker::ticks(left.min(TICK))),
                None => UpdateDeadline::Interrupt,
            })
        });
        // Lifting a list costs as much as it is long; a guest cannot pass more than it has.
        store.set_hostcall_fuel(limits.memory.max(1 << 20));
        store.set_max_component_handles(MOST_HANDLES);
        Sandbox { store, machine: machine.clone(), limits, start: Budget::of(limits.start_time), poisoned: false }
    }

    /// Runs a part of the start: like [`Sandbox::call`], in the time that all parts share.
    pub(crate) fn start<R>(
        &mut self,
        run: impl FnOnce(&mut Store<T>) -> wasmtime::Result<Result<R, CallFailure>>,
    ) -> CallResult<R> {
        let ended = self.enter(Timer::start(&self.limits, self.start), run);
        self.start = self.store.data_mut().meter().timer().rest();
        ended
    }

    /// Runs guest code. The inner result is what the guest answered, the outer one how the call ended; after a failure of
    /// either sort the guest is never entered again, unless it undid the record that failed.
    pub(crate) fn call<R>(
        &mut self,
        run: impl FnOnce(&mut Store<T>) -> wasmtime::Result<Result<R, CallFailure>>,
    ) -> CallResult<R> {
        self.enter(Timer::call(&self.limits), run)
    }

    fn enter<R>(
        &mut self,
        timer: Timer,
        run: impl FnOnce(&mut Store<T>) -> wasmtime::Result<Result<R, CallFailure>>,
    ) -> CallResult<R> {
        if self.poisoned {
            return Err(poisoned());
        }
        self.store.data_mut().meter().timer().interrupt().check()?;
        // Also should the host's own code panic in the middle.
        self.poisoned = true;
        let running = self.machine.ticker.call();
        self.store.data_mut().meter().enter();
        begin(&mut self.store, timer);
        let ended = run(&mut self.store);
        drop(running);
        self.store.data_mut().end();
        let answer = match ended {
            Ok(answer) => answer,
            Err(error) => {
                let data = self.store.data_mut();
                let failed = failure(&error, data.meter(), &self.machine.artifact.lines);
                Err(with_last_words(failed, data.last_words()))
            }
        };
        self.poisoned = answer.as_ref().is_err_and(|failure| !failure.undone);
        answer
    }

    /// The store's data, between calls.
    pub(crate) fn peek(&self) -> &T {
        self.store.data()
    }

    /// The guest's limits.
    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }
}

/// Gives the guest the time and the account of one call. A batch of single records is one entry but many calls: the limits
/// are those of one.
pub(crate) fn begin<T: Guest>(store: &mut Store<T>, timer: Timer) {
    store.set_epoch_deadline(Ticker::ticks(TICK));
    let data = store.data_mut();
    data.begin();
    data.meter().begin(timer);
}

fn poisoned() -> CallFailure {
    Error::new(ErrorCode::GuestPoisoned, "the instance failed before").into()
}
