// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What the log and the metrics say of requests that failed, whichever interface they came by.
//!
//! One state of the server, such as a store that recovers, may refuse any number of requests. So all of them are counted, and the
//! log has a line for each only if it is a bug: of other failures it has one for each code and [`APART`]. What is told where the
//! state begins has none at all.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fnstream_core::error::Fault;
use fnstream_core::{Error, ErrorCode};
use parking_lot::Mutex;

/// The time between two lines of one code.
const APART: Duration = Duration::from_secs(60);

const CODES: usize = ErrorCode::ALL.len();

/// The failures of this process, each at its code.
static COUNTS: [AtomicU64; CODES] = [const { AtomicU64::new(0) }; CODES];
static LINES: Mutex<[Line; CODES]> = Mutex::new([Line::NONE; CODES]);

/// The last line of a code.
#[derive(Clone, Copy)]
struct Line {
    at: Option<Instant>,
    /// Failures since that have none.
    more: u64,
}

impl Line {
    const NONE: Line = Line { at: None, more: 0 };

    /// A failure: if it is to have a line, with how many had none since the one before.
    fn next(&mut self, now: Instant) -> Option<u64> {
        if self.at.is_some_and(|at| now.saturating_duration_since(at) < APART) {
            self.more += 1;
            return None;
        }
        self.at = Some(now);
        Some(std::mem::take(&mut self.more))
    }
}

/// Counts a failure, and notes it as loudly as its fault deserves.
pub(crate) fn note(error: &Error) {
    let (code, text) = (error.code, &error.message);
    COUNTS[code as usize].fetch_add(1, Ordering::Relaxed);
    match code.fault() {
        Fault::Internal => tracing::error!(%code, error = text, "a request failed by our fault"),
        Fault::External if !is_told_elsewhere(code) => {
            let line = LINES.lock()[code as usize].next(Instant::now());
            match line {
                Some(0) => tracing::warn!(%code, error = text, "a request failed"),
                Some(more) => tracing::warn!(%code, error = text, more, "requests failed"),
                None => tracing::debug!(%code, error = text, "a request failed"),
            }
        }
        Fault::External | Fault::User => tracing::debug!(%code, error = text, "a request was refused"),
    }
}

/// Whether the log tells of the state that refuses requests so, when it begins; or nobody has to know.
fn is_told_elsewhere(code: ErrorCode) -> bool {
    use ErrorCode::{ConnectionsFull, NotReady, ShuttingDown, StoreRecovering, WaitingFull};
    matches!(code, StoreRecovering | ShuttingDown | NotReady | ConnectionsFull | WaitingFull)
}

/// How many requests have failed, by code: of those that are not their callers' fault.
pub(crate) fn counts() -> Vec<(ErrorCode, u64)> {
    let counted = ErrorCode::ALL.iter().filter(|code| code.fault() != Fault::User && code.http_status() >= 500);
    counted.map(|code| (*code, COUNTS[*code as usize].load(Ordering::Relaxed))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_failure_has_a_line_now_and_then() {
        let (mut line, begun) = (Line::NONE, Instant::now());
        let lines: Vec<_> = (0..130).filter_map(|second| line.next(begun + Duration::from_secs(second))).collect();
        assert_eq!(lines, [0, 59, 59]);
    }

    #[test]
    fn a_code_counts_at_its_own_place() {
        for (place, code) in ErrorCode::ALL.iter().enumerate() {
            assert_eq!(*code as usize, place, "{code}");
        }
        let count = || counts().into_iter().find(|(code, _)| *code == ErrorCode::CommitFatal).map(|(_, count)| count);
        let before = count();
        note(&Error::new(ErrorCode::CommitFatal, "as told"));
        assert_eq!(count(), before.map(|before| before + 1));
        assert!(counts().iter().all(|(code, _)| code.http_status() >= 500));
    }
}
