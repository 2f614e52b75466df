// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A site with one page, `/attack`. Whatever else is asked of it leads to the server, as if the site's name had been made to lead
//! there meanwhile. What the page has seen it tells at a port of its own: a browser keeps connections, and one that led to the
//! server once leads there for all that follows.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

const PAGE: &str = include_str!("attack.html");

/// How requests reach the server.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// As they come.
    Plain,
    /// Without all by which a browser's request is known for what it is: to the server, it comes of a program on its machine.
    /// So is a server without checks, whose harm the tests must see.
    Unguarded,
}

pub(crate) struct Site {
    port: u16,
    reports_port: u16,
    leads_to: watch::Sender<Option<SocketAddr>>,
    reports: mpsc::UnboundedReceiver<Value>,
}

impl Site {
    /// A site in front of the server at that URL.
    pub(crate) async fn new(url: &str, way: Way) -> Result<Self> {
        let site = Site::to_come(way).await?;
        site.leads_to(url)?;
        Ok(site)
    }

    /// One in front of a server that is yet to come.
    pub(crate) async fn to_come(way: Way) -> Result<Self> {
        let (leads_to, target) = watch::channel(None);
        let port = listen(move |stream| serve(stream, target.clone(), way)).await?;
        let (tell, reports) = mpsc::unbounded_channel();
        let tell = Arc::new(tell);
        let reports_port = listen(move |stream| hear(stream, tell.clone())).await?;
        Ok(Site { port, reports_port, leads_to, reports })
    }

    pub(crate) fn leads_to(&self, url: &str) -> Result<()> {
        let address = url.strip_prefix("http://").context("not a url of a test")?.parse()?;
        self.leads_to.send_replace(Some(address));
        Ok(())
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The address of the page, as it is opened under that name against these servers.
    pub(crate) fn page(&self, name: &str, targets: &[&str]) -> String {
        let (port, reports) = (self.port, self.reports_port);
        format!("http://{name}:{port}/attack?reports={reports}&targets={}", targets.join(","))
    }

    /// What a page has seen, once it has tried everything.
    pub(crate) async fn report(&mut self) -> Value {
        self.reports.recv().await.unwrap_or_default()
    }
}

/// Serves each connection to a free port, which is answered.
async fn listen<F>(serve: impl Fn(TcpStream) -> F + Send + Sync + 'static) -> Result<u16>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A browser that goes away is none of the test's business.
            let served = serve(stream);
            tokio::spawn(async move { drop(served.await) });
        }
    });
    Ok(port)
}

async fn serve(mut stream: TcpStream, target: watch::Receiver<Option<SocketAddr>>, way: Way) -> Result<()> {
    let (head, rest) = head(&mut stream).await?;
    if head.starts_with("GET /attack") {
        return answer(&mut stream, PAGE).await;
    }
    let address = (*target.borrow()).context("it leads nowhere")?;
    let mut server = TcpStream::connect(address).await?;
    let head = if way == Way::Plain { head } else { unguarded(&head, address) };
    server.write_all(head.as_bytes()).await?;
    server.write_all(&rest).await?;
    copy_bidirectional(&mut stream, &mut server).await?;
    Ok(())
}

/// The head of the same request of a program on the server's machine, the last one of its connection.
fn unguarded(head: &str, address: SocketAddr) -> String {
    let mut lines = head.lines();
    let mut told = format!("{}\r\nhost: {address}\r\nconnection: close\r\n", lines.next().unwrap_or_default());
    for line in lines {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        if name == "content-type" || name == "content-length" {
            told += &format!("{line}\r\n");
        }
    }
    told + "\r\n"
}

/// Takes a report.
async fn hear(mut stream: TcpStream, tell: Arc<mpsc::UnboundedSender<Value>>) -> Result<()> {
    let (head, mut body) = head(&mut stream).await?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let (there, whole) = (body.len(), length.context("a report without a length")?);
    body.resize(whole.max(there), 0);
    stream.read_exact(&mut body[there..]).await?;
    tell.send(serde_json::from_slice(&body)?)?;
    answer(&mut stream, "").await
}

/// The head of a request, and what has come behind it.
async fn head(stream: &mut TcpStream) -> Result<(String, Vec<u8>)> {
    let mut came = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let bytes = stream.read(&mut piece).await?;
        anyhow::ensure!(bytes > 0, "it ends");
        came.extend_from_slice(&piece[..bytes]);
        if let Some(at) = came.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = came.split_off(at + 4);
            return Ok((String::from_utf8_lossy(&came).into_owned(), rest));
        }
    }
}

async fn answer(stream: &mut TcpStream, body: &str) -> Result<()> {
    let head =
        format!("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {}\r\nconnection: close", body.len());
    Ok(stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await?)
}
