// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Connections, those who wait, and open files, at one moment.

use std::fmt::Error;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::scrape::{family, single};
use crate::app::WaitingRoom;
use crate::descriptors;
use crate::net::{Net, NetMeter};

/// See the module.
#[derive(Debug)]
pub(crate) struct NetworkSample {
    /// Where the system tells.
    open_files: Option<u64>,
    open_files_limit: u64,
    connections: u64,
    connections_limit: u64,
    refused: Counter,
    meter: NetMeter,
    waiting: u64,
    waiting_limit: u64,
}

impl NetworkSample {
    /// Blocks.
    pub(crate) fn of(net: &Net, room: &WaitingRoom) -> Self {
        NetworkSample {
            open_files: descriptors::open().map(|open| open as u64),
            open_files_limit: net.files.limit as u64,
            connections: net.slots.open() as u64,
            connections_limit: net.slots.most() as u64,
            refused: net.slots.refused().clone(),
            meter: net.meter.clone(),
            waiting: room.taken() as u64,
            waiting_limit: room.most() as u64,
        }
    }

    pub(super) fn encode(&self, to: &mut DescriptorEncoder) -> Result<(), Error> {
        if let Some(open) = self.open_files {
            single(to, "fnstream_open_files", "Files and sockets that are open.", None, &ConstGauge::new(open))?;
        }
        let gauges = [
            ("fnstream_open_files_limit", "The most that may be open.", self.open_files_limit),
            ("fnstream_connections", "Connections of clients.", self.connections),
            ("fnstream_connections_limit", "The most of them.", self.connections_limit),
            ("fnstream_waiting_clients", "Clients that wait for an event or a line of a log.", self.waiting),
            ("fnstream_waiting_clients_limit", "The most of them.", self.waiting_limit),
        ];
        for (name, help, value) in gauges {
            single(to, name, help, None, &ConstGauge::new(value))?;
        }
        let help = "Connections that there was no place for.";
        single(to, "fnstream_connections_refused", help, None, &self.refused)?;
        let meter = &self.meter;
        let cut = [
            ("slow_head", &meter.slow_heads),
            ("slow_body", &meter.slow_bodies),
            ("slow_reader", &meter.slow_readers),
            ("idle", &meter.idle),
        ];
        let cut = cut.into_iter().map(|(reason, count)| ([("reason", reason)], count));
        let help = "Connections and requests that took too long.";
        family(to, "fnstream_connections_cut", help, None, cut)
    }
}
