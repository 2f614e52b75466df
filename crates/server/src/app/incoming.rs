// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! An artifact while it comes over the network: on the disk but for its newest part, so that one that turns out to be too
//! large has taken neither memory nor a name.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use fnstream_core::Result;
use fnstream_store::Spool;

use super::App;

/// What is kept in memory: a small artifact never touches the disk.
const IN_MEMORY: usize = 1 << 20;

/// The bytes so far.
pub struct Incoming {
    app: Arc<App>,
    spool: Option<Spool>,
    newest: BytesMut,
}

impl Incoming {
    pub fn new(app: &Arc<App>) -> Self {
        Incoming { app: app.clone(), spool: None, newest: BytesMut::new() }
    }

    pub fn len(&self) -> usize {
        self.newest.len() + self.spool.as_ref().map_or(0, Spool::len)
    }

    /// Adds bytes at the end.
    pub async fn add(&mut self, bytes: &[u8]) -> Result<()> {
        self.newest.extend_from_slice(bytes);
        if self.newest.len() < IN_MEMORY {
            return Ok(());
        }
        let (spool, newest) = (self.spool.take(), std::mem::take(&mut self.newest));
        let written = self.app.blocking(move |app| {
            let mut spool = spool.map_or_else(|| app.store.artifacts().spool(), Ok)?;
            spool.write(&newest)?;
            Ok(spool)
        });
        self.spool = Some(written.await?);
        Ok(())
    }

    /// All bytes.
    pub async fn finish(self) -> Result<Bytes> {
        let Incoming { app, spool, newest } = self;
        match spool {
            None => Ok(newest.freeze()),
            Some(spool) => app.blocking(move |_| spool.finish(&newest).map(Bytes::from)).await,
        }
    }
}
