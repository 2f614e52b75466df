// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What the package has of its own are copies of what the repository has.
#![allow(clippy::unwrap_used)]

#[test]
fn copies_are_what_they_were_made_of() {
    for (copy, of) in [("wit/packed.wit", "wit/packed/packed.wit"), ("LICENSE", "LICENSE")] {
        let package = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let read = |path: std::path::PathBuf| std::fs::read_to_string(path).unwrap();
        let same = read(package.join(copy)) == read(package.join("../..").join(of));
        assert!(same, "sdks/rust/{copy} differs from {of}: copy it again");
    }
}
