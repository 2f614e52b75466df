// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The data of stores, which the two kinds of components have in common.

use fnstream_core::error::Fault;
use fnstream_core::runtime::{CallFailure, InstanceSpec, SharedHost};
use fnstream_core::{Error, ErrorCode};
use wasmtime::component::ResourceTable;
use wasmtime_wasi::WasiCtx;

use crate::changes::Changes;
use crate::fault::{bounded, raise};
use crate::log::LogStream;
use crate::meter::Meter;
use crate::packed::progress;
use crate::sandbox::{Guest, Machine};
use crate::stores::Stores;
use crate::wasi;

/// The data of a component's store.
pub(crate) struct Component {
    /// The task's side of the boundary. Locked for one host call at a time, never while the guest runs.
    pub(crate) host: SharedHost,
    /// The host's last refusal in this call, which was reported to the guest.
    pub(crate) refused: Option<Error>,
    /// What the guest has written, for those who read on from what they have read before.
    pub(crate) changes: Changes,
    /// The stores that a packed function has opened.
    pub(crate) stores: Stores,
    /// Where a packed function keeps the index of the record at hand, if it shows that.
    pub(crate) progress: Option<progress::Cell>,
    /// The function has said in this call that the record which fails is undone.
    pub(crate) undone: bool,
    /// The time of the record in process, for worlds whose emit has none.
    pub(crate) timestamp: i64,
    pub(crate) meter: Meter,
    /// Standard output and error.
    output: [LogStream; 2],
    pub(crate) wasi: WasiCtx,
    pub(crate) table: ResourceTable,
}

impl Component {
    /// `Err` when a granted folder cannot be opened.
    pub(crate) fn new(machine: &Machine, spec: &InstanceSpec, host: SharedHost) -> fnstream_core::Result<Self> {
        let output = wasi::output(machine, spec);
        Ok(Component {
            host,
            refused: None,
            changes: Changes::default(),
            stores: Stores::default(),
            progress: None,
            undone: false,
            timestamp: 0,
            meter: Meter::new(spec),
            wasi: wasi::environment(&output, machine, spec)?,
            output,
            table: wasi::table(),
        })
    }

    /// Sorts an error of the host. The function's own mistakes are for the function to hear of; anything else ends the
    /// call, since no function can make up for it, nor should it be able to hide it. So does the end of its time, which
    /// may leave a list of writes half done.
    pub(crate) fn refuse(&mut self, error: Error) -> wasmtime::Result<String> {
        if error.code.fault() != Fault::User || error.code == ErrorCode::GuestTimeout {
            return Err(raise(error));
        }
        let message = error.message.clone();
        self.refused = Some(error);
        Ok(message)
    }

    /// Ends the call because its answer would be larger than the guest's memory.
    pub(crate) fn too_large(&mut self) -> wasmtime::Error {
        let message = format!("an answer of the host is larger than the limit of {} bytes", self.meter.limit());
        raise(Error::new(ErrorCode::GuestOutOfMemory, message))
    }

    /// The failure that a guest reported in its own words. When it was refused something before, that is the reason, and
    /// the code says so.
    pub(crate) fn reported(&self, message: String) -> CallFailure {
        let code = self.refused.as_ref().map_or(ErrorCode::GuestError, |refused| refused.code);
        Error::new(code, bounded(message)).into()
    }
}

impl Guest for Component {
    fn meter(&mut self) -> &mut Meter {
        &mut self.meter
    }

    fn begin(&mut self) {
        self.refused = None;
        self.undone = false;
        self.output.iter().for_each(LogStream::begin);
    }

    fn end(&mut self) {
        self.output.iter().for_each(LogStream::end);
    }

    fn last_words(&mut self) -> Option<String> {
        let [stdout, stderr] = &self.output;
        stderr.last_words().or_else(|| stdout.last_words())
    }
}
