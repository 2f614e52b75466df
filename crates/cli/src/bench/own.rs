// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A bench in this process: a store in a temporary folder, and the engine on it, without the network.

mod log;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fnstream_core::clock::{Clock, SystemClock};
use fnstream_core::function_log::ProcessLog;
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::runtime::{Program, Runtime};
use fnstream_core::spec::{DesiredState, ErrorAction, ErrorPolicy, FunctionSpec};
use fnstream_core::topic::Topic;
use fnstream_core::topics::Retention;
use fnstream_engine::{Backend, Engine, EngineConfig, EngineDeps, EpochBounds};
use fnstream_runtime::{RuntimeOptions, WasmRuntime};
use fnstream_store::{Durability, Store, StoreOptions};
use tempfile::TempDir;

use super::copy::Copier;
use super::machine::cpu_time;
use super::report::Report;
use super::target::{Outputs, PATIENCE, Target};
use super::{Args, Variant, artifact, baselines, native};
use crate::failure::{Failure, Result};
use crate::interrupt;
use log::{InFlight, Progress, Reader};

const INPUT: &str = "bench-input";
const OUTPUT: &str = "bench-output";

/// Synced writes that the machine is measured by.
const SYNCED_WRITES: usize = 200;

/// A store and an engine in this process.
pub(super) struct Own {
    store: Store,
    engine: Engine,
    /// `None` for the copy, which has no function.
    program: Option<Arc<dyn Program>>,
    spec: FunctionSpec,
    in_flight: Arc<InFlight>,
    outputs: Vec<TopicPartition>,
    copier: Option<Copier>,
    backend: Backend,
    _folder: TempDir,
}

impl Own {
    pub(super) fn open(args: &Args, variant: Variant, report: &mut Report) -> Result<Self> {
        let folder = match &args.dir {
            Some(dir) => TempDir::with_prefix_in("function-stream-bench-", dir)?,
            None => TempDir::with_prefix("function-stream-bench-")?,
        };
        interrupt::remove_at_end(folder.path().to_owned())?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let options = StoreOptions {
            durability: match variant {
                Variant::NoCommit => Durability::Os,
                _ => args.durability.into(),
            },
            ..StoreOptions::default()
        };
        let store = Store::open(&folder.path().join("data"), options)?;
        report.synced_write_micros = Some(synced_write(&store)?);
        for topic in [INPUT, OUTPUT] {
            store.topics().create(&Topic::own(topic), args.partitions(), Retention::default())?;
        }
        let config = engine_config(args, variant);
        report.workers = (variant != Variant::Copy).then_some(config.workers);
        let deps = EngineDeps { clock, log: Arc::new(ProcessLog) };
        let mut epoch = EpochBounds::default();
        if let Some(records) = args.epoch_records {
            epoch.records = records.into();
        }
        let (committer, state_stores) = baselines::seams(&store, variant)?;
        let backend = Backend { broker: store.broker(), committer, state_stores, epoch };
        let program = match variant {
            Variant::Copy => None,
            Variant::Native => Some(native::program(args.workload)?),
            Variant::Wasm | Variant::PutPerKey | Variant::NoCommit => {
                let runtime = WasmRuntime::new(
                    None,
                    RuntimeOptions { engines: crate::artifact::engines(), ..RuntimeOptions::default() },
                )?;
                Some(runtime.load(&artifact::read(args)?)?)
            }
        };
        Ok(Own {
            engine: Engine::start(config, deps)?,
            program,
            spec: FunctionSpec {
                name: "bench".into(),
                artifact: "0".repeat(64),
                inputs: vec![vec![INPUT.into()]],
                outputs: vec![OUTPUT.into()],
                replicas: args.partitions(),
                on_error: ErrorPolicy { action: ErrorAction::Stop, ..ErrorPolicy::default() },
                ..FunctionSpec::default()
            },
            in_flight: Arc::default(),
            outputs: (0..args.partitions()).map(|p| TopicPartition::new(OUTPUT, p)).collect(),
            copier: None,
            backend,
            store,
            _folder: folder,
        })
    }

