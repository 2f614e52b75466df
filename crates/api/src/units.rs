// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Durations, sizes and times as people write them: `500ms`, `5s`, `7d`, `16MiB`, `2026-01-31T12:00:00.000Z`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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
    let ms = scaled(text, &DURATIONS).ok_or_else(|| {
        format!(
            "'{}' is not a duration: write a whole number with its unit ms, s, m, h or d, such as 5s",
            text.escape_debug()
        )
    })?;
    Ok(Duration::from_millis(ms))
}

/// Reads a size such as `4096B`, `16MiB` or `1GB`; a number alone is bytes.
pub fn parse_size(text: &str) -> Result<u64, String> {
    text.parse().ok().or_else(|| scaled(text, &SIZES)).ok_or_else(|| {
        format!(
            "'{}' is not a size: write a whole number with its unit B, KiB, MiB, GiB, TiB, kB, MB or GB, such as 16MiB",
            text.escape_debug()
        )
    })
}

/// A duration or a size in a description: a number of milliseconds or bytes, or text with a unit. Whether the text can be
/// read is told when it is, so that all problems of a description are told together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged, expecting = "neither a whole number nor text with a unit, such as \"10s\" or \"64MiB\"")]
pub enum Quantity {
    /// Milliseconds or bytes.
    Number(u64),
    /// With a unit.
    Text(String),
}

impl Quantity {
    /// A duration in the largest unit that needs no fraction.
    pub fn duration(time: Duration) -> Self {
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Quantity::Text(exact(ms, &DURATIONS))
    }

    /// A size in the largest binary unit that needs no fraction.
    pub fn size(bytes: u64) -> Self {
        Quantity::Text(exact(bytes, &SIZES[..BINARY_SIZES]))
    }

    /// Read as a duration.
    pub fn to_duration(&self) -> Result<Duration, String> {
        match self {
            Quantity::Number(ms) => Ok(Duration::from_millis(*ms)),
            Quantity::Text(text) => parse_duration(text),
        }
    }

    /// Read as a size in bytes.
    pub fn to_size(&self) -> Result<u64, String> {
        match self {
            Quantity::Number(bytes) => Ok(*bytes),
            Quantity::Text(text) => parse_size(text),
        }
    }
}

impl std::fmt::Display for Quantity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Quantity::Number(number) => number.fmt(f),
            Quantity::Text(text) => text.fmt(f),
        }
    }
}

fn exact(number: u64, units: &[(&str, u64)]) -> String {
    let fits = units.iter().rev().find(|(_, unit)| number != 0 && number.is_multiple_of(*unit));
    let (name, unit) = fits.unwrap_or(&units[0]);
    format!("{}{name}", number / unit)
}

/// A size for people.
pub fn format_size(bytes: u64) -> String {
    match [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)].iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) => format!("{:.1} {name}", bytes as f64 / *unit as f64),
        None => format!("{bytes} B"),
    }
}

/// A moment for people: milliseconds since the Unix epoch as date and time in UTC.
pub fn format_time(ms: i64) -> String {
    let (days, of_day) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    // The Gregorian calendar repeats every 400 years, and its years are easiest to count from March on: then the odd day of
    // a leap year is the last one, and the lengths of the months before it follow one line.
    let day = days + 719_468;
    let (era, day) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, year) = if month < 10 { (month + 3, year) } else { (month - 9, year + 1) };
    let (hour, minute, second) = (of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1_000 % 60);
    format!("{:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", year + 400 * era, of_day % 1_000)
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(at);
    let factor = units.iter().find(|(name, _)| *name == unit)?.1;
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read() {
        assert_eq!(parse_duration("250ms").unwrap(), Duration::from_millis(250));
        assert_eq!(parse_duration("7d").unwrap(), Duration::from_secs(7 * 86_400));
        assert_eq!(parse_size("16MiB").unwrap(), 16 << 20);
        assert_eq!(parse_size("1000").unwrap(), 1000);
        assert_eq!(format_size(1536), "1.5 KiB");
    }

    #[test]
    fn a_time_is_the_date_in_utc() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_735_689_599_123, "2024-12-31T23:59:59.123Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(format_time(ms), text);
        }
    }

    #[test]
    fn quantities_are_numbers_or_text_and_come_back_in_the_largest_whole_unit() {
        let read = |json: &str| serde_json::from_str::<Quantity>(json).map_err(|e| e.to_string());
        assert_eq!(read("1500").unwrap().to_duration().unwrap(), Duration::from_millis(1500));
        assert_eq!(read(r#""64MiB""#).unwrap().to_size().unwrap(), 64 << 20);
        assert!(read("-1").unwrap_err().contains("neither a whole number nor text with a unit"));
        for (time, text) in [(0, "0ms"), (1500, "1500ms"), (90_000, "90s"), (86_400_000, "1d")] {
            assert_eq!(Quantity::duration(Duration::from_millis(time)).to_string(), text);
        }
        for (bytes, text) in [(0, "0B"), (1000, "1000B"), (1536, "1536B"), (64 << 20, "64MiB"), (1 << 40, "1TiB")] {
            let quantity = Quantity::size(bytes);
            assert_eq!((quantity.to_string().as_str(), quantity.to_size().unwrap()), (text, bytes));
        }
    }

    #[test]
    fn anything_else_is_refused_with_an_example() {
        for bad in ["", "5", "s", "-5s", "5 s", "1.5s", "99999999999999999999d", "5x"] {
            assert!(parse_duration(bad).unwrap_err().contains("such as 5s"), "{bad}");
        }
        for bad in ["", "MiB", "1.5MiB", "99999999999GiB"] {
            assert!(parse_size(bad).unwrap_err().contains("such as 16MiB"), "{bad}");
        }
    }
}
