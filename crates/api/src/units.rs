// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Durations, sizes and times as people write them: `500ms`, `5s`, `7d`, `16MiB`, `2026-01-31T12:00:00.000Z`.

use std::fmt;
use std::time::Duration;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use fnstream_core::units::{write_duration, write_size};

pub use fnstream_core::units::{TIME_FORMS, format_time, parse_duration, parse_size, parse_time};

/// A duration or a size in a description: a number of milliseconds or bytes, or text with a unit. Whether the text can be
/// read is told when it is, so that all problems of a description are told together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Quantity {
    /// Milliseconds or bytes.
    Number(u64),
    /// With a unit.
    Text(String),
}

impl Quantity {
    /// A duration in the largest unit that needs no fraction.
    pub fn duration(time: Duration) -> Self {
        Quantity::Text(write_duration(time))
    }

    /// A size in the largest binary unit that needs no fraction.
    pub fn size(bytes: u64) -> Self {
        Quantity::Text(write_size(bytes))
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

/// By hand, since a number that is too large is not to be told as something that is no number.
impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reading;

        impl Visitor<'_> for Reading {
            type Value = Quantity;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number or text with a unit, such as \"10s\" or \"64MiB\"")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Quantity, E> {
                Ok(Quantity::Number(number))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Quantity, E> {
                // What JSON writes as a whole number and is more than can be counted arrives so.
                match number >= u64::MAX as f64 {
                    true => Err(E::custom(format_args!("the number is too large: the most is {}", u64::MAX))),
                    false => Err(E::invalid_type(de::Unexpected::Float(number), &self)),
                }
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Quantity, E> {
                Ok(Quantity::Text(text.to_owned()))
            }
        }

        from.deserialize_any(Reading)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Quantity::Number(number) => number.fmt(f),
            Quantity::Text(text) => text.fmt(f),
        }
    }
}

/// A size for people.
pub fn format_size(bytes: u64) -> String {
    match [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)].iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) => format!("{:.1} {name}", bytes as f64 / *unit as f64),
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_written_for_people() {
        assert_eq!(format_size(1536), "1.5 KiB");
    }

    #[test]
    fn quantities_are_numbers_or_text_and_come_back_in_the_largest_whole_unit() {
        let read = |json: &str| serde_json::from_str::<Quantity>(json).map_err(|e| e.to_string());
        assert_eq!(read("1500").unwrap().to_duration().unwrap(), Duration::from_millis(1500));
        assert_eq!(read(r#""64MiB""#).unwrap().to_size().unwrap(), 64 << 20);
        for wrong in ["-1", "1.5", "null", "[1]"] {
            let told = read(wrong).unwrap_err();
            assert!(told.contains("expected a whole number or text with a unit, such as \"10s\""), "{told}");
        }
        let told = read("99999999999999999999").unwrap_err();
        assert!(told.starts_with("the number is too large: the most is 18446744073709551615"), "{told}");
        for (time, text) in [(0, "0ms"), (1500, "1500ms"), (90_000, "90s"), (86_400_000, "1d")] {
            assert_eq!(Quantity::duration(Duration::from_millis(time)).to_string(), text);
        }
        for (bytes, text) in [(0, "0B"), (1000, "1000B"), (1536, "1536B"), (64 << 20, "64MiB"), (1 << 40, "1TiB")] {
            let quantity = Quantity::size(bytes);
            assert_eq!((quantity.to_string().as_str(), quantity.to_size().unwrap()), (text, bytes));
        }
    }
}
