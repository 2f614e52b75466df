// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The schemas that records are written with.
//!
//! Pulsar keeps the schemas of a topic in a registry, by version, and each message says with which version it was written. A function sees
//! bytes. What its records are written with, the option `schema` of an output says:
//!
//! - `topic`: the latest version of the output topic, as it was when the task last connected to it;
//! - `input`: the schema that the record was read with, registered for the output topic. The reader tells it in a header, which a function
//!   passes on with the record:
//!
//! ```text
//!  fs.schema: persistent://public/default/orders#0000000000000002        the input topic, and the version there
//! ```
//!
//! - `none`: none.
//!
//! All of it is found out before the commit, and is part of it: what is written once more is written with the same.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use fnstream_core::Result;
use fnstream_core::broker::Subscription;
use fnstream_core::epoch::OutboxBatch;
use fnstream_core::topic::{OutputSchema, Topic, TopicRef};
use fnstream_frame::Frame;
use fnstream_pulsar_client::Compression;
use parking_lot::Mutex;

use crate::messages::SCHEMA;
use crate::options::{Options, compression};
use crate::place::Shared;
use crate::{error, names};

/// What a function's outputs say of how they are written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Modes {
    of: HashMap<Topic, (OutputSchema, Option<Compression>)>,
    /// The topics that it reads, in full: those whose schemas its records may have.
    inputs: Arc<HashSet<String>>,
}

impl Modes {
    pub(crate) fn of(options: &Options, subscription: &Subscription) -> Modes {
        let mode = |output: &TopicRef| (output.schema(), compression(&output.options));
        let of = subscription.outputs.iter().map(|output| (output.topic.clone(), mode(output))).collect();
        let inputs = subscription.groups.iter().flatten().filter_map(|input| options.name(&input.topic).ok());
        Modes { of, inputs: Arc::new(inputs.collect()) }
    }
}

/// The versions that schemas of inputs have at the outputs of one task.
pub(crate) struct Registered {
    modes: Modes,
    /// By the output, and what the header says; none for a schema that is gone.
    known: Mutex<HashMap<(Topic, String), Option<Bytes>>>,
}

impl Registered {
    pub(crate) fn new(modes: Modes) -> Registered {
        Registered { modes, known: Mutex::default() }
    }

    /// Which schemas the records of an output have.
    pub(crate) fn mode(&self, output: &Topic) -> OutputSchema {
        self.modes.of.get(output).map(|(schema, _)| *schema).unwrap_or_default()
    }

    /// How they are compressed, if the output says so.
    pub(crate) fn compression(&self, output: &Topic) -> Option<Compression> {
        self.modes.of.get(output).and_then(|(_, compression)| *compression)
    }

    /// How many records in a row have which version at the output; an empty one for those that do not say what they were read with. None
    /// at all, if no record does.
    pub(crate) async fn of_input(
        &self,
        shared: &Shared,
        batch: &OutboxBatch,
        frame: &Frame<'_>,
    ) -> Result<Vec<(u32, Vec<u8>)>> {
        let mut runs: Vec<(u32, Vec<u8>)> = Vec::new();
        let mut last: Option<(String, Vec<u8>)> = None;
        for record in frame.iter() {
            let told = record.headers.iter().filter(|(name, _)| *name == SCHEMA).last();
            let version = match told.and_then(|(_, told)| std::str::from_utf8(told).ok()) {
                None => Vec::new(),
                Some(told) => match last.as_ref().filter(|(before, _)| before == told) {
                    Some((_, version)) => version.clone(),
                    None => {
                        let version = self.version(shared, batch, told).await?.map_or_else(Vec::new, Vec::from);
                        last = Some((told.to_owned(), version.clone()));
                        version
                    }
                },
            };
            match runs.last_mut().filter(|(_, before)| *before == version) {
                Some((count, _)) => *count += 1,
                None => runs.push((1, version)),
            }
        }
        match runs.iter().all(|(_, version)| version.is_empty()) {
            true => Ok(Vec::new()),
            false => Ok(runs),
        }
    }

    /// The version of a schema of an input at an output, where it is registered if it is not there.
    async fn version(&self, shared: &Shared, batch: &OutboxBatch, told: &str) -> Result<Option<Bytes>> {
        let key = (batch.topic.clone(), told.to_owned());
        if let Some(known) = self.known.lock().get(&key) {
            return Ok(known.clone());
        }
        let Some((input, version)) = read(told).filter(|(input, _)| self.modes.inputs.contains(*input)) else {
            return Ok(None);
        };
        let schema = shared.client.get_schema(input, Some(version)).await;
        let schema = schema.map_err(|e| error::of(format!("asking for the schema '{told}'"), &e))?;
        let registered = match schema {
            // Deleted since: the record is one without.
            None => None,
            Some(schema) => {
                // The registry asks the owner of a topic, which only a partition has.
                let output = shared.partition(&batch.topic, batch.partition).await?;
                let made = shared.client.get_or_create_schema(&output, schema).await;
                Some(made.map_err(|e| {
                    error::of(format!("registering the schema '{told}' for the topic '{}'", batch.topic), &e)
                })?)
            }
        };
        self.known.lock().insert(key, registered.clone());
        Ok(registered)
    }
}

/// What a header says of a version of a topic's schema.
pub(crate) fn tell(topic: &str, version: &[u8]) -> String {
    let version: String = version.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{topic}#{version}")
}

/// The same, read.
fn read(told: &str) -> Option<(&str, Bytes)> {
    let (topic, version) = told.rsplit_once('#')?;
    names::parts(topic)?;
    let digits = version.as_bytes().chunks(2);
    let bytes = digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    Some((topic, bytes.collect::<Option<Vec<u8>>>()?.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_names_a_version_of_a_topic() {
        let topic = "persistent://public/default/orders#1";
        let told = tell(topic, &[0, 0, 0, 0, 0, 0, 1, 0xab]);
        assert_eq!(told, "persistent://public/default/orders#1#00000000000001ab");
        assert_eq!(read(&told), Some((topic, Bytes::from_static(&[0, 0, 0, 0, 0, 0, 1, 0xab]))));
        for bad in ["", "orders#00", "persistent://public/default/orders", "persistent://public/default/orders#xy"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
