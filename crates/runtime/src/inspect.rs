// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Which kind an artifact is, from its bytes alone: before seconds are spent on compiling it, and with a reason when it is
//! none.
//!
//! ```text
//! component exporting functionstream:packed/function    packed      also when it exports the next as well
//! component exporting fs-process                        processor
//! core module exporting process or _start               stdio
//! ```
//!
//! Timers belong to the packed kind alone, and who imports them must have what they call.

use fnstream_core::{Error, ErrorCode, Result};
use wasmparser::{Encoding, Parser, Payload, Validator};

use crate::fault::bounded;
use crate::packed::timers;
use crate::script::Script;
use crate::signature::unsupported;
use crate::size::Size;
use crate::{packed, processor, stdio, wasi};

/// The kinds of artifacts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Packed,
    Processor,
    Stdio,
}

impl Kind {
    /// A word for it that is also kept on disk.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Kind::Packed => "packed",
            Kind::Processor => "processor",
            Kind::Stdio => "stdio",
        }
    }

    /// The kind of that word.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Kind::Packed, Kind::Processor, Kind::Stdio].into_iter().find(|kind| kind.as_str() == word)
    }
}

/// The kind of an artifact in the words of [`fnstream_core::runtime::Program::kind`], without compiling it; `Err` says why it
/// has none. Takes milliseconds where compiling takes seconds; the types of its exports are looked at only by the latter.
pub fn kind_of(artifact: &[u8]) -> Result<&'static str> {
    let Some(script) = Script::of(artifact)? else { return inspect(artifact).map(Kind::as_str) };
    if let Some(engine) = script.engine {
        inspect_engine(&engine)?;
    }
    Ok(script.source.language.as_str())
}

/// Checks that a component which came with source can run it.
pub(crate) fn inspect_engine(engine: &[u8]) -> Result<()> {
    match inspect(engine)? {
        Kind::Packed => Ok(()),
        _ => Err(unsupported(format!("has source, and does not export '{}', which would run it", packed::FUNCTION))),
    }
}

/// The sizes of what looks like an artifact.
pub(crate) fn size(artifact: &[u8]) -> wasmparser::Result<Size> {
    read(artifact).map(|outside| outside.size)
}

/// The imports and exports of an artifact as a whole, and its size.
#[derive(Debug, Default)]
struct Outside {
    component: bool,
    /// The module, which components' imports don't have, and the name.
    imports: Vec<(Option<String>, String)>,
    exports: Vec<String>,
    size: Size,
}

/// The kind of an artifact; `Err` says why it has none.
pub(crate) fn inspect(artifact: &[u8]) -> Result<Kind> {
    if artifact.is_empty() {
        return Err(Error::new(ErrorCode::ArtifactInvalid, "the artifact is empty"));
    }
    if !artifact.starts_with(b"\0asm") {
        return Err(Error::new(
            ErrorCode::ArtifactInvalid,
            "the artifact is neither webassembly nor a zip archive of source: it begins with neither '\\0asm' nor 'PK'",
        ));
    }
    Validator::new().validate_all(artifact).map_err(|e| invalid(&e))?;
    let outside = read(artifact).map_err(|e| invalid(&e))?;
    outside.size.check()?;
    let exports = |name: &str| outside.exports.iter().any(|export| export == name);
    let kind = match outside.component {
        true if exports(packed::FUNCTION) => Some(Kind::Packed),
        true if exports(processor::PROCESS) => Some(Kind::Processor),
        true => None,
        false if exports(stdio::PROCESS) || exports(stdio::START) => Some(Kind::Stdio),
        false => None,
    };
    for (module, name) in &outside.imports {
        let known = match module {
            Some(module) => stdio::is_known_import(module, name),
            None => is_known_interface(name),
        };
        if !known {
            let shown = module.as_ref().map_or_else(|| name.clone(), |module| format!("{module}.{name}"));
            return Err(unsupported(format!("imports '{shown}', which no kind of function has")));
        }
    }
    let kind = kind.ok_or_else(|| {
        let found = if outside.exports.is_empty() { "nothing".into() } else { quoted(&outside.exports) };
        let wanted =
            if outside.component { [packed::FUNCTION, processor::PROCESS] } else { [stdio::PROCESS, stdio::START] };
        unsupported(format!("exports {found}, but neither '{}' nor '{}'", wanted[0], wanted[1]))
    })?;
    if outside.component && outside.imports.iter().any(|(_, name)| name == timers::NAME) {
        if kind != Kind::Packed {
            return Err(unsupported(format!("imports '{}' without exporting '{}'", timers::NAME, packed::FUNCTION)));
        }
        if !exports(timers::HANDLER) {
            return Err(unsupported(format!("imports '{}' without exporting '{}'", timers::NAME, timers::HANDLER)));
        }
    }
    Ok(kind)
}

fn is_known_interface(name: &str) -> bool {
    const OURS: [&str; 6] = [
        packed::output::NAME,
        packed::state::NAME,
        packed::progress::NAME,
        timers::NAME,
        processor::collector::NAME,
        processor::kv::NAME,
    ];
    OURS.contains(&name) || wasi::is_known(name)
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ")
}

fn invalid(error: &wasmparser::BinaryReaderError) -> Error {
    // Some messages go on in further lines, or align what they say.
    let message = error.message().lines().next().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
    Error::new(
        ErrorCode::ArtifactInvalid,
        bounded(format!("the artifact stops being valid webassembly at byte {}: {message}", error.offset())),
    )
}

fn read(artifact: &[u8]) -> wasmparser::Result<Outside> {
    let mut outside = Outside::default();
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(artifact) {
        match payload? {
            Payload::Version { encoding, .. } => {
                depth += 1;
                outside.component |= depth == 1 && encoding == Encoding::Component;
            }
            Payload::End(_) => depth -= 1,
            Payload::CodeSectionEntry(body) => outside.size.add(&body)?,
            Payload::ImportSection(section) if depth == 1 => {
                for import in section.into_imports() {
                    let import = import?;
                    outside.imports.push((Some(import.module.to_owned()), import.name.to_owned()));
                }
            }
            Payload::ExportSection(section) if depth == 1 => {
                for export in section {
                    outside.exports.push(export?.name.to_owned());
                }
            }
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    outside.imports.push((None, import?.name.name.to_owned()));
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
    Ok(outside)
}
