// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What is concerned when a sorted file is damaged: its range of keys tells which topics, or which functions.
//!
//! RocksDB names the file in its error, and knows the first and the last key of each.

use std::ops::RangeInclusive;

use fnstream_core::Error;
use fnstream_core::spec::FunctionEntry;
use rocksdb::DB;

use crate::keys;
use crate::log::topics::Topics;

/// The range of keys of a damaged file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Extent {
    pub family: String,
    pub first: Vec<u8>,
    pub last: Vec<u8>,
}

/// Damage that was found.
#[derive(Debug, Clone)]
pub(crate) struct Damage {
    pub error: Error,
    /// Where, if it is known.
    pub extent: Option<Extent>,
}

/// What has an id in the range of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Concerned {
    Topics(RangeInclusive<u32>),
    Functions(RangeInclusive<u32>),
    /// Anything.
    All,
}

impl Extent {
    /// Of the file that an error of RocksDB names.
    pub(crate) fn find(db: &DB, message: &str) -> Option<Self> {
        let named = message.split(['/', ' ', '\'', ':']).find(|word| word.ends_with(".sst"))?;
        let files = db.live_files().ok()?;
        let file = files.into_iter().find(|file| file.name.trim_start_matches('/') == named)?;
        Some(Extent { family: file.column_family_name, first: file.start_key?, last: file.end_key? })
    }

    pub(crate) fn concerned(&self) -> Concerned {
        let id = |key: &[u8]| key.first_chunk().copied().map(u32::from_be_bytes);
        let (Some(first), Some(last)) = (id(&self.first), id(&self.last)) else { return Concerned::All };
        match self.family.as_str() {
            keys::TOPICS => Concerned::Topics(first..=last),
            keys::DELTAS | keys::STATE => Concerned::Functions(first..=last),
            _ => Concerned::All,
        }
    }
}

impl Damage {
    /// Whether a function reads or keeps what lies in the damaged range. All do if it is not known.
    pub(crate) fn concerns(&self, function: &FunctionEntry, topics: &Topics) -> bool {
        match self.extent.as_ref().map_or(Concerned::All, Extent::concerned) {
            Concerned::All => true,
            Concerned::Functions(ids) => ids.contains(&function.id.0),
            Concerned::Topics(ids) => function.spec.inputs.iter().flatten().any(|input| {
                let topic = input.topic.own_name().and_then(|name| topics.get(name));
                topic.is_ok_and(|topic| ids.contains(&topic.id))
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_concerns_what_has_its_ids() {
        let of = |family: &str, first: &[u8], last: &[u8]| {
            Extent { family: family.to_owned(), first: first.into(), last: last.into() }.concerned()
        };
        let (first, last) = ([0, 0, 0, 2, 0, 0, 0, 0, 9], [0, 0, 0, 3, 0, 0, 0, 1, 1]);
        assert_eq!(of(keys::TOPICS, &first, &last), Concerned::Topics(2..=3));
        assert_eq!(of(keys::STATE, &first, &last), Concerned::Functions(2..=3));
        assert_eq!(of(keys::DELTAS, &first, &first), Concerned::Functions(2..=2));
        assert_eq!(of(keys::META, &first, &last), Concerned::All);
        assert_eq!(of(keys::TOPICS, &first[..3], &last), Concerned::All);
    }
}
