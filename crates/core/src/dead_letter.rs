// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Dead letters: records that a function failed at, as they stand in a topic.
//!
//! A dead letter is the record as it was (value, key, headers, timestamp) with a block of headers added at its end:
//!
//! | header | value, as text |
//! |---|---|
//! | `fs-dlq-version` | `1`; begins the block |
//! | `fs-dlq-code`, `fs-dlq-message` | the error |
//! | `fs-dlq-backtrace` | the wasm backtrace, where there is one |
//! | `fs-dlq-function`, `fs-dlq-revision` | who failed |
//! | `fs-dlq-topic`, `fs-dlq-partition`, `fs-dlq-position` | where the record came from; the topic in its text form |
//! | `fs-dlq-input` | the index of the input group, which the function sees as the source id |
//! | `fs-dlq-attempts` | how often it was tried alone |
//! | `fs-dlq-failed-at` | when it was given up, in milliseconds since the Unix epoch |
//!
//! One that a consumer group gave up has `fs-dlq-group` in place of the function, its revision and the input, and `fs-dlq-attempts`
//! is how often it was delivered. It is replayed by whoever reads the topic, and is no dead letter of a function.
//!
//! A record that has such a block already, because it was read from a topic of dead letters as an ordinary input, gets
//! another one: only the last block counts, and what is before it is the record.

use fnstream_frame::{Headers, HeadersBuilder};

use crate::error::{ErrorCode, Result, internal};
use crate::record::{Position, TopicPartition};
use crate::topic::Topic;
use crate::units::counted;

const VERSION: &str = "fs-dlq-version";
const CODE: &str = "fs-dlq-code";
const MESSAGE: &str = "fs-dlq-message";
const BACKTRACE: &str = "fs-dlq-backtrace";
const FUNCTION: &str = "fs-dlq-function";
const GROUP: &str = "fs-dlq-group";
const REVISION: &str = "fs-dlq-revision";
const TOPIC: &str = "fs-dlq-topic";
const PARTITION: &str = "fs-dlq-partition";
const POSITION: &str = "fs-dlq-position";
const INPUT: &str = "fs-dlq-input";
const ATTEMPTS: &str = "fs-dlq-attempts";
const FAILED_AT: &str = "fs-dlq-failed-at";

/// Why a record is a dead letter, and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The error's code.
    pub code: String,
    /// What happened.
    pub message: String,
    /// The wasm backtrace, where there is one.
    pub backtrace: Option<String>,
    /// The function that failed.
    pub function: String,
    /// Its revision.
    pub revision: u64,
    /// Where the record came from.
    pub source: TopicPartition,
    /// Its place there.
    pub position: Position,
    /// The index of the input group.
    pub input: u32,
    /// How often it was tried alone.
    pub attempts: u64,
    /// When it was given up, in milliseconds since the Unix epoch.
    pub failed_at_ms: i64,
}

impl DeadLetter {
    /// The headers of the dead letter of a record that had these.
    pub fn headers(&self, original: Headers<'_>) -> Result<HeadersBuilder> {
        let mut headers = HeadersBuilder::new();
        let mut push =
            |name: &str, value: &[u8]| headers.push(name, value).map_err(|e| internal(format!("a dead letter: {e}")));
        for (name, value) in original.iter() {
            push(name, value)?;
        }
        push(VERSION, b"1")?;
        push(CODE, self.code.as_bytes())?;
        push(MESSAGE, self.message.as_bytes())?;
        if let Some(backtrace) = &self.backtrace {
            push(BACKTRACE, backtrace.as_bytes())?;
        }
        push(FUNCTION, self.function.as_bytes())?;
        push(REVISION, self.revision.to_string().as_bytes())?;
        push(TOPIC, self.source.topic.to_string().as_bytes())?;
        push(PARTITION, self.source.partition.to_string().as_bytes())?;
        push(POSITION, self.position.to_string().as_bytes())?;
        push(INPUT, self.input.to_string().as_bytes())?;
        push(ATTEMPTS, self.attempts.to_string().as_bytes())?;
        push(FAILED_AT, self.failed_at_ms.to_string().as_bytes())?;
        Ok(headers)
    }

    /// Reads the last block; `None` when the record is no dead letter.
    pub fn read(headers: Headers<'_>) -> Option<DeadLetter> {
        let start = block_start(headers)?;
        let text = |name: &str| {
            let (_, value) = headers.iter().skip(start).find(|(n, _)| *n == name)?;
            std::str::from_utf8(value).ok()
        };
        if text(VERSION)? != "1" {
            return None;
        }
        Some(DeadLetter {
            code: text(CODE)?.to_owned(),
            message: text(MESSAGE)?.to_owned(),
            backtrace: text(BACKTRACE).map(str::to_owned),
            function: text(FUNCTION)?.to_owned(),
            revision: text(REVISION)?.parse().ok()?,
            source: TopicPartition::new(text(TOPIC)?.parse::<Topic>().ok()?, text(PARTITION)?.parse().ok()?),
            position: Position(text(POSITION)?.parse().ok()?),
            input: text(INPUT)?.parse().ok()?,
            attempts: text(ATTEMPTS)?.parse().ok()?,
            failed_at_ms: text(FAILED_AT)?.parse().ok()?,
        })
    }

    /// The headers that the record had before it became a dead letter.
    pub fn original(headers: Headers<'_>) -> Result<HeadersBuilder> {
        let mut original = HeadersBuilder::new();
        for (name, value) in headers.iter().take(block_start(headers).unwrap_or(usize::MAX)) {
            original.push(name, value).map_err(|e| internal(format!("a dead letter: {e}")))?;
        }
        Ok(original)
    }
}

