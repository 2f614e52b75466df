// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Functions that read and write in two clusters: the server's own, and one that is named `abroad`.

use std::sync::Arc;
use std::sync::mpsc::channel;

use bytes::Bytes;
use fnstream_api::{Function, FunctionStatus, FunctionUpdate, TopicRequest};
use fnstream_core::broker::PollLimit;
use fnstream_core::epoch::FunctionId;
use fnstream_core::record::{Position, Positions, TopicPartition};
use fnstream_core::spec::FunctionEntry;
use fnstream_core::state::StateStores;
use fnstream_core::test_util::mem_broker::{MemBroker, MemClient, MemGroups};
use fnstream_core::topic::{Cluster, Topic, TopicRef};
use fnstream_core::topics::{Retention, Topics};
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_engine::EpochBounds;
use fnstream_frame::{FrameBuilder, RecordRef};

use super::cluster::{self, LONG, Process};
use crate::clusters::{Follower, ForClients, ForFunction, Foreign, Properties};

/// The other cluster, as one server reaches it.
pub(super) struct Abroad {
    pub(super) broker: MemBroker,
    pub(super) client: Arc<MemClient>,
    pub(super) number: u32,
    pub(super) states: Arc<dyn StateStores>,
}

/// Groups of this cluster show nothing.
struct NobodyFollows;

impl Follower for NobodyFollows {
    fn reached(&self, _: FunctionId, _: &Positions) {}
}

impl Foreign for Abroad {
    fn check(&self, cluster: &Cluster) -> Result<()> {
        match cluster.as_str() {
            "abroad" => Ok(()),
            other => Err(Error::new(ErrorCode::ClusterUnknown, format!("'{other}' is not known"))),
        }
    }

    fn check_for_functions(&self, cluster: &Cluster, _: &Properties) -> Result<()> {
        self.check(cluster)
    }

    fn for_clients(&self, _: &Cluster, _: &Properties) -> Result<ForClients> {
        let groups = Arc::new(MemGroups::new(&self.broker, self.number));
        Ok(ForClients { topics: Arc::new(self.broker.clone()), groups })
    }

    fn for_function(&self, _: &Cluster, _: &FunctionEntry) -> Result<ForFunction> {
        Ok(ForFunction {
            broker: self.client.clone(),
            committer: self.client.clone(),
            state_stores: self.states.clone(),
            tasks: Arc::new(self.broker.clone()),
            epoch: EpochBounds::default(),
            follower: Arc::new(NobodyFollows),
        })
    }

    fn forget(&self, _: &Cluster, _: &FunctionEntry, _: bool) -> Result<()> {
        Ok(())
    }
}

pub(super) fn topic(text: &str) -> Topic {
    text.parse().unwrap()
}

/// Writes a value to partition 0.
pub(super) fn write(at: &MemBroker, name: &str, value: &str) {
    let mut frame = FrameBuilder::new();
    frame.push(RecordRef::new(value.as_bytes()));
    let (send, done) = channel();
    Topics::append(
        at,
        &topic(name),
        Some(0),
        Bytes::from(frame.to_bytes()),
        Box::new(move |appended| drop(send.send(appended))),
    );
    done.recv_timeout(LONG).unwrap().unwrap();
}

/// All values of partition 0.
pub(super) fn values(at: &MemBroker, name: &str) -> Vec<String> {
    let partition = TopicPartition::new(topic(name), 0);
    let (mut values, mut from) = (Vec::new(), Position::START);
    while let Some(batch) = Topics::read(at, &partition, from, PollLimit { records: 100, bytes: 1 << 20 }).unwrap() {
        values.extend(batch.iter().map(|(_, record)| String::from_utf8_lossy(record.bytes()).into_owned()));
        from = batch.end().unwrap();
    }
    values
}

pub(super) async fn one_server() -> (cluster::Cluster, Process) {
    let cluster = cluster::Cluster::new();
    let server = cluster.start(1).await;
    (cluster, server)
}

