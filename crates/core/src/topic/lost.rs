// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What becomes of a function whose place in an input is gone.

use std::str::FromStr;

use super::ON_LOST_POSITION;
use crate::error::{Error, ErrorCode, Result};

/// The way on when the committed position of an input is gone: retention has dropped records that come next, or the topic ends before
/// it, since it was made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LostPosition {
    /// The function stays where it is until it is started anew or updated.
    #[default]
    Stop,
    /// It goes on at the oldest record.
    Earliest,
    /// It goes on at the end.
    Latest,
}

impl LostPosition {
    /// All of them.
    pub const ALL: [LostPosition; 3] = [LostPosition::Stop, LostPosition::Earliest, LostPosition::Latest];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            LostPosition::Stop => "stop",
            LostPosition::Earliest => "earliest",
            LostPosition::Latest => "latest",
        }
    }
}

impl FromStr for LostPosition {
    type Err = Error;

    fn from_str(word: &str) -> Result<LostPosition> {
        LostPosition::ALL.into_iter().find(|way| way.name() == word).ok_or_else(|| {
            let message =
                format!("'{ON_LOST_POSITION}' is '{}', not one of stop, earliest, latest", word.escape_debug());
            Error::new(ErrorCode::InvalidSpec, message)
        })
    }
}
