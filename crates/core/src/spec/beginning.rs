// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Where a new function begins to read.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::units::{TIME_FORMS, format_time, parse_time};

/// The place in its inputs at which a function begins that is created. It is looked up once, when the function is registered, so
/// that nothing is left out or read twice however late its tasks start. Partitions that an input is given later are read from their
/// first record on. Text in JSON and when stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Beginning {
    /// At the oldest record that is there.
    #[default]
    Earliest,
    /// At the next record that comes.
    Latest,
    /// At the first record, in the order of the log, whose timestamp is not before this time, in milliseconds since the Unix epoch;
    /// at the next one that comes if there is none.
    Time(i64),
}

impl FromStr for Beginning {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "earliest" => Ok(Beginning::Earliest),
            "latest" => Ok(Beginning::Latest),
            _ => parse_time(text).map(Beginning::Time).ok_or_else(|| {
                let text = text.escape_debug();
                format!("'{text}' is none of earliest, latest, {TIME_FORMS}")
            }),
        }
    }
}

impl fmt::Display for Beginning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Beginning::Earliest => f.write_str("earliest"),
            Beginning::Latest => f.write_str("latest"),
            Beginning::Time(ms) => f.write_str(&format_time(*ms)),
        }
    }
}

impl Serialize for Beginning {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Beginning {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::FunctionSpec;

    #[test]
    fn a_beginning_is_read_as_it_is_written() {
        for (text, beginning) in [
            ("earliest", Beginning::Earliest),
            ("latest", Beginning::Latest),
            ("2000-03-01T00:00:00.000Z", Beginning::Time(951_868_800_000)),
        ] {
            assert_eq!(text.parse(), Ok(beginning));
            assert_eq!(beginning.to_string(), text);
        }
        for wrong in ["", "first", "0:1", "2000-03-01"] {
            assert!(wrong.parse::<Beginning>().is_err_and(|why| why.contains("is none of earliest")), "{wrong}");
        }
    }

    /// Descriptions that are stored, as every later version must read them.
    #[test]
    fn the_stored_form_stays_readable_and_the_default_is_not_stored() {
        let spec = FunctionSpec { from: Beginning::Time(951_868_800_000), ..FunctionSpec::default() };
        let stored = serde_json::to_value(&spec).expect("a description");
        assert_eq!(stored["from"], "2000-03-01T00:00:00.000Z");
        assert_eq!(serde_json::from_value::<FunctionSpec>(stored).expect("it is read"), spec);
        let stored = serde_json::to_value(FunctionSpec::default()).expect("a description");
        assert_eq!(stored.get("from"), None);
    }
}
