// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What the typed states hold, as plain collections.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::ops::Bound;

/// All typed states of one key.
#[derive(Debug, Clone, Default)]
pub(super) struct Typed {
    value: Option<String>,
    list: Vec<String>,
    numbers: Vec<i64>,
    map: BTreeMap<i64, String>,
    queue: BTreeSet<i64>,
    /// The sum, and of how many.
    pub(super) mean: Option<(i64, i64)>,
    greatest: Option<i64>,
}

impl Typed {
    /// Carries out an operation; answers what is emitted, or why the record fails. `mean merge` is done by the caller.
    pub(super) fn run(&mut self, kind: &str, operation: &str, rest: &str) -> Result<Option<String>, String> {
        let integer = || rest.parse::<i64>().unwrap_or_default();
        let words = || rest.split(' ').map(str::to_owned);
        let numbers = || rest.split(' ').filter_map(|word| word.parse::<i64>().ok());
        match (kind, operation) {
            ("value", "set") => self.value = Some(rest.to_owned()),
            ("value", "clear") => self.value = None,
            ("value", _) => return Ok(Some(optional("value", self.value.as_ref()))),
            ("list", "add") => self.list.push(rest.to_owned()),
            ("list", "add-all") => self.list.extend(words()),
            ("list", "set") => self.list = words().collect(),
            ("list", "clear") => self.list.clear(),
            ("list", _) => return Ok(Some(every("list", &self.list))),
            ("numbers", "add") => self.numbers.push(integer()),
            ("numbers", "add-all") => self.numbers.extend(numbers()),
            ("numbers", "set") => self.numbers = numbers().collect(),
            ("numbers", "clear") => self.numbers.clear(),
            ("numbers", _) => return Ok(Some(every("numbers", &self.numbers))),
            ("map", "put") => {
                let (number, text) = rest.split_once(' ').unwrap_or((rest, ""));
                self.map.insert(number.parse().unwrap_or_default(), text.to_owned());
            }
            ("map", "fill") => {
                let (number, text) = rest.split_once(' ').unwrap_or((rest, ""));
                self.map.extend((0..number.parse().unwrap_or_default()).map(|number| (number, text.to_owned())));
            }
            ("map", "delete") => drop(self.map.remove(&integer())),
            ("map", "clear") => self.map.clear(),
            ("map", "thin") => return Ok(Some(format!("map thinned {}", self.thin()))),
            ("map", "get") => return Ok(Some(optional("map", self.map.get(&integer())))),
            ("map", _) => {
                let entries: Vec<_> = self.map.iter().map(|(number, text)| format!("{number}={text}")).collect();
                return Ok(Some(every("map", &entries)));
            }
            ("queue", "add") => drop(self.queue.insert(integer())),
            ("queue", "clear") => self.queue.clear(),
            ("queue", "peek") => return Ok(Some(optional("queue", self.queue.first()))),
            ("queue", "poll") => return Ok(Some(optional("queue", self.queue.pop_first()))),
            ("queue", _) => return Ok(Some(every("queue", &self.queue))),
            ("mean", "add") => {
                let (sum, of) = self.mean.unwrap_or_default();
                self.mean = Some((sum + integer(), of + 1));
            }
            ("mean", "clear") => self.mean = None,
            ("mean", _) => return Ok(Some(optional("mean", self.mean.map(|(sum, of)| format!("{sum}/{of}"))))),
            ("greatest", "add") => match (self.greatest, integer()) {
                (Some(_), next @ ..0) => return Err(format!("{next} is refused")),
                (before, next) => self.greatest = before.max(Some(next)),
            },
            ("greatest", "clear") => self.greatest = None,
            _ => return Ok(Some(optional("greatest", self.greatest))),
        }
        Ok(None)
    }

    /// Deletes at each entry the one with the next number, while it goes on.
    fn thin(&mut self) -> usize {
        let (mut seen, mut after) = (0, Bound::Unbounded);
        while let Some((&number, _)) = self.map.range((after, Bound::Unbounded)).next() {
            self.map.remove(&(number + 1));
            (seen, after) = (seen + 1, Bound::Excluded(number));
        }
        seen
    }
}

fn optional(kind: &str, value: Option<impl Display>) -> String {
    value.map_or_else(|| format!("{kind} absent"), |value| format!("{kind}={value}"))
}

fn every<T: Display>(kind: &str, values: impl IntoIterator<Item = T>) -> String {
    values.into_iter().fold(kind.to_owned(), |told, value| format!("{told} {value}"))
}
