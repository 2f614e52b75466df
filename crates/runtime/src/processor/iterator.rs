// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The resource `iterator` of `functionstream:core/kv`: a scan that is read a page at a time.
//!
//! Each pair is the first one after that before, in the state as it is when the guest asks for it: whatever the guest has written
//! meanwhile ahead of the scan shows. So pages are not to be seen: when there was a write ahead, what is left of a page is read
//! again, little at first, since a guest that writes while it scans will do so again. Once a scan has come to its end it stays there.
//! What the pages of all scans hold counts against the guest's limit.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use fnstream_core::Result;
use fnstream_core::runtime::Host;
use wasmtime::component::{LinkerInstance, Resource, ResourceType};

use super::kv::{Answer, Cx, answer};
use crate::changes::Changes;
use crate::component::Component;
use crate::fault::raise;
use crate::stores::end_of;

/// Bytes after which a page ends.
const PAGE: usize = 64 << 10;

/// The same of the first page after a write ahead.
const FIRST_PAGE: usize = 1 << 10;

/// Bytes that a pair takes beside its own.
const PAIR: usize = size_of::<Pair>() + 32;

type Pair = (Vec<u8>, Vec<u8>);

/// The host's side of the resource.
pub(crate) struct KvIterator {
    prefix: usize,
    end: Vec<u8>,
    /// The first key that may come next.
    from: Vec<u8>,
    /// Nothing comes behind the page.
    last: bool,
    /// The scan has come to its end.
    ended: bool,
    page: VecDeque<Pair>,
    /// How large the next page is.
    size: usize,
    /// When the page was read.
    read: u64,
    /// Bytes that the page takes.
    bytes: usize,
}

impl KvIterator {
    pub(super) fn new(prefix: Vec<u8>) -> Self {
        KvIterator {
            prefix: prefix.len(),
            end: end_of(&prefix),
            from: prefix,
            last: false,
            ended: false,
            page: VecDeque::new(),
            size: PAGE,
            read: 0,
            bytes: 0,
        }
    }

    /// Reads the next page, when this one is read to its end, or what is left of it when it is not true any more.
    fn fill(&mut self, host: &mut dyn Host, changes: &mut Changes) -> Result<()> {
        if self.ended {
            return Ok(());
        }
        if changes.is_stale(self.read, &self.from) {
            self.page.clear();
            self.last = false;
            self.size = FIRST_PAGE;
        }
        if !self.page.is_empty() {
            return Ok(());
        }
        if !self.last {
            self.read = changes.read();
            self.bytes = 0;
            self.last = true;
            let (page, bytes, last, prefix, size) =
                (&mut self.page, &mut self.bytes, &mut self.last, self.prefix, self.size);
            host.scan(&self.from, Some(&self.end), &mut |key, value| {
                if *bytes >= size {
                    *last = false;
                    return ControlFlow::Break(());
                }
                *bytes += key.len() + value.len() + PAIR;
                page.push_back((key[prefix..].to_vec(), value.to_vec()));
                ControlFlow::Continue(())
            })?;
            self.size = (4 * self.size).min(PAGE);
        }
        self.ended = self.page.is_empty();
        Ok(())
    }

    fn next(&mut self) -> Option<Pair> {
        let pair = self.page.pop_front()?;
        self.from.truncate(self.prefix);
        self.from.extend_from_slice(&pair.0);
        self.from.push(0);
        Some(pair)
    }
}

type Iter = Resource<KvIterator>;

pub(super) fn add_to(kv: &mut LinkerInstance<'_, Component>) -> wasmtime::Result<()> {
    kv.resource("iterator", ResourceType::host::<KvIterator>(), |mut cx, rep| {
        let data = cx.data_mut();
        let iterator = data.table.delete(Resource::<KvIterator>::new_own(rep))?;
        data.meter.release(iterator.bytes);
        Ok(())
    })?;
    kv.func_wrap("[method]iterator.has-next", |cx: Cx<'_>, (iterator,): (Iter,)| {
        with_page(cx, &iterator, |iterator| !iterator.page.is_empty())
    })?;
    kv.func_wrap("[method]iterator.next", |cx: Cx<'_>, (iterator,): (Iter,)| with_page(cx, &iterator, KvIterator::next))
}

fn with_page<T>(
    mut cx: Cx<'_>,
    iterator: &Iter,
    take: impl FnOnce(&mut KvIterator) -> T,
) -> wasmtime::Result<Answer<T>> {
    let data = cx.data_mut();
    let iterator = data.table.get_mut(iterator)?;
    let before = iterator.bytes;
    let filled = iterator.fill(&mut *data.host.lock(), &mut data.changes);
    if iterator.bytes != before {
        data.meter.release(before);
        data.meter.hold(iterator.bytes).map_err(raise)?;
    }
    let taken = filled.map(|()| take(iterator));
    answer(&mut cx, taken)
}
