// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Keeps the folder within its bound, and free of what crashes leave.

use std::collections::BTreeMap;
use std::io;
use std::time::SystemTime;

use super::entry::{ARTIFACT, CODE, Entry, Folder, SUM, UNFINISHED, remove_unfinished};
use super::place::Place;

/// The facts about an artifact's files.
#[derive(Debug, Default)]
struct Files {
    bytes: u64,
    has_code: bool,
    /// The time of the sum, if there is one.
    used: Option<SystemTime>,
}

/// Removes what is incomplete, and then what was used longest ago until the rest is within the bound. Files in use stay, and
/// so do files of other names.
pub(super) fn prune(place: &Place, max_bytes: u64) -> io::Result<()> {
    let Some(folder) = place.open()? else { return Ok(()) };
    let _locked = folder.lock()?;
    let mut complete = Vec::new();
    let mut bytes = 0;
    for (stem, files) in list(&folder)? {
        let entry = Entry::of(stem);
        match files.used.filter(|_| files.has_code) {
            Some(used) => {
                bytes += files.bytes;
                complete.push((used, files.bytes, entry));
            }
            // Nobody is adding to it: the folder is locked. Who maps its code has it locked.
            None => drop(entry.remove(&folder)?),
        }
    }
    complete.sort_by_key(|(used, ..)| *used);
    for (_, size, entry) in complete {
        if bytes <= max_bytes {
            break;
        }
        if entry.remove(&folder)? {
            bytes -= size;
        }
    }
    Ok(())
}

/// The files of each artifact by what their names begin with. What crashes left unfinished is removed.
fn list(folder: &Folder) -> io::Result<BTreeMap<String, Files>> {
    let mut found = BTreeMap::<String, Files>::new();
    for name in folder.dir().names()? {
        let Some((stem, extension)) = name.split_once('.') else { continue };
        if !is_stem(stem) {
            continue;
        }
        if extension.ends_with(UNFINISHED) {
            remove_unfinished(folder, &name)?;
        } else if [CODE, ARTIFACT, SUM].contains(&extension) {
            let metadata = folder.dir().path().join(&name).symlink_metadata()?;
            let files = found.entry(stem.to_owned()).or_default();
            files.bytes += metadata.len();
            files.has_code |= extension == CODE;
            if extension == SUM {
                files.used = Some(metadata.modified()?);
            }
        }
    }
    Ok(found)
}

/// Reports whether a name begins as those of the cache do: with the digests of an artifact and of an engine.
fn is_stem(stem: &str) -> bool {
    let is_hex = |text: &str, len| text.len() == len && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    stem.split_once('-').is_some_and(|(digest, engine)| is_hex(digest, 64) && is_hex(engine, 16))
}
