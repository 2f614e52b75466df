// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Moments as people write them: `2026-01-31T12:00:00.000Z`.

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

/// How a moment may be written, for messages.
pub const TIME_FORMS: &str =
    "a time in UTC such as 2026-01-31T08:00:00Z, or time=MS in milliseconds since the Unix epoch";

/// Reads a moment in milliseconds since the Unix epoch. It is written as [`format_time`] does, also without its fraction of a second,
/// or as that number of milliseconds behind `time=`.
pub fn parse_time(text: &str) -> Option<i64> {
    if let Some(ms) = text.strip_prefix("time=") {
        return ms.parse().ok();
    }
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
mod tests {
    use super::*;

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
        assert_eq!((parse_time("time=951782400000"), parse_time("time=-5")), (Some(951_782_400_000), Some(-5)));
        assert_eq!(parse_time("2000-02-29T00:00:01Z"), Some(951_782_401_000));
        assert_eq!(parse_time("2000-02-29T00:00:01.5Z"), Some(951_782_401_500));
        for wrong in [
            "time=",
            "time=now",
            "951782400000",
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
}
