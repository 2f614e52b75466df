// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! One guest's store, and the only way into it: every call is metered, timed, and spoils the guest when it fails.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fnstream_core::runtime::{CallFailure, CallResult, Limits};
use fnstream_core::{Error, ErrorCode};
use wasmtime::{Engine, Store};

use crate::fault::failure;
use crate::meter::Meter;
use crate::ticker::Ticker;

/// The engine with the clock that ends its guests' calls.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) engine: Engine,
    pub(crate) ticker: Arc<Ticker>,
}

/// What the data of a store must have.
pub(crate) trait Guest: Send + 'static {
    /// The memory account.
    fn meter(&mut self) -> &mut Meter;

    /// A call begins that must end by then.
    fn begin(&mut self, ends: Instant);
}

/// A store and what guards it.
pub(crate) struct Sandbox<T: Guest> {
    store: Store<T>,
    machine: Machine,
    limits: Limits,
    poisoned: bool,
}

impl<T: Guest> Sandbox<T> {
    pub(crate) fn new(machine: &Machine, limits: Limits, data: T) -> Self {
        let mut store = Store::new(&machine.engine, data);
        store.limiter(|data| data.meter());
        // Lifting a list costs as much as it is long; a guest cannot pass more than it has.
        store.set_hostcall_fuel(limits.memory.max(1 << 20));
        Sandbox { store, machine: machine.clone(), limits, poisoned: false }
    }

    /// Runs guest code. The inner result is what the guest answered, the outer one how the call ended; after a failure of
    /// either sort the guest is never entered again.
    pub(crate) fn call<R>(
        &mut self,
        run: impl FnOnce(&mut Store<T>) -> wasmtime::Result<Result<R, CallFailure>>,
    ) -> CallResult<R> {
        if self.poisoned {
            return Err(poisoned());
        }
        // Also should the host's own code panic in the middle.
        self.poisoned = true;
        let running = self.machine.ticker.call();
        begin(&mut self.store, self.limits);
        let ended = run(&mut self.store);
        drop(running);
        let answer = match ended {
            Ok(answer) => answer,
            Err(error) => Err(failure(&error, self.store.data_mut().meter())),
        };
        self.poisoned = answer.is_err();
        answer
    }

    /// The store's data, between calls.
    pub(crate) fn peek(&self) -> &T {
        self.store.data()
    }

    /// What the guest may use.
    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }
}

/// Gives the guest the time and the account of one call. A batch of single records is one entry but many calls: the limits
/// are those of one.
pub(crate) fn begin<T: Guest>(store: &mut Store<T>, limits: Limits) {
    store.set_epoch_deadline(Ticker::ticks(limits.call_time));
    let now = Instant::now();
    let data = store.data_mut();
    data.begin(now.checked_add(limits.call_time).unwrap_or(now + FOR_EVER));
    data.meter().begin();
}

/// Longer than any process lives.
const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);

fn poisoned() -> CallFailure {
    Error::new(ErrorCode::GuestPoisoned, "the instance failed before").into()
}
