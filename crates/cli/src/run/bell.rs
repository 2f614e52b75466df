// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What wakes the loop that drives a run: events come, a task has made a step, somebody asks for an end.

use std::sync::Arc;

use fnstream_core::waker::Waker;
use parking_lot::{Condvar, Mutex};

/// See the module. Clones are the same bell.
#[derive(Clone, Default)]
pub(super) struct Bell(Arc<(Mutex<bool>, Condvar)>);

impl Bell {
    pub(super) fn ring(&self) {
        *self.0.0.lock() = true;
        self.0.1.notify_all();
    }

    /// Waits until it has rung since this was last called.
    pub(super) fn wait(&self) {
        let mut rung = self.0.0.lock();
        self.0.1.wait_while(&mut rung, |rung| !*rung);
        *rung = false;
    }

    pub(super) fn waker(&self) -> Waker {
        let bell = self.clone();
        Waker::new(move || bell.ring())
    }
}
