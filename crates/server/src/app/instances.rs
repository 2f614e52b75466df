// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Requests of users to a running function, beside its records.

use std::sync::Arc;

use fnstream_core::metadata::Metadata;
use fnstream_core::spec::{FunctionEntry, check_name};
use fnstream_core::{Error, ErrorCode, Result};

use super::group::Fellows;
use super::ops::{Ops, blocking};

/// See the module.
pub(crate) struct Instances {
    pub(super) ops: Arc<Ops>,
    pub(super) register: Arc<dyn Metadata>,
    pub(super) fellows: Arc<Fellows>,
}

impl Instances {
    /// Asks the instance of one task; its answer is the function's own.
    pub(crate) async fn custom(&self, name: String, task: u32, payload: Vec<u8>) -> Result<Vec<u8>> {
        let entry = self.entry(name).await?;
        self.unless_closing(self.fellows.custom(&entry, task, payload)).await
    }

    /// Hands modules to the instances of all tasks.
    pub(crate) async fn exec(&self, name: String, class_name: String, modules: Vec<(String, Vec<u8>)>) -> Result<()> {
        let entry = self.entry(name).await?;
        match self.unless_closing(self.fellows.exec(entry.id, class_name, modules)).await? {
            0 => {
                let message = format!("function '{}' does not run", entry.spec.name);
                Err(Error::new(ErrorCode::FunctionStopped, message))
            }
            _ => Ok(()),
        }
    }

    async fn entry(&self, name: String) -> Result<FunctionEntry> {
        check_name("function", &name)?;
        self.ops.check_open()?;
        let register = self.register.clone();
        blocking(move || super::entry(&*register, &name)).await
    }

    async fn unless_closing<T>(&self, answer: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            answer = answer => answer,
            () = self.ops.closing().cancelled() => Err(Error::new(ErrorCode::ShuttingDown, "the server is shutting down")),
        }
    }
}
