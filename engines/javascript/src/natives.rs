// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What JavaScript is given: the host's interfaces, and what the SDK and the globals are too slow without.

use std::io::Write;
use std::rc::Rc;

use rquickjs::prelude::Func;
use rquickjs::{Ctx, Exception, Function, Object, Result, String as Text, TypedArray};

use crate::bindings::functionstream::packed::{output, timers};
use crate::boundary::Error;
use crate::cell;
use crate::files::Files;

mod args;
pub(crate) mod rejections;
mod rows;
mod states;
mod texts;

type Bytes<'js> = TypedArray<'js, u8>;

/// The two halves of an integer, as numbers. Not as integers of 32 bits, of which rquickjs makes negative numbers from half of the way on.
pub(crate) fn halves(value: u64) -> (f64, f64) {
    (f64::from((value >> 32) as u32), f64::from(value as u32))
}

fn joined(high: f64, low: u32) -> u64 {
    ((high as i64) << 32) as u64 | u64::from(low)
}

/// Prints a text to the function's log.
pub(crate) fn print(is_error: bool, text: &str) {
    // Nothing can be done about a log that takes no more.
    let _ = if is_error { writeln!(std::io::stderr(), "{text}") } else { writeln!(std::io::stdout(), "{text}") };
}

/// Runs what waits in the queue of jobs, and all that it brings.
pub(crate) fn drain(ctx: &Ctx<'_>) {
    while ctx.execute_pending_job() {}
}

fn refused(ctx: &Ctx<'_>, reason: &str) -> rquickjs::Error {
    Exception::throw_message(ctx, reason)
}

/// Throws what the host refused; `ofBatch` tells whose fault it is.
fn refused_as(ctx: &Ctx<'_>, error: &Error) -> rquickjs::Error {
    let thrown = || {
        let exception = Exception::from_message(ctx.clone(), &error.message)?;
        exception.set("ofBatch", error.of_batch)?;
        Ok(exception.throw())
    };
    thrown().unwrap_or_else(|failed| failed)
}

fn new_bytes<'js>(ctx: &Ctx<'js>, bytes: Vec<u8>) -> Result<Bytes<'js>> {
    Bytes::new(ctx.clone(), bytes)
}

/// The bytes of an array, for as long as no JavaScript runs, which could change them.
pub(crate) fn slice<'a>(bytes: &'a Bytes<'_>) -> &'a [u8] {
    // SAFETY: whoever calls this is done with the bytes before it returns to JavaScript, and runs none meanwhile.
    unsafe { bytes.as_bytes() }.unwrap_or_default()
}

fn domain(number: u32) -> timers::Domain {
    if number == 0 { timers::Domain::EventTime } else { timers::Domain::ProcessingTime }
}

/// The bytes of binary text: one for each character.
fn unbinary(text: &Text<'_>) -> Result<Vec<u8>> {
    let text = text.to_string()?;
    Ok(if text.is_ascii() { text.into_bytes() } else { text.chars().map(|byte| byte as u32 as u8).collect() })
}

/// Bytes as text with one character for each.
fn binary<'js>(ctx: &Ctx<'js>, bytes: &[u8]) -> Result<Text<'js>> {
    Text::from_str(ctx.clone(), &texts::latin1(bytes))
}

/// All of it, as an object with functions.
pub(crate) fn natives<'js>(ctx: &Ctx<'js>, files: &Rc<Files>) -> Result<Object<'js>> {
    let object = Object::new(ctx.clone())?;
    object.set("cell", cell::buffer(ctx)?)?;
    texts::texts(ctx, &object)?;
    outputs(ctx, &object)?;
    states::states(ctx, &object)?;
    object.set("print", Func::from(|is_error: bool, text: String| print(is_error, &text)))?;
    object.set("drain", Func::from(|ctx: Ctx<'_>| drain(&ctx)))?;
    object.set("rejections", Func::from(|ctx: Ctx<'js>| rejections::take(&ctx)))?;
    object.set(
        "random",
        Func::from(|ctx: Ctx<'js>, size: usize| {
            let mut bytes = vec![0; size];
            getrandom::fill(&mut bytes).map_err(|error| refused(&ctx, &error.to_string()))?;
            new_bytes(&ctx, bytes)
        }),
    )?;
    let files = files.clone();
    object.set("line", Function::new(ctx.clone(), move |file: String, line: usize| files.line(&file, line))?)?;
    Ok(object)
}

fn outputs<'js>(ctx: &Ctx<'js>, object: &Object<'js>) -> Result<()> {
    object.set("push", args::function::<rows::Push>(ctx)?)?;
    object.set("truncate", Func::from(rows::truncate))?;
    object.set(
        "emit",
        Func::from(|ctx: Ctx<'js>| rows::take(output::emit_frame).map_err(|reason| refused(&ctx, &reason))),
    )?;
    object.set(
        "emitWatermark",
        Func::from(|ctx: Ctx<'js>, target: u32, high: f64, low: f64| {
            output::emit_watermark(target, joined(high, low as u32)).map_err(|reason| refused(&ctx, &reason))
        }),
    )?;
    object.set(
        "setTimer",
        Func::from(|ctx: Ctx<'js>, of: u32, key: Bytes<'js>, high: f64, low: f64| {
            let at = joined(high, low as u32).cast_signed();
            timers::set(domain(of), slice(&key), at).map_err(|reason| refused(&ctx, &reason))
        }),
    )?;
    object.set(
        "deleteTimer",
        Func::from(|ctx: Ctx<'js>, of: u32, key: Bytes<'js>| {
            timers::delete(domain(of), slice(&key)).map_err(|reason| refused(&ctx, &reason))
        }),
    )
}
