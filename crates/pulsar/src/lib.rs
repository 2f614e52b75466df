// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Topics of Apache Pulsar: [`Pulsar`] is the [`Broker`](fnstream_core::broker::Broker) and the
//! [`Committer`](fnstream_core::committer::Committer) of one cluster; [`PulsarStates`] are stores of a local disk whose state can be had
//! again from it.
//!
//! It owns everything that is said to Pulsar, through [`fnstream_pulsar_client`], and knows nothing of functions' code, of disks or of the
//! server.
//!
//! # Guarantee
//!
//! An epoch is committed by one entry of its task's delta log, which has its positions, its state writes and its outbox, and which only
//! the owner of the task can write. Then the outbox is published, again and again until it is there. The broker drops what it has already:
//! so it has to deduplicate where outputs go.
//!
//! # Reading order
//!
//! `options`, `names`, `pattern`, `position`, `messages`: how things are called and look. `error`: what Pulsar answers. `admin`: what is
//! asked seldom. `ring`, `reader`, `source`: reading. `delta_log`, `lane`, `outputs`, `schemas`, `watermarks`: committing. `state`: the state
//! log. `place`: the seams over all of it. `group_log`: what several processes share. `topics`, `groups`, `tasks`: the seams for clients and
//! for those who look on.

mod admin;
mod delta_log;
mod error;
mod group_log;
mod groups;
mod http;
mod lane;
mod messages;
mod moves;
mod names;
mod options;
mod outputs;
mod pattern;
mod place;
mod position;
mod reader;
mod ring;
mod runtime;
mod schemas;
mod source;
mod state;
mod tasks;
mod topics;
mod watermarks;

pub use group_log::PulsarLog;
pub use groups::PulsarGroups;
pub use options::{COMPRESSION, INITIAL_POSITION, OPTIONS, Options, Properties};
pub use place::Pulsar;
pub use state::PulsarStates;
pub use tasks::PulsarTasks;
pub use topics::PulsarTopics;
