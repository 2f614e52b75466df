// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The resource `iterator` of `functionstream:core/kv`: a scan that is read a page at a time.
//!
//! A page is of one moment; a write behind the page that was read shows up when its page is read, as it must in a scan that
//! never holds more than a page. What the pages of all scans hold counts against the guest's limit.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use fnstream_core::Result;
use fnstream_core::runtime::Host;
use wasmtime::component::{LinkerInstance, Resource, ResourceType};

use super::kv::{Answer, Cx, answer};
use crate::component::Component;
use crate::fault::raise;
use crate::stores::end_of;

/// Bytes after which a page ends.
const PAGE: usize = 64 << 10;

/// Bytes that a pair takes beside its own.
const PAIR: usize = size_of::<Pair>() + 32;

type Pair = (Vec<u8>, Vec<u8>);

/// The host's side of the resource.
pub(crate) struct KvIterator {
    prefix: usize,
    end: Vec<u8>,
    /// The key at which the next page starts; `None` when the last one was read.
    next: Option<Vec<u8>>,
    page: VecDeque<Pair>,
    /// Bytes that the page takes.
    bytes: usize,
}

impl KvIterator {
    pub(super) fn new(prefix: Vec<u8>) -> Self {
        KvIterator { prefix: prefix.len(), end: end_of(&prefix), next: Some(prefix), page: VecDeque::new(), bytes: 0 }
    }

    /// Reads the next page, when this one is read to its end.
    fn fill(&mut self, host: &mut dyn Host) -> Result<()> {
        if !self.page.is_empty() {
            return Ok(());
        }
        self.bytes = 0;
        let Some(start) = self.next.take() else { return Ok(()) };
        let (page, bytes, next, prefix) = (&mut self.page, &mut self.bytes, &mut self.next, self.prefix);
        host.scan(&start, Some(&self.end), &mut |key, value| {
            if *bytes >= PAGE {
                *next = Some(key.to_vec());
                return ControlFlow::Break(());
            }
            *bytes += key.len() + value.len() + PAIR;
            page.push_back((key[prefix..].to_vec(), value.to_vec()));
            ControlFlow::Continue(())
        })
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
    kv.func_wrap("[method]iterator.next", |cx: Cx<'_>, (iterator,): (Iter,)| {
        with_page(cx, &iterator, |iterator| iterator.page.pop_front())
    })
}

fn with_page<T>(
    mut cx: Cx<'_>,
    iterator: &Iter,
    take: impl FnOnce(&mut KvIterator) -> T,
) -> wasmtime::Result<Answer<T>> {
    let data = cx.data_mut();
    let iterator = data.table.get_mut(iterator)?;
    let before = iterator.bytes;
    let filled = iterator.fill(&mut *data.host.lock());
    if iterator.bytes != before {
        data.meter.release(before);
        data.meter.hold(iterator.bytes).map_err(raise)?;
    }
    let taken = filled.map(|()| take(iterator));
    answer(&mut cx, taken)
}
