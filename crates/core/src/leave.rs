// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The end of the process.
//!
//! A program may end while threads of it still work: one that reads standard input cannot be asked to stop. The ordinary way
//! out runs the destructors of the C++ libraries in between, which take away the locks and caches that such a thread is
//! using; then the process is aborted instead of ending with its exit code. So there is one way out, which runs none of them.

use std::io::{self, Write};

/// Ends the process with that exit code, whatever other threads are doing. What was printed through the standard library
/// comes out; destructors do not run.
pub fn leave(code: u8) -> ! {
    // Nobody may be reading any more.
    let _ = io::stdout().flush();
    #[expect(unsafe_code, reason = "the call is one of C; it has no conditions")]
    unsafe {
        libc::_exit(code.into())
    }
}
