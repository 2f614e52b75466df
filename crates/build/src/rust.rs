// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Rust: a component of the folder's library, by cargo for the target `wasm32-wasip2`.

use std::path::{Path, PathBuf};
use std::process::Command;

use fnstream_core::{Error, ErrorCode, Result};
use serde_json::Value;

const TARGET: &str = "wasm32-wasip2";
const INSTALL: &str = "install rust 1.95 or later from https://rustup.rs, or set CARGO to where its cargo is";

/// What is the host's, and would be taken for the guest's.
const HOST_SETTINGS: [&str; 3] = ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"];

/// Builds the package of a folder; answers the component.
pub(crate) fn cargo(toolchain: Option<&Path>, dir: &Path) -> Result<Vec<u8>> {
    let cargo = toolchain.map_or_else(|| PathBuf::from("cargo"), PathBuf::from);
    let mut command = Command::new(&cargo);
    command.args(["build", "--release", "--target", TARGET, "--message-format=json-render-diagnostics"]);
    for name in HOST_SETTINGS {
        command.env_remove(name);
    }
    let done = command.current_dir(dir).output().map_err(|e| {
        Error::new(ErrorCode::BuildToolMissing, format!("'{}' cannot be run: {e}; {INSTALL}", cargo.display()))
    })?;
    let said = String::from_utf8_lossy(&done.stderr);
    if !done.status.success() {
        return Err(failed(&said));
    }
    let made = made(&String::from_utf8_lossy(&done.stdout), &dir.join("Cargo.toml")).ok_or_else(|| {
        let message = "cargo built no component of the folder's package: its Cargo.toml needs a library, \
                       'crate-type = [\"cdylib\", \"rlib\"]'";
        Error::new(ErrorCode::BuildFailed, message)
    })?;
    std::fs::read(made).map_err(|e| crate::cannot("read what cargo wrote", &e))
}

/// The component among what cargo says that it made, a JSON object in each line.
fn made(messages: &str, manifest: &Path) -> Option<PathBuf> {
    let artifacts = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let ours = artifacts.filter(|message| {
        message["reason"] == "compiler-artifact" && message["manifest_path"].as_str().map(Path::new) == Some(manifest)
    });
    let files = ours.flat_map(|message| message["filenames"].as_array().cloned().unwrap_or_default());
    files.filter_map(|file| file.as_str().map(PathBuf::from)).find(|file| file.extension() == Some("wasm".as_ref()))
}

fn failed(said: &str) -> Error {
    let lacks_target = said.contains("target may not be installed") || said.contains("component is not installed");
    if lacks_target && said.contains(TARGET) {
        let message = format!("rust cannot compile for {TARGET}; run 'rustup target add {TARGET}'");
        return Error::new(ErrorCode::BuildToolMissing, message);
    }
    Error::new(ErrorCode::BuildFailed, format!("cargo build failed:\n{}", said.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_component_is_found_among_what_cargo_made() {
        let messages = r#"{"reason":"compiler-artifact","manifest_path":"/dep/Cargo.toml","filenames":["/t/dep.wasm"]}
not json
{"reason":"compiler-artifact","manifest_path":"/p/Cargo.toml","filenames":["/t/p.rlib","/t/p.wasm"]}
{"reason":"build-finished","success":true}"#;
        assert_eq!(made(messages, Path::new("/p/Cargo.toml")), Some("/t/p.wasm".into()));
        assert_eq!(made(messages, Path::new("/q/Cargo.toml")), None);
    }

    #[test]
    fn a_target_that_lacks_is_named() {
        let said =
            "error[E0463]: can't find crate for `core`\n  = note: the `wasm32-wasip2` target may not be installed\n";
        let error = failed(said);
        assert_eq!(error.code, ErrorCode::BuildToolMissing);
        assert!(error.message.ends_with("run 'rustup target add wasm32-wasip2'"), "{error}");
        assert_eq!(failed("error: expected `;`").code, ErrorCode::BuildFailed);
    }
}
