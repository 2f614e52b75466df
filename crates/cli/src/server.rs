// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `function-stream server`: the engine on a broker of its own standing. No such broker is part of this build.

use fnstream_core::ErrorCode;

use crate::failure::{Failure, Result};

/// Runs on Apache Pulsar or Kafka. Neither is part of this build: the command fails with FS-1705.
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args) -> Result {
    Err(Failure::new(
        ErrorCode::ModeUnavailable,
        "server mode needs Apache Pulsar or Kafka, which this build does not speak",
    ))
}
