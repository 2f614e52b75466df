// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Durations and sizes as people write them: `500ms`, `5s`, `7d`, `16MiB`. The one reader and writer of them, for the
//! command line, the REST API, configuration files and SQL.

use std::time::Duration;

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

/// A duration in the largest unit that needs no fraction.
pub fn write_duration(time: Duration) -> String {
    exact(u64::try_from(time.as_millis()).unwrap_or(u64::MAX), &DURATIONS)
}

/// A size in the largest binary unit that needs no fraction.
pub fn write_size(bytes: u64) -> String {
    exact(bytes, &SIZES[..BINARY_SIZES])
}

fn exact(number: u64, units: &[(&str, u64)]) -> String {
    let fits = units.iter().rev().find(|(_, unit)| number != 0 && number.is_multiple_of(*unit));
    let (name, unit) = fits.unwrap_or(&units[0]);
    format!("{}{name}", number / unit)
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(at);
    let factor = units.iter().find(|(name, _)| *name == unit)?.1;
    number.parse::<u64>().ok()?.checked_mul(factor)
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
        for bad in ["", "5", "s", "-5s", "5 s", "1.5s", "99999999999999999999d", "5x"] {
            assert!(parse_duration(bad).unwrap_err().contains("such as 5s"), "{bad}");
        }
        for bad in ["", "MiB", "1.5MiB", "99999999999GiB"] {
            assert!(parse_size(bad).unwrap_err().contains("such as 16MiB"), "{bad}");
        }
    }
}
