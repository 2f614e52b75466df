// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Lists, which come in pages.

use reqwest::RequestBuilder;
use serde::de::DeserializeOwned;

use super::{Client, ClientError};
use crate::header;

/// Which page of a list.
#[derive(Debug, Clone, Default)]
pub struct PageOptions {
    /// At most so many rows; the server's own number without it. A page may have fewer and not be the last.
    pub max: Option<usize>,
    /// The page behind that cursor, the `next` of an earlier one; the first page without it.
    pub after: Option<String>,
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// Its rows in order.
    pub rows: Vec<T>,
    /// The cursor with which the next page is asked for; none on the last one.
    pub next: Option<String>,
}

impl PageOptions {
    pub(super) fn query(&self) -> Vec<(&'static str, String)> {
        let max = self.max.map(|max| ("max", max.to_string()));
        max.into_iter().chain(self.after.clone().map(|after| ("after", after))).collect()
    }
}

impl Client {
    /// A page whose rows are the answer's array.
    pub(super) async fn page<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
        options: &PageOptions,
    ) -> Result<Page<T>, ClientError> {
        let response = self.send(request.query(&options.query())).await?;
        let next = response.headers().get(header::NEXT).and_then(|next| next.to_str().ok()).map(str::to_owned);
        let rows = response.json().await.map_err(|e| ClientError::protocol(self.url(), &e))?;
        Ok(Page { rows, next })
    }
}

/// All pages of a list, one after the other.
pub(super) async fn all<T, F>(mut page: impl FnMut(PageOptions) -> F) -> Result<Vec<T>, ClientError>
where
    F: Future<Output = Result<Page<T>, ClientError>>,
{
    let (mut rows, mut options) = (Vec::new(), PageOptions::default());
    loop {
        let found = page(options.clone()).await?;
        rows.extend(found.rows);
        options.after = found.next;
        if options.after.is_none() {
            return Ok(rows);
        }
    }
}
