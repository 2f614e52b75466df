// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Pulsar's REST interface: namespaces, topics, and how many records a topic was given.

use std::time::Duration;

use fnstream_core::{Error, ErrorCode};
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::failure::{Failure, Result};

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

const PERSISTENT: &str = "persistent";

/// See the module.
pub(super) struct Admin {
    http: reqwest::Client,
    base: Url,
}

/// What is asked of the statistics of a topic.
#[derive(Deserialize)]
struct Stats {
    #[serde(rename = "msgInCounter")]
    given: u64,
}

/// An answer, whatever it says.
struct Answer {
    status: StatusCode,
    body: String,
}

impl Admin {
    /// Connects to nobody yet.
    pub(super) fn new(url: &str) -> Result<Admin> {
        let base = parse(url).map_err(Failure::Usage)?;
        let made = reqwest::Client::builder().timeout(PATIENCE).build();
        let http = made.map_err(|e| Failure::Plain(format!("a client of HTTP: {e}")))?;
        Ok(Admin { http, base })
    }

    /// Its address.
    pub(super) fn url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Makes a namespace that keeps what is read, and drops repeats.
    pub(super) async fn make_namespace(&self, namespace: &str) -> Result {
        let doing = format!("making the namespace '{namespace}'");
        let of = |more| ["namespaces", namespace, more];
        self.call(Method::PUT, &of(""), &[], Some(json!({}))).await?.expect(&doing)?;
        let for_ever = json!({"retentionTimeInMinutes": -1, "retentionSizeInMB": -1});
        self.call(Method::POST, &of("retention"), &[], Some(for_ever)).await?.expect(&doing)?;
        self.call(Method::POST, &of("deduplication"), &[], Some(json!(true))).await?.expect(&doing)?;
        Ok(())
    }

    /// Makes a topic, named `TENANT/NAMESPACE/NAME`.
    pub(super) async fn make_topic(&self, topic: &str, partitions: u32) -> Result {
        let made = self.call(Method::PUT, &[PERSISTENT, topic, "partitions"], &[], Some(json!(partitions))).await?;
        made.expect(&format!("making the topic '{topic}'")).map(drop)
    }

    /// How many records brokers have taken for a topic since they have it.
    pub(super) async fn given(&self, topic: &str) -> Result<u64> {
        let doing = format!("asking for the records of '{topic}'");
        // What costs the broker something is left out.
        let less = [("perPartition", "false"), ("getPreciseBacklog", "false"), ("subscriptionBacklogSize", "false")];
        let answer = self.call(Method::GET, &[PERSISTENT, topic, "partitioned-stats"], &less, None).await?;
        Ok(answer.parsed::<Stats>(&doing)?.given)
    }

    /// Removes a namespace with all that is in it, if it is there.
    pub(super) async fn remove_namespace(&self, namespace: &str) -> Result {
        let doing = format!("removing the namespace '{namespace}'");
        for (kind, more) in [("partitioned", "partitions"), ("", "")] {
            let answer = self.call(Method::GET, &[PERSISTENT, namespace, kind], &[], None).await?;
            if answer.status == StatusCode::NOT_FOUND {
                return Ok(());
            }
            for topic in answer.parsed::<Vec<String>>(&doing)? {
                let topic = topic.split_once("://").map_or(&*topic, |(_, name)| name);
                let force = [("force", "true")];
                let removed = self.call(Method::DELETE, &[PERSISTENT, topic, more], &force, None).await?;
                if removed.status != StatusCode::NOT_FOUND {
                    removed.expect(&format!("removing the topic '{topic}'"))?;
                }
            }
        }
        self.call(Method::DELETE, &["namespaces", namespace], &[], None).await?.expect(&doing).map(drop)
    }

