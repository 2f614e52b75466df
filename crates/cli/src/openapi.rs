// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `function-stream openapi`: prints what `openapi.yaml` in the repository must say.

use crate::failure::{Failure, Result};
use crate::output;

pub(crate) fn run() -> Result {
    let yaml = fnstream_server::openapi_yaml().map_err(|e| Failure::Plain(e.to_string()))?;
    output::line(yaml.trim_end())
}
