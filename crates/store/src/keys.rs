// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The keys of each column family. All numbers are big-endian, so that byte order is number order.
//!
//! ```text
//! topics     topic u32, partition u32, base position u64                    a stored batch
//! deltas     function u32, task index u32, epoch u64                        Delta::encode
//! state      function u32, task index u32, key of the task                  the value
//! functions  name                                                           a function entry
//! meta       'c' topic u32, partition u32, group                            a consumer's cursor
//!            'f' topic u32, partition u32                                   the partition's floor
//!            'g' topic u32, partition u32, group                            what a group has acknowledged
//!            'i' function u32, task index u32                               the apply of a task's state that is unfinished
//!            'm' function u32, task index u32                               the marker of a task's state
//!            'j' name                                                       a note of the process, such as of a job
//!            'n' 'f' | 'o' | 't'                         the next id of a function | an opening of the store | a topic
//!            'p' function u32, task index u32                               the progress of a task
//!            'r' name                                                       the revisions of a function
//!            's' topic u32, producer                                         the last numbers of a producer
//!            't' name                                                       a topic's descriptor
//!            'w' topic u32, partition u32, position u64     the watermark of the partition from that position on
//!            'W' topic u32, function u32, task index u32                    the last watermark of a task that writes to the topic
//!            'u' function u32                                a fork that nobody has claimed: swept when the store is opened
//!            'z'                                                            nothing: for measuring a write
//! ```

use std::ops::Range;

use fnstream_core::epoch::{Epoch, FunctionId, TaskId};
use fnstream_core::state_key::prefix_end;

/// Column family of the log.
pub(crate) const TOPICS: &str = "topics";
/// Column family of the state deltas that are not applied yet.
pub(crate) const DELTAS: &str = "deltas";
/// Column family of the applied state.
pub(crate) const STATE: &str = "state";
/// Column family of everything small.
pub(crate) const META: &str = "meta";
/// Column family of the register of functions.
pub(crate) const FUNCTIONS: &str = "functions";

/// The key of the next function id.
pub(crate) const NEXT_FUNCTION: &[u8] = b"nf";
/// The key of the number of the next opening of the store.
pub(crate) const NEXT_OPENING: &[u8] = b"no";
/// The key of the next topic id.
pub(crate) const NEXT_TOPIC: &[u8] = b"nt";
/// Written to measure a write.
pub(crate) const PROBE: &[u8] = b"z";
/// The prefix of all topic descriptors.
pub(crate) const TOPIC_PREFIX: &[u8] = b"t";

/// The key of a stored batch.
pub(crate) fn batch(topic: u32, partition: u32, base: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..4].copy_from_slice(&topic.to_be_bytes());
    key[4..8].copy_from_slice(&partition.to_be_bytes());
    key[8..].copy_from_slice(&base.to_be_bytes());
    key
}

/// The base position in a key of the log.
pub(crate) fn batch_base(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(*key.get(8..)?.as_array()?))
}

/// The key of a delta.
pub(crate) fn delta(task: TaskId, epoch: Epoch) -> [u8; 16] {
    batch(task.function.0, task.index, epoch.0)
}

/// The epoch in a key of a delta.
pub(crate) fn delta_epoch(key: &[u8]) -> Option<Epoch> {
    batch_base(key).map(Epoch)
}

/// The prefix of all keys of a task, in `deltas` and `state`.
pub(crate) fn task(task: TaskId) -> [u8; 8] {
    let mut key = [0; 8];
    key[..4].copy_from_slice(&task.function.0.to_be_bytes());
    key[4..].copy_from_slice(&task.index.to_be_bytes());
    key
}

/// The key of a task's progress.
pub(crate) fn progress(task: TaskId) -> [u8; 9] {
    tagged(b'p', task)
}

/// The key of the marker of a task's state.
pub(crate) fn marker(task: TaskId) -> [u8; 9] {
    tagged(b'm', task)
}

/// The key of the unfinished apply of a task's state.
pub(crate) fn unfinished(task: TaskId) -> [u8; 9] {
    tagged(b'i', task)
}

fn tagged(tag: u8, id: TaskId) -> [u8; 9] {
    let mut key = [tag; 9];
    key[1..].copy_from_slice(&task(id));
    key
}

/// Index of a task in a key of its progress or its marker.
pub(crate) fn tagged_index(key: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(*key.get(5..)?.as_array()?))
}

/// The key of a function's revisions.
pub(crate) fn revisions(name: &str) -> Vec<u8> {
    [b"r", name.as_bytes()].concat()
}

/// The prefix of the keys of all forks that nobody has claimed.
pub(crate) const UNCLAIMED_PREFIX: &[u8] = b"u";

