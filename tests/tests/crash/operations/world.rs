// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What must be there, as far as it is known, and how it is compared with what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use fnstream_api::{Client, ClientError, FunctionStatus, ProduceOptions, TopicRequest};
use fnstream_core::ErrorCode;
use fnstream_tests::binary;
use fnstream_tests::chain::ledger::Record;
use fnstream_tests::chain::step::Step;
use fnstream_tests::chain::{check, function, reader};
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// What every function reads.
const INPUT: &str = "ops-in";

/// How many records it has.
const RECORDS: usize = 30;

/// The functions and topics that come and go.
const FUNCTIONS: [&str; 3] = ["f0", "f1", "f2"];
const TOPICS: [&str; 3] = ["t0", "t1", "t2"];

/// A change that is asked for.
#[derive(Debug, Clone)]
pub(super) enum Change {
    CreateFunction { name: String, archive: PathBuf, output: String },
    DeleteFunction { name: String },
    Stop { name: String },
    Start { name: String },
    CreateTopic { name: String, partitions: u32 },
    DeleteTopic { name: String },
    Upload { archive: PathBuf },
}

/// A function that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    output: String,
    desired: String,
}

/// What is there.
pub(super) struct World {
    folder: PathBuf,
    input: Vec<Record>,
    functions: BTreeMap<String, Known>,
    topics: BTreeMap<String, u32>,
    /// How many functions were asked for: each gets an output of its own.
    made: usize,
}

impl Change {
    /// About how long it takes until it is answered.
    pub(super) fn typical(&self) -> Duration {
        Duration::from_millis(match self {
            // It compiles, unless the artifact is known.
            Change::CreateFunction { .. } => 150,
            Change::Start { .. } | Change::Upload { .. } => 20,
            Change::DeleteFunction { .. } | Change::Stop { .. } => 8,
            Change::CreateTopic { .. } | Change::DeleteTopic { .. } => 4,
        })
    }

    /// Asks for it.
    pub(super) async fn ask(&self, client: &Client) -> Result<(), ClientError> {
        match self {
            Change::CreateFunction { name, archive, output } => {
                let asked = function(&archive.to_string_lossy(), INPUT, output, 1);
                client.create_function(name, &asked).await.map(drop)
            }
            Change::DeleteFunction { name } => client.delete_function(name).await,
            Change::Stop { name } => client.stop_function(name).await.map(drop),
            Change::Start { name } => client.start_function(name).await.map(drop),
            Change::CreateTopic { name, partitions } => {
                let asked = TopicRequest { partitions: Some(*partitions), ..TopicRequest::default() };
                client.create_topic(name, &asked).await.map(drop)
            }
            Change::DeleteTopic { name } => client.delete_topic(name).await,
            Change::Upload { archive } => {
                let bytes = std::fs::read(archive).map_err(|e| ClientError::Invalid { message: e.to_string() })?;
                client.upload_artifact(bytes).await.map(drop)
            }
        }
    }
}

impl World {
    /// A world with nothing in it but the input, which is filled.
    pub(super) async fn new(client: &Client, folder: &Path) -> Result<World> {
        let mut input = Vec::new();
        client.create_topic(INPUT, &TopicRequest::default()).await?;
        for n in 0..RECORDS {
            let record = Record::new(&format!("k{}", n % 4), &n.to_string());
            let options = ProduceOptions { key: Some(record.key.clone()), ..ProduceOptions::default() };
            client.produce(INPUT, record.value.clone(), &options).await?;
            input.push(record);
        }
        let (functions, topics) = Default::default();
        Ok(World { folder: folder.to_owned(), input, functions, topics, made: 0 })
    }

