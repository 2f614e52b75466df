// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! From a folder with a program to an artifact that can be run.
//!
//! Owns which language a folder has, how its toolchain is called, and how a core module becomes a component of our worlds. It
//! must not know what runs the artifact, nor where it is sent.
//!
//! A build ends with an artifact that is whole and was checked, or leaves the output as it was. The compiler's own words are
//! passed on as they are.
//!
//! # Reading order
//!
//! [`build`] (the one way in), `go` and `rust` (the toolchains), `component` (embed, adapt, check) and
//! `worlds` (the WIT packages, which are part of the program).

mod component;
mod go;
mod rust;
mod worlds;

use std::path::{Path, PathBuf};

use fnstream_core::{Error, ErrorCode, Result};

pub use component::{Artifact, Kind, componentize};
pub use worlds::Worlds;

/// A language that is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compiled {
    /// A folder of a module, by a go.mod there or above.
    Go,
    /// A package, by its Cargo.toml.
    Rust,
}

impl Compiled {
    /// The language of a folder, if it has one that is compiled.
    pub fn of(dir: &Path) -> Option<Self> {
        if dir.join("Cargo.toml").is_file() {
            return Some(Compiled::Rust);
        }
        // A module may hold several programs, each in a folder of its own.
        dir.ancestors().any(|folder| folder.join("go.mod").is_file()).then_some(Compiled::Go)
    }
}

/// The program to build, and the way to build it.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder with the program.
    pub dir: PathBuf,
    /// The path of the artifact; `None` = `build/NAME.wasm` in the folder, by the folder's name.
    pub out: Option<PathBuf>,
    /// Build Go with TinyGo.
    pub tinygo: bool,
    /// Only the per-record world, for other hosts of it, which do not have the packed one.
    pub per_record: bool,
    /// The compiler; `None` = the one that is found on the path, or where its installer puts it.
    pub toolchain: Option<PathBuf>,
}

/// An artifact that was built.
#[derive(Debug)]
pub struct Built {
    /// The path of the artifact.
    pub path: PathBuf,
    /// Its kind and interfaces.
    pub artifact: Artifact,
}

/// Builds the program of a folder.
pub fn build(options: &Options) -> Result<Built> {
    let dir = options.dir.canonicalize().map_err(|e| {
        Error::new(ErrorCode::BuildFolder, format!("the folder '{}' cannot be read: {e}", options.dir.display()))
    })?;
    let Some(language) = Compiled::of(&dir) else {
        let dir = dir.display();
        let message = format!("'{dir}' has no Cargo.toml, and neither it nor a folder above it has a go.mod");
        return Err(Error::new(ErrorCode::BuildFolder, message));
    };
    let out = options.out.clone().unwrap_or_else(|| default_out(&dir, "wasm"));
    let toolchain = options.toolchain.as_deref();
    let worlds = if options.per_record { Worlds::PerRecord } else { Worlds::Both };
    let compiled = match language {
        Compiled::Rust => rust::cargo(toolchain, &dir)?,
        Compiled::Go => {
            let scratch = tempfile::tempdir().map_err(|e| cannot("make a temporary folder", &e))?;
            let build = if options.tinygo { go::tinygo } else { go::go };
            build(toolchain, &dir, scratch.path(), worlds)?
        }
    };
    let artifact = componentize(compiled, worlds)?;
    place(&out, &artifact.bytes)?;
    Ok(Built { path: out, artifact })
}

/// Where an artifact goes if nobody says it: `build/NAME.END` in the folder, by the folder's name.
pub fn default_out(dir: &Path, end: &str) -> PathBuf {
    let name = dir.file_name().map_or_else(|| "function".into(), |name| name.to_string_lossy().into_owned());
    dir.join("build").join(format!("{name}.{end}"))
}

/// Puts an artifact in place whole, so that a build that fails leaves the last one. A link stays, and what it leads to is replaced; what is
/// no file is not.
pub fn place(out: &Path, bytes: &[u8]) -> Result<()> {
    let out = &out.canonicalize().unwrap_or_else(|_| out.to_owned());
    if out.exists() && !out.is_file() {
        let message = format!("cannot write '{}': it is there, and is no ordinary file", out.display());
        return Err(Error::new(ErrorCode::BuildFolder, message));
    }
    let folder = match out.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let write = || {
        std::fs::create_dir_all(folder)?;
        let mut file = tempfile::Builder::new().permissions(readable()).tempfile_in(folder)?;
        std::io::Write::write_all(&mut file, bytes)?;
        file.persist(out)?;
        Ok(())
    };
    write().map_err(|e: std::io::Error| cannot(&format!("write '{}'", out.display()), &e))
}

/// As the compilers do it; a temporary file is only for its owner otherwise.
fn readable() -> std::fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o644)
}

fn cannot(what: &str, error: &std::io::Error) -> Error {
    Error::new(ErrorCode::BuildFolder, format!("cannot {what}: {error}"))
}
