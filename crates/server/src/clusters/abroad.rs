// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Clusters of any broker that the server speaks to: which one it is, their addresses say.

use std::collections::BTreeMap;
use std::sync::Arc;

use fnstream_core::Result;
use fnstream_core::epoch::FunctionId;
use fnstream_core::notes::Notes;
use fnstream_core::record::{Position, TopicPartition};
use fnstream_core::spec::{FunctionEntry, FunctionSpec};
use fnstream_core::state::StateStores;
use fnstream_core::topic::Cluster;
use fnstream_kafka::{Kafka, Transactions};
use fnstream_pulsar::Pulsar;

use super::identity::Identity;
use super::kafka::KafkaClusters;
use super::pulsar::{PulsarClusters, SCHEMES};
use super::{ForClients, ForFunction, Foreign, Properties};

/// See the module.
pub(crate) struct Abroad {
    kafka: KafkaClusters,
    pulsar: PulsarClusters,
}

impl Abroad {
    /// Connects to nobody yet. `notes` keep what tells this server from others; `local` keeps the state of functions that commit abroad.
    /// A server of a group has the group's name on all clusters.
    pub(super) fn new(
        notes: Arc<dyn Notes>,
        group: Option<&str>,
        local: &Arc<dyn StateStores>,
        lanes: usize,
        replication: Option<u16>,
    ) -> Abroad {
        let identity = Arc::new(Identity::new(notes, group.map(str::to_owned)));
        Abroad {
            kafka: KafkaClusters::new(identity.clone(), local.clone(), lanes, replication),
            pulsar: PulsarClusters::new(identity, local.clone()),
        }
    }

    /// Of a server whose own cluster is one of Kafka.
    pub(super) fn of_kafka(self, own: (Cluster, Arc<Kafka>)) -> Abroad {
        Abroad { kafka: self.kafka.of_group(own), ..self }
    }

    /// Of a server whose own cluster is one of Pulsar.
    pub(super) fn of_pulsar(self, own: (Cluster, Arc<Pulsar>)) -> Abroad {
        Abroad { pulsar: self.pulsar.of_group(own), ..self }
    }

    fn of(&self, cluster: &Cluster) -> &dyn Foreign {
        match SCHEMES.iter().any(|scheme| cluster.as_str().starts_with(scheme)) {
            true => &self.pulsar,
            false => &self.kafka,
        }
    }
}

impl Foreign for Abroad {
    fn check(&self, cluster: &Cluster) -> Result<()> {
        self.of(cluster).check(cluster)
    }

    fn check_for_functions(&self, cluster: &Cluster, properties: &Properties) -> Result<()> {
        self.of(cluster).check_for_functions(cluster, properties)
    }

    fn for_clients(&self, cluster: &Cluster, properties: &Properties) -> Result<ForClients> {
        self.of(cluster).for_clients(cluster, properties)
    }

    fn for_function(&self, cluster: &Cluster, entry: &FunctionEntry) -> Result<ForFunction> {
        self.of(cluster).for_function(cluster, entry)
    }

    fn move_groups(
        &self,
        cluster: &Cluster,
        function: FunctionId,
        spec: &FunctionSpec,
        places: &[(TopicPartition, Position)],
    ) -> Result<()> {
        self.of(cluster).move_groups(cluster, function, spec, places)
    }

    fn transactions(&self) -> BTreeMap<Cluster, Transactions> {
        self.kafka.transactions()
    }

    fn forget(&self, cluster: &Cluster, entry: &FunctionEntry, has_heir: bool) -> Result<()> {
        self.of(cluster).forget(cluster, entry, has_heir)
    }
}