    /// A change that is possible.
    pub(super) fn choose(&mut self, rng: &mut StdRng) -> Result<Change> {
        if rng.random_bool(0.1) {
            return Ok(Change::Upload { archive: self.new_archive(true)? });
        }
        if rng.random_bool(0.3) {
            let name = TOPICS.choose(rng).context("no topic")?.to_string();
            return Ok(match self.topics.get(&name) {
                Some(_) => Change::DeleteTopic { name },
                None => Change::CreateTopic { name, partitions: rng.random_range(1..=8) },
            });
        }
        let name = FUNCTIONS.choose(rng).context("no function")?.to_string();
        Ok(match self.functions.get(&name) {
            // An artifact that was seen before needs no compiling, so more kills fall into what comes after it.
            None => Change::CreateFunction {
                archive: self.new_archive(rng.random_bool(0.5))?,
                output: format!("ops-out-{}", self.made),
                name,
            },
            Some(_) if rng.random_bool(0.5) => Change::DeleteFunction { name },
            Some(known) if known.desired == "running" => Change::Stop { name },
            Some(_) => Change::Start { name },
        })
    }

    /// A counting function; a unique one differs from all others in bytes, not in behaviour.
    fn new_archive(&mut self, unique: bool) -> Result<PathBuf> {
        let example = binary::example(Step::KeyedCount.example())?;
        self.made += 1;
        if !unique {
            return Ok(example);
        }
        let mut bytes = std::fs::read(example)?;
        // A custom section: id, size, length of its name, name.
        let name = format!("copy-{:08}", self.made);
        bytes.extend([0, name.len() as u8 + 1, name.len() as u8]);
        bytes.extend(name.as_bytes());
        let path = self.folder.join(format!("{name}.wasm"));
        std::fs::write(&path, bytes)?;
        Ok(path)
    }

    /// Looks at everything: nothing is half there, what was answered is done, and nothing else has changed. Answers
    /// whether the change was done, and remembers it.
    pub(super) async fn observe(&mut self, client: &Client, change: &Change, answered: bool) -> Result<bool> {
        let functions = functions(client).await?;
        let topics = topics(client).await?;
        let (before, mut after) =
            ((self.functions.clone(), self.topics.clone()), (self.functions.clone(), self.topics.clone()));
        match change.clone() {
            Change::CreateFunction { name, output, .. } => {
                after.0.insert(name, Known { output, desired: "running".into() });
            }
            Change::DeleteFunction { name } => drop(after.0.remove(&name)),
            Change::Stop { name } => after.0.get_mut(&name).context("no such function")?.desired = "stopped".into(),
            Change::Start { name } => after.0.get_mut(&name).context("no such function")?.desired = "running".into(),
            Change::CreateTopic { name, partitions } => drop(after.1.insert(name, partitions)),
            Change::DeleteTopic { name } => drop(after.1.remove(&name)),
            Change::Upload { .. } => {}
        }
        let found = (functions, topics);
        let done = found == after;
        ensure!(done || !answered, "it was answered, but there is {found:?} in place of {after:?}");
        ensure!(done || found == before, "there is {found:?}, which is neither {before:?} nor {after:?}");
        (self.functions, self.topics) = found;
        Ok(done)
    }

    /// The folder of artifacts has what functions need, and nothing else: what killed requests left is swept.
    pub(super) async fn check_artifacts(&self, client: &Client, data_dir: &Path) -> Result<()> {
        // A create that is refused sweeps before it answers. So nobody has to wait for the next sweep by the clock.
        let garbage = self.folder.join("garbage.wasm");
        std::fs::write(&garbage, b"\0asm, or not")?;
        match client.create_function("garbage", &function(&garbage.to_string_lossy(), INPUT, "garbage-out", 1)).await {
            Err(error) if error.is(ErrorCode::ArtifactInvalid) => {}
            other => bail!("garbage was answered with {other:?}"),
        }
        let mut needed = BTreeSet::new();
        for name in self.functions.keys() {
            let digest = client.describe_function(name).await?.archive;
            needed.insert(digest.replace("sha256:", "") + ".wasm");
        }
        let mut there = BTreeSet::new();
        for entry in std::fs::read_dir(data_dir.join("artifacts"))? {
            there.insert(entry?.file_name().to_string_lossy().into_owned());
        }
        ensure!(there == needed, "artifacts are {there:?}, needed are {needed:?}");
        Ok(())
    }

