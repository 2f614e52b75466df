// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Durations, sizes and times as people write them: `500ms`, `5s`, `7d`, `16MiB`, `2026-01-31T12:00:00.000Z`.

use std::fmt;
use std::time::Duration;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use fnstream_core::units::{write_duration, write_size};

pub use fnstream_core::units::{parse_duration, parse_size};

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

/// Reads a moment that is written as [`format_time`] does, also without its fraction of a second, in milliseconds since the Unix
/// epoch.
pub fn parse_time(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let (time, fraction) = time.split_once('.').map_or((time, "0"), |(time, fraction)| (time, fraction));
    let number = |text: &str, digits: usize| {
        let fits = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
        fits.then(|| text.parse::<i64>().ok()).flatten()
    };
    let mut date = date.split('-');
    let (year, month, day) = (number(date.next()?, 4)?, number(date.next()?, 2)?, number(date.next()?, 2)?);
    let mut time = time.split(':');
    let (hour, minute, second) = (number(time.next()?, 2)?, number(time.next()?, 2)?, number(time.next()?, 2)?);
    let fraction = match fraction.len() {
        digits @ 1..=3 => number(fraction, digits)? * [100, 10, 1][digits - 1],
        _ => return None,
    };
    // Years begin in March, as above.
    let (of_year, months) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = 365 * of_year + of_year.div_euclid(4) - of_year.div_euclid(100) + of_year.div_euclid(400);
    let days = days + (153 * months + 2) / 5 + day - 1 - 719_468;
    let ms = ((days * 24 + hour) * 60 + minute) * 60_000 + second * 1_000 + fraction;
    // Whatever is no date or no time of day comes back as another one.
    let whole = format_time(ms);
    (date.next().is_none() && time.next().is_none() && whole.get(..19) == text.get(..19)).then_some(ms)
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
            assert_eq!(parse_time(text), Some(ms));
        }
        assert_eq!(parse_time("2000-02-29T00:00:01Z"), Some(951_782_401_000));
        assert_eq!(parse_time("2000-02-29T00:00:01.5Z"), Some(951_782_401_500));
        for wrong in [
            "2001-02-29T00:00:00Z",
            "2000-13-01T00:00:00Z",
            "2000-01-01T24:00:00Z",
            "2000-01-01T00:00:00",
            "2000-01-01",
            "2000-1-01T00:00:00Z",
            "2000-01-01T00:00:00.1234Z",
            "+200-01-01T00:00:00Z",
            "",
        ] {
            assert_eq!(parse_time(wrong), None, "{wrong}");
        }
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
