// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Programs in folders, built by the real toolchain, and what goes wrong with it.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

use fnstream_build::{Built, Kind, Options, build};
use fnstream_core::{Error, ErrorCode};
use tempfile::TempDir;

const WITH_SDK: &str = r#"package main

import fssdk "github.com/functionstream/function-stream/go-sdk"

func init() { fssdk.Run(&fssdk.BaseDriver{}) }

func main() {}
"#;

fn sdk() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../go-sdk").canonicalize().unwrap()
}

/// A folder with a module of that program.
fn module(program: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let name = "github.com/functionstream/function-stream/go-sdk";
    let go_mod = format!("module m\n\ngo 1.24\n\nrequire {name} v0.0.0\n\nreplace {name} => {}\n", sdk().display());
    std::fs::write(dir.path().join("go.mod"), go_mod).unwrap();
    std::fs::write(dir.path().join("main.go"), program).unwrap();
    dir
}

fn built(dir: &Path) -> Result<Built, Error> {
    build(&Options {
        dir: dir.to_owned(),
        out: Some(dir.join("out.wasm")),
        tinygo: false,
        per_record: false,
        toolchain: None,
    })
}

fn refused(dir: &Path, code: ErrorCode) -> String {
    let error = built(dir).unwrap_err();
    assert_eq!(error.code, code, "{error}");
    assert!(!dir.join("out.wasm").exists());
    error.message
}

#[test]
fn a_program_with_the_sdk_is_a_component_of_both_worlds() {
    let dir = module(WITH_SDK);
    let built = built(dir.path()).unwrap();
    assert_eq!(built.artifact.kinds, [Kind::Packed, Kind::Processor]);
    for import in ["functionstream:packed/output@0.1.0", "wasi:cli/stderr@0.2.12"] {
        assert!(built.artifact.imports.iter().any(|name| name == import), "{:?}", built.artifact.imports);
    }
    assert_eq!(std::fs::read(built.path).unwrap(), built.artifact.bytes);
}

#[test]
fn a_program_that_sets_timers_imports_them() {
    let dir = module(
        r#"package main

import fssdk "github.com/functionstream/function-stream/go-sdk"

func init() { fssdk.Run(&timed{}) }

func main() {}

type timed struct{ fssdk.BaseDriver }

func (*timed) Process(ctx fssdk.Context, _ uint32, key []byte) error {
	return ctx.(fssdk.TimerContext).SetTimer(fssdk.EventTime, key, 1)
}

func (*timed) OnTimer(fssdk.Context, fssdk.Timer) error { return nil }
"#,
    );
    let built = built(dir.path()).unwrap();
    assert_eq!(built.artifact.kinds, [Kind::Packed, Kind::Processor]);
    let timers = "functionstream:packed/timers@0.1.0";
    assert!(built.artifact.imports.iter().any(|name| name == timers), "{:?}", built.artifact.imports);
    assert!(has(&built.artifact.bytes, HANDLER));
}

const HANDLER: &str = "functionstream:packed/timer-handler@0.1.0";

/// Whether a name is in an artifact.
fn has(bytes: &[u8], name: &str) -> bool {
    bytes.windows(name.len()).any(|part| part == name.as_bytes())
}

/// The SDK as it was before it had timers, as far as a component shows it.
#[test]
fn a_program_with_an_older_sdk_has_no_timers() {
    let dir = module(WITH_SDK);
    let old = dir.path().join("sdk");
    assert!(Command::new("cp").arg("-r").arg(sdk()).arg(&old).status().unwrap().success());
    let change = |file: &str, what: &str, with: &str| {
        let path = old.join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(what), "{file}");
        std::fs::write(path, text.replace(what, with)).unwrap();
    };
    change("impl/export_packed.go", &format!("//go:wasmexport {HANDLER}#on-timers\n"), "");
    change("../go.mod", &sdk().display().to_string(), "./sdk");
    let built = built(dir.path()).unwrap();
    assert_eq!(built.artifact.kinds, [Kind::Packed, Kind::Processor]);
    assert!(!built.artifact.imports.iter().any(|name| name.contains("timers")), "{:?}", built.artifact.imports);
    assert!(!has(&built.artifact.bytes, HANDLER));
}

#[test]
fn a_program_for_other_hosts_has_nothing_of_the_packed_world() {
    let dir = module(WITH_SDK);
    let out = Some(dir.path().join("out.wasm"));
    let built =
        build(&Options { dir: dir.path().to_owned(), out, tinygo: false, per_record: true, toolchain: None }).unwrap();
    assert_eq!(built.artifact.kinds, [Kind::Processor]);
    assert!(!built.artifact.imports.iter().any(|name| name.contains("packed")), "{:?}", built.artifact.imports);
}

#[test]
fn the_artifact_goes_to_the_folder_build_by_default() {
    let dir = module(WITH_SDK);
    let folder = dir.path().join("counter");
    std::fs::create_dir(&folder).unwrap();
    for file in ["go.mod", "main.go"] {
        std::fs::rename(dir.path().join(file), folder.join(file)).unwrap();
    }
    let built =
        build(&Options { dir: folder.clone(), out: None, tinygo: false, per_record: false, toolchain: None }).unwrap();
    assert_eq!(built.path, folder.canonicalize().unwrap().join("build/counter.wasm"));
}

#[test]
fn a_module_that_exports_process_is_taken_as_it_is() {
    let dir = module("package main\n\n//go:wasmexport process\nfunc process() {}\n\nfunc main() {}\n");
    let go_mod = dir.path().join("go.mod");
    std::fs::write(go_mod, "module m\n\ngo 1.24\n").unwrap();
    assert_eq!(built(dir.path()).unwrap().artifact.kinds, [Kind::Stdio]);
}

#[test]
fn a_program_without_the_sdk_is_refused() {
    let dir = module("package main\n\nfunc main() {}\n");
    let message = refused(dir.path(), ErrorCode::ArtifactUnsupported);
    assert!(message.contains("import the SDK and call fssdk.Run"), "{message}");
}

#[test]
fn a_program_may_be_deep_in_its_module() {
    let dir = module("package m\n");
    let folder = dir.path().join("cmd/counter");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("main.go"), WITH_SDK).unwrap();
    assert_eq!(built(&folder).unwrap().artifact.kinds, [Kind::Packed, Kind::Processor]);
}

#[test]
fn a_folder_without_a_module_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    assert!(
        refused(dir.path(), ErrorCode::BuildFolder)
            .contains("has no Cargo.toml, and neither it nor a folder above it has a go.mod")
    );
    assert!(refused(&dir.path().join("none"), ErrorCode::BuildFolder).contains("cannot be read"));
}

#[test]
fn the_compilers_words_are_shown_as_they_are() {
    let dir = module("package main\n\nfunc main() { nothing() }\n");
    let message = refused(dir.path(), ErrorCode::BuildFailed);
    assert_eq!(message, "go build failed:\n# m\n./main.go:3:15: undefined: nothing");
}

#[test]
fn a_failed_build_leaves_the_last_artifact() {
    let dir = module("package main\n\nfunc main() { nothing() }\n");
    std::fs::write(dir.path().join("out.wasm"), "the last one").unwrap();
    built(dir.path()).unwrap_err();
    assert_eq!(std::fs::read(dir.path().join("out.wasm")).unwrap(), b"the last one");
}
