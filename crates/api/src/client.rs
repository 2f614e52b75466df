// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A client of a server's REST interface.
//!
//! Every call is one request; nothing is repeated behind the caller's back, since a produce whose answer was lost may have
//! been done. Errors carry the server's code and advice; a server that cannot be reached is `FS-1704` with its URL.

mod dead_letters;
mod error;
mod functions;
mod jobs;
mod logs;
mod page;
mod records;
mod topics;

use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, Url};
use serde::de::DeserializeOwned;

pub use error::ClientError;
pub use logs::LogOptions;
pub use page::{Page, PageOptions};
pub use records::{ConsumeOptions, Consumed, ProduceOptions, ReadFrom};

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection pool to one server. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
}

impl Client {
    /// A client of the server at `url`, such as `http://localhost:7300`. Does not connect yet.
    pub fn new(url: &str) -> Result<Self, ClientError> {
        let invalid = |why: &str| ClientError::invalid(format!("service url '{url}': {why}"));
        let base = Url::parse(url).map_err(|e| invalid(&e.to_string()))?;
        if base.scheme() != "http" {
            return Err(invalid("this client speaks http only"));
        }
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .no_proxy()
            .build()
            .map_err(|e| ClientError::protocol(url, &e))?;
        Ok(Client { http, base })
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
        let response = request.send().await.map_err(|e| ClientError::from_send(self.url(), &e))?;
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
