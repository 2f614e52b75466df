// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! From a file to the description that a server registers.

use std::collections::BTreeMap;

use fnstream_core::ErrorCode;
use fnstream_core::spec::{Field, FunctionSpec, SpecProblem, Watermark};
use fnstream_core::topic::{Topic, TopicRef};

use super::FunctionConfig;
use crate::problem::{Place, Problem, Problems};

impl FunctionConfig {
    /// The description of the function, which runs the artifact of that SHA-256.
    pub fn to_spec(&self, artifact: &str) -> Result<FunctionSpec, Problems> {
        let (spec, _) = self.draft(artifact, false);
        let problems = self.checked(false);
        if problems.is_empty() { Ok(spec) } else { Err(Problems::new(ErrorCode::InvalidSpec, problems)) }
    }

    /// Lists what the description finds wrong with itself, at its place in the file. Of a function that could be read in part,
    /// what was read is looked at: a default stands for the rest, and nobody wrote it.
    pub(super) fn checked(&self, partial: bool) -> Vec<Problem> {
        let (spec, places) = self.draft("", partial);
        let located = |SpecProblem { field, message }| {
            let place = match &field {
                // How many there are of all, the table of keys has checked.
                Field::Inputs if partial => return None,
                Field::Input { group, index } => places.inputs.get(*group).and_then(|group| group.get(*index)).copied(),
                Field::Output(index) => places.outputs.get(*index).copied(),
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

    /// The description, and where its topics stand; without topics whose names could not be read, if it is partial.
    fn draft(&self, artifact: &str, partial: bool) -> (FunctionSpec, TopicPlaces) {
        let read = |named: &TopicRef| !(partial && named.topic.name.is_empty());
        let mut watermarks = BTreeMap::new();
        let (mut inputs, mut places) = (Vec::new(), TopicPlaces::default());
        for group in &self.inputs {
            let group: Vec<_> = group.iter().filter(|input| read(&input.from)).collect();
            let known = group.iter().filter(|input| input.watermark != Watermark::default());
            watermarks.extend(known.map(|input| (input.from.topic.clone(), input.watermark)));
            places.inputs.push(group.iter().map(|input| input.place).collect());
            inputs.push(group.into_iter().map(|input| input.from.clone()).collect());
        }
        let outputs = self.outputs.iter().filter(|output| read(&output.to));
        let (outputs, output_places) = outputs.map(|output| (output.to.clone(), output.place)).unzip();
        places.outputs = output_places;
        let spec = FunctionSpec {
            name: self.name.clone(),
            artifact: artifact.to_owned(),
            inputs,
            selector: self.selector,
            from: self.from,
            watermarks,
            outputs,
            replicas: self.replicas,
            no_join: self.no_join,
            config: self.init_config.clone(),
            limits: self.limits,
            on_error: self.on_error.clone(),
            env: self.env.clone(),
            files: self.files.clone(),
        };
        (spec, places)
    }

    fn input_of(&self, topic: &Topic) -> Option<Place> {
        self.inputs.iter().flatten().find(|input| input.from.topic == *topic).map(|input| input.place)
    }
}

/// Where the topics of a draft stand, by their indexes there.
#[derive(Default)]
struct TopicPlaces {
    inputs: Vec<Vec<Place>>,
    outputs: Vec<Place>,
}
