// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The crowd. Whoever of it is cut comes back at once. It has a thread of its own, so that it is not in the way of who measures.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// The event that answers have.
pub(crate) const LARGE: usize = 8 << 20;

/// What a body announces, and sends but for its end.
const BODY: usize = 15 << 20;

/// How often a slow client sends a further byte.
const DRIP: Duration = Duration::from_secs(4);

/// How long one holds its answer before it tries another way.
const HOLD: Duration = Duration::from_secs(45);

/// Files of this process that are not the crowd's.
const OWN_FILES: usize = 500;

/// All of them, until it is dropped.
pub(crate) struct Crowd {
    thread: JoinHandle<()>,
    leave: oneshot::Sender<()>,
    opened: Arc<Opened>,
}

/// How many connections there were, by what became of them.
#[derive(Debug, Default)]
pub(crate) struct Opened {
    unread: AtomicUsize,
    bodies: AtomicUsize,
    slow: AtomicUsize,
    silent: AtomicUsize,
}

impl Crowd {
    /// So many that leave answers unread and as many that hold bodies, and so many that are slow.
    pub(crate) fn gather(url: &str, holding: usize, slow: usize) -> Result<Crowd> {
        let server: SocketAddr = url.trim_start_matches("http://").parse().context("the server has no address")?;
        let needed = (slow + 2 * holding + OWN_FILES) as u64;
        let hard = getrlimit(Resource::Nofile).maximum;
        // Few may raise the hard limit.
        let raised = hard.map(|hard| hard.max(needed));
        let files = match setrlimit(Resource::Nofile, Rlimit { current: raised, maximum: raised }) {
            Ok(()) => raised,
            Err(_) => {
                setrlimit(Resource::Nofile, Rlimit { current: hard, maximum: hard })?;
                hard
            }
        };
        let files = files.map_or(usize::MAX, |files| files as usize);
        let slow = slow.min(files.saturating_sub(2 * holding + OWN_FILES));
        let (opened, (leave, left)) = (Arc::<Opened>::default(), oneshot::channel());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let crowd = opened.clone();
        let thread = std::thread::Builder::new().name("crowd".into()).spawn(move || {
            runtime.block_on(async move {
                let mut clients = JoinSet::new();
                for _ in 0..holding {
                    clients.spawn(unread(server, crowd.clone()));
                    clients.spawn(body(server, crowd.clone()));
                }
                for number in 0..slow {
                    clients.spawn(slow_head(server, crowd.clone(), number % 2 == 0));
                }
                // Also when nobody asks for it any more.
                let _ = left.await;
            });
        })?;
        Ok(Crowd { thread, leave, opened })
    }

    /// Ends all of them.
    pub(crate) fn leave(self) -> Result<Arc<Opened>> {
        drop(self.leave);
        self.thread.join().map_err(|_| anyhow::anyhow!("the crowd panicked"))?;
        Ok(self.opened)
    }
}

impl fmt::Display for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        let (unread, bodies, slow, silent) = (of(&self.unread), of(&self.bodies), of(&self.slow), of(&self.silent));
        write!(f, "opened: {unread} answers unread, {bodies} bodies held, {slow} heads slow, {silent} silent")
    }
}

/// A connection from one of many addresses, so that ports suffice.
async fn connect(server: SocketAddr, count: &AtomicUsize) -> TcpStream {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mut pace = interval(Duration::from_millis(500));
    loop {
        pace.tick().await;
        let last = 2 + NEXT.fetch_add(1, Ordering::Relaxed) % 200;
        let Ok(socket) = TcpSocket::new_v4() else { continue };
        let from = SocketAddr::from(([127, 0, 0, last as u8], 0));
        if socket.bind(from).is_ok()
            && let Ok(stream) = socket.connect(server).await
        {
            count.fetch_add(1, Ordering::Relaxed);
            return stream;
        }
    }
}

async fn unread(server: SocketAddr, opened: Arc<Opened>) {
    loop {
        let mut stream = connect(server, &opened.unread).await;
        let request = "GET /api/v1/consume/large?from=earliest&format=raw HTTP/1.1\r\nhost: localhost\r\n\r\n";
        let _ = stream.write_all(request.as_bytes()).await;
        // Nothing is read, so that nothing tells when it was cut.
        let _ = timeout(HOLD, std::future::pending::<()>()).await;
    }
}

async fn body(server: SocketAddr, opened: Arc<Opened>) {
    let piece = vec![b'x'; 64 << 10];
    loop {
        let mut stream = connect(server, &opened.bodies).await;
        let head = format!("PUT /api/v1/produce/held HTTP/1.1\r\nhost: localhost\r\ncontent-length: {BODY}\r\n\r\n");
        let mut sent = stream.write_all(head.as_bytes()).await;
        for _ in 1..BODY / piece.len() {
            if sent.is_err() {
                break;
            }
            sent = stream.write_all(&piece).await;
        }
        if sent.is_ok() {
            until_cut(&mut stream).await;
        }
    }
}

async fn slow_head(server: SocketAddr, opened: Arc<Opened>, silent: bool) {
    loop {
        let count = if silent { &opened.silent } else { &opened.slow };
        let mut stream = connect(server, count).await;
        if silent {
            until_cut(&mut stream).await;
            continue;
        }
        let mut pace = interval(DRIP);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sent = stream.write_all(b"GET /healthz HTTP/1.1\r\nx: ").await;
        while sent.is_ok() {
            tokio::select! {
                () = until_cut(&mut stream) => break,
                _ = pace.tick() => {}
            }
            sent = stream.write_all(b"x").await;
        }
    }
}

async fn until_cut(stream: &mut TcpStream) {
    let mut said = [0; 512];
    while let Ok(1..) = stream.read(&mut said).await {}
}
