// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The parts of `wasi:filesystem` that could wait for ever or go through very much: opening and listing.

use std::path::Path;

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::OpenMode;
use wasmtime_wasi::filesystem::{Descriptor, Dir, File, WasiFilesystemView};
use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode as Code;
use wasmtime_wasi::p2::bindings::sync::filesystem::types::{
    DescriptorFlags, ErrorCode, Host, HostDescriptor, OpenFlags, PathFlags,
};
use wasmtime_wasi::p2::{FsResult, ReaddirIterator};

use crate::component::Component;
use crate::fault::raise;
use crate::granted::{Opened, open};

/// The interface that guests of any 0.2 find under this name.
const TYPES: &str = "wasi:filesystem/types@0.2.12";

/// The most entries of a folder that can be listed: all of them are read at once.
const MOST_ENTRIES: usize = 100_000;

type Cx<'a> = StoreContextMut<'a, Component>;
type Open = (Resource<Descriptor>, PathFlags, String, OpenFlags, DescriptorFlags);

/// Takes the place of what is there.
pub(super) fn add_to_linker(linker: &mut Linker<Component>) -> wasmtime::Result<()> {
    let mut types = linker.instance(TYPES)?;
    types.func_wrap("[method]descriptor.open-at", |mut cx: Cx<'_>, asked: Open| {
        let opened = open_at(cx.data_mut(), asked);
        answer(&mut cx, opened)
    })?;
    types.func_wrap("[method]descriptor.read-directory", |mut cx: Cx<'_>, (folder,): (Resource<Descriptor>,)| {
        let entries = read_directory(&mut cx, folder)?;
        answer(&mut cx, entries)
    })?;
    Ok(())
}

fn answer<T>(cx: &mut Cx<'_>, result: FsResult<T>) -> wasmtime::Result<(Result<T, ErrorCode>,)> {
    Ok((match result {
        Ok(value) => Ok(value),
        Err(error) => Err(cx.data_mut().filesystem().convert_error_code(error)?),
    },))
}

fn open_at(data: &mut Component, (folder, links, path, how, flags): Open) -> FsResult<Resource<Descriptor>> {
    let changes = OpenFlags::CREATE | OpenFlags::EXCLUSIVE | OpenFlags::TRUNCATE;
    let reads = DescriptorFlags::READ | DescriptorFlags::MUTATE_DIRECTORY;
    if how.intersects(changes) || !reads.contains(flags) {
        // It is refused, folders being for reading only, with the error that belongs to it.
        return data.filesystem().open_at(folder, links, path, how, flags);
    }
    let (dir, perms) = match data.table.get(&folder)? {
        Descriptor::Dir(dir) => (dir.dir.clone(), dir.perms),
        Descriptor::File(_) => return Err(Code::NotDirectory.into()),
    };
    let opened = open(&dir, Path::new(&path), links.contains(PathFlags::SYMLINK_FOLLOW))?;
    let descriptor = match opened {
        Opened::Link => return Err(Code::Loop.into()),
        Opened::Folder(folder) => Descriptor::Dir(Dir::new(folder, perms, OpenMode::READ, false)),
        Opened::File(_) if how.contains(OpenFlags::DIRECTORY) => return Err(Code::NotDirectory.into()),
        Opened::File(file) => Descriptor::File(File::new(file, perms, OpenMode::READ, false)),
    };
    Ok(data.table.push(descriptor)?)
}

/// Counts the entries first: whoever lists them cannot be interrupted.
fn read_directory(
    cx: &mut Cx<'_>,
    folder: Resource<Descriptor>,
) -> wasmtime::Result<FsResult<Resource<ReaddirIterator>>> {
    let data = cx.data_mut();
    if let Descriptor::Dir(dir) = data.table.get(&folder)? {
        let entries = match cap_primitives::fs::read_base_dir(&dir.dir) {
            Ok(entries) => entries,
            Err(e) => return Ok(Err(e.into())),
        };
        for (index, _) in entries.enumerate() {
            data.meter.timer().check(index).map_err(raise)?;
            if index >= MOST_ENTRIES {
                return Ok(Err(Code::Overflow.into()));
            }
        }
    }
    Ok(data.filesystem().read_directory(folder))
}
