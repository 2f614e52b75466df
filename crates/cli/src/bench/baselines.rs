// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The seams of a store as a system without lazy state, or without commits, would have them. Yardsticks, not for use: after
//! a crash each of them has lost or repeated something.

mod no_commit;
mod put_per_key;

use std::sync::Arc;

use fnstream_core::committer::Committer;
use fnstream_core::state::StateStores;
use fnstream_store::Store;

use super::Variant;
use crate::failure::Result;

/// The committer and the state stores that a variant works with.
pub(super) fn seams(store: &Store, variant: Variant) -> Result<(Arc<dyn Committer>, Arc<dyn StateStores>)> {
    Ok(match variant {
        Variant::PutPerKey => put_per_key::seams(store)?,
        Variant::NoCommit => (Arc::new(no_commit::NoCommit::new(store)), store.state_stores()),
        Variant::Wasm | Variant::Native | Variant::Copy => (store.committer(), store.state_stores()),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::path::Path;
    use std::sync::mpsc::channel;

    use bytes::Bytes;
    use fnstream_core::broker::Assignment;
    use fnstream_core::committer::{Acquired, CommitResult};
    use fnstream_core::delta::{Delta, Write};
    use fnstream_core::epoch::{Epoch, FrozenEpoch, FunctionId, Generation, OutboxBatch, Progress, TaskId};
    use fnstream_core::state::Marker;
    use fnstream_frame::{FrameBuilder, RecordRef};
    use fnstream_store::{Durability, StoreOptions};

    use super::*;

    pub(super) fn store(dir: &Path) -> Store {
        Store::open(dir, StoreOptions { durability: Durability::Os, ..StoreOptions::default() }).unwrap()
    }

    pub(super) fn task() -> TaskId {
        TaskId::new(FunctionId(1), 0)
    }

    pub(super) fn assignment() -> Assignment {
        Assignment { task: task(), lease: 1, inputs: Vec::new() }
    }

    pub(super) fn acquire(committer: &dyn Committer, applied: Option<&Marker>) -> Acquired {
        committer.acquire(&assignment(), applied, &mut |_, _| Ok(())).unwrap()
    }

    pub(super) fn put(key: &str, value: &str) -> Delta {
        let mut delta = Delta::new();
        delta.write(key.as_bytes(), Write::Put(Bytes::copy_from_slice(value.as_bytes())));
        delta
    }

    pub(super) fn outbox(partition: u32, value: &str) -> OutboxBatch {
        let mut frame = FrameBuilder::new();
        frame.push(RecordRef::new(value.as_bytes()));
        OutboxBatch { topic: "out".into(), partition, frame: frame.to_bytes().into(), records: 1 }
    }

    pub(super) fn epoch(generation: Generation, number: u64, delta: Delta, outbox: Vec<OutboxBatch>) -> FrozenEpoch {
        let progress = Progress { epoch: Epoch(number), ..Progress::default() };
        FrozenEpoch { task: task(), generation, progress, delta, outbox, watermarks: Vec::new() }
    }

    pub(super) fn commit(committer: &dyn Committer, epoch: FrozenEpoch) -> CommitResult {
        let (answer, answered) = channel();
        committer.commit(Arc::new(epoch), Box::new(move |result| answer.send(result).unwrap()));
        answered.recv().unwrap()
    }
}
