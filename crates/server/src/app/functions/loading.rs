// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What only running a part of a program can tell, before a function is made of it.

use std::sync::Arc;

use fnstream_core::Result;
use fnstream_core::runtime::{InstanceSpec, Program};
use fnstream_core::spec::FunctionSpec;

use super::Functions;
use crate::app::ops::blocking;

impl Functions {
    /// Has the program look whether it can be loaded with what the function's instances would be given.
    pub(super) async fn check_program(&self, spec: &FunctionSpec, program: &Arc<dyn Program>) -> Result<()> {
        let instance = InstanceSpec {
            function: spec.name.clone(),
            outputs: spec.outputs.iter().map(|output| output.topic.to_string()).collect(),
            config: spec.config.clone(),
            limits: spec.limits,
            env: spec.env.clone(),
            files: spec.files.clone(),
            ..InstanceSpec::default()
        };
        let program = program.clone();
        blocking(move || program.check(&instance)).await
    }
}