/// The key that says that a fork is nobody's yet.
pub(crate) fn unclaimed(fork: FunctionId) -> Vec<u8> {
    [UNCLAIMED_PREFIX, &fork.0.to_be_bytes()].concat()
}

/// The fork in such a key.
pub(crate) fn unclaimed_id(key: &[u8]) -> Option<FunctionId> {
    Some(FunctionId(u32::from_be_bytes(*key.get(1..)?.as_array()?)))
}

/// The prefix of the keys of all notes.
pub(crate) const NOTE_PREFIX: &[u8] = b"j";

/// The key of a note.
pub(crate) fn note(name: &str) -> Vec<u8> {
    [NOTE_PREFIX, name.as_bytes()].concat()
}

/// The key of a topic's descriptor.
pub(crate) fn topic(name: &str) -> Vec<u8> {
    [TOPIC_PREFIX, name.as_bytes()].concat()
}

/// The key of a partition's floor.
pub(crate) fn floor(topic: u32, partition: u32) -> [u8; 9] {
    tagged(b'f', TaskId::new(FunctionId(topic), partition))
}

/// The key of a consumer's cursor.
pub(crate) fn cursor(topic: u32, partition: u32, group: &str) -> Vec<u8> {
    [&tagged(b'c', TaskId::new(FunctionId(topic), partition)), group.as_bytes()].concat()
}

/// The key of a producer's numbers.
pub(crate) fn producer(topic: u32, producer: &str) -> Vec<u8> {
    [&b"s"[..], &topic.to_be_bytes(), producer.as_bytes()].concat()
}

/// The key of what a group has acknowledged in a partition.
pub(crate) fn acknowledged(topic: u32, partition: u32, group: &str) -> Vec<u8> {
    [&tagged(b'g', TaskId::new(FunctionId(topic), partition)), group.as_bytes()].concat()
}

/// The prefix of all such keys.
pub(crate) const ACKNOWLEDGED_PREFIX: &[u8] = b"g";

/// The topic in a key that begins with a letter and a topic.
pub(crate) fn topic_of(key: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(*key.get(1..5)?.as_array()?))
}

/// The key of the watermark that holds in a partition from a position on.
pub(crate) fn mark(topic: u32, partition: u32, position: u64) -> [u8; 17] {
    let mut key = [b'w'; 17];
    key[1..].copy_from_slice(&batch(topic, partition, position));
    key
}

/// The position in such a key.
pub(crate) fn mark_position(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(*key.get(9..)?.as_array()?))
}

/// The key of the last watermark that a task has emitted to a topic.
pub(crate) fn writer(topic: u32, id: TaskId) -> [u8; 13] {
    let mut key = [b'W'; 13];
    key[1..5].copy_from_slice(&topic.to_be_bytes());
    key[5..].copy_from_slice(&task(id));
    key
}

/// The task in such a key.
pub(crate) fn writer_task(key: &[u8]) -> Option<TaskId> {
    let (function, index) = key.get(5..13)?.split_at(4);
    let number = |bytes: &[u8]| Some(u32::from_be_bytes(*bytes.as_array()?));
    Some(TaskId::new(FunctionId(number(function)?), number(index)?))
}

/// Partition and group in a key of a cursor or of what was acknowledged.
pub(crate) fn cursor_parts(key: &[u8]) -> Option<(u32, &str)> {
    let partition = u32::from_be_bytes(*key.get(5..9)?.as_array()?);
    Some((partition, std::str::from_utf8(&key[9..]).ok()?))
}

/// All keys that begin with `tag` (which may be empty) and a u32.
pub(crate) fn all_of(tag: &[u8], id: u32) -> Range<Vec<u8>> {
    let start = [tag, &id.to_be_bytes()].concat();
    let end = after_prefix(&start);
    start..end
}

/// The first key after those that begin with `prefix`, which holds a letter or an id.
///
/// # Panics
/// When all bytes are 255: letters are not, and ids stay below the largest number.
pub(crate) fn after_prefix(prefix: &[u8]) -> Vec<u8> {
    prefix_end(prefix).expect("letters and ids are never all ones")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_like_what_they_name() {
        assert!(batch(1, 2, u64::MAX) < batch(1, 3, 0));
        assert!(batch(1, u32::MAX, 0) < batch(2, 0, 0));
        assert_eq!(batch_base(&batch(1, 2, 3)), Some(3));
        assert_eq!(cursor_parts(&cursor(1, 2, "g")), Some((2, "g")));
        let range = all_of(b"c", 7);
        assert!(range.contains(&cursor(7, u32::MAX, "\u{10ffff}")));
        assert!(!range.contains(&cursor(8, 0, "")));
    }
}
