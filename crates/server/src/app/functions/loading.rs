// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What only running a part of a program can tell, before a function is made of it.

use std::sync::Arc;

use fnstream_core::Result;
use fnstream_core::runtime::Program;
use fnstream_core::spec::FunctionSpec;

use super::Functions;
use crate::app::ops::blocking;

impl Functions {
    /// Has the program look whether it can be loaded with what the function's instances would be given.
    pub(super) async fn check_program(&self, spec: &FunctionSpec, program: &Arc<dyn Program>) -> Result<()> {
        let (engine, spec, program) = (self.engine.clone(), spec.clone(), program.clone());
        blocking(move || engine.check(&spec, &*program)).await
    }
}
