// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What wakes the loop that drives a function: events come, a task has made a step, somebody asks for an end.

use std::sync::Arc;
use std::time::Duration;

use fnstream_core::waker::Waker;
use parking_lot::{Condvar, Mutex};

/// See the module. Clones are the same bell.
#[derive(Clone, Default)]
pub(crate) struct Bell(Arc<(Mutex<bool>, Condvar)>);

impl Bell {
    pub(crate) fn ring(&self) {
        *self.0.0.lock() = true;
        self.0.1.notify_all();
    }

    /// Waits until it has rung since this was last called.
    pub(crate) fn wait(&self) {
        let mut rung = self.0.0.lock();
        self.0.1.wait_while(&mut rung, |rung| !*rung);
        *rung = false;
    }

    /// The same, for so long at most; reports whether it has rung.
    pub(crate) fn wait_for(&self, most: Duration) -> bool {
        let mut rung = self.0.0.lock();
        self.0.1.wait_while_for(&mut rung, |rung| !*rung, most);
        std::mem::take(&mut *rung)
    }

    pub(crate) fn waker(&self) -> Waker {
        let bell = self.clone();
        Waker::new(move || bell.ring())
    }
}
