// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The engine: runs functions as tasks, in epochs that commit exactly once.
//!
//! Owns the task loop, the layers of uncommitted and unapplied state, the outbox, scheduling, recovery and the lifecycle
//! of functions. It must not know any concrete broker, store or language runtime: it drives the seams of
//! `fnstream-core`.
//!
//! # Reading order
//!
//! 1. [`engine`]: starting and stopping functions, each on its [`Backend`]. 2. `function`: the tasks of one function.
//!    3. `task`: the life of a task, which knows its surroundings as `task::env`; every decision of it is a pure function
//!    of `task::decide`. 4. `task::host`: what user code reaches.
//! 5. `state`: the layers that a read goes through. 6. `scheduler` and `workers`: who runs when.
//! 7. [`metrics`]: what is counted. 8. [`native`]: programs made of Rust closures, for measuring what the engine itself
//!    costs. 9. `task::trigger`: one event through a function, aside.
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use fnstream_engine::{Engine, EngineConfig, EngineDeps};
//! # fn deps() -> EngineDeps { unimplemented!() }
//! let engine = Engine::start(EngineConfig::default(), deps()).unwrap();
//! engine.shutdown(std::time::Duration::from_secs(10));
//! ```

mod checking;
pub mod coming_up;
mod config;
mod dead_letters;
pub mod engine;
mod function;
pub mod metrics;
pub mod native;
mod requests;
mod scheduler;
mod shared;
mod state;
mod status;
mod task;
mod workers;

pub use config::{EngineConfig, EpochBounds};
pub use dead_letters::{DeadLetterAction, DeadLetterReport, DeadLettersDone, DeadLettersOrdered, TriedDeadLetter};
pub use engine::{Abandoned, Engine, ManualDriver, StopMode};
pub use function::StopDone;
pub use metrics::{FunctionMeter, Meters};
pub use requests::{Request, RequestDone};
pub use shared::{Backend, EngineDeps};
pub use status::{FunctionState, FunctionStatus, PartitionStatus, Stopped, TaskError, TaskState, TaskStatus};
pub use task::trigger::{Change, StateCopy, Trigger, Triggered};
