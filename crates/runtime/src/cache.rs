// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Compiled artifacts on disk, so that seconds of compiling are spent once.
//!
//! ```text
//! <dir>/<sha-256 of the artifact>-<engine>.cwasm    machine code, mapped into memory when used
//! <dir>/<sha-256 of the artifact>-<engine>.sum      kind and SHA-256 of that file
//! ```
//!
//! `<engine>` stands for the version of wasmtime, its settings and the processor: another engine's files are not even
//! looked at. Files are written beside and renamed, the sum last, so a crash leaves nothing, or code without its sum. Code
//! that does not match its sum is thrown away and made anew. Machine code is never trusted for its name: whoever can write
//! both files can run anything, which is why the folder must belong to the server alone.

#![allow(unsafe_code, reason = "wasmtime cannot check machine code that it is given back; the sum is our check")]

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use fnstream_core::{Error, ErrorCode, Result, error::internal};
use sha2::{Digest, Sha256};
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

use crate::fault::bounded;
use crate::inspect::{Kind, inspect};

/// Compiled code.
pub(crate) enum Code {
    Component(Component),
    Module(Module),
}

/// Compiles, and remembers in a folder.
#[derive(Debug)]
pub(crate) struct CodeCache {
    dir: Option<PathBuf>,
    max_bytes: Option<u64>,
    engine: String,
}

impl CodeCache {
    /// A cache in that folder, which is made when needed, within that many bytes; without one, everything is compiled.
    pub(crate) fn new(dir: Option<PathBuf>, max_bytes: Option<u64>, engine: &Engine) -> Self {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        CodeCache { dir, max_bytes, engine: format!("{:016x}", hasher.finish()) }
    }

    /// The code of an artifact whose SHA-256 is `digest`.
    pub(crate) fn load(&self, engine: &Engine, digest: &str, artifact: &[u8]) -> Result<(Kind, Code)> {
        let Some(dir) = &self.dir else {
            let (kind, code) = compile(engine, artifact)?;
            return Ok((kind, from_memory(engine, kind, &code)?));
        };
        let path = dir.join(format!("{digest}-{}.cwasm", self.engine));
        let sum_path = path.with_extension("sum");
        match find(&path, &sum_path) {
            // Code of this very engine that it will not take back is as good as damaged.
            Ok(Some(kind)) => match from_file(engine, kind, &path) {
                Ok(code) => return Ok((kind, code)),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "compiled code cannot be used, compiling again")
                }
            },
            Ok(None) => {}
            Err(reason) => tracing::warn!(path = %path.display(), reason, "compiled code is damaged, compiling again"),
        }
        let (kind, code) = compile(engine, artifact)?;
        let stored = fs::create_dir_all(dir)
            .and_then(|()| put(&path, &code))
            .and_then(|()| put(&sum_path, format!("{} {}\n", kind.as_str(), hex(&Sha256::digest(&code))).as_bytes()));
        if let Err(error) = stored {
            tracing::warn!(path = %path.display(), %error, "compiled code cannot be kept, the next start compiles again");
            return Ok((kind, from_memory(engine, kind, &code)?));
        }
        if let Some(max_bytes) = self.max_bytes
            && let Err(error) = prune(dir, max_bytes, &path)
        {
            tracing::warn!(path = %dir.display(), %error, "compiled code cannot be kept within its bound");
        }
        // From the file, so that the pages are shared with the file cache and can be dropped under pressure.
        let loaded = from_file(engine, kind, &path).or_else(|_| from_memory(engine, kind, &code))?;
        Ok((kind, loaded))
    }
}

/// The digest of an artifact, as it stands in names.
pub(crate) fn digest(artifact: &[u8]) -> String {
    hex(&Sha256::digest(artifact))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn compile(engine: &Engine, artifact: &[u8]) -> Result<(Kind, Vec<u8>)> {
    let kind = inspect(artifact)?;
    let code = match kind {
        Kind::Packed | Kind::Processor => engine.precompile_component(artifact),
        Kind::Stdio => engine.precompile_module(artifact),
    };
    let code = code.map_err(|e| {
        Error::new(ErrorCode::ArtifactInvalid, bounded(format!("the artifact cannot be compiled: {e:#}")))
    })?;
    Ok((kind, code))
}

/// The kind of the code at `path` when it is there and whole; `Err` says what is wrong with it.
fn find(path: &Path, sum_path: &Path) -> std::result::Result<Option<Kind>, &'static str> {
    let Ok(file) = File::open(path) else { return Ok(None) };
    let sum = fs::read_to_string(sum_path).map_err(|_| "its sum is missing")?;
    let (kind, sum) = sum.trim_end().split_once(' ').ok_or("its sum is malformed")?;
    let kind = Kind::parse(kind).ok_or("its sum is malformed")?;
    if sum_of(file).map_err(|_| "it cannot be read")? == sum {
        Ok(Some(kind))
    } else {
        Err("it does not match its sum")
    }
}

fn sum_of(mut file: File) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&hasher.finalize())),
            n => hasher.update(&buffer[..n]),
        }
    }
}

/// Writes a file so that it is there whole or not at all, also when two processes write it at once.
fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let tmp = path.with_extension(format!("{}-{number}.tmp", std::process::id()));
    let result = fs::write(&tmp, bytes).and_then(|()| fs::rename(&tmp, path));
    if result.is_err() {
        let _ = fs::remove_file(&tmp);
    }
    result
}

/// Removes what was compiled longest ago until all is within the bound, except what was just made. Code that runs stays in
/// memory, and a start that misses it compiles it again.
fn prune(dir: &Path, max_bytes: u64, newest: &Path) -> io::Result<()> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "cwasm") {
            // Another process may have removed it meanwhile.
            let Ok(metadata) = fs::metadata(&path) else { continue };
            files.push((metadata.modified()?, metadata.len(), path));
        }
    }
    files.sort();
    let mut bytes: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
    for (_, size, path) in files {
        if bytes <= max_bytes {
            break;
        }
        if path != newest {
            // The sum last: code without its sum is made anew, a sum without its code is nothing.
            fs::remove_file(&path)?;
            let _ = fs::remove_file(path.with_extension("sum"));
            bytes -= size;
        }
    }
    Ok(())
}

fn from_file(engine: &Engine, kind: Kind, path: &Path) -> Result<Code> {
    // SAFETY: the bytes are what this or another process of ours got from wasmtime for the same engine: the caller has just
    // compared the file with its SHA-256, or written it. The folder is the server's own, see the top of this module.
    let code = unsafe {
        match kind {
            Kind::Packed | Kind::Processor => Component::deserialize_file(engine, path).map(Code::Component),
            Kind::Stdio => Module::deserialize_file(engine, path).map(Code::Module),
        }
    };
    code.map_err(|e| internal(format!("{e:#}")))
}

fn from_memory(engine: &Engine, kind: Kind, code: &[u8]) -> Result<Code> {
    // SAFETY: the bytes come straight from the compiler.
    let code = unsafe {
        match kind {
            Kind::Packed | Kind::Processor => Component::deserialize(engine, code).map(Code::Component),
            Kind::Stdio => Module::deserialize(engine, code).map(Code::Module),
        }
    };
    code.map_err(|e| internal(format!("{e:#}")))
}
