// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Where engines are found, and what is known of them: their digest and code, read once.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use fnstream_core::{Error, ErrorCode, Result};
use parking_lot::Mutex;

use super::Language;
use crate::cache::digest;
use crate::packed::PackedProgram;
use crate::shared::Shared;

/// The places of engines: files `LANGUAGE.wasm`.
#[derive(Debug, Clone, Default)]
pub struct Engines {
    /// The folders, the first before the others.
    pub folders: Vec<PathBuf>,
    /// The file of a language, which goes before all folders.
    pub files: HashMap<Language, PathBuf>,
}

impl Engines {
    /// Those that came with the running program: `engines` beside it, or `share/function-stream/engines` beside its folder.
    pub fn of_program() -> Self {
        let program = std::env::current_exe().and_then(|program| program.canonicalize()).ok();
        let folder = program.as_deref().and_then(Path::parent);
        let folders = folder.map(|folder| {
            let shared = folder.parent().map(|root| root.join("share/function-stream/engines"));
            [Some(folder.join("engines")), shared].into_iter().flatten().collect()
        });
        Engines { folders: folders.unwrap_or_default(), files: HashMap::new() }
    }

    /// The same, with a folder before them.
    #[must_use]
    pub fn with_folder(mut self, folder: Option<PathBuf>) -> Self {
        self.folders.splice(0..0, folder);
        self
    }

    /// The same, with the file of a language.
    #[must_use]
    pub fn with_file(mut self, language: Language, file: Option<PathBuf>) -> Self {
        self.files.extend(file.map(|file| (language, file)));
        self
    }

    /// The component of a language's engine.
    pub(super) fn read(&self, language: Language) -> Result<Vec<u8>> {
        let path = self.find(language)?;
        std::fs::read(&path).map_err(|error| unread(&path, &error))
    }

    fn find(&self, language: Language) -> Result<PathBuf> {
        let name = format!("{}.wasm", language.as_str());
        let places = match self.files.get(&language) {
            Some(file) => vec![file.clone()],
            None => self.folders.iter().map(|folder| folder.join(&name)).collect(),
        };
        places.iter().find(|place| place.is_file()).cloned().ok_or_else(|| {
            let looked: Vec<_> = places.iter().map(|place| format!("'{}'", place.display())).collect();
            let looked = if looked.is_empty() { "nowhere".to_owned() } else { looked.join(", ") };
            let message = format!("there is no engine for functions in {}; looked for it at {looked}", language.name());
            Error::new(ErrorCode::LanguageUnavailable, message)
        })
    }
}

/// An engine's file, as it was when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EngineFile {
    pub(crate) path: PathBuf,
    len: u64,
    changed: Option<SystemTime>,
    /// The SHA-256 of the component.
    pub(crate) digest: String,
}

impl EngineFile {
    /// The component.
    pub(crate) fn bytes(&self) -> Result<Vec<u8>> {
        std::fs::read(&self.path).map_err(|error| unread(&self.path, &error))
    }
}

/// The engines that are known. That of a language stays in memory once it was used, with or without functions; others as long as
/// functions have brought them along.
#[derive(Default)]
pub(crate) struct Shelf {
    pub(crate) programs: Shared<PackedProgram>,
    files: Mutex<HashMap<Language, EngineFile>>,
    kept: Mutex<HashMap<Language, Arc<PackedProgram>>>,
}

impl Shelf {
    /// The file of a language's engine; read only if it is not the one that was read before.
    pub(crate) fn file(&self, engines: &Engines, language: Language) -> Result<EngineFile> {
        let path = engines.find(language)?;
        let meta = path.metadata().map_err(|error| unread(&path, &error))?;
        let (len, changed) = (meta.len(), meta.modified().ok());
        let mut files = self.files.lock();
        if let Some(known) = files.get(&language)
            && (&known.path, known.len, known.changed) == (&path, len, changed)
        {
            return Ok(known.clone());
        }
        let bytes = std::fs::read(&path).map_err(|error| unread(&path, &error))?;
        let file = EngineFile { digest: digest(&bytes), path, len, changed };
        files.insert(language, file.clone());
        Ok(file)
    }

    /// Keeps the engine of a language, and lets go of the one before.
    pub(crate) fn keep(&self, language: Language, program: Arc<PackedProgram>) {
        self.kept.lock().insert(language, program);
    }
}

fn unread(path: &Path, error: &std::io::Error) -> Error {
    let message = format!("the engine '{}' cannot be read: {error}", path.display());
    Error::new(ErrorCode::LanguageUnavailable, message)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_engine_says_where_it_was_looked_for() {
        let engines = Engines { folders: vec!["/none/a".into(), "/none/b".into()], ..Engines::default() };
        let error = Shelf::default().file(&engines, Language::Python).unwrap_err();
        assert_eq!(error.code, ErrorCode::LanguageUnavailable);
        assert_eq!(
            error.message,
            "there is no engine for functions in Python; looked for it at '/none/a/python.wasm', '/none/b/python.wasm'"
        );
        let named = engines.with_file(Language::Python, Some("/none/c.wasm".into()));
        let error = Shelf::default().file(&named, Language::Python).unwrap_err();
        assert!(error.message.ends_with("looked for it at '/none/c.wasm'"), "{error}");
    }

    #[test]
    fn a_file_is_read_again_when_it_was_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let engines = Engines::default().with_folder(Some(folder.path().to_owned()));
        let (shelf, path) = (Shelf::default(), folder.path().join("python.wasm"));
        std::fs::write(&path, b"one").unwrap();
        let first = shelf.file(&engines, Language::Python).unwrap();
        assert_eq!(shelf.file(&engines, Language::Python).unwrap(), first);
        std::fs::write(&path, b"other").unwrap();
        assert_ne!(shelf.file(&engines, Language::Python).unwrap().digest, first.digest);
    }
}
