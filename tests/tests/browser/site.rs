// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A site with one page, `/attack`, which tells at `/report` what it has seen. Whatever else is asked of it leads to the server, as
//! if the site's name had been made to lead there meanwhile.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

const PAGE: &str = include_str!("attack.html");

pub(crate) struct Site {
    port: u16,
    leads_to: watch::Sender<Option<SocketAddr>>,
    reports: mpsc::UnboundedReceiver<Value>,
}

impl Site {
    /// A site in front of the server at that URL.
    pub(crate) async fn new(url: &str) -> Result<Self> {
        let site = Site::to_come().await?;
        site.leads_to(url)?;
        Ok(site)
    }

    /// One in front of a server that is yet to come.
    pub(crate) async fn to_come() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let ((leads_to, target), (tell, reports)) = (watch::channel(None), mpsc::unbounded_channel());
        let tell = Arc::new(tell);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (target, tell) = (target.clone(), tell.clone());
                // A browser that goes away is none of the test's business.
                tokio::spawn(async move { drop(serve(stream, target, &tell).await) });
            }
        });
        Ok(Site { port, leads_to, reports })
    }

    pub(crate) fn leads_to(&self, url: &str) -> Result<()> {
        let address = url.strip_prefix("http://").context("not a url of a test")?.parse()?;
        self.leads_to.send_replace(Some(address));
        Ok(())
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What a page has seen, once it has tried everything.
    pub(crate) async fn report(&mut self) -> Value {
        self.reports.recv().await.unwrap_or_default()
    }
}

async fn serve(
    mut stream: TcpStream,
    target: watch::Receiver<Option<SocketAddr>>,
    tell: &mpsc::UnboundedSender<Value>,
) -> Result<()> {
    let mut came = Vec::new();
    let end = loop {
        let mut piece = [0; 4096];
        let bytes = stream.read(&mut piece).await?;
        anyhow::ensure!(bytes > 0, "it ends");
        came.extend_from_slice(&piece[..bytes]);
        if let Some(at) = came.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
    };
    let head = String::from_utf8_lossy(&came[..end]).into_owned();
    let body = if head.starts_with("GET /attack") {
        PAGE
    } else if head.starts_with("POST /report") {
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
        });
        let (there, whole) = (came.len(), end + length.context("a report without a length")?);
        came.resize(whole.max(there), 0);
        stream.read_exact(&mut came[there..]).await?;
        tell.send(serde_json::from_slice(&came[end..])?)?;
        ""
    } else {
        let address = (*target.borrow()).context("it leads nowhere")?;
        let mut server = TcpStream::connect(address).await?;
        server.write_all(&came).await?;
        copy_bidirectional(&mut stream, &mut server).await?;
        return Ok(());
    };
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    Ok(stream.write_all(answer.as_bytes()).await?)
}
