// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Backups of a store in use, what is refused of them, and their way back.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use fnstream_core::backups::{Patient, Progress, Watch};
use fnstream_core::spec::{DesiredState, FunctionSpec};
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_store::{Store, check, restore, verify};

use crate::support::*;

/// Does something when it hears of a backup for the first time, and may not want it from then on.
struct Then<F>(Mutex<Option<F>>);

impl<F: FnOnce() -> Result<()> + Send> Then<F> {
    fn new(work: F) -> Self {
        Then(Mutex::new(Some(work)))
    }
}

impl<F: FnOnce() -> Result<()> + Send> Watch for Then<F> {
    fn rest(&self, _: Duration) -> Result<()> {
        let work = self.0.lock().unwrap().take();
        work.map_or(Ok(()), |work| work())
    }

    fn hear(&self, _: Progress) {}
}

/// A store with an artifact, a function, a topic and a commit; and a place for backups.
struct Site {
    place: tempfile::TempDir,
    store: Store,
    artifact: String,
}

impl Site {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let store = open(&place.path().join("data"));
        store.ensure_topic("in", 2).unwrap();
        store.ensure_topic("out", 1).unwrap();
        append(&store, "in", Some(0), &frame(["a", "b"])).unwrap();
        let pin = store.artifacts().put(b"\0asm of a function").unwrap();
        let artifact = pin.digest().to_owned();
        let entry = store
            .metadata()
            .create(FunctionSpec { artifact: artifact.clone(), ..spec("f") }, DesiredState::Running)
            .unwrap();
        let task = fnstream_core::epoch::TaskId::new(entry.id, 0);
        let acquired = acquire(&store, task, None).0;
        let records = frame(["made of a"]);
        let epoch = epoch(task, acquired.generation, 1, put("k", "v"), vec![outbox("out", 0, &records)]);
        commit(&*store.committer(), epoch).unwrap();
        Site { place, store, artifact }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn back_up(&self, to: &Path) -> Result<()> {
        self.store.backups().make(to, None, &Patient).map(drop)
    }

    fn refused(&self, to: impl AsRef<Path>) -> Error {
        let refused = self.back_up(to.as_ref()).unwrap_err();
        assert!(!self.path("data/checkpoint.tmp").exists(), "a checkpoint was left");
        refused
    }
}

/// All files of a folder, relative to it, in order.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files(&entry.path()).into_iter().map(|inner| format!("{name}/{inner}"))),
            false => found.push(name),
        }
    }
    found.sort();
    found
}

#[test]
fn what_was_there_at_the_moment_is_restored_and_nothing_else() {
    let site = Site::new();
    // What comes and goes while files are copied: an append, a sweep of what the backup needs, an upload.
    let watch = Then::new(|| {
        append(&site.store, "in", Some(0), &frame(["too late"]))?;
        site.store.ensure_topic("later", 1)?;
        assert_eq!(site.store.artifacts().sweep(&mut || Ok(Default::default()))?, 1);
        drop(site.store.artifacts().put(b"\0asm of another")?);
        Ok(())
    });
    let to = site.path("backup");
    let made = site.store.backups().make(&to, None, &watch).unwrap();
    assert!(watch.0.lock().unwrap().is_none());
    assert_eq!((made.topics, made.functions), (2, 1));
    let listed = verify(&to, &Patient).unwrap();
    assert_eq!((listed.files.len() as u64, listed.bytes()), (made.files, made.bytes));
    assert_eq!(files(&to).len(), listed.files.len() + 1);

    let target = site.path("restored/below");
    let restored = restore(&to, &target, false, &Patient).unwrap();
    assert_eq!((restored.manifest, restored.replaced), (listed, None));
    assert!(check(&target).unwrap().is_good());
    let store = open(&target);
    assert_eq!(values(&store, &at("in", 0)), ["a", "b"]);
    assert_eq!(values(&store, &at("out", 0)), ["made of a"]);
    assert!(store.topic("later").is_err());
    assert_eq!(store.artifacts().list().unwrap(), std::slice::from_ref(&site.artifact));
    let function = store.metadata().get("f").unwrap().unwrap();
    assert_eq!(store.progress(function.id).unwrap()[&0].records_in, 1);
    // The two go their own ways.
    append(&store, "in", Some(0), &frame(["here"])).unwrap();
    assert_eq!(values(&site.store, &at("in", 0)), ["a", "b", "too late"]);
    site.store.close().unwrap();
}

#[test]
fn nobody_else_reads_a_backup_or_what_is_restored() {
    let site = Site::new();
    let (to, target) = (site.path("backup"), site.path("restored"));
    site.back_up(&to).unwrap();
    restore(&to, &target, false, &Patient).unwrap();
    let rights = |path: &Path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777;
    for root in [&to, &target] {
        for folder in ["", "db", "artifacts"] {
            assert_eq!(rights(&root.join(folder)), 0o700, "{root:?} {folder}");
        }
    }
    for file in files(&to) {
        assert_eq!(rights(&to.join(&file)), 0o600, "{file}");
    }
}

