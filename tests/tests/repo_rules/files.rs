// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Files stay short enough to be read in one go.

use super::{assert_none, root, tracked_files};

/// The typical file has 100 to 300 lines; beyond this it is several files.
const MAX_LINES: usize = 800;

/// What is written by hand and read by people.
const WRITTEN: &[&str] = &["rs", "go", "py", "sh", "wit", "js", "ts", "md"];

#[test]
fn no_file_is_too_long() {
    let files: Vec<_> = tracked_files().into_iter().filter(|path| is_written_by_hand(path)).collect();
    assert!(files.len() > 30, "only {} files: is this the whole repository?", files.len());
    let problems: Vec<_> = files
        .iter()
        .filter_map(|path| {
            let lines = std::fs::read_to_string(root().join(path)).ok()?.lines().count();
            (lines > MAX_LINES).then(|| format!("{path} has {lines} lines, more than {MAX_LINES}"))
        })
        .collect();
    assert_none("files that are too long", &problems);
}

#[test]
fn generated_and_foreign_files_are_not_meant() {
    assert!(is_written_by_hand("crates/core/src/lib.rs"));
    assert!(!is_written_by_hand("sdks/go/bindings/x.go"));
    assert!(!is_written_by_hand("wit/core/deps/io.wit"));
    assert!(!is_written_by_hand("Cargo.lock"));
}

fn is_written_by_hand(path: &str) -> bool {
    let not_ours = path.split('/').any(|part| matches!(part, "bindings" | "generated" | "deps"));
    !not_ours && path.rsplit_once('.').is_some_and(|(_, extension)| WRITTEN.contains(&extension))
}
