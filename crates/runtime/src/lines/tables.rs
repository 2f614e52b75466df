// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! DWARF as artifacts carry it: in custom sections of a module, or of each module that a component has in it.
//!
//! Addresses of DWARF count from the beginning of a module's code section; offsets of frames from that of the artifact.

use std::collections::HashMap;
use std::ops::Range;

use addr2line::Context;
use addr2line::gimli::{Dwarf, EndianSlice, LittleEndian};
use wasmparser::{CustomSectionReader, Parser, Payload};

/// The prefix of the names of its sections.
const PREFIX: &str = ".debug_";

/// The section without which there is nothing to find.
const INFO: &str = ".debug_info";

/// The most functions that are shown for one place, inlined into each other.
const INLINED: usize = 16;

/// The longest name of a function or a file, in bytes.
const LONGEST: usize = 1 << 10;

/// One function that a place is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// As the compiler names it.
    pub(crate) function: Option<String>,
    pub(crate) file: Option<String>,
    pub(crate) line: Option<u32>,
    pub(crate) column: Option<u32>,
}

/// Reports whether an artifact has tables at all.
pub(crate) fn has_tables(artifact: &[u8]) -> bool {
    modules(artifact).iter().any(|module| module.sections.contains_key(INFO))
}

/// The tables of an artifact's modules.
pub(super) struct Tables<'a>(Vec<Table<'a>>);

struct Table<'a> {
    code: Range<usize>,
    context: Context<EndianSlice<'a, LittleEndian>>,
}

impl<'a> Tables<'a> {
    /// Reads what all lookups need; the tables of a part of the program are read when that part is asked for.
    pub(super) fn read(artifact: &'a [u8]) -> Self {
        let modules = modules(artifact).into_iter().filter(|module| module.sections.contains_key(INFO));
        Tables(modules.filter_map(Table::read).collect())
    }

    /// The functions that an offset in the artifact is in, the innermost first.
    pub(super) fn find(&self, offset: usize) -> Vec<Place> {
        self.0.iter().find(|table| table.code.contains(&offset)).map_or_else(Vec::new, |table| table.find(offset))
    }
}

impl<'a> Table<'a> {
    fn read(module: Module<'a>) -> Option<Self> {
        let section = |name: &str| module.sections.get(name).copied().unwrap_or_default();
        let dwarf = Dwarf::load(|id| Ok::<_, ()>(EndianSlice::new(section(id.name()), LittleEndian))).ok()?;
        Some(Table { code: module.code, context: Context::from_dwarf(dwarf).ok()? })
    }

    fn find(&self, offset: usize) -> Vec<Place> {
        let mut places = Vec::new();
        let Ok(mut frames) = self.context.find_frames((offset - self.code.start) as u64).skip_all_loads() else {
            return places;
        };
        while places.len() < INLINED
            && let Ok(Some(frame)) = frames.next()
        {
            let name = frame.function.as_ref().and_then(|function| function.raw_name().ok());
            let location = frame.location.as_ref();
            places.push(Place {
                function: name.map(|name| cut(&name)),
                file: location.and_then(|location| location.file).map(cut),
                line: location.and_then(|location| location.line),
                column: location.and_then(|location| location.column),
            });
        }
        places
    }
}

fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(LONGEST)].to_owned()
}

/// A core module with its sections of DWARF.
#[derive(Default)]
struct Module<'a> {
    code: Range<usize>,
    sections: HashMap<&'a str, &'a [u8]>,
}

impl<'a> Module<'a> {
    fn add(&mut self, section: &CustomSectionReader<'a>) {
        let name = section.name().trim_end_matches(".dwo");
        if name.starts_with(PREFIX) {
            self.sections.insert(name, section.data());
        }
    }
}

/// The modules of an artifact, as far as it can be read.
fn modules(artifact: &[u8]) -> Vec<Module<'_>> {
    let mut modules = Vec::new();
    // A component's own sections are taken for a module's without code.
    let mut open = Vec::new();
    for payload in Parser::new(0).parse_all(artifact) {
        match payload {
            Ok(Payload::Version { .. }) => open.push(Module::default()),
            Ok(Payload::CodeSectionStart { range, .. }) => {
                if let Some(module) = open.last_mut() {
                    module.code = range;
                }
            }
            Ok(Payload::CustomSection(section)) => {
                if let Some(module) = open.last_mut() {
                    module.add(&section);
                }
            }
            Ok(Payload::End(_)) => modules.extend(open.pop()),
            Ok(_) => {}
            Err(_) => break,
        }
    }
    modules
}
