// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Requests of users to the instances of a function, beside its records.
//!
//! A request is answered between two batches. What the function writes and emits for it belongs to the open epoch; when it
//! fails, the epoch is dropped like at any other failure, and done again without the request.

use std::time::Duration;

use fnstream_core::runtime::{CallResult, Instance};
use fnstream_core::{Error, ErrorCode, Result};

/// A request to an instance.
#[derive(Debug, Clone)]
pub enum Request {
    /// A request of the user's own form.
    Custom(Vec<u8>),
    /// Code or modules for functions that take them.
    Exec {
        /// The class to run.
        class_name: String,
        /// The modules by name.
        modules: Vec<(String, Vec<u8>)>,
    },
}

/// Called once with the answer, or with the reason why there is none.
pub type RequestDone = Box<dyn FnOnce(Result<Vec<u8>>) + Send>;

/// A request on its way. Dropping it answers that the task does not run.
pub(crate) struct Asked {
    request: Request,
    /// Nobody waits for the answer any more after that time, on the engine's clock.
    until: Duration,
    done: Option<RequestDone>,
}

impl Asked {
    pub(crate) fn new(request: Request, until: Duration, done: RequestDone) -> Self {
        Asked { request, until, done: Some(done) }
    }

    /// Asks the instance and answers; the result says whether the instance outlived it.
    pub(crate) fn ask(mut self, instance: &mut dyn Instance, now: Duration) -> CallResult {
        if now > self.until {
            if let Some(done) = self.done.take() {
                done(Err(Error::new(ErrorCode::FunctionBusy, "the task did not begin the request in time")));
            }
            return Ok(());
        }
        let answer = match &self.request {
            Request::Custom(payload) => instance.custom(payload),
            Request::Exec { class_name, modules } => instance.exec(class_name, modules).map(|()| Vec::new()),
        };
        let (told, ended) = match answer {
            Ok(bytes) => (Ok(bytes), Ok(())),
            Err(failure) => (Err(failure.error.clone()), Err(failure)),
        };
        if let Some(done) = self.done.take() {
            done(told);
        }
        ended
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if let Some(done) = self.done.take() {
            done(Err(match std::thread::panicking() {
                true => Error::new(ErrorCode::Panicked, "the task that was asked panicked"),
                false => Error::new(ErrorCode::FunctionStopped, "the task that was asked does not run"),
            }));
        }
    }
}
