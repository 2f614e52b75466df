// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The conformance program as it must be, on plain maps.

use std::collections::BTreeMap;
use std::ops::Bound;

use fnstream_core::timer::TimeDomain;

use super::typed::Typed;

type Map = BTreeMap<String, String>;

/// All that a record may change.
#[derive(Debug, Clone, Default)]
struct State {
    simple: Map,
    parts: BTreeMap<String, Map>,
    typed: BTreeMap<String, Typed>,
    timers: BTreeMap<(TimeDomain, String), i64>,
    emitted: usize,
}

/// The program and what is outside of it.
#[derive(Debug, Default)]
pub(super) struct Expected {
    simple: Map,
    parts: BTreeMap<String, Map>,
    typed: BTreeMap<String, Typed>,
    /// When the timers are due that are set.
    pub timers: BTreeMap<(TimeDomain, String), i64>,
    /// Output and text of all that was emitted.
    pub emitted: Vec<(u32, String)>,
    /// Output and time of all watermarks that were.
    pub watermarks: Vec<(u32, u64)>,
    watermark: Option<u64>,
    processing: Option<i64>,
    /// Records that have failed.
    pub failed: usize,
    /// Timers that have fired.
    pub fired: usize,
}

impl Expected {
    /// A batch; answers which records fail, and why.
    pub(super) fn send(&mut self, records: &[String]) -> BTreeMap<usize, String> {
        let mut failures = BTreeMap::new();
        for (index, record) in records.iter().enumerate() {
            let before = self.state();
            if let Err(reason) = record.split('\n').try_for_each(|command| self.run(command)) {
                self.undo(before);
                failures.insert(index, reason);
            }
        }
        self.failed += failures.len();
        self.advance();
        failures
    }

    /// The end of an epoch, all of which has been looked at.
    pub(super) fn checkpoint(&mut self, number: u64) {
        self.emitted.clear();
        self.watermarks.clear();
        self.simple.insert("checkpoint".into(), number.to_string());
        self.advance();
    }

    /// Event time, whose timers fire before the watermark is told.
    pub(super) fn watermark(&mut self, watermark: u64) {
        let rises = self.watermark < Some(watermark);
        self.watermark = self.watermark.max(Some(watermark));
        self.advance();
        if rises {
            self.watermarks.push((0, watermark));
        }
    }

    /// The machine's time.
    pub(super) fn time(&mut self, now: i64) {
        self.processing = self.processing.max(Some(now));
        self.advance();
    }

    /// Fires what is due, until there is nothing: those of processing time first, and all of one domain that are due at once together.
    fn advance(&mut self) {
        let event = self.watermark.map(|watermark| i64::try_from(watermark).unwrap_or(i64::MAX));
        loop {
            let due = [(TimeDomain::Processing, self.processing), (TimeDomain::Event, event)]
                .into_iter()
                .filter_map(|(domain, now)| Some(self.due(domain, now?)))
                .find(|due| !due.is_empty());
            let Some(due) = due else { return };
            for (_, domain, key) in &due {
                self.timers.remove(&(*domain, key.clone()));
            }
            due.into_iter().for_each(|(at, domain, key)| self.fire(at, domain, &key));
        }
    }

    fn due(&self, domain: TimeDomain, now: i64) -> Vec<(i64, TimeDomain, String)> {
        let of_domain = self.timers.iter().filter(|((of, _), at)| *of == domain && **at <= now);
        let mut due: Vec<_> = of_domain.map(|((of, key), at)| (*at, *of, key.clone())).collect();
        due.sort_by(|a, b| (a.0, &a.2).cmp(&(b.0, &b.2)));
        due
    }

    fn fire(&mut self, at: i64, domain: TimeDomain, key: &str) {
        self.fired += 1;
        let name = if domain == TimeDomain::Event { "event" } else { "processing" };
        self.tell(format!("fired {name} {at} {key}"));
        if let Some(command) = self.simple.get(&format!("on:{key}")).cloned() {
            let done = self.run(&command);
            assert_eq!(done, Ok(()), "the model lets no timer fail: {command}");
        }
    }

    fn tell(&mut self, text: String) {
        self.emitted.push((0, text));
    }

