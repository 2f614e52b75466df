// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What every [`Artifacts`] keeps to.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Check, checks, must};
use crate::artifacts::{Artifacts, Pin};
use crate::error::{Error, ErrorCode, Result};

/// A fresh place for artifacts.
pub trait ArtifactsHarness {
    /// The artifacts as this process sees them.
    fn artifacts(&self) -> Arc<dyn Artifacts>;

    /// The artifacts as another process sees them; `None` where there can be no other, and the check is passed over.
    fn another_process(&self) -> Option<Arc<dyn Artifacts>> {
        None
    }

    /// Changes the stored bytes of an artifact.
    fn damage(&self, digest: &str);

    /// Kills the process and starts it anew, on what outlasts it. Whoever held the old one drops it.
    fn reopen(&mut self);
}

/// The contract of [`Artifacts`].
pub const CHECKS: &[Check<dyn ArtifactsHarness>] = checks![
    an_artifact_is_found_by_the_sha_256_of_its_bytes,
    storing_again_changes_nothing,
    what_is_not_there_is_not_found,
    a_damaged_artifact_is_never_given_and_is_healed,
    artifacts_outlast_the_process,
    sweeping_removes_what_nobody_needs,
    what_is_in_use_stays,
    what_is_pinned_stays_until_its_last_pin_goes,
    pins_are_looked_at_before_the_register,
    a_register_that_fails_keeps_everything,
    an_artifact_that_is_being_stored_is_not_swept,
    pins_do_not_outlast_their_process,
    a_pin_of_another_process_holds,
];

/// SHA-256 of `abc`, from the standard.
const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

/// Stores an artifact and lets go of its pin.
fn put(artifacts: &dyn Artifacts, bytes: &[u8]) -> String {
    must("storing", artifacts.put(bytes)).digest().to_owned()
}

fn list(artifacts: &dyn Artifacts) -> Vec<String> {
    must("listing", artifacts.list())
}

fn sweep(artifacts: &dyn Artifacts, in_use: &[&str]) -> usize {
    let used: HashSet<String> = in_use.iter().map(|digest| (*digest).to_owned()).collect();
    must("sweeping", artifacts.sweep(&mut || Ok(used.clone())))
}

fn refused<T>(result: Result<T>, code: ErrorCode, what: &str) {
    assert_eq!(result.err().map(|e| e.code), Some(code), "{what}");
}

fn an_artifact_is_found_by_the_sha_256_of_its_bytes(harness: &mut dyn ArtifactsHarness) {
    let artifacts = harness.artifacts();
    assert_eq!(list(&*artifacts), Vec::<String>::new());
    assert_eq!(must("storing", artifacts.put(b"abc")).digest(), ABC);
    assert_eq!(must("reading", artifacts.get(ABC)), b"abc");
    let other = put(&*artifacts, b"");
    assert_eq!(must("reading", artifacts.get(&other)), b"", "an empty one is one too");
    let mut expected = [other, ABC.to_owned()];
    expected.sort();
    assert_eq!(list(&*artifacts), expected);
}

fn storing_again_changes_nothing(harness: &mut dyn ArtifactsHarness) {
    let artifacts = harness.artifacts();
    assert_eq!(put(&*artifacts, b"abc"), put(&*artifacts, b"abc"));
    assert_eq!(list(&*artifacts), [ABC]);
    assert_eq!(must("reading", artifacts.get(ABC)), b"abc");
}

fn what_is_not_there_is_not_found(harness: &mut dyn ArtifactsHarness) {
    let artifacts = harness.artifacts();
    refused(artifacts.get(ABC), ErrorCode::ArtifactNotFound, "reading what was never stored");
    let pin = artifacts.pin(ABC);
    refused(artifacts.get(ABC), ErrorCode::ArtifactNotFound, "a pin makes no artifact");
    assert_eq!(list(&*artifacts), Vec::<String>::new());
    drop(pin);
    for bad in ["", "abc", "../../etc/passwd", &ABC.to_uppercase()] {
        assert!(artifacts.get(bad).is_err(), "'{bad}' is no digest");
    }
}

fn a_damaged_artifact_is_never_given_and_is_healed(harness: &mut dyn ArtifactsHarness) {
    let artifacts = harness.artifacts();
    put(&*artifacts, b"abc");
    harness.damage(ABC);
    refused(artifacts.get(ABC), ErrorCode::ArtifactCorrupt, "reading what was changed");
    assert_eq!(put(&*artifacts, b"abc"), ABC);
    assert_eq!(must("reading", artifacts.get(ABC)), b"abc", "storing it again makes it whole");
}

