// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Runs a function without a server: in the process of its own tests, with state in memory.
//!
//! It keeps what the server promises: a batch whose record fails leaves no trace, neither in state nor in the output.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use fnstream_frame::{Frame, FrameBuilder, OpList, StateOp};

use crate::boundary::{Boundary, Page};
use crate::driver::Driver;
use crate::{Config, Context, Error, Function, Metadata, Module, Record};

/// A function under test.
///
/// It has one output, named `output`, unless [`Harness::with_outputs`] says otherwise.
pub struct Harness<F> {
    driver: Option<Driver<F>>,
    memory: Rc<Memory>,
    config: Config,
    outputs: Vec<String>,
}

/// A record that the function emitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emitted {
    /// The output that it went to.
    pub target: u32,
    /// Milliseconds since the Unix epoch.
    pub timestamp: i64,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Names with values.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Its payload.
    pub value: Vec<u8>,
}

/// A batch that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// The index of the record that failed, where it is known.
    pub record: Option<usize>,
    /// The function's own words.
    pub message: String,
}

impl<F: Function> Harness<F> {
    /// Makes the function with this configuration.
    pub fn new(config: &[(&str, &str)]) -> Result<Self, Error> {
        Self::with_outputs(config, &["output"])
    }

    /// The same with these outputs.
    pub fn with_outputs(config: &[(&str, &str)], outputs: &[&str]) -> Result<Self, Error> {
        let mut harness = Harness {
            driver: None,
            memory: Rc::default(),
            config: config.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            outputs: outputs.iter().map(|name| (*name).to_owned()).collect(),
        };
        harness.restart()?;
        Ok(harness)
    }

    /// Processes a batch. When a record fails, nothing of the batch has happened, and the function is made anew.
    pub fn process(&mut self, records: &[Record<'_>]) -> Result<(), Failed> {
        let mut frame = FrameBuilder::new();
        for record in records {
            frame.push(record.packed());
        }
        let failed = |record, message| Failed { record, message };
        let driver = self.driver.as_mut().ok_or_else(|| failed(None, "the function could not be made".into()))?;
        let before = self.memory.world.borrow().clone();
        driver.process_batch(&frame.to_bytes()).map_err(|(index, message)| {
            *self.memory.world.borrow_mut() = before;
            let remade = self.restart();
            let message = match remade {
                Ok(()) => message,
                Err(error) => format!("{message}; and then: {error}"),
            };
            failed(Some(index as usize).filter(|&index| index < records.len()), message)
        })
    }

    /// Tells a watermark.
    pub fn process_watermark(&mut self, source: u32, watermark: u64) -> Result<(), Error> {
        self.call(|function, ctx| function.process_watermark(ctx, source, watermark))
    }

    /// Ends an epoch.
    pub fn take_checkpoint(&mut self, checkpoint: u64) -> Result<(), Error> {
        self.call(|function, ctx| function.take_checkpoint(ctx, checkpoint))
    }

    /// Asks whether the function is well.
    pub fn check_heartbeat(&mut self) -> Result<bool, Error> {
        self.call(|function, ctx| Ok(function.check_heartbeat(ctx)))
    }

    /// Sends modules.
    pub fn exec(&mut self, class_name: &str, modules: Vec<Module>) -> Result<(), Error> {
        self.call(|function, ctx| function.exec(ctx, class_name, modules))
    }

    /// Sends a request.
    pub fn custom(&mut self, payload: &[u8]) -> Result<Vec<u8>, Error> {
        self.call(|function, ctx| function.custom(ctx, payload.to_vec()))
    }

    /// Makes the function anew, with the state that it had: what happens after a failure and when a task moves.
    pub fn restart(&mut self) -> Result<(), Error> {
        self.driver = None;
        let metadata = Metadata { name: "test".into(), revision: 1, task_index: 0, outputs: self.outputs.clone() };
        let boundary: Rc<dyn Boundary> = self.memory.clone();
        self.driver = Some(Driver::init(boundary, &self.config, metadata)?);
        Ok(())
    }

    /// What was emitted since the last time.
    pub fn take_output(&mut self) -> Vec<Emitted> {
        std::mem::take(&mut self.memory.world.borrow_mut().output)
    }

    /// The watermarks that were emitted since the last time, as target and time.
    pub fn take_watermarks(&mut self) -> Vec<(u32, u64)> {
        std::mem::take(&mut self.memory.world.borrow_mut().watermarks)
    }

    /// The function; `None` when it could not be made again after a failure.
    pub fn function(&self) -> Option<&F> {
        self.driver.as_ref().map(Driver::function)
    }

    fn call<R>(&mut self, run: impl FnOnce(&mut F, &mut Context) -> Result<R, Error>) -> Result<R, Error> {
        self.driver.as_mut().ok_or_else(|| Error::new("the function could not be made"))?.call(run)
    }
}

/// The host's side, in memory.
#[derive(Default)]
struct Memory {
    stores: RefCell<Vec<String>>,
    world: RefCell<World>,
}

/// What a failed batch must leave as it was.
#[derive(Default, Clone)]
struct World {
    output: Vec<Emitted>,
    watermarks: Vec<(u32, u64)>,
    state: BTreeMap<(u32, Vec<u8>), Vec<u8>>,
}

impl Boundary for Memory {
    fn emit_frame(&self, frame: &[u8]) -> Result<(), String> {
        let frame = Frame::parse(frame).map_err(|e| e.to_string())?;
        self.world.borrow_mut().output.extend(frame.iter().map(|record| Emitted {
            target: record.channel,
            timestamp: record.timestamp,
            key: record.key.map(<[u8]>::to_vec),
            headers: record.headers.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect(),
            value: record.value.to_vec(),
        }));
        Ok(())
    }

