// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Source together with its engine: one component, for servers that have no engine of the language or another version of it.
//!
//! ```text
//! engine: a component ── its sections ─┬─ custom section "functionstream:source": the archive of source
//! ```
//!
//! Without that section it is the engine to the byte. So all bundles of one engine, and the source that is run by the very same
//! engine of a server, share its compiled code.

use std::borrow::Cow;

use fnstream_core::{Error, ErrorCode, Result};
use wasmparser::BinaryReader;

use super::{Engines, Source};

/// The name of the section with the source.
const SECTION: &str = "functionstream:source";

/// What a component begins with: the magic number, the version, and the layer.
const COMPONENT: [u8; 8] = *b"\0asm\x0d\0\x01\0";

const CUSTOM: u8 = 0;

/// An artifact that has both.
pub(crate) struct Bundle<'a> {
    pub(crate) engine: Cow<'a, [u8]>,
    pub(crate) source: &'a [u8],
}

impl<'a> Bundle<'a> {
    /// The two parts of an artifact; none if it has no section with source. Whether the engine is one is not looked at.
    pub(crate) fn of(artifact: &'a [u8]) -> Result<Option<Self>> {
        let mut found: Option<Self> = None;
        for section in sections(artifact) {
            if section.name != SECTION {
                continue;
            }
            if found.is_some() {
                return Err(Error::new(ErrorCode::SourceInvalid, "the component has source twice"));
            }
            let engine = match &artifact[section.end..] {
                [] => artifact[..section.start].into(),
                rest => [&artifact[..section.start], rest].concat().into(),
            };
            found = Some(Bundle { engine, source: section.content });
        }
        Ok(found)
    }
}

/// A custom section.
struct Section<'a> {
    name: &'a str,
    content: &'a [u8],
    start: usize,
    end: usize,
}

/// The custom sections of a component, those within its parts left out. They end where it stops being one, about which others
/// complain.
fn sections(artifact: &[u8]) -> impl Iterator<Item = Section<'_>> {
    let is_component = artifact.starts_with(&COMPONENT);
    let mut reader = BinaryReader::new(artifact, 0);
    if is_component {
        let _ = reader.read_bytes(COMPONENT.len());
    }
    std::iter::from_fn(move || {
        while is_component && !reader.eof() {
            let start = reader.original_position();
            let id = reader.read_u8().ok()?;
            let len = reader.read_var_u32().ok()?;
            let mut body = BinaryReader::new(reader.read_bytes(len as usize).ok()?, 0);
            if id != CUSTOM {
                continue;
            }
            // A name that is none is not ours.
            if let Ok(name) = body.read_string() {
                let content = body.read_bytes(body.bytes_remaining()).ok()?;
                return Some(Section { name, content, start, end: reader.original_position() });
            }
        }
        None
    })
}

/// One component of source and the engine of its language.
pub fn bundle(source: &[u8], engines: &Engines) -> Result<Vec<u8>> {
    let language = Source::read(source)?.language;
    let mut component = engines.read(language)?;
    let mut body = Vec::with_capacity(source.len() + SECTION.len() + 1);
    put_len(&mut body, SECTION.len());
    body.extend_from_slice(SECTION.as_bytes());
    body.extend_from_slice(source);
    component.push(CUSTOM);
    put_len(&mut component, body.len());
    component.append(&mut body);
    Ok(component)
}

/// A length as WebAssembly has it: seven bits a byte, the low ones first.
fn put_len(out: &mut Vec<u8>, mut len: usize) {
    while len >= 0x80 {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::source::pack;
    use super::super::{Engines, Language};
    use super::*;

    /// A component with a section of another's, and source of a length whose length has two bytes.
    fn parts() -> (Vec<u8>, Vec<u8>) {
        let engine = [&COMPONENT[..], b"\0\x06\x04nameX"].concat();
        let source = pack(vec![("app.js".into(), vec![b'x'; 300])], None).unwrap();
        (engine, source)
    }

    fn bundled() -> (Vec<u8>, Vec<u8>, Vec<u8>) {
        let (engine, source) = parts();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("engine.wasm");
        std::fs::write(&path, &engine).unwrap();
        let engines = Engines::default().with_file(Language::JavaScript, Some(path));
        let bundle = bundle(&source, &engines).unwrap();
        (engine, source, bundle)
    }

    #[test]
    fn the_parts_are_found_again() {
        let (engine, source, bundle) = bundled();
        wasmparser::Validator::new().validate_all(&bundle).unwrap();
        let found = Bundle::of(&bundle).unwrap().unwrap();
        assert_eq!((&*found.engine, found.source), (&*engine, &*source));
        assert!(matches!(found.engine, Cow::Borrowed(_)));
        for other in [&*engine, &source, b"", b"\0asm\x01\0\0\0"] {
            assert!(Bundle::of(other).unwrap().is_none());
        }
    }

    #[test]
    fn sections_that_a_tool_adds_belong_to_the_engine() {
        let (engine, source, bundle) = bundled();
        let added = b"\0\x02\x01p";
        let more = [&*bundle, added].concat();
        let found = Bundle::of(&more).unwrap().unwrap();
        assert_eq!((&*found.engine, found.source), (&*[&*engine, added].concat(), &*source));
    }

    #[test]
    fn two_sources_are_refused() {
        let (engine, _, bundle) = bundled();
        let twice = [&*bundle, &bundle[engine.len()..]].concat();
        let error = Bundle::of(&twice).err().unwrap();
        assert_eq!((error.code, &*error.message), (ErrorCode::SourceInvalid, "the component has source twice"));
    }

    #[test]
    fn every_cut_and_every_changed_byte_is_an_error_or_no_bundle_or_the_same_source() {
        let (engine, source, bundle) = bundled();
        for len in 0..bundle.len() {
            assert!(Bundle::of(&bundle[..len]).unwrap().is_none(), "{len}");
        }
        for at in 0..bundle.len() {
            let mut changed = bundle.clone();
            changed[at] ^= 0x41;
            // Must not panic; source that was changed is never read as what it was not.
            if let Ok(Some(found)) = Bundle::of(&changed)
                && at >= engine.len()
                && let Ok(read) = Source::read(found.source)
            {
                let names =
                    |source: &Source| source.files.iter().map(|(_, content)| content.clone()).collect::<Vec<_>>();
                assert_eq!(names(&read), names(&Source::read(&source).unwrap()), "{at}");
            }
        }
    }

    #[test]
    fn without_an_engine_there_is_no_bundle() {
        let (_, source) = parts();
        let error = bundle(&source, &Engines::default()).unwrap_err();
        assert_eq!(error.code, ErrorCode::LanguageUnavailable);
    }
}
