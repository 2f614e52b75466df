// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Typed states: each as a model of it says, over restarts and failed records, and apart from all others.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use fnstream_sdk::states::{
    AggregateFunc, AggregatingState, Keyed, ListState, MapState, PriorityQueueState, ReducingState, ValueState,
};
use fnstream_sdk::testing::Harness;
use fnstream_sdk::{Config, Context, Error, Function, Json, Record};

/// The sum of numbers, and how many they are.
struct Mean;

impl AggregateFunc for Mean {
    type Input = i64;
    type Accumulator = Json<(i64, i64)>;
    type Output = (i64, i64);

    fn create_accumulator(&self) -> Self::Accumulator {
        Json((0, 0))
    }

    fn add(&self, value: i64, Json((sum, n)): Self::Accumulator) -> Self::Accumulator {
        Json((sum + value, n + 1))
    }

    fn result(&self, Json(accumulator): Self::Accumulator) -> Self::Output {
        accumulator
    }

    fn merge(&self, Json(a): Self::Accumulator, Json(b): Self::Accumulator) -> Self::Accumulator {
        Json((a.0 + b.0, a.1 + b.1))
    }
}

fn greater(a: i64, b: i64) -> Result<i64, Error> {
    Ok(a.max(b))
}

/// All states of one key.
struct States {
    value: ValueState<String>,
    list: ListState<String>,
    numbers: ListState<i16>,
    map: MapState<i32, String>,
    queue: PriorityQueueState<i64>,
    mean: AggregatingState<Mean>,
    greatest: ReducingState<i64>,
}

/// What they should hold.
#[derive(Default, Clone)]
struct Model {
    value: Option<String>,
    list: Vec<String>,
    numbers: Vec<i16>,
    map: BTreeMap<i32, String>,
    queue: BTreeSet<i64>,
    mean: Option<(i64, i64)>,
    greatest: Option<i64>,
}

/// All states of one store: those without a key, and those of three keys that look alike.
struct Random {
    states: Vec<States>,
}

fn states(ctx: &mut Context) -> Result<Vec<States>, Error> {
    let mut all = vec![States {
        value: ValueState::open(ctx, "s")?,
        list: ListState::open(ctx, "s")?,
        numbers: ListState::open(ctx, "numbers")?,
        map: MapState::open(ctx, "s")?,
        queue: PriorityQueueState::open(ctx, "s")?,
        mean: AggregatingState::open(ctx, "s", Mean)?,
        greatest: ReducingState::open(ctx, "s", greater)?,
    }];
    let values = Keyed::<ValueState<String>>::open(ctx, "s", b"v")?;
    let lists = Keyed::<ListState<String>>::open(ctx, "s", b"v")?;
    let numbers = Keyed::<ListState<i16>>::open(ctx, "numbers", b"v")?;
    let maps = Keyed::<MapState<i32, String>>::open(ctx, "s", b"v")?;
    let queues = Keyed::<PriorityQueueState<i64>>::open(ctx, "s", b"v")?;
    let means = Keyed::<AggregatingState<Mean>>::open_with(ctx, "s", b"v", Mean)?;
    let greatest = Keyed::<ReducingState<i64>>::open_with(ctx, "s", b"v", greater)?;
    // "a" and "b" are not "ab" and nothing.
    for (key, namespace) in [(&b"a"[..], &b""[..]), (b"ab", b""), (b"a", b"b")] {
        all.push(States {
            value: values.of(key, namespace),
            list: lists.of(key, namespace),
            numbers: numbers.of(key, namespace),
            map: maps.of(key, namespace),
            queue: queues.of(key, namespace),
            mean: means.of(key, namespace),
            greatest: greatest.of(key, namespace),
        });
    }
    Ok(all)
}

impl Function for Random {
    fn init(ctx: &mut Context, _: &Config) -> Result<Self, Error> {
        Ok(Random { states: states(ctx)? })
    }

    /// Carries out a step, and fails if the record's key says so.
    fn process(&mut self, _: &mut Context, record: Record<'_>) -> Result<(), Error> {
        let seed = u64::from_be_bytes(record.bytes().try_into()?);
        write(&mut Dice(seed), &self.states, &mut vec![Model::default(); 4])?;
        if record.key.is_some() { Err(Error::new("as it was told")) } else { Ok(()) }
    }
}

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

fn write(dice: &mut Dice, states: &[States], models: &mut [Model]) -> Result<(), Error> {
    let which = dice.roll(4) as usize;
    let (s, m) = (&states[which], &mut models[which]);
    let number = dice.roll(60) as i64 - 30;
    let text = ["".to_owned(), "a".to_owned(), format!("long {number}")][dice.roll(3) as usize].clone();
    match dice.roll(17) {
        0 => {
            m.value = Some(text.clone());
            s.value.set(&text)
        }
        1 | 2 => {
            m.list.push(text.clone());
            s.list.push(&text)
        }
        3 => {
            m.list.extend([text.clone(), "x".to_owned()]);
            s.list.extend([&text[..], "x"])
        }
        4 => {
            m.numbers.push(number as i16);
            s.numbers.push(&(number as i16))
        }
        5 => {
            m.numbers.extend([1, -1]);
            s.numbers.extend(&[1, -1])
        }
        6 | 7 => {
            m.map.insert(number as i32, text.clone());
            s.map.insert(&(number as i32), &text)
        }
        8 => {
            m.map.remove(&(number as i32));
            s.map.remove(&(number as i32))
        }
        9 | 10 => {
            m.queue.insert(number);
            s.queue.push(&number)
        }
        11 if m.queue.is_empty() => Ok(()),
        11 => {
            assert_eq!(s.queue.pop()?, m.queue.pop_first());
            Ok(())
        }
        12 => {
            let (sum, n) = m.mean.unwrap_or_default();
            m.mean = Some((sum + number, n + 1));
            s.mean.add(number)
        }
        13 | 14 => {
            m.greatest = m.greatest.max(Some(number));
            s.greatest.add(number)
        }
        15 => {
            let other = (which + 1) % 4;
            if let Some((sum, n)) = models[other].mean {
                let ours = models[which].mean.unwrap_or_default();
                models[which].mean = Some((ours.0 + sum, ours.1 + n));
            }
            s.mean.merge(&states[other].mean)
        }
        _ => clear(dice.roll(8), s, m),
    }
}

