// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Requests over HTTP and HTTPS to the brokers of a cluster, which send them on to each other.

use std::error::Error as StdError;
use std::time::Duration;

use bytes::Bytes;
use fnstream_core::Result;
use fnstream_pulsar_client::TlsOptions;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION};
use hyper::{Method, Request, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;

use crate::error;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest answer: a list of the topics of a namespace, for example.
const LONGEST: usize = 64 << 20;
/// How often a request is sent on.
const MOST_HOPS: usize = 10;

/// See the module.
#[derive(Clone)]
pub(crate) enum Http {
    Plain(Client<HttpConnector, Full<Bytes>>),
    Secured(Client<HttpsConnector<HttpConnector>, Full<Bytes>>),
}

/// What is asked.
pub(crate) struct Ask<'a> {
    pub method: Method,
    pub url: String,
    pub token: Option<&'a str>,
    /// JSON.
    pub body: Option<&'a str>,
}

impl Http {
    /// Connects to nobody yet. Whoever is spoken to by HTTPS is trusted as brokers are.
    pub(crate) fn new(base: &str, tls: &TlsOptions) -> Result<Http> {
        let builder = Client::builder(TokioExecutor::new());
        if !is_secured(base) {
            return Ok(Http::Plain(builder.build_http()));
        }
        let config = tls.client_config().map_err(|failure| error::of("the certificates of a cluster", &failure))?;
        let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_only().enable_http1().build();
        Ok(Http::Secured(builder.build(connector)))
    }

    /// What is answered; the error says why nothing is. A broker that is not in charge names the one that is, which is asked in the same
    /// way, the token included: it belongs to the cluster.
    pub(crate) async fn call(&self, mut ask: Ask<'_>) -> std::result::Result<(StatusCode, String), String> {
        let answered = async {
            for _ in 0..=MOST_HOPS {
                let response = match self {
                    Http::Plain(client) => client.request(ask.request()?),
                    Http::Secured(client) => client.request(ask.request()?),
                };
                let response = response.await.map_err(|e| causes(&e))?;
                let status = response.status();
                if status.is_redirection() {
                    let next = response.headers().get(LOCATION).and_then(|next| next.to_str().ok()).unwrap_or_default();
                    if !next.starts_with("http") || is_secured(&ask.url) != is_secured(next) {
                        return Err(format!("{} sends on to '{}'", ask.url, next.escape_debug()));
                    }
                    ask.url = next.to_owned();
                    continue;
                }
                let body = Limited::new(response.into_body(), LONGEST).collect().await.map_err(|e| causes(&*e))?;
                return Ok((status, String::from_utf8_lossy(&body.to_bytes()).into_owned()));
            }
            Err(format!("it sends on more than {MOST_HOPS} times, at last to {}", ask.url))
        };
        timeout(PATIENCE, answered).await.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}")))
    }
}

impl Ask<'_> {
    fn request(&self) -> std::result::Result<Request<Full<Bytes>>, String> {
        let mut request = Request::builder().method(&self.method).uri(&self.url);
        if let Some(token) = self.token {
            // Without the method a bad token would be taken for none.
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
            request = request.header("X-Pulsar-Auth-Method-Name", "token");
        }
        if self.body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = Full::new(Bytes::from(self.body.unwrap_or_default().to_owned()));
        request.body(body).map_err(|e| format!("no request can be made of it: {e}"))
    }
}

fn is_secured(url: &str) -> bool {
    url.starts_with("https://")
}

/// An error with what it came of.
fn causes(error: &dyn StdError) -> String {
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        said = format!("{said}: {inner}");
        source = inner.source();
    }
    said
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::TcpListener;
    use std::thread::JoinHandle;

    use super::*;

    /// Answers one request, and gives what was asked, in lower case.
    fn answer(listener: TcpListener, answer: String) -> JoinHandle<String> {
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut asked, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                line.make_ascii_lowercase();
                if let Some(told) = line.strip_prefix("content-length: ") {
                    length = told.trim().parse().unwrap();
                }
                asked.push_str(&line);
                if line == "\r\n" {
                    break;
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            write!(stream, "HTTP/1.1 {answer}\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok").unwrap();
            asked + &String::from_utf8(body).unwrap()
        })
    }

    fn call(url: &str) -> std::result::Result<(StatusCode, String), String> {
        let http = Http::new(url, &TlsOptions::default()).unwrap();
        let ask = Ask { method: Method::PUT, url: url.into(), token: Some("secret"), body: Some("{\"a\":1}") };
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(http.call(ask))
    }

    fn listener() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/admin", listener.local_addr().unwrap());
        (listener, url)
    }

    #[test]
    fn a_request_is_sent_on_to_the_broker_in_charge_as_it_was() {
        let ((first, url), (second, next)) = (listener(), listener());
        let asked = [
            answer(first, format!("307 Temporary Redirect\r\nlocation: {next}?authoritative=true")),
            answer(second, "200 OK".into()),
        ];
        assert_eq!(call(&url), Ok((StatusCode::OK, "ok".into())));
        let [first, second] = asked.map(|asked| asked.join().unwrap());
        assert!(first.starts_with("put /admin http/1.1"), "{first}");
        assert!(second.starts_with("put /admin?authoritative=true http/1.1"), "{second}");
        for asked in [first, second] {
            assert!(asked.contains("authorization: bearer secret\r\n") && asked.ends_with("\r\n{\"a\":1}"), "{asked}");
        }
    }

    #[test]
    fn the_token_is_not_sent_on_without_tls() {
        for next in ["https://127.0.0.1:1/", "/elsewhere", ""] {
            let (listener, url) = listener();
            let asked = answer(listener, format!("307 Temporary Redirect\r\nlocation: {next}"));
            let refused = call(&url).unwrap_err();
            assert!(refused.contains("sends on to"), "{refused}");
            asked.join().unwrap();
        }
    }

    #[test]
    fn a_request_that_goes_in_circles_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let there = url.clone();
        std::thread::spawn(move || {
            while let Ok(copy) = listener.try_clone() {
                answer(copy, format!("307 Temporary Redirect\r\nlocation: {there}")).join().unwrap();
            }
        });
        assert!(call(&url).unwrap_err().contains("more than 10 times"));
    }
}
