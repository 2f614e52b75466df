// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The words for where in a guest's code a call ended, bounded.
//!
//! Functions have their names wherever the artifact has them, and a source file and line where it carries DWARF. Both come
//! from the guest, so what they may take is bounded: the number of frames, and the text.

use std::fmt::{self, Write};
use std::num::NonZeroUsize;

use wasmtime::{FrameInfo, WasmBacktrace};

use crate::lines::{Lines, Place};

/// The most frames that are shown, from the innermost on.
pub(crate) const FRAMES: NonZeroUsize = NonZeroUsize::new(64).expect("is not zero");

/// The most bytes of text.
const LONGEST: usize = 16 << 10;

/// The text of a backtrace; `None` when no frame is of a guest.
pub(crate) fn text(backtrace: &WasmBacktrace, lines: &Lines) -> Option<String> {
    let frames = backtrace.frames();
    if frames.is_empty() {
        return None;
    }
    let offsets: Vec<_> = frames.iter().map(|frame| frame.module_offset().unwrap_or_default()).collect();
    let mut places = lines.places(&offsets).into_iter();
    let mut text = Bounded { text: String::new() };
    let whole = text.write_str("error while executing at wasm backtrace:").is_ok()
        && frames
            .iter()
            .enumerate()
            .all(|(number, frame)| write_frame(&mut text, number, frame, &places.next().unwrap_or_default()).is_ok());
    let mut text = text.text;
    if !whole {
        text.push_str("\n … (cut)");
    } else if frames.len() == FRAMES.get() {
        text.push_str("\n … (deeper calls are not shown)");
    }
    Some(text)
}

fn write_frame(text: &mut Bounded, number: usize, frame: &FrameInfo, places: &[Place]) -> fmt::Result {
    write!(text, "\n  {number:>3}: ")?;
    if let Some(offset) = frame.module_offset() {
        write!(text, "{offset:#8x} - ")?;
    }
    let [innermost, outer @ ..] = places else {
        write!(text, "{}!", frame.module().name().unwrap_or("<unknown>"))?;
        return write_function(text, frame);
    };
    match &innermost.function {
        Some(name) => write_demangled(text, name)?,
        None => write_function(text, frame)?,
    }
    write_location(text, innermost)?;
    for place in outer {
        text.write_str("\n                - ")?;
        write_demangled(text, place.function.as_deref().unwrap_or("<inlined function>"))?;
        write_location(text, place)?;
    }
    Ok(())
}

fn write_function(text: &mut Bounded, frame: &FrameInfo) -> fmt::Result {
    match frame.func_name() {
        Some(name) => write_demangled(text, name),
        None => write!(text, "<wasm function {}>", frame.func_index()),
    }
}

fn write_location(text: &mut Bounded, place: &Place) -> fmt::Result {
    let Some(file) = &place.file else { return Ok(()) };
    write!(text, "\n                    at {file}")?;
    for number in [place.line, place.column].into_iter().map_while(|number| number) {
        write!(text, ":{number}")?;
    }
    Ok(())
}

/// A name as its programmer knows it, of Rust, C or C++.
fn write_demangled(text: &mut Bounded, name: &str) -> fmt::Result {
    if let Ok(name) = rustc_demangle::try_demangle(name) {
        return write!(text, "{name}");
    }
    match cpp_demangle::Symbol::new(name).ok().and_then(|symbol| symbol.demangle().ok()) {
        Some(name) => text.write_str(&name),
        None => text.write_str(name),
    }
}

/// Takes text up to the bound, and then stops whoever writes it.
struct Bounded {
    text: String,
}

impl Write for Bounded {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let room = LONGEST - self.text.len();
        self.text.push_str(&more[..more.floor_char_boundary(room)]);
        if more.len() > room { Err(fmt::Error) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_ends_at_the_bound_and_between_characters() {
        let mut text = Bounded { text: String::new() };
        text.write_str(&"x".repeat(LONGEST - 1)).unwrap();
        assert!(text.write_str("üü").is_err());
        assert_eq!(text.text.len(), LONGEST - 1);
        assert!(text.write_str("y").is_ok() && text.write_str("z").is_err());
        assert_eq!(text.text.len(), LONGEST);
    }
}
