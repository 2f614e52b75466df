// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What a server keeps, and where: all of it in its store, or what lasts in a cluster of a broker that it shares with other processes.
//! The store is a cache then, of the state of those tasks that have run here.

use std::sync::Arc;

use fnstream_core::acks::Acks;
use fnstream_core::artifacts::Artifacts;
use fnstream_core::backups::Backups;
use fnstream_core::clock::Clock;
use fnstream_core::metadata::Metadata;
use fnstream_core::notes::Notes;
use fnstream_core::peers::{Alone, Peers};
use fnstream_core::upkeep::Upkeep;
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_engine::{Backend, EpochBounds};
use fnstream_group::{GroupArtifacts, GroupPeers, Register};
use fnstream_store::Store;

use super::group::{GroupTasks, GroupUpkeep, Place, Reached};
use super::identity::hex;
use super::{Abroad, OwnCluster};
use crate::ServerConfig;
use crate::config::Group;
use crate::peers::HttpExchange;

/// The note of the process's name within its group.
const PROCESS: &str = "group.process";
/// The note of the register whose functions' state the store keeps.
const REGISTER: &str = "group.register";

/// See the module.
pub(crate) struct Own {
    pub(crate) register: Arc<dyn Metadata>,
    pub(crate) cluster: OwnCluster,
    pub(crate) foreign: Abroad,
    pub(crate) acks: Option<Arc<dyn Acks>>,
    pub(crate) artifacts: Arc<dyn Artifacts>,
    pub(crate) upkeep: Arc<dyn Upkeep>,
    pub(crate) backups: Option<Arc<dyn Backups>>,
    pub(crate) peers: Arc<dyn Peers>,
    pub(crate) membership: Option<Membership>,
}

/// What a process of a group leaves at its end.
pub(crate) struct Membership {
    place: Arc<dyn Place>,
    peers: Arc<GroupPeers>,
}

impl Membership {
    /// Says farewell to the other processes. Blocks for a moment.
    pub(crate) fn leave(&self) {
        self.place.leave();
        self.peers.leave();
    }
}

impl Own {
    /// All of it in the store.
    pub(crate) fn embedded(store: &Store, config: &ServerConfig, lanes: usize) -> Result<Own> {
        if let Some(register) = note(&*store.notes(), REGISTER)? {
            let message = format!(
                "the data folder belongs to a process of a server group (register {register}): start it with 'function-stream server', or \
                 take another folder"
            );
            return Err(Error::new(ErrorCode::InvalidConfig, message));
        }
        Ok(Own {
            register: store.metadata(),
            cluster: OwnCluster {
                topics: store.topics(),
                groups: store.groups(),
                producers: Some(store.producers()),
                tasks: store.tasks(),
                forks: Some(store.forks()),
                backend: Backend {
                    broker: store.broker(),
                    committer: store.committer(),
                    state_stores: store.state_stores(),
                    epoch: EpochBounds::default(),
                },
                broker: None,
            },
            foreign: Abroad::new(store.notes(), None, &store.state_stores(), lanes, config.kafka.replication),
            acks: Some(store.acks()),
            artifacts: store.artifacts(),
            upkeep: store.upkeep(),
            backups: Some(store.backups()),
            peers: Arc::new(Alone::default()),
            membership: None,
        })
    }

    /// What lasts in the group's cluster. `address` is where other processes reach this one. Blocks, and waits for the cluster.
    pub(crate) fn in_group(
        group: &Group,
        config: &ServerConfig,
        address: &str,
        store: &Store,
        lanes: usize,
        clock: &Arc<dyn Clock>,
        exchange: HttpExchange,
    ) -> Result<Own> {
        let notes = store.notes();
        let process = process(&*notes)?;
        let reached = Reached::new(group, config, process.clone(), lanes)?;
        reached.greet()?;
        tracing::info!(process, "the cluster is reached: this process is called so where its consumers are shown");
        let register = Arc::new(Register::open(reached.log("functions")?, &process, clock.clone())?);
        let incarnation = register.incarnation();
        adopt(store, &incarnation)?;
        let (kept, grace) = (store.artifacts(), config.upload_grace);
        let artifacts = GroupArtifacts::open(reached.log("artifacts")?, &process, kept, grace, clock.clone())?;
        let log = reached.log("peers")?;
        let peers = GroupPeers::join(log, &process, address, group.session_timeout, Arc::new(exchange))?;
        let (peers, local) = (Arc::new(peers), store.state_stores());
        let abroad = Abroad::new(notes, Some(&group.name), &local, lanes, config.kafka.replication);
        let shared = reached.join(group, incarnation, &local, abroad)?;
        let upkeep = GroupUpkeep::new(store, &register, &shared.place);
        let tasks = GroupTasks { register: register.clone(), place: shared.place.clone(), local };
        Ok(Own {
            register,
            foreign: shared.foreign,
            cluster: OwnCluster {
                groups: shared.groups,
                topics: shared.topics,
                producers: None,
                tasks: Arc::new(tasks),
                forks: None,
                backend: shared.backend,
                broker: Some(shared.alias),
            },
            acks: None,
            artifacts: Arc::new(artifacts),
            upkeep: Arc::new(upkeep),
            backups: None,
            peers: peers.clone(),
            membership: Some(Membership { place: shared.place, peers }),
        })
    }
}

fn note(notes: &dyn Notes, name: &str) -> Result<Option<String>> {
    let found = notes.list()?.into_iter().find(|(noted, _)| noted == name);
    Ok(found.map(|(_, note)| String::from_utf8_lossy(&note).into_owned()))
}

/// The name of this process within its group, which it keeps as long as its data folder.
fn process(notes: &dyn Notes) -> Result<String> {
    if let Some(process) = note(notes, PROCESS)? {
        return Ok(process);
    }
    let mut random = [0; 6];
    let filled = getrandom::fill(&mut random);
    filled.map_err(|e| fnstream_core::error::internal(format!("no random number for the name of a process: {e}")))?;
    let process = hex(&random);
    notes.put(PROCESS, process.as_bytes())?;
    Ok(process)
}

/// Has the store keep state of that register's functions, and refuses one that keeps something else.
fn adopt(store: &Store, register: &str) -> Result<()> {
    let notes = store.notes();
    match note(&*notes, REGISTER)? {
        Some(known) if known == register => Ok(()),
        Some(known) => {
            let message = format!(
                "the data folder belongs to a process of another server group (register {known}, and this one's is {register}): take \
                 another folder, since state of the one is none of the other's"
            );
            Err(Error::new(ErrorCode::InvalidConfig, message))
        }
        None if store.metadata().list()?.is_empty() && store.topics().list()?.is_empty() => {
            notes.put(REGISTER, register.as_bytes())
        }
        None => {
            let message = "the data folder is that of a standalone server, with topics or functions of its own: take another folder";
            Err(Error::new(ErrorCode::InvalidConfig, message))
        }
    }
}
