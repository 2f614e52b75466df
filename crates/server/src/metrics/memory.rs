// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The parts of the memory budget at one moment, and what is being compiled.

use std::fmt::Error;

use fnstream_core::budget::Budget;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::registry::Unit;

use super::scrape::{family, gauges};

/// See the module.
#[derive(Debug)]
pub(crate) struct MemorySample {
    /// The program, its caches and its buffers, which nobody takes piece by piece.
    own: u64,
    parts: Vec<PartSample>,
    /// Artifacts that wait to be loaded, and those that are being loaded.
    loading: (usize, usize),
}

#[derive(Debug)]
struct PartSample {
    name: &'static str,
    limit: u64,
    used: u64,
    refused: ConstCounter<u64>,
}

impl MemorySample {
    pub(crate) fn of(budget: &Budget, loading: (usize, usize)) -> Self {
        let part = |part: &fnstream_core::budget::Part| PartSample {
            name: part.name(),
            limit: part.limit() as u64,
            used: part.used() as u64,
            refused: ConstCounter::new(part.refused()),
        };
        MemorySample { own: budget.own() as u64, parts: budget.parts().map(part).into(), loading }
    }

    pub(super) fn encode(&self, to: &mut DescriptorEncoder) -> Result<(), Error> {
        let each = |of: fn(&PartSample) -> u64| self.parts.iter().map(move |part| ([("part", part.name)], of(part)));
        let own = [([("part", "own")], self.own)];
        let help = "The most memory of each part of the budget.";
        gauges(to, "fnstream_memory_budget", help, Some(Unit::Bytes), own.into_iter().chain(each(|part| part.limit)))?;
        let help = "Memory that is taken of each part.";
        gauges(to, "fnstream_memory_used", help, Some(Unit::Bytes), each(|part| part.used))?;
        let refused = self.parts.iter().map(|part| ([("part", part.name)], &part.refused));
        family(to, "fnstream_memory_refused", "Requests for memory of a part that had none left.", None, refused)?;
        let (waiting, begun) = self.loading;
        let loading = [("waiting", waiting), ("compiling", begun)];
        let loading = loading.into_iter().map(|(state, count)| ([("state", state)], count as u64));
        gauges(to, "fnstream_artifacts_loading", "Artifacts that are being compiled or read.", None, loading)
    }
}
