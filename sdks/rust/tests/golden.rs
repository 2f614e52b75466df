// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Values and states have the bytes that all SDKs give them: those of `tests/sdk/golden/states.json`.
#![allow(clippy::unwrap_used)]

use std::fmt::Debug;

use fnstream_sdk::states::{
    AggregateFunc, AggregatingState, Keyed, ListState, MapState, PriorityQueueState, ReducingState, ValueState,
};
use fnstream_sdk::testing::Harness;
use fnstream_sdk::{Config, Context, Error, Function, Json, Record, Value};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Golden {
    codecs: Vec<Codec>,
    states: Vec<Stored>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Codec {
    codec: String,
    value: serde_json::Value,
    bytes: String,
    /// The bytes must be understood, and need not be written.
    #[serde(default)]
    read_only: bool,
}

#[derive(Deserialize)]
struct Stored {
    state: String,
    keyed: bool,
    pairs: Vec<Pair>,
}

/// A complex key and its value, in hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Pair {
    key_group: String,
    key: String,
    namespace: String,
    user_key: String,
    value: String,
}

fn golden() -> Golden {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/sdk/golden/states.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(digits: &str) -> Vec<u8> {
    let (bytes, rest) = digits.as_bytes().as_chunks::<2>();
    assert!(rest.is_empty(), "{digits}");
    bytes.iter().map(|byte| u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 16).unwrap()).collect()
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Purchase {
    item: String,
    count: i64,
}

fn check<T: Value + Debug + PartialEq>(of: &Codec, value: T) {
    let mut encoded = Vec::new();
    value.encode(&mut encoded).unwrap();
    assert!(of.read_only || hex(&encoded) == of.bytes, "{} {} is {}", of.codec, of.value, hex(&encoded));
    assert!(T::FIXED_SIZE.is_none_or(|size| size == encoded.len()), "{} {}", of.codec, of.value);
    let stored = unhex(&of.bytes);
    let decoded = T::decode(&stored).unwrap();
    assert_eq!(decoded, value, "{}", of.codec);
    // Equal numbers may differ in their bits: 0 and -0.
    encoded.clear();
    decoded.encode(&mut encoded).unwrap();
    assert!(of.read_only || encoded == stored, "{} {}", of.codec, of.value);
}

fn parsed<T: Value + Debug + PartialEq + std::str::FromStr<Err: Debug>>(of: &Codec) {
    check::<T>(of, of.value.as_str().unwrap().parse().unwrap());
}

#[test]
fn values_have_the_bytes_of_all_sdks() {
    let golden = golden();
    assert!(golden.codecs.len() >= 40, "only {} golden encodings", golden.codecs.len());
    for of in &golden.codecs {
        match &of.codec[..] {
            "bool" => parsed::<bool>(of),
            "int8" => parsed::<i8>(of),
            "int16" => parsed::<i16>(of),
            "int32" => parsed::<i32>(of),
            "int64" => parsed::<i64>(of),
            "int" => parsed::<isize>(of),
            "uint8" => parsed::<u8>(of),
            "uint16" => parsed::<u16>(of),
            "uint32" => parsed::<u32>(of),
            "uint64" => parsed::<u64>(of),
            "uint" => parsed::<usize>(of),
            "float32" => parsed::<f32>(of),
            "float64" => parsed::<f64>(of),
            "string" => parsed::<String>(of),
            "bytes" => check(of, unhex(of.value.as_str().unwrap())),
            "json" => check(of, Json(serde_json::from_value::<Purchase>(of.value.clone()).unwrap())),
            other => panic!("the codec {other} is not known"),
        }
    }
}

struct Mean;

#[derive(Default, Serialize, Deserialize)]
struct Sum {
    sum: i64,
    n: i64,
}

impl AggregateFunc for Mean {
    type Input = i64;
    type Accumulator = Json<Sum>;
    type Output = f64;

    fn create_accumulator(&self) -> Json<Sum> {
        Json::default()
    }

    fn add(&self, value: i64, Json(Sum { sum, n }): Json<Sum>) -> Json<Sum> {
        Json(Sum { sum: sum + value, n: n + 1 })
    }

    fn result(&self, Json(Sum { sum, n }): Json<Sum>) -> f64 {
        sum as f64 / n as f64
    }

    fn merge(&self, a: Json<Sum>, b: Json<Sum>) -> Json<Sum> {
        Json(Sum { sum: a.sum + b.sum, n: a.n + b.n })
    }
}

fn greater(a: i64, b: i64) -> Result<i64, Error> {
    Ok(a.max(b))
}

const GROUP: &[u8] = b"group";
const KEY: &[u8] = b"k\x00\xff";
const NAMESPACE: &[u8] = b"n";

/// Opens a state; writes to it if that is wanted, and gives what is read, as text.
fn state(ctx: &mut Context, of: &Stored, write: bool) -> Result<String, Error> {
    macro_rules! open {
        ($state:ty $(, $function:expr)?) => {
            if of.keyed {
                open!(@keyed $state, ctx $(, $function)?).of(KEY, NAMESPACE)
            } else {
                <$state>::open(ctx, "s" $(, $function)?)?
            }
        };
        (@keyed $state:ty, $ctx:expr) => { Keyed::<$state>::open($ctx, "s", GROUP)? };
        (@keyed $state:ty, $ctx:expr, $function:expr) => { Keyed::<$state>::open_with($ctx, "s", GROUP, $function)? };
    }
    let writes = |write_all: &dyn Fn() -> Result<(), Error>| if write { write_all() } else { Ok(()) };
    match &of.state[..] {
        "value of string" => {
            let value = open!(ValueState<String>);
            writes(&|| value.set("hello"))?;
            Ok(format!("{:?}", value.get()?))
        }
        "list of int16" => {
            let list = open!(ListState<i16>);
            writes(&|| list.extend(&[1, -1, 300]))?;
            Ok(format!("{:?}", list.get()?))
        }
        "list of string" => {
            let list = open!(ListState<String>);
            writes(&|| list.extend(["ab", "", "c"]))?;
            Ok(format!("{:?}", list.get()?))
        }
        "map of int32 to string" => {
            let map = open!(MapState<i32, String>);
            writes(&|| {
                map.insert(&7, "seven")?;
                map.insert(&-1, "minus")?;
                map.insert(&0, "")
            })?;
            Ok(format!("{:?}", map.iter().collect::<Result<Vec<_>, _>>()?))
        }
        "priority queue of int64" => {
            let queue = open!(PriorityQueueState<i64>);
            writes(&|| [5, -3, 5].iter().try_for_each(|value| queue.push(value)))?;
            Ok(format!("{:?}", queue.iter().collect::<Result<Vec<_>, _>>()?))
        }
        "aggregating mean of int64" => {
            let mean = open!(AggregatingState<Mean>, Mean);
            writes(&|| [1, 2, 6].into_iter().try_for_each(|value| mean.add(value)))?;
            Ok(format!("{:?}", mean.get()?))
        }
        "reducing maximum of int64" => {
            let greatest = open!(ReducingState<i64>, greater);
            writes(&|| [3, 9, 4].into_iter().try_for_each(|value| greatest.add(value)))?;
            Ok(format!("{:?}", greatest.get()?))
        }
        other => panic!("the state {other} is not known"),
    }
}

/// What is in all places at which the states may store something.
fn stored(ctx: &mut Context, keyed: bool) -> Result<Vec<Pair>, Error> {
    let store = ctx.state("s")?;
    let mut pairs = Vec::new();
    for kind in b"vlmqar" {
        let (group, key, namespace) =
            if keyed { (GROUP, KEY, [&[*kind], NAMESPACE].concat()) } else { (&b""[..], &[*kind][..], Vec::new()) };
        for pair in store.part(group, key, &namespace).scan(b"", None) {
            let (user_key, value) = pair?;
            pairs.push(Pair {
                key_group: hex(group),
                key: hex(key),
                namespace: hex(&namespace),
                user_key: hex(&user_key),
                value: hex(&value),
            });
        }
    }
    Ok(pairs)
}

struct Nothing;

impl Function for Nothing {
    fn init(_: &mut Context, _: &Config) -> Result<Self, Error> {
        Ok(Nothing)
    }

    fn process(&mut self, _: &mut Context, _: Record<'_>) -> Result<(), Error> {
        Ok(())
    }
}

#[test]
fn states_are_stored_as_by_all_sdks() {
    let golden = golden();
    assert_eq!(golden.states.len(), 14);
    for of in &golden.states {
        let about = format!("{}, keyed: {}", of.state, of.keyed);
        let mut test = Harness::<Nothing>::new(&[]).unwrap();
        let (written, pairs) =
            test.with(|_, ctx| Ok((state(ctx, of, true)?, stored(ctx, of.keyed)?))).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(pairs, of.pairs, "{about}");
        // The pairs alone, as another SDK has written them.
        let mut test = Harness::<Nothing>::new(&[]).unwrap();
        let read = test.with(|_, ctx| {
            for pair in &of.pairs {
                let part = ctx.state("s")?.part(&unhex(&pair.key_group), &unhex(&pair.key), &unhex(&pair.namespace));
                part.put(&unhex(&pair.user_key), &unhex(&pair.value))?;
            }
            state(ctx, of, false)
        });
        assert_eq!(read.unwrap(), written, "{about}");
    }
}
