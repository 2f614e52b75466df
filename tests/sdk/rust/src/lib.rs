// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The conformance program for the plain world `processor`, by `wit-bindgen` alone: what `tests/sdk/README.md` says, without
//! any SDK of this repository.

wit_bindgen::generate!({ path: "../../../wit/core", world: "processor" });

use std::cell::{Cell, RefCell};

use functionstream::core::collector;
use functionstream::core::kv::{ComplexKey, Error, Store};

#[derive(Default)]
struct Function {
    store: RefCell<Option<Store>>,
    records: Cell<u64>,
    sick: Cell<bool>,
}

thread_local! {
    static FUNCTION: Function = Function::default();
}

fn emit(text: &str) {
    collector::emit(0, text.as_bytes());
}

fn complex(part: &str, key: &str) -> ComplexKey {
    let bytes = |text: &str| text.as_bytes().to_vec();
    ComplexKey { key_group: bytes("g"), key: bytes(part), namespace: bytes("n"), user_key: bytes(key) }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn told(key: &str, value: Option<Vec<u8>>) {
    match value {
        Some(value) => emit(&format!("{key}={}", text(&value))),
        None => emit(&format!("{key} absent")),
    }
}

fn listed(keys: &[Vec<u8>]) {
    emit(&keys.iter().fold("keys".to_owned(), |told, key| told + " " + &text(key)));
}

/// Writes something at a key of a walk.
fn edit(store: &Store, part: &str, what: &str, key: &str) -> Result<(), Error> {
    let later = |by: usize| format!("{:05}", key[..5].parse::<usize>().expect("a number") + by);
    match what {
        "delete-ahead" => store.delete(&complex(part, &later(1))),
        "delete-here" => store.delete(&complex(part, key)),
        "put-ahead" if key.ends_with('0') => store.put(&complex(part, &format!("{key}+")), b"y"),
        "merge-ahead" if key.ends_with('+') => store.merge(&complex(part, &later(2)), b"z"),
        "prefix-ahead" if key.ends_with("000") => store.delete_prefix(&complex(part, &format!("{}5", &key[..2]))),
        "put-behind" => store.put(&complex(part, &format!("!{key}")), b"b"),
        _ => Ok(()),
    }
}

type Pair = (Vec<u8>, Vec<u8>);

/// The pairs of a part.
fn scan(store: &Store, part: &str) -> Result<Vec<Pair>, Error> {
    let pairs = store.scan_complex(b"g", part.as_bytes(), b"n")?;
    let mut found = Vec::new();
    loop {
        let more = pairs.has_next()?;
        match pairs.next()? {
            Some(pair) => found.push(pair),
            None if more => panic!("has-next promised a pair"),
            None => return Ok(found),
        }
    }
}

fn run(store: &Store, source: u32, line: &str) -> Result<(), Error> {
    let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
    let words = |n: usize| {
        let mut words: Vec<&str> = rest.splitn(n, ' ').collect();
        words.resize(n, "");
        words
    };
    let number = |text: &str| text.parse::<usize>().expect("a number");
    match name {
        "" => emit("empty"),
        "emit" => {
            let w = words(2);
            collector::emit(number(w[0]) as u32, w[1].as_bytes());
        }
        "watermark" => {
            let w = words(2);
            collector::emit_watermark(number(w[0]) as u32, w[1].parse().expect("a watermark"));
        }
        "put" => return store.put_state(words(2)[0].as_bytes(), words(2)[1].as_bytes()),
        "delete" => return store.delete_state(rest.as_bytes()),
        "get" => told(rest, store.get_state(rest.as_bytes())?),
        "list" => listed(&store.list_states(words(2)[0].as_bytes(), words(2)[1].as_bytes())?),
        "large" => return store.put_state(words(2)[0].as_bytes(), &vec![b'x'; number(words(2)[1])]),
        "size" => {
            let value = store.get_state(rest.as_bytes())?;
            emit(&format!("size {}", value.map_or(0, |value| value.len())));
        }
        "other" => {
            let w = words(3);
            return Store::new(w[0]).put_state(w[1].as_bytes(), w[2].as_bytes());
        }
        "cput" => return store.put(&complex(words(3)[0], words(3)[1]), words(3)[2].as_bytes()),
        "merge" => return store.merge(&complex(words(3)[0], words(3)[1]), words(3)[2].as_bytes()),
        "cdelete" => return store.delete(&complex(words(2)[0], words(2)[1])),
        "cget" => told(words(2)[1], store.get(&complex(words(2)[0], words(2)[1]))?),
        "cprefix" => return store.delete_prefix(&complex(words(2)[0], words(2)[1])),
        "clist" => {
            let w = words(3);
            listed(&store.list_complex(b"g", w[0].as_bytes(), b"n", w[1].as_bytes(), w[2].as_bytes())?);
        }
        "list-from" => listed(&store.list_states(rest.as_bytes(), &[0xff; 64])?),
        "clist-from" => {
            let w = words(2);
            listed(&store.list_complex(b"g", w[0].as_bytes(), b"n", w[1].as_bytes(), &[0xff; 64])?);
        }
        "walk" => {
            let (part, what) = (words(2)[0], words(2)[1]);
            let pairs = store.scan_complex(b"g", part.as_bytes(), b"n")?;
            let (mut seen, mut bytes) = (0, 0);
            while let Some((key, value)) = pairs.next()? {
                seen += 1;
                bytes += value.len();
                edit(store, part, what, &text(&key))?;
                // Asking whether there is more decides nothing yet.
                pairs.has_next()?;
            }
            emit(&format!("walked {seen} {bytes}"));
        }
        "scan" => {
            let pairs = scan(store, rest)?;
            emit(&pairs.iter().fold("pairs".to_owned(), |told, (k, v)| told + &format!(" {}={}", text(k), text(v))));
        }
        "fill" => {
            let w = words(3);
            let value = vec![b'x'; number(w[2])];
            return (0..number(w[1])).try_for_each(|i| store.put(&complex(w[0], &format!("{i:05}")), &value));
        }
        "count" => {
            let pairs = scan(store, rest)?;
            emit(&format!("count {} {}", pairs.len(), pairs.iter().map(|(_, value)| value.len()).sum::<usize>()));
        }
        "source" => emit(&format!("source {source}")),
        "field" => emit(&format!("field {}", FUNCTION.with(|function| function.records.get()))),
        "garbage" => drop(vec![0_u8; number(rest)]),
        "sick" => FUNCTION.with(|function| function.sick.set(true)),
        "die" => std::process::abort(),
        "fail" | "panic" => panic!("{rest}"),
        _ => panic!("the command '{name}' is not known"),
    }
    Ok(())
}

fn with_store<R>(call: impl FnOnce(&Store) -> Result<R, Error>) -> R {
    FUNCTION.with(|function| {
        let store = function.store.borrow();
        call(store.as_ref().expect("init comes first")).expect("the store takes the call")
    })
}

struct Conformance;

impl Guest for Conformance {
    fn fs_init(config: Vec<(String, String)>) {
        if let Some((_, text)) = config.iter().find(|(name, _)| name == "fail") {
            panic!("{text}");
        }
        FUNCTION.with(|function| *function.store.borrow_mut() = Some(Store::new("s")));
    }

    fn fs_process(source_id: u32, data: Vec<u8>) {
        FUNCTION.with(|function| function.records.set(function.records.get() + 1));
        let commands = text(&data);
        with_store(|store| commands.split('\n').try_for_each(|line| run(store, source_id, line)));
    }

    fn fs_process_watermark(_: u32, watermark: u64) {
        collector::emit_watermark(0, watermark);
    }

    fn fs_take_checkpoint(checkpoint_id: u64) {
        with_store(|store| store.put_state(b"checkpoint", checkpoint_id.to_string().as_bytes()));
    }

    fn fs_check_heartbeat() -> bool {
        FUNCTION.with(|function| !function.sick.get())
    }

    fn fs_close() {}

    fn fs_exec(class_name: String, modules: Vec<(String, Vec<u8>)>) {
        let told = modules.iter().fold(class_name, |told, (name, bytes)| told + &format!(" {name}={}", text(bytes)));
        with_store(|store| store.put_state(b"exec", told.as_bytes()));
    }

    fn fs_custom(payload: Vec<u8>) -> Vec<u8> {
        assert!(payload != b"fail" && payload != b"die", "refused");
        [b"custom ", &payload[..]].concat()
    }
}

export!(Conformance);
