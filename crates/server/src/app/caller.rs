// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! On whose behalf something is done, whichever process of the group was asked.
//!
//! The interfaces say so once for each request ([`scope`]); what is asked of a peer carries it along, and the peer answers under
//! the same name.

use std::future::Future;

use fnstream_core::peers::Caller;

tokio::task_local! {
    static CALLER: Caller;
}

/// The one for whom the present request is answered; nobody in particular outside of [`scope`].
pub(crate) fn current() -> Caller {
    CALLER.try_with(Clone::clone).unwrap_or_default()
}

/// Answers a request on behalf of somebody.
pub(crate) async fn scope<T>(caller: Caller, request: impl Future<Output = T>) -> T {
    CALLER.scope(caller, request).await
}
