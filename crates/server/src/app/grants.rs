// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Folders of this machine that functions ask to read: only what the server's operator has opened to functions.
//!
//! Looked at when a function is created or changed, so that its user hears of it, and at every start, since the operator may
//! have closed a folder meanwhile or a link may lead elsewhere now. What runs is given the real folder, links followed, so
//! that a link that is changed later does not move it.

use std::path::{Path, PathBuf};

use fnstream_core::spec::{FileGrant, FunctionEntry, FunctionSpec};
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_runtime::is_remote;

/// Whether all grants of a description are allowed; all that are not are named.
pub(super) fn check(dirs: &[PathBuf], spec: &FunctionSpec) -> Result<()> {
    resolved(dirs, &spec.files).map(drop)
}

/// The entry as it is run: with the real folders.
pub fn granted(dirs: &[PathBuf], entry: &FunctionEntry) -> Result<FunctionEntry> {
    let mut entry = entry.clone();
    entry.spec.files = resolved(dirs, &entry.spec.files)?;
    Ok(entry)
}

fn resolved(dirs: &[PathBuf], grants: &[FileGrant]) -> Result<Vec<FileGrant>> {
    let dirs: Vec<PathBuf> = dirs.iter().filter_map(|dir| dir.canonicalize().ok()).collect();
    let mut refused = Vec::new();
    let mut real = Vec::new();
    for FileGrant { host, guest } in grants {
        match folder(&dirs, Path::new(host)) {
            Some(host) => real.push(FileGrant { host, guest: guest.clone() }),
            None => refused.push(format!("'{}'", host.escape_debug())),
        }
    }
    if refused.is_empty() {
        return Ok(real);
    }
    // What is not there and what is not opened look the same: a description is no way to explore the machine.
    let message = format!("not a folder that functions may be granted on this server: {}", refused.join(", "));
    Err(Error::new(ErrorCode::GrantRefused, message))
}

/// The real path of a folder that is one of those or lies in one, links followed, and that holds nothing at which reading
/// could wait for another process or machine. What comes into it later is refused when it is opened.
fn folder(dirs: &[PathBuf], path: &Path) -> Option<String> {
    let real = path.canonicalize().ok()?;
    let allowed = real.is_dir() && dirs.iter().any(|dir| real.starts_with(dir)) && !is_remote(&real);
    let allowed = allowed && holds_files_only(&real, &mut 0);
    allowed.then(|| real.to_str().map(str::to_owned)).flatten()
}

/// The most entries of a granted folder, those of folders within it counted in.
const MOST_ENTRIES: usize = 100_000;

/// Whether a folder holds files, folders and links only, and not too many. Links lead out or to what is looked at too.
fn holds_files_only(folder: &Path, seen: &mut usize) -> bool {
    let Ok(entries) = folder.read_dir() else { return false };
    entries.into_iter().all(|entry| {
        *seen += 1;
        let Some((kind, path)) = entry.ok().and_then(|entry| Some((entry.file_type().ok()?, entry.path()))) else {
            return false;
        };
        *seen <= MOST_ENTRIES
            && (kind.is_file() || kind.is_symlink() || (kind.is_dir() && holds_files_only(&path, seen)))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    #[test]
    fn a_folder_with_a_pipe_is_not_granted() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("data");
        std::fs::create_dir_all(folder.join("deep")).unwrap();
        std::fs::write(folder.join("deep/file"), b"x").unwrap();
        let dirs = [root.path().canonicalize().unwrap()];
        assert!(super::folder(&dirs, &folder).is_some());
        // A socket stands for all that is not a file: it is made without further help.
        let _socket = std::os::unix::net::UnixListener::bind(folder.join("deep/socket")).unwrap();
        assert!(super::folder(&dirs, &folder).is_none());
    }

    use super::*;

    #[test]
    fn only_folders_that_really_are_in_an_open_one_are_granted() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        for folder in ["open/lists", "shut"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        std::fs::write(root.join("open/file"), b"x").unwrap();
        std::os::unix::fs::symlink(root.join("shut"), root.join("open/out")).unwrap();
        std::os::unix::fs::symlink(root.join("open/lists"), root.join("in")).unwrap();
        let dirs = [root.join("open"), root.join("none")];
        let grant = |path: &str| FileGrant { host: root.join(path).to_str().unwrap().into(), guest: "/g".into() };
        let real = resolved(&dirs, &[grant("open"), grant("open/lists"), grant("in")]).unwrap();
        assert_eq!(real, [grant("open"), grant("open/lists"), grant("open/lists")]);
        let error = resolved(&dirs, &["shut", "open", "open/out", "open/file", "open/none"].map(grant)).unwrap_err();
        assert_eq!(error.code, ErrorCode::GrantRefused);
        assert_eq!(error.message.matches("'").count(), 8, "{}", error.message);
        assert!(resolved(&[], &[grant("open")]).is_err());
        assert!(resolved(&[], &[]).unwrap().is_empty());
    }
}
