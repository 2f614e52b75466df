// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `functionstream:packed/state`: keyed state of a packed function, in few calls.
//!
//! Keys come complete but for the store's name, which the host puts before them after checking their form. Ranges are
//! bounded by the store whatever their bytes are, so no guest reaches another store's keys through the wrong one.

use std::ops::ControlFlow;

use bytes::Bytes;
use fnstream_core::delta::Write;
use fnstream_core::state_key::check_key_in_store;
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_frame::{FrameError, KeyList, OpList, PairList, StateOp, ValueList};
use wasmtime::component::{ComponentType, Lift, Linker, Lower, WasmList};
use wasmtime::{AsContext, StoreContextMut};

use crate::component::Component;
use crate::fault::raise;
use crate::stores::end_of;

pub(crate) const NAME: &str = "functionstream:packed/state@0.1.0";

/// Why a call was refused.
#[derive(Debug, Clone, ComponentType, Lift, Lower)]
#[component(variant)]
pub(crate) enum StateError {
    #[component(name = "invalid-name")]
    InvalidName(String),
    #[component(name = "invalid-key")]
    InvalidKey(String),
    #[component(name = "malformed")]
    Malformed(String),
}

/// A run of pairs.
#[derive(Debug, ComponentType, Lift, Lower)]
#[component(record)]
pub(crate) struct Page {
    pairs: Vec<u8>,
    next: Option<Vec<u8>>,
}

type Answer<T> = (Result<T, StateError>,);

pub(crate) fn add_to_linker(linker: &mut Linker<Component>) -> wasmtime::Result<()> {
    let mut state = linker.instance(NAME)?;
    state.func_wrap("open", |mut cx: StoreContextMut<'_, Component>, (name,): (String,)| {
        let opened = cx.data_mut().stores.open(&name);
        match opened {
            Ok(handle) => Ok((Ok(handle),)),
            Err(error) => Ok((Err(StateError::InvalidName(cx.data_mut().refuse(error)?)),)),
        }
    })?;
    state.func_wrap("get", |mut cx: StoreContextMut<'_, Component>, (store, key): (u32, WasmList<u8>)| {
        let found = get(cx.data(), store, key.as_le_slice(cx.as_context()));
        answer(&mut cx, found)
    })?;
    state.func_wrap("get-many", |mut cx: StoreContextMut<'_, Component>, (store, keys): (u32, WasmList<u8>)| {
        let found = get_many(cx.data(), store, keys.as_le_slice(cx.as_context()));
        match found {
            Ok(None) => Err(cx.data_mut().too_large()),
            Ok(Some(values)) => answer(&mut cx, Ok(values)),
            Err(error) => answer(&mut cx, Err(error)),
        }
    })?;
    state.func_wrap("write", |mut cx: StoreContextMut<'_, Component>, (store, ops): (u32, WasmList<u8>)| {
        cx.data_mut().meter.hand(ops.len()).map_err(raise)?;
        cx.data_mut().changes.note_any();
        let written = write(cx.data(), store, ops.as_le_slice(cx.as_context()));
        answer(&mut cx, written)
    })?;
    type Range = (u32, WasmList<u8>, Option<WasmList<u8>>, u32);
    state.func_wrap("scan", |mut cx: StoreContextMut<'_, Component>, (store, start, end, most): Range| {
        let end = end.as_ref().map(|end| end.as_le_slice(cx.as_context()));
        let page = scan(cx.data(), store, start.as_le_slice(cx.as_context()), end, most as usize);
        answer(&mut cx, page)
    })
}

fn answer<T>(cx: &mut StoreContextMut<'_, Component>, result: Result<T>) -> wasmtime::Result<Answer<T>> {
    let error = match result {
        Ok(value) => return Ok((Ok(value),)),
        Err(error) => error,
    };
    let code = error.code;
    let message = cx.data_mut().refuse(error)?;
    Ok((Err(if code == ErrorCode::StateKeyInvalid {
        StateError::InvalidKey(message)
    } else {
        StateError::Malformed(message)
    }),))
}

/// `prefix` with another key after it, in the same memory each time.
struct FullKey {
    bytes: Vec<u8>,
    prefix: usize,
}

impl FullKey {
    fn new(prefix: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(prefix.len() + 64);
        bytes.extend_from_slice(prefix);
        FullKey { bytes, prefix: prefix.len() }
    }

    fn with(&mut self, key: &[u8]) -> &[u8] {
        self.bytes.truncate(self.prefix);
        self.bytes.extend_from_slice(key);
        &self.bytes
    }
}

