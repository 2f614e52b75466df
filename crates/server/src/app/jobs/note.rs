// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What is durable of a job: a version byte, and a JSON object.

use std::collections::BTreeMap;

use fnstream_api::Job;
use fnstream_core::error::internal;
use fnstream_core::record::Position;
use fnstream_core::{Error, ErrorCode, Result};
use serde::{Deserialize, Serialize};

const VERSION: u8 = 1;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    /// The job as it was when this was written.
    pub(super) job: Job,
    /// Where the letters began that it is about, by partition; nothing when it is over.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", with = "places")]
    pub(super) from: BTreeMap<u32, Position>,
}

impl Note {
    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![VERSION];
        serde_json::to_writer(&mut bytes, self).map_err(|e| internal(format!("a note of a job: {e}")))?;
        Ok(bytes)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        let corrupt = |why: String| Error::new(ErrorCode::DataCorrupt, format!("a note of a job {why}"));
        match bytes.split_first() {
            Some((&VERSION, json)) => serde_json::from_slice(json).map_err(|e| corrupt(format!("is malformed: {e}"))),
            Some((version, _)) => Err(corrupt(format!("has the unknown version {version}"))),
            None => Err(corrupt("is empty".to_owned())),
        }
    }
}

/// Positions as text, since numbers of JSON are not that large.
mod places {
    use std::collections::BTreeMap;

    use fnstream_core::record::Position;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(places: &BTreeMap<u32, Position>, to: S) -> Result<S::Ok, S::Error> {
        places.iter().map(|(partition, at)| (partition, at.to_string())).collect::<BTreeMap<_, _>>().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<u32, Position>, D::Error> {
        let places = BTreeMap::<u32, String>::deserialize(from)?;
        let read = |(partition, at): (u32, String)| Ok((partition, Position(at.parse().map_err(D::Error::custom)?)));
        places.into_iter().map(read).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use fnstream_api::{JobKind, JobState};

    use super::*;

    fn note() -> Note {
        let job = Job {
            id: "18c-1".into(),
            function: "f".into(),
            kind: JobKind::Replay,
            state: JobState::Running,
            started_ms: 7,
            ended_ms: None,
            letters: Some(9),
            processed: 0,
            replayed: 0,
            failed_again: 0,
            dropped: 0,
            moved: 0,
            would_succeed: None,
            waiting: None,
            error: None,
        };
        Note { job, from: BTreeMap::from([(0, Position(u128::MAX)), (1, Position(2))]) }
    }

    /// The bytes of version 1, as every later version must read them.
    #[test]
    fn version_1_stays_readable() {
        let golden = b"\x01{\"job\":{\"id\":\"18c-1\",\"function\":\"f\",\"kind\":\"replay\",\"state\":\"running\",\
            \"started_ms\":7,\"letters\":9,\"processed\":0,\"replayed\":0,\"failed_again\":0,\"dropped\":0},\
            \"from\":{\"0\":\"340282366920938463463374607431768211455\",\"1\":\"2\"}}";
        assert_eq!(note().encode().unwrap(), golden);
        assert_eq!(Note::decode(golden).unwrap(), note());
    }

    #[test]
    fn what_is_no_note_is_refused() {
        for bad in [&b""[..], b"\x02{}", b"\x01", b"\x01{\"job\":{}}"] {
            assert_eq!(Note::decode(bad).unwrap_err().code, ErrorCode::DataCorrupt);
        }
    }
}
