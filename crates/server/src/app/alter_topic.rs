// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Changing a topic, and starting the functions anew that have to learn of it.

use std::sync::Arc;

use fnstream_api::{TopicAltered, TopicChange};
use fnstream_core::{ErrorCode, Result};

use super::App;
use super::ops::blocking;

impl App {
    /// Changes a topic. The change is durable before the functions are restarted: a server that dies in between starts all of them
    /// anew in any case.
    pub(crate) async fn alter_topic(self: &Arc<Self>, name: String, change: TopicChange) -> Result<TopicAltered> {
        let name = self.records.topics.clusters.named(&name)?;
        let (records, functions) = (self.records.clone(), self.functions.clone());
        let alter = || async move {
            let (topic, growth, mut notes) = blocking(move || records.alter_topic_now(&name, &change)).await?;
            let mut restarted = Vec::new();
            for function in growth.running {
                match functions.restart(function.clone(), None).await {
                    Ok(_) => restarted.push(function),
                    // It was stopped or deleted meanwhile.
                    Err(error) if matches!(error.code, ErrorCode::FunctionStopped | ErrorCode::FunctionNotFound) => {}
                    Err(error) => notes.push(format!(
                        "function '{function}' could not be restarted, and does not read or write the new partitions yet: {} ({})",
                        error.message, error.code
                    )),
                }
            }
            Ok(TopicAltered { topic, restarted, notes })
        };
        self.ops.detached(alter).await
    }
}
