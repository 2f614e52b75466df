// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A program whose calls wait until they are interrupted, or for as long as the process lives.

use std::time::Duration;

use fnstream_core::interrupt::Interrupt;
use fnstream_core::test_util::waits::Waits;

/// See the module. Interrupts do not reach a deaf one.
pub(super) fn stuck(deaf: bool) -> Waits {
    let never = Interrupt::default();
    Waits::new(move |interrupt| {
        let interrupt = if deaf { &never } else { interrupt };
        // No test takes longer.
        interrupt.wait(Duration::from_secs(600));
        Err(interrupt.error().into())
    })
}
