// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `functionstream:packed/timers`: timers of a packed function.
//!
//! A key that is too long is reported to the guest, and nothing has happened. Whatever else the host refuses ends the call: a
//! timer is more than one write of state, and a guest that went on could have half of one committed.

use bytes::Bytes;
use fnstream_core::ErrorCode;
use fnstream_core::timer::{TimeDomain, Timer, check_timer_key};
use wasmtime::component::{ComponentType, Lift, Linker, Lower, WasmList};
use wasmtime::{AsContext, StoreContextMut};

use crate::component::Component;
use crate::fault::raise;

pub(crate) const NAME: &str = "functionstream:packed/timers@0.1.0";

/// The interface that a function must export if it imports [`NAME`].
pub(crate) const HANDLER: &str = "functionstream:packed/timer-handler@0.1.0";

/// Bytes that the host keeps of a timer beside its key, which it keeps twice.
const BESIDE_KEY: usize = 64;

/// The clock that a timer's time is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
#[allow(dead_code, reason = "guests make them")]
enum Domain {
    #[component(name = "event-time")]
    Event,
    #[component(name = "processing-time")]
    Processing,
}

impl From<Domain> for TimeDomain {
    fn from(domain: Domain) -> Self {
        match domain {
            Domain::Event => TimeDomain::Event,
            Domain::Processing => TimeDomain::Processing,
        }
    }
}

type Answer = (Result<(), String>,);

pub(crate) fn add_to_linker(linker: &mut Linker<Component>) -> wasmtime::Result<()> {
    let mut timers = linker.instance(NAME)?;
    timers.func_wrap("set", set)?;
    timers.func_wrap("delete", delete)
}

fn set(
    mut cx: StoreContextMut<'_, Component>,
    (domain, key, at_ms): (Domain, WasmList<u8>, i64),
) -> wasmtime::Result<Answer> {
    let done = taken(&mut cx, &key)?.and_then(|key| {
        let timer = Timer { domain: domain.into(), key, at_ms };
        cx.data().host.lock().set_timer(timer)
    });
    answer(&mut cx, done)
}

fn delete(mut cx: StoreContextMut<'_, Component>, (domain, key): (Domain, WasmList<u8>)) -> wasmtime::Result<Answer> {
    // Removing is a write too, which waits to be committed.
    let done = taken(&mut cx, &key)?.and_then(|key| cx.data().host.lock().delete_timer(domain.into(), &key));
    answer(&mut cx, done)
}

/// The key, checked before it is copied. The outer result ends the call.
fn taken(
    cx: &mut StoreContextMut<'_, Component>,
    key: &WasmList<u8>,
) -> wasmtime::Result<fnstream_core::Result<Bytes>> {
    if let Err(error) = check_timer_key(key.as_le_slice(cx.as_context())) {
        return Ok(Err(error));
    }
    cx.data_mut().meter.hand(2 * key.len() + BESIDE_KEY).map_err(raise)?;
    Ok(Ok(Bytes::copy_from_slice(key.as_le_slice(cx.as_context()))))
}

fn answer(cx: &mut StoreContextMut<'_, Component>, done: fnstream_core::Result<()>) -> wasmtime::Result<Answer> {
    match done {
        Ok(()) => Ok((Ok(()),)),
        Err(error) if error.code == ErrorCode::StateKeyInvalid => Ok((Err(cx.data_mut().refuse(error)?),)),
        Err(error) => Err(raise(error)),
    }
}
