// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What becomes of functions that cannot be started at once, and of those who wait for them.

use std::sync::atomic::Ordering::Relaxed;

use fnstream_api::{Function, FunctionStatus};
use fnstream_core::epoch::FunctionId;
use fnstream_core::spec::{DesiredState, FunctionEntry};

use super::cluster::{Cluster, LONG, Process};

async fn create(server: &Process) {
    let digest = server.client.upload_artifact("count").await.unwrap().digest;
    let function = Function::new(format!("sha256:{digest}"), vec!["in".into()], "out");
    server.client.create_function("f", &function).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_found_no_broker_at_the_start_is_tried_again_by_itself() {
    let cluster = Cluster::new();
    let before = cluster.start(1).await;
    create(&before).await;
    cluster.kill(&before);
    // The first try fails, and the second; two looks are one try.
    cluster.happens.away.store(2, Relaxed);
    let server = cluster.start(2).await;
    let failed = server.client.describe_function("f").await.unwrap();
    assert_eq!((failed.status, failed.error.unwrap().code.as_str()), (FunctionStatus::Failed, "FS-1704"));
    let runs = server.described("f", "running", |f| f.status == FunctionStatus::Running).await;
    assert!(runs.error.is_none() && cluster.happens.away.load(Relaxed) == 0);
    server.end().await;
    drop(before);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_a_function_that_was_gone_before_it_was_looked_at() {
    let cluster = Cluster::new();
    let server = cluster.start(1).await;
    create(&server).await;
    let known = server.app.entry_of("f").await;
    let spec = fnstream_core::spec::FunctionSpec { name: "gone".into(), ..known.spec.clone() };
    let gone = FunctionEntry { id: FunctionId(known.id.0 + 1), desired: DesiredState::Running, spec, ..known };
    let reconciler = &server.app.reconciler;
    for entry in [gone.clone(), FunctionEntry { desired: DesiredState::Stopped, ..gone }] {
        tokio::time::timeout(LONG, reconciler.settled(&entry)).await.expect("settled answers").unwrap();
        tokio::time::timeout(LONG, reconciler.started(&entry)).await.expect("started answers").unwrap();
    }
    server.end().await;
}
