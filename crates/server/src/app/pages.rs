// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Pages of lists.
//!
//! A list that grows with the data or with the number of functions is given in pages. A page is bounded in rows and in bytes,
//! and so is the work for it, so that none holds a thread for long. Where it ends the next one begins: the *cursor* says so. It
//! names a place (a name, a position, a key) and no number of rows, so a page costs the same wherever it is, and what comes or
//! goes meanwhile moves nothing else: a row that is there all the while is given exactly once.
//!
//! Memory for a page is taken before it is gathered, of the budget's part for lists.
//!
//! A cursor is opaque to clients. It is a letter for the kind of list and the place, in base64 that a URL can hold.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fnstream_core::{Error, ErrorCode, Result};

/// The most rows of a page, whatever is asked for.
pub(crate) const MOST_ROWS: usize = 1_000;

/// A page is given when its rows have that many bytes. Its last row may pass it.
pub(crate) const MOST_BYTES: usize = 4 << 20;

/// The memory that is taken for a page of the budget's part for lists: its rows, and the last one.
pub(crate) const MEMORY: usize = MOST_BYTES + (1 << 20);

/// The page that is wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    /// At most so many rows.
    pub(crate) max: usize,
    /// The cursor of the page before; the first page without it.
    pub(crate) after: Option<String>,
}

impl Wanted {
    /// The number of rows, within the bound.
    pub(crate) fn rows(&self) -> usize {
        self.max.min(MOST_ROWS)
    }
}

/// A part of a list.
#[derive(Debug)]
pub(crate) struct Page<T> {
    /// Its rows in order.
    pub(crate) rows: Vec<T>,
    /// Where the next page begins; none when this is the last one. A page may be empty and not the last.
    pub(crate) next: Option<String>,
}

impl<T> Page<T> {
    /// The first `max` of `rows`, which were asked for with one more than that, so that it shows whether there are others.
    pub(crate) fn of(list: List, mut rows: Vec<T>, max: usize, place: impl Fn(&T) -> Vec<u8>) -> Self {
        let more = rows.len() > max;
        rows.truncate(max);
        let next = rows.last().filter(|_| more).map(|last| list.cursor(&place(last)));
        Page { rows, next }
    }

    /// The same page with other rows.
    pub(crate) fn map<U>(self, row: impl FnMut(T) -> U) -> Page<U> {
        Page { rows: self.rows.into_iter().map(row).collect(), next: self.next }
    }
}

/// What a cursor is a place of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum List {
    /// Functions: the name of the last one.
    Functions,
    /// Topics: the last one, as text.
    Topics,
    /// Dead letters: a partition and a position, of the next one.
    DeadLetters,
    /// State: a task and a key, of the next entry.
    State,
    /// What a job's trial made of dead letters: the number of the next one.
    Tried,
    /// The rows of a statement: how many there were, and the cursor of what it lists.
    Statement,
}

impl List {
    fn letter(self) -> u8 {
        match self {
            List::Functions => b'f',
            List::Topics => b't',
            List::DeadLetters => b'd',
            List::State => b's',
            List::Tried => b'r',
            List::Statement => b'q',
        }
    }

    /// The cursor of a place.
    pub(crate) fn cursor(self, place: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode([&[self.letter()], place].concat())
    }

    /// The place of a cursor.
    pub(crate) fn place(self, cursor: &str) -> Result<Vec<u8>> {
        let mut bytes = URL_SAFE_NO_PAD.decode(cursor).unwrap_or_default();
        match bytes.first() {
            Some(letter) if *letter == self.letter() => {
                bytes.remove(0);
                Ok(bytes)
            }
            _ => Err(stray()),
        }
    }

    /// The place of a cursor that is text.
    pub(crate) fn text(self, cursor: &str) -> Result<String> {
        String::from_utf8(self.place(cursor)?).map_err(|_| stray())
    }
}

/// A cursor that no page of the list has.
pub(crate) fn stray() -> Error {
    Error::new(ErrorCode::InvalidRequest, "the cursor is not the 'next' of an earlier page of this list")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_belongs_to_its_list() {
        let cursor = List::DeadLetters.cursor(b"\0\xff");
        assert_eq!(List::DeadLetters.place(&cursor).unwrap(), b"\0\xff");
        assert_eq!(List::State.place(&cursor).unwrap_err().code, ErrorCode::InvalidRequest);
        for bad in ["", "?", "ZA==", "Zg "] {
            assert_eq!(List::DeadLetters.place(bad).unwrap_err().code, ErrorCode::InvalidRequest, "{bad}");
        }
        assert!(List::Functions.text(&List::Functions.cursor(b"\xff")).is_err());
    }

    #[test]
    fn a_page_says_whether_there_are_others() {
        let page = |rows: &[&str], max| {
            let rows: Vec<_> = rows.iter().map(|row| (*row).to_owned()).collect();
            let page = Page::of(List::Functions, rows, max, |row| row.as_bytes().to_vec());
            (page.rows.len(), page.next.map(|next| List::Functions.text(&next).unwrap()))
        };
        assert_eq!(page(&["a", "b", "c"], 2), (2, Some("b".to_owned())));
        assert_eq!(page(&["a", "b"], 2), (2, None));
        assert_eq!(page(&[], 2), (0, None));
    }
}
