// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `functionstream:core/kv`: keyed state of a per-record function.
//!
//! - Lists and scans give user keys only, in byte order, within their prefix.
//! - `merge` appends to the stored value; an absent one counts as empty. Absent is never the same as empty.
//! - `delete-prefix` removes a range: it costs the same however many keys there are.
//! - Faults of the store end the call; an `error` is only ever about what the guest asked for.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use fnstream_core::delta::Write;
use fnstream_core::state_key::{put_complex_prefix, put_simple, store_prefix};
use fnstream_core::{Error, ErrorCode, Result};
use wasmtime::component::{ComponentType, Lift, Linker, Lower, Resource, ResourceType, WasmList};
use wasmtime::{AsContext, StoreContextMut};

use super::iterator::{self, KvIterator};
use crate::component::Component;
use crate::fault::raise;
use crate::stores::end_of;
use crate::wasi::MOST_RESOURCES;

pub(crate) const NAME: &str = "functionstream:core/kv@0.1.0";

/// Why a call was refused.
#[derive(Debug, Clone, ComponentType, Lift, Lower)]
#[component(variant)]
pub(crate) enum KvError {
    #[component(name = "not-found")]
    #[allow(dead_code, reason = "part of the interface; an absent key is an answer, not an error")]
    NotFound,
    #[component(name = "io-error")]
    #[allow(dead_code, reason = "part of the interface; faults of the store end the call")]
    IoError(String),
    #[component(name = "other")]
    Other(String),
}

/// The host's side of the resource `store`.
pub(crate) struct KvStore {
    prefix: Arc<[u8]>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
struct ComplexKey {
    #[component(name = "key-group")]
    key_group: WasmList<u8>,
    key: WasmList<u8>,
    namespace: WasmList<u8>,
    #[component(name = "user-key")]
    user_key: WasmList<u8>,
}

pub(super) type Cx<'a> = StoreContextMut<'a, Component>;
pub(super) type Answer<T> = (std::result::Result<T, KvError>,);
type Store = Resource<KvStore>;
type List = WasmList<u8>;

pub(crate) fn add_to_linker(linker: &mut Linker<Component>) -> wasmtime::Result<()> {
    let mut kv = linker.instance(NAME)?;
    iterator::add_to(&mut kv)?;
    kv.resource("store", ResourceType::host::<KvStore>(), |mut cx, rep| {
        cx.data_mut().table.delete(Resource::<KvStore>::new_own(rep))?;
        Ok(())
    })?;
    kv.func_wrap("[constructor]store", |mut cx: Cx<'_>, (name,): (String,)| {
        let prefix = store_prefix(&name).map_err(raise)?.into();
        Ok((push(&mut cx, KvStore { prefix })?,))
    })?;
    kv.func_wrap("[method]store.put-state", |mut cx: Cx<'_>, (store, key, value): (Store, List, List)| {
        let key = simple(&cx, &store, &key)?;
        write(&mut cx, &key, value.len(), |cx| Write::Put(bytes(cx, &value)))
    })?;
    kv.func_wrap("[method]store.get-state", |mut cx: Cx<'_>, (store, key): (Store, List)| {
        let key = simple(&cx, &store, &key)?;
        get(&mut cx, &key)
    })?;
    kv.func_wrap("[method]store.delete-state", |mut cx: Cx<'_>, (store, key): (Store, List)| {
        let key = simple(&cx, &store, &key)?;
        write(&mut cx, &key, 0, |_| Write::Delete)
    })?;
    kv.func_wrap("[method]store.list-states", |mut cx: Cx<'_>, (store, start, end): (Store, List, List)| {
        let prefix = simple_prefix(&cx, &store)?;
        list(&mut cx, prefix, &start, &end)
    })?;
    kv.func_wrap("[method]store.put", |mut cx: Cx<'_>, (store, key, value): (Store, ComplexKey, List)| {
        let key = complex(&cx, &store, &key)?;
        write(&mut cx, &key, value.len(), |cx| Write::Put(bytes(cx, &value)))
    })?;
    kv.func_wrap("[method]store.get", |mut cx: Cx<'_>, (store, key): (Store, ComplexKey)| {
        let key = complex(&cx, &store, &key)?;
        get(&mut cx, &key)
    })?;
    kv.func_wrap("[method]store.delete", |mut cx: Cx<'_>, (store, key): (Store, ComplexKey)| {
        let key = complex(&cx, &store, &key)?;
        write(&mut cx, &key, 0, |_| Write::Delete)
    })?;
    kv.func_wrap("[method]store.merge", |mut cx: Cx<'_>, (store, key, value): (Store, ComplexKey, List)| {
        let key = complex(&cx, &store, &key)?;
        write(&mut cx, &key, value.len(), |cx| Write::Merge(bytes(cx, &value)))
    })?;
    kv.func_wrap("[method]store.delete-prefix", |mut cx: Cx<'_>, (store, key): (Store, ComplexKey)| {
        let start = complex(&cx, &store, &key)?;
        let end = end_of(&start);
        cx.data_mut().changes.note(&end);
        let done = cx.data().host.lock().delete_range(&start, Some(&end));
        answer(&mut cx, done)
    })?;
    type Within = (Store, List, List, List, List, List);
    kv.func_wrap("[method]store.list-complex", |mut cx: Cx<'_>, (store, group, key, ns, start, end): Within| {
        let prefix = complex_prefix(&cx, &store, [&group, &key, &ns])?;
        list(&mut cx, prefix, &start, &end)
    })?;
    kv.func_wrap("[method]store.scan-complex", |mut cx: Cx<'_>, (store, group, key, ns): (Store, List, List, List)| {
        let prefix = complex_prefix(&cx, &store, [&group, &key, &ns])?;
        let iterator = push(&mut cx, KvIterator::new(prefix))?;
        Ok((Ok::<_, KvError>(iterator),))
    })
}

