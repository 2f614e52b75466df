// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Watching which topics a namespace has.
//!
//! The broker tells what has come and gone. This says only that something has: who wants to know asks for the list, which is also what is
//! right after the connection was lost and others may have come meanwhile.

use std::sync::{Arc, Weak};

use tokio::sync::mpsc;

use crate::client::Inner;
use crate::connection::Connection;
use crate::error::{Error, Result};
use crate::lookup::unexpected;
use crate::proto::{Body, CommandWatchTopicList, CommandWatchTopicListClose};

/// All topics: what is looked for, whoever watches decides.
const ALL: &str = ".*";

/// Tells when topics of a namespace come or go. Dropping it ends that.
#[derive(Debug)]
pub struct TopicWatch {
    client: Weak<Inner>,
    namespace: String,
    link: Option<Link>,
}

/// A watch of one connection.
struct Link {
    connection: Arc<Connection>,
    id: u64,
    news: mpsc::UnboundedReceiver<bool>,
}

impl TopicWatch {
    pub(crate) async fn begin(client: &Arc<Inner>, namespace: &str) -> Result<TopicWatch> {
        let link = Some(Link::begin(client, namespace).await?);
        Ok(TopicWatch { client: Arc::downgrade(client), namespace: namespace.to_owned(), link })
    }

    /// Waits until topics may have come or gone since it was called last. After the connection was lost it connects again, for as long as
    /// that takes.
    ///
    /// Cancelling it loses nothing. Fails when the client is closed, or the broker does not tell any more.
    pub async fn changed(&mut self) -> Result<()> {
        if let Some(link) = &mut self.link {
            let news = link.news.recv().await;
            // Of several, one is enough.
            let mut ended = news != Some(true);
            while let Ok(is_news) = link.news.try_recv() {
                ended |= !is_news;
            }
            if !ended {
                return Ok(());
            }
            self.link = None;
        }
        let client = self.client.upgrade().ok_or(Error::Closed)?;
        let link = loop {
            // For as long as operations may take, each time.
            match client.retry(|| Link::begin(&client, &self.namespace)).await {
                Err(error) if error.is_retriable() => tracing::debug!(%error, "topics are not watched yet"),
                begun => break begun?,
            }
        };
        self.link = Some(link);
        Ok(())
    }
}

impl Link {
    async fn begin(client: &Arc<Inner>, namespace: &str) -> Result<Link> {
        let (connection, _) = client.pool.service(&client.service).await?;
        if !connection.features.supports_topic_watchers() {
            return Err(Error::UnsupportedVersion("the broker does not tell which topics come and go".into()));
        }
        let (sink, news) = mpsc::unbounded_channel();
        let id = client.next_id();
        connection.add_watcher(id, sink)?;
        // From here on dropping it takes the watch back.
        let link = Link { connection, id, news };
        let make = |request_id| {
            Body::WatchTopicList(CommandWatchTopicList {
                request_id,
                watcher_id: id,
                namespace: namespace.to_owned(),
                topics_pattern: ALL.to_owned(),
            })
        };
        match link.connection.request("watch the topics of a namespace", make).await? {
            Body::WatchTopicListSuccess(_) => Ok(link),
            _ => Err(unexpected()),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.connection.remove_watcher(self.id);
        let watcher_id = self.id;
        self.connection
            .tell(|request_id| Body::WatchTopicListClose(CommandWatchTopicListClose { request_id, watcher_id }));
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("id", &self.id).finish_non_exhaustive()
    }
}
