// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What JavaScript is given: the host's interfaces, and what the SDK and the globals are too slow without.

use std::io::Write;
use std::rc::Rc;

use fnstream_frame::{OpList, StateOp};
use rquickjs::prelude::Func;
use rquickjs::{Array, Ctx, Exception, Function, Object, Result, String as Text, TypedArray, Value};

use crate::bindings::functionstream::packed::{output, state, timers};
use crate::cell;
use crate::files::Files;

pub(crate) mod rejections;
mod rows;

/// How deep the JSON of a record may be nested.
const DEEPEST: usize = 2000;

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

fn refused_by_state(ctx: &Ctx<'_>, error: state::Error) -> rquickjs::Error {
    match error {
        state::Error::InvalidName(reason) | state::Error::InvalidKey(reason) | state::Error::Malformed(reason) => {
            refused(ctx, &reason)
        }
    }
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
    if let (true, Ok(text)) = (bytes.is_ascii(), std::str::from_utf8(bytes)) {
        return Text::from_str(ctx.clone(), text);
    }
    let text: String = bytes.iter().map(|&byte| char::from(byte)).collect();
    Text::from_str(ctx.clone(), &text)
}

/// UTF-8 as text; none if it is not.
fn utf8<'a>(ctx: &Ctx<'_>, bytes: &'a [u8]) -> Result<&'a str> {
    std::str::from_utf8(bytes).map_err(|error| {
        Exception::throw_type(ctx, &format!("the bytes are not UTF-8 from byte {} on", error.valid_up_to()))
    })
}

/// Reports whether JSON is nested too deep for QuickJS, which has no bound of its own there: its stack would be exhausted.
fn is_deep(json: &[u8]) -> bool {
    let opens = |byte: &u8| matches!(byte, b'[' | b'{');
    if json.len() <= DEEPEST || json.iter().filter(|byte| opens(byte)).count() <= DEEPEST {
        return false;
    }
    let (mut depth, mut is_text, mut is_escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_text => is_escaped = true,
            b'"' => is_text = !is_text,
            _ if is_text => {}
            byte if opens(byte) => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEEPEST {
            return true;
        }
    }
    false
}

/// Writes as they are packed: each has a `kind`, a `key` as binary text and a `value` as bytes.
fn packed_ops(ops: &Array<'_>) -> Result<OpList> {
    let mut list = OpList::new();
    for op in ops.iter::<Object<'_>>() {
        let op = op?;
        let (key, value) = (unbinary(&op.get("key")?)?, op.get::<_, Bytes<'_>>("value")?);
        let (key, value) = (&key[..], slice(&value));
        list.push(match op.get::<_, u32>("kind")? {
            0 => StateOp::Put(key, value),
            1 => StateOp::Delete(key),
            2 => StateOp::Merge(key, value),
            _ => StateOp::DeleteRange(key, Some(value)),
        });
    }
    Ok(list)
}

/// All of it, as an object with functions.
pub(crate) fn natives<'js>(ctx: &Ctx<'js>, files: &Rc<Files>) -> Result<Object<'js>> {
    let object = Object::new(ctx.clone())?;
    object.set("cell", cell::buffer(ctx)?)?;
    texts(&object)?;
    outputs(&object)?;
    states(&object)?;
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

fn texts<'js>(object: &Object<'js>) -> Result<()> {
    // Undefined for text that has halves of pairs in it.
    object.set(
        "encode",
        Func::from(|ctx: Ctx<'js>, text: Text<'js>| match text.to_string() {
            Ok(text) => new_bytes(&ctx, text.into_bytes()).map(Some),
            Err(_) => Ok(None),
        }),
    )?;
    object.set(
        "decode",
        Func::from(|ctx: Ctx<'js>, bytes: Bytes<'js>| Text::from_str(ctx.clone(), utf8(&ctx, slice(&bytes))?)),
    )?;
    object.set(
        "decodeLossy",
        Func::from(|ctx: Ctx<'js>, bytes: Bytes<'js>| Text::from_str(ctx, &String::from_utf8_lossy(slice(&bytes)))),
    )?;
    object.set(
        "parse",
        Func::from(|ctx: Ctx<'js>, bytes: Bytes<'js>, start: usize, end: usize| -> Result<Value<'js>> {
            let text = utf8(&ctx, slice(&bytes).get(start..end).unwrap_or_default())?;
            if is_deep(text.as_bytes()) {
                return Err(Exception::throw_range(&ctx, &format!("the JSON is nested more than {DEEPEST} deep")));
            }
            ctx.json_parse(text)
        }),
    )?;
    object.set("binary", Func::from(|ctx: Ctx<'js>, bytes: Bytes<'js>| binary(&ctx, slice(&bytes))))?;
    object.set(
        "binaryOf",
        Func::from(|ctx: Ctx<'js>, text: Text<'js>| match text.to_string() {
            Ok(plain) if plain.is_ascii() => Ok(Some(text)),
            Ok(plain) => binary(&ctx, plain.as_bytes()).map(Some),
            Err(_) => Ok::<_, rquickjs::Error>(None),
        }),
    )?;
    object.set("unbinary", Func::from(|ctx: Ctx<'js>, text: Text<'js>| new_bytes(&ctx, unbinary(&text)?)))
}

fn outputs<'js>(object: &Object<'js>) -> Result<()> {
    object.set("push", Func::from(rows::push))?;
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

fn states<'js>(object: &Object<'js>) -> Result<()> {
    object.set(
        "open",
        Func::from(|ctx: Ctx<'js>, name: String| state::open(&name).map_err(|error| refused_by_state(&ctx, error))),
    )?;
    object.set(
        "get",
        Func::from(|ctx: Ctx<'js>, store: u32, key: Text<'js>| -> Result<Option<Bytes<'js>>> {
            let value = state::get(store, &unbinary(&key)?).map_err(|error| refused_by_state(&ctx, error))?;
            value.map(|value| new_bytes(&ctx, value)).transpose()
        }),
    )?;
    object.set(
        "write",
        Func::from(|ctx: Ctx<'js>, store: u32, ops: Array<'js>| -> Result<()> {
            let ops = packed_ops(&ops)?;
            state::write(store, ops.as_bytes()).map_err(|error| refused_by_state(&ctx, error))
        }),
    )?;
    object.set(
        "scan",
        Func::from(|ctx: Ctx<'js>, store: u32, start: Text<'js>, end: Text<'js>, most: u32| -> Result<Object<'js>> {
            let end = unbinary(&end)?;
            let page = state::scan(store, &unbinary(&start)?, Some(&end), most);
            let page = page.map_err(|error| refused_by_state(&ctx, error))?;
            let object = Object::new(ctx.clone())?;
            object.set("pairs", new_bytes(&ctx, page.pairs)?)?;
            if let Some(next) = page.next {
                object.set("next", binary(&ctx, &next)?)?;
            }
            Ok(object)
        }),
    )
}
