// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Artifacts on this machine: a file as it is, or source, which is a file of a language with an engine, or a folder.

use std::fs;
use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};

use fnstream_runtime::source::{File, is_litter, not_yet, pack};
use fnstream_runtime::{Engines, Language};

use crate::files;

/// The variable by which servers, too, are told where engines are.
const ENGINES: &str = "FUNCTION_STREAM_WASM_ENGINES_DIR";

/// What cannot be source, of a folder in which somebody works.
const LEFT_OUT: [&str; 4] = ["venv", "node_modules", "target", "build"];

/// Reports whether a path is that of source, which is not sent as it is.
pub(crate) fn is_source(path: &Path) -> bool {
    path.is_dir()
        || path.file_name().and_then(|name| name.to_str()).is_some_and(|name| Language::of_file(name).is_some())
}

/// The bytes of the artifact at a path.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    read_without(path, None)
}

/// The same; if it is a folder, without that file, which is what was made of it before.
pub(crate) fn read_without(path: &Path, made: Option<&Path>) -> Result<Vec<u8>> {
    if path.is_dir() {
        let mut found = Vec::new();
        let made = made.and_then(|made| made.canonicalize().ok());
        gather(&path.canonicalize()?, "", made.as_deref(), &mut found)?;
        return packed(pack(found, None));
    }
    if let Some(advice) = path.file_name().and_then(|name| not_yet(name.to_str()?)) {
        return Err(Error::new(ErrorKind::InvalidData, advice));
    }
    let bytes = files::read(path, files::MOST_BINARY)?;
    match path.file_name().and_then(|name| name.to_str()) {
        Some(name) if Language::of_file(name).is_some() => packed(pack(vec![(name.to_owned(), bytes)], Some(name))),
        _ => Ok(bytes),
    }
}

fn packed(packed: fnstream_core::Result<Vec<u8>>) -> Result<Vec<u8>> {
    packed.map_err(|error| Error::new(ErrorKind::InvalidData, error.message))
}

/// The files of a folder. Links are not followed, nor is what begins with a dot taken along.
fn gather(folder: &Path, within: &str, made: Option<&Path>, found: &mut Vec<File>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_str().ok_or_else(|| {
            Error::new(ErrorKind::InvalidData, format!("'{}' has a name that is not UTF-8", entry.path().display()))
        })?;
        let kind = entry.file_type()?;
        if name.starts_with('.') || is_litter(name) || (kind.is_dir() && LEFT_OUT.contains(&name)) {
            continue;
        }
        let path = format!("{within}{name}");
        if kind.is_dir() {
            gather(&entry.path(), &format!("{path}/"), made, found)?;
        } else if kind.is_file() && Some(&*entry.path()) != made {
            found.push((path, files::read(&entry.path(), files::MOST_BINARY)?));
        }
    }
    Ok(())
}

/// Where a run in this process finds engines.
pub(crate) fn engines() -> Engines {
    let folder = std::env::var_os(ENGINES).filter(|path| !path.is_empty()).map(PathBuf::from);
    Engines::of_program().with_folder(folder)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use fnstream_runtime::Source;

    use super::*;

    #[test]
    fn a_folder_is_source_without_what_is_none() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["app.py", "lib/a.py", ".git/x", "venv/y.py", "__pycache__/app.pyc", "data.json"] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"x").unwrap();
        }
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link.py")).unwrap();
        let source = Source::read(&read(folder.path()).unwrap()).unwrap();
        let paths: Vec<_> = source.files.iter().map(|(path, _)| &**path).collect();
        assert_eq!(paths, ["app.py", "data.json", "lib/a.py"]);
        let one = Source::read(&read(&folder.path().join("lib/a.py")).unwrap()).unwrap();
        assert_eq!((&*one.file, one.files.len()), ("a.py", 1));
    }

    #[test]
    fn a_folder_without_an_entry_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let error = read(folder.path()).unwrap_err();
        assert_eq!(error.to_string(), "the source has no file .py, .js or .mjs at its top");
    }
}