fn get(data: &Component, store: u32, key: &[u8]) -> Result<Option<Vec<u8>>> {
    check_key_in_store(key)?;
    let mut full = FullKey::new(data.stores.prefix(store)?);
    Ok(data.host.lock().get(full.with(key))?.map(Vec::from))
}

/// `None` when the answer would be larger than the guest may be.
fn get_many(data: &Component, store: u32, keys: &[u8]) -> Result<Option<Vec<u8>>> {
    let mut full = FullKey::new(data.stores.prefix(store)?);
    let mut host = data.host.lock();
    let mut values = ValueList::new();
    let mut failed = None;
    let mut fits = true;
    let (timer, mut item) = (data.meter.timer(), 0);
    KeyList::read(keys, |key| {
        if failed.is_some() || !fits {
            return;
        }
        item += 1;
        let checked = timer.check(item).and_then(|()| check_key_in_store(key));
        match checked.and_then(|()| host.get(full.with(key))) {
            Ok(value) => {
                fits = values.as_bytes().len() + value.as_ref().map_or(0, Bytes::len) <= data.meter.limit();
                values.push(value.as_deref());
            }
            Err(error) => failed = Some(error),
        }
    })
    .map_err(|e| malformed("key list", e))?;
    match failed {
        Some(error) => Err(error),
        None => Ok(fits.then(|| values.into_bytes())),
    }
}

/// All writes of the list, or none when one is malformed.
fn write(data: &Component, store: u32, ops: &[u8]) -> Result<()> {
    let prefix = data.stores.prefix(store)?;
    OpList::read(ops, |op| match op {
        StateOp::Put(key, _) | StateOp::Delete(key) | StateOp::Merge(key, _) => Ok(check_key_in_store(key)?),
        StateOp::DeleteRange(..) => Ok(()),
    })
    .map_err(Refusal::into_error)?;
    let (mut full, mut end_key) = (FullKey::new(prefix), FullKey::new(prefix));
    let mut host = data.host.lock();
    let (timer, mut item) = (data.meter.timer(), 0);
    OpList::read(ops, |op| {
        item += 1;
        timer.check(item)?;
        let bytes = Bytes::copy_from_slice;
        Ok(match op {
            StateOp::Put(key, value) => host.write(full.with(key), Write::Put(bytes(value))),
            StateOp::Delete(key) => host.write(full.with(key), Write::Delete),
            StateOp::Merge(key, operand) => host.write(full.with(key), Write::Merge(bytes(operand))),
            StateOp::DeleteRange(start, Some(end)) => host.delete_range(full.with(start), Some(end_key.with(end))),
            StateOp::DeleteRange(start, None) => host.delete_range(full.with(start), Some(&end_of(prefix))),
        }?)
    })
    .map_err(Refusal::into_error)
}

fn scan(data: &Component, store: u32, start: &[u8], end: Option<&[u8]>, most: usize) -> Result<Page> {
    let prefix = data.stores.prefix(store)?;
    let start = FullKey::new(prefix).with(start).to_vec();
    let end = end.map_or_else(|| end_of(prefix), |end| FullKey::new(prefix).with(end).to_vec());
    let most = most.min(data.meter.limit());
    let mut pairs = PairList::new();
    let mut next = None;
    let (timer, mut item, mut in_time) = (data.meter.timer(), 0, Ok(()));
    if start < end {
        data.host.lock().scan(&start, Some(&end), &mut |key, value| {
            item += 1;
            in_time = timer.check(item);
            if in_time.is_err() {
                return ControlFlow::Break(());
            }
            let key = &key[prefix.len()..];
            if !pairs.is_empty() && pairs.as_bytes().len() + key.len() + value.len() + 8 > most {
                next = Some(key.to_vec());
                return ControlFlow::Break(());
            }
            pairs.push(key, value);
            ControlFlow::Continue(())
        })?;
    }
    in_time?;
    Ok(Page { pairs: pairs.into_bytes(), next })
}

/// The reason to stop reading an op list.
enum Refusal {
    Encoding(FrameError),
    Error(Error),
}

impl Refusal {
    fn into_error(self) -> Error {
        match self {
            Refusal::Encoding(e) => malformed("op list", e),
            Refusal::Error(error) => error,
        }
    }
}

impl From<FrameError> for Refusal {
    fn from(error: FrameError) -> Self {
        Refusal::Encoding(error)
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Refusal::Error(error)
    }
}

fn malformed(what: &str, error: FrameError) -> Error {
    let why = match error {
        FrameError::Truncated => "it is truncated",
        FrameError::Unknown => "it has a write of an unknown kind",
        _ => "its lengths do not fit",
    };
    Error::new(ErrorCode::GuestProtocol, format!("the {what} is malformed: {why}"))
}
