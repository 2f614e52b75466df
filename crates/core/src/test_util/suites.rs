// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The contract of each seam as code: every sentence of the trait's documentation that can be observed is a check.
//!
//! An implementation writes a harness (how to make a fresh one, how to reopen it) and runs the suite in its own tests. A
//! check panics at the first thing that the contract forbids. The suites themselves are tested against implementations
//! that are broken on purpose, each of which has to be rejected by the check that names its fault.
//!
//! ```
//! use std::sync::Arc;
//! use fnstream_core::epoch::FunctionId;
//! use fnstream_core::metadata::Metadata;
//! use fnstream_core::test_util::{mem_metadata::MemMetadata, suites};
//!
//! struct InMemory(Arc<MemMetadata>);
//!
//! impl suites::metadata::MetadataHarness for InMemory {
//!     fn metadata(&self) -> Arc<dyn Metadata> {
//!         self.0.clone()
//!     }
//!     fn reopen(&mut self) {
//!         self.0 = Arc::new(self.0.reopened());
//!     }
//!     fn fork(&self, _of: FunctionId) -> FunctionId {
//!         self.0.fork()
//!     }
//! }
//!
//! suites::run(suites::metadata::CHECKS, || Box::new(InMemory(Arc::default())));
//! ```

pub mod artifacts;
pub mod committer;
mod committer_faults;
pub mod forks;
pub mod groups;
pub mod log;
pub mod metadata;
pub mod notes;
pub mod peers;
pub mod producers;
pub mod runtime;
mod runtime_failures;
mod runtime_probe;
mod runtime_timers;
pub mod source;
mod source_places;
pub mod state_store;
pub mod tasks;
pub mod topics;
mod watermarks;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// One sentence of a contract, to be run on a fresh harness.
pub struct Check<H: ?Sized> {
    /// What must hold.
    pub name: &'static str,
    /// Panics when it does not.
    pub run: fn(&mut H),
}

/// What an implementation did that its contract forbids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The name of the check.
    pub check: &'static str,
    /// What was seen.
    pub message: String,
}

/// Runs every check on a fresh implementation; panics with the first violation.
pub fn run<H: ?Sized>(checks: &[Check<H>], make: impl FnMut() -> Box<H>) {
    if let Some(Violation { check, message }) = violations(checks, make).next() {
        panic!("{check}: {message}");
    }
}

/// The violations that the checks find, in their order; each check is run when the iterator comes to it.
pub fn violations<H: ?Sized>(checks: &[Check<H>], mut make: impl FnMut() -> Box<H>) -> impl Iterator<Item = Violation> {
    checks.iter().filter_map(move |check| {
        let mut harness = make();
        let panic = catch_unwind(AssertUnwindSafe(|| (check.run)(&mut harness))).err()?;
        Some(Violation { check: check.name, message: message(&*panic) })
    })
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

/// Lists checks by the names of their functions.
macro_rules! checks {
    ($($check:ident),* $(,)?) => {
        &[$($crate::test_util::suites::Check { name: stringify!($check), run: |harness| $check(harness) }),*]
    };
}
use checks;

/// A step that must succeed.
fn must<T, E: std::fmt::Debug>(what: &str, result: std::result::Result<T, E>) -> T {
    result.unwrap_or_else(|e| panic!("{what} failed: {e:?}"))
}
