// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What crash tests can break, named.

/// The steps at which a test can end the process, with the feature `failpoints`. Work comes to each again and again.
pub const FAILPOINTS: &[&str] = &[
    "commit.before-write",
    "commit.after-write",
    "apply.before",
    "apply.during",
    "apply.after",
    "trim.before",
    "recover.acquired",
    "recover.replayed",
    "artifact.before-rename",
    "artifact.after-rename",
    "metadata.before-write",
    "metadata.after-write",
    "fork.begun",
    "fork.copying",
    "fork.copied",
    "topic.before-write",
    "topic.after-write",
];

/// The steps of making a data folder, which come once in its life.
pub const NEW_FOLDER_FAILPOINTS: &[&str] = &["format.before-rename", "format.after-rename"];

/// The step within the deliberately wrong committer: between its two writes.
#[cfg(feature = "failpoints")]
pub const WRONG_COMMITTER_FAILPOINT: &str = "wrong.between";

/// When this variable is 1, commits write the outbox and the positions apart, so that a test can prove that it would
/// notice.
#[cfg(feature = "failpoints")]
pub const WRONG_COMMITTER: &str = "FNSTREAM_WRONG_COMMITTER";

#[cfg(feature = "failpoints")]
pub(crate) fn wrong_committer() -> bool {
    static ASKED_FOR: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *ASKED_FOR.get_or_init(|| std::env::var_os(WRONG_COMMITTER).is_some_and(|value| value == "1"))
}

#[cfg(not(feature = "failpoints"))]
pub(crate) fn wrong_committer() -> bool {
    false
}
