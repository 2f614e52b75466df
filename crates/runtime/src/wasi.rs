// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! WASI preview 2 for components: a clean environment, in which nothing waits longer than the call may.
//!
//! No arguments, no sockets, an empty standard input. Of environment variables and folders there are those that the
//! function was granted and no others; folders can be read only, and no path leads out of them. Clocks and random numbers
//! are real, since they give nothing of the server away. Standard output and error go to the function's log.
//!
//! The engine's deadline ends guest code, but not a host function that waits or goes through very much. So some of them are
//! replaced by our own: `wasi:io/poll`, the only place where one waits, ends with the call's own time and with its task; files
//! are opened only if reading them waits for nobody, and a list of files is bounded ([`files`]).

mod files;

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use fnstream_core::function_log::Speaker;
use fnstream_core::interrupt::{Interrupt, Watch};
use fnstream_core::runtime::InstanceSpec;
use fnstream_core::waker::Waker;
use fnstream_core::{Error, ErrorCode, Result};
use parking_lot::Mutex;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, ResourceTable};
use wasmtime_wasi::clocks::{HostWallClock, WasiClocksView};
use wasmtime_wasi::filesystem::FsPerms;
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock::Host as _;
use wasmtime_wasi::p2::bindings::sync::io::poll::{Host as _, HostPollable};
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use crate::component::Component;
use crate::fault::raise;
use crate::granted;
use crate::log::{LineLog, LogStream};
use crate::options::WallClock;
use crate::sandbox::Machine;

/// The interface whose waits are bounded; guests of any 0.2 find it under this name.
const POLL: &str = "wasi:io/poll@0.2.12";

/// Interfaces of the world `wasi:cli/imports@0.2`.
pub(crate) const INTERFACES: &[&str] = &[
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];

/// Reports whether an import is one of them.
pub(crate) fn is_known(import: &str) -> bool {
    import.split_once('@').is_some_and(|(name, version)| version.starts_with("0.2.") && INTERFACES.contains(&name))
}

/// Standard output and error of one instance.
pub(crate) fn output(machine: &Machine, spec: &InstanceSpec) -> [LogStream; 2] {
    [Speaker::Stdout, Speaker::Stderr].map(|speaker| LogStream::new(LineLog::new(machine, spec, speaker)))
}

/// The environment of one instance; `Err` when a granted folder cannot be opened.
pub(crate) fn environment(
    [stdout, stderr]: &[LogStream; 2],
    machine: &Machine,
    spec: &InstanceSpec,
) -> Result<WasiCtx> {
    let mut builder = WasiCtxBuilder::new();
    builder
        .stdout(stdout.clone())
        .stderr(stderr.clone())
        .wall_clock(GuestClock(machine.options.wall_clock.clone()))
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false);
    for (name, value) in &spec.env {
        builder.env(name, value);
    }
    for grant in &spec.files {
        // It may be there again later: a mount that is late, rights that are mended.
        granted::folder(grant)?;
        builder.preopened_dir(&grant.host, &grant.guest, FsPerms::ReadOnly).map_err(|e| {
            let why = e.root_cause();
            Error::new(ErrorCode::Storage, format!("the granted folder '{}' cannot be opened: {why}", grant.host))
        })?;
    }
    Ok(builder.build())
}

/// The clock on the wall as components see it.
struct GuestClock(WallClock);

impl HostWallClock for GuestClock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        self.0.since_epoch()
    }
}

/// Adds all of it.
pub(crate) fn add_to_linker(linker: &mut Linker<Component>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_sync(linker)?;
    linker.allow_shadowing(true);
    let mut poll = linker.instance(POLL)?;
    poll.func_wrap("poll", |cx: StoreContextMut<'_, Component>, (list,): (Vec<Resource<DynPollable>>,)| {
        Ok((wait(cx, list)?,))
    })?;
    poll.func_wrap(
        "[method]pollable.block",
        |cx: StoreContextMut<'_, Component>, (one,): (Resource<DynPollable>,)| {
            wait(cx, vec![one])?;
            Ok(())
        },
    )?;
    files::add_to_linker(linker)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// Waits until one of the list is ready; ends the call when its time is over first, or its task is to end.
fn wait(mut cx: StoreContextMut<'_, Component>, mut list: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
    let data = cx.data_mut();
    if list.is_empty() {
        return data.table.poll(list);
    }
    let (left, interrupt) = (data.meter.timer().wall_left(), data.meter.timer().interrupt().clone());
    let nanos = u64::try_from(left.as_nanos()).unwrap_or(u64::MAX);
    let count = list.len() as u32;
    let ends = [data.clocks().subscribe_duration(nanos)?, {
        let end = data.table.push(TaskEnd::of(interrupt))?;
        subscribe(&mut data.table, end)?
    }];
    list.extend(ends.iter().map(|end| Resource::new_borrow(end.rep())));
    let mut ready = data.table.poll(list);
    for end in ends {
        HostPollable::drop(&mut data.table, end)?;
    }
    if let Ok(ready) = &mut ready {
        ready.retain(|&i| i < count);
        if ready.is_empty() {
            return Err(raise(data.meter.timer().waited()));
        }
    }
    ready
}

/// Is ready when the guest's task is to end.
struct TaskEnd {
    interrupt: Interrupt,
    /// Who waits for it.
    waiting: Arc<Mutex<Option<std::task::Waker>>>,
    _watch: Watch,
}

impl TaskEnd {
    fn of(interrupt: Interrupt) -> Self {
        let waiting: Arc<Mutex<Option<std::task::Waker>>> = Arc::default();
        let woken = waiting.clone();
        let watch = interrupt.watch(Waker::new(move || {
            if let Some(waker) = woken.lock().take() {
                waker.wake();
            }
        }));
        TaskEnd { interrupt, waiting, _watch: watch }
    }
}

impl Pollable for TaskEnd {
    fn ready<'a, 'b>(&'a mut self) -> Pin<Box<dyn Future<Output = ()> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(poll_fn(|cx| {
            *self.waiting.lock() = Some(cx.waker().clone());
            // Looked at after the waker is there, so that none is missed.
            if self.interrupt.is_set() { Poll::Ready(()) } else { Poll::Pending }
        }))
    }
}

impl WasiView for Component {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// The most resources of the host that a guest may have open.
pub(crate) const MOST_RESOURCES: usize = 10_000;

/// A table for a guest's resources, with room for far more than any needs, but bounded.
pub(crate) fn table() -> ResourceTable {
    let mut table = ResourceTable::new();
    table.set_max_capacity(MOST_RESOURCES);
    table
}
