// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Promises that were rejected, and whose rejection nobody handles: what a function started and did not wait for.

use std::cell::RefCell;

use rquickjs::{Ctx, Persistent, Runtime, Value};

/// A promise, and the reason of its rejection.
type Rejection = (Persistent<Value<'static>>, Persistent<Value<'static>>);

thread_local! {
    static REJECTIONS: RefCell<Vec<Rejection>> = const { RefCell::new(Vec::new()) };
}

/// Takes note of them from now on.
pub(crate) fn watch(runtime: &Runtime) {
    runtime.set_host_promise_rejection_tracker(Some(Box::new(|ctx, promise, reason, is_handled| {
        REJECTIONS.with_borrow_mut(|rejections| {
            if is_handled {
                let is_other = |known: &Rejection| known.0.clone().restore(&ctx).is_ok_and(|known| known != promise);
                rejections.retain(is_other);
            } else {
                rejections.push((Persistent::save(&ctx, promise), Persistent::save(&ctx, reason)));
            }
        });
    })));
}

/// The reasons of those that nobody has handled, which are forgotten.
pub(crate) fn take<'js>(ctx: &Ctx<'js>) -> Vec<Value<'js>> {
    let rejections = REJECTIONS.take();
    rejections.into_iter().filter_map(|(_, reason)| reason.restore(ctx).ok()).collect()
}
