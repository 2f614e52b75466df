// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `functionstream:packed/progress`: which record a packed function had at hand when its call ended in a trap, and whether anything
//! is left of one for which it returned an error.
//!
//! A component's memory is closed to the host but for the values that it passes. So the function passes, once, the list of one
//! element in which it keeps the index, and the host keeps that value: it names a place in the memory, which may be read at any
//! time. Naming the record costs the function one store per record, and the host nothing before something fails. A function that has no
//! memory to keep such a value in, as one in Python, says by a call that a record was undone; its record at hand is looked for.

use fnstream_core::{Error, ErrorCode};
use wasmtime::component::{Linker, WasmList};
use wasmtime::{Store, StoreContextMut};

use crate::component::Component;
use crate::fault::raise;

pub(crate) const NAME: &str = "functionstream:packed/progress@0.1.0";

/// The cell that a function has shown.
pub(crate) type Cell = WasmList<u32>;

pub(crate) fn add_to_linker(linker: &mut Linker<Component>) -> wasmtime::Result<()> {
    let mut interface = linker.instance(NAME)?;
    interface.func_wrap("watch", watch)?;
    interface.func_wrap("undone", undone)
}

fn watch(mut cx: StoreContextMut<'_, Component>, (cell,): (Cell,)) -> wasmtime::Result<()> {
    if cell.len() != 1 {
        let message = format!("the cell of the record at hand has {} elements, not 1", cell.len());
        return Err(raise(Error::new(ErrorCode::GuestProtocol, message)));
    }
    cx.data_mut().progress = Some(cell);
    Ok(())
}

fn undone(mut cx: StoreContextMut<'_, Component>, (): ()) -> wasmtime::Result<()> {
    cx.data_mut().undone = true;
    Ok(())
}

/// What the cell holds when a call returned an error and nothing is left of the record that failed.
const UNDONE: u32 = u32::MAX - 1;

/// The index of the record at hand, if the function shows it and one of `records` is.
pub(crate) fn at_hand(store: &Store<Component>, records: usize) -> Option<u32> {
    read(store).filter(|index| (*index as usize) < records)
}

/// Reports whether the function says that nothing is left of the record for which it has just returned an error.
pub(crate) fn is_undone(store: &Store<Component>) -> bool {
    store.data().undone || read(store) == Some(UNDONE)
}

fn read(store: &Store<Component>) -> Option<u32> {
    let cell = store.data().progress.as_ref()?;
    cell.as_le_slice(store).first().map(|index| u32::from_le(*index))
}
