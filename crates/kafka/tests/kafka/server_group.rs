// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What the processes of a server group share.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use fnstream_core::artifacts::Artifacts;
use fnstream_core::broker::PollLimit;
use fnstream_core::clock::SystemClock;
use fnstream_core::epoch::FunctionId;
use fnstream_core::groups::{Groups, Taking};
use fnstream_core::metadata::Metadata;
use fnstream_core::peers::{Answered, PeerId, Peers, Question};
use fnstream_core::record::TopicPartition;
use fnstream_core::spec::{DesiredState, FunctionSpec};
use fnstream_core::test_util::mem_artifacts::MemArtifacts;
use fnstream_core::test_util::suites::artifacts::ArtifactsHarness;
use fnstream_core::test_util::suites::metadata::MetadataHarness;
use fnstream_core::test_util::suites::peers::PeersHarness;
use fnstream_core::test_util::suites::{self};
use fnstream_core::topic::Cluster as Named;
use fnstream_core::waker::Waker;
use fnstream_core::{Error, ErrorCode};
use fnstream_frame::RecordRef;
use fnstream_kafka::{Exchange, KafkaArtifacts, KafkaGroups, KafkaPeers, KafkaRegister, KafkaTopics, Options};
use parking_lot::Mutex;

use crate::cluster::{Cluster, bootstrap, unique};

fn options(bootstrap: &str, namespace: &str, process: &str) -> Options {
    Options {
        cluster: Named::own(),
        properties: Cluster::at(bootstrap).properties(),
        server: "server".into(),
        connection: String::new(),
        process: process.to_owned(),
        sharing: None,
        incarnation: String::new(),
        namespace: format!("{namespace}."),
        replication: Some(1),
        lanes: 1,
    }
}

fn spec(name: String, replicas: u32) -> FunctionSpec {
    let inputs = vec![vec!["in".into()]];
    FunctionSpec { name, artifact: "ab".repeat(32), inputs, replicas, ..FunctionSpec::default() }
}

struct Register {
    options: Options,
    register: Arc<KafkaRegister>,
}

impl Register {
    fn open(options: &Options) -> Arc<KafkaRegister> {
        Arc::new(KafkaRegister::open(options, Arc::new(SystemClock::new())).unwrap())
    }
}

impl MetadataHarness for Register {
    fn metadata(&self) -> Arc<dyn Metadata> {
        self.register.clone()
    }

    fn fork(&self, _of: FunctionId) -> FunctionId {
        self.register.take_id().unwrap()
    }

    fn reopen(&mut self) {
        self.register = Register::open(&self.options);
    }
}

#[test]
fn the_register_keeps_its_contract() {
    let Some(bootstrap) = bootstrap() else { return };
    suites::run(suites::metadata::CHECKS, || {
        let options = options(&bootstrap, &unique(), "a");
        let register = Register::open(&options);
        Box::new(Register { options, register })
    });
}

/// Each change is based on the latest, whichever process makes it, and all processes see the same in the end.
#[test]
fn processes_that_change_the_register_at_once_lose_nothing() {
    const CHANGES: usize = 10;
    let Some(bootstrap) = bootstrap() else { return };
    let namespace = unique();
    let open = |process: &str| Register::open(&options(&bootstrap, &namespace, process));
    let processes = [open("a"), open("b"), open("c")];
    processes[0].create(spec("shared".into(), 1), DesiredState::Running).unwrap();
    std::thread::scope(|scope| {
        for (number, register) in processes.iter().enumerate() {
            scope.spawn(move || {
                for change in 0..CHANGES {
                    register.create(spec(format!("f-{number}-{change}"), 1), DesiredState::Running).unwrap();
                    loop {
                        let entry = register.get("shared").unwrap().unwrap();
                        let next = spec("shared".into(), entry.spec.replicas + 1);
                        match register.update(next, DesiredState::Running, entry.revision, None) {
                            Ok(_) => break,
                            Err(error) => assert_eq!(error.code, ErrorCode::FunctionChanged, "{error}"),
                        }
                    }
                }
            });
        }
    });
    let late = open("d");
    for register in processes.iter().chain([&late]) {
        // Reading what is not there waits for what is.
        assert_eq!(register.get("nobody").unwrap(), None);
        let all = register.list().unwrap();
        assert_eq!(all.len(), 1 + 3 * CHANGES);
        let ids: std::collections::BTreeSet<_> = all.iter().map(|entry| entry.id).collect();
        assert_eq!(ids.len(), all.len(), "an id was given twice");
        let shared = all.iter().find(|entry| entry.spec.name == "shared").unwrap();
        assert_eq!((shared.revision as usize, shared.spec.replicas as usize), (1 + 3 * CHANGES, 1 + 3 * CHANGES));
    }
}

