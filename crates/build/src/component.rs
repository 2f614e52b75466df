// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A core module becomes a component: the worlds are embedded, WASI preview 1 is adapted to preview 2, and the result is
//! checked.

use fnstream_core::{Error, ErrorCode, Result};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasmparser::{Encoding, Parser, Payload, Validator};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

use crate::worlds::{self, Worlds};

/// The export of each world that shows that a program has it.
const PACKED: &str = "functionstream:packed/function@0.1.0";
const PROCESSOR: &str = "fs-process";

/// The export of an SDK that has timers, as a core module names it.
pub(crate) const TIMER_HANDLER: &str = "functionstream:packed/timer-handler@0.1.0";
const STDIO: &str = "process";

/// A way to run an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A component of the packed world.
    Packed,
    /// A component of the per-record world.
    Processor,
    /// A core module that reads standard input.
    Stdio,
}

impl Kind {
    /// A word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Packed => "packed",
            Kind::Processor => "processor",
            Kind::Stdio => "stdio",
        }
    }
}

/// Something that can be run.
#[derive(Debug)]
pub struct Artifact {
    /// The component or module.
    pub bytes: Vec<u8>,
    /// All that it can be run as, the best first.
    pub kinds: Vec<Kind>,
    /// Its imports: interfaces of a component, modules of a core module.
    pub imports: Vec<String>,
}

/// Makes an artifact of what a compiler gave: a core module that the SDK is part of becomes a component; a component, and a
/// module that exports `process`, are taken as they are.
pub fn componentize(compiled: Vec<u8>, worlds: Worlds) -> Result<Artifact> {
    let outside = read(&compiled)?;
    if outside.component || !outside.exports.iter().any(|name| name.starts_with(PACKED) || name == PROCESSOR) {
        return artifact(compiled);
    }
    let has_timers = outside.exports.iter().any(|name| name.starts_with(TIMER_HANDLER));
    let worlds = match worlds {
        // By an SDK that does not know them.
        Worlds::Both if !has_timers => Worlds::BothWithoutTimers,
        worlds => worlds,
    };
    let adapted = adapt(compiled, worlds).map_err(|e| unfit(format!("cannot be made a component: {e:#}")))?;
    artifact(adapted)
}

type Fault = Box<dyn std::error::Error>;

fn adapt(mut module: Vec<u8>, worlds: Worlds) -> std::result::Result<Vec<u8>, Fault> {
    let (resolve, world) = worlds::resolve(worlds)?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    let mut encoder = ComponentEncoder::default()
        .module(&module)?
        .adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)?;
    Ok(encoder.encode()?)
}

/// Checks that something can be run, and says as what.
fn artifact(bytes: Vec<u8>) -> Result<Artifact> {
    Validator::new().validate_all(&bytes).map_err(|e| unfit(format!("is not valid webassembly: {e}")))?;
    let outside = read(&bytes)?;
    let exports = |wanted: &str| outside.exports.iter().any(|name| name == wanted);
    let candidates: &[(Kind, &str)] = if outside.component {
        &[(Kind::Packed, PACKED), (Kind::Processor, PROCESSOR)]
    } else {
        &[(Kind::Stdio, STDIO)]
    };
    let kinds: Vec<_> = candidates.iter().filter(|(_, name)| exports(name)).map(|(kind, _)| *kind).collect();
    if kinds.is_empty() {
        return Err(unfit(
            "exports no function that can be run; import the SDK and call fssdk.Run from an init function".to_owned(),
        ));
    }
    Ok(Artifact { bytes, kinds, imports: outside.imports })
}

#[derive(Default)]
struct Outside {
    component: bool,
    imports: Vec<String>,
    exports: Vec<String>,
}

fn read(bytes: &[u8]) -> Result<Outside> {
    let mut outside = Outside::default();
    let mut depth = 0;
    let mut visit = || {
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::Version { encoding, .. } => {
                    depth += 1;
                    outside.component |= depth == 1 && encoding == Encoding::Component;
                }
                Payload::End(_) => depth -= 1,
                Payload::ImportSection(section) if depth == 1 => {
                    for import in section.into_imports() {
                        let module = import?.module;
                        if !outside.imports.iter().any(|known| known == module) {
                            outside.imports.push(module.to_owned());
                        }
                    }
                }
                Payload::ExportSection(section) if depth == 1 => {
                    for export in section {
                        outside.exports.push(export?.name.to_owned());
                    }
                }
                Payload::ComponentImportSection(section) if depth == 1 => {
                    for import in section {
                        outside.imports.push(import?.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(section) if depth == 1 => {
                    for export in section {
                        outside.exports.push(export?.name.name.to_owned());
                    }
                }
                _ => {}
            }
        }
        Ok(())
    };
    visit().map_err(|e: wasmparser::BinaryReaderError| unfit(format!("is not webassembly: {e}")))?;
    Ok(outside)
}

/// `what` goes on from "the program".
fn unfit(what: String) -> Error {
    Error::new(ErrorCode::ArtifactUnsupported, format!("the program {what}"))
}
