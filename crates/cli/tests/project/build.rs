// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

use std::fs;
use std::path::Path;

use crate::support::{command, ended, must, run};

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn is_there(folder: &Path) -> bool {
    folder.join("build").exists()
}

#[test]
fn source_becomes_an_archive_that_runs() {
    let folder = folder(&[("src/app.js", "export default (record) => record.text + '!';"), ("README.md", "x")]);
    let built = must(folder.path(), &["build", "-o", "out.zip"]);
    assert!(built.starts_with("Built out.zip: 0.") && built.ends_with("(source in JavaScript: 1 file)\n"), "{built}");
    let mut running = command(folder.path(), &["run", "out.zip"]);
    fs::write(folder.path().join("in"), "a\n").unwrap();
    let ended = ended(running.stdin(fs::File::open(folder.path().join("in")).unwrap()));
    assert_eq!((ended.code, &*ended.out), (Some(0), "a!\n"), "{ended:?}");
}

#[test]
fn source_and_its_engine_become_one_component() {
    let folder = folder(&[("src/app.js", "export default (record) => record.text + '!';"), ("src/lib/a.js", "")]);
    let built = must(folder.path(), &["build", "--component", "-o", "f.wasm"]);
    assert!(
        built.starts_with("Built f.wasm: 1.")
            && built.ends_with("(component with its source in JavaScript: 2 files)\n"),
        "{built}"
    );
    fs::write(folder.path().join("in"), "a\n").unwrap();
    let ended = |file: &str| {
        let mut command = command(folder.path(), &["run", file]);
        command.env("FUNCTION_STREAM_WASM_ENGINES_DIR", folder.path());
        ended(command.stdin(fs::File::open(folder.path().join("in")).unwrap()))
    };
    let alone = ended("f.wasm");
    assert_eq!((alone.code, &*alone.out), (Some(0), "a!\n"), "{alone:?}");
    // Source has nothing that runs it here.
    must(folder.path(), &["build", "-o", "f.zip"]);
    let lacks = ended("f.zip");
    assert!(lacks.code == Some(1) && lacks.err.contains("error FS-1111: there is no engine"), "{lacks:?}");
}

#[test]
fn what_was_built_is_no_part_of_what_is_built() {
    let folder = folder(&[("app.js", "export default () => 1;")]);
    let build = || must(folder.path(), &["build", "-o", "app.zip"]);
    let first = (build(), fs::read(folder.path().join("app.zip")).unwrap());
    assert_eq!((build(), fs::read(folder.path().join("app.zip")).unwrap()), first);
}

#[test]
fn an_artifact_replaces_a_file_and_nothing_else() {
    let folder = folder(&[("src/app.js", "export default () => 1;"), ("taken/x", ""), ("old.zip", "old")]);
    let refused = run(folder.path(), &["build", "-o", "taken"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.err.contains("error FS-1801: cannot write '") && refused.err.contains("is no ordinary file"),
        "{refused:?}"
    );
    std::os::unix::fs::symlink("old.zip", folder.path().join("link.zip")).unwrap();
    must(folder.path(), &["build", "-o", "link.zip"]);
    assert!(folder.path().join("link.zip").is_symlink());
    assert_ne!(fs::read(folder.path().join("old.zip")).unwrap(), b"old");
}

#[test]
fn a_component_needs_an_engine_to_be_made_of() {
    let folder = folder(&[("app.js", "export default () => 1;")]);
    let mut command = command(folder.path(), &["build", "--component"]);
    let lacks = ended(command.env("FUNCTION_STREAM_WASM_ENGINES_DIR", folder.path()));
    assert!(lacks.code == Some(1) && lacks.err.contains("error FS-1111: there is no engine"), "{lacks:?}");
    assert!(!is_there(folder.path()));
}

#[test]
fn what_cannot_work_is_told_and_nothing_is_built() {
    for (text, told) in [
        ("export default (record => 1;", "app.js:1"),
        ("import fs from 'node:fs';\nexport default () => fs;", "node:fs"),
        ("export const x = 1;", "function"),
    ] {
        let folder = folder(&[("app.js", text)]);
        for arguments in [&["build"][..], &["build", "--component"]] {
            let ended = run(folder.path(), arguments);
            assert_eq!(ended.code, Some(1), "{text}");
            assert!(ended.err.starts_with("error FS-1206: ") && ended.err.contains(told), "{text}: {}", ended.err);
            assert!(!is_there(folder.path()), "{text}");
        }
    }
}

#[test]
fn a_folder_without_a_function_is_refused() {
    let folder = folder(&[("notes.txt", "x")]);
    let ended = run(folder.path(), &["build"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("error FS-1801: '.' has neither a go.mod"), "{}", ended.err);
    let nowhere = run(folder.path(), &["build", "none"]);
    assert!(nowhere.err.contains("error FS-1801: the folder 'none' cannot be read"), "{}", nowhere.err);
}

#[test]
fn options_of_go_are_for_go() {
    let folder = folder(&[("app.js", "export default () => 1;")]);
    for option in ["--tinygo", "--per-record"] {
        let ended = run(folder.path(), &["build", option]);
        assert_eq!((ended.code, &*ended.err), (Some(2), &*format!("error: {option} is for programs in Go\n")));
    }
}

#[test]
fn what_is_compiled_is_a_component_without_being_asked() {
    for file in ["go.mod", "Cargo.toml"] {
        let ended = run(folder(&[(file, "")]).path(), &["build", "--component"]);
        let told = "error: --component is for programs in Python and JavaScript: what others become is one already\n";
        assert_eq!((ended.code, &*ended.err), (Some(2), told));
    }
}

#[test]
fn a_toolchain_that_is_missing_is_named() {
    let folder = folder(&[("Cargo.toml", "[package]\nname = \"x\"\n"), ("src/lib.rs", "")]);
    let ended = ended(command(folder.path(), &["build"]).env("CARGO", "/nowhere/cargo"));
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("error FS-1802: '/nowhere/cargo' cannot be run"), "{}", ended.err);
    assert!(ended.err.contains("https://rustup.rs"), "{}", ended.err);
}

#[test]
fn the_words_of_cargo_are_shown_as_they_are() {
    let folder = folder(&[
        (
            "Cargo.toml",
            "[package]\nname = \"x\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n[lib]\ncrate-type = [\"cdylib\"]\n",
        ),
        ("src/lib.rs", "pub fn f() -> u32 { \"text\" }\n"),
    ]);
    // A folder of its own: nobody else's build is waited for.
    let target = folder.path().join("target");
    let ended = ended(command(folder.path(), &["build"]).env("CARGO_TARGET_DIR", target));
    if ended.err.contains("FS-1802") {
        eprintln!("skipped: {}", ended.err);
        return;
    }
    assert!(ended.err.contains("error FS-1803: cargo build failed:"), "{}", ended.err);
    assert!(ended.err.contains("src/lib.rs:1:21") && ended.err.contains("mismatched types"), "{}", ended.err);
    assert!(!is_there(folder.path()));
}
