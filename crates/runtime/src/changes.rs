// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Which keys an instance has written lately: whether what was read of a range before is still true.

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Counts writes.
    version: u64,
    /// What is known of earlier writes than this one is only that there were some.
    since: u64,
    /// The furthest key that was written since, or the end of a range that was deleted.
    furthest: Vec<u8>,
}

impl Changes {
    /// A key was written, or a range deleted that ends at this one.
    pub(crate) fn note(&mut self, key: &[u8]) {
        self.version += 1;
        if key > &self.furthest[..] {
            self.furthest.clear();
            self.furthest.extend_from_slice(key);
        }
    }

    /// Any keys were written.
    pub(crate) fn note_any(&mut self) {
        self.version += 1;
        self.since = self.version;
        self.furthest.clear();
    }

    /// Something is read now; the answer is for [`Changes::is_stale`].
    pub(crate) fn read(&mut self) -> u64 {
        if self.since != self.version {
            self.since = self.version;
            self.furthest.clear();
        }
        self.version
    }

    /// Whether what was read then of the keys from `from` on may not be true any more.
    pub(crate) fn is_stale(&self, read: u64, from: &[u8]) -> bool {
        read != self.version && (read < self.since || &self.furthest[..] >= from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_writes_ahead_of_a_reader_make_what_it_has_read_stale() {
        let mut changes = Changes::default();
        let read = changes.read();
        assert!(!changes.is_stale(read, b""));
        changes.note(b"b");
        assert!(!changes.is_stale(read, b"b\0"));
        assert!(changes.is_stale(read, b"b"));
        changes.note(b"a");
        assert!(changes.is_stale(read, b"b"));
        let later = changes.read();
        assert!(!changes.is_stale(later, b""));
        changes.note(b"a");
        assert!(!changes.is_stale(later, b"b"));
        assert!(changes.is_stale(read, b"z"), "what came before the other reader is not known any more");
        changes.note_any();
        assert!(changes.is_stale(later, b"z"));
    }
}
