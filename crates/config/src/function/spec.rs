// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! From a file to the description that a server registers.

use std::collections::BTreeMap;

use fnstream_core::ErrorCode;
use fnstream_core::spec::{Field, FunctionSpec, SpecProblem, Watermark};
use fnstream_core::topic::{Topic, TopicRef};

use super::{Connector, FunctionConfig, FunctionKind};
use crate::problem::{Place, Problem, Problems};

impl FunctionConfig {
    /// The description of the function, which runs the artifact of that SHA-256. What this build cannot run is refused with
    /// the code for it.
    pub fn to_spec(&self, artifact: &str) -> Result<FunctionSpec, Problems> {
        let unavailable = self.unavailable();
        if !unavailable.is_empty() {
            let code = match self.kind {
                FunctionKind::Processor => ErrorCode::ConnectorUnavailable,
                FunctionKind::Python => ErrorCode::LanguageUnavailable,
            };
            return Err(Problems::new(code, unavailable));
        }
        let (spec, _) = self.draft(artifact, false);
        let problems = self.checked(false);
        if problems.is_empty() { Ok(spec) } else { Err(Problems::new(ErrorCode::InvalidSpec, problems)) }
    }

    /// What is right and cannot be run by this build.
    pub(super) fn unavailable(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.kind == FunctionKind::Python {
            problems.push(Problem::error(self.places.kind, "functions of type 'python' are not available yet"));
        }
        let inputs = self.inputs.iter().flatten().map(|input| ("input", &input.from, input.place));
        let outputs = self.outputs.iter().map(|output| ("output", &output.to, output.place));
        for (what, connector, place) in inputs.chain(outputs) {
            let word = connector.word();
            if !matches!(connector, Connector::Log { .. }) {
                let message = format!("an {what} of type '{word}' is not available in this build");
                problems.push(Problem::error(place, message).hint(format!("use '{what}-type: log'")));
            }
        }
        problems
    }

    /// What the description finds wrong with itself, at its place in the file. Of a function that could be read in part,
    /// what was read is looked at: a default stands for the rest, and nobody wrote it.
    pub(super) fn checked(&self, partial: bool) -> Vec<Problem> {
        let (spec, log) = self.draft("", partial);
        // Topics of brokers are not in the draft; how many there are of all, the table of keys has checked.
        let some_missing = partial || log.inputs.len() < self.inputs.iter().map(Vec::len).sum();
        let located = |SpecProblem { field, message }| {
            let place = match &field {
                Field::Inputs if some_missing => return None,
                Field::Input { group, index } => log.input(*group, *index),
                Field::Output(index) => log.outputs.get(*index).copied(),
                Field::Watermark(topic) => self.input_of(topic),
                field => self.places.find(field),
            };
            match place {
                Some(place) => Some(Problem::error(place, message)),
                None if partial => None,
                None => Some(Problem::error(self.places.top, message).nowhere()),
            }
        };
        spec.problems().into_iter().filter_map(located).collect()
    }

    /// The description as far as it is of the embedded log, and where its topics stand; without what could not be read, if
    /// it is partial.
    fn draft(&self, artifact: &str, partial: bool) -> (FunctionSpec, LogPlaces) {
        let mut places = LogPlaces::default();
        let read = |text: &str| !(partial && text.is_empty());
        let mut watermarks = BTreeMap::new();
        let mut inputs: Vec<Vec<TopicRef>> = Vec::new();
        for group in &self.inputs {
            let mut topics = Vec::new();
            for input in group {
                if let Connector::Log { topic } = &input.from
                    && read(topic)
                {
                    places.inputs.push(((inputs.len(), topics.len()), input.place));
                    if input.watermark != Watermark::default() {
                        watermarks.insert(Topic::own(&**topic), input.watermark);
                    }
                    topics.push(TopicRef::from(&**topic));
                }
            }
            inputs.push(topics);
        }
        let mut outputs = Vec::new();
        for output in &self.outputs {
            if let Connector::Log { topic } = &output.to
                && read(topic)
            {
                outputs.push(TopicRef::from(&**topic));
                places.outputs.push(output.place);
            }
        }
        let spec = FunctionSpec {
            name: self.name.clone(),
            artifact: artifact.to_owned(),
            inputs,
            selector: self.selector,
            watermarks,
            outputs,
            replicas: self.replicas,
            config: self.init_config.clone(),
            limits: self.limits,
            on_error: self.on_error.clone(),
            env: self.env.clone(),
            files: self.files.clone(),
        };
        (spec, places)
    }

    fn input_of(&self, topic: &Topic) -> Option<Place> {
        let mut inputs = self.inputs.iter().flatten();
        inputs
            .find(|input| matches!(input.from, Connector::Log { .. }) && input.from.topic() == &*topic.name)
            .map(|i| i.place)
    }
}

/// Where the topics of the embedded log stand, by their index in the draft.
#[derive(Default)]
struct LogPlaces {
    inputs: Vec<((usize, usize), Place)>,
    outputs: Vec<Place>,
}

impl LogPlaces {
    fn input(&self, group: usize, index: usize) -> Option<Place> {
        self.inputs.iter().find(|(at, _)| *at == (group, index)).map(|(_, place)| *place)
    }
}
