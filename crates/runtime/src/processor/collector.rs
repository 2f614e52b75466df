// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `functionstream:core/collector`: results of a per-record function.
//!
//! Its functions cannot answer, so every refusal ends the call, with the refusal's own code.

use fnstream_frame::RecordRef;
use wasmtime::component::{Linker, WasmList};
use wasmtime::{AsContext, StoreContextMut};

use crate::component::Component;
use crate::fault::raise;

pub(crate) const NAME: &str = "functionstream:core/collector@0.1.0";

pub(crate) fn add_to_linker(linker: &mut Linker<Component>) -> wasmtime::Result<()> {
    let mut collector = linker.instance(NAME)?;
    collector.func_wrap("emit", |mut cx: StoreContextMut<'_, Component>, (target, value): (u32, WasmList<u8>)| {
        cx.data_mut().meter.hand(value.len()).map_err(raise)?;
        let data = cx.data();
        let record = RecordRef::new(value.as_le_slice(cx.as_context())).on(target).at(data.timestamp);
        data.host.lock().emit(record).map_err(raise)
    })?;
    collector.func_wrap("emit-watermark", |cx: StoreContextMut<'_, Component>, (target, watermark): (u32, u64)| {
        cx.data().host.lock().emit_watermark(target, watermark).map_err(raise)
    })
}
