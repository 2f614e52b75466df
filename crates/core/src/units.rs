// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Durations, sizes, moments and counted nouns as people write them: `500ms`, `5s`, `7d`, `16MiB`, `2026-01-31T12:00:00.000Z`. The one reader
//! and writer of them, for the command line, the REST API, configuration files and SQL.

mod time;

use std::fmt::Display;
use std::time::Duration;

pub use time::{TIME_FORMS, format_time, parse_time};

const DURATIONS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

const SIZES: [(&str, u64); 8] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

/// How many of them are binary: the first ones.
const BINARY_SIZES: usize = 5;

/// Reads a duration such as `500ms`, `5s`, `2m`, `1h` or `7d`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let ms = scaled(text, &DURATIONS, None).map_err(|unread| {
        let text = text.escape_debug();
        match unread {
            Unread::TooMuch(most) => format!("'{text}' is too long: the most is {most}"),
            Unread::Malformed => {
                format!("'{text}' is not a duration: write a whole number with its unit ms, s, m, h or d, such as 5s")
            }
        }
    })?;
    Ok(Duration::from_millis(ms))
}

/// Reads a size such as `4096B`, `16MiB` or `1GB`; a number alone is bytes.
pub fn parse_size(text: &str) -> Result<u64, String> {
    parse_size_in(text, 1)
}

/// The same, where a number alone counts that many bytes.
pub fn parse_size_in(text: &str, unit: u64) -> Result<u64, String> {
    scaled(text, &SIZES, Some(unit)).map_err(|unread| {
        let text = text.escape_debug();
        match unread {
            Unread::TooMuch(most) => format!("'{text}' is too large: the most is {most}"),
            Unread::Malformed => format!(
                "'{text}' is not a size: write a whole number with its unit B, KiB, MiB, GiB, TiB, kB, MB or GB, such as 16MiB"
            ),
        }
    })
}

/// A duration in the largest unit that needs no fraction.
pub fn write_duration(time: Duration) -> String {
    exact(u64::try_from(time.as_millis()).unwrap_or(u64::MAX), &DURATIONS)
}

/// A size in the largest binary unit that needs no fraction.
pub fn write_size(bytes: u64) -> String {
    exact(bytes, &SIZES[..BINARY_SIZES])
}

/// So many of something: `1 event`, `2 events`, `3 entries`.
pub fn counted<N: Display + PartialEq + From<u8>>(number: N, what: &str) -> String {
    let is_vowel = |stem: &str| stem.ends_with(['a', 'e', 'i', 'o', 'u']);
    match what.strip_suffix('y').filter(|stem| !is_vowel(stem)) {
        _ if number == N::from(1) => format!("1 {what}"),
        Some(stem) => format!("{number} {stem}ies"),
        None => format!("{number} {what}s"),
    }
}

fn exact(number: u64, units: &[(&str, u64)]) -> String {
    let fits = units.iter().rev().find(|(_, unit)| number != 0 && number.is_multiple_of(*unit));
    let (name, unit) = fits.unwrap_or(&units[0]);
    format!("{}{name}", number / unit)
}

/// Why a number with its unit cannot be read.
enum Unread {
    /// It is none.
    Malformed,
    /// It is more than can be counted, which is this.
    TooMuch(String),
}

/// The number that is written, in the smallest unit. `alone` is how much a number without a unit counts, where one may stand.
fn scaled(text: &str, units: &[(&str, u64)], alone: Option<u64>) -> Result<u64, Unread> {
    // As numbers are read elsewhere.
    let digits = text.strip_prefix('+').filter(|rest| rest.bytes().all(|byte| byte.is_ascii_digit())).unwrap_or(text);
    let (number, unit) = digits.split_at(digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len()));
    if number.is_empty() {
        return Err(Unread::Malformed);
    }
    let named = units.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
    let factor = if unit.is_empty() { alone } else { named }.ok_or(Unread::Malformed)?;
    // Of digits alone, what cannot be read is too much.
    let scaled = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    scaled.ok_or_else(|| Unread::TooMuch(format!("{}{unit}", u64::MAX / factor)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read() {
        assert_eq!(parse_duration("250ms").unwrap(), Duration::from_millis(250));
        assert_eq!(parse_duration("7d").unwrap(), Duration::from_secs(7 * 86_400));
        assert_eq!(parse_size("16MiB").unwrap(), 16 << 20);
        assert_eq!(parse_size("1000").unwrap(), 1000);
    }

    #[test]
    fn what_is_counted_stands_in_its_number() {
        assert_eq!((counted(0, "event"), counted(1_u64, "event")), ("0 events".into(), "1 event".into()));
        assert_eq!((counted(1_usize, "entry"), counted(2_u32, "entry")), ("1 entry".into(), "2 entries".into()));
        assert_eq!((counted(2, "key"), counted(3, "dead letter")), ("2 keys".into(), "3 dead letters".into()));
    }

    #[test]
    fn what_is_written_is_read_as_the_same() {
        for ms in [0, 1, 999, 1000, 90_000, 3_600_000, 86_400_000] {
            let time = Duration::from_millis(ms);
            assert_eq!(parse_duration(&write_duration(time)).unwrap(), time);
        }
        for bytes in [0, 1, 1000, 1536, 64 << 20, 1 << 40] {
            assert_eq!(parse_size(&write_size(bytes)).unwrap(), bytes);
        }
    }

    #[test]
    fn anything_else_is_refused_with_an_example() {
        for bad in ["", "5", "s", "-5s", "5 s", "1.5s", "99999999999999999999x", "5x", "+5s"] {
            assert!(parse_duration(bad).unwrap_err().contains("such as 5s"), "{bad}");
        }
        for bad in ["", "+", "MiB", "1.5MiB", "99999999999999999999XiB", "+5MiB", "-1"] {
            assert!(parse_size(bad).unwrap_err().contains("such as 16MiB"), "{bad}");
        }
    }

    #[test]
    fn what_cannot_be_counted_is_told_with_the_most_that_can() {
        for (text, most) in [
            ("99999999999999GiB", "17179869183GiB"),
            ("99999999999999999999999GiB", "17179869183GiB"),
            ("18446744073709551616", "18446744073709551615"),
            ("18446744073709551616B", "18446744073709551615B"),
            ("18446744073709552000kB", "18446744073709551kB"),
        ] {
            let told = parse_size(text).unwrap_err();
            assert_eq!(told, format!("'{text}' is too large: the most is {most}"));
            assert_eq!(parse_size(most).map(|_| ()), Ok(()), "{most} is one");
        }
        for (text, most) in [("99999999999999999999d", "213503982334d"), ("213503982335d", "213503982334d")] {
            let told = parse_duration(text).unwrap_err();
            assert_eq!(told, format!("'{text}' is too long: the most is {most}"));
            assert_eq!(parse_duration(most).map(|_| ()), Ok(()), "{most} is one");
        }
    }

    #[test]
    fn a_number_alone_counts_what_it_is_said_to() {
        assert_eq!((parse_size_in("3", 1 << 20), parse_size_in("3B", 1 << 20)), (Ok(3 << 20), Ok(3)));
        assert_eq!(parse_size("+7"), Ok(7));
        let told = parse_size_in("18446744073709551615", 1 << 20).unwrap_err();
        assert_eq!(told, "'18446744073709551615' is too large: the most is 17592186044415");
    }
}
