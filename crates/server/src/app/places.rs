// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Topics as requests and descriptions name them, in a server whose only cluster is the embedded log.

use fnstream_core::Result;
use fnstream_core::topic::{Topic, TopicRef};

/// The name of the topic that a request means by this text.
pub(super) fn named(text: &str) -> Result<String> {
    let topic: Topic = text.parse()?;
    topic.check("topic")?;
    topic.own_name().map(str::to_owned)
}

/// Topics in their text form, with commas between them.
pub(super) fn joined(topics: &[TopicRef]) -> String {
    topics.iter().map(TopicRef::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use fnstream_core::ErrorCode;

    use super::*;

    #[test]
    fn a_request_names_a_topic_by_its_text() {
        assert_eq!(named("persistent://t/n/x").unwrap(), "persistent://t/n/x");
        for (text, code) in [
            ("in@prod", ErrorCode::ClusterUnknown),
            ("in?x=1", ErrorCode::InvalidName),
            ("../in", ErrorCode::InvalidName),
            ("t/../in", ErrorCode::InvalidName),
            ("t/n/%2e%2e", ErrorCode::InvalidName),
            ("", ErrorCode::InvalidName),
        ] {
            assert_eq!(named(text).unwrap_err().code, code, "{text}");
        }
    }
}
