// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What only Pulsar's REST interface does: making topics and namespaces, growing them, deleting them, and turning deduplication on.
//!
//! What can be asked through the client is asked there, so that whoever only reads and writes topics that exist needs no rights here.

use std::collections::BTreeMap;
use std::time::Duration;

use fnstream_core::topics::Retention;
use fnstream_core::{Error, ErrorCode, Result};
use hyper::{Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use crate::http::{Ask, Http};
use crate::options::Properties;
use crate::position::EntryId;
use crate::{names, runtime};

/// The cursor by which the broker keeps account of producers.
const DEDUPLICATION: &str = "pulsar.dedup";

/// See the module.
#[derive(Clone)]
pub(crate) struct Admin {
    http: Http,
    base: String,
    properties: Properties,
}

/// A policy of retention; -1 for no limit.
#[derive(Deserialize)]
struct Policy {
    #[serde(rename = "retentionTimeInMinutes")]
    minutes: i64,
    #[serde(rename = "retentionSizeInMB")]
    megabytes: i64,
}

/// What is told of the subscriptions of a topic.
#[derive(Deserialize)]
struct Stats {
    cursors: BTreeMap<String, Cursor>,
    #[serde(default)]
    ledgers: Vec<Ledger>,
}

#[derive(Deserialize)]
struct Ledger {
    #[serde(rename = "ledgerId")]
    id: u64,
}

#[derive(Deserialize)]
struct Cursor {
    #[serde(rename = "markDeletePosition")]
    mark: String,
}

/// What became of an attempt to make something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Made {
    New,
    There,
}

impl Admin {
    /// Connects to nobody yet.
    pub(crate) fn new(properties: &Properties) -> Result<Admin> {
        let base = properties.admin_url();
        Ok(Admin { http: Http::new(&base, &properties.tls())?, base, properties: properties.clone() })
    }

    /// Makes a namespace if it is not there. Blocks.
    pub(crate) fn have_namespace(&self, namespace: &str) -> Result<Made> {
        let doing = format!("making the namespace '{namespace}'");
        runtime::wait(async {
            // Whoever may use a namespace need not be allowed to make one.
            let path = format!("namespaces/{namespace}/permissions");
            if let Ok((StatusCode::OK, _)) = self.call(Method::GET, &path, None).await {
                return Ok(Made::There);
            }
            self.make(&doing, &format!("namespaces/{namespace}"), None).await
        })
    }

    /// Makes a topic of so many partitions. Blocks.
    pub(crate) fn create(&self, topic: &str, partitions: u32) -> Result<Made> {
        let doing = format!("making the topic '{topic}'");
        let path = format!("{}/partitions", path(topic));
        runtime::wait(self.make(&doing, &path, Some(partitions.to_string())))
    }

    /// Gives a topic more partitions. Blocks.
    pub(crate) fn grow(&self, topic: &str, partitions: u32) -> Result<()> {
        let doing = format!("growing the topic '{topic}'");
        runtime::wait(async {
            let path = format!("{}/partitions", path(topic));
            let answer = self.call(Method::POST, &path, Some(partitions.to_string())).await?;
            self.expect(&doing, answer).map(drop)
        })
    }

    /// Deletes a topic with all that is in it. Blocks.
    pub(crate) fn delete(&self, topic: &str, is_partitioned: bool) -> Result<()> {
        let doing = format!("deleting the topic '{topic}'");
        let partitions = if is_partitioned { "/partitions" } else { "" };
        let path = format!("{}{partitions}?force=true", path(topic));
        runtime::wait(async {
            let answer = self.call(Method::DELETE, &path, None).await?;
            self.expect(&doing, answer).map(drop)
        })
    }

    /// Removes a subscription of a topic, or of all of its partitions, if it is there and nobody uses it. Blocks.
    pub(crate) fn unsubscribe(&self, topic: &str, subscription: &str) -> Result<()> {
        let doing = format!("removing the subscription '{subscription}' of '{topic}'");
        let path = format!("{}/subscription/{}", path(topic), utf8_percent_encode(subscription, NON_ALPHANUMERIC));
        runtime::wait(async {
            match self.call(Method::DELETE, &path, None).await? {
                (StatusCode::NOT_FOUND | StatusCode::PRECONDITION_FAILED, _) => Ok(()),
                answer => self.expect(&doing, answer).map(drop),
            }
        })
    }

