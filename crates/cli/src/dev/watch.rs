// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Changes of a project's files, gathered until it is quiet for a moment: an editor makes several of one.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use notify::event::{EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

use super::{Event, Events};
use crate::failure::{Failure, Result};

/// As long as nothing changes for so long, it is quiet.
const QUIET: Duration = Duration::from_millis(60);

/// Folders whose files no function is made of: what builds write, what packages bring, tests.
const NOT_WATCHED: [&str; 7] = ["build", "target", "node_modules", "venv", "__pycache__", "scenarios", "tests"];

/// What watches a project, as long as it lives.
pub(super) struct Watching {
    _watcher: Arc<Mutex<RecommendedWatcher>>,
}

pub(super) fn watch(dir: &Path, events: Events) -> Result<Watching> {
    let (tell, told) = unbounded_channel();
    let told_of = move |event: notify::Result<notify::Event>| {
        if let Ok(event) = event
            && is_change(event.kind)
        {
            event.paths.into_iter().for_each(|path| tell.send(path).unwrap_or_default());
        }
    };
    let mut watcher = notify::recommended_watcher(told_of).map_err(cannot)?;
    watch_all(&mut watcher, dir)?;
    let watcher = Arc::new(Mutex::new(watcher));
    tokio::spawn(gather(dir.to_owned(), told, Arc::downgrade(&watcher), events));
    Ok(Watching { _watcher: watcher })
}

fn watch_all(watcher: &mut RecommendedWatcher, dir: &Path) -> Result {
    for folder in folders(dir)? {
        watcher.watch(&folder, RecursiveMode::NonRecursive).map_err(cannot)?;
    }
    Ok(())
}

async fn gather(
    dir: PathBuf,
    mut told: UnboundedReceiver<PathBuf>,
    watcher: Weak<Mutex<RecommendedWatcher>>,
    events: Events,
) {
    while let Some(first) = told.recv().await {
        let mut changed = BTreeSet::from([first]);
        while let Ok(Some(path)) = timeout(QUIET, told.recv()).await {
            changed.insert(path);
        }
        let within = |path: PathBuf| path.strip_prefix(&dir).map(Path::to_owned).ok();
        let own = own_output();
        changed.retain(|path| id(path).is_none_or(|id| !own.contains(&id)));
        let ours: Vec<_> = changed.into_iter().filter_map(within).filter(|path| is_watched(path)).collect();
        let Some(watcher) = watcher.upgrade() else { return };
        // What a new folder has by now is seen by whoever is told of the folder.
        for folder in ours.iter().map(|path| dir.join(path)).filter(|path| path.is_dir()) {
            // It may be gone again.
            drop(watch_all(&mut watcher.lock(), &folder));
        }
        if !ours.is_empty() && events.send(Event::Changed(ours)).is_err() {
            return;
        }
    }
}

/// The files that this process's own words go to: each change would lead to more of them, and so to the next change.
fn own_output() -> Vec<(u64, u64)> {
    ["/dev/fd/1", "/dev/fd/2"].iter().filter_map(|path| id(Path::new(path))).collect()
}

fn id(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

/// A folder and those in it that have files of the function.
fn folders(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut all = vec![dir.to_owned()];
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() && is_watched(Path::new(&entry.file_name())) {
            all.extend(folders(&entry.path())?);
        }
    }
    Ok(all)
}

/// Reports whether a path within a project is one that a function may be made of.
fn is_watched(path: &Path) -> bool {
    let parts = path.iter().map(|part| part.to_string_lossy());
    let is_left_out = |part: &str| part.starts_with('.') || part.ends_with('~') || NOT_WATCHED.contains(&part);
    path.iter().next().is_some() && !parts.into_iter().any(|part| is_left_out(&part))
}

fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Create(_) | EventKind::Remove(_) => true,
        EventKind::Modify(what) => !matches!(what, ModifyKind::Metadata(_)),
        EventKind::Access(_) | EventKind::Any | EventKind::Other => false,
    }
}

fn cannot(error: notify::Error) -> Failure {
    Failure::Plain(format!("the folder cannot be watched: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn folders_that_are_made_meanwhile_are_watched_too() {
        let dir = tempfile::tempdir().unwrap();
        let (events, mut told) = unbounded_channel();
        let watching = watch(dir.path(), events).unwrap();
        let mut changed = async |wanted: &str| {
            while let Some(Event::Changed(paths)) = told.recv().await {
                if paths.iter().any(|path| path == Path::new(wanted)) {
                    return true;
                }
            }
            false
        };
        std::fs::create_dir_all(dir.path().join("lib/deep")).unwrap();
        assert!(changed("lib").await);
        std::fs::write(dir.path().join("lib/a.py"), "").unwrap();
        assert!(changed("lib/a.py").await);
        std::fs::write(dir.path().join("lib/deep/b.py"), "").unwrap();
        assert!(changed("lib/deep/b.py").await);
        std::fs::create_dir(dir.path().join("build")).unwrap();
        std::fs::write(dir.path().join("build/c.py"), "").unwrap();
        drop(watching);
        assert!(!changed("build/c.py").await, "what builds write is not watched");
    }

    #[test]
    fn what_builds_and_editors_leave_is_no_change() {
        for path in ["src/app.py", "main.go", "config.yaml", "lib/a/b.js"] {
            assert!(is_watched(Path::new(path)), "{path}");
        }
        for path in
            ["", "build/x.wasm", "target/a", ".git/index", "src/.app.py.swp", "src/app.py~", "src/__pycache__/a.pyc"]
        {
            assert!(!is_watched(Path::new(path)), "{path}");
        }
    }
}
