// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

use std::collections::BTreeMap;
use std::rc::Rc;

use fnstream_frame::{FrameBuilder, RecordRef};

use crate::boundary::Boundary;
use crate::cache::CachedStore;
use crate::{Error, Output, Store, TimeDomain};

/// Bytes of emitted records after which they are passed on in the middle of a batch.
const MOST_BYTES: usize = 1 << 20;

/// The function's own configuration.
pub type Config = BTreeMap<String, String>;

/// What a function is told about itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    /// The function's name.
    pub name: String,
    /// Its revision.
    pub revision: u64,
    /// Which of the function's tasks this is.
    pub task_index: u32,
    /// The outputs; the index is the target to emit to.
    pub outputs: Vec<String>,
}

/// What a function does beside computing: emit, open state, set timers.
pub struct Context {
    boundary: Rc<dyn Boundary>,
    metadata: Metadata,
    timestamp: i64,
    emitted: FrameBuilder,
    frame: Vec<u8>,
    stores: Vec<(String, Rc<CachedStore>)>,
}

impl Context {
    pub(crate) fn new(boundary: Rc<dyn Boundary>, metadata: Metadata) -> Self {
        Context {
            boundary,
            metadata,
            timestamp: 0,
            emitted: FrameBuilder::new(),
            frame: Vec::new(),
            stores: Vec::new(),
        }
    }

    /// What the function is told about itself.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Emits a value to the output of that index, with the time of the record in process, without key and headers.
    pub fn emit(&mut self, target: u32, value: &[u8]) -> Result<(), Error> {
        self.emit_record(Output::new(value).to(target))
    }

    /// Emits a record. `Err` when the function has no output of that index.
    ///
    /// Records are passed on together at the end of the batch.
    pub fn emit_record(&mut self, output: Output<'_>) -> Result<(), Error> {
        if output.target as usize >= self.metadata.outputs.len() {
            return Err(no_output(output.target, self.metadata.outputs.len()));
        }
        let record = RecordRef {
            channel: output.target,
            timestamp: output.timestamp.unwrap_or(self.timestamp),
            key: output.key,
            headers: output.headers,
            value: output.value,
        };
        if !self.emitted.is_empty() && self.emitted.byte_len() + record.packed_len() > MOST_BYTES {
            self.flush_emitted()?;
        }
        self.emitted.push(record);
        Ok(())
    }

    /// Tells an output that no record older than `watermark` (milliseconds since the Unix epoch) will follow.
    pub fn emit_watermark(&mut self, target: u32, watermark: u64) -> Result<(), Error> {
        // Records that were emitted before it may be older.
        self.flush_emitted()?;
        self.boundary.emit_watermark(target, watermark).map_err(Error::new)
    }

    /// Sets the timer of that domain and key (64 KiB at most) to `at`, in milliseconds since the Unix epoch:
    /// [`crate::Function::on_timer`] is called once when it is due. There is one for each domain and key: setting it again
    /// moves it. One whose time has come already is due as soon as the call at hand is over.
    ///
    /// Timers belong to the epoch like state: what a failed call set is not set.
    pub fn set_timer(&mut self, domain: TimeDomain, key: &[u8], at: i64) -> Result<(), Error> {
        self.boundary.set_timer(domain, key, at).map_err(Error::new)
    }

    /// Deletes a timer; one that is not set is none.
    pub fn delete_timer(&mut self, domain: TimeDomain, key: &[u8]) -> Result<(), Error> {
        self.boundary.delete_timer(domain, key).map_err(Error::new)
    }

    /// Opens a store of the task by its name, 1 to 255 bytes; the same one each time.
    pub fn state(&mut self, name: &str) -> Result<Store, Error> {
        if let Some((_, store)) = self.stores.iter().find(|(known, _)| known == name) {
            return Ok(Store::new(Rc::clone(store)));
        }
        let handle = self.boundary.open(name).map_err(Error::new)?;
        let store = Rc::new(CachedStore::new(Rc::clone(&self.boundary), handle));
        self.stores.push((name.to_owned(), Rc::clone(&store)));
        Ok(Store::new(store))
    }

    /// A record begins: what is emitted for it has its time.
    pub(crate) fn begin(&mut self, timestamp: i64) {
        self.timestamp = timestamp;
    }

    /// A call ends: everything that it did is passed on.
    pub(crate) fn finish(&mut self) -> Result<(), Error> {
        self.flush_emitted()?;
        for (_, store) in &self.stores {
            store.flush()?;
        }
        Ok(())
    }

    fn flush_emitted(&mut self) -> Result<(), Error> {
        if self.emitted.is_empty() {
            return Ok(());
        }
        self.frame.clear();
        self.emitted.write_to(&mut self.frame);
        self.emitted.clear();
        self.boundary.emit_frame(&self.frame).map_err(Error::of_batch)
    }
}

fn no_output(target: u32, outputs: usize) -> Error {
    Error::new(format!("emitted to output {target}, but the function has {outputs}"))
}
