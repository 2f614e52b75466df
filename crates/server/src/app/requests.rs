// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Requests of users to a running function, beside its records.

use std::sync::Arc;

use fnstream_core::spec::check_name;
use fnstream_core::{Error, ErrorCode, Result, error::internal};
use fnstream_engine::Request;

use super::App;

impl App {
    /// Asks the instance of one task; its answer is the function's own.
    pub async fn custom(self: &Arc<Self>, name: String, task: u32, payload: Vec<u8>) -> Result<Vec<u8>> {
        self.ask(name, Some(task), &Request::Custom(payload)).await.map(|mut answers| answers.pop().unwrap_or_default())
    }

    /// Hands modules to the instances of all tasks.
    pub async fn exec(
        self: &Arc<Self>,
        name: String,
        class_name: String,
        modules: Vec<(String, Vec<u8>)>,
    ) -> Result<()> {
        self.ask(name, None, &Request::Exec { class_name, modules }).await.map(drop)
    }

    async fn ask(self: &Arc<Self>, name: String, task: Option<u32>, request: &Request) -> Result<Vec<Vec<u8>>> {
        check_name("function", &name)?;
        self.check_open()?;
        let asked = name.clone();
        let entry = self.blocking(move |app| app.entry(&asked)).await?;
        let running = self.engine.tasks(entry.id);
        let stopped = |what: String| Error::new(ErrorCode::FunctionStopped, what);
        let tasks = match task {
            _ if running.is_empty() => return Err(stopped(format!("function '{name}' does not run"))),
            Some(task) if !running.contains(&task) => {
                return Err(stopped(format!("function '{name}' has no task {task} that runs, but {running:?}")));
            }
            Some(task) => vec![task],
            None => running,
        };
        let mut answers = Vec::with_capacity(tasks.len());
        for task in tasks {
            let (send, receive) = tokio::sync::oneshot::channel();
            // A caller that went away is told nothing.
            let done = Box::new(move |answer| drop(send.send(answer)));
            self.engine.request(entry.id, task, request.clone(), done);
            let answer = async { receive.await.map_err(|_| internal("the engine forgot a request"))? };
            answers.push(tokio::select! {
                answer = answer => answer?,
                () = self.closing.cancelled() => return Err(Error::new(ErrorCode::ShuttingDown, "the server is shutting down")),
            });
        }
        Ok(answers)
    }
}
