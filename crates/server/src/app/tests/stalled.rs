// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Changes of a function while what it has done is not committed yet: it counts wholly, or it is done again.

use fnstream_api::{ConsumeOptions, Function, FunctionUpdate, RollbackRequest};

use super::cluster::{Cluster, LONG, Process};

async fn values(server: &Process, count: usize) -> Vec<String> {
    let options = ConsumeOptions { timeout: Some(LONG), ..ConsumeOptions::default() };
    let mut values = Vec::new();
    for _ in 0..count {
        let event = server.client.consume("out", &options).await.unwrap().unwrap();
        values.push(serde_json::from_slice(&event.json).unwrap());
    }
    values
}

async fn produce(server: &Process, value: &str) {
    server.client.produce("in", value.to_owned(), &Default::default()).await.unwrap();
}

/// A server that runs `f` at its second revision, after one record under each.
async fn at_its_second_revision(cluster: &Cluster) -> Process {
    let server = cluster.start(1).await;
    let digest = server.client.upload_artifact("count").await.unwrap().digest;
    let function = Function::new(format!("sha256:{digest}"), vec!["in".into()], "out");
    server.client.create_function("f", &function).await.unwrap();
    produce(&server, "a").await;
    assert_eq!(values(&server, 1).await, ["a"]);
    server.client.update_function("f", &changed("x")).await.unwrap();
    produce(&server, "b").await;
    assert_eq!(values(&server, 1).await, ["b"]);
    server
}

fn changed(value: &str) -> FunctionUpdate {
    let config = Some([("k".to_owned(), value.to_owned())].into());
    FunctionUpdate { config, ..FunctionUpdate::default() }
}

/// Has an epoch handed in that is not committed.
async fn hand_in(cluster: &Cluster, server: &Process, value: &str) {
    cluster.broker.hold_commits(true);
    produce(server, value).await;
    while cluster.broker.pending_commits().is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_with_state_repeats_no_output_of_an_epoch_under_way() {
    let cluster = Cluster::new();
    let server = at_its_second_revision(&cluster).await;
    hand_in(&cluster, &server, "c").await;
    let back = RollbackRequest { to: 1, with_state: true, reprocess: false };
    let (rolled_back, ()) = tokio::join!(server.client.rollback_function("f", back), async {
        // What was under way may be committed after the tasks were told to end, if anybody lets it.
        server.described("f", "its new revision", |f| f.revision == 3).await;
        cluster.broker.hold_commits(false);
    });
    rolled_back.unwrap();
    produce(&server, "d").await;
    assert_eq!(values(&server, 2).await, ["c", "d"], "each once, whether it counted or was done again");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_that_an_update_keeps_is_what_its_revision_ended_with() {
    let cluster = Cluster::new();
    let server = at_its_second_revision(&cluster).await;
    hand_in(&cluster, &server, "c").await;
    let update = changed("y");
    let (updated, ()) = tokio::join!(server.client.update_function("f", &update), async {
        server.described("f", "its new revision", |f| f.revision == 3).await;
        cluster.broker.hold_commits(false);
    });
    updated.unwrap();
    assert_eq!(values(&server, 1).await, ["c"]);
    // Back to what was kept: c was not part of it, or it is not done again.
    let back = RollbackRequest { to: 2, with_state: true, reprocess: true };
    server.client.rollback_function("f", back).await.unwrap();
    produce(&server, "d").await;
    assert_eq!(values(&server, 2).await, ["c", "d"], "processed again from where the kept state stood");
    let state = server.state("f").await;
    let counts: Vec<_> = state.iter().map(|entry| (entry.key(), entry.value.len())).collect();
    assert_eq!(counts, ["a", "b", "c", "d"].map(|key| (key.to_owned(), 1)), "each record once in the state");
    server.end().await;
}