    /// Carries out one command.
    fn run(&mut self, command: &str) -> Result<(), String> {
        let (name, rest) = command.split_once(' ').unwrap_or((command, ""));
        let (one, last) = rest.split_once(' ').unwrap_or((rest, ""));
        let (two, three) = last.split_once(' ').unwrap_or((last, ""));
        let text = match name {
            "" => "empty".to_owned(),
            "emit" => {
                self.emitted.push((one.parse().unwrap_or_default(), last.to_owned()));
                return Ok(());
            }
            "fail" | "panic" => return Err(rest.to_owned()),
            "die" => return Err(String::new()),
            "state" => match self.typed(rest)? {
                Some(text) => text,
                None => return Ok(()),
            },
            "timer" => {
                self.timers.insert((domain(one), three.to_owned()), two.parse().unwrap_or_default());
                return Ok(());
            }
            "untimer" => {
                self.timers.remove(&(domain(one), last.to_owned()));
                return Ok(());
            }
            "get" => told(&self.simple, rest),
            "list" => keys(&self.simple, one, Some(last)),
            "list-from" => keys(&self.simple, rest, None),
            "scan-range" => pairs(&self.simple, one, Some(last).filter(|end| !end.is_empty())),
            "put" | "delete" | "merge-simple" | "delete-range" => {
                write(&mut self.simple, name, one, last);
                return Ok(());
            }
            "cget" => told(self.part(one), last),
            "clist" => keys(self.part(one), two, Some(three)),
            "clist-from" => keys(self.part(one), last, None),
            "scan" => pairs(self.part(rest), "", None),
            "cscan-range" => pairs(self.part(one), two, Some(three).filter(|end| !end.is_empty())),
            "walk" => walk(self.part(one), last),
            "fill" => {
                let (count, size) = (two.parse::<usize>().unwrap_or_default(), three.parse().unwrap_or_default());
                self.part(one).extend((0..count).map(|i| (format!("{i:05}"), "x".repeat(size))));
                return Ok(());
            }
            "count" => {
                let part = self.part(rest);
                format!("count {} {}", part.len(), part.values().map(String::len).sum::<usize>())
            }
            "cput" | "cdelete" | "merge" | "cprefix" | "cdelete-range" => {
                write(self.part(one), name, two, three);
                return Ok(());
            }
            other => panic!("the model does not know '{other}'"),
        };
        self.tell(text);
        Ok(())
    }

    fn part(&mut self, name: &str) -> &mut Map {
        self.parts.entry(name.to_owned()).or_default()
    }

    fn typed(&mut self, rest: &str) -> Result<Option<String>, String> {
        let words: Vec<_> = rest.splitn(4, ' ').collect();
        let word = |at: usize| words.get(at).copied().unwrap_or_default();
        let (kind, key, operation, argument) = (word(0), word(1), word(2), word(3));
        if (kind, operation) != ("mean", "merge") {
            return self.typed.entry(key.to_owned()).or_default().run(kind, operation, argument);
        }
        if let Some((sum, of)) = self.typed.get(argument).and_then(|other| other.mean) {
            let mean = &mut self.typed.entry(key.to_owned()).or_default().mean;
            let before = mean.unwrap_or_default();
            *mean = Some((before.0 + sum, before.1 + of));
        }
        Ok(None)
    }

    fn state(&self) -> State {
        let (simple, parts, typed) = (self.simple.clone(), self.parts.clone(), self.typed.clone());
        State { simple, parts, typed, timers: self.timers.clone(), emitted: self.emitted.len() }
    }

    fn undo(&mut self, before: State) {
        let State { simple, parts, typed, timers, emitted } = before;
        (self.simple, self.parts, self.typed, self.timers) = (simple, parts, typed, timers);
        self.emitted.truncate(emitted);
    }
}

fn domain(name: &str) -> TimeDomain {
    if name == "event" { TimeDomain::Event } else { TimeDomain::Processing }
}

fn told(map: &Map, key: &str) -> String {
    map.get(key).map_or_else(|| format!("{key} absent"), |value| format!("{key}={value}"))
}

fn range<'a>(map: &'a Map, start: &str, end: Option<&str>) -> impl Iterator<Item = (&'a String, &'a String)> {
    let end = end.map(str::to_owned);
    map.range(start.to_owned()..).take_while(move |(key, _)| end.as_ref().is_none_or(|end| *key < end))
}

fn keys(map: &Map, start: &str, end: Option<&str>) -> String {
    range(map, start, end).fold("keys".to_owned(), |told, (key, _)| format!("{told} {key}"))
}

fn pairs(map: &Map, start: &str, end: Option<&str>) -> String {
    range(map, start, end).fold("pairs".to_owned(), |told, (key, value)| format!("{told} {key}={value}"))
}

fn write(map: &mut Map, name: &str, key: &str, value: &str) {
    match name {
        "put" | "cput" => drop(map.insert(key.to_owned(), value.to_owned())),
        "delete" | "cdelete" => drop(map.remove(key)),
        "cprefix" => map.retain(|other, _| !other.starts_with(key)),
        "merge" | "merge-simple" => map.entry(key.to_owned()).or_default().push_str(value),
        _ => map.retain(|other, _| &other[..] < key || (!value.is_empty() && &other[..] >= value)),
    }
}

/// Goes through a part, and writes at each key that is there when its turn comes.
fn walk(part: &mut Map, edit: &str) -> String {
    let (mut met, mut bytes, mut after) = (0, 0, Bound::Unbounded);
    while let Some((key, value)) = part.range::<String, _>((after, Bound::Unbounded)).next() {
        let key = key.clone();
        (met, bytes) = (met + 1, bytes + value.len());
        let later = |by: usize| format!("{:05}", key[..5].parse::<usize>().unwrap_or_default() + by);
        match edit {
            "delete-ahead" => drop(part.remove(&later(1))),
            "delete-here" => drop(part.remove(&key)),
            "put-ahead" if key.ends_with('0') => drop(part.insert(format!("{key}+"), "y".into())),
            "merge-ahead" if key.ends_with('+') => part.entry(later(2)).or_default().push('z'),
            "put-behind" => drop(part.insert(format!("!{key}"), "b".into())),
            _ => {}
        }
        after = Bound::Excluded(key);
    }
    format!("walked {met} {bytes}")
}