    fn emit_watermark(&self, target: u32, watermark: u64) -> Result<(), String> {
        self.world.borrow_mut().watermarks.push((target, watermark));
        Ok(())
    }

    fn open(&self, name: &str) -> Result<u32, String> {
        if name.is_empty() || name.len() > 255 {
            return Err(format!("a store name has {} bytes, not 1 to 255", name.len()));
        }
        let mut stores = self.stores.borrow_mut();
        let known = stores.iter().position(|known| known == name);
        Ok(known.unwrap_or_else(|| {
            stores.push(name.to_owned());
            stores.len() - 1
        }) as u32)
    }

    fn get(&self, store: u32, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        Ok(self.world.borrow().state.get(&(store, key.to_vec())).cloned())
    }

    fn write(&self, store: u32, ops: &[u8]) -> Result<(), String> {
        let state = &mut self.world.borrow_mut().state;
        let at = |key: &[u8]| (store, key.to_vec());
        OpList::read::<fnstream_frame::FrameError>(ops, |op| {
            match op {
                StateOp::Put(key, value) => {
                    state.insert(at(key), value.to_vec());
                }
                StateOp::Delete(key) => {
                    state.remove(&at(key));
                }
                StateOp::Merge(key, operand) => state.entry(at(key)).or_default().extend_from_slice(operand),
                StateOp::DeleteRange(start, end) => {
                    state.retain(|(of, key), _| {
                        *of != store || &key[..] < start || end.is_some_and(|end| &key[..] >= end)
                    });
                }
            }
            Ok(())
        })
        .map_err(|e| e.to_string())
    }

    fn scan(&self, store: u32, start: &[u8], end: Option<&[u8]>, max_bytes: u32) -> Result<Page, String> {
        let world = self.world.borrow();
        let mut pairs = Vec::new();
        let mut bytes = 0;
        for ((of, key), value) in world.state.range((store, start.to_vec())..) {
            if *of != store || end.is_some_and(|end| &key[..] >= end) {
                break;
            }
            if !pairs.is_empty() && bytes + key.len() + value.len() > max_bytes as usize {
                return Ok((pairs, Some(key.clone())));
            }
            bytes += key.len() + value.len();
            pairs.push((key.clone(), value.clone()));
        }
        Ok((pairs, None))
    }
}