/// Why a record is a dead letter of a consumer group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupDeadLetter {
    /// The group.
    pub group: String,
    /// Where the record came from.
    pub source: TopicPartition,
    /// Its place there.
    pub position: Position,
    /// How often it was delivered.
    pub deliveries: u32,
    /// When it was given up, in milliseconds since the Unix epoch.
    pub failed_at_ms: i64,
}

impl GroupDeadLetter {
    /// The headers of the dead letter of a record that had these.
    pub fn headers(&self, original: Headers<'_>) -> Result<HeadersBuilder> {
        let code = ErrorCode::NotAcknowledged;
        let message = format!(
            "group '{}' was given the record {} and did not acknowledge it",
            self.group,
            counted(self.deliveries, "time")
        );
        let mut headers = HeadersBuilder::new();
        let mut push =
            |name: &str, value: &[u8]| headers.push(name, value).map_err(|e| internal(format!("a dead letter: {e}")));
        for (name, value) in original.iter() {
            push(name, value)?;
        }
        push(VERSION, b"1")?;
        push(CODE, code.as_str().as_bytes())?;
        push(MESSAGE, message.as_bytes())?;
        push(GROUP, self.group.as_bytes())?;
        push(TOPIC, self.source.topic.to_string().as_bytes())?;
        push(PARTITION, self.source.partition.to_string().as_bytes())?;
        push(POSITION, self.position.to_string().as_bytes())?;
        push(ATTEMPTS, self.deliveries.to_string().as_bytes())?;
        push(FAILED_AT, self.failed_at_ms.to_string().as_bytes())?;
        Ok(headers)
    }
}

/// The index of the header that begins the last block.
fn block_start(headers: Headers<'_>) -> Option<usize> {
    headers.iter().enumerate().filter(|(_, (name, _))| *name == VERSION).map(|(index, _)| index).last()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dead_letter() -> DeadLetter {
        DeadLetter {
            code: "FS-1402".into(),
            message: "unreachable".into(),
            backtrace: Some("0: f".into()),
            function: "f".into(),
            revision: 3,
            source: TopicPartition::new("in", 2),
            position: Position(u128::MAX),
            input: 1,
            attempts: 2,
            failed_at_ms: -1,
        }
    }

    fn original() -> HeadersBuilder {
        let mut headers = HeadersBuilder::new();
        headers.push("trace", b"1").unwrap();
        headers.push("trace", b"\xff").unwrap();
        headers
    }

    #[test]
    fn a_dead_letter_is_read_as_it_was_written_and_gives_the_record_back() {
        for dead_letter in [dead_letter(), DeadLetter { backtrace: None, ..dead_letter() }] {
            let headers = dead_letter.headers(original().as_headers()).unwrap();
            assert_eq!(DeadLetter::read(headers.as_headers()), Some(dead_letter));
            assert_eq!(DeadLetter::original(headers.as_headers()).unwrap(), original());
        }
    }

    #[test]
    fn of_a_dead_letter_that_died_again_only_the_last_block_counts() {
        let first = dead_letter().headers(original().as_headers()).unwrap();
        let second = DeadLetter { function: "g".into(), backtrace: None, ..dead_letter() };
        let both = second.headers(first.as_headers()).unwrap();
        assert_eq!(DeadLetter::read(both.as_headers()), Some(second));
        assert_eq!(DeadLetter::original(both.as_headers()).unwrap(), first);
    }

    #[test]
    fn other_records_are_no_dead_letters() {
        assert_eq!(DeadLetter::read(original().as_headers()), None);
        let mut torn = original();
        torn.push(VERSION, b"1").unwrap();
        assert_eq!(DeadLetter::read(torn.as_headers()), None);
    }

    #[test]
    fn one_of_a_group_is_none_of_a_function_and_gives_the_record_back() {
        let source = TopicPartition::new("in", 2);
        let letter =
            GroupDeadLetter { group: "g".into(), source, position: Position(7), deliveries: 3, failed_at_ms: 5 };
        let headers = letter.headers(original().as_headers()).unwrap();
        assert_eq!(DeadLetter::read(headers.as_headers()), None);
        assert_eq!(DeadLetter::original(headers.as_headers()).unwrap(), original());
        let text = |name: &str| headers.as_headers().iter().find(|(n, _)| *n == name).map(|(_, value)| value.to_vec());
        assert_eq!(text(CODE).unwrap(), b"FS-1326");
        assert_eq!((text(GROUP).unwrap(), text(ATTEMPTS).unwrap()), (b"g".to_vec(), b"3".to_vec()));
        let golden = b"\x0e\0fs-dlq-version\x01\0\0\x001";
        assert!(headers.as_headers().as_bytes().windows(golden.len()).any(|window| window == golden));
    }

    /// The bytes of version 1, as every later version must read them.
    #[test]
    fn version_1_stays_readable() {
        let headers =
            DeadLetter { backtrace: None, position: Position(7), ..dead_letter() }.headers(Headers::EMPTY).unwrap();
        let golden: &[u8] = b"\x0e\0fs-dlq-version\x01\0\0\x001\x0b\0fs-dlq-code\x07\0\0\0FS-1402\
            \x0e\0fs-dlq-message\x0b\0\0\0unreachable\x0f\0fs-dlq-function\x01\0\0\0f\x0f\0fs-dlq-revision\x01\0\0\x003\
            \x0c\0fs-dlq-topic\x02\0\0\0in\x10\0fs-dlq-partition\x01\0\0\x002\x0f\0fs-dlq-position\x01\0\0\x007\
            \x0c\0fs-dlq-input\x01\0\0\x001\x0f\0fs-dlq-attempts\x01\0\0\x002\x10\0fs-dlq-failed-at\x02\0\0\0-1";
        assert_eq!(headers.as_headers().as_bytes(), golden);
    }
}
