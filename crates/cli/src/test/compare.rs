// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What was emitted beside what should have been, as lines of a difference.

use std::fmt::Write;

use fnstream_config::scenario::{Data, Sample};

use super::host::Emitted;

/// The most pairs of records that are compared with each other; beyond that everything between the first and the last difference is
/// shown as gone and come.
const MOST_PAIRS: usize = 4_000_000;

/// A line of a difference, with the indexes of what it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Both(usize, usize),
    Gone(usize),
    Come(usize),
}

/// The longest run that two rows have in common, and what lies between.
fn lines(before: usize, now: usize, same: impl Fn(usize, usize) -> bool) -> Vec<Line> {
    let least = before.min(now);
    let head = (0..least).take_while(|at| same(*at, *at)).count();
    let tail = (0..least - head).take_while(|at| same(before - 1 - at, now - 1 - at)).count();
    let (rows, columns) = (before - head - tail, now - head - tail);
    let mut all: Vec<_> = (0..head).map(|at| Line::Both(at, at)).collect();
    if rows.saturating_mul(columns) > MOST_PAIRS {
        all.extend((0..rows).map(|i| Line::Gone(head + i)));
        all.extend((0..columns).map(|j| Line::Come(head + j)));
    } else {
        let mut longest = vec![vec![0usize; columns + 1]; rows + 1];
        for i in (0..rows).rev() {
            for j in (0..columns).rev() {
                longest[i][j] = match same(head + i, head + j) {
                    true => longest[i + 1][j + 1] + 1,
                    false => longest[i + 1][j].max(longest[i][j + 1]),
                };
            }
        }
        let (mut i, mut j) = (0, 0);
        while i < rows || j < columns {
            if i < rows && j < columns && same(head + i, head + j) {
                all.push(Line::Both(head + i, head + j));
                (i, j) = (i + 1, j + 1);
            } else if i < rows && (j == columns || longest[i + 1][j] >= longest[i][j + 1]) {
                all.push(Line::Gone(head + i));
                i += 1;
            } else {
                all.push(Line::Come(head + j));
                j += 1;
            }
        }
    }
    all.extend((0..tail).rev().map(|at| Line::Both(before - 1 - at, now - 1 - at)));
    all
}

/// The difference between what should have been emitted and what was; none if everything is as it should be.
pub(super) fn difference(wanted: &[Sample], emitted: &[Emitted]) -> Option<String> {
    let lines = lines(wanted.len(), emitted.len(), |i, j| is(&wanted[i], &emitted[j]));
    if lines.iter().all(|line| matches!(line, Line::Both(..))) {
        return None;
    }
    let (mut told, mut next) = (String::new(), 0);
    for line in lines {
        let line = match line {
            Line::Both(i, j) => {
                next = i + 1;
                format!("    {}", shown(&emitted[j], &wanted[i]))
            }
            Line::Gone(i) => {
                next = i + 1;
                format!("  - {}   (expected, line {})", wished(&wanted[i]), wanted[i].place.line)
            }
            Line::Come(j) => {
                let like = wanted.get(next).or(wanted.last()).unwrap_or(&WHOLE);
                format!("  + {}   (emitted)", shown(&emitted[j], like))
            }
        };
        let _ = writeln!(told, "{line}");
    }
    Some(told)
}

/// What has changed between two rows of events; none if nothing has. Of what both have only some lines around are shown.
pub(crate) fn changes(before: &[Emitted], now: &[Emitted]) -> Option<String> {
    const AROUND: usize = 2;
    let lines = lines(before.len(), now.len(), |i, j| before[i] == now[j]);
    let is_change = |line: &Line| !matches!(line, Line::Both(..));
    if !lines.iter().any(is_change) {
        return None;
    }
    let (mut told, mut left_out) = (String::new(), false);
    for (at, line) in lines.iter().enumerate() {
        let near = lines[at.saturating_sub(AROUND)..lines.len().min(at + AROUND + 1)].iter().any(is_change);
        if !near {
            if !std::mem::replace(&mut left_out, true) {
                told.push_str("    …\n");
            }
            continue;
        }
        left_out = false;
        let _ = match *line {
            Line::Both(i, _) => writeln!(told, "    {}", before[i].shown()),
            Line::Gone(i) => writeln!(told, "  - {}", before[i].shown()),
            Line::Come(j) => writeln!(told, "  + {}", now[j].shown()),
        };
    }
    Some(told)
}

impl Emitted {
    /// The event in a line: its key, if it has one, and its value.
    pub(crate) fn shown(&self) -> String {
        match &self.key {
            Some(key) => format!("{}: {}", text(Some(key)), self.value_shown()),
            None => self.value_shown(),
        }
    }

    /// Its value.
    pub(crate) fn value_shown(&self) -> String {
        text(self.value.as_deref())
    }
}

/// What is shown of a record when nothing was expected.
const WHOLE: Sample = Sample {
    place: fnstream_config::Place::START,
    value: Data::Null,
    key: Some(Data::Null),
    headers: None,
    time: None,
};

fn is(wanted: &Sample, emitted: &Emitted) -> bool {
    wanted.value.is(emitted.value.as_deref())
        && wanted.key.as_ref().is_none_or(|key| key.is(emitted.key.as_deref()))
        && wanted.time.is_none_or(|time| time == emitted.time)
        && wanted.headers.as_ref().is_none_or(|headers| {
            headers.len() == emitted.headers.len()
                && headers
                    .iter()
                    .all(|(name, value)| emitted.headers.iter().any(|(of, bytes)| of == name && value.is(Some(bytes))))
        })
}

