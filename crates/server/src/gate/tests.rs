// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

#![allow(clippy::unwrap_used)]

use super::*;

fn gate(origins: &[&str]) -> Result<Gate> {
    let mut config = ServerConfig::new("data");
    config.allowed_origins = origins.iter().map(|origin| (*origin).to_owned()).collect();
    Gate::new(&config, "localhost:7300", ([127, 0, 0, 1], 7300).into())
}

/// The code that a request is refused with; nothing if it may be answered.
fn check(method: &str, target: &str, headers: &[(&'static str, &str)]) -> Option<ErrorCode> {
    let gate = gate(&["https://console.example"]).unwrap();
    let mut all = HeaderMap::new();
    for (name, value) in headers {
        all.append(*name, value.parse().unwrap());
    }
    gate.check(&method.parse().unwrap(), &target.parse().unwrap(), &all).err().map(|error| error.code)
}

#[test]
fn what_is_no_browser_asks_whatever_it_likes() {
    const POWERSHELL: (&str, &str) = ("user-agent", "Mozilla/5.0 (PowerShell)");
    let form = ("content-type", "application/x-www-form-urlencoded");
    for (method, headers) in [
        ("GET", vec![]),
        ("POST", vec![("host", "localhost:7300")]),
        ("POST", vec![("host", "localhost:7300"), form]),
        ("PUT", vec![("host", "127.0.0.1:7300"), ("content-type", "text/plain"), POWERSHELL]),
        ("DELETE", vec![("host", "[::1]:7300"), ("accept-language", "en")]),
    ] {
        for path in ["/api/v1/consume/t", "/api/v1/function/f", "/healthz"] {
            assert_eq!(check(method, path, &headers), None, "{method} {path} {headers:?}");
        }
    }
}

#[test]
fn every_host_that_is_named_is_looked_at() {
    let foreign = Some(ErrorCode::HostRefused);
    assert_eq!(check("GET", "/healthz", &[("host", "evil.example:7300")]), foreign);
    assert_eq!(check("GET", "/healthz", &[("host", "localhost"), ("host", "evil.example")]), foreign);
    assert_eq!(check("GET", "http://evil.example/healthz", &[("host", "localhost")]), foreign);
    assert_eq!(check("GET", "http://localhost/healthz", &[("host", "evil.example")]), foreign);
    assert_eq!(check("GET", "http://localhost:7300/healthz", &[]), None);
    // Rebound, a page's origin is the host that it asks.
    let rebound =
        [("host", "evil.example:7300"), ("origin", "http://evil.example:7300"), ("sec-fetch-site", "same-origin")];
    assert_eq!(check("GET", "/healthz", &rebound), foreign);
}

#[test]
fn pages_of_other_sites_neither_read_nor_change_anything() {
    let host = ("host", "localhost:7300");
    for foreign in [
        ("origin", "http://evil.example"),
        ("origin", "null"),
        ("origin", ""),
        ("origin", "http://localhost:3000"),
        ("origin", "http://localhost"),
        ("origin", "localhost:7300"),
        ("origin", "chrome-extension://abc"),
        ("origin", "https://console.example.evil.example"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("sec-fetch-site", "something-new"),
    ] {
        for method in ["GET", "HEAD", "OPTIONS", "PUT", "POST", "DELETE"] {
            for path in ["/api/v1/functions", "/api/v1/consume/t", "/metrics", "/nowhere"] {
                let code = check(method, path, &[host, foreign, ("content-type", "application/json")]);
                assert_eq!(code, Some(ErrorCode::OriginRefused), "{method} {path} {foreign:?}");
            }
        }
    }
    // One good origin does not speak for another.
    let two = [host, ("origin", "http://localhost:7300"), ("origin", "http://evil.example")];
    assert_eq!(check("GET", "/metrics", &two), Some(ErrorCode::OriginRefused));
}

#[test]
fn pages_of_its_own_origin_and_of_listed_ones_may_ask() {
    let host = ("host", "localhost:7300");
    for own in [
        ("origin", "http://localhost:7300"),
        ("origin", "https://LOCALHOST:7300"),
        ("origin", "https://console.example"),
        ("sec-fetch-site", "same-origin"),
        ("sec-fetch-site", "none"),
    ] {
        for method in ["GET", "PUT", "POST", "DELETE"] {
            let headers = [host, own, ("content-type", "application/json")];
            assert_eq!(check(method, "/api/v1/consume/t", &headers), None, "{method} {own:?}");
        }
    }
    let headers = [host, ("origin", "https://console.example"), ("sec-fetch-site", "cross-site")];
    assert_eq!(check("GET", "/api/v1/functions", &headers), None);
}

#[test]
fn a_browser_that_tells_nothing_takes_no_event() {
    let silent = [("host", "localhost"), ("user-agent", "Mozilla/5.0 (X11)"), ("accept-language", "en")];
    for (method, path, code) in [
        ("GET", "/api/v1/consume/t?group=g", Some(ErrorCode::OriginRefused)),
        ("POST", "/api/v1/function/f/stop", Some(ErrorCode::OriginRefused)),
        ("GET", "/metrics", None),
    ] {
        assert_eq!(check(method, path, &silent), code, "{method} {path}");
    }
}

#[test]
fn a_browsers_post_has_a_type_that_no_form_can_send() {
    let form = Some(ErrorCode::ContentTypeRefused);
    for (content_type, code) in [
        ("text/plain", form),
        ("Text/Plain;charset=UTF-8", form),
        ("multipart/form-data; boundary=x", form),
        ("application/x-www-form-urlencoded", form),
        ("text/plain, application/json", form),
        ("", form),
        ("application/json", None),
        ("application/octet-stream", None),
    ] {
        let headers = [("host", "localhost"), ("origin", "http://localhost"), ("content-type", content_type)];
        assert_eq!(check("POST", "/api/v1/function/f", &headers), code, "{content_type}");
        assert_eq!(check("PUT", "/api/v1/produce/t", &headers), None, "no form can send PUT");
    }
    assert_eq!(check("POST", "/", &[("host", "localhost"), ("sec-fetch-site", "same-origin")]), form, "none at all");
}

#[test]
fn an_origin_of_the_settings_has_the_form_of_one() {
    assert!(gate(&["http://a", "https://a.example:1"]).is_ok());
    for bad in ["*", "null", "a.example", "https://a/", "https://", "https://*.a", "file://x"] {
        let error = gate(&[bad]).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidConfig, "{bad}");
        assert!(error.message.contains(&format!("'{bad}'")), "{error}");
    }
}
