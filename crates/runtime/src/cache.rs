// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Compiled artifacts on disk, so that seconds of compiling are spent once.
//!
//! ```text
//! <dir>/<sha-256 of the artifact>-<engine>.cwasm    machine code, mapped into memory when used
//! <dir>/<sha-256 of the artifact>-<engine>.wasm     the artifact itself, if it has tables that backtraces need
//! <dir>/<sha-256 of the artifact>-<engine>.sum      kind and SHA-256 of the code, and a code of both and the file's name with
//!                                                   the folder's key; its time is that of the last use
//! <dir>/KEY                                         the key
//! ```
//!
//! `<engine>` stands for the version of wasmtime, its settings and the processor: another engine's files are not even
//! looked at.
//!
//! # Trust
//!
//! Who has machine code run can do what the server can. So code is used only if a server of the same user has put it there,
//! for that very artifact: its sum is signed with the folder's [key](key::Key). Files that were swapped, copied from another
//! folder or made by somebody else are compiled anew. That holds as long as nobody else can change files between the check and
//! the use, so a folder that others may write to is not used at all.
//!
//! # Several processes, and crashes
//!
//! Any number of processes may share a folder, and each may die at any moment.
//!
//! - Files are written beside and renamed, the code last. Code that does not match its sum is thrown away and made anew, so a
//!   crash leaves nothing, or files that count for nothing.
//! - Whoever uses code holds a shared lock on its file until the last instance is gone; the kernel gives it back when the
//!   process dies.
//! - Whoever adds or removes files holds the lock of the folder, for as long as that takes. So what is incomplete then was
//!   left by a crash, and goes with the next [`prune`].
//!
//! # The bound
//!
//! When the files take more than they may, those go that were used longest ago, and those in use never: if they alone are
//! too much, the folder is larger than it should be. That is looked after at the start and whenever code was added.

#![allow(unsafe_code, reason = "wasmtime cannot check machine code that it is given back; the sum is our check")]

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fnstream_core::{Result, error::internal};
use sha2::{Digest, Sha256};
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

use crate::compile::Compiler;
use crate::inspect::Kind;
use crate::lines::{Kept, Lines, Shelf, has_tables};
use crate::options::RuntimeOptions;

mod entry;
mod key;
mod place;
mod prune;

use entry::{ARTIFACT, CODE, Entry, Folder, Found};
use place::Place;

/// Compiled code.
pub(crate) enum Code {
    Component(Component),
    Module(Module),
}

/// An artifact, ready to be used.
pub(crate) struct Loaded {
    pub(crate) kind: Kind,
    pub(crate) code: Code,
    pub(crate) artifact: Artifact,
}

/// The rest of an artifact beside its code, kept for as long as it is used.
#[derive(Debug)]
pub(crate) struct Artifact {
    /// Places in its source.
    pub(crate) lines: Lines,
    /// Keeps its files from being removed.
    _in_use: Option<File>,
}

/// Compiles, and remembers in a folder.
#[derive(Debug)]
pub(crate) struct CodeCache {
    place: Option<Place>,
    max_bytes: u64,
    engine: String,
    compiler: Compiler,
    shelf: Arc<Shelf>,
}

impl CodeCache {
    /// A cache in that folder, which is made when needed, those above it at once; without one, everything is compiled.
    pub(crate) fn new(dir: Option<PathBuf>, options: &RuntimeOptions, engine: &Engine) -> Self {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let place = dir.and_then(|dir| {
            let found = Place::find(&dir);
            let warn = |error: &io::Error| {
                tracing::warn!(path = %dir.display(), %error, "compiled code cannot be kept, the next start compiles again");
            };
            found.inspect_err(warn).ok()
        });
        let cache = CodeCache {
            place,
            max_bytes: options.cache_bytes,
            engine: format!("{:016x}", hasher.finish()),
            compiler: Compiler::new(options.compiling.clone()),
            shelf: Arc::default(),
        };
        cache.prune();
        cache
    }

    /// Whether the folder seems to have the code of an artifact.
    pub(crate) fn has(&self, digest: &str) -> bool {
        let entry = Entry::new(digest, &self.engine);
        let folder = self.place.as_ref().and_then(|place| place.open().ok()?);
        folder.is_some_and(|folder| folder.dir().has(entry.name(CODE)).unwrap_or(false))
    }

