// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The most bytes that something may have, and the setting that this comes from.
//!
//! A setting of a size holds as far as the memory budget has room for it. Who is refused is told which of the two it was.

use std::fmt;

use fnstream_core::budget::Budget;

use crate::config::{BODY_COPIES, ServerConfig};

/// See the module. Shown as what a refusal calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Most {
    /// The bytes.
    pub bytes: usize,
    /// The setting; none of what is always so.
    pub setting: Option<&'static str>,
}

impl Most {
    /// What no setting changes.
    pub(crate) const fn always(bytes: usize) -> Self {
        Most { bytes, setting: None }
    }

    /// As many as the memory budget has room for, in whole MiB.
    pub(crate) fn of_budget(bytes: usize) -> Self {
        Most { bytes: bytes >> 20 << 20, setting: Some("memory.budget") }
    }

    /// The lower one; this one if they are the same.
    pub(crate) fn or_less(self, other: Most) -> Self {
        if other.bytes < self.bytes { other } else { self }
    }

    /// The largest body of a produce request.
    pub(crate) fn produced(config: &ServerConfig, budget: &Budget) -> Self {
        let set = Most { bytes: config.max_produce_bytes, setting: Some("rest.max_produce_size") };
        set.or_less(Most::of_budget(budget.bodies.limit() / BODY_COPIES))
    }

    /// The largest artifact.
    pub(crate) fn artifact(config: &ServerConfig, budget: &Budget) -> Self {
        let set = Most { bytes: config.max_artifact_bytes, setting: Some("rest.max_artifact_size") };
        set.or_less(Most::of_budget(budget.bodies.limit()))
    }
}

impl fmt::Display for Most {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.setting {
            Some(setting) => write!(f, "the {} bytes that {setting} allows", self.bytes),
            None => write!(f, "{} bytes", self.bytes),
        }
    }
}
