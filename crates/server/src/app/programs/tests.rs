// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

use std::collections::BTreeSet;

use fnstream_core::Error;
use fnstream_core::clock::SystemClock;
use fnstream_core::test_util::mem_artifacts::MemArtifacts;
use fnstream_engine::native::NativeProgram;
use parking_lot::Condvar;
use tokio::task::JoinHandle;

use super::*;

const MIB: usize = 1 << 20;

/// Loads an artifact when a test says so. Its first byte is the memory that it is guessed to take in MiB, its second what it takes.
#[derive(Default)]
struct Gated {
    gate: Mutex<Gate>,
    changed: Condvar,
}

#[derive(Default)]
struct Gate {
    /// Those that have begun, and what they were given, in MiB.
    begun: Vec<(Vec<u8>, usize)>,
    let_go: BTreeSet<Vec<u8>>,
}

impl Runtime for Gated {
    fn load(&self, artifact: &[u8]) -> Result<Arc<dyn Program>> {
        self.load_within(artifact, usize::MAX)
    }

    fn memory_to_load(&self, artifact: &[u8]) -> usize {
        usize::from(artifact[0]) * MIB
    }

    fn load_within(&self, artifact: &[u8], memory: usize) -> Result<Arc<dyn Program>> {
        let mut gate = self.gate.lock();
        gate.begun.push((artifact.to_vec(), memory / MIB));
        if memory < usize::from(artifact[1]) * MIB {
            return Err(Error::new(ErrorCode::CompileMemory, "it takes more"));
        }
        while !gate.let_go.contains(artifact) {
            self.changed.wait(&mut gate);
        }
        Ok(NativeProgram::new(|| Box::new(|_, _| Ok(()))))
    }
}

impl Gated {
    fn let_go(&self, artifact: &[u8]) {
        self.gate.lock().let_go.insert(artifact.to_vec());
        self.changed.notify_all();
    }

    fn begun(&self) -> Vec<(Vec<u8>, usize)> {
        self.gate.lock().begun.clone()
    }
}

struct Fixture {
    artifacts: MemArtifacts,
    runtime: Arc<Gated>,
    memory: Part,
    programs: Arc<Programs>,
}

type Loaded = JoinHandle<Result<Arc<dyn Program>>>;

impl Fixture {
    /// Programs that have 200 MiB, of which 50 are reserved for small ones.
    fn new() -> Self {
        Self::with(200 * MIB)
    }

    fn with(memory: usize) -> Self {
        let (artifacts, runtime) = (MemArtifacts::default(), Arc::new(Gated::default()));
        let memory = Part::new("compiling", "compiling", memory);
        let clock = Arc::new(SystemClock::new());
        let programs = Programs::new(Arc::new(artifacts.clone()), runtime.clone(), memory.clone(), clock);
        Fixture { artifacts, runtime, memory, programs }
    }

    /// Begins to load an artifact, as of a function that is registered.
    fn load(&self, artifact: &[u8]) -> Loaded {
        let pin = self.artifacts.put(artifact).unwrap();
        let programs = self.programs.clone();
        tokio::spawn(async move { programs.load(pin.digest()).await })
    }
}

async fn until(is: impl Fn() -> bool) {
    while !is() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_small_waits_for_nothing_large() {
    let fixture = Fixture::new();
    let monsters: Vec<Loaded> = (0..8).map(|number| fixture.load(&[200, 50, number])).collect();
    until(|| fixture.programs.under_way() == (7, 1)).await;
    assert_eq!(fixture.memory.used(), 150 * MIB, "one at a time, with all that is not reserved");
    for number in 0..3 {
        let small = [40, 40, number];
        fixture.runtime.let_go(&small);
        fixture.load(&small).await.unwrap().unwrap();
        assert_eq!(fixture.programs.under_way(), (7, 1), "nothing has become of the large ones meanwhile");
    }
    (0..8).for_each(|number| fixture.runtime.let_go(&[200, 50, number]));
    for monster in monsters {
        monster.await.unwrap().unwrap();
    }
    assert_eq!((fixture.programs.under_way(), fixture.memory.used()), ((0, 0), 0));
    assert!(fixture.memory.peak() <= fixture.memory.limit());
}

#[tokio::test(flavor = "multi_thread")]
async fn small_ones_wait_for_memory_among_themselves() {
    let fixture = Fixture::new();
    let monster = fixture.load(&[200, 50, 0]);
    until(|| fixture.programs.under_way() == (0, 1)).await;
    // There is room for one of them beside it.
    (0..6).for_each(|number| fixture.runtime.let_go(&[50, 50, number]));
    let loads: Vec<Loaded> = (0..6).map(|number| fixture.load(&[50, 50, number])).collect();
    for load in loads {
        load.await.unwrap().unwrap();
    }
    assert_eq!(fixture.memory.peak(), fixture.memory.limit());
    fixture.runtime.let_go(&[200, 50, 0]);
    monster.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_more_than_was_guessed_is_tried_again_as_a_large_one() {
    let fixture = Fixture::new();
    let (wrong, hopeless) = ([10, 145, 0], [10, 151, 0]);
    fixture.runtime.let_go(&wrong);
    fixture.load(&wrong).await.unwrap().unwrap();
    assert_eq!(fixture.memory.refused(), 0, "it is made in the end");
    let refused = fixture.load(&hopeless).await.unwrap().err().unwrap();
    assert_eq!(refused.code, ErrorCode::CompileMemory);
    let begun = [(wrong.to_vec(), 10), (wrong.to_vec(), 150), (hopeless.to_vec(), 10), (hopeless.to_vec(), 150)];
    assert_eq!(fixture.runtime.begun(), begun);
    assert_eq!((fixture.programs.under_way(), fixture.memory.used()), ((0, 0), 0));
    assert_eq!(fixture.memory.refused(), 1);
    let refused = fixture.load(&[200, 151, 0]).await.unwrap().err().unwrap();
    assert_eq!((refused.code, fixture.memory.refused()), (ErrorCode::CompileMemory, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn little_memory_is_not_divided() {
    // What is left of three quarters of the latter is too little for an ordinary artifact of Go.
    for limit in [64, 199] {
        let fixture = Fixture::with(limit * MIB);
        let loads: Vec<Loaded> = (0..3).map(|number| fixture.load(&[40, 60, number])).collect();
        (0..3).for_each(|number| fixture.runtime.let_go(&[40, 60, number]));
        for load in loads {
            load.await.unwrap().unwrap();
        }
        assert!(fixture.runtime.begun().iter().all(|(_, given)| *given == limit));
        assert_eq!(fixture.memory.peak(), limit * MIB);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn how_far_a_loading_is_can_be_seen() {
    let fixture = Fixture::new();
    let (first, second) = ([200, 1, 0], [200, 1, 1]);
    let begins = fixture.load(&first);
    until(|| fixture.runtime.begun().len() == 1).await;
    let waits = fixture.load(&second);
    until(|| fixture.programs.under_way() == (1, 1)).await;
    let digest = |artifact: &[u8]| fnstream_core::artifacts::digest(artifact);
    let told = |artifact: &[u8]| fixture.programs.loading(&digest(artifact)).map(|loading| loading.to_string());
    assert!(told(&first).unwrap().starts_with("its code is being compiled, for "));
    assert!(told(&second).unwrap().starts_with("its code waits to be compiled, for "));
    [first, second].iter().for_each(|artifact| fixture.runtime.let_go(artifact));
    for load in [begins, waits] {
        load.await.unwrap().unwrap();
    }
    assert_eq!((told(&first), told(&second)), (None, None));
}