    /// Whether repeats are dropped that producers write to a topic; `None` if that is not told.
    pub(crate) async fn deduplicates(&self, topic: &str) -> Result<Option<bool>> {
        let asked = format!("{}/deduplicationEnabled?applied=true", path(topic));
        match self.call(Method::GET, &asked, None).await? {
            (StatusCode::OK, body) => Ok(serde_json::from_str(&body).ok()),
            (StatusCode::NO_CONTENT, _) => Ok(Some(false)),
            _ => self.namespace_deduplicates(topic).await,
        }
    }

    /// The same, where topics have no policies of their own.
    async fn namespace_deduplicates(&self, topic: &str) -> Result<Option<bool>> {
        let Some((namespace, _)) = names::parts(topic) else { return Ok(None) };
        let asked = format!("namespaces/{namespace}/deduplication");
        match self.call(Method::GET, &asked, None).await? {
            (StatusCode::OK, body) if !body.trim().is_empty() => Ok(serde_json::from_str(&body).ok()),
            _ => Ok(None),
        }
    }

    /// Has repeats dropped: for this topic alone if the cluster has policies of topics, else for its namespace.
    pub(crate) async fn deduplicate(&self, topic: &str) -> Result<()> {
        let doing = format!("turning deduplication on for '{topic}'");
        let of_topic = format!("{}/deduplicationEnabled", path(topic));
        let answer = self.call(Method::POST, &of_topic, Some("true".into())).await?;
        if answer.0.is_success() {
            return Ok(());
        }
        let (namespace, _) = names::parts(topic).unwrap_or_default();
        let of_namespace = format!("namespaces/{namespace}/deduplication");
        let answer = self.call(Method::POST, &of_namespace, Some("true".into())).await?;
        self.expect(&doing, answer).map(drop)
    }

    /// Whether the broker keeps account of the producers of a partition: then it drops repeats.
    pub(crate) async fn has_deduplication_cursor(&self, topic: &str) -> Result<bool> {
        Ok(self.cursors(topic).await?.contains_key(DEDUPLICATION))
    }

    /// How long a topic is asked to keep what all subscriptions have acknowledged. Blocks.
    pub(crate) fn retention(&self, topic: &str) -> Result<Retention> {
        let answer = runtime::wait(self.call(Method::GET, &format!("{}/retention?applied=true", path(topic)), None))?;
        let body = self.expect(&format!("the retention of '{topic}'"), answer)?;
        let Ok(policy) = serde_json::from_str::<Policy>(&body) else { return Ok(Retention::default()) };
        Ok(Retention {
            max_age: u64::try_from(policy.minutes).ok().map(|minutes| Duration::from_secs(60 * minutes)),
            max_bytes: u64::try_from(policy.megabytes).ok().map(|megabytes| megabytes << 20),
            ..Retention::default()
        })
    }

    /// Sets it: without a limit for ever. Blocks.
    pub(crate) fn retain(&self, topic: &str, retention: &Retention) -> Result<()> {
        let minutes = retention.max_age.map_or(-1, |age| age.as_secs().div_ceil(60).max(1) as i64);
        let megabytes = retention.max_bytes.map_or(-1, |bytes| bytes.div_ceil(1 << 20).max(1) as i64);
        let body = serde_json::json!({"retentionTimeInMinutes": minutes, "retentionSizeInMB": megabytes}).to_string();
        let doing = format!("setting the retention of '{topic}'");
        runtime::wait(async {
            let answer = self.call(Method::POST, &format!("{}/retention", path(topic)), Some(body)).await?;
            self.expect(&doing, answer).map(drop)
        })
    }

    /// The durable subscriptions of a partition, and the last entry that each has acknowledged. Blocks.
    pub(crate) fn subscriptions(&self, topic: &str) -> Result<Vec<(String, Option<EntryId>)>> {
        let cursors = runtime::wait(self.cursors(topic))?;
        let mark = |text: &str| {
            let (ledger, entry) = text.split_once(':')?;
            Some((ledger.parse().ok()?, entry.parse().ok()?))
        };
        let name = |name: String| percent_encoding::percent_decode_str(&name).decode_utf8_lossy().into_owned();
        let of_users = cursors.into_iter().filter(|(name, _)| name != DEDUPLICATION && !name.starts_with("__"));
        Ok(of_users.map(|(of, cursor)| (name(of), mark(&cursor.mark))).collect())
    }

