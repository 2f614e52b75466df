// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Durations and sizes as people write them: `500ms`, `5s`, `7d`, `16MiB`.

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

/// A size for people.
pub fn format_size(bytes: u64) -> String {
    match [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)].iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) => format!("{:.1} {name}", bytes as f64 / *unit as f64),
        None => format!("{bytes} B"),
    }
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
    fn anything_else_is_refused_with_an_example() {
        for bad in ["", "5", "s", "-5s", "5 s", "1.5s", "99999999999999999999d", "5x"] {
            assert!(parse_duration(bad).unwrap_err().contains("such as 5s"), "{bad}");
        }
        for bad in ["", "MiB", "1.5MiB", "99999999999GiB"] {
            assert!(parse_size(bad).unwrap_err().contains("such as 16MiB"), "{bad}");
        }
    }
}
