// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The largest record that a topic takes.
//!
//! The broker bounds what a client sends at once (`max.message.bytes` of the topic), the client what it is given (`message.max.bytes`).
//! A record that is surely larger than either is refused when it is emitted, where it is known which record it was made of. One that is
//! about as large may still be refused by the broker, which fails the commit. If records are compressed, only the broker can tell.

use std::time::{Duration, Instant};

use fnstream_core::ErrorCode;
use fnstream_frame::RecordRef;

use super::Shared;

/// What Kafka's own form adds at least to key, headers and value of a record that is sent alone.
const OWN_FORM: usize = 68;

/// For so long a setting is not asked for again.
const FRESH: Duration = Duration::from_secs(5);

impl Shared {
    /// The most bytes of a record, packed in a frame; `None` if it is not known.
    pub(super) fn max_record_bytes(&self, topic: &str) -> Option<usize> {
        let properties = &self.options.properties;
        let of_broker = if properties.compresses() { None } else { self.max_message_bytes(topic) };
        let of_broker = of_broker.map(|most| most.saturating_sub(OWN_FORM));
        let content = [of_broker, properties.max_message_bytes()].into_iter().flatten().min()?;
        Some(content.saturating_add(RecordRef::new(b"").packed_len()))
    }

    /// What the topic is set to. Tasks of one function ask one after the other.
    fn max_message_bytes(&self, topic: &str) -> Option<usize> {
        if let Some((_, known)) = self.largest.lock().get(topic).filter(|(since, _)| since.elapsed() < FRESH) {
            return *known;
        }
        let found = match self.admin.settings(topic) {
            Ok(settings) => settings.get("max.message.bytes").and_then(|most| most.parse().ok()),
            // The broker refuses what is too large, whoever may not ask it how large that is.
            Err(error) if error.code == ErrorCode::BrokerForbidden => None,
            Err(error) => {
                tracing::debug!(topic, %error, "how large records may be is not known");
                return None;
            }
        };
        self.largest.lock().insert(topic.to_owned(), (Instant::now(), found));
        found
    }
}
