// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What can be set about a server. Every setting has an effect.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use fnstream_core::budget::Budget;
use fnstream_core::dir::Access;
use fnstream_core::topics::Retention;
use fnstream_runtime::{Compiling, Engines, RuntimeOptions};
use fnstream_store::Durability;

use crate::memory;
use crate::most::Most;

/// The memory that a request's body takes until what it asks for is done, as a multiple of it: the body, the records that are
/// made of it, and their frame.
pub(crate) const BODY_COPIES: usize = 3;

/// The functions that a start holds back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SafeStart {
    /// Those that were to start each time, if the process died again and again soon after its start.
    #[default]
    Auto,
    /// All.
    Always,
    /// None.
    Never,
}

/// How many clients there may be, and how long each may take for what.
#[derive(Debug, Clone)]
pub struct Network {
    /// Connections of both interfaces together; as many as open files and memory leave when it is not set.
    pub max_connections: Option<usize>,
    /// Consumers that wait for an event, and readers that wait for a line of a log; nine in ten connections when it is not set.
    pub max_waiting: Option<usize>,
    /// The longest from the first byte of a request to the end of its head, and from connecting to the first byte.
    pub head_timeout: Duration,
    /// The longest that a body may make no progress.
    pub body_timeout: Duration,
    /// The longest that a client may read nothing of its answer.
    pub answer_timeout: Duration,
    /// The longest that a connection may have nothing to do.
    pub idle_timeout: Duration,
}

impl Default for Network {
    fn default() -> Self {
        Network {
            max_connections: None,
            max_waiting: None,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            answer_timeout: Duration::from_secs(30),
            // Longer than clients usually keep connections, so that it is them who close.
            idle_timeout: Duration::from_secs(120),
        }
    }
}

/// For whom topics are made that are not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AutoCreate {
    /// Clients that produce, and functions.
    #[default]
    On,
    /// Functions.
    Functions,
    /// Nobody.
    Off,
}

/// A group of processes that share everything in a cluster of a broker.
#[derive(Debug, Clone)]
pub struct Group {
    /// The cluster.
    pub cluster: SharedCluster,
    /// The name of the group: topics, groups of consumers and producers of its own begin with it.
    pub name: String,
    /// Where the other processes reach this one, `host:port`; its own address when it is not set.
    pub advertised: Option<String>,
    /// A process that is not heard of for so long is taken for gone.
    pub session_timeout: Duration,
}

/// The cluster of a group.
#[derive(Debug, Clone)]
pub enum SharedCluster {
    /// Of Apache Kafka.
    Kafka {
        /// The addresses, with commas between them.
        bootstrap: String,
        /// Properties of librdkafka.
        properties: BTreeMap<String, String>,
    },
    /// Of Apache Pulsar.
    Pulsar {
        /// The addresses: `pulsar://host:6650,host:6650`, or `pulsar+ssl://…`.
        service_url: String,
        /// Options of the client ([`fnstream_pulsar::OPTIONS`]).
        properties: BTreeMap<String, String>,
        /// Tenant and namespace of topics that name none.
        namespace: String,
        /// Tenant and namespace of what the group keeps for itself.
        internal_namespace: String,
    },
}

impl SharedCluster {
    /// Where it is found.
    pub(crate) fn addresses(&self) -> &str {
        match self {
            SharedCluster::Kafka { bootstrap, .. } => bootstrap,
            SharedCluster::Pulsar { service_url, .. } => service_url,
        }
    }

    /// The first of its addresses, `host:port`.
    pub(crate) fn first(&self) -> &str {
        let addresses = self.addresses().split_once("://").map_or(self.addresses(), |(_, addresses)| addresses);
        addresses.split(',').next().unwrap_or_default().trim()
    }

    /// The block of the configuration file that it is set in.
    pub(crate) fn block(&self) -> &'static str {
        match self {
            SharedCluster::Kafka { .. } => "kafka",
            SharedCluster::Pulsar { .. } => "pulsar",
        }
    }
}

/// Topics that are made in clusters of Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KafkaConfig {
    /// How many copies each of them has; `None` for the cluster's default.
    pub replication: Option<u16>,
    /// How many partitions one has that is made for an input or output, or for a client. `None` for as many as the function has replicas,
    /// or one.
    pub partitions: Option<u32>,
}

/// Topics that are made in clusters of Pulsar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PulsarConfig {
    /// As of [`KafkaConfig::partitions`].
    pub partitions: Option<u32>,
}

