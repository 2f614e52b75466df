// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The named steps, and how often the drill passes each before it dies there.

/// A step.
#[derive(Debug)]
pub(crate) struct Point {
    /// Its name.
    pub name: &'static str,
    /// How often it is passed before the death, one number for each drill.
    pub hits: &'static [u32],
}

const fn point(name: &'static str, hits: &'static [u32]) -> Point {
    Point { name, hits }
}

/// All steps but that of the wrong committer. The numbers name moments of the drill: its first three topics are the
/// chain's, its first two functions too, and so on.
pub(crate) const POINTS: &[Point] = &[
    point("format.before-rename", &[0]),
    point("format.after-rename", &[0]),
    point("topic.before-write", &[0, 2, 3, 5]),
    point("topic.after-write", &[0, 2, 3, 5]),
    point("artifact.before-rename", &[0, 1, 2]),
    point("artifact.after-rename", &[0, 1, 2]),
    point("metadata.before-write", &[0, 1, 2, 3, 4, 5]),
    point("metadata.after-write", &[0, 1, 2, 3, 4, 5]),
    point("fork.begun", &[0, 1]),
    point("fork.copying", &[0, 1]),
    point("fork.copied", &[0, 1]),
    point("commit.before-write", &[0, 7, 24]),
    point("commit.after-write", &[0, 7, 24]),
    point("apply.before", &[0, 5]),
    point("apply.during", &[0, 5]),
    point("apply.between", &[0, 5]),
    point("apply.after", &[0, 5]),
    point("trim.before", &[0, 5]),
    point("recover.acquired", &[0, 3]),
    point("recover.replayed", &[0, 3]),
    point("engine.recovered", &[0, 3]),
    point("engine.processed", &[0, 6, 20]),
    point("engine.before-freeze", &[0, 6, 20]),
    point("engine.after-freeze", &[0, 6, 20]),
];

/// The steps at which the server dies once more while it recovers.
pub(crate) const RECOVERY: &[&str] = &[
    "recover.acquired",
    "recover.replayed",
    "engine.recovered",
    "apply.before",
    "apply.during",
    "apply.between",
    "apply.after",
];

/// The step between the two writes of the wrong committer.
pub(crate) const WRONG: &str = "wrong.between";
