// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The server over a real socket, with a data folder of its own for each test.

#![allow(clippy::unwrap_used)]

mod backups;
mod bodies;
mod browsers;
mod changes;
mod coming_up;
mod consume;
mod damage;
mod dead_letters;
mod functions;
mod groups;
mod grpc;
mod jobs;
mod kafka;
mod kafka_functions;
mod kafka_lost;
mod kafka_settings;
mod kafka_tools;
mod lifecycle;
mod lists;
mod local_paths;
mod logs;
mod memory;
mod metrics;
mod names;
mod network;
mod numbered;
mod parallel_dead_letters;
mod produce;
mod published;
mod refusals;
mod safe_start;
mod seek;
mod settings;
mod status;
mod support;
mod topics;
mod trigger;
mod woken;
