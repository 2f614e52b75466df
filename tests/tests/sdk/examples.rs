// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The examples in Go do what they say, as components on the real host.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::artifacts;
use crate::task::Task;

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
fn word_count_counts_words() -> Result<()> {
    assert_eq!(emitted("examples/word-count/go", &["a b a", "b"])?, ["1", "1", "2", "2"]);
    Ok(())
}

#[test]
fn keyed_count_counts_records_of_a_key() -> Result<()> {
    assert_eq!(emitted("examples/keyed-count/go", &["x", "y"])?, ["\u{1}\0\0\0\0\0\0\0", "\u{2}\0\0\0\0\0\0\0"]);
    Ok(())
}

#[test]
fn pass_through_passes_through() -> Result<()> {
    assert_eq!(emitted("examples/pass-through/go", &["x", ""])?, ["x", ""]);
    Ok(())
}

#[test]
fn money_adds_one() -> Result<()> {
    let wanted = r#"{"name":"rbt","money":3,"expected":0}"#;
    assert_eq!(emitted("examples/money/go", &[r#"{"name":"rbt","money":2}"#])?, [wanted]);
    Ok(())
}

#[test]
fn window_emits_each_window_once() -> Result<()> {
    let mut task = Task::start(&artifacts::go("examples/window/go", false), &BTreeMap::new(), 1)?;
    let wanted = r#"{"key":"","window":0,"count":2}"#;
    // All records have the time 0.
    assert!(task.send(0, &["x".to_owned()])?.is_empty());
    task.checkpoint()?;
    task.restart()?;
    assert!(task.send(0, &["y".to_owned()])?.is_empty());
    assert!(task.watermark(9_999)?.is_none());
    assert!(texts(&task).is_empty());
    assert!(task.watermark(10_000)?.is_none());
    task.restart()?;
    assert_eq!(texts(&task), [wanted]);
    task.checkpoint()?;
    task.restart()?;
    assert!(task.send(0, &["late".to_owned()])?.is_empty());
    assert!(task.watermark(30_000)?.is_none());
    assert_eq!(texts(&task), [wanted]);
    assert_eq!(task.instance.custom(b"dropped")?, b"1");
    Ok(())
}
