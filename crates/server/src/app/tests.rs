// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Several servers in one process, over one register, broker, committer and artifacts.

mod abroad;
mod abroad_clients;
mod cluster;
mod ends;
mod growing;
mod guarded;
mod pages;
mod reconciling;
mod stalled;
mod stuck;
mod two_servers;
