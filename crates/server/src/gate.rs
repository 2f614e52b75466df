// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Who may ask at all: the checks of both interfaces that come before everything else.
//!
//! There is no authentication, so whoever reaches the server may use it. A browser on a machine that reaches it must not lend
//! that reach to the pages it shows. Three rules see to it, for every path:
//!
//! ```text
//! Host      names this server         against DNS rebinding: a name of the attacker's that leads here   FS-1010
//! Origin    is this server's or listed   against pages of other sites, reading included                 FS-1011
//! Content-Type of a browser's POST    is none that a form can send without asking                       FS-1012
//! ```
//!
//! What is no browser sends neither `Origin` nor `Sec-Fetch-Site`, and a page can neither leave them out nor change them. Over
//! plain HTTP to another machine, a browser sends neither with images, scripts and links: there a browser is known by its
//! `User-Agent` and `Accept-Language`, and gets nothing that changes something.

mod hosts;
mod page;

use std::net::SocketAddr;

use axum::http::header::{ACCEPT_LANGUAGE, CONTENT_TYPE, HOST, ORIGIN, USER_AGENT};
use axum::http::{HeaderMap, HeaderName, Method, Uri};
use fnstream_core::{Error, ErrorCode, Result};

use crate::ServerConfig;
use hosts::Hosts;
use page::Page;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The one path at which GET changes something: it takes an event.
const CONSUME: &str = "/api/v1/consume/";

/// The types that a form can send, and that a page can send anywhere without asking first.
const OF_FORMS: [&str; 3] = ["text/plain", "multipart/form-data", "application/x-www-form-urlencoded"];

/// The checks of one interface.
#[derive(Debug)]
pub(crate) struct Gate {
    hosts: Hosts,
    origins: Vec<String>,
}

impl Gate {
    /// For an interface that was asked to listen there and listens at that address.
    pub(crate) fn new(config: &ServerConfig, listen: &str, address: SocketAddr) -> Result<Self> {
        let hosts = Hosts::new(&config.allowed_hosts, listen, address.ip())?;
        let origins = config.allowed_origins.iter().map(|text| origin(text)).collect::<Result<_>>()?;
        Ok(Gate { hosts, origins })
    }

    /// Whether a request may be answered; if it is one of a page of another site that may ask, the page.
    pub(crate) fn check(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Option<Page>> {
        self.check_host(uri, headers)?;
        let page = self.check_origin(method, uri, headers)?;
        if *method == Method::POST && is_of_browser(headers) {
            check_content_type(headers)?;
        }
        Ok(page)
    }

    /// Each host that the request names has to be this server. One that names none is not a browser's.
    fn check_host(&self, uri: &Uri, headers: &HeaderMap) -> Result<()> {
        let of_uri = uri.authority().map(|authority| authority.as_str().as_bytes());
        let hosts = of_uri.into_iter().chain(headers.get_all(HOST).iter().map(|host| host.as_bytes()));
        for host in hosts.filter(|host| !host.is_empty()) {
            if !std::str::from_utf8(host).is_ok_and(|host| self.hosts.allow(host)) {
                let message = format!("this server is not '{}'", shown(host));
                return Err(Error::new(ErrorCode::HostRefused, message));
            }
        }
        Ok(())
    }

    fn check_origin(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Option<Page>> {
        let mut page = None;
        for origin in headers.get_all(ORIGIN) {
            let text = origin.to_str().unwrap_or_default();
            if self.origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(text)) {
                page = Some(Page::new(origin.clone()));
            } else if !is_own(text, uri, headers) {
                return Err(foreign(&format!("a page of '{}'", shown(origin.as_bytes()))));
            }
        }
        if headers.contains_key(ORIGIN) {
            return Ok(page);
        }
        match headers.get(SEC_FETCH_SITE).map(|site| site.as_bytes()) {
            // Typed, or a bookmark.
            Some(b"same-origin" | b"none") => Ok(None),
            Some(_) => Err(foreign("a page of another site")),
            None if changes(method, uri) && looks_like_browser(headers) => {
                Err(foreign("a browser that does not say for which page"))
            }
            None => Ok(None),
        }
    }
}

/// What a client says it wants, or is: as much of it as tells.
fn shown(text: &[u8]) -> String {
    text[..text.len().min(100)].escape_ascii().to_string()
}

fn foreign(who: &str) -> Error {
    Error::new(ErrorCode::OriginRefused, format!("{who} may not use this server"))
}

/// An origin of the settings, as browsers write it.
fn origin(text: &str) -> Result<String> {
    let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    match host {
        Some(host) if !host.is_empty() && !host.contains(['/', '*', '@', '?', '#', ' ', ',']) => Ok(text.to_owned()),
        _ => {
            let message = format!(
                "service.allowed_origins: '{}' is not an origin such as https://console.example.com, without a path",
                text.escape_debug()
            );
            Err(Error::new(ErrorCode::InvalidConfig, message))
        }
    }
}

/// Whether an origin is what the request names as its host, which is this server. A proxy may have taken the TLS off.
fn is_own(origin: &str, uri: &Uri, headers: &HeaderMap) -> bool {
    let of_header = || headers.get(HOST).and_then(|host| host.to_str().ok());
    let Some(host) = uri.authority().map(|authority| authority.as_str()).or_else(of_header) else { return false };
    let own = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    own.is_some_and(|own| own.eq_ignore_ascii_case(host))
}

fn changes(method: &Method, uri: &Uri) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) || uri.path().starts_with(CONSUME)
}

/// Whether a request has what only browsers send.
pub(crate) fn is_of_browser(headers: &HeaderMap) -> bool {
    headers.contains_key(ORIGIN) || headers.contains_key(SEC_FETCH_SITE)
}

/// Whether it has what browsers always send, and scripts hardly ever do both of.
fn looks_like_browser(headers: &HeaderMap) -> bool {
    headers.contains_key(ACCEPT_LANGUAGE)
        && headers.get(USER_AGENT).is_some_and(|agent| agent.as_bytes().starts_with(b"Mozilla/"))
}

/// A type that a form cannot send shows that the browser has asked before, or that no other site is at work.
fn check_content_type(headers: &HeaderMap) -> Result<()> {
    let text = headers.get(CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase());
    let text = text.unwrap_or_default();
    let essence = text.split([';', ',']).next().unwrap_or_default().trim();
    if !essence.is_empty() && !OF_FORMS.contains(&essence) {
        return Ok(());
    }
    let named = if essence.is_empty() { "none".to_owned() } else { format!("'{}'", essence.escape_debug()) };
    let message = format!("a browser's request has the content type {named}, which any page could have sent");
    Err(Error::new(ErrorCode::ContentTypeRefused, message))
}

#[cfg(test)]
mod tests;
