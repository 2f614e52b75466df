// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The parts of a request's target: the name in its path, and its query. And how pages of lists are answered.

use std::num::{IntErrorKind, ParseIntError};
use std::str::FromStr;
use std::time::Duration;

use axum::Json;
use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Uri};
use axum::response::IntoResponse;
use fnstream_api::header;
use fnstream_core::units::{parse_duration, write_duration};
use percent_encoding::percent_decode;
use serde::Serialize;

use super::failure::{Answer, Failure};
use crate::app::Wait;
use crate::app::pages::{Page, Wanted};

/// How many rows a page has when nothing is said.
const PAGE: usize = 500;

/// The parameter `max` of most lists, as it is described.
pub(super) const MAX_ROWS: &str = "at most so many, 500 when it is not given and never more than 1000";
/// The parameter `after` of lists that are an array.
pub(super) const BEHIND_HEADER: &str = "the page behind this cursor, the header 'fs-next' of an earlier answer";
/// The same of lists that are an object.
pub(super) const BEHIND_NEXT: &str = "the page behind this cursor, the 'next' of an earlier answer";

/// The parameter `wait` of what starts functions, as it is described.
pub(super) const WAIT: &str = "answer when every task has started, or one says why not, or after so long, such as 30s, at most 10m; \
    without it the answer comes as soon as the function was given to the engine";
/// The longest `wait`.
const MOST_WAIT: Duration = Duration::from_secs(600);

/// A page of a list as an answer: an array, and the cursor of the next page in a header.
pub(super) fn paged<T: Serialize>(page: Page<T>) -> impl IntoResponse {
    // A cursor is of letters that a header can hold.
    let next = page.next.and_then(|next| HeaderValue::from_str(&next).ok());
    let next = next.map(|next| [(HeaderName::from_static(header::NEXT), next)]);
    (next, Json(page.rows))
}

/// The `{name}` of a path, decoded. Whether it is a valid name is for the application to say.
pub(super) struct Name(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Self> {
        let params = RawPathParams::from_request_parts(parts, state).await;
        let params = params.map_err(|_| Failure::invalid("the path is not percent-encoded utf-8"))?;
        let name = params.iter().next().map(|(_, value)| value.to_owned());
        name.map(Name).ok_or_else(|| Failure::invalid("the path has no name"))
    }
}

/// The `{name}` and the `{id}` of a path, decoded.
pub(super) struct NameAndId(pub String, pub String);

impl<S: Send + Sync> FromRequestParts<S> for NameAndId {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Self> {
        let params = RawPathParams::from_request_parts(parts, state).await;
        let params = params.map_err(|_| Failure::invalid("the path is not percent-encoded utf-8"))?;
        let mut values = params.iter().map(|(_, value)| value.to_owned());
        match (values.next(), values.next()) {
            (Some(name), Some(id)) => Ok(NameAndId(name, id)),
            _ => Err(Failure::invalid("the path has no name or no id")),
        }
    }
}

/// The query of a request.
pub(super) struct Query(Vec<(String, Vec<u8>)>);

