// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The places of a function's fields in its file.

use fnstream_core::spec::Field;

use super::read::grants;
use crate::problem::Place;
use crate::value::Block;

/// The places of what is not an input or an output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Places {
    pub top: Place,
    pub name: Option<Place>,
    pub kind: Place,
    pub inputs: Option<Place>,
    pub replicas: Option<Place>,
    pub limits: Vec<(&'static str, Place)>,
    pub on_error: Vec<(&'static str, Place)>,
    pub env: Vec<(String, Place)>,
    pub files: Vec<Place>,
}

impl Places {
    pub(super) fn of(block: &Block) -> Self {
        let place = |name| block.get(name).map(|at| at.place);
        let within = |name: &str| {
            let entries = block.block(name).map_or(&[][..], |block| &block.entries);
            entries.iter().map(|(key, at)| (*key, at.place)).collect::<Vec<_>>()
        };
        Places {
            top: block.place,
            name: place("name"),
            kind: block.place_of("type"),
            inputs: place("input-groups"),
            replicas: place("replicas"),
            limits: within("limits"),
            on_error: within("on-error"),
            env: block.texts("env").iter().map(|(name, _)| (name.value.clone(), name.place)).collect(),
            files: grants(block).map(|grant| grant.place).collect(),
        }
    }

    /// Finds the place of a field that is neither an input nor an output.
    pub(super) fn find(&self, field: &Field) -> Option<Place> {
        let key = |list: &[(&'static str, Place)], name: &str| {
            list.iter().find(|(key, _)| *key == name).map(|(_, place)| *place)
        };
        match field {
            Field::Name => self.name,
            Field::Inputs => self.inputs,
            Field::Replicas => self.replicas,
            Field::Limit(name) => key(&self.limits, name),
            Field::Retries => key(&self.on_error, "retries"),
            Field::Backoff => key(&self.on_error, "max-backoff").or_else(|| key(&self.on_error, "backoff")),
            // Without a topic of its own it is named after the function.
            Field::DeadLetterTopic => key(&self.on_error, "dead-letter-topic").or(self.name),
            Field::Env(name) => self.env.iter().find(|(key, _)| key == name).map(|(_, place)| *place),
            Field::File(index) => self.files.get(*index).copied(),
            Field::Input { .. } | Field::Output(_) | Field::Watermark(_) => None,
        }
    }
}
