// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A client of a server's REST interface.
//!
//! Every call is one request; nothing is repeated behind the caller's back, since a produce whose answer was lost may have
//! been done. A [`Producer`] numbers its events, so it may repeat its requests, and does. Errors carry the server's code and advice; a server that cannot be reached is `FS-1704` with its URL.

mod apply;
mod backups;
mod dead_letters;
mod error;
mod functions;
mod groups;
mod jobs;
mod logs;
mod page;
mod producer;
mod records;
mod topics;

use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, Url};
use serde::de::DeserializeOwned;

pub use apply::ApplyRequest;
pub use error::ClientError;
pub use groups::TakeOptions;
pub use logs::LogOptions;
pub use page::{Page, PageOptions};
pub use producer::{Events, Producer};
pub use records::{ConsumeOptions, Consumed, ConsumedBatch, ProduceOptions, ReadFrom};

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest address of a request that can be sent (of the http crate, which counts in 16 bits).
const MAX_URL: usize = 65_534;

/// A connection pool to one server. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    up: Option<UpWait>,
}

/// How long a client waits until a function is up that it creates, changes or starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpWait {
    /// At most so long.
    pub time: Duration,
    /// An update that does not come up stays in force; else the server goes back to what was there before.
    pub keep_failed: bool,
}

impl Client {
    /// A client of the server at `url`, such as `http://localhost:7300` or, for short, `localhost:7300`. Does not connect yet.
    pub fn new(url: &str) -> Result<Self, ClientError> {
        let base = base(url).map_err(|why| {
            let message =
                format!("service url '{url}': {why}; give it as http://HOST:PORT, such as {}", crate::DEFAULT_URL);
            ClientError::invalid(message)
        })?;
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .no_proxy()
            .build()
            .map_err(|e| ClientError::protocol(url, &e))?;
        Ok(Client { http, base, up: None })
    }

    /// The same client, whose calls that create, change or start a function wait until it is up, and fail when it is not. Without
    /// that they are answered as soon as the function was given to the engine.
    pub fn waiting(&self, wait: UpWait) -> Self {
        Client { up: Some(wait), ..self.clone() }
    }

    /// The server's URL.
    pub fn url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// A request to a path whose segments are encoded one by one, so that no name can leave its place. Those that no path
    /// can hold are refused here: they would make it another path.
    fn request(&self, method: Method, segments: &[&str]) -> Result<RequestBuilder, ClientError> {
        // The parser of URLs drops tabs and line ends without a word.
        let is_no_name = |segment: &str| matches!(segment, "" | "." | "..") || segment.contains(char::is_control);
        if let Some(name) = segments.iter().find(|segment| is_no_name(segment)) {
            return Err(ClientError::Name { message: format!("'{}' is not a name", name.escape_debug()) });
        }
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        Ok(self.http.request(method, url))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let broken = |e: reqwest::Error| ClientError::from_send(self.url(), &e);
        let request = request.build().map_err(broken)?;
        let length = request.url().as_str().len();
        if length > MAX_URL {
            return Err(ClientError::invalid(format!(
                "a name or an option is too long: the request's address has {length} bytes, more than {MAX_URL}"
            )));
        }
        let response = self.http.execute(request).await.map_err(broken)?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let body = response.bytes().await.unwrap_or_default();
        Err(ClientError::from_answer(self.url(), status, &body))
    }

    async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ClientError> {
        let response = self.send(request).await?;
        response.json().await.map_err(|e| ClientError::protocol(self.url(), &e))
    }

    async fn done(&self, request: RequestBuilder) -> Result<(), ClientError> {
        self.send(request).await.map(drop)
    }
}

/// Reads the URL of a server, whose scheme may be missing.
fn base(url: &str) -> Result<Url, String> {
    let base = match url.contains("://") {
        _ if url.is_empty() => return Err("it is empty".to_owned()),
        true => Url::parse(url),
        false => Url::parse(&format!("http://{url}")),
    };
    let base = base.map_err(|e| e.to_string())?;
    match base.scheme() {
        "http" => Ok(base),
        other => Err(format!("this client speaks http, not {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_may_lack_its_scheme() {
        for (url, shown) in [
            ("localhost:7300", "http://localhost:7300"),
            ("127.0.0.1:7300", "http://127.0.0.1:7300"),
            ("[::1]:7300/", "http://[::1]:7300"),
            ("example", "http://example"),
            ("http://example:1/below", "http://example:1/below"),
        ] {
            assert_eq!(Client::new(url).unwrap().url(), shown);
        }
    }

    #[test]
    fn what_is_no_url_says_what_to_give() {
        for (url, why) in [
            ("", "it is empty"),
            (":7300", "empty host"),
            ("https://example", "this client speaks http, not https"),
            ("localhost:port", "invalid port number"),
        ] {
            let error = Client::new(url).unwrap_err().to_string();
            let expected =
                format!("service url '{url}': {why}; give it as http://HOST:PORT, such as http://localhost:7300");
            assert!(error.starts_with(&expected), "{error}");
        }
    }
}
