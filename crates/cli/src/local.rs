// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The runtime of functions in this process, for those verbs that need no server.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fnstream_core::function_log::FunctionLog;
use fnstream_runtime::{Compiling, RuntimeOptions, WasmRuntime};

use crate::failure::Result;

/// The processor time that compiling may take, as in a server that says nothing else.
pub(crate) const COMPILE_TIME: Duration = Duration::from_secs(300);

/// A runtime whose functions print to that log. Compiled code is kept in the folder's `cache`, or with the user's other caches;
/// nowhere if the user has no place for them.
pub(crate) fn runtime(kept: Option<&Path>, log: Arc<dyn FunctionLog>) -> Result<WasmRuntime> {
    let options = RuntimeOptions {
        compiling: Compiling::in_children(COMPILE_TIME),
        engines: crate::artifact::engines(),
        ..RuntimeOptions::default()
    };
    Ok(WasmRuntime::new(code_cache(kept), options)?.with_log(log))
}

/// Where compiled code is kept.
pub(crate) fn code_cache(kept: Option<&Path>) -> Option<PathBuf> {
    let of = |name: &str| std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    let users = || of("XDG_CACHE_HOME").or_else(|| of("HOME").map(|home| home.join(".cache")));
    let kept = kept.map(|folder| folder.join("cache"));
    kept.or_else(|| users().map(|caches| caches.join("function-stream").join("code")))
}
