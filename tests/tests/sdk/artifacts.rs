// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Programs, built and compiled once for all tests.

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, OnceLock};

use fnstream_build::{Options, build};
use fnstream_core::runtime::{Program, Runtime};
use fnstream_runtime::source::pack;
use fnstream_runtime::{Engines, RuntimeOptions, WasmRuntime};
use fnstream_tests::binary::{self, root};

/// The conformance program in Go, in the packed world.
pub(crate) fn go_packed() -> &'static Arc<dyn Program> {
    static PROGRAM: OnceLock<Arc<dyn Program>> = OnceLock::new();
    PROGRAM.get_or_init(|| go("tests/sdk/go", false))
}

/// The conformance program in Go, in the per-record world.
pub(crate) fn go_per_record() -> &'static Arc<dyn Program> {
    static PROGRAM: OnceLock<Arc<dyn Program>> = OnceLock::new();
    PROGRAM.get_or_init(|| go("tests/sdk/go", true))
}

/// All states of the advanced library, beside a model of them.
pub(crate) fn go_model() -> &'static Arc<dyn Program> {
    static PROGRAM: OnceLock<Arc<dyn Program>> = OnceLock::new();
    PROGRAM.get_or_init(|| go("go-sdk-advanced/internal/model/program", false))
}

/// The conformance program of another toolchain, for the per-record world.
pub(crate) fn rust_per_record() -> Arc<dyn Program> {
    rust("tests/sdk/rust", "conformance")
}

/// The conformance program by the Rust SDK.
pub(crate) fn rust_packed() -> Arc<dyn Program> {
    rust("tests/sdk/rust-sdk", "conformance_sdk")
}

/// The conformance program in Python, on its engine.
pub(crate) fn python() -> Arc<dyn Program> {
    script("python", "tests/sdk/python/app.py")
}

/// The conformance program in JavaScript, on its engine.
pub(crate) fn javascript() -> Arc<dyn Program> {
    script("javascript", "tests/sdk/javascript/app.js")
}

/// A program that is given as source, in a file of the repository.
pub(crate) fn script(language: &str, path: &str) -> Arc<dyn Program> {
    let source = std::fs::read(root().join(path)).unwrap();
    let file = path.rsplit('/').next().unwrap();
    let artifact = pack(vec![(file.to_owned(), source)], None).unwrap();
    let engines = Engines::default().with_folder(Some(binary::engines(language).unwrap()));
    // Compiling the interpreter takes longer than all the rest.
    let code = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{language}-code"));
    let runtime = WasmRuntime::new(Some(code), RuntimeOptions { engines, ..RuntimeOptions::default() }).unwrap();
    runtime.load(&artifact).unwrap()
}

fn rust(folder: &str, name: &str) -> Arc<dyn Program> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("conformance");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--release", "--locked", "--quiet", "--target", "wasm32-wasip2"]);
    for host_setting in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"] {
        cargo.env_remove(host_setting);
    }
    let built = cargo.current_dir(root().join(folder)).env("CARGO_TARGET_DIR", &target).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    load(&std::fs::read(target.join("wasm32-wasip2/release").join(format!("{name}.wasm"))).unwrap())
}

/// A Go program of the repository.
pub(crate) fn go(folder: &str, per_record: bool) -> Arc<dyn Program> {
    let scratch = tempfile::tempdir().unwrap();
    let out = Some(scratch.path().join("program.wasm"));
    let built = build(&Options { dir: root().join(folder), out, tinygo: false, per_record, toolchain: None }).unwrap();
    load(&built.artifact.bytes)
}

/// A program of a component's bytes.
pub(crate) fn load(component: &[u8]) -> Arc<dyn Program> {
    static RUNTIME: OnceLock<WasmRuntime> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| WasmRuntime::new(None, RuntimeOptions::default()).unwrap());
    runtime.load(component).unwrap()
}
