// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Clusters of Apache Kafka, by their addresses: for clients.

use std::collections::HashMap;
use std::sync::Arc;

use fnstream_core::groups::Groups;
use fnstream_core::spec::FunctionEntry;
use fnstream_core::topic::Cluster;
use fnstream_core::topics::Topics;
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_kafka::{KafkaGroups, KafkaTopics, Options};
use parking_lot::Mutex;

use super::{ForClients, ForFunction, Foreign, Properties};

/// How the addresses of such a cluster begin.
const SCHEME: &str = "kafka://";

/// So many clusters stay connected when nobody uses them.
const KEPT: usize = 16;

/// The name that the server's own topics begin with, and its clients.
const SERVER: &str = "function-stream";

/// See the module.
#[derive(Default)]
pub(crate) struct KafkaClusters {
    connected: Mutex<HashMap<(Cluster, Properties), Connected>>,
    /// Counts the times that a cluster was reached.
    turn: Mutex<u64>,
}

struct Connected {
    topics: Arc<KafkaTopics>,
    groups: Arc<KafkaGroups>,
    /// When it was reached last.
    turn: u64,
}

impl Connected {
    /// Whether anybody has taken something for a group and not given it yet.
    fn is_idle(&self) -> bool {
        Arc::strong_count(&self.groups) == 1
    }
}

impl KafkaClusters {
    fn addresses(cluster: &Cluster) -> Result<&str> {
        cluster.as_str().strip_prefix(SCHEME).ok_or_else(|| {
            let message = format!("this server does not know the cluster '{cluster}'");
            Error::new(ErrorCode::ClusterUnknown, message)
        })
    }

    /// The clusters that were not reached for the longest time and that nobody uses: they are connected to anew for whoever names them
    /// again.
    fn surplus(connected: &mut HashMap<(Cluster, Properties), Connected>) -> Vec<Connected> {
        let mut surplus = Vec::new();
        while connected.len() > KEPT {
            let idle = connected.iter().filter(|(_, of)| of.is_idle());
            let Some(oldest) = idle.min_by_key(|(_, of)| of.turn).map(|(key, _)| key.clone()) else { break };
            surplus.extend(connected.remove(&oldest));
        }
        surplus
    }
}

impl Foreign for KafkaClusters {
    fn check(&self, cluster: &Cluster) -> Result<()> {
        Self::addresses(cluster).map(drop)
    }

    fn check_for_functions(&self, cluster: &Cluster) -> Result<()> {
        self.check(cluster)?;
        let message = format!("functions of this server do not read or write topics of '{cluster}'");
        Err(Error::new(ErrorCode::ConnectorUnavailable, message))
    }

    fn for_clients(&self, cluster: &Cluster, properties: &Properties) -> Result<ForClients> {
        let addresses = Self::addresses(cluster)?;
        let turn = {
            let mut turn = self.turn.lock();
            *turn += 1;
            *turn
        };
        let key = (cluster.clone(), properties.clone());
        let mut connected = self.connected.lock();
        if !connected.contains_key(&key) {
            let topics = KafkaTopics::connect(&Options {
                cluster: cluster.clone(),
                properties: fnstream_kafka::Properties::new(addresses, properties)?,
                server: SERVER.to_owned(),
                namespace: String::new(),
                replication: None,
                lanes: 1,
            })?;
            let groups = KafkaGroups::new(&topics);
            connected.insert(key.clone(), Connected { topics, groups, turn });
        }
        let of = connected.get_mut(&key).map(|of| {
            of.turn = turn;
            let (topics, groups): (Arc<dyn Topics>, Arc<dyn Groups>) = (of.topics.clone(), of.groups.clone());
            ForClients { topics, groups }
        });
        let surplus = Self::surplus(&mut connected);
        drop(connected);
        // Connections end outside of the lock.
        drop(surplus);
        of.ok_or_else(|| fnstream_core::error::internal("a cluster that was just reached is none"))
    }

    fn for_function(&self, cluster: &Cluster, _: &FunctionEntry) -> Result<ForFunction> {
        Err(self.check_for_functions(cluster).err().unwrap_or_else(|| {
            Error::new(ErrorCode::ConnectorUnavailable, format!("functions do not reach the cluster '{cluster}'"))
        }))
    }
}
