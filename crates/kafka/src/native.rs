// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What is called of librdkafka directly: reading in batches whose records outlive the call, and producing with topic
//! handles that are looked up once. The safe layer copies or looks up per record; everything else goes through it.
//!
//! All of the crate's `unsafe` is in here. A [`Client`] is shared by what it gave: records and topic handles hold it, so it
//! is destroyed after them.
#![expect(unsafe_code, reason = "librdkafka is a library of C")]

mod client;
mod consumer;
mod member;
mod operations;
mod producer;

pub(crate) use client::Client;
pub(crate) use consumer::{Consumed, Consumer, Interrupt, Message, Partition};
pub(crate) use member::{Member, Partitions, Proof, Told};
pub(crate) use operations::{End, Operations, mark_of_first};
pub(crate) use producer::{Producer, TopicHandle};