#[test]
fn what_is_left_of_a_removed_function_is_known_until_it_is_tidied() {
    let Some(bootstrap) = bootstrap() else { return };
    let namespace = unique();
    let (a, b) =
        (Register::open(&options(&bootstrap, &namespace, "a")), Register::open(&options(&bootstrap, &namespace, "b")));
    let entry = a.create(spec("f".into(), 1), DesiredState::Running).unwrap();
    a.remove("f", 1).unwrap();
    assert_eq!(b.get("f").unwrap(), None);
    assert_eq!(b.name_of(entry.id).as_deref(), Some("f"));
    let refused = b.tidy(|_, _| Err(Error::new(ErrorCode::Unavailable, "not now")));
    assert_eq!(refused.unwrap_err().code, ErrorCode::Unavailable);
    b.tidy(|_, _| Ok(false)).unwrap();
    assert_eq!(a.removed(), [(entry.id, "f".to_owned())].into(), "it was too early");
    let mut tidied = Vec::new();
    b.tidy(|id, name| {
        tidied.push((id, name.to_owned()));
        Ok(true)
    })
    .unwrap();
    assert_eq!(tidied, [(entry.id, "f".to_owned())]);
    assert_eq!(b.name_of(entry.id), None);
    a.tidy(|_, _| panic!("it was tidied already")).unwrap_or_else(|e| panic!("{e}"));
}

struct Shelf {
    options: Options,
    local: MemArtifacts,
    artifacts: Arc<KafkaArtifacts>,
}

impl Shelf {
    fn open(options: &Options, local: &MemArtifacts, grace: Duration) -> Arc<KafkaArtifacts> {
        let (local, clock) = (Arc::new(local.clone()), Arc::new(SystemClock::new()));
        Arc::new(KafkaArtifacts::open(options, local, grace, clock).unwrap())
    }
}

impl ArtifactsHarness for Shelf {
    fn artifacts(&self) -> Arc<dyn Artifacts> {
        self.artifacts.clone()
    }

    fn damage(&self, digest: &str) {
        self.local.damage(digest);
    }

    fn reopen(&mut self) {
        self.local.kill();
        self.artifacts = Shelf::open(&self.options, &self.local, Duration::ZERO);
    }
}

#[test]
fn artifacts_keep_their_contract() {
    let Some(bootstrap) = bootstrap() else { return };
    // What is damaged on the disk is healed from the topic.
    let checks = suites::artifacts::CHECKS
        .iter()
        .filter(|check| check.name != "a_damaged_artifact_is_never_given_and_is_healed");
    for check in checks {
        suites::run::<dyn ArtifactsHarness>(std::slice::from_ref(check), || {
            let (options, local) = (options(&bootstrap, &unique(), "a"), MemArtifacts::default());
            let artifacts = Shelf::open(&options, &local, Duration::ZERO);
            Box::new(Shelf { options, local, artifacts })
        });
    }
}

#[test]
fn an_artifact_reaches_every_process_and_heals_every_disk() {
    let Some(bootstrap) = bootstrap() else { return };
    let namespace = unique();
    let open = |process: &str, local: &MemArtifacts, grace| {
        Shelf::open(&options(&bootstrap, &namespace, process), local, grace)
    };
    let (here, there) = (MemArtifacts::default(), MemArtifacts::default());
    let hour = Duration::from_secs(3600);
    let (a, b) = (open("a", &here, hour), open("b", &there, hour));
    // More than one piece, and less than a whole one at the end.
    let bytes: Vec<u8> = (0..1_300_000u32).map(|n| (n % 251) as u8).collect();
    let digest = a.put(&bytes).unwrap().digest().to_owned();
    assert!(b.get(&digest).unwrap() == bytes, "other bytes");
    there.damage(&digest);
    assert!(b.get(&digest).unwrap() == bytes, "a disk that has changed them");
    assert_eq!(b.list().unwrap(), std::slice::from_ref(&digest));
    // Somebody may be about to use it.
    assert_eq!(b.sweep(&mut || Ok(Default::default())).unwrap(), 0);
    let hasty = open("c", &MemArtifacts::default(), Duration::ZERO);
    assert_eq!(hasty.sweep(&mut || Ok(Default::default())).unwrap(), 1);
    assert_eq!(a.list().unwrap(), Vec::<String>::new());
    assert_eq!(hasty.get(&digest).unwrap_err().code, ErrorCode::ArtifactNotFound);
}

/// Processes that reach each other within this one.
#[derive(Clone, Default)]
struct Direct(Arc<Mutex<HashMap<String, Arc<KafkaPeers>>>>);

