// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Text and bytes, and the JSON of a record.

use rquickjs::prelude::Func;
use rquickjs::{Ctx, Object, Result, String as Text, TypedArray};

use super::args::{Answer, Args, Called, Failure, Native, function};
use super::{new_bytes, slice, unbinary};

/// How deep the JSON of a record may be nested.
const DEEPEST: usize = 2000;

/// Adds the functions.
pub(super) fn texts<'js>(ctx: &Ctx<'js>, object: &Object<'js>) -> Result<()> {
    object.set("isBytes", function::<IsBytes>(ctx)?)?;
    object.set("encode", function::<Encode>(ctx)?)?;
    object.set("decode", function::<Decode>(ctx)?)?;
    object.set("parse", function::<Parse>(ctx)?)?;
    object.set("binary", function::<Binary>(ctx)?)?;
    object.set("binaryOf", function::<BinaryOf>(ctx)?)?;
    object.set("unbinary", Func::from(|ctx: Ctx<'js>, text: Text<'js>| new_bytes(&ctx, unbinary(&text)?)))?;
    object.set(
        "decodeLossy",
        Func::from(|ctx: Ctx<'js>, bytes: TypedArray<'js, u8>| {
            Text::from_str(ctx, &String::from_utf8_lossy(slice(&bytes)))
        }),
    )
}

/// Reports whether a value is a Uint8Array.
struct IsBytes;

impl Native for IsBytes {
    const PARAMETERS: usize = 1;

    fn call(args: &Args<'_>) -> Called {
        Ok(Answer::Bool(args.is_bytes(0)))
    }
}

/// Text as UTF-8.
struct Encode;

impl Native for Encode {
    const PARAMETERS: usize = 1;

    fn call(args: &Args<'_>) -> Called {
        let text = args.text(0)?.ok_or_else(not_text)?;
        args.new_bytes(&well_formed(&text))
    }
}

/// UTF-8 as text.
struct Decode;

impl Native for Decode {
    const PARAMETERS: usize = 1;

    fn call(args: &Args<'_>) -> Called {
        args.new_text(utf8(args.bytes(0)?.ok_or_else(not_bytes)?)?)
    }
}

/// The value of JSON in bytes, from the argument 1 to the argument 2.
struct Parse;

impl Native for Parse {
    const PARAMETERS: usize = 3;

    fn call(args: &Args<'_>) -> Called {
        let bytes = args.bytes(0)?.ok_or_else(not_bytes)?;
        let json = bytes.get(args.integer(1) as usize..args.integer(2) as usize).unwrap_or_default();
        utf8(json)?;
        if is_deep(json) {
            return Err(Failure::Range(format!("the JSON is nested more than {DEEPEST} deep")));
        }
        args.parsed(json)
    }
}

/// Bytes as text with one character for each.
struct Binary;

impl Native for Binary {
    const PARAMETERS: usize = 1;

    fn call(args: &Args<'_>) -> Called {
        args.new_text(&latin1(args.bytes(0)?.ok_or_else(not_bytes)?))
    }
}

/// The UTF-8 of text as text with one character for each byte.
struct BinaryOf;

impl Native for BinaryOf {
    const PARAMETERS: usize = 1;

    fn call(args: &Args<'_>) -> Called {
        let text = args.text(0)?.ok_or_else(not_text)?;
        args.new_text(&latin1(&well_formed(&text)))
    }
}

fn not_text() -> Failure {
    Failure::Type("it is no text".to_owned())
}

fn not_bytes() -> Failure {
    Failure::Type("it is no Uint8Array".to_owned())
}

/// UTF-8 as it is; halves of pairs, which have no form in it, are replaced, as `toWellFormed` does.
pub(super) fn well_formed(text: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    if std::str::from_utf8(text).is_ok() {
        return text.into();
    }
    let mut mended = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(&first) = rest.first() {
        let is_half = first == 0xed && rest.get(1).is_some_and(|&second| second >= 0xa0);
        let (bytes, len) = if is_half { ("\u{fffd}".as_bytes(), 3) } else { (&rest[..1], 1) };
        mended.extend_from_slice(bytes);
        rest = rest.get(len..).unwrap_or_default();
    }
    mended.into()
}

/// One character for each byte.
pub(super) fn latin1(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.is_ascii() => text.into(),
        _ => bytes.iter().map(|&byte| char::from(byte)).collect(),
    }
}

fn utf8(bytes: &[u8]) -> std::result::Result<&str, Failure> {
    std::str::from_utf8(bytes)
        .map_err(|error| Failure::Type(format!("the bytes are not UTF-8 from byte {} on", error.valid_up_to())))
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