async fn create(server: &Process, inputs: &[&str], output: &str) {
    let digest = server.client.upload_artifact("count").await.unwrap().digest;
    let output: TopicRef = output.parse().unwrap();
    let mut function = Function::new(format!("sha256:{digest}"), Vec::new(), output);
    function.groups = vec![inputs.iter().map(|input| input.parse().unwrap()).collect()];
    server.client.create_function("f", &function).await.unwrap();
    server.described("f", "it runs", |f| f.status == FunctionStatus::Running).await;
}

async fn consumed(server: &Process, count: u64) {
    server.described("f", "all consumed", |f| f.tasks.iter().map(|task| task.records_in).sum::<u64>() == count).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn inputs_of_two_clusters_are_read_by_one_task() {
    let (cluster, server) = one_server().await;
    cluster.abroad.create(&topic("in@abroad"), 1, Retention::default()).unwrap();
    server.client.create_topic("in", &TopicRequest::default()).await.unwrap();
    create(&server, &["in", "in@abroad"], "out").await;
    for n in 0..3 {
        write(&cluster.broker, "in", &format!("own {n}"));
        write(&cluster.abroad, "in@abroad", &format!("abroad {n}"));
    }
    consumed(&server, 6).await;
    let mut seen = values(&cluster.broker, "out");
    seen.sort();
    assert_eq!(seen, ["abroad 0", "abroad 1", "abroad 2", "own 0", "own 1", "own 2"]);
    // What it has read abroad is kept at home.
    server.client.stop_function("f").await.unwrap();
    write(&cluster.abroad, "in@abroad", "later");
    server.client.start_function("f").await.unwrap();
    consumed(&server, 7).await;
    assert_eq!(values(&cluster.broker, "out")[6..], ["later"]);
    assert_eq!(server.state("f").await.len(), 7);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_commits_where_its_outputs_are() {
    let (cluster, server) = one_server().await;
    create(&server, &["in"], "out@abroad").await;
    for value in ["one", "poison", "two"] {
        write(&cluster.broker, "in", value);
    }
    consumed(&server, 3).await;
    assert_eq!(values(&cluster.abroad, "out@abroad"), ["one", "two"]);
    assert_eq!(values(&cluster.abroad, "f.dlq@abroad"), ["poison"], "dead letters follow the home");
    assert_eq!(server.state("f").await.len(), 2, "what is committed abroad is seen");
    let listed = server.client.list_dead_letters("f", 10).await.unwrap();
    assert_eq!((listed.topic.as_str(), listed.dead_letters.len()), ("f.dlq@abroad", 1));
    let described = server.client.describe_function("f").await.unwrap();
    assert_eq!(described.tasks[0].partitions[0].position, "3");

    // Its state cannot be copied there, which is told.
    let update =
        FunctionUpdate { config: Some([("a".to_owned(), "b".to_owned())].into()), ..FunctionUpdate::default() };
    server.client.update_function("f", &update).await.unwrap();
    server.described("f", "it runs again", |f| f.status == FunctionStatus::Running).await;
    let request = fnstream_api::RollbackRequest { to: 1, with_state: true, reprocess: false };
    assert_eq!(server.client.rollback_function("f", request).await.unwrap_err().code(), "FS-1112");
    let moved = FunctionUpdate { output: Some("out".into()), ..FunctionUpdate::default() };
    let refused = server.client.update_function("f", &moved).await.unwrap_err();
    assert_eq!(refused.code(), "FS-1103");
    assert!(refused.to_string().contains("outputs cannot move from 'abroad' to the server's own topics"), "{refused}");

    server.client.delete_function("f").await.unwrap();
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_commit_reaches_is_refused() {
    let (_cluster, server) = one_server().await;
    let digest = server.client.upload_artifact("count").await.unwrap().digest;
    for (inputs, outputs, code) in [
        (["in"], &["out", "out@abroad"][..], "FS-1315"),
        (["in@nowhere"], &["out"], "FS-1309"),
        (["in?group_id=g"], &["out"], "FS-1103"),
    ] {
        let mut function = Function::new(format!("sha256:{digest}"), vec![inputs[0].parse().unwrap()], outputs[0]);
        function.output = None;
        function.outputs = outputs.iter().map(|output| output.parse().unwrap()).collect();
        let refused = server.client.create_function("f", &function).await.unwrap_err();
        assert_eq!(refused.code(), code, "{refused}");
    }
    server.end().await;
}
