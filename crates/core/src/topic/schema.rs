// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The schema that records of an output are written with.

use std::str::FromStr;

use super::SCHEMA;
use crate::error::{Error, ErrorCode, Result};

/// Which schema of the broker's registry a record of an output says that it was written with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OutputSchema {
    /// The latest one of the output topic, if it has any.
    #[default]
    Topic,
    /// The one that the record was read with, which is registered for the output topic. That of the topic for a record that brings none.
    Input,
    /// None.
    None,
}

impl OutputSchema {
    /// All of them.
    pub const ALL: [OutputSchema; 3] = [OutputSchema::Topic, OutputSchema::Input, OutputSchema::None];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            OutputSchema::Topic => "topic",
            OutputSchema::Input => "input",
            OutputSchema::None => "none",
        }
    }
}

impl FromStr for OutputSchema {
    type Err = Error;

    fn from_str(word: &str) -> Result<OutputSchema> {
        OutputSchema::ALL.into_iter().find(|schema| schema.name() == word).ok_or_else(|| {
            let message = format!("'{SCHEMA}' is '{}', not one of topic, input, none", word.escape_debug());
            Error::new(ErrorCode::InvalidSpec, message)
        })
    }
}