    /// The code of an artifact whose SHA-256 is `digest`, compiled with at most so many bytes of memory if need be.
    pub(crate) fn load(&self, engine: &Engine, digest: &str, artifact: &[u8], memory: usize) -> Result<Loaded> {
        let Some(place) = &self.place else {
            let (kind, code) = self.compiler.compile(engine, artifact, memory)?;
            return self.in_memory(engine, digest, artifact, kind, &code);
        };
        let entry = Entry::new(digest, &self.engine);
        if let Some(loaded) = self.stored(engine, digest, place, &entry) {
            return Ok(loaded);
        }
        let (kind, code) = self.compiler.compile(engine, artifact, memory)?;
        // From the file, so that the pages are shared with the file cache and can be dropped under pressure.
        let stored = self.store(place, &entry, artifact, kind, &code).map_err(internal_io);
        let loaded = stored.and_then(|(folder, in_use)| {
            let found = Found { kind, in_use };
            self.use_stored(engine, digest, &folder, &entry, found)
        });
        self.prune();
        loaded.or_else(|error| {
            tracing::warn!(path = %place.path().display(), artifact = digest, %error, "compiled code cannot be kept, the next start compiles again");
            self.in_memory(engine, digest, artifact, kind, &code)
        })
    }

    /// Finds the artifact in the folder, if it can be used.
    fn stored(&self, engine: &Engine, digest: &str, place: &Place, entry: &Entry) -> Option<Loaded> {
        let warn = |reason: &dyn std::fmt::Display| {
            tracing::warn!(path = %place.path().display(), artifact = digest, %reason, "compiled code cannot be used, compiling again");
        };
        let folder = place.open().map_err(|error| warn(&error)).ok()??;
        let found = entry.find(&folder).map_err(|reason| warn(&reason)).ok()??;
        entry.used(&folder);
        // Code of this very engine that it will not take back is as good as damaged.
        self.use_stored(engine, digest, &folder, entry, found).map_err(|error| warn(&error)).ok()
    }

    fn use_stored(
        &self,
        engine: &Engine,
        digest: &str,
        folder: &Folder,
        entry: &Entry,
        found: Found,
    ) -> Result<Loaded> {
        let path = |extension| folder.dir().path().join(entry.name(extension));
        let code = from_file(engine, found.kind, &path(CODE))?;
        let tables = folder.dir().has(entry.name(ARTIFACT)).map_err(internal_io)?;
        let tables = if tables { Kept::File(path(ARTIFACT)) } else { Kept::Nowhere };
        Ok(self.loaded(digest, found.kind, code, tables, Some(found.in_use)))
    }

    /// Gives the lock of what is in the folder then.
    fn store(
        &self,
        place: &Place,
        entry: &Entry,
        artifact: &[u8],
        kind: Kind,
        code: &[u8],
    ) -> io::Result<(Folder, File)> {
        let folder = place.make()?;
        let tables = has_tables(artifact).then_some(artifact);
        let in_use = entry.put(&folder, tables, kind, code)?;
        Ok((folder, in_use))
    }

    fn in_memory(&self, engine: &Engine, digest: &str, artifact: &[u8], kind: Kind, code: &[u8]) -> Result<Loaded> {
        let kept = if has_tables(artifact) { Kept::Here(artifact.into()) } else { Kept::Nowhere };
        Ok(self.loaded(digest, kind, from_memory(engine, kind, code)?, kept, None))
    }

    fn loaded(&self, digest: &str, kind: Kind, code: Code, tables: Kept, in_use: Option<File>) -> Loaded {
        let artifact = Artifact { lines: Lines::new(digest, tables, &self.shelf), _in_use: in_use };
        Loaded { kind, code, artifact }
    }

    fn prune(&self) {
        if let Some(place) = &self.place
            && let Err(error) = prune::prune(place, self.max_bytes)
        {
            tracing::warn!(path = %place.path().display(), %error, "compiled code cannot be kept within its bound");
        }
    }
}

impl Artifact {
    /// None, for what is shared by all artifacts.
    pub(crate) fn none() -> Self {
        Artifact { lines: Lines::new("", Kept::Nowhere, &Arc::default()), _in_use: None }
    }
}

fn internal_io(error: io::Error) -> fnstream_core::Error {
    internal(error.to_string())
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

fn from_file(engine: &Engine, kind: Kind, path: &Path) -> Result<Code> {
    // SAFETY: the bytes are what this or another process of ours got from wasmtime for the same engine: the caller has just
    // compared the file with its sum, which is signed with the folder's key, and holds its lock. Nobody else may write to the
    // folder, see the top of this module.
    let code = unsafe {
        match kind {
            Kind::Packed | Kind::Processor => Component::deserialize_file(engine, path).map(Code::Component),
            Kind::Stdio => Module::deserialize_file(engine, path).map(Code::Module),
        }
    };
    code.map_err(|e| internal(format!("{e:#}")))
}

fn from_memory(engine: &Engine, kind: Kind, code: &[u8]) -> Result<Code> {
    // SAFETY: the bytes come straight from the compiler, in this process or in a child that runs the same program.
    let code = unsafe {
        match kind {
            Kind::Packed | Kind::Processor => Component::deserialize(engine, code).map(Code::Component),
            Kind::Stdio => Module::deserialize(engine, code).map(Code::Module),
        }
    };
    code.map_err(|e| internal(format!("{e:#}")))
}
