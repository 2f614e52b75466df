// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The list of a backup's files.
//!
//! ```text
//! BACKUP    one line of JSON, and one line with the SHA-256 of the first, in hexadecimal digits
//! ```
//!
//! A list whose checksum fits was written so. One of a newer format is not read.

use fnstream_core::artifacts::digest;
use fnstream_core::backups::Made;
use fnstream_core::{Error, ErrorCode, Result};
use serde::{Deserialize, Serialize};

use super::LIST;
use super::stage::Moment;
use crate::dir;

/// The format of the list.
const FORMAT: u32 = 1;

/// What the list of a backup says.
pub type Manifest = Contents;

/// See [`Manifest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contents {
    /// The format of this list.
    format: u32,
    /// The format of the data folder.
    data_format: u32,
    /// The version of the server that made it.
    pub version: String,
    /// When, in milliseconds since the Unix epoch.
    pub at_unix_ms: i64,
    /// The last write that is in it, by its number.
    pub last_write: u64,
    /// How many topics are in it.
    pub topics: u64,
    /// How many functions are in it.
    pub functions: u64,
    /// Its files.
    pub files: Vec<FileSum>,
}

/// A file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSum {
    /// Its path in the backup.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// The SHA-256 of its bytes, in hexadecimal digits.
    pub sha256: String,
}

impl FileSum {
    pub(super) fn of(path: &str, bytes: &[u8]) -> Self {
        FileSum { path: path.to_owned(), bytes: bytes.len() as u64, sha256: digest(bytes) }
    }
}

/// The part of a list that says whether the rest can be read.
#[derive(Deserialize)]
struct Head {
    format: u32,
    data_format: u32,
    version: String,
}

impl Contents {
    pub(super) fn new(at_unix_ms: i64, moment: &Moment, files: Vec<FileSum>) -> Self {
        Contents {
            format: FORMAT,
            data_format: dir::VERSION,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            at_unix_ms,
            last_write: moment.last_write,
            topics: moment.topics,
            functions: moment.functions,
            files,
        }
    }

    /// The bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    pub(super) fn made(&self) -> Made {
        Made {
            at_unix_ms: self.at_unix_ms,
            topics: self.topics,
            functions: self.functions,
            files: self.files.len() as u64,
            bytes: self.bytes(),
        }
    }

    pub(super) fn encode(&self) -> String {
        let json = serde_json::to_string(self).unwrap_or_default();
        let sum = digest(json.as_bytes());
        format!("{json}\n{sum}\n")
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        let lines = || {
            let (json, sum) = str::from_utf8(bytes).ok()?.strip_suffix('\n')?.split_once('\n')?;
            (digest(json.as_bytes()) == sum).then_some(json)
        };
        let json = lines().ok_or_else(|| damaged("it does not fit its own checksum"))?;
        let head: Head = serde_json::from_str(json).map_err(|e| damaged(&e.to_string()))?;
        if head.format > FORMAT || head.data_format > dir::VERSION {
            let Head { format, data_format, version } = head;
            let message = format!(
                "it was made by version {version}, in format {format} of data folders of format {data_format}; this version \
                 knows up to {FORMAT} and {}",
                dir::VERSION
            );
            return Err(Error::new(ErrorCode::BackupNewer, message));
        }
        let contents: Self = serde_json::from_str(json).map_err(|e| damaged(&e.to_string()))?;
        match contents.files.iter().find(|file| parts(&file.path).is_none()) {
            Some(file) => Err(damaged(&format!("it has a file '{}'", file.path.escape_debug()))),
            None => Ok(contents),
        }
    }
}

fn damaged(why: &str) -> Error {
    Error::new(ErrorCode::BackupDamaged, format!("the list of the backup's files, '{LIST}', is damaged: {why}"))
}

/// The folder of a file of a backup, if it is in one, and its name. `None` for what no backup has: the path leads nowhere else.
pub(super) fn parts(path: &str) -> Option<(Option<&'static str>, &str)> {
    match path.split_once('/') {
        None => [dir::FORMAT, dir::REACH].contains(&path).then_some((None, path)),
        Some((folder, name)) => {
            let folder = [dir::DB, dir::ARTIFACTS].into_iter().find(|known| *known == folder)?;
            let is_name = !matches!(name, "" | "." | "..") && !name.contains(['/', '\0']);
            is_name.then_some((Some(folder), name))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn contents() -> Contents {
        let moment = Moment { last_write: 7, topics: 2, functions: 1, artifacts: Vec::new() };
        Contents::new(5, &moment, vec![FileSum::of("FORMAT", b"x"), FileSum::of("db/000001.sst", b"")])
    }

    #[test]
    fn a_list_is_read_as_it_was_written_and_not_with_a_flipped_bit() {
        let text = contents().encode();
        assert_eq!(Contents::decode(text.as_bytes()).unwrap(), contents());
        for bit in 0..text.len() * 8 {
            let mut flipped = text.clone().into_bytes();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let refused = Contents::decode(&flipped).unwrap_err();
            assert_eq!(refused.code, ErrorCode::BackupDamaged, "bit {bit}");
        }
        for cut in 0..text.len() {
            assert!(Contents::decode(&text.as_bytes()[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_newer_list_is_refused_as_newer_whatever_else_it_has() {
        let json = r#"{"format":2,"data_format":1,"version":"9.9.9","more":{}}"#;
        let refused = Contents::decode(format!("{json}\n{}\n", digest(json.as_bytes())).as_bytes()).unwrap_err();
        assert_eq!(refused.code, ErrorCode::BackupNewer);
        assert!(refused.message.contains("9.9.9"), "{}", refused.message);
        let of_data = Contents { data_format: dir::VERSION + 1, ..contents() };
        assert_eq!(Contents::decode(of_data.encode().as_bytes()).unwrap_err().code, ErrorCode::BackupNewer);
    }

    #[test]
    fn a_path_in_a_list_leads_nowhere_else() {
        for path in ["../x", "/etc/passwd", "db/../../x", "db/", "db/..", "artifacts/a/b", "LOCK", "", "logs/x", "db"] {
            let file = FileSum { path: path.to_owned(), bytes: 0, sha256: String::new() };
            let refused = Contents { files: vec![file], ..contents() }.encode();
            assert_eq!(Contents::decode(refused.as_bytes()).unwrap_err().code, ErrorCode::BackupDamaged, "{path}");
        }
        for (path, expected) in [
            ("REACH", (None, "REACH")),
            ("db/CURRENT", (Some("db"), "CURRENT")),
            ("artifacts/x", (Some("artifacts"), "x")),
        ] {
            assert_eq!(parts(path), Some(expected));
        }
    }
}