/// The settings of a server: one field for each of `docs/config.md`, so that they are many.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// The group that the server is a process of; without one it has a log of its own.
    pub group: Option<Group>,
    /// The address to listen on: `host:port`; without a host all addresses of the machine; port 0 takes a free one.
    pub listen: String,
    /// The address to listen on for gRPC, in the same form; without one there is no gRPC.
    pub grpc_listen: Option<String>,
    /// Names by which clients may call the server, beside localhost, its addresses and the name that it listens at; `*` is any.
    pub allowed_hosts: Vec<String>,
    /// Sites whose pages may use the server: `scheme://host` or `scheme://host:port`.
    pub allowed_origins: Vec<String>,
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// Who may read it, beside the user that the process runs as. What the process makes with RocksDB has the rights that its
    /// umask leaves.
    pub access: Access,
    /// When an event or a commit counts as durable.
    pub durability: Durability,
    /// Threads that run functions; one per core when it is not set.
    pub workers: Option<usize>,
    /// Keys of committed state that a task keeps in memory before they are written in bulk; the engine's own bound when it
    /// is not set.
    pub state_dirty_keys: Option<usize>,
    /// The longest that the store tries to recover from an error of the disk before the server ends, if there is a limit.
    pub recovery_timeout: Option<Duration>,
    /// How many bytes a second the store reads to look for damage, if any.
    pub scrub_rate: Option<u64>,
    /// What topics get that don't say otherwise.
    pub retention: Retention,
    /// For whom topics are made that are not there.
    pub auto_create: AutoCreate,
    /// Topics that are made in clusters of Kafka.
    pub kafka: KafkaConfig,
    /// Topics that are made in clusters of Pulsar.
    pub pulsar: PulsarConfig,
    /// Whether a client on this machine may name any WebAssembly file of it as an artifact.
    pub local_paths: bool,
    /// Folders from which all clients may name an artifact by its path.
    pub archive_dirs: Vec<PathBuf>,
    /// Folders that functions may be granted to read, with those in them.
    pub files_dirs: Vec<PathBuf>,
    /// Folders in which all clients may have backups made, with those in them.
    pub backup_dirs: Vec<PathBuf>,
    /// Where compiled code is kept: a folder of the server's alone. Without one every start compiles all functions again.
    pub cache_dir: Option<PathBuf>,
    /// When compiled code takes more bytes than this, what was used longest ago is removed; never what is in use.
    pub cache_bytes: u64,
    /// Where the engines are that run functions given as source.
    pub engines: Engines,
    /// The process that compiles artifacts, and for how long. A server within another program compiles in that, without a
    /// limit, unless it says otherwise.
    pub compiling: Compiling,
    /// How many clients there may be, and how long they may take.
    pub network: Network,
    /// The bytes of memory that the server takes in all: see [`fnstream_core::budget`].
    pub memory: usize,
    /// The functions that a start holds back.
    pub safe_start: SafeStart,
    /// How long the process has to live with all its functions until its death is not blamed on its start.
    pub stable_after: Duration,
    /// The largest body of a produce request.
    pub max_produce_bytes: usize,
    /// The largest artifact.
    pub max_artifact_bytes: usize,
    /// How long an uploaded artifact is kept before a function uses it.
    pub upload_grace: Duration,
    /// How often retention is enforced and unused artifacts are removed.
    pub maintenance_interval: Duration,
    /// How long a function has to finish what it began: then a stop answers that it is still stopping, and a change ends it.
    pub stop_timeout: Duration,
    /// How long a shutdown waits for requests, and then for functions, to finish what they began.
    pub shutdown_timeout: Duration,
}

impl ServerConfig {
    /// The defaults, with everything kept in `data_dir`.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        let data_dir = data_dir.into();
        ServerConfig {
            group: None,
            listen: fnstream_api::DEFAULT_ADDRESS.to_owned(),
            grpc_listen: Some(fnstream_api::grpc::DEFAULT_GRPC_ADDRESS.to_owned()),
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            cache_dir: Some(data_dir.join("cache")),
            cache_bytes: RuntimeOptions::CACHE_BYTES,
            engines: Engines::of_program(),
            compiling: Compiling::default(),
            data_dir,
            access: Access::default(),
            durability: Durability::default(),
            workers: None,
            state_dirty_keys: None,
            recovery_timeout: Some(Duration::from_mins(5)),
            scrub_rate: Some(8 << 20),
            retention: Retention::default(),
            auto_create: AutoCreate::default(),
            kafka: KafkaConfig::default(),
            pulsar: PulsarConfig::default(),
            local_paths: true,
            archive_dirs: Vec::new(),
            files_dirs: Vec::new(),
            backup_dirs: Vec::new(),
            network: Network::default(),
            memory: memory::usual(),
            safe_start: SafeStart::default(),
            stable_after: Duration::from_secs(30),
            max_produce_bytes: 16 << 20,
            max_artifact_bytes: 256 << 20,
            upload_grace: Duration::from_secs(3600),
            maintenance_interval: Duration::from_secs(30),
            stop_timeout: Duration::from_secs(10),
            shutdown_timeout: Duration::from_secs(20),
        }
    }

    /// The largest body of a produce request: as set, or what the memory leaves room for.
    pub fn most_produced(&self) -> Most {
        Most::produced(self, &Budget::new(self.memory))
    }

    /// The largest artifact: as set, or what the memory leaves room for.
    pub fn most_artifact(&self) -> Most {
        Most::artifact(self, &Budget::new(self.memory))
    }
}
