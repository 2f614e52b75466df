// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Places for artifacts that are broken on purpose.

use std::collections::HashSet;
use std::sync::Arc;

use fnstream_core::artifacts::{Artifacts, InUse, Pin};
use fnstream_core::test_util::mem_artifacts::MemArtifacts;
use fnstream_core::test_util::suites::artifacts::{self, ArtifactsHarness};
use fnstream_core::test_util::suites::run;
use fnstream_core::{Error, ErrorCode, Result};
use parking_lot::Mutex;

use crate::rejects;

#[test]
fn artifacts_in_memory_keep_to_the_contract() {
    run(artifacts::CHECKS, || Box::new(Harness::new(None)));
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    NamesByLength,
    FailsAtARepeat,
    InventsWhatIsMissing,
    GivesWhatIsDamaged,
    ForgetsOnRestart,
    SweepsNothing,
    SweepsWhatIsInUse,
    PinsNothing,
    PinsOnceForAll,
    LooksAtPinsLast,
    SweepsWithoutTheRegister,
    PinsAfterStoring,
    PinsForEver,
    KnowsItsOwnPinsOnly,
}

const FAULTS: [(Fault, &str); 14] = [
    (Fault::NamesByLength, "an_artifact_is_found_by_the_sha_256_of_its_bytes"),
    (Fault::FailsAtARepeat, "storing_again_changes_nothing"),
    (Fault::InventsWhatIsMissing, "what_is_not_there_is_not_found"),
    (Fault::GivesWhatIsDamaged, "a_damaged_artifact_is_never_given_and_is_healed"),
    (Fault::ForgetsOnRestart, "artifacts_outlast_the_process"),
    (Fault::SweepsNothing, "sweeping_removes_what_nobody_needs"),
    (Fault::SweepsWhatIsInUse, "what_is_in_use_stays"),
    (Fault::PinsNothing, "what_is_pinned_stays_until_its_last_pin_goes"),
    (Fault::PinsOnceForAll, "what_is_pinned_stays_until_its_last_pin_goes"),
    (Fault::LooksAtPinsLast, "pins_are_looked_at_before_the_register"),
    (Fault::SweepsWithoutTheRegister, "a_register_that_fails_keeps_everything"),
    (Fault::PinsAfterStoring, "an_artifact_that_is_being_stored_is_not_swept"),
    (Fault::PinsForEver, "pins_do_not_outlast_their_process"),
    (Fault::KnowsItsOwnPinsOnly, "a_pin_of_another_process_holds"),
];

#[test]
fn every_broken_place_is_rejected() {
    rejects(artifacts::CHECKS, &FAULTS, |fault| Box::new(Harness::new(Some(fault))));
}

struct Harness {
    sound: MemArtifacts,
    fault: Option<Fault>,
}

impl Harness {
    fn new(fault: Option<Fault>) -> Self {
        Harness { sound: MemArtifacts::default(), fault }
    }

    fn broken(&self, sound: MemArtifacts) -> Arc<dyn Artifacts> {
        match self.fault {
            None => Arc::new(sound),
            Some(fault) => Arc::new(Broken { sound, fault, pinned: Arc::default() }),
        }
    }
}

impl ArtifactsHarness for Harness {
    fn artifacts(&self) -> Arc<dyn Artifacts> {
        self.broken(self.sound.clone())
    }

    fn another_process(&self) -> Option<Arc<dyn Artifacts>> {
        Some(self.broken(self.sound.other()))
    }

    fn damage(&self, digest: &str) {
        self.sound.damage(digest);
    }

    fn reopen(&mut self) {
        if self.fault == Some(Fault::ForgetsOnRestart) {
            self.sound = MemArtifacts::default();
        }
        if self.fault != Some(Fault::PinsForEver) {
            self.sound.kill();
        }
    }
}

struct Broken {
    sound: MemArtifacts,
    fault: Fault,
    pinned: Arc<Mutex<HashSet<String>>>,
}

impl Broken {
    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn keep_none(digest: &str) -> Pin {
        Pin::new(digest.to_owned(), |_| ())
    }
}

impl Artifacts for Broken {
    fn put(&self, bytes: &[u8]) -> Result<Pin> {
        let digest = fnstream_core::artifacts::digest(bytes);
        match self.fault {
            Fault::NamesByLength => {
                self.sound.put(bytes)?;
                Ok(Self::keep_none(&format!("{:064x}", bytes.len())))
            }
            Fault::FailsAtARepeat if self.sound.get(&digest).is_ok() => {
                Err(Error::new(ErrorCode::Storage, "the file exists"))
            }
            Fault::PinsAfterStoring => {
                drop(self.sound.put(bytes)?);
                // As long as another thread may need.
                (0..100).for_each(|_| std::thread::yield_now());
                Ok(self.sound.pin(&digest))
            }
            Fault::PinsNothing | Fault::PinsOnceForAll | Fault::KnowsItsOwnPinsOnly => {
                self.sound.put(bytes)?;
                Ok(self.pin(&digest))
            }
            _ => self.sound.put(bytes),
        }
    }

    fn get(&self, digest: &str) -> Result<Vec<u8>> {
        match self.sound.get(digest) {
            Err(_) if self.is(Fault::InventsWhatIsMissing) => Ok(Vec::new()),
            Err(error) if self.is(Fault::GivesWhatIsDamaged) && error.code == ErrorCode::ArtifactCorrupt => Ok(vec![0]),
            found => found,
        }
    }

    fn list(&self) -> Result<Vec<String>> {
        self.sound.list()
    }

    fn pin(&self, digest: &str) -> Pin {
        match self.fault {
            Fault::PinsNothing => Self::keep_none(digest),
            Fault::PinsOnceForAll | Fault::KnowsItsOwnPinsOnly => {
                self.pinned.lock().insert(digest.to_owned());
                let pinned = self.pinned.clone();
                Pin::new(digest.to_owned(), move |digest| {
                    pinned.lock().remove(digest);
                })
            }
            _ => self.sound.pin(digest),
        }
    }

    fn sweep(&self, in_use: &mut InUse<'_>) -> Result<usize> {
        match self.fault {
            Fault::SweepsNothing => Ok(0),
            Fault::SweepsWhatIsInUse => self.sound.sweep(&mut || Ok(HashSet::new())),
            Fault::SweepsWithoutTheRegister => self.sound.sweep(&mut || Ok(in_use().unwrap_or_default())),
            Fault::LooksAtPinsLast => {
                let used = in_use()?;
                self.sound.sweep(&mut || Ok(used.clone()))
            }
            Fault::PinsOnceForAll | Fault::KnowsItsOwnPinsOnly => {
                let mut used = in_use()?;
                used.extend(self.pinned.lock().iter().cloned());
                self.sound.sweep(&mut || Ok(used.clone()))
            }
            _ => self.sound.sweep(in_use),
        }
    }
}
