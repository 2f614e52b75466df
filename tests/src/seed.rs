// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Chance that can be repeated: each test prints its seed, and `FNSTREAM_SEED` gives it that seed again.
//!
//! What a seed repeats is every choice of the test. When a signal meets another process is not quite repeatable; the same
//! seed finds the same bug within a few runs.

use anyhow::{Context, Result};
use rand::SeedableRng;
use rand::rngs::StdRng;

/// The source of all chance of one test.
#[derive(Debug, Clone, Copy)]
pub struct Seed(pub u64);

impl Seed {
    /// `FNSTREAM_SEED`, or a new one; prints it.
    #[allow(clippy::print_stdout, reason = "the test runner shows it when the test fails")]
    pub fn of(test: &str) -> Result<Seed> {
        let seed = match std::env::var("FNSTREAM_SEED") {
            Ok(text) => text.parse().with_context(|| format!("FNSTREAM_SEED is '{text}', not a number"))?,
            Err(_) => rand::random(),
        };
        println!("{test}: FNSTREAM_SEED={seed}");
        Ok(Seed(seed))
    }

    /// A generator for one part of the test, independent of the other parts.
    pub fn rng(self, part: u64) -> StdRng {
        StdRng::seed_from_u64(self.0 ^ part.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
}

/// A number from the environment, such as how many kills.
pub fn number(variable: &str, default: usize) -> Result<usize> {
    match std::env::var(variable) {
        Ok(text) => text.parse().with_context(|| format!("{variable} is '{text}', not a number")),
        Err(_) => Ok(default),
    }
}
