// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What is said of imports that cannot be had.

/// What to do with TypeScript.
pub(super) const TYPESCRIPT: &str = "make JavaScript of it first, such as by 'npx esbuild app.ts --bundle --format=esm --external:functionstream --outfile=app.js'";

const BUNDLE: &str = "'npx esbuild app.js --bundle --format=esm --external:functionstream --outfile=bundle.js' makes one file of all that it needs";

/// The modules that Node.js brings.
const NODE: &str = " assert async_hooks buffer child_process cluster console constants crypto dgram diagnostics_channel dns domain \
    events fs http http2 https inspector module net os path perf_hooks process punycode querystring readline repl \
    stream string_decoder sys test timers tls trace_events tty url util v8 vm wasi worker_threads zlib ";

/// Refuses what is no name of a package.
pub(super) fn scheme(base: &str, name: &str) -> Result<(), String> {
    let told = format!("cannot import '{name}', as '{base}' does");
    let top = name.split('/').next().unwrap_or(name);
    if name.starts_with("node:") || NODE.contains(&format!(" {top} ")) {
        return Err(format!("{told}: it is a module of Node.js, which a function does not have"));
    }
    if name.starts_with('/') || name.split_once(':').is_some_and(|(scheme, _)| scheme.chars().all(char::is_alphabetic))
    {
        return Err(format!("{told}: a function imports its own files and packages, and nothing from elsewhere"));
    }
    Ok(())
}

/// A package that is not there.
pub(super) fn package(base: &str, name: &str) -> String {
    format!("cannot find the package '{name}', imported by '{base}': {BUNDLE}")
}

/// A file that is no module of JavaScript.
pub(super) fn unusable(path: &str) -> String {
    match path.rsplit_once('.').map(|(_, end)| end) {
        Some("node") => format!("'{path}' is a native module: it cannot be loaded in WebAssembly"),
        Some("wasm") => format!("'{path}' is WebAssembly, which a function cannot load"),
        Some("ts" | "mts" | "cts" | "tsx") => format!("'{path}' is TypeScript: {TYPESCRIPT}"),
        Some("jsx") => format!("'{path}' is JSX, not JavaScript: {BUNDLE}"),
        Some("js" | "mjs" | "cjs") => format!("'{path}' is a CommonJS module, which is not run as it is: {BUNDLE}"),
        _ => format!("'{path}' is no module: import it with {{ type: \"text\" }}, or as .json"),
    }
}

/// Reports whether source is for `require`: it exports in that way, and has no statement that imports or exports.
pub(super) fn is_common_js(text: &str) -> bool {
    let statement = |line: &str| {
        let line = line.trim_start();
        ["import", "export"]
            .iter()
            .any(|word| line.strip_prefix(word).is_some_and(|rest| rest.starts_with([' ', '{', '*', '"', '\'', '('])))
    };
    // Of a bundle that is one line, the statement may be anywhere.
    let hidden = ["export{", "export default", "import{", ";import"].iter().any(|word| text.contains(word));
    ["module.exports", "exports.", "require("].iter().any(|word| text.contains(word))
        && !hidden
        && !text.lines().any(statement)
}