    fn output_ends(&self) -> Result<u64> {
        let topic = self.store.topics().describe(&Topic::own(OUTPUT))?;
        Ok(topic.partitions.iter().map(|p| p.end.0 as u64).sum())
    }
}

impl Target for Own {
    fn send(&mut self, frame: Vec<u8>) -> Result {
        self.in_flight.begin()?;
        let in_flight = self.in_flight.clone();
        self.store.topics().append(
            &Topic::own(INPUT),
            None,
            frame.into(),
            Box::new(move |done| in_flight.end(done.err())),
        );
        Ok(())
    }

    fn flush(&mut self) -> Result {
        self.in_flight.wait()
    }

    fn start_function(&mut self) -> Result {
        let entry = self.store.metadata().create(self.spec.clone(), DesiredState::Running)?;
        match &self.program {
            Some(program) => self.engine.start_function(&entry, program.clone(), self.backend.clone())?,
            None => self.copier = Some(Copier::start(&self.store, &entry, OUTPUT, &self.backend.epoch)?),
        }
        Ok(())
    }

    fn await_outputs(&mut self, count: u64) -> Result {
        let progress = Progress::watch(&self.store, &self.outputs)?;
        let (mut last, mut quiet) = (0, Duration::ZERO);
        loop {
            let now = self.output_ends()?;
            if now >= count {
                return Ok(());
            }
            if now > last {
                (last, quiet) = (now, Duration::ZERO);
            }
            let step = Duration::from_secs(1);
            if !progress.wait(step) {
                quiet += step;
                if quiet >= PATIENCE || self.has_failed() {
                    return Err(Failure::Plain(format!("stopped after {last} of {count} outputs: {}", self.reason())));
                }
            }
        }
    }

    fn outputs(&mut self) -> Result<Box<dyn Outputs>> {
        Ok(Box::new(Reader::open(&self.store, &self.outputs)?))
    }

    fn cpu(&self) -> Option<Duration> {
        Some(cpu_time())
    }

    fn copies(&self) -> bool {
        self.program.is_none()
    }

    fn finish(&mut self) -> Result {
        if let Some(copier) = self.copier.take() {
            copier.join()?;
        }
        self.engine.shutdown(Duration::from_secs(10));
        Ok(self.store.close()?)
    }
}

impl Own {
    fn status(&self) -> Option<fnstream_engine::FunctionStatus> {
        let entry = self.store.metadata().get(&self.spec.name).ok()??;
        self.engine.status(entry.id)
    }

    fn has_failed(&self) -> bool {
        self.status().is_some_and(|status| status.state == fnstream_engine::FunctionState::Failed)
    }

    /// What the function's tasks say.
    fn reason(&self) -> String {
        let Some(status) = self.status() else { return "nothing moves".into() };
        let errors = status.tasks.iter().filter_map(|task| task.last_error.as_ref());
        errors
            .map(|e| format!("{} ({})", e.message, e.code))
            .next()
            .unwrap_or_else(|| format!("it is {}", status.state))
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // After a failure: the engine's threads must not outlive the folder.
        self.engine.shutdown(Duration::from_secs(1));
    }
}

fn engine_config(args: &Args, variant: Variant) -> EngineConfig {
    let mut config = EngineConfig::default();
    if let Some(workers) = args.workers {
        config.workers = workers.into();
    }
    if let Some(records) = args.epoch_records {
        config.batch.records = config.batch.records.min(records as usize);
    }
    if variant == Variant::PutPerKey {
        // The store has it already: it moves into the read cache at once.
        config.dirty_age = Duration::ZERO;
    }
    config
}

/// The median of the machine's own small synced writes, in microseconds.
fn synced_write(store: &Store) -> Result<f64> {
    let mut times = Vec::with_capacity(SYNCED_WRITES);
    for _ in 0..SYNCED_WRITES {
        times.push(store.measure_synced_write()?);
    }
    times.sort_unstable();
    Ok(times[SYNCED_WRITES / 2].as_secs_f64() * 1e6)
}

/// The bytes of a batch, and the position after it.
fn taken(batch: &fnstream_core::batch::Batch) -> (Bytes, Option<Position>) {
    (batch.bytes().clone(), batch.end())
}
