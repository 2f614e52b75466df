// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `functionstream:packed/output`: results of a packed function.

use wasmtime::component::{Linker, WasmList};
use wasmtime::{AsContext, StoreContextMut};

use crate::component::Component;
use crate::fault::raise;

pub(crate) const NAME: &str = "functionstream:packed/output@0.1.0";

type Answer = (Result<(), String>,);

pub(crate) fn add_to_linker(linker: &mut Linker<Component>) -> wasmtime::Result<()> {
    let mut output = linker.instance(NAME)?;
    output.func_wrap("emit-frame", emit_frame)?;
    output.func_wrap("emit-watermark", emit_watermark)
}

/// The host reads the guest's memory where it is.
fn emit_frame(mut cx: StoreContextMut<'_, Component>, (frame,): (WasmList<u8>,)) -> wasmtime::Result<Answer> {
    cx.data_mut().meter.hand(frame.len()).map_err(raise)?;
    let taken = cx.data().host.lock().emit_frame(frame.as_le_slice(cx.as_context()));
    answer(&mut cx, taken)
}

fn emit_watermark(mut cx: StoreContextMut<'_, Component>, (target, watermark): (u32, u64)) -> wasmtime::Result<Answer> {
    let taken = cx.data().host.lock().emit_watermark(target, watermark);
    answer(&mut cx, taken)
}

fn answer(cx: &mut StoreContextMut<'_, Component>, taken: fnstream_core::Result<()>) -> wasmtime::Result<Answer> {
    match taken {
        Ok(()) => Ok((Ok(()),)),
        Err(error) => Ok((Err(cx.data_mut().refuse(error)?),)),
    }
}