fn artifacts_outlast_the_process(harness: &mut dyn ArtifactsHarness) {
    put(&*harness.artifacts(), b"abc");
    harness.reopen();
    assert_eq!(must("reading", harness.artifacts().get(ABC)), b"abc");
    assert_eq!(list(&*harness.artifacts()), [ABC]);
}

fn sweeping_removes_what_nobody_needs(harness: &mut dyn ArtifactsHarness) {
    let artifacts = harness.artifacts();
    put(&*artifacts, b"abc");
    put(&*artifacts, b"other");
    assert_eq!(sweep(&*artifacts, &[]), 2);
    assert_eq!(list(&*artifacts), Vec::<String>::new());
    refused(artifacts.get(ABC), ErrorCode::ArtifactNotFound, "reading what was swept");
    assert_eq!(sweep(&*artifacts, &[]), 0);
}

fn what_is_in_use_stays(harness: &mut dyn ArtifactsHarness) {
    let artifacts = harness.artifacts();
    put(&*artifacts, b"abc");
    put(&*artifacts, b"other");
    assert_eq!(sweep(&*artifacts, &[ABC, &"0".repeat(64)]), 1);
    assert_eq!(list(&*artifacts), [ABC]);
}

fn what_is_pinned_stays_until_its_last_pin_goes(harness: &mut dyn ArtifactsHarness) {
    let artifacts = harness.artifacts();
    let stored = must("storing", artifacts.put(b"abc"));
    assert_eq!(sweep(&*artifacts, &[]), 0, "storing pins");
    let pins: [Pin; 2] = std::array::from_fn(|_| artifacts.pin(ABC));
    drop(stored);
    for pin in pins {
        assert_eq!((sweep(&*artifacts, &[]), pin.digest()), (0, ABC));
    }
    assert_eq!(sweep(&*artifacts, &[]), 1);
}

fn pins_are_looked_at_before_the_register(harness: &mut dyn ArtifactsHarness) {
    let artifacts = harness.artifacts();
    let mut pin = Some(must("storing", artifacts.put(b"abc")));
    // An operation that registers the artifact just after the register was read, and then needs its pin no more.
    let swept = artifacts.sweep(&mut || {
        pin = None;
        Ok(HashSet::new())
    });
    assert_eq!(must("sweeping", swept), 0, "an operation that ended while the register was read");
    assert_eq!(must("reading", artifacts.get(ABC)), b"abc");
}

fn a_register_that_fails_keeps_everything(harness: &mut dyn ArtifactsHarness) {
    let artifacts = harness.artifacts();
    put(&*artifacts, b"abc");
    let swept = artifacts.sweep(&mut || Err(Error::new(ErrorCode::Storage, "the register cannot be read")));
    refused(swept, ErrorCode::Storage, "sweeping without the register");
    assert_eq!(list(&*artifacts), [ABC]);
}

fn an_artifact_that_is_being_stored_is_not_swept(harness: &mut dyn ArtifactsHarness) {
    let artifacts = harness.artifacts();
    std::thread::scope(|scope| {
        let storing = scope.spawn(|| {
            for n in 0..50u8 {
                let pin = must("storing", artifacts.put(&[n]));
                must("reading what was stored just now", artifacts.get(pin.digest()));
            }
        });
        while !storing.is_finished() {
            sweep(&*artifacts, &[]);
        }
        storing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

fn pins_do_not_outlast_their_process(harness: &mut dyn ArtifactsHarness) {
    let pin = must("storing", harness.artifacts().put(b"abc"));
    std::mem::forget(pin);
    assert_eq!(sweep(&*harness.artifacts(), &[]), 0);
    harness.reopen();
    assert_eq!(sweep(&*harness.artifacts(), &[]), 1);
}

fn a_pin_of_another_process_holds(harness: &mut dyn ArtifactsHarness) {
    let Some(other) = harness.another_process() else { return };
    let artifacts = harness.artifacts();
    let pin = must("storing", other.put(b"abc"));
    assert_eq!(must("reading what another process stored", artifacts.get(ABC)), b"abc");
    assert_eq!(sweep(&*artifacts, &[]), 0, "another process is about to use it");
    drop(pin);
    assert_eq!(sweep(&*artifacts, &[]), 1);
    refused(other.get(ABC), ErrorCode::ArtifactNotFound, "reading what another process has swept");
}