fn clear(which: u64, s: &States, m: &mut Model) -> Result<(), Error> {
    match which {
        0 => {
            m.value = None;
            s.value.clear()
        }
        1 => {
            m.list.clear();
            s.list.clear()
        }
        2 => {
            m.map.clear();
            s.map.clear()
        }
        3 => {
            m.queue.clear();
            s.queue.clear()
        }
        4 => {
            m.mean = None;
            s.mean.clear()
        }
        5 => {
            m.greatest = None;
            s.greatest.clear()
        }
        6 => {
            m.list = vec!["new".to_owned()];
            s.list.set(["new"])
        }
        _ => {
            m.numbers.clear();
            s.numbers.set::<i16>(&[])
        }
    }
}

fn compare(states: &[States], models: &[Model]) -> Result<(), Error> {
    for (s, m) in states.iter().zip(models) {
        assert_eq!(s.value.get()?, m.value);
        assert_eq!(s.list.get()?, m.list);
        assert_eq!(s.numbers.get()?, m.numbers);
        assert_eq!(s.map.iter().collect::<Result<Vec<_>, _>>()?, m.map.clone().into_iter().collect::<Vec<_>>());
        assert_eq!(s.map.get(&3)?, m.map.get(&3).cloned());
        assert_eq!(s.queue.peek()?, m.queue.first().copied());
        assert_eq!(s.queue.iter().collect::<Result<Vec<_>, _>>()?, m.queue.iter().copied().collect::<Vec<_>>());
        assert_eq!(s.mean.get()?, m.mean);
        assert_eq!(s.greatest.get()?, m.greatest);
    }
    Ok(())
}

#[test]
fn all_states_agree_with_a_model_over_restarts_and_failed_records() {
    let mut test = Harness::<Random>::new(&[]).unwrap();
    let (mut dice, mut models) = (Dice(7), vec![Model::default(); 4]);
    for _ in 0..3_000 {
        match dice.roll(20) {
            0 => test.restart().unwrap(),
            1 => {
                let seed = dice.roll(1 << 30).to_be_bytes();
                test.process(&[Record::new(&seed).with_key(b"fail")]).unwrap_err();
            }
            _ => {
                let steps = dice.roll(5);
                test.with(|function, _| (0..steps).try_for_each(|_| write(&mut dice, &function.states, &mut models)))
                    .unwrap();
                test.take_checkpoint(0).unwrap();
            }
        }
        test.with(|function, _| compare(&function.states, &models)).unwrap();
    }
}

#[test]
fn a_map_is_read_a_page_at_a_time_and_shows_what_is_written_ahead() {
    let mut test = Harness::<Random>::new(&[]).unwrap();
    let seen = test.with(|_, ctx| {
        let map = MapState::<u32, Vec<u8>>::open(ctx, "large")?;
        (0..3_000).try_for_each(|key: u32| map.insert(&key, &vec![7; 100]))?;
        let mut seen = Vec::new();
        for entry in map.iter() {
            let (key, _) = entry?;
            map.remove(&(key + 1))?;
            seen.push(key);
        }
        Ok(seen)
    });
    assert!(seen.unwrap().into_iter().eq((0..3_000).step_by(2)));
}

#[test]
fn bytes_that_are_no_list_are_an_error() {
    let mut test = Harness::<Random>::new(&[]).unwrap();
    for bytes in [&b"\x00"[..], b"\x00\x00\x00\x05ab", b"\xff\xff\xff\xff"] {
        let read = test.with(|function, ctx| {
            ctx.state("s")?.part(b"", b"l", b"").put(b"", bytes)?;
            function.states[0].list.get()
        });
        assert_eq!(read.unwrap_err().to_string(), "the stored bytes are no list of these elements");
    }
}

#[test]
fn a_reduction_that_fails_changes_nothing() {
    let mut test = Harness::<Random>::new(&[]).unwrap();
    let reduced = test.with(|_, ctx| {
        let short = ReducingState::<String>::open(ctx, "short", |a, b| match a.len() + b.len() {
            0..=4 => Ok(a + &b),
            _ => Err(Error::new("too long")),
        })?;
        short.add("ab".to_owned())?;
        assert_eq!(short.add("cde".to_owned()).unwrap_err().to_string(), "too long");
        short.add("f".to_owned())?;
        short.get()
    });
    assert_eq!(reduced.unwrap().as_deref(), Some("abf"));
}
