// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What instances print that are called aside: it goes to who called them, and not into the function's log.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use fnstream_core::epoch::FunctionId;
use fnstream_core::function_log::{FunctionLog, LogLine, Speaker};
use parking_lot::Mutex;

/// The most lines, and the most bytes of them, that are kept of a call.
const MOST_LINES: usize = 1_000;
const MOST_BYTES: usize = 256 << 10;

/// How many ids there are for calls.
const IDS: u32 = 1 << 20;

/// A log in which the lines of some functions are set aside.
pub(crate) struct Aside {
    log: Arc<dyn FunctionLog>,
    next: AtomicU32,
    said: Mutex<HashMap<FunctionId, Said>>,
}

/// The lines of a call.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) lines: Vec<(Speaker, String)>,
    bytes: usize,
    /// Lines that are not kept.
    pub(crate) dropped: u64,
}

/// Sets the lines of an id aside while it lives.
pub(crate) struct Listening {
    aside: Arc<Aside>,
    /// An id that no function has.
    pub(crate) id: FunctionId,
}

impl Aside {
    pub(crate) fn new(log: Arc<dyn FunctionLog>) -> Arc<Self> {
        Arc::new(Aside { log, next: AtomicU32::new(0), said: Mutex::default() })
    }

    pub(crate) fn listen(self: &Arc<Self>) -> Listening {
        // Functions' ids are given from below, and never so many; calls end long before an id comes again.
        let id = FunctionId(u32::MAX - 1 - self.next.fetch_add(1, Ordering::Relaxed) % IDS);
        self.said.lock().insert(id, Said::default());
        Listening { aside: self.clone(), id }
    }
}

impl Listening {
    /// What was said so far.
    pub(crate) fn said(&self) -> Said {
        self.aside.said.lock().get_mut(&self.id).map(std::mem::take).unwrap_or_default()
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.aside.said.lock().remove(&self.id);
    }
}

impl FunctionLog for Aside {
    fn write(&self, line: LogLine<'_>) {
        // Nearly always there are none.
        if let Some(said) = self.said.lock().get_mut(&line.function) {
            if said.lines.len() >= MOST_LINES || said.bytes + line.text.len() > MOST_BYTES {
                said.dropped += 1;
                return;
            }
            said.bytes += line.text.len();
            said.lines.push((line.speaker, line.text.to_owned()));
            return;
        }
        self.log.write(line);
    }
}

#[cfg(test)]
mod tests {
    use fnstream_core::function_log::ProcessLog;

    use super::*;

    #[test]
    fn lines_of_a_call_are_its_own_and_bounded() {
        let aside = Aside::new(Arc::new(ProcessLog));
        let (one, other) = (aside.listen(), aside.listen());
        assert_ne!(one.id, other.id);
        let say = |function, text| {
            aside.write(LogLine { function, name: "f", task: Some(0), speaker: Speaker::Stderr, text });
        };
        say(one.id, "a");
        say(FunctionId(1), "a function's own");
        assert_eq!(one.said().lines, [(Speaker::Stderr, "a".to_owned())]);
        assert_eq!((one.said(), other.said()), (Said::default(), Said::default()));
        let id = other.id;
        let long = "x".repeat(MOST_BYTES / 4);
        (0..10).for_each(|_| say(id, &long));
        let said = other.said();
        assert_eq!((said.lines.len(), said.dropped), (4, 6));
        (0..2 * MOST_LINES).for_each(|_| say(id, ""));
        assert_eq!(other.said().lines.len(), MOST_LINES);
        drop(other);
        say(id, "nobody listens");
        assert!(aside.said.lock().len() == 1);
    }
}
