// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What tasks have committed, for those who look on, and copies of it.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::{MemBroker, State};
use crate::epoch::{Epoch, FunctionId, TaskId};
use crate::error::{Error, ErrorCode, Result, internal};
use crate::forks::Forks;
use crate::metadata::Metadata;
use crate::state::Visit;
use crate::tasks::{Standing, Tasks};
use crate::test_util::mem_metadata::MemMetadata;

impl State {
    fn standing(&self, function: FunctionId) -> Standing {
        let tasks = self.ledger.tasks.iter().filter(|(task, log)| task.function == function && log.is_known());
        tasks.map(|(task, log)| (task.index, log.progress.clone())).collect()
    }

    fn fence(&mut self, function: FunctionId) {
        for (_, log) in self.ledger.tasks.iter_mut().filter(|(task, log)| task.function == function && log.is_known()) {
            log.fence();
        }
    }
}

impl Tasks for MemBroker {
    fn fence(&self, function: FunctionId) -> Result<Standing> {
        let mut state = self.shared.state.lock();
        state.fence(function);
        Ok(state.standing(function))
    }

    fn progress(&self, function: FunctionId) -> Result<Standing> {
        Ok(self.shared.state.lock().standing(function))
    }

    fn peek(&self, task: TaskId, start: &[u8], visit: &mut Visit<'_>) -> Result<()> {
        for (key, value) in self.state(task).iter().filter(|(key, _)| key[..] >= *start) {
            if let ControlFlow::Break(()) = visit(key, value) {
                break;
            }
        }
        Ok(())
    }
}

/// Forks of functions that are registered in memory.
pub struct MemForks {
    broker: MemBroker,
    register: Arc<MemMetadata>,
}

impl MemForks {
    /// Forks of the functions of a register, whose tasks commit to the broker.
    pub fn new(broker: &MemBroker, register: &Arc<MemMetadata>) -> Self {
        MemForks { broker: broker.clone(), register: register.clone() }
    }

    /// Removes the forks that nobody has claimed, as the end of the process that made them does.
    pub fn sweep(&self) {
        let unclaimed = std::mem::take(&mut self.broker.shared.state.lock().forks);
        for fork in unclaimed {
            if !self.is_claimed(fork).unwrap_or(true) {
                self.remove(fork);
            }
        }
    }

    fn is_claimed(&self, fork: FunctionId) -> Result<bool> {
        for entry in self.register.list()? {
            let kept = self.register.revisions(&entry.spec.name)?;
            if entry.id == fork || kept.iter().any(|revision| revision.state == Some(fork)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn remove(&self, fork: FunctionId) {
        self.broker.shared.state.lock().ledger.tasks.retain(|task, _| task.function != fork);
    }

    fn check_free(&self, fork: FunctionId) -> Result<()> {
        match self.broker.shared.state.lock().forks.contains(&fork) && !self.is_claimed(fork)? {
            true => Ok(()),
            false => Err(internal(format!("{} is not the id of a fork that is free", fork.0))),
        }
    }
}

impl Forks for MemForks {
    fn fork(&self, from: FunctionId) -> Result<FunctionId> {
        let fork = self.register.fork();
        let mut state = self.broker.shared.state.lock();
        state.fence(from);
        let tasks = state.ledger.tasks.iter().filter(|(task, log)| task.function == from && log.is_known());
        let copies: Vec<_> = tasks.map(|(task, log)| (TaskId::new(fork, task.index), log.copy())).collect();
        state.ledger.tasks.extend(copies);
        state.forks.insert(fork);
        Ok(fork)
    }

    fn place(&self, fork: FunctionId, standing: &Standing) -> Result<()> {
        self.check_free(fork)?;
        let mut state = self.broker.shared.state.lock();
        for (index, progress) in standing {
            let log = state.ledger.tasks.get(&TaskId::new(fork, *index));
            let epoch = log.map_or(Epoch(0), |log| log.progress.epoch);
            if progress.epoch != epoch {
                let why = format!("the state of task {index} is at epoch {}, not {}", epoch.0, progress.epoch.0);
                return Err(Error::new(ErrorCode::Internal, why));
            }
        }
        for (index, progress) in standing {
            state.ledger.tasks.entry(TaskId::new(fork, *index)).or_default().place(progress.clone());
        }
        Ok(())
    }

    fn discard(&self, fork: FunctionId) -> Result<()> {
        if self.check_free(fork).is_ok() {
            self.broker.shared.state.lock().forks.remove(&fork);
            self.remove(fork);
        }
        Ok(())
    }
}
