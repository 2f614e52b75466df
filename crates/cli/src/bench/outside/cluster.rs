// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What a bench asks of a cluster: two new topics, how far a program is, and that nothing is left in the end.

use std::time::Duration;

use crate::bench::target::Outputs;
use crate::failure::Result;

/// A cluster with an input topic and an output topic that were made for one bench.
pub(in crate::bench) trait Cluster {
    /// How programs find it.
    fn place(&self) -> &Place;

    /// How many records the program has done; never less than before while no process of it has died. Their outputs are in the output
    /// topic, or will be within moments.
    fn done(&self) -> Result<u64>;

    /// A producer that fills the input. Every program gets its records from the same one.
    fn sender(&self) -> Result<Box<dyn Sender>>;

    /// A consumer that reads the output from the beginning. Every program's outputs are read by the same one.
    fn reader(&self) -> Result<Box<dyn Outputs>>;

    /// What has to be removed. It is asked while the program is there, which may take with it what tells the names.
    fn made(&self) -> Result<Vec<String>>;

    /// Removes that. The program, the sender and the readers are gone.
    fn remove(&self, made: &[String]) -> Result;
}

/// Fills the input.
pub(in crate::bench) trait Sender {
    /// Sends a frame of records; waits only while too much is under way.
    fn send(&mut self, frame: &[u8]) -> Result;

    /// Waits until all that was sent is in the input.
    fn flush(&mut self) -> Result;
}

/// How programs find a cluster.
pub(in crate::bench) struct Place {
    pub topics: Topics,
    pub server: Server,
    /// What a peer is told besides: variables of its environment.
    pub told: Vec<(&'static str, String)>,
    /// How often it is asked how far the program is.
    pub step: Duration,
}

/// The topics of a bench, by the names that clients of the cluster use.
pub(in crate::bench) struct Topics {
    /// Of the group, or the subscription, by which the input is read. What a program makes besides begins with it.
    pub group: String,
    pub input: String,
    pub output: String,
    pub partitions: u32,
}

impl Topics {
    /// Topics and a group that nobody else has; `named` makes names of topics of what they are for.
    pub(in crate::bench) fn new(group: String, partitions: u32, named: impl Fn(&str) -> String) -> Topics {
        Topics { group, input: named("input"), output: named("output"), partitions }
    }
}

/// A server of ours that runs a function on the topics.
pub(in crate::bench) struct Server {
    /// The verb that runs it, with what belongs to it.
    pub verb: Vec<String>,
    pub environment: Vec<(&'static str, String)>,
    /// The topics as that server names them.
    pub input: String,
    pub output: String,
}

/// A name that no other bench has.
pub(in crate::bench) fn unique() -> String {
    format!("bench-{:016x}", rand::random::<u64>())
}
