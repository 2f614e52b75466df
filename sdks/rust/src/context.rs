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

/// Facts about the function and its task.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    /// The function's name.
    pub name: String,
    /// Its revision.
    pub revision: u64,
    /// The index of this task among the function's tasks.
    pub task_index: u32,
    /// The names of the outputs. The index of each is the target to emit to.
    pub outputs: Vec<String>,
}

/// Lets a function emit records, open state and set timers.
pub struct Context {
    boundary: Rc<dyn Boundary>,
    metadata: Metadata,
    timestamp: i64,
    emitted: FrameBuilder,
    /// How many of these are of the records before the one in process.
    emitted_before: usize,
    /// Something of the record in process is with the host already.
    passed_on: bool,
    /// Why the host refused what was emitted. It is lost, so the instance is of no use afterwards, whatever the function makes of
    /// the error.
    refused: Option<String>,
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
            emitted_before: 0,
            passed_on: false,
            refused: None,
            frame: Vec::new(),
            stores: Vec::new(),
        }
    }

    /// Returns facts about the function and its task.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Emits a value to the output with that index, with the time of the record in process, without key and headers.
    pub fn emit(&mut self, target: u32, value: &[u8]) -> Result<(), Error> {
        self.emit_record(Output::new(value).to(target))
    }

    /// Emits a record. Returns an error if the function has no output with that index.
    ///
    /// What a batch emits reaches the host at the end of the batch.
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

    /// Promises an output that no record older than `watermark` (milliseconds since the Unix epoch) will follow.
    pub fn emit_watermark(&mut self, target: u32, watermark: u64) -> Result<(), Error> {
        // Records that were emitted before it may be older.
        self.flush_emitted()?;
        self.passed_on = true;
        self.boundary.emit_watermark(target, watermark).map_err(Error::new)
    }

    /// Sets the timer with that domain and key to `at`, in milliseconds since the Unix epoch, or moves it there.
    /// [`crate::Function::on_timer`] is called once when it is due. If the time has come already, that is as soon as the current
    /// call is over. A key has at most 64 KiB.
    ///
    /// Timers belong to the epoch, like state: a timer that a failed call sets is not set.
    pub fn set_timer(&mut self, domain: TimeDomain, key: &[u8], at: i64) -> Result<(), Error> {
        self.passed_on = true;
        self.boundary.set_timer(domain, key, at).map_err(Error::new)
    }

    /// Deletes a timer. Does nothing if the timer is not set.
    pub fn delete_timer(&mut self, domain: TimeDomain, key: &[u8]) -> Result<(), Error> {
        self.passed_on = true;
        self.boundary.delete_timer(domain, key).map_err(Error::new)
    }

    /// Opens the store of the task with that name, which must be 1 to 255 bytes. Opening a name twice gives the same store.
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
        self.emitted_before = self.emitted.len();
        self.passed_on = false;
        self.stores.iter().for_each(|(_, store)| store.begin());
    }

    /// The record that began last failed: takes back what it did, and passes on what those before it did. Returns false if that
    /// cannot be done.
    pub(crate) fn undo(&mut self) -> bool {
        if self.passed_on || !self.stores.iter().all(|(_, store)| store.undo()) {
            return false;
        }
        self.emitted.truncate(self.emitted_before);
        self.finish().is_ok()
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
        if let Some(message) = &self.refused {
            return Err(Error::of_batch(message.clone()));
        }
        if self.emitted.is_empty() {
            return Ok(());
        }
        self.passed_on |= self.emitted.len() > self.emitted_before;
        self.emitted_before = 0;
        self.frame.clear();
        self.emitted.write_to(&mut self.frame);
        self.emitted.clear();
        self.boundary.emit_frame(&self.frame).map_err(|message| {
            self.refused = Some(message.clone());
            Error::of_batch(message)
        })
    }
}

fn no_output(target: u32, outputs: usize) -> Error {
    Error::new(format!("emitted to output {target}, but the function has {outputs}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boundary::Page;

    /// A host that takes no records.
    struct Refusing;

    impl Boundary for Refusing {
        fn emit_frame(&self, _: &[u8]) -> Result<(), String> {
            Err("too large".into())
        }

        fn emit_watermark(&self, _: u32, _: u64) -> Result<(), String> {
            Ok(())
        }

        fn set_timer(&self, _: TimeDomain, _: &[u8], _: i64) -> Result<(), String> {
            Ok(())
        }

        fn delete_timer(&self, _: TimeDomain, _: &[u8]) -> Result<(), String> {
            Ok(())
        }

        fn open(&self, _: &str) -> Result<u32, String> {
            Ok(0)
        }

        fn get(&self, _: u32, _: &[u8]) -> Result<Option<Vec<u8>>, String> {
            Ok(None)
        }

        fn write(&self, _: u32, _: &[u8]) -> Result<(), String> {
            Ok(())
        }

        fn scan(&self, _: u32, _: &[u8], _: Option<&[u8]>, _: u32) -> Result<Page, String> {
            Ok((Vec::new(), None))
        }
    }

    /// What was emitted is lost then, whatever the function makes of the error.
    #[test]
    fn a_refusal_that_is_swallowed_fails_the_call_and_undoes_nothing() {
        let metadata = Metadata { outputs: vec!["out".into()], ..Metadata::default() };
        let mut ctx = Context::new(Rc::new(Refusing), metadata);
        ctx.begin(0);
        ctx.emit(0, b"good").unwrap_or_else(|error| panic!("{error}"));
        ctx.begin(1);
        let _ = ctx.emit_watermark(0, 1);
        ctx.begin(2);
        assert!(!ctx.undo());
        let error = ctx.finish().err().map(Error::into_message);
        assert_eq!(error.as_deref(), Some("too large"));
    }
}