impl Exchange for Direct {
    fn ask(&self, address: &str, peer: &PeerId, question: Question, done: Answered) {
        let asked = self.0.lock().get(address).cloned();
        match asked.and_then(|asked| asked.desk()) {
            Some(desk) => desk.ask(question, done),
            None => done(Err(Error::new(ErrorCode::PeerUnavailable, format!("nobody is '{}'", peer.0)))),
        }
    }
}

struct Group {
    bootstrap: String,
    namespace: String,
    direct: Direct,
}

impl PeersHarness for Group {
    fn join(&mut self, name: &str) -> Arc<dyn Peers> {
        let options = options(&self.bootstrap, &self.namespace, name);
        let exchange = Arc::new(self.direct.clone());
        let peers = Arc::new(KafkaPeers::join(&options, name, Duration::from_secs(4), exchange).unwrap());
        let others: Vec<_> = self.direct.0.lock().values().cloned().collect();
        self.direct.0.lock().insert(name.to_owned(), peers.clone());
        let until = std::time::Instant::now() + crate::cluster::PATIENCE;
        while !others.iter().all(|other| other.alive().contains(&peers.me()) && peers.alive().contains(&other.me())) {
            assert!(std::time::Instant::now() < until, "a process is not seen");
            std::thread::yield_now();
        }
        peers
    }

    fn kill(&mut self, peer: &PeerId) {
        let found = self.direct.0.lock().extract_if(|_, peers| peers.me() == *peer).next();
        if let Some((_, peers)) = found {
            peers.leave();
        }
    }
}

#[test]
fn processes_find_and_ask_each_other() {
    let Some(bootstrap) = bootstrap() else { return };
    for check in suites::peers::CHECKS.iter().chain(suites::peers::GROUP_CHECKS) {
        suites::run::<dyn PeersHarness>(std::slice::from_ref(check), || {
            Box::new(Group { bootstrap: bootstrap.clone(), namespace: unique(), direct: Direct::default() })
        });
    }
}

/// Of processes that take for one group at the same time each is given other records, and together they are given all.
#[test]
fn no_two_processes_give_a_group_the_same_record() {
    const RECORDS: usize = 60;
    let Some(bootstrap) = bootstrap() else { return };
    let (namespace, cluster) = (unique(), Cluster::at(&bootstrap));
    cluster.create(&format!("{namespace}.in"), 1);
    let at = TopicPartition::new("in", 0);
    for n in 0..RECORDS {
        cluster.append(&format!("{namespace}.in"), 0, &[RecordRef::new(n.to_string().as_bytes())]);
    }
    let process = |name: &str| {
        let topics = KafkaTopics::connect(&options(&bootstrap, &namespace, name)).unwrap();
        KafkaGroups::shared(&topics)
    };
    let processes = [process("a"), process("b"), process("c")];
    let limit = PollLimit { records: 1, bytes: 1 << 20 };
    let mut given: Vec<i64> = std::thread::scope(|scope| {
        let take = |groups: &Arc<KafkaGroups>| {
            let (groups, at) = (groups.clone(), at.clone());
            scope.spawn(move || {
                let mut given = Vec::new();
                loop {
                    let taking = match groups.take("g", std::slice::from_ref(&at), limit, Waker::noop()) {
                        // The broker does not say whether it has moved the group: nothing is given, and all the same nothing is lost.
                        Err(error) if error.code == ErrorCode::Unavailable => continue,
                        taking => taking.unwrap(),
                    };
                    match taking {
                        Taking::Taken(taken) => {
                            given.extend(taken.batch.iter().map(|(position, _)| position.0 as i64));
                            groups.accept(taken.claim);
                        }
                        Taking::Nothing => return given,
                        Taking::Busy => panic!("each process has one consumer"),
                    }
                }
            })
        };
        let takers: Vec<_> = processes.iter().map(take).collect();
        takers.into_iter().flat_map(|taker| taker.join().unwrap()).collect()
    });
    given.sort_unstable();
    assert_eq!(given, (0..RECORDS as i64).collect::<Vec<_>>());
    // One that nobody has overtaken is put back.
    cluster.append(&format!("{namespace}.in"), 0, &[RecordRef::new(b"last")]);
    for _ in 0..2 {
        match processes[0].take("g", std::slice::from_ref(&at), limit, Waker::noop()).unwrap() {
            Taking::Taken(taken) => {
                assert_eq!(taken.batch.iter().next().map(|(position, _)| position.0 as usize), Some(RECORDS));
                processes[0].put_back(taken.claim).unwrap();
            }
            other => panic!("{other:?}"),
        }
    }
}
