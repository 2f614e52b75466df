// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The resource `iterator` of `functionstream:core/kv`: a scan that is read a page at a time.
//!
//! A page is of one moment; a write behind the page that was read shows up when its page is read, as it must in a scan that
//! never holds more than a page.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use fnstream_core::Result;
use fnstream_core::runtime::Host;
use wasmtime::component::{LinkerInstance, Resource, ResourceType};

use super::kv::{Answer, Cx, answer};
use crate::component::Component;
use crate::stores::end_of;

/// Bytes after which a page ends.
const PAGE: usize = 64 << 10;

type Pair = (Vec<u8>, Vec<u8>);

/// The host's side of the resource.
pub(crate) struct KvIterator {
    prefix: usize,
    end: Vec<u8>,
    /// Where the next page starts; `None` when the last one was read.
    next: Option<Vec<u8>>,
    page: VecDeque<Pair>,
}

impl KvIterator {
    pub(super) fn new(prefix: Vec<u8>) -> Self {
        KvIterator { prefix: prefix.len(), end: end_of(&prefix), next: Some(prefix), page: VecDeque::new() }
    }

    fn fill(&mut self, host: &mut dyn Host) -> Result<()> {
        let Some(start) = self.next.take_if(|_| self.page.is_empty()) else { return Ok(()) };
        let mut bytes = 0;
        let (page, next, prefix) = (&mut self.page, &mut self.next, self.prefix);
        host.scan(&start, Some(&self.end), &mut |key, value| {
            if bytes >= PAGE {
                *next = Some(key.to_vec());
                return ControlFlow::Break(());
            }
            bytes += key.len() + value.len();
            page.push_back((key[prefix..].to_vec(), value.to_vec()));
            ControlFlow::Continue(())
        })
    }
}

type Iter = Resource<KvIterator>;

pub(super) fn add_to(kv: &mut LinkerInstance<'_, Component>) -> wasmtime::Result<()> {
    kv.resource("iterator", ResourceType::host::<KvIterator>(), |mut cx, rep| {
        cx.data_mut().table.delete(Resource::<KvIterator>::new_own(rep))?;
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
    let taken = iterator.fill(&mut *data.host.lock()).map(|()| take(iterator));
    answer(&mut cx, taken)
}
