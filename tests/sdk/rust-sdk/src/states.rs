// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The command `state`: typed states, alone and by key.

use std::fmt::Display;

use fnstream_sdk::states::{
    AggregateFunc, AggregatingState, Keyed, ListState, MapState, PriorityQueueState, ReducingState, ValueState,
};
use fnstream_sdk::{Context, Error, Json};
use serde::{Deserialize, Serialize};

/// The sum of numbers, and how many they are.
struct Mean;

#[derive(Default, Serialize, Deserialize)]
struct Sum {
    sum: i64,
    n: i64,
}

impl AggregateFunc for Mean {
    type Input = i64;
    type Accumulator = Json<Sum>;
    type Output = String;

    fn create_accumulator(&self) -> Json<Sum> {
        Json::default()
    }

    fn add(&self, value: i64, Json(Sum { sum, n }): Json<Sum>) -> Json<Sum> {
        Json(Sum { sum: sum + value, n: n + 1 })
    }

    fn result(&self, Json(Sum { sum, n }): Json<Sum>) -> String {
        format!("{sum}/{n}")
    }

    fn merge(&self, a: Json<Sum>, b: Json<Sum>) -> Json<Sum> {
        Json(Sum { sum: a.sum + b.sum, n: a.n + b.n })
    }
}

fn greater(reduced: i64, next: i64) -> Result<i64, Error> {
    if next < 0 { Err(Error::new(format!("{next} is refused"))) } else { Ok(reduced.max(next)) }
}

/// The states of all keys.
pub(crate) struct States {
    value: (ValueState<String>, Keyed<ValueState<String>>),
    list: (ListState<String>, Keyed<ListState<String>>),
    numbers: (ListState<i64>, Keyed<ListState<i64>>),
    map: (MapState<i64, String>, Keyed<MapState<i64, String>>),
    queue: (PriorityQueueState<i64>, Keyed<PriorityQueueState<i64>>),
    mean: (AggregatingState<Mean>, Keyed<AggregatingState<Mean>>),
    greatest: (ReducingState<i64>, Keyed<ReducingState<i64>>),
}

const GROUP: &[u8] = b"g";
const NAMESPACE: &[u8] = b"n";

/// Gives `run` the state of a key, or the one without a key.
macro_rules! at {
    ($states:expr, $key:expr) => {
        match $key {
            "-" => &$states.0,
            key => &$states.1.of(key.as_bytes(), NAMESPACE),
        }
    };
}

fn optional(kind: &str, value: Option<impl Display>) -> String {
    value.map_or_else(|| format!("{kind} absent"), |value| format!("{kind}={value}"))
}

fn all<T: Display>(kind: &str, values: impl IntoIterator<Item = Result<T, Error>>) -> Result<String, Error> {
    values.into_iter().try_fold(kind.to_owned(), |told, value| Ok(format!("{told} {}", value?)))
}

fn numbers(text: &str) -> Result<Vec<i64>, Error> {
    text.split(' ').filter(|word| !word.is_empty()).map(|word| Ok(word.parse()?)).collect()
}

impl States {
    pub(crate) fn open(ctx: &mut Context) -> Result<Self, Error> {
        let mean = Keyed::<AggregatingState<Mean>>::open_with(ctx, "states", GROUP, Mean)?;
        let greatest = Keyed::<ReducingState<i64>>::open_with(ctx, "states", GROUP, greater)?;
        Ok(States {
            value: (ValueState::open(ctx, "states")?, Keyed::open(ctx, "states", GROUP)?),
            list: (ListState::open(ctx, "states")?, Keyed::open(ctx, "states", GROUP)?),
            numbers: (ListState::open(ctx, "numbers")?, Keyed::open(ctx, "numbers", GROUP)?),
            map: (MapState::open(ctx, "states")?, Keyed::open(ctx, "states", GROUP)?),
            queue: (PriorityQueueState::open(ctx, "states")?, Keyed::open(ctx, "states", GROUP)?),
            mean: (AggregatingState::open(ctx, "states", Mean)?, mean),
            greatest: (ReducingState::open(ctx, "states", greater)?, greatest),
        })
    }

    /// Carries out `KIND KEY OPERATION ARGUMENT`; answers what is to be emitted.
    pub(crate) fn run(&self, command: &str) -> Result<Option<String>, Error> {
        let mut words = command.splitn(4, ' ');
        let mut word = || words.next().unwrap_or_default();
        let [kind, key, operation, rest] = [word(), word(), word(), word()];
        match kind {
            "value" => {
                let state = at!(self.value, key);
                match operation {
                    "set" => state.set(rest)?,
                    "clear" => state.clear()?,
                    _ => return Ok(Some(optional(kind, state.get()?))),
                }
            }
            "list" => {
                let state = at!(self.list, key);
                match operation {
                    "add" => state.push(rest)?,
                    "add-all" => state.extend(rest.split(' '))?,
                    "set" => state.set(rest.split(' '))?,
                    "clear" => state.clear()?,
                    _ => return all(kind, state.get()?.into_iter().map(Ok)).map(Some),
                }
            }
            "numbers" => {
                let state = at!(self.numbers, key);
                match operation {
                    "add" => state.push(&rest.parse::<i64>()?)?,
                    "add-all" => state.extend(&numbers(rest)?)?,
                    "set" => state.set(&numbers(rest)?)?,
                    "clear" => state.clear()?,
                    _ => return all(kind, state.get()?.into_iter().map(Ok)).map(Some),
                }
            }
            "map" => {
                let (state, (number, text)) = (at!(self.map, key), rest.split_once(' ').unwrap_or((rest, "")));
                match operation {
                    "put" => state.insert(&number.parse::<i64>()?, text)?,
                    "fill" => (0..number.parse::<i64>()?).try_for_each(|key| state.insert(&key, text))?,
                    "delete" => state.remove(&number.parse::<i64>()?)?,
                    "clear" => state.clear()?,
                    "get" => return Ok(Some(optional(kind, state.get(&number.parse::<i64>()?)?))),
                    "thin" => {
                        let mut seen = 0;
                        for entry in state.iter() {
                            state.remove(&(entry?.0 + 1))?;
                            seen += 1;
                        }
                        return Ok(Some(format!("map thinned {seen}")));
                    }
                    _ => {
                        let entries = state.iter().map(|entry| entry.map(|(key, value)| format!("{key}={value}")));
                        return all(kind, entries).map(Some);
                    }
                }
            }
            "queue" => {
                let state = at!(self.queue, key);
                match operation {
                    "add" => state.push(&rest.parse::<i64>()?)?,
                    "clear" => state.clear()?,
                    "peek" => return Ok(Some(optional(kind, state.peek()?))),
                    "poll" => return Ok(Some(optional(kind, state.pop()?))),
                    _ => return all(kind, state.iter()).map(Some),
                }
            }
            "mean" => {
                let state = at!(self.mean, key);
                match operation {
                    "add" => state.add(rest.parse()?)?,
                    "merge" => {
                        let other = at!(self.mean, rest);
                        state.merge(other)?;
                    }
                    "clear" => state.clear()?,
                    _ => return Ok(Some(optional(kind, state.get()?))),
                }
            }
            "greatest" => {
                let state = at!(self.greatest, key);
                match operation {
                    "add" => state.add(rest.parse()?)?,
                    "clear" => state.clear()?,
                    _ => return Ok(Some(optional(kind, state.get()?))),
                }
            }
            _ => return Err(Error::new(format!("there is no state '{kind}'"))),
        }
        Ok(None)
    }
}
