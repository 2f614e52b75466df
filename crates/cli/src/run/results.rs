// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! From the topics of outputs to where they are printed.
//!
//! What was printed is noted when it is out of this process: in a folder that is kept the next run goes on behind it. The log is cut
//! there from time to time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use fnstream_core::broker::PollLimit;
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::topics::Watch;

use super::bell::Bell;
use super::feed::CUT_AFTER;
use super::host::{Host, partition};
use super::spec::Described;
use super::{Args, files, named, topics};
use crate::event::Event;
use crate::failure::{Failure, Result};
use crate::output::{self, Exact};

/// The file in the folder that says up to where each output was printed.
const NOTE: &str = "printed.json";

const LIMIT: PollLimit = PollLimit { records: 65_536, bytes: 8 << 20 };

/// Where an output is printed.
pub(super) enum Sink {
    Standard,
    File(File),
}

/// Opens what the function's outputs are printed to, by their topics; some have nothing.
pub(super) fn open(described: &Described, args: &Args) -> Result<Vec<(TopicPartition, Option<Sink>)>> {
    let (_, topics) = topics(described);
    named("output", &args.outputs, &topics)?;
    let all = &described.spec.outputs;
    let mut opened = Vec::new();
    for (topic, file) in topics.iter().zip(files(&topics, &args.outputs)) {
        let Some(named) = all.iter().find(|named| named.topic.to_string() == *topic) else { continue };
        let sink = match file {
            None => None,
            Some(file) if file == "-" => Some(Sink::Standard),
            Some(file) => {
                // A run that goes on in a folder adds to what is there.
                let mut options = File::options();
                options.create(true);
                let opened = match args.data_dir.is_some() {
                    true => options.append(true).open(&file),
                    false => options.write(true).truncate(true).open(&file),
                };
                Some(Sink::File(opened.map_err(|e| Failure::Usage(format!("cannot write '{file}': {e}")))?))
            }
        };
        opened.push((partition(named), sink));
    }
    Ok(opened)
}

/// See the module.
pub(super) struct Results {
    outputs: Vec<Output>,
    store: fnstream_store::Store,
    json: bool,
    note: Option<std::path::PathBuf>,
    text: Vec<u8>,
    _watches: Vec<Box<dyn Watch>>,
}

struct Output {
    at: TopicPartition,
    sink: Option<Sink>,
    position: Position,
    uncut: usize,
    events: u64,
}

impl Results {
    pub(super) fn new(
        host: &Host,
        opened: Vec<(TopicPartition, Option<Sink>)>,
        json: bool,
        bell: &Bell,
    ) -> Result<Self> {
        let note = host.kept.as_ref().map(|folder| folder.join(NOTE));
        let printed = note.as_deref().map(noted).unwrap_or_default();
        let (broker, topics) = (host.store.broker(), host.store.topics());
        let (mut outputs, mut watches) = (Vec::new(), Vec::new());
        for (at, sink) in opened {
            let noted = printed.get(&at.topic.to_string()).and_then(|position| position.parse().ok());
            let position = broker.earliest(&at)?.max(Position(noted.unwrap_or_default()));
            watches.push(topics.watch(&at, bell.waker())?);
            outputs.push(Output { at, sink, position, uncut: 0, events: 0 });
        }
        let store = host.store.clone();
        Ok(Results { outputs, store, json, note, text: Vec::new(), _watches: watches })
    }

    /// Prints what has come, and sees to it that it is out of this process.
    pub(super) fn print(&mut self) -> Result {
        let mut some = false;
        for index in 0..self.outputs.len() {
            while self.print_some(index)? {
                some = true;
            }
        }
        if some { self.write_note() } else { Ok(()) }
    }

    fn print_some(&mut self, index: usize) -> Result<bool> {
        let output = &mut self.outputs[index];
        let Some(batch) = self.store.topics().read(&output.at, output.position, LIMIT)? else { return Ok(false) };
        self.text.clear();
        for (position, record) in batch.iter() {
            output.events += 1;
            match self.json {
                true => {
                    let event = Event::of(output.at.partition, Some(position.to_string()), &record);
                    serde_json::to_writer(&mut self.text, &event).map_err(|e| Failure::Plain(e.to_string()))?;
                }
                false => self.text.extend_from_slice(record.bytes()),
            }
            self.text.push(b'\n');
        }
        match &mut output.sink {
            None => {}
            Some(Sink::File(file)) => file.write_all(&self.text)?,
            Some(Sink::Standard) if self.json => output::json_text(&String::from_utf8_lossy(&self.text), "")?,
            Some(Sink::Standard) => {
                let mut out = Exact::stdout();
                out.write_all(&self.text)?;
                out.flush()?;
            }
        }
        output.position = batch.end().unwrap_or(output.position);
        output.uncut += batch.bytes().len();
        if output.uncut >= CUT_AFTER {
            output.uncut = 0;
            let (at, position) = (output.at.clone(), output.position);
            self.write_note()?;
            self.store.trim(&at, position)?;
        }
        Ok(true)
    }

    /// The outputs that went nowhere, and how many events that were.
    pub(super) fn dropped(&self) -> impl Iterator<Item = (String, u64)> {
        let dropped = self.outputs.iter().filter(|output| output.sink.is_none() && output.events > 0);
        dropped.map(|output| (output.at.topic.to_string(), output.events))
    }

    /// Everything is printed: files are on the disk when this returns.
    pub(super) fn end(&self) -> Result {
        for output in &self.outputs {
            if let Some(Sink::File(file)) = &output.sink
                && file.metadata().is_ok_and(|meta| meta.is_file())
            {
                file.sync_all()?;
            }
        }
        Ok(())
    }

    fn write_note(&self) -> Result {
        let Some(note) = &self.note else { return Ok(()) };
        let printed: BTreeMap<_, _> =
            self.outputs.iter().map(|output| (output.at.topic.to_string(), output.position.to_string())).collect();
        let text = serde_json::to_vec(&printed).map_err(|e| Failure::Plain(e.to_string()))?;
        // As a whole or not at all, whenever the process is killed.
        let beside = note.with_extension("new");
        std::fs::write(&beside, text)?;
        Ok(std::fs::rename(&beside, note)?)
    }
}

/// What was printed by earlier runs. A note that is not there or cannot be read, which a loss of power may leave, says nothing: then
/// what is left in the log is printed.
fn noted(path: &Path) -> BTreeMap<String, String> {
    std::fs::read(path).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}
