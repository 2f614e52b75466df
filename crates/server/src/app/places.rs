// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Topics in requests and answers.

use fnstream_core::topic::{Topic, TopicRef};
use fnstream_core::{Error, ErrorCode, Result};

/// Refuses what is done with topics of the server's own cluster only. `what` says what it is, `instead` what serves for others.
pub(super) fn check_own(topic: &Topic, what: &str, instead: &str) -> Result<()> {
    if topic.cluster.is_own() {
        return Ok(());
    }
    let message = format!("topic '{topic}' is of another cluster, where {what}: {instead}");
    Err(Error::new(ErrorCode::OwnTopicsOnly, message))
}

/// Topics in their text form, with commas between them.
pub(super) fn joined(topics: &[TopicRef]) -> String {
    topics.iter().map(TopicRef::to_string).collect::<Vec<_>>().join(", ")
}
