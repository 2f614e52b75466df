// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A function's past, in words.

use fnstream_api::{Emitted, RevisionDescription, RollbackRequest};
use fnstream_core::metadata::Revision;
use fnstream_core::spec::FunctionSpec;

use super::Since;

/// What cannot be undone, in words.
pub(super) fn notes(since: Option<&Since>, history: &[Revision], request: RollbackRequest) -> Vec<String> {
    let mut notes = Vec::new();
    let mut topics: Vec<_> = history[1..].iter().filter_map(|revision| revision.spec.dead_letter_topic()).collect();
    topics.sort();
    topics.dedup();
    match since {
        None => notes.push(format!("what was emitted since revision {} was replaced stays", request.to)),
        Some(since) => {
            for Emitted { topic, records } in since.emitted.iter().filter(|emitted| emitted.records > 0) {
                let dead_letters = if topics.is_empty() { "" } else { ", dead letters counted in" };
                let emitted = were(*records, "record");
                notes.push(format!("{emitted} emitted to {topic} since then{dead_letters}: they stay"));
            }
            let processed = were(since.consumed, "input record");
            match (request.with_state, request.reprocess) {
                _ if since.consumed == 0 => {}
                (false, _) => {
                    notes.push(format!("{processed} processed since then: what they left in the state stays"))
                }
                (true, false) => notes.push(format!(
                    "{processed} processed since then: that is not in the state any more and is not done again"
                )),
                (true, true) => notes
                    .push(format!("{processed} processed since then: that is done again, and the outputs come again")),
            }
            if request.with_state && since.dead_letters > 0 {
                notes.push(format!(
                    "of these, up to {} were dead letters that were replayed: they are not in the state any more and do not come again",
                    since.dead_letters
                ));
            }
        }
    }
    notes.extend(topics.iter().map(|topic| format!("dead letters that were written to {topic} since then stay there")));
    notes
}

fn were(number: u64, what: &str) -> String {
    if number == 1 { format!("1 {what} was") } else { format!("{number} {what}s were") }
}

/// A history as it is told: the newest first.
pub(super) fn told(history: &[Revision]) -> Vec<RevisionDescription> {
    let tell = |(at, revision): (usize, &Revision)| RevisionDescription {
        revision: revision.revision,
        created_ms: revision.created_ms,
        archive: format!("sha256:{}", revision.spec.artifact),
        changed: at.checked_sub(1).map(|before| changed(&history[before].spec, &revision.spec)).unwrap_or_default(),
        state: revision.state.is_some(),
        current: at + 1 == history.len(),
    };
    history.iter().enumerate().map(tell).rev().collect()
}

/// The fields in which two descriptions differ, named as their user names them.
fn changed(before: &FunctionSpec, after: &FunctionSpec) -> Vec<String> {
    let fields = [
        ("archive", before.artifact != after.artifact),
        ("inputs", before.inputs != after.inputs),
        ("selector", before.selector != after.selector),
        ("watermarks", before.watermarks != after.watermarks),
        ("output", before.outputs != after.outputs),
        ("replicas", before.replicas != after.replicas),
        ("no-join", before.no_join != after.no_join),
        ("config", before.config != after.config),
        ("limits", before.limits != after.limits),
        ("on-error", before.on_error != after.on_error),
        ("env", before.env != after.env),
        ("files", before.files != after.files),
    ];
    fields.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name.to_owned()).collect()
}
