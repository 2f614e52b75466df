// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! An artifact while it comes over the network: on the disk but for its newest part, so that one that turns out to be too
//! large has taken neither memory nor a name.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use fnstream_core::Result;
use fnstream_store::Spool;

use super::Shelf;
use crate::app::ops::blocking;

/// What is kept in memory: a small artifact never touches the disk.
const IN_MEMORY: usize = 1 << 20;

/// The bytes so far.
pub(crate) struct Incoming {
    shelf: Arc<Shelf>,
    spool: Option<Spool>,
    newest: BytesMut,
}

impl Incoming {
    pub(crate) fn new(shelf: &Arc<Shelf>) -> Self {
        Incoming { shelf: shelf.clone(), spool: None, newest: BytesMut::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.newest.len() + self.spool.as_ref().map_or(0, Spool::len)
    }

    /// Adds bytes at the end.
    pub(crate) async fn add(&mut self, bytes: &[u8]) -> Result<()> {
        self.newest.extend_from_slice(bytes);
        if self.newest.len() < IN_MEMORY {
            return Ok(());
        }
        let (spool, newest) = (self.spool.take(), std::mem::take(&mut self.newest));
        let folder = self.shelf.spool_dir.clone();
        let written = blocking(move || {
            let mut spool = spool.map_or_else(|| Spool::new(&folder), Ok)?;
            spool.write(&newest)?;
            Ok(spool)
        });
        self.spool = Some(written.await?);
        Ok(())
    }

    /// All bytes.
    pub(crate) async fn finish(self) -> Result<Bytes> {
        let Incoming { spool, newest, .. } = self;
        match spool {
            None => Ok(newest.freeze()),
            Some(spool) => blocking(move || spool.finish(&newest).map(Bytes::from)).await,
        }
    }
}
