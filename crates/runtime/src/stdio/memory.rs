// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Reading and writing a module's memory at addresses that it gave: outside of it is `EFAULT`, never a fault of ours.

use wasmtime::Caller;

use super::Stdio;
use super::errno::{self, Errno};

/// A module's memory, with the store's data beside it.
pub(super) struct GuestMemory<'a> {
    bytes: &'a mut [u8],
}

/// The memory and the data of the module that calls.
pub(super) fn split<'a>(caller: &'a mut Caller<'_, Stdio>) -> Result<(GuestMemory<'a>, &'a mut Stdio), Errno> {
    let memory = match caller.data().memory {
        Some(memory) => memory,
        // A call from the module's own start function, before it was handed to us.
        None => caller.get_export("memory").and_then(wasmtime::Extern::into_memory).ok_or(errno::FAULT)?,
    };
    let (bytes, data) = memory.data_and_store_mut(caller);
    Ok((GuestMemory { bytes }, data))
}

impl GuestMemory<'_> {
    pub(super) fn slice(&self, at: u32, len: u32) -> Result<&[u8], Errno> {
        let at = at as usize;
        self.bytes.get(at..at + len as usize).ok_or(errno::FAULT)
    }

    pub(super) fn slice_mut(&mut self, at: u32, len: u32) -> Result<&mut [u8], Errno> {
        let at = at as usize;
        self.bytes.get_mut(at..at + len as usize).ok_or(errno::FAULT)
    }

    pub(super) fn str(&self, at: u32, len: u32) -> Result<&str, Errno> {
        std::str::from_utf8(self.slice(at, len)?).map_err(|_| errno::INVAL)
    }

    pub(super) fn u8(&self, at: u32) -> Result<u8, Errno> {
        Ok(self.slice(at, 1)?[0])
    }

    pub(super) fn u16(&self, at: u32) -> Result<u16, Errno> {
        self.array(at).map(u16::from_le_bytes)
    }

    pub(super) fn u32(&self, at: u32) -> Result<u32, Errno> {
        self.array(at).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&self, at: u32) -> Result<u64, Errno> {
        self.array(at).map(u64::from_le_bytes)
    }

    pub(super) fn put(&mut self, at: u32, bytes: &[u8]) -> Result<(), Errno> {
        self.slice_mut(at, bytes.len() as u32)?.copy_from_slice(bytes);
        Ok(())
    }

    pub(super) fn put_u32(&mut self, at: u32, value: u32) -> Result<(), Errno> {
        self.put(at, &value.to_le_bytes())
    }

    pub(super) fn put_u64(&mut self, at: u32, value: u64) -> Result<(), Errno> {
        self.put(at, &value.to_le_bytes())
    }

    /// The address and length of the `index`th buffer of a list of buffers.
    pub(super) fn iovec(&self, list: u32, index: u32) -> Result<(u32, u32), Errno> {
        let at = index.checked_mul(8).and_then(|offset| list.checked_add(offset)).ok_or(errno::FAULT)?;
        Ok((self.u32(at)?, self.u32(at.checked_add(4).ok_or(errno::FAULT)?)?))
    }

    fn array<const N: usize>(&self, at: u32) -> Result<[u8; N], Errno> {
        let mut out = [0; N];
        out.copy_from_slice(self.slice(at, N as u32)?);
        Ok(out)
    }
}
