// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The examples do what they say on the real host: those that the pages of the SDKs show do the same in all four languages.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use fnstream_core::runtime::Program;
use fnstream_tests::binary;
use serde_json::json;

use crate::artifacts;
use crate::record::Sample;
use crate::task::Task;

/// An example in each language.
fn all(example: &str, rust: &str) -> Result<[(&'static str, Arc<dyn Program>); 4]> {
    let of = |language: &str, file: &str| artifacts::script(language, &format!("examples/{example}/{language}/{file}"));
    Ok([
        ("Go", artifacts::go(&format!("examples/{example}/go"), false)),
        ("Rust", artifacts::load(&std::fs::read(binary::example(rust)?)?)),
        ("Python", of("python", "app.py")),
        ("JavaScript", of("javascript", "app.js")),
    ])
}

fn sample(value: serde_json::Value) -> Sample {
    serde_json::from_value(value).unwrap()
}

/// The keys and values of all that was emitted.
fn pairs(task: &Task) -> Vec<(String, String)> {
    let outside = task.outside.lock();
    let key = |key: &Option<Vec<u8>>| String::from_utf8(key.clone().unwrap_or_default()).unwrap();
    outside.emitted.iter().map(|emitted| (key(&emitted.key), emitted.text())).collect()
}

/// Runs an example in each language on these records, each an epoch of its own whose instance dies.
fn does(example: &str, rust: &str, records: &[(u32, serde_json::Value)], wanted: &[(&str, &str)]) -> Result<()> {
    for (language, program) in all(example, rust)? {
        let mut task = Task::start(&program, &BTreeMap::new(), 1)?;
        for (source, record) in records {
            let failed = task.send(*source, &[sample(record.clone())])?;
            ensure!(failed.is_empty(), "{example} in {language}: {failed:?}");
            task.checkpoint()?;
            task.restart()?;
        }
        let got = pairs(&task);
        let got: Vec<_> = got.iter().map(|(key, value)| (&key[..], &value[..])).collect();
        ensure!(got == wanted, "{example} in {language} emits {got:?}, not {wanted:?}");
    }
    Ok(())
}

#[test]
fn money_is_the_same_in_all_languages() -> Result<()> {
    let records = [(0, json!(r#"{"name":"rbt","money":2}"#)), (0, json!(r#"{"name":"é","money":-1,"expected":7}"#))];
    let wanted = [r#"{"name":"rbt","money":3,"expected":0}"#, r#"{"name":"é","money":0,"expected":7}"#];
    does("money", "basic_rust", &records, &wanted.map(|value| ("", value)))
}

#[test]
fn word_count_is_the_same_in_all_languages() -> Result<()> {
    let records = [(0, json!("a b a")), (0, json!("")), (0, json!(" b\n\tc "))];
    does("word-count", "word_count_rust", &records, &[("a", "1"), ("b", "1"), ("a", "2"), ("b", "2"), ("c", "1")])
}

#[test]
fn join_is_the_same_in_all_languages() -> Result<()> {
    let records = [
        (1, json!({"key": "7", "value": r#"{"item":"pen","price":3}"#})),
        (1, json!({"key": "8", "value": r#"{"item":"cup","price":9}"#})),
        (0, json!({"key": "7", "value": r#"{"name":"Ann"}"#})),
        (1, json!({"key": "7", "value": r#"{"item":"ink","price":5}"#})),
        (0, json!({"key": "7", "value": r#"{"name":"Bob"}"#})),
        (1, json!({"key": "7", "value": r#"{"item":"ink","price":6}"#})),
    ];
    let wanted = [
        r#"{"customer":"Ann","item":"pen","price":3}"#,
        r#"{"customer":"Ann","item":"ink","price":5}"#,
        r#"{"customer":"Bob","item":"ink","price":6}"#,
    ];
    does("join", "join_rust", &records, &wanted.map(|value| ("7", value)))
}

#[test]
fn window_is_the_same_in_all_languages() -> Result<()> {
    let at = |key: &str, time: i64| sample(json!({"key": key, "value": "", "time": time}));
    for (language, program) in all("window", "window_rust")? {
        let config = BTreeMap::from([("window".to_owned(), "5s".to_owned())]);
        let mut task = Task::start(&program, &config, 1)?;
        let mut due = |records: &[Sample], watermark: u64| {
            let failed = task.send(0, records)?;
            let late = task.watermark(watermark)?;
            ensure!(failed.is_empty() && late.is_none(), "window in {language}: {failed:?}, {late:?}");
            task.checkpoint()?;
            task.restart()?;
            Ok(())
        };
        due(&[at("a", 4_999), at("b", 0), at("a", 5_000), at("a", -1), at("a", 1)], 4_999)?;
        due(&[at("a", 3), at("a", -4)], 5_000)?;
        due(&[at("a", 4_000), at("b", 12_000)], 100_000)?;
        let got = pairs(&task);
        let wanted = [("a", -5_000, 1), ("a", 0, 3), ("b", 0, 1), ("a", 5_000, 1), ("b", 10_000, 1)];
        let wanted = wanted.map(|(key, window, count)| {
            (key.to_owned(), format!(r#"{{"key":"{key}","window":{window},"count":{count}}}"#))
        });
        ensure!(got == wanted, "window in {language} emits {got:?}");
        let dropped = task.instance.custom(b"dropped").context("the function cannot be asked")?;
        ensure!(dropped == b"2", "window in {language} has dropped {dropped:?}");
        let marks: Vec<_> = task.outside.lock().watermarks.iter().map(|(_, mark)| *mark).collect();
        ensure!(marks == [4_999, 5_000, 100_000], "window in {language} tells {marks:?}");
    }
    Ok(())
}

/// What an example emits for these values, with an instance that dies in between.
fn emitted(folder: &str, values: &[&str]) -> Result<Vec<String>> {
    let mut task = Task::start(&artifacts::go(folder, false), &BTreeMap::new(), 1)?;
    for value in values {
        assert!(task.send(0, &[(*value).to_owned()])?.is_empty());
        task.checkpoint()?;
        task.restart()?;
    }
    Ok(texts(&task))
}

/// The values that were emitted, none of them null.
fn texts(task: &Task) -> Vec<String> {
    task.outside.lock().values().into_iter().map(Option::unwrap).collect()
}

#[test]
fn go_processor_counts_lines() -> Result<()> {
    let wanted = [r#"{"line":"a","count":1,"total":1}"#, r#"{"line":"a","count":2,"total":2}"#];
    assert_eq!(emitted("examples/go-processor", &["a", "", " a"])?, wanted);
    Ok(())
}

#[test]
fn keyed_count_is_the_same_in_all_languages() -> Result<()> {
    let of = |key: &str| (0, json!({"key": key, "value": "x"}));
    let wanted = [("a", "\u{1}\0\0\0\0\0\0\0"), ("b", "\u{1}\0\0\0\0\0\0\0"), ("a", "\u{2}\0\0\0\0\0\0\0")];
    does("keyed-count", "keyed_count_rust", &[of("a"), of("b"), of("a")], &wanted)
}

#[test]
fn pass_through_passes_through() -> Result<()> {
    assert_eq!(emitted("examples/pass-through/go", &["x", ""])?, ["x", ""]);
    Ok(())
}
