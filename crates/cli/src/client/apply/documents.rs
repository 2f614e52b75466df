// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The descriptions that are to be applied: from files and folders to documents with their artifacts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fnstream_api::Client;
use fnstream_config::parse_function_config;
use fnstream_core::Error;

use super::super::create::upload;
use crate::failure::{Failure, Result};
use crate::files;

/// The ends of the names of files that are looked for in a folder.
const ENDS: [&str; 3] = ["yaml", "yml", "json"];

/// A description of one function.
pub(super) struct Document {
    /// The name of the function.
    pub(super) name: String,
    /// The file that it is in.
    pub(super) source: String,
    pub(super) text: Vec<u8>,
    /// The artifact, as the server knows it.
    pub(super) archive: String,
}

/// A document before its artifact was uploaded.
struct Draft {
    name: String,
    file: PathBuf,
    text: Vec<u8>,
    /// A path of this machine, or a digest.
    archive: String,
}

/// The documents of files and folders, in their order. Nothing is uploaded before all of them are read and sound.
pub(super) async fn documents(client: &Client, paths: &[PathBuf], archive: Option<&str>) -> Result<Vec<Document>> {
    let drafts = drafts(paths, archive)?;
    let mut uploaded: BTreeMap<String, String> = BTreeMap::new();
    let mut documents = Vec::new();
    for Draft { name, file, text, archive } in drafts {
        let archive = match uploaded.get(&archive) {
            Some(digest) => digest.clone(),
            None => {
                let digest = upload(client, archive.clone()).await?;
                uploaded.insert(archive, digest.clone());
                digest
            }
        };
        documents.push(Document { name, source: file.display().to_string(), text, archive });
    }
    Ok(documents)
}

fn drafts(paths: &[PathBuf], archive: Option<&str>) -> Result<Vec<Draft>> {
    let (mut drafts, mut problems): (Vec<Draft>, Vec<Error>) = (Vec::new(), Vec::new());
    for file in files(paths)? {
        let shown = file.display().to_string();
        let text =
            files::read(&file, files::MOST_TEXT).map_err(|e| Failure::Usage(format!("cannot read '{shown}': {e}")))?;
        let texts = fnstream_config::documents(&text);
        if texts.is_empty() {
            return Err(Failure::Usage(format!("'{shown}' describes no function")));
        }
        for text in texts {
            let config = match parse_function_config(&text) {
                Ok((config, _)) => config,
                Err(found) => {
                    problems.push(found.named(&shown).into());
                    continue;
                }
            };
            if let Some(other) = drafts.iter().find(|draft| draft.name == config.name) {
                let other = other.file.display();
                return Err(Failure::Usage(format!(
                    "function '{}' is described twice, in '{other}' and in '{shown}'",
                    config.name
                )));
            }
            let archive = match (archive, &config.archive) {
                (Some(archive), _) => archive.to_owned(),
                (None, Some(archive)) => beside(&file, archive),
                (None, None) => {
                    return Err(Failure::Usage(format!(
                        "there is no artifact for function '{}': give --archive, or 'archive' in '{shown}'",
                        config.name
                    )));
                }
            };
            drafts.push(Draft { name: config.name, file: file.clone(), text, archive });
        }
    }
    match problems.split_first() {
        None => Ok(drafts),
        Some((first, _)) => {
            let lines: Vec<_> = problems.iter().map(|problem| problem.message.as_str()).collect();
            Err(Failure::new(first.code, lines.join("\n")))
        }
    }
}

/// The files, those of folders in the order of their names. Folders within them are not looked into.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let unread = |e: std::io::Error| Failure::Usage(format!("cannot read '{}': {e}", path.display()));
        let mut found = Vec::new();
        for entry in std::fs::read_dir(path).map_err(unread)? {
            let file = entry.map_err(unread)?.path();
            let end = file.extension().and_then(|end| end.to_str());
            if file.is_file() && end.is_some_and(|end| ENDS.contains(&end)) {
                found.push(file);
            }
        }
        if found.is_empty() {
            return Err(Failure::Usage(format!("the folder '{}' holds no .yaml, .yml or .json", path.display())));
        }
        found.sort();
        files.extend(found);
    }
    Ok(files)
}

/// An artifact as a description names it.
fn beside(file: &Path, archive: &str) -> String {
    if archive.starts_with("sha256:") {
        return archive.to_owned();
    }
    file.parent().unwrap_or_else(|| Path::new("")).join(archive).to_string_lossy().into_owned()
}