/// Tells the guest of its mistakes; anything else ends the call.
pub(super) fn answer<T>(cx: &mut Cx<'_>, result: Result<T>) -> wasmtime::Result<Answer<T>> {
    match result {
        Ok(value) => Ok((Ok(value),)),
        Err(error) => Ok((Err(KvError::Other(cx.data_mut().refuse(error)?)),)),
    }
}

/// A new resource, unless too many are open.
fn push<T: Send + 'static>(cx: &mut Cx<'_>, resource: T) -> wasmtime::Result<Resource<T>> {
    cx.data_mut().table.push(resource).map_err(|_| {
        let message = format!("more than {MOST_RESOURCES} stores and iterators are open");
        raise(Error::new(ErrorCode::GuestOutOfMemory, message))
    })
}

fn write(
    cx: &mut Cx<'_>,
    key: &[u8],
    value: usize,
    write: impl FnOnce(&Cx<'_>) -> Write,
) -> wasmtime::Result<Answer<()>> {
    cx.data_mut().meter.hand(key.len() + value).map_err(raise)?;
    let write = write(cx);
    cx.data_mut().changes.note(key);
    let done = cx.data().host.lock().write(key, write);
    answer(cx, done)
}

fn get(cx: &mut Cx<'_>, key: &[u8]) -> wasmtime::Result<Answer<Option<Vec<u8>>>> {
    let found = cx.data().host.lock().get(key);
    answer(cx, found.map(|value| value.map(Vec::from)))
}

fn list(cx: &mut Cx<'_>, prefix: Vec<u8>, start: &List, end: &List) -> wasmtime::Result<Answer<Vec<Vec<u8>>>> {
    let with = |list: &List| [&prefix[..], list.as_le_slice(cx.as_context())].concat();
    let (start, end) = (with(start), with(end));
    let mut keys = Vec::new();
    if start >= end {
        return Ok((Ok(keys),));
    }
    // A key costs the guest its bytes and a pointer pair, but the host some more.
    let mut room = cx.data().meter.limit();
    let mut fits = true;
    let (timer, mut in_time) = (cx.data().meter.timer(), Ok(()));
    let done = cx.data().host.lock().scan(&start, Some(&end), &mut |key, _| {
        in_time = timer.check(keys.len());
        if in_time.is_err() {
            return ControlFlow::Break(());
        }
        let key = &key[prefix.len()..];
        match room.checked_sub(key.len() + size_of::<Vec<u8>>() + 16) {
            Some(left) => room = left,
            None => {
                fits = false;
                return ControlFlow::Break(());
            }
        }
        keys.push(key.to_vec());
        ControlFlow::Continue(())
    });
    in_time.map_err(raise)?;
    if !fits {
        return Err(cx.data_mut().too_large());
    }
    answer(cx, done.map(|()| keys))
}

fn bytes(cx: &Cx<'_>, list: &List) -> Bytes {
    Bytes::copy_from_slice(list.as_le_slice(cx.as_context()))
}

fn prefix_of(cx: &Cx<'_>, store: &Store, more: usize) -> wasmtime::Result<Vec<u8>> {
    let prefix = &cx.data().table.get(store)?.prefix;
    let mut out = Vec::with_capacity(prefix.len() + more);
    out.extend_from_slice(prefix);
    Ok(out)
}

fn simple_prefix(cx: &Cx<'_>, store: &Store) -> wasmtime::Result<Vec<u8>> {
    let mut out = prefix_of(cx, store, 1)?;
    put_simple(&mut out, &[]);
    Ok(out)
}

fn simple(cx: &Cx<'_>, store: &Store, key: &List) -> wasmtime::Result<Vec<u8>> {
    let mut out = prefix_of(cx, store, 1 + key.len())?;
    put_simple(&mut out, key.as_le_slice(cx.as_context()));
    Ok(out)
}

fn complex_prefix(cx: &Cx<'_>, store: &Store, parts: [&List; 3]) -> wasmtime::Result<Vec<u8>> {
    let [group, key, namespace] = parts.map(|part| part.as_le_slice(cx.as_context()));
    let mut out = prefix_of(cx, store, 64 + group.len() + key.len() + namespace.len())?;
    put_complex_prefix(&mut out, group, key, namespace);
    Ok(out)
}

fn complex(cx: &Cx<'_>, store: &Store, key: &ComplexKey) -> wasmtime::Result<Vec<u8>> {
    let mut out = complex_prefix(cx, store, [&key.key_group, &key.key, &key.namespace])?;
    out.extend_from_slice(key.user_key.as_le_slice(cx.as_context()));
    Ok(out)
}
