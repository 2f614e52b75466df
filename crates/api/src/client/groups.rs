// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Calls about consumer groups, and consuming with acknowledgement.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, StatusCode};

use super::{Client, ClientError};
use crate::group::{GroupDescription, GroupReset, GroupSummary, LeasedEvents, Receipts, SettledEvents};
use crate::units::Quantity;

/// How events are taken; the default takes one, does not wait, and leases it for the server's default time.
#[derive(Debug, Clone, Default)]
pub struct TakeOptions {
    /// At most so many events.
    pub max: Option<u32>,
    /// About so many bytes.
    pub max_bytes: Option<u64>,
    /// How long to wait for the first.
    pub wait: Option<Duration>,
    /// How long they are the consumer's.
    pub lease: Option<Duration>,
    /// An event that was delivered so often goes to the group's dead letters.
    pub max_deliveries: Option<u32>,
    /// Takes from this partition only.
    pub partition: Option<u32>,
}

impl Client {
    /// The consumer groups of a topic.
    pub async fn list_groups(&self, topic: &str) -> Result<Vec<GroupSummary>, ClientError> {
        self.json(self.request(Method::GET, &["api", "v1", "topic", topic, "groups"])?).await
    }

    /// How a group fares.
    pub async fn describe_group(&self, topic: &str, group: &str) -> Result<GroupDescription, ClientError> {
        self.json(self.group(Method::GET, topic, group)?).await
    }

    /// Removes a group.
    pub async fn delete_group(&self, topic: &str, group: &str) -> Result<(), ClientError> {
        self.done(self.group(Method::DELETE, topic, group)?).await
    }

    /// Has a group go on elsewhere.
    pub async fn reset_group(
        &self,
        topic: &str,
        group: &str,
        to: &GroupReset,
    ) -> Result<GroupDescription, ClientError> {
        self.json(self.verb(topic, group, "reset")?.json(to)).await
    }

    /// Leases the next events; none if none came in time. Each is to be acknowledged, or it is given again. Says what retention dropped
    /// before the group had acknowledged it.
    pub async fn take(&self, topic: &str, group: &str, options: &TakeOptions) -> Result<LeasedEvents, ClientError> {
        let ms = |time: Duration| format!("{}ms", time.as_millis());
        let query = [
            ("max", options.max.map(|max| max.to_string())),
            ("max_bytes", options.max_bytes.map(|bytes| bytes.to_string())),
            ("wait", options.wait.map(ms)),
            ("lease", options.lease.map(ms)),
            ("max_deliveries", options.max_deliveries.map(|most| most.to_string())),
            ("partition", options.partition.map(|partition| partition.to_string())),
        ];
        let query: Vec<_> = query.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        self.json(self.verb(topic, group, "take")?.query(&query)).await
    }

    /// Acknowledges events by their receipts; durable when it returns. Those that are not the consumer's any more are named in the
    /// answer, and are given again.
    pub async fn acknowledge(
        &self,
        topic: &str,
        group: &str,
        receipts: Vec<String>,
    ) -> Result<SettledEvents, ClientError> {
        self.settle(topic, group, "ack", Receipts { receipts, ..Receipts::default() }).await
    }

    /// Gives events back, which are given again after a delay.
    pub async fn give_back(
        &self,
        topic: &str,
        group: &str,
        receipts: Vec<String>,
        delay: Duration,
    ) -> Result<SettledEvents, ClientError> {
        let delay = Some(Quantity::duration(delay));
        self.settle(topic, group, "nack", Receipts { receipts, delay, lease: None }).await
    }

    /// Has the leases of events end after that time from now.
    pub async fn extend(
        &self,
        topic: &str,
        group: &str,
        receipts: Vec<String>,
        lease: Duration,
    ) -> Result<SettledEvents, ClientError> {
        let lease = Some(Quantity::duration(lease));
        self.settle(topic, group, "extend", Receipts { receipts, delay: None, lease }).await
    }

    async fn settle(
        &self,
        topic: &str,
        group: &str,
        verb: &str,
        receipts: Receipts,
    ) -> Result<SettledEvents, ClientError> {
        let request = self.verb(topic, group, verb)?.json(&receipts);
        let response = request.send().await.map_err(|e| ClientError::from_send(self.url(), &e))?;
        let status = response.status();
        let body = response.bytes().await.map_err(|e| ClientError::broken(self.url(), &e))?;
        let is_told = status.is_success() || status == StatusCode::CONFLICT;
        match serde_json::from_slice(&body) {
            Ok(settled) if is_told => Ok(settled),
            _ => Err(ClientError::from_answer(self.url(), status.as_u16(), &body)),
        }
    }

    fn group(&self, method: Method, topic: &str, group: &str) -> Result<RequestBuilder, ClientError> {
        self.request(method, &["api", "v1", "topic", topic, "group", group])
    }

    fn verb(&self, topic: &str, group: &str, verb: &str) -> Result<RequestBuilder, ClientError> {
        self.request(Method::POST, &["api", "v1", "topic", topic, "group", group, verb])
    }
}