    /// Whether a partition is another one than when a subscription was at a ledger: it has neither the subscription nor anything as old.
    pub(crate) async fn is_made_anew(&self, topic: &str, subscription: &str, ledger: u64) -> Result<bool> {
        let Stats { cursors, ledgers } = self.stats(topic).await?;
        let name = |name: &String| percent_encoding::percent_decode_str(name).decode_utf8_lossy().into_owned();
        let has_subscription = cursors.keys().any(|cursor| name(cursor) == subscription);
        Ok(!has_subscription && ledgers.iter().all(|of| of.id > ledger))
    }

    async fn cursors(&self, topic: &str) -> Result<BTreeMap<String, Cursor>> {
        Ok(self.stats(topic).await?.cursors)
    }

    async fn stats(&self, topic: &str) -> Result<Stats> {
        let doing = format!("the subscriptions of '{topic}'");
        let answer = self.call(Method::GET, &format!("{}/internalStats", path(topic)), None).await?;
        let body = self.expect(&doing, answer)?;
        serde_json::from_str(&body).map_err(|e| self.strange(&doing, &e.to_string()))
    }

    async fn make(&self, doing: &str, path: &str, body: Option<String>) -> Result<Made> {
        let answer = self.call(Method::PUT, path, body).await?;
        if answer.0 == StatusCode::CONFLICT {
            return Ok(Made::There);
        }
        self.expect(doing, answer).map(|_| Made::New)
    }

    async fn call(&self, method: Method, path: &str, body: Option<String>) -> Result<(StatusCode, String)> {
        let token = self.properties.token()?;
        let url = format!("{}/admin/v2/{path}", self.base);
        let ask = Ask { method, url, token: token.as_deref(), body: body.as_deref() };
        self.http.call(ask).await.map_err(|why| {
            let message = format!("Pulsar's REST interface at {} does not answer: {why}", self.base);
            Error::new(ErrorCode::Unavailable, message).advising(
                "check that the broker's web service runs, and name its address with 'admin_url' if it is not port 8080 of the broker's host, \
                 or 8443 with TLS",
            )
        })
    }

    fn expect(&self, doing: &str, (status, body): (StatusCode, String)) -> Result<String> {
        if status.is_success() {
            return Ok(body);
        }
        let said = reason(&body);
        let code = match status {
            StatusCode::UNAUTHORIZED => ErrorCode::BrokerLogin,
            StatusCode::FORBIDDEN => ErrorCode::BrokerForbidden,
            StatusCode::NOT_FOUND => ErrorCode::TopicNotFound,
            StatusCode::CONFLICT
            | StatusCode::PRECONDITION_FAILED
            | StatusCode::BAD_REQUEST
            | StatusCode::METHOD_NOT_ALLOWED => ErrorCode::InvalidConfig,
            status if status.is_server_error() => ErrorCode::Unavailable,
            _ => return Err(self.strange(doing, &format!("{status}: {said}"))),
        };
        Err(Error::new(code, format!("{doing}: {said}")))
    }

    fn strange(&self, doing: &str, why: &str) -> Error {
        let message = format!("{doing}: what answers at {} does not speak Pulsar's REST interface: {why}", self.base);
        Error::new(ErrorCode::BrokerProtocol, message)
    }
}

/// The path of a topic.
fn path(topic: &str) -> String {
    let (namespace, local) = names::parts(topic).unwrap_or_default();
    format!("persistent/{namespace}/{}", utf8_percent_encode(local, NON_ALPHANUMERIC))
}

/// What an answer gives as its reason.
fn reason(body: &str) -> String {
    let parsed = serde_json::from_str::<serde_json::Value>(body).ok();
    let reason = parsed.as_ref().and_then(|body| body.get("reason")).and_then(|reason| reason.as_str());
    let text = reason.unwrap_or(body).lines().next().unwrap_or_default().trim();
    if text.is_empty() { "no reason is given".to_owned() } else { text.chars().take(300).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_in_paths() {
        assert_eq!(path("persistent://a/b/c d/é?"), "persistent/a/b/c%20d%2F%C3%A9%3F");
    }

    #[test]
    fn the_reason_of_a_refusal_is_told() {
        assert_eq!(reason("{\"reason\":\"Topic not found\"}"), "Topic not found");
        assert_eq!(reason("<html>\nmore"), "<html>");
        assert_eq!(reason(""), "no reason is given");
    }
}
