// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Records through a function, from an empty state, as they would come one after the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fnstream_core::function_log::FunctionLog;
use fnstream_core::record::Position;
use fnstream_core::runtime::Runtime;
use fnstream_frame::FrameBuilder;

use super::clock::Stage;
use super::host::{Emitted, Host};
use crate::failure::{Failure, Result};
use crate::local;
use crate::project::Project;
use crate::run::host::partition;
use crate::run::spec::{Described, hides_dead_letters};

/// What came of records.
pub(crate) struct Processed {
    /// What was emitted, by output topic.
    pub(crate) outputs: Vec<(String, Vec<Emitted>)>,
    /// Why records failed, or the function does not go on.
    pub(crate) failures: Vec<String>,
}

/// Processes records of input topics with an artifact of a project's function. Event time is as far as the records say, and the
/// machine's clock stands at the time of the first. It ends early if somebody says that it is over.
pub(crate) fn process<'a>(
    project: &Project,
    artifact: &[u8],
    records: impl Iterator<Item = (&'a str, &'a Emitted)>,
    log: Arc<dyn FunctionLog>,
    is_over: &AtomicBool,
) -> Result<Processed> {
    let records: Vec<_> = records.collect();
    let program = local::runtime(None, log.clone())?.load(artifact)?;
    let mut spec = super::spec(project, artifact)?;
    let hides_dead_letters = hides_dead_letters(&mut spec)?;
    let allowed = spec.files.iter().map(|grant| grant.host.clone().into()).collect();
    let described = Described { artifact: artifact.to_vec(), spec, hides_dead_letters, allowed };
    let start = records.first().map_or(0, |(_, record)| record.time);
    let mut host = Host::start(&described, program, Arc::new(Stage::new(start)), log)?;
    host.settle()?;
    for (topic, record) in records {
        if is_over.load(Ordering::Relaxed) {
            return Err(Failure::Plain("it was ended".to_owned()));
        }
        let inputs = described.spec.inputs.iter().flatten();
        let Some(input) = inputs.clone().find(|input| input.topic.to_string() == topic) else { continue };
        let mut frame = FrameBuilder::new();
        record.push(&mut frame)?;
        host.send(&partition(input), frame)?;
        host.settle()?;
    }
    let mut outputs = Vec::new();
    for output in &described.spec.outputs {
        outputs.push((output.topic.to_string(), host.emitted(&output.topic, &mut Position::default())?));
    }
    let mut failures: Vec<_> =
        host.failed()?.into_iter().map(|letter| format!("{} {}", letter.code, letter.message)).collect();
    failures.extend(host.trouble().map(|(error, _)| error.to_string()));
    Ok(Processed { outputs, failures })
}