    /// Every name can be deleted and made again, and what is made again begins from nothing.
    pub(super) async fn everything_can_be_made_anew(&mut self, client: &Client) -> Result<()> {
        for name in FUNCTIONS {
            if let Some(known) = self.functions.remove(name) {
                client.start_function(name).await?;
                self.counted_once(client, &known.output).await.with_context(|| format!("{name} as it was"))?;
                client.delete_function(name).await?;
            }
            let archive = self.new_archive(false)?;
            let output = format!("ops-out-anew-{name}");
            Change::CreateFunction { name: name.into(), archive, output: output.clone() }.ask(client).await?;
            self.counted_once(client, &output).await.with_context(|| format!("{name} made anew"))?;
        }
        for name in TOPICS {
            let old = self.topics.remove(name);
            if old.is_some() {
                client.delete_topic(name).await?;
            }
            client.create_topic(name, &TopicRequest::default()).await?;
            let ends: Vec<_> = client.describe_topic(name).await?.partitions.into_iter().map(|p| p.end).collect();
            ensure!(ends == ["0"], "topic {name} made anew ends at {ends:?}");
        }
        Ok(())
    }

    /// The output is what a function with no past makes of the whole input, once.
    async fn counted_once(&self, client: &Client, output: &str) -> Result<()> {
        let model = Step::KeyedCount.fresh();
        let expected: Vec<Record> = self.input.iter().flat_map(model).collect();
        let last = expected.last().context("no input")?;
        let found = reader::read_until(client, output, 0, last).await?;
        let problems = check::processed(output, Step::KeyedCount, std::slice::from_ref(&self.input), &[found]);
        ensure!(problems.is_empty(), "{}", check::report(&problems));
        Ok(())
    }
}

/// The functions that are listed; each must be whole, and no other must be there in any way.
async fn functions(client: &Client) -> Result<BTreeMap<String, Known>> {
    let mut found = BTreeMap::new();
    for name in client.list_functions().await? {
        let described = client.describe_function(&name).await?;
        ensure!(described.inputs == [INPUT], "{name} reads {:?}", described.inputs);
        let well = match described.desired.as_str() {
            "running" => !matches!(described.status, FunctionStatus::Failed | FunctionStatus::Stopped),
            _ => described.status == FunctionStatus::Stopped,
        };
        ensure!(well, "{name} is wanted {} but is {:?}: {:?}", described.desired, described.status, described.error);
        let output = described.outputs.first().context("no output")?.clone();
        client.describe_topic(&output).await.with_context(|| format!("the output of {name}"))?;
        found.insert(name, Known { output, desired: described.desired });
    }
    for name in FUNCTIONS.into_iter().filter(|name| !found.contains_key(*name)) {
        match client.describe_function(name).await {
            Err(error) if error.is(ErrorCode::FunctionNotFound) => {}
            other => bail!("{name} is not listed but described as {other:?}"),
        }
    }
    Ok(found)
}

/// The same for topics.
async fn topics(client: &Client) -> Result<BTreeMap<String, u32>> {
    let mut found = BTreeMap::new();
    for name in client.list_topics().await?.into_iter().filter(|name| TOPICS.contains(&name.as_str())) {
        let described = client.describe_topic(&name).await?;
        found.insert(name, described.partitions.len() as u32);
    }
    for name in TOPICS.into_iter().filter(|name| !found.contains_key(*name)) {
        match client.describe_topic(name).await {
            Err(error) if error.is(ErrorCode::TopicNotFound) => {}
            other => bail!("{name} is not listed but described as {other:?}"),
        }
    }
    Ok(found)
}