    /// `path` are its parts; one that names a topic or a namespace may have parts itself.
    async fn call(&self, method: Method, path: &[&str], query: &[(&str, &str)], body: Option<Value>) -> Result<Answer> {
        let mut request = self.http.request(method, address(&self.base, path)).query(query);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let away = |e: reqwest::Error| {
            let mut why = e.to_string();
            let mut source = std::error::Error::source(&e);
            while let Some(inner) = source {
                why = format!("{why}: {inner}");
                source = inner.source();
            }
            let message = format!("Pulsar's REST interface at {} does not answer: {why}", self.url());
            Failure::from(Error::new(ErrorCode::Unavailable, message).advising("name its address with --admin-url"))
        };
        let response = request.send().await.map_err(away)?;
        let status = response.status();
        Ok(Answer { status, body: response.text().await.map_err(away)? })
    }
}

impl Answer {
    fn expect(self, doing: &str) -> Result<String> {
        if self.status.is_success() {
            return Ok(self.body);
        }
        let parsed = serde_json::from_str::<Value>(&self.body).ok();
        let reason = parsed.as_ref().and_then(|body| body.get("reason")?.as_str());
        let said: String = reason.unwrap_or(&self.body).lines().next().unwrap_or_default().chars().take(300).collect();
        Err(Failure::new(ErrorCode::Unavailable, format!("{doing}: {}: {said}", self.status)))
    }

    fn parsed<T: DeserializeOwned>(self, doing: &str) -> Result<T> {
        let body = self.expect(doing)?;
        serde_json::from_str(&body).map_err(|e| Failure::Plain(format!("{doing}: the answer is not Pulsar's: {e}")))
    }
}

/// An address of a REST interface, as a flag gives it.
pub(in crate::bench) fn admin_url(text: &str) -> std::result::Result<String, String> {
    parse(text).map(|_| text.trim_end_matches('/').to_owned())
}

/// Where the REST interface is unless it is said: at the first host.
pub(super) fn default_url(service_url: &str) -> String {
    let hosts = service_url.split_once("://").map_or(service_url, |(_, hosts)| hosts);
    let first = hosts.split(',').next().unwrap_or_default();
    let host = first.rsplit_once(':').map_or(first, |(host, _)| host);
    format!("http://{host}:8080")
}

fn parse(text: &str) -> std::result::Result<Url, String> {
    let url = Url::parse(text).map_err(|e| format!("'{}' is no URL: {e}", text.escape_debug()))?;
    match url.scheme() {
        "http" => Ok(url),
        other => Err(format!("'{}' is not spoken: the address begins with http://", other.escape_debug())),
    }
}

fn address(base: &Url, path: &[&str]) -> Url {
    let mut url = base.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        let parts = path.iter().flat_map(|part| part.splitn(3, '/')).filter(|part| !part.is_empty());
        segments.pop_if_empty().extend(["admin", "v2"]).extend(parts);
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_the_parts_of_names_and_their_other_signs_escaped() {
        let base = parse("http://h:8080/proxied/").unwrap();
        let topic = address(&base, &[PERSISTENT, "a/b/c d/é", "partitions"]);
        assert_eq!(topic.as_str(), "http://h:8080/proxied/admin/v2/persistent/a/b/c%20d%2F%C3%A9/partitions");
        let namespace = address(&parse("http://h:8080").unwrap(), &["namespaces", "a/b", ""]);
        assert_eq!(namespace.as_str(), "http://h:8080/admin/v2/namespaces/a/b");
    }

    #[test]
    fn the_rest_interface_is_at_the_first_host_unless_it_is_said() {
        assert_eq!(default_url("pulsar://b1:6650,b2:6650"), "http://b1:8080");
        assert_eq!(default_url("pulsar://[::1]:6650"), "http://[::1]:8080");
        assert_eq!(admin_url("http://web:80/"), Ok("http://web:80".to_owned()));
        assert!(admin_url("https://web").is_err_and(|why| why.contains("'https' is not spoken")));
        assert!(admin_url("web").is_err());
    }
}