#[test]
fn any_damage_is_found_and_named_and_nothing_is_written() {
    let site = Site::new();
    let (to, target) = (site.path("backup"), site.path("restored"));
    site.back_up(&to).unwrap();
    let refused = |what: &str, name: &str| {
        let found = verify(&to, &Patient).expect_err(what);
        assert_eq!(found.code, ErrorCode::BackupDamaged, "{what}: {found}");
        assert!(found.message.contains(name), "{what}: {found}");
        assert!(restore(&to, &target, false, &Patient).is_err(), "{what}");
        assert!(!target.exists(), "{what}: something was written");
    };
    for name in files(&to) {
        let path = to.join(&name);
        let bytes = fs::read(&path).unwrap();
        let last = bytes.len().saturating_sub(1);
        for place in [0, bytes.len() / 2, last].into_iter().filter(|place| *place < bytes.len()) {
            let mut flipped = bytes.clone();
            flipped[place] ^= 1;
            fs::write(&path, flipped).unwrap();
            refused(&format!("a bit of {name} at {place}"), &name);
        }
        for length in [0, bytes.len() / 2, last].into_iter().filter(|length| *length < bytes.len()) {
            fs::write(&path, &bytes[..length]).unwrap();
            refused(&format!("{name} cut to {length}"), &name);
        }
        fs::write(&path, [&bytes[..], b"x"].concat()).unwrap();
        refused(&format!("{name} with a byte more"), &name);
        fs::remove_file(&path).unwrap();
        refused(&format!("{name} missing"), &name);
        // A link to the very same bytes is not what was made.
        let aside = site.path("aside");
        fs::write(&aside, &bytes).unwrap();
        symlink(&aside, &path).unwrap();
        let found = verify(&to, &Patient).unwrap_err();
        assert_eq!(found.code, ErrorCode::StrangeFile, "{name}: {found}");
        fs::remove_file(&path).unwrap();
        fs::write(&path, &bytes).unwrap();
    }
    for more in ["more", "db/000099.sst", "artifacts/more"] {
        fs::write(to.join(more), "").unwrap();
        refused(&format!("{more} more"), more);
        fs::remove_file(to.join(more)).unwrap();
    }
    fs::create_dir(to.join("logs")).unwrap();
    refused("a folder more", "logs");
    fs::remove_dir(to.join("logs")).unwrap();
    verify(&to, &Patient).unwrap();
}

#[test]
fn a_place_that_will_not_do_is_refused_and_left_as_it_is() {
    let site = Site::new();
    fs::create_dir(site.path("there")).unwrap();
    fs::write(site.path("file"), "theirs").unwrap();
    symlink(site.path("nowhere"), site.path("link")).unwrap();
    symlink(site.path("data"), site.path("way-in")).unwrap();
    for (to, why) in [
        (PathBuf::from("relative"), "is not an absolute path"),
        (site.path("../up"), "has a part '..'"),
        (PathBuf::from("/"), "is no name of a folder"),
        (site.path("there"), "exists already"),
        (site.path("file"), "exists already"),
        (site.path("link"), "exists already"),
        (site.path("missing/backup"), "there is no folder"),
        (site.path("file/backup"), "is no folder"),
        (site.path("data/backup"), "is in the data folder itself"),
        (site.path("data/db/backup"), "is in the data folder itself"),
        (site.path("way-in/backup"), "is in the data folder itself"),
    ] {
        let refused = site.refused(&to);
        assert_eq!(refused.code, ErrorCode::BackupPlace, "{to:?}: {refused}");
        assert!(refused.message.contains(why), "{to:?}: {refused}");
    }
    assert_eq!(files(&site.path("there")), [""; 0]);
    assert_eq!(fs::read_to_string(site.path("file")).unwrap(), "theirs");
    #[cfg(target_os = "linux")]
    assert_eq!(site.refused("/proc/backup").code, ErrorCode::BackupUnwritable);
}

#[test]
fn one_backup_is_made_at_a_time_and_at_a_place() {
    let site = Site::new();
    let other = Site::new();
    let to = site.path("backup");
    let watch = Then::new(|| {
        let second = site.back_up(&site.path("second")).unwrap_err();
        assert_eq!(second.code, ErrorCode::BackupUnderWay, "{second}");
        let same_place = other.refused(&to);
        assert_eq!(same_place.code, ErrorCode::BackupUnderWay, "{same_place}");
        assert!(same_place.message.contains("another server"), "{same_place}");
        Ok(())
    });
    site.store.backups().make(&to, None, &watch).unwrap();
    verify(&to, &Patient).unwrap();
    assert!(!site.path("second").exists() && !site.path("second.partial").exists());
    other.back_up(&other.path("backup")).unwrap();
}

