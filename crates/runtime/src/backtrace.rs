// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Where in a guest's code a call ended, in bounded words.
//!
//! Functions have their names wherever the artifact has them, and a source file and line where it carries DWARF. Both come
//! from the guest, so what they may take is bounded: the number of frames, and the text.

use std::fmt::{self, Write};
use std::num::NonZeroUsize;

use wasmtime::WasmBacktrace;

/// The most frames that are shown, from the innermost on.
pub(crate) const FRAMES: NonZeroUsize = NonZeroUsize::new(64).expect("is not zero");

/// The most bytes of text.
const LONGEST: usize = 16 << 10;

/// The text of a backtrace; `None` when no frame is of a guest.
pub(crate) fn text(backtrace: &WasmBacktrace) -> Option<String> {
    if backtrace.frames().is_empty() {
        return None;
    }
    let mut text = Bounded { text: String::new() };
    let whole = write!(text, "{backtrace}").is_ok();
    let mut text = text.text;
    if !whole {
        text.push_str("\n … (cut)");
    } else if backtrace.frames().len() == FRAMES.get() {
        text.push_str("\n … (deeper calls are not shown)");
    }
    Some(text)
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