/// A record that was wished for, as it is written in a scenario.
fn wished(sample: &Sample) -> String {
    let headers = sample
        .headers
        .as_ref()
        .map(|headers| headers.iter().map(|(name, value)| (name.clone(), value.bytes())).collect::<Vec<_>>());
    let key = sample.key.as_ref().map(Data::bytes);
    written(sample.value.bytes().as_deref(), key.as_ref().map(Option::as_deref), sample.time, headers)
}

/// A record that was emitted, with what the wish says of it.
fn shown(emitted: &Emitted, like: &Sample) -> String {
    let key = like.key.as_ref().map(|_| emitted.key.as_deref());
    let headers = like
        .headers
        .as_ref()
        .map(|_| emitted.headers.iter().map(|(name, value)| (name.clone(), Some(value.clone()))).collect::<Vec<_>>());
    written(emitted.value.as_deref(), key, like.time.map(|_| emitted.time), headers)
}

type Headers = Vec<(String, Option<Vec<u8>>)>;

fn written(value: Option<&[u8]>, key: Option<Option<&[u8]>>, time: Option<i64>, headers: Option<Headers>) -> String {
    if key.is_none() && time.is_none() && headers.is_none() {
        return text(value);
    }
    let mut parts: Vec<_> = key.map(|key| format!("key: {}", text(key))).into_iter().collect();
    parts.push(format!("value: {}", text(value)));
    parts.extend(time.map(|time| format!("time: {time}")));
    parts.extend(headers.map(|headers| {
        let each: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {}", text(value.as_deref()))).collect();
        format!("headers: {{{}}}", each.join(", "))
    }));
    format!("{{{}}}", parts.join(", "))
}

/// Bytes as a scenario writes them.
pub(super) fn text(bytes: Option<&[u8]>) -> String {
    let Some(bytes) = bytes else { return "null".to_owned() };
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => format!("{text:?}"),
        _ => format!("{{hex: {}}}", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use fnstream_config::parse_scenario;
    use fnstream_config::scenario::What;

    use super::*;

    fn wanted(text: &str) -> Vec<Sample> {
        let scenario = parse_scenario(format!("steps:\n  - emitted: {text}\n").as_bytes()).unwrap();
        let What::Emitted { records, .. } = scenario.steps[0].what.clone() else { panic!() };
        records
    }

    fn emitted(key: &str, value: &str) -> Emitted {
        Emitted {
            key: Some(key.into()),
            value: Some(value.into()),
            headers: vec![("h".into(), b"1".to_vec())],
            time: 7,
        }
    }

    #[test]
    fn only_what_is_wished_for_is_compared() {
        let got = [emitted("k", "1")];
        for good in
            ["[1]", "[{key: k, value: 1}]", "[{value: 1, time: 7}]", "[{value: 1, headers: {h: 1}}]", "[{json: 1}]"]
        {
            assert_eq!(difference(&wanted(good), &got), None, "{good}");
        }
        for bad in [
            "[]",
            "[2]",
            "[1, 1]",
            "[{key: j, value: 1}]",
            "[{value: 1, time: 8}]",
            "[{value: 1, headers: {}}]",
            "[null]",
        ] {
            assert!(difference(&wanted(bad), &got).is_some(), "{bad}");
        }
    }

    #[test]
    fn changes_are_shown_with_what_is_around_them() {
        let row = |values: &[&str]| values.iter().map(|value| emitted("k", value)).collect::<Vec<_>>();
        let before = row(&["1", "2", "3", "4", "5", "6", "7"]);
        assert_eq!(changes(&before, &before), None);
        let told = changes(&before, &row(&["1", "2", "3", "4", "x", "6", "7", "8"])).unwrap();
        let line = |sign: char, value: &str| format!("  {sign} \"k\": \"{value}\"\n");
        let lines = [(' ', "3"), (' ', "4"), ('-', "5"), ('+', "x"), (' ', "6"), (' ', "7"), ('+', "8")];
        assert_eq!(told, format!("    …\n{}", lines.map(|(sign, value)| line(sign, value)).concat()));
    }

    #[test]
    fn many_records_are_compared_in_bounded_memory() {
        let many = |from: usize| (from..from + 3_000).map(|i| emitted("k", &i.to_string())).collect::<Vec<_>>();
        let told = changes(&many(0), &many(10_000)).unwrap();
        assert_eq!(told.lines().count(), 6_000);
    }

    #[test]
    fn a_difference_shows_what_both_have_and_where_they_part() {
        let got = [emitted("a", "1"), emitted("b", "2"), emitted("c", "3")];
        let told = difference(&wanted("[{key: a, value: 1}, {key: x, value: 9}, {key: c, value: 3}]"), &got).unwrap();
        let lines = [
            "    {key: \"a\", value: \"1\"}\n",
            "  - {key: \"x\", value: \"9\"}   (expected, line 2)\n",
            "  + {key: \"b\", value: \"2\"}   (emitted)\n",
            "    {key: \"c\", value: \"3\"}\n",
        ];
        assert_eq!(told, lines.concat());
        assert_eq!(text(Some(&[0xff, 0])), "{hex: ff00}");
    }
}