#[test]
fn somebody_who_takes_the_name_meanwhile_keeps_it() {
    let site = Site::new();
    let to = site.path("backup");
    let watch = Then::new(|| {
        fs::create_dir(&to).unwrap();
        Ok(())
    });
    let refused = site.store.backups().make(&to, None, &watch).unwrap_err();
    assert_eq!(refused.code, ErrorCode::BackupPlace, "{refused}");
    assert_eq!((files(&to), site.path("backup.partial").exists()), (vec![], false));
}

#[test]
fn one_that_is_not_wanted_any_more_leaves_nothing() {
    let site = Site::new();
    let watch = Then::new(|| {
        assert!(site.path("backup.partial").exists() && site.path("data/checkpoint.tmp").exists());
        Err(Error::new(ErrorCode::Cancelled, "enough"))
    });
    let refused = site.store.backups().make(&site.path("backup"), None, &watch).unwrap_err();
    assert_eq!(refused.code, ErrorCode::Cancelled);
    for left in ["backup", "backup.partial", "data/checkpoint.tmp"] {
        assert!(!site.path(left).exists(), "{left}");
    }
}

#[test]
fn what_a_crash_left_is_in_nobodys_way() {
    let site = Site::new();
    let partial = site.path("backup.partial");
    fs::create_dir_all(partial.join("db")).unwrap();
    fs::write(partial.join("db/000001.sst"), "half").unwrap();
    // Without the mark it may be anything.
    let refused = site.refused(site.path("backup"));
    assert!(refused.code == ErrorCode::BackupPlace && refused.message.contains("in the way"), "{refused}");
    assert_eq!(files(&partial), ["db/000001.sst"]);
    fs::write(partial.join("INCOMPLETE"), "").unwrap();
    let found = verify(&partial, &Patient).unwrap_err();
    assert!(found.code == ErrorCode::BackupDamaged && found.message.contains("interrupted"), "{found}");
    site.back_up(&site.path("backup")).unwrap();
    verify(&site.path("backup"), &Patient).unwrap();

    fs::create_dir_all(site.path("data/checkpoint.tmp/db")).unwrap();
    let Site { place, store, .. } = site;
    drop(store);
    open(&place.path().join("data"));
    assert!(!place.path().join("data/checkpoint.tmp").exists());
}

#[test]
fn a_damaged_artifact_is_not_copied_in_silence() {
    let site = Site::new();
    fs::remove_file(site.path(&format!("data/artifacts/{}.wasm", site.artifact))).unwrap();
    let refused = site.refused(site.path("backup"));
    assert!(refused.code == ErrorCode::ArtifactCorrupt && refused.message.contains(&site.artifact), "{refused}");
    fs::write(site.path(&format!("data/artifacts/{}.wasm", site.artifact)), "\0asm of a functiom").unwrap();
    let refused = site.refused(site.path("backup"));
    assert!(refused.code == ErrorCode::ArtifactCorrupt && refused.message.contains(&site.artifact), "{refused}");
    assert!(!site.path("backup").exists() && !site.path("backup.partial").exists());
}

#[test]
fn a_restore_replaces_only_what_it_may() {
    let site = Site::new();
    let (to, target) = (site.path("backup"), site.path("target"));
    site.back_up(&to).unwrap();
    let refused = |target: &Path, replace| restore(&to, target, replace, &Patient).unwrap_err();
    fs::create_dir(&target).unwrap();
    fs::write(target.join("thesis.tex"), "…").unwrap();
    assert_eq!(refused(&target, false).code, ErrorCode::RestorePlace);
    assert_eq!(files(&target), ["thesis.tex"]);
    let held = refused(&site.path("data"), true);
    assert_eq!(held.code, ErrorCode::DataDirLocked, "{held}");
    for inside in [to.join("inside"), to.clone()] {
        let refused = refused(&inside, true);
        assert_eq!(refused.code, ErrorCode::RestorePlace, "{inside:?}");
        assert_eq!(refused.advice(), "name a folder that is outside of the backup and not above it");
    }
    assert!(!to.join("inside").exists());

    for (number, there) in [(1, "thesis.tex"), (2, "FORMAT")] {
        let restored = restore(&to, &target, true, &Patient).unwrap();
        let replaced = restored.replaced.unwrap();
        assert_eq!(replaced, target.canonicalize().unwrap().join(format!("replaced-{number}")));
        assert!(files(&replaced).contains(&there.to_owned()), "{:?}", files(&replaced));
        assert_eq!(values(&open(&target), &at("in", 0)), ["a", "b"]);
    }
    // What was replaced is in nobody's way.
    for name in ["FORMAT", "REACH", "db", "artifacts"] {
        let _ = fs::remove_file(target.join(name)).or_else(|_| fs::remove_dir_all(target.join(name)));
    }
    assert_eq!(restore(&to, &target, false, &Patient).unwrap().replaced, None);
}

#[test]
fn what_is_no_backup_is_told_apart_from_a_damaged_one() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("file"), "").unwrap();
    for path in ["missing", "file", ""] {
        let refused = verify(&place.path().join(path), &Patient).unwrap_err();
        assert_eq!(refused.code, ErrorCode::BackupMissing, "{path}: {refused}");
    }
}
