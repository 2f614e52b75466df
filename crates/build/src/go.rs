// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Go: a module of the folder's `main` package, by the standard toolchain, or a component by TinyGo.

use std::path::{Path, PathBuf};
use std::process::Command;

use fnstream_core::{Error, ErrorCode, Result};

use crate::component;
use crate::worlds::{self, Worlds};

/// The first release that can export functions of any name.
const OLDEST: (u32, u32) = (1, 24);

/// The build tag with which the SDK leaves the packed world out.
const PER_RECORD: &str = "fnstream_per_record";

/// Builds with the standard toolchain.
pub(crate) fn go(toolchain: Option<&Path>, dir: &Path, scratch: &Path, worlds: Worlds) -> Result<Vec<u8>> {
    let go = toolchain.map_or_else(|| find("go", "/usr/local/go/bin/go"), PathBuf::from);
    check_version(&go, dir)?;
    let out = scratch.join("module.wasm");
    let mut command = Command::new(&go);
    command.args(["build", "-trimpath", "-buildmode=c-shared"]);
    if worlds == Worlds::PerRecord {
        command.args(["-tags", PER_RECORD]);
    }
    // The SDK's arena grows by a function of the runtime: see go-sdk/bindings/abi/arena.go.
    command.arg("-ldflags=-checklinkname=0").arg("-o").arg(&out).arg(".");
    command.current_dir(dir).env("GOOS", "wasip1").env("GOARCH", "wasm");
    run(command, "go build")?;
    read(&out)
}

/// Builds with TinyGo, which makes the component itself, and needs wasm-tools for it.
pub(crate) fn tinygo(toolchain: Option<&Path>, dir: &Path, scratch: &Path, worlds: Worlds) -> Result<Vec<u8>> {
    let tinygo = toolchain.map_or_else(|| find("tinygo", "/usr/local/tinygo/bin/tinygo"), PathBuf::from);
    let mut version = Command::new(&tinygo);
    version.arg("version");
    if version.output().is_err() {
        return Err(missing(
            "tinygo was not found; install 0.40 or later from https://tinygo.org, or leave --tinygo out",
        ));
    }
    let wit = scratch.join("wit");
    worlds::write(&wit).map_err(|e| crate::cannot("write the worlds for tinygo", &e))?;
    let out = scratch.join("component.wasm");
    let build = |worlds| tinygo_build(&tinygo, dir, &wit, &out, worlds);
    match build(worlds) {
        // The world has to be named before it is known what the SDK exports; one that does not know timers says so here.
        Err(error) if worlds == Worlds::Both && error.message.contains(component::TIMER_HANDLER) => {
            build(Worlds::BothWithoutTimers)?
        }
        built => built?,
    }
    read(&out)
}

fn tinygo_build(tinygo: &Path, dir: &Path, wit: &Path, out: &Path, worlds: Worlds) -> Result<()> {
    let mut command = Command::new(tinygo);
    command.args(["build", "-target=wasip2", "-scheduler=none", "-no-debug"]);
    command.arg("-tags").arg(if worlds == Worlds::PerRecord { "purego fnstream_per_record" } else { "purego" });
    command.arg("-wit-package").arg(wit).args(["-wit-world", &worlds.with_wasi()]).arg("-o").arg(out).arg(".");
    command.current_dir(dir);
    run(command, "tinygo build")
}

/// A program on the path, or where its installer puts it.
fn find(name: &str, elsewhere: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).map(|folder| folder.join(name)).chain([elsewhere.into()]);
    places.find(|file| file.is_file()).unwrap_or_else(|| name.into())
}

fn check_version(go: &Path, dir: &Path) -> Result<()> {
    let install = "install go 1.24 or later from https://go.dev/dl, or set GO to where it is";
    // In the folder, since its go.mod may have the command choose another release.
    let said = Command::new(go).arg("version").current_dir(dir).output();
    let said = said.map_err(|e| missing(format!("'{}' cannot be run: {e}; {install}", go.display())))?;
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    if !said.status.success() {
        return Err(failed("go version", &said.stderr));
    }
    match parse_version(&text) {
        Some(version) if version < OLDEST => {
            Err(missing(format!("go {}.{} is too old; {install}", version.0, version.1)))
        }
        // A development version says no number that can be compared; it is taken for a new one.
        _ => Ok(()),
    }
}

/// The release in the words of `go version`: "go version go1.26.8 linux/amd64".
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let release = text.split_whitespace().nth(2)?.strip_prefix("go")?;
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn run(mut command: Command, what: &str) -> Result<()> {
    let done = command.output().map_err(|e| missing(format!("{what} cannot be run: {e}")))?;
    if done.status.success() { Ok(()) } else { Err(failed(what, &done.stderr)) }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| crate::cannot("read what the compiler wrote", &e))
}

fn missing(message: impl Into<String>) -> Error {
    Error::new(ErrorCode::BuildToolMissing, message)
}

/// The tool's own words, as they are.
fn failed(what: &str, stderr: &[u8]) -> Error {
    Error::new(ErrorCode::BuildFailed, format!("{what} failed:\n{}", String::from_utf8_lossy(stderr).trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read_from_what_go_says() {
        assert_eq!(parse_version("go version go1.26.8 linux/amd64\n"), Some((1, 26)));
        assert_eq!(parse_version("go version go1.24rc1 linux/amd64"), Some((1, 24)));
        assert_eq!(parse_version("go version devel +abc linux/amd64"), None);
        assert!(parse_version("go version go1.23.9 darwin/arm64") < Some(OLDEST));
    }
}
