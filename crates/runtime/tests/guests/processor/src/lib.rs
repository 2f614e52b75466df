// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A per-record function that obeys commands: the value of each record is one.

wit_bindgen::generate!({ path: "../../../../../wit/core", world: "processor" });

use std::cell::RefCell;

use functionstream::core::collector::{emit, emit_watermark};
use functionstream::core::kv::{ComplexKey, Error, Store};

thread_local! {
    static CONFIG: RefCell<Vec<(String, String)>> = const { RefCell::new(Vec::new()) };
}

struct Obey;

fn key(user_key: &str) -> ComplexKey {
    let part = |text: &str| text.as_bytes().to_vec();
    ComplexKey { key_group: part("g"), key: part("k"), namespace: part("n"), user_key: part(user_key) }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn joined(keys: &[Vec<u8>]) -> String {
    keys.iter().map(|key| text(key)).collect::<Vec<_>>().join(",")
}

fn found(value: Option<Vec<u8>>) -> String {
    value.map_or("(absent)".into(), |value| format!("'{}'", text(&value)))
}

fn obey(words: &[&str]) -> Result<String, Error> {
    let store = Store::new("s");
    Ok(match *words {
        ["echo", what] => what.into(),
        ["loop"] => loop {
            std::hint::black_box(());
        },
        ["words", ref words @ ..] => {
            let counts = Store::new("words");
            let mut out = Vec::new();
            for word in words {
                let before = counts.get_state(word.as_bytes())?;
                let count = before.map_or(0, |before| u64::from_be_bytes(before.try_into().unwrap())) + 1;
                counts.put_state(word.as_bytes(), &count.to_be_bytes())?;
                out.push(format!("{word}={count}"));
            }
            out.join(",")
        }
        ["put-state", key, value] => store.put_state(key.as_bytes(), value.as_bytes()).map(|()| "ok".into())?,
        ["get-state", key] => found(store.get_state(key.as_bytes())?),
        ["delete-state", key] => store.delete_state(key.as_bytes()).map(|()| "ok".into())?,
        ["list-states", start, end] => joined(&store.list_states(start.as_bytes(), end.as_bytes())?),
        ["put", k, value] => store.put(&key(k), value.as_bytes()).map(|()| "ok".into())?,
        ["get", k] => found(store.get(&key(k))?),
        ["delete", k] => store.delete(&key(k)).map(|()| "ok".into())?,
        ["merge", k, value] => store.merge(&key(k), value.as_bytes()).map(|()| "ok".into())?,
        ["delete-prefix", k] => store.delete_prefix(&key(k)).map(|()| "ok".into())?,
        ["list", start, end] => joined(&store.list_complex(b"g", b"k", b"n", start.as_bytes(), end.as_bytes())?),
        ["scan"] => {
            let iterator = store.scan_complex(b"g", b"k", b"n")?;
            let mut out = Vec::new();
            while iterator.has_next()? {
                let (key, value) = iterator.next()?.unwrap();
                out.push(format!("{}={}", text(&key), text(&value)));
            }
            assert!(iterator.next()?.is_none());
            out.join(",")
        }
        // Keys that would be the same if their parts were just put together.
        ["split"] => {
            let other = ComplexKey {
                key_group: b"gk".to_vec(),
                key: Vec::new(),
                namespace: b"n".to_vec(),
                user_key: b"a".to_vec(),
            };
            store.put(&other, b"other")?;
            found(store.get(&key("a"))?)
        }
        ["fill", n] => {
            for i in 0..n.parse::<u32>().unwrap() {
                store.put(&key(&format!("{i:06}")), &[b'x'; 100])?;
            }
            let iterator = store.scan_complex(b"g", b"k", b"n")?;
            let mut count = 0;
            while let Some((user_key, _)) = iterator.next()? {
                assert_eq!(text(&user_key), format!("{count:06}"));
                count += 1;
            }
            count.to_string()
        }
        ["no-name"] => {
            Store::new("");
            "?".into()
        }
        ["emit", target] => {
            emit(target.parse().unwrap(), b"x");
            "?".into()
        }
        [""] => "(no bytes)".into(),
        ["trap"] => panic!("as told"),
        ["config"] => CONFIG.with_borrow(|config| format!("{config:?}")),
        _ => panic!("what is {words:?}"),
    })
}

impl Guest for Obey {
    fn fs_init(config: Vec<(String, String)>) {
        CONFIG.set(config);
    }

    fn fs_process(source_id: u32, data: Vec<u8>) {
        let command = String::from_utf8(data).unwrap();
        let words: Vec<_> = command.split(' ').collect();
        let answer = match obey(&words) {
            Ok(answer) => answer,
            Err(error) => format!("{error:?}"),
        };
        emit(source_id, answer.as_bytes());
    }

    fn fs_process_watermark(source_id: u32, watermark: u64) {
        emit_watermark(source_id, watermark + 1);
    }

    fn fs_take_checkpoint(checkpoint_id: u64) {
        emit(0, format!("checkpoint {checkpoint_id}").as_bytes());
    }

    fn fs_check_heartbeat() -> bool {
        true
    }

    fn fs_close() {
        emit(0, b"closed");
    }

    fn fs_exec(class_name: String, modules: Vec<(String, Vec<u8>)>) {
        emit(0, format!("{class_name} {modules:?}").as_bytes());
    }

    fn fs_custom(mut payload: Vec<u8>) -> Vec<u8> {
        payload.reverse();
        payload
    }
}

export!(Obey);
