// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Moving a function to another place in its inputs.

use std::fmt;
use std::str::FromStr;

use fnstream_core::spec::Beginning;
use fnstream_core::topic::TopicRef;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

use super::FunctionDescription;
use crate::topic::TopicReference;
use crate::units::{TIME_FORMS, format_time, parse_time};

/// A place in topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The oldest record that is still there.
    Earliest,
    /// The next record that comes.
    Latest,
    /// The first record, in the order of the log, whose timestamp is not before this time, in milliseconds since the Unix epoch;
    /// the next one that comes if there is none.
    Time(i64),
    /// A position of one partition.
    At(u32, u128),
}

impl From<Beginning> for Place {
    fn from(beginning: Beginning) -> Self {
        match beginning {
            Beginning::Earliest => Place::Earliest,
            Beginning::Latest => Place::Latest,
            Beginning::Time(ms) => Place::Time(ms),
        }
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let at = || {
            let (partition, position) = text.split_once(':')?;
            Some(Place::At(partition.parse().ok()?, position.parse().ok()?))
        };
        match text {
            "earliest" => Ok(Place::Earliest),
            "latest" => Ok(Place::Latest),
            _ => at().or_else(|| parse_time(text).map(Place::Time)).ok_or_else(|| {
                let text = text.escape_debug();
                format!("'{text}' is none of earliest, latest, PARTITION:POSITION, {TIME_FORMS}")
            }),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Earliest => f.write_str("earliest"),
            Place::Latest => f.write_str("latest"),
            Place::Time(ms) => f.write_str(&format_time(*ms)),
            Place::At(partition, position) => write!(f, "{partition}:{position}"),
        }
    }
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Where a function is to read on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SeekRequest {
    /// `earliest`, `latest`, a time in UTC such as `2026-01-31T08:00:00Z`, `time=MS` in milliseconds since the Unix epoch, or
    /// `PARTITION:POSITION`.
    #[schema(value_type = String)]
    pub to: Place,
    /// The input that it is moved in; all of them when it is not given. A position needs it if there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<TopicReference>)]
    pub topic: Option<TopicRef>,
}

/// What a move did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Sought {
    /// The function now. The move is a revision of its own.
    pub function: FunctionDescription,
    /// The partitions that it was moved in, those included where it stood there already.
    pub moved: Vec<Moved>,
}

/// How a function was moved in one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Moved {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The record that it was to read next; absent if it had read none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The record that it reads next.
    pub to: String,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_written() {
        for (text, place) in [
            ("earliest", Place::Earliest),
            ("latest", Place::Latest),
            ("2000-03-01T00:00:00.000Z", Place::Time(951_868_800_000)),
            ("3:42", Place::At(3, 42)),
        ] {
            assert_eq!(text.parse(), Ok(place));
            assert_eq!(place.to_string(), text);
            assert_eq!(serde_json::from_value::<Place>(text.into()).unwrap(), place);
        }
        for wrong in ["", "42", "a:1", "1:-1", "first", "1:2:3"] {
            assert!(wrong.parse::<Place>().unwrap_err().contains("is none of earliest"), "{wrong}");
        }
    }
}