impl Query {
    /// Reads the query of a request; `Err` when it has parameters other than `known`, or one of them twice.
    pub(super) fn parse(uri: &Uri, known: &[&str]) -> Answer<Self> {
        let mut query = Query(Vec::new());
        for pair in uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = String::from_utf8_lossy(&decode(name)).into_owned();
            if !known.contains(&name.as_str()) {
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return Err(Failure::invalid(format!(
                    "query parameter '{}' is not known here, known: {known}",
                    name.escape_debug()
                )));
            }
            if query.bytes(&name).is_some() {
                return Err(Failure::invalid(format!("query parameter '{name}' is given twice")));
            }
            query.0.push((name, decode(value)));
        }
        Ok(query)
    }

    /// Reports whether there are no parameters.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes of a parameter.
    pub(super) fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_slice())
    }

    /// A parameter that is text.
    pub(super) fn text(&self, name: &str) -> Answer<Option<&str>> {
        let utf8 = |bytes| {
            std::str::from_utf8(bytes).map_err(|_| Failure::invalid(format!("query parameter '{name}' is not utf-8")))
        };
        self.bytes(name).map(utf8).transpose()
    }

    /// The page of a list that is wanted, by the parameters `max` and `after`.
    pub(super) fn page(&self) -> Answer<Wanted> {
        let max = self.read("max", number::<usize>)?.unwrap_or(PAGE);
        if max == 0 {
            return Err(Failure::invalid("query parameter 'max' is 0: a page has at least one row"));
        }
        Ok(Wanted { max, after: self.text("after")?.map(str::to_owned) })
    }

    /// How long to wait until a function is up, by the parameters `wait` and `keep_failed`.
    pub(super) fn wait(&self) -> Answer<Option<Wait>> {
        let keep_failed = self.read("keep_failed", boolean)?;
        let Some(time) = self.read("wait", parse_duration)? else {
            return match keep_failed {
                None => Ok(None),
                Some(_) => Err(Failure::invalid("query parameter 'keep_failed' goes with 'wait'")),
            };
        };
        if time > MOST_WAIT {
            let most = write_duration(MOST_WAIT);
            return Err(Failure::invalid(format!("query parameter 'wait' is longer than {most}")));
        }
        Ok(Some(Wait { time, keep_failed: keep_failed.unwrap_or_default() }))
    }

    /// A parameter in a form of its own.
    pub(super) fn read<T, E: std::fmt::Display>(
        &self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Answer<Option<T>> {
        let read = |text| read(text).map_err(|e| Failure::invalid(format!("query parameter '{name}': {e}")));
        self.text(name)?.map(read).transpose()
    }
}

/// Reads a whole number.
pub(super) fn number<T: FromStr<Err = ParseIntError>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: ParseIntError| {
        let what = match error.kind() {
            IntErrorKind::PosOverflow => "too large",
            // Where a number may be negative, it is read.
            _ if text.parse::<i128>().is_ok() => "too small",
            _ => "not a whole number",
        };
        format!("'{}' is {what}", text.escape_debug())
    })
}

/// Reads `true` or `false`.
pub(super) fn boolean(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| format!("'{}' is neither true nor false", text.escape_debug()))
}

fn decode(text: &str) -> Vec<u8> {
    let spaced: Vec<u8> = text.bytes().map(|b| if b == b'+' { b' ' } else { b }).collect();
    percent_decode(&spaced).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(uri: &str) -> Answer<Query> {
        Query::parse(&uri.parse().unwrap(), &["key", "partition"])
    }

    #[test]
    fn values_are_decoded_to_bytes() {
        let query = parse("/x?key=a%00%ff+b%2B&partition=3").unwrap();
        assert_eq!(query.bytes("key").unwrap(), b"a\0\xff b+");
        assert_eq!(query.read("partition", number::<u32>).unwrap(), Some(3));
        assert!(query.text("key").is_err());
    }

    #[test]
    fn what_is_no_number_is_told_so_in_words_of_ours() {
        assert_eq!((number::<u32>("7"), number::<i64>("-7"), boolean("true")), (Ok(7), Ok(-7), Ok(true)));
        for (text, why) in [
            ("", "'' is not a whole number"),
            ("1.5", "'1.5' is not a whole number"),
            ("-1", "'-1' is too small"),
            ("4294967296", "'4294967296' is too large"),
        ] {
            assert_eq!(number::<u32>(text), Err(why.to_owned()));
        }
        assert_eq!(number::<i8>("-129"), Err("'-129' is too small".to_owned()));
        assert_eq!(boolean("1"), Err("'1' is neither true nor false".to_owned()));
    }

    #[test]
    fn unknown_and_repeated_parameters_are_refused_by_name() {
        for (uri, what) in
            [("/x?kex=1", "'kex' is not known here, known: key, partition"), ("/x?key=1&key=2", "'key' is given twice")]
        {
            let Err(Failure(error)) = parse(uri) else { panic!("{uri} was accepted") };
            assert!(error.message.contains(what), "{}", error.message);
        }
    }
}
