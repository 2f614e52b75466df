// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The account: facts in, problems out. No I/O, so that it is itself tested, on runs that are wrong on purpose.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use super::ledger::{Append, Outcome, Record};
use super::step::Step;

/// What must not be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Problem {
    /// Something that must be there is not.
    Lost(String),
    /// Something is there more often than it must be.
    Duplicated(String),
    /// All is there, but not in its order or at its place.
    Misplaced(String),
    /// Something is there that nobody asked for.
    Foreign(String),
    /// A part of an append that must be there as a whole or not at all.
    Torn(String),
    /// Something that was seen is not there any more.
    Unseen(String),
}

/// Compares the topic that was produced to with what the producers know.
pub fn appended(ledger: &[Append], topic: &[Vec<Record>]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut places: HashMap<&Record, Vec<(u32, usize)>> = HashMap::new();
    for (partition, records) in (0..).zip(topic) {
        for (position, record) in records.iter().enumerate() {
            places.entry(record).or_default().push((partition, position));
        }
    }
    // The last place of each producer in each partition.
    let mut reached: HashMap<(u32, u32), usize> = HashMap::new();
    for append in ledger {
        for (partition, records) in append.by_partition(topic.len() as u32) {
            let found: Vec<_> = records.iter().map(|r| places.remove(*r).unwrap_or_default()).collect();
            let first = match &append.outcome {
                Outcome::Acknowledged(runs) => runs.iter().find(|r| r.partition == partition).map(|r| r.first.clone()),
                Outcome::Unknown => found[0].first().map(|(_, position)| position.to_string()),
            };
            let whole = append.is_acknowledged() || found.iter().any(|places| !places.is_empty());
            for (i, (record, places)) in records.iter().zip(&found).enumerate() {
                let first = first.as_ref().and_then(|first| first.parse::<usize>().ok());
                let wanted = first.map(|first| (partition, first + i));
                match places[..] {
                    [] if append.is_acknowledged() => problems.push(Problem::Lost(format!("acknowledged {record}"))),
                    [] if whole => problems.push(Problem::Torn(record.to_string())),
                    [] => {}
                    [place] if Some(place) == wanted => {}
                    [place] => problems.push(Problem::Misplaced(format!("{record} is at {place:?}, not {wanted:?}"))),
                    _ => problems.push(Problem::Duplicated(format!("{record} is at {places:?}"))),
                }
                if let [(_, position)] = places[..]
                    && let Some(before) = reached.insert((append.producer, partition), position)
                    && before > position
                {
                    problems.push(Problem::Misplaced(format!("{record} is before what its producer appended earlier")));
                }
            }
        }
    }
    problems.extend(places.keys().map(|record| Problem::Foreign(record.to_string())));
    problems
}

/// Compares what a function has made with what its model makes of the same input.
pub fn processed(name: &str, step: Step, input: &[Vec<Record>], output: &[Vec<Record>]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (partition, (input, output)) in input.iter().zip(output).enumerate() {
        let model = step.fresh();
        let expected: Vec<Record> = input.iter().flat_map(model).collect();
        problems.extend(compare(&format!("{name}/{partition}"), &expected, output));
    }
    problems
}

/// Compares what a reader saw while the server was killed with what is there in the end.
pub fn seen(name: &str, seen: &[Record], there: &[Record]) -> Vec<Problem> {
    let gone = seen.iter().enumerate().find(|(i, record)| there.get(*i) != Some(record));
    gone.map(|(i, record)| Problem::Unseen(format!("{name} had {record} at {i}"))).into_iter().collect()
}

fn compare(name: &str, expected: &[Record], found: &[Record]) -> Vec<Problem> {
    if expected == found {
        return Vec::new();
    }
    let mut counts: BTreeMap<&Record, (i64, i64)> = BTreeMap::new();
    expected.iter().for_each(|record| counts.entry(record).or_default().0 += 1);
    found.iter().for_each(|record| counts.entry(record).or_default().1 += 1);
    let mut problems: Vec<_> = counts
        .into_iter()
        .filter_map(|(record, (expected, found))| match (expected, found) {
            _ if expected == found => None,
            (0, _) => Some(Problem::Foreign(format!("{name}: {record}"))),
            _ if expected > found => Some(Problem::Lost(format!("{name}: {record}"))),
            _ => Some(Problem::Duplicated(format!("{name}: {record}"))),
        })
        .collect();
    if problems.is_empty() {
        let at = expected.iter().zip(found).position(|(expected, found)| expected != found).unwrap_or_default();
        problems.push(Problem::Misplaced(format!("{name}: at {at} is {}, not {}", found[at], expected[at])));
    }
    problems
}

/// The problems in few lines: how many of each sort, with some examples.
pub fn report(problems: &[Problem]) -> String {
    let mut sorts: BTreeMap<&str, Vec<&Problem>> = BTreeMap::new();
    for problem in problems {
        sorts.entry(problem.sort()).or_default().push(problem);
    }
    let lines = sorts.iter().map(|(sort, all)| {
        let examples: Vec<_> = all.iter().take(8).map(|problem| format!("\n    {problem}")).collect();
        format!("{} {sort}, such as{}", all.len(), examples.concat())
    });
    lines.collect::<Vec<_>>().join("\n")
}

impl Problem {
    /// The sort, in one word.
    pub fn sort(&self) -> &'static str {
        match self {
            Problem::Lost(_) => "lost",
            Problem::Duplicated(_) => "duplicated",
            Problem::Misplaced(_) => "misplaced",
            Problem::Foreign(_) => "foreign",
            Problem::Torn(_) => "torn",
            Problem::Unseen(_) => "unseen",
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Lost(what)
            | Problem::Duplicated(what)
            | Problem::Misplaced(what)
            | Problem::Foreign(what)
            | Problem::Torn(what)
            | Problem::Unseen(what) => f.write_str(what),
        }
    }
}

#[cfg(test)]
mod tests;
