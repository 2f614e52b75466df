// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A topic that does not exist yet may be meant, or misspelt: who names it is told.

use std::time::Duration;

use fnstream_api::Client;
use fnstream_config::nearest;
use fnstream_core::ErrorCode;

use crate::output;
use crate::output::escape::shortened;

/// The longest that looking for it may take: it is a courtesy, and whatever goes wrong with it is not told.
const PATIENCE: Duration = Duration::from_secs(2);

/// Says on standard error that there is no topic of the name yet, and which one may be meant. What follows is what will be done with it.
pub(super) async fn note(client: &Client, name: &str, what_follows: &str) {
    let Ok(Some(nearest)) = tokio::time::timeout(PATIENCE, look(client, name)).await else { return };
    let meant = nearest.map(|nearest| format!("; did you mean '{}'?", shortened(&nearest))).unwrap_or_default();
    output::complain(&format!("note: there is no topic '{}' yet{what_follows}{meant}", shortened(name)));
}

/// The nearest name, perhaps, if there is no topic of this one.
async fn look(client: &Client, name: &str) -> Option<Option<String>> {
    match client.describe_topic(name).await {
        Err(error) if error.is(ErrorCode::TopicNotFound) => {}
        _ => return None,
    }
    let names = client.list_topics().await.unwrap_or_default();
    Some(nearest(name, names.iter().map(String::as_str)).map(str::to_owned))
}
