// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Two servers over one register and one broker: any of them answers any request, and one that dies is missed by nobody.

use std::collections::BTreeMap;
use std::time::Instant;

use fnstream_api::{
    ConsumeOptions, DeadLetterDrop, DeadLetterSelection, ExecRequest, Function, FunctionDescription, FunctionStatus,
    FunctionUpdate, LogOptions, ProduceOptions, TaskStatus, TopicRequest,
};
use fnstream_core::record::partition_for_key;

use super::cluster::{Cluster, LONG, Process};

/// Keys of partition 0 and of partition 1.
fn key(partition: u32) -> String {
    (0..).map(|n| format!("k{n}")).find(|key| partition_for_key(key.as_bytes(), 2) == partition).unwrap()
}

async fn produce(server: &Process, partition: u32, value: &str) {
    let options = ProduceOptions { key: Some(key(partition).into_bytes()), ..ProduceOptions::default() };
    server.client.produce("in", value.to_owned(), &options).await.unwrap();
}

/// The next so many values of `out`, in order.
async fn consumed(server: &Process, count: usize) -> Vec<String> {
    let options = ConsumeOptions { timeout: Some(LONG), ..ConsumeOptions::default() };
    let mut values = Vec::new();
    while values.len() < count {
        let event = server.client.consume("out", &options).await.unwrap().unwrap();
        values.push(serde_json::from_slice(&event.json).unwrap());
    }
    values.sort();
    values
}

fn runs_both(function: &FunctionDescription) -> bool {
    let tasks: Vec<_> = function.tasks.iter().map(|task| (task.index, task.status)).collect();
    function.status == FunctionStatus::Running && tasks == [(0, TaskStatus::Running), (1, TaskStatus::Running)]
}

/// Two servers that share the tasks of `f`, which was made on the first.
async fn both(cluster: &Cluster) -> (Process, Process) {
    let (a, b) = (cluster.start(1).await, cluster.start(2).await);
    let two = TopicRequest { partitions: Some(2), ..TopicRequest::default() };
    for topic in ["in", "out"] {
        a.client.create_topic(topic, &two).await.unwrap();
    }
    let digest = b.client.upload_artifact("count").await.unwrap().digest;
    let function = Function { replicas: 2, ..Function::new(format!("sha256:{digest}"), vec!["in".into()], "out") };
    a.client.create_function("f", &function).await.unwrap();
    // The first has all until the second has joined.
    let until = Instant::now() + LONG;
    while (a.own_tasks("f").await, b.own_tasks("f").await) != (vec![0], vec![1]) {
        assert!(Instant::now() < until, "the tasks are not shared");
    }
    for server in [&a, &b] {
        server.described("f", "both tasks running", runs_both).await;
    }
    (a, b)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wanted_on_one_server_is_done_by_both() {
    let cluster = Cluster::new();
    let (a, b) = both(&cluster).await;
    for value in ["one", "two"] {
        produce(&a, 0, &format!("{value} of a")).await;
        produce(&a, 1, &format!("{value} of b")).await;
    }
    assert_eq!(consumed(&b, 4).await, ["one of a", "one of b", "two of a", "two of b"]);
    let summary = |of: Vec<fnstream_api::FunctionSummary>| (of[0].records_in, of[0].lag);
    a.described("f", "all committed", |f| f.tasks.iter().map(|task| task.records_in).sum::<u64>() == 4).await;
    for server in [&a, &b] {
        assert_eq!(summary(server.client.status(None).await.unwrap()), (4, Some(0)), "counted in both processes");
    }

    let stopped = b.client.stop_function("f").await.unwrap();
    assert_eq!((stopped.status, stopped.tasks.len()), (FunctionStatus::Stopped, 0));
    assert_eq!(a.client.describe_function("f").await.unwrap().status, FunctionStatus::Stopped);
    assert_eq!((a.own_tasks("f").await.len(), b.own_tasks("f").await.len()), (0, 0));
    let refused = a.client.custom("f", 1, "x").await.unwrap_err();
    assert_eq!(refused.code(), "FS-1105");

    produce(&b, 0, "three").await;
    b.client.start_function("f").await.unwrap();
    a.described("f", "both tasks running again", runs_both).await;
    assert_eq!(consumed(&a, 1).await, ["three"]);

    b.client.delete_function("f").await.unwrap();
    assert_eq!(a.client.describe_function("f").await.unwrap_err().code(), "FS-1102");
    for server in [a, b] {
        server.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_reached_from_any_server() {
    let cluster = Cluster::new();
    let (a, b) = both(&cluster).await;
    for server in [&a, &b] {
        for task in 0..2 {
            let answer = server.client.custom("f", task, format!("to {task}")).await.unwrap();
            assert_eq!(answer, format!("to {task}"));
        }
        let none = server.client.custom("f", 7, "x").await.unwrap_err();
        assert!(none.to_string().contains("has no task 7 that runs, but [0, 1]"), "{none}");
        let modules = ExecRequest { class_name: "C".into(), modules: Vec::new() };
        server.client.exec("f", &modules).await.unwrap();
    }

    // Dead letters of the task of the other server.
    for value in ["poison 1", "poison 2", "good"] {
        produce(&a, 1, value).await;
    }
    assert_eq!(consumed(&a, 1).await, ["good"]);
    let listed = a.client.list_dead_letters("f", 10).await.unwrap();
    assert_eq!((listed.waiting, listed.dead_letters.len()), (Some(2), 2));
    assert!(listed.dead_letters.iter().all(|dead_letter| dead_letter.partition == 1), "{listed:?}");
    let replayed = a.client.replay_dead_letters("f", &DeadLetterSelection::default()).await.unwrap();
    assert_eq!((replayed.failed_again, replayed.waiting, replayed.finished), (2, 2, true));
    let dropped =
        a.client.drop_dead_letters("f", &DeadLetterDrop { count: Some(1), ..DeadLetterDrop::default() }).await.unwrap();
    assert_eq!((dropped.dropped, dropped.waiting), (1, 1));

    // What each process says of its own part of the function is one log.
    let started = |page: &fnstream_api::LogPage| page.lines.iter().filter(|line| line.text.contains("started")).count();
    let page = a.client.function_logs("f", &LogOptions::default()).await.unwrap();
    assert!(started(&page) == 2 && page.next.contains("server-2="), "{page:?}");
    let after = LogOptions { after: Some(page.next.clone()), ..LogOptions::default() };
    assert_eq!(a.client.function_logs("f", &after).await.unwrap().lines.len(), 0, "all of it was read");

    // The state of all tasks.
    let state = a.state("f").await;
    assert_eq!(state.iter().map(|entry| (entry.task, entry.key())).collect::<Vec<_>>(), [(1, "good".to_owned())]);
    for server in [a, b] {
        server.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_changes_on_two_servers_one_wins_and_the_other_hears_of_it() {
    let cluster = Cluster::new();
    let (a, b) = both(&cluster).await;
    for round in 0..5 {
        let config = |who: &str| FunctionUpdate {
            config: Some([("who".to_owned(), format!("{who} {round}"))].into()),
            ..FunctionUpdate::default()
        };
        let (on_a, on_b) = (config("a"), config("b"));
        let (one, other) = tokio::join!(a.client.update_function("f", &on_a), b.client.update_function("f", &on_b));
        let results = [one, other];
        assert!(results.iter().any(Result::is_ok), "{results:?}");
        for refused in results.into_iter().filter_map(Result::err) {
            assert_eq!(refused.code(), "FS-1104", "{refused}");
        }
        let seen_by_a = a.described("f", "both tasks running", runs_both).await;
        let seen_by_b = b.described("f", "both tasks running", runs_both).await;
        assert_eq!((seen_by_a.revision, seen_by_a.config), (seen_by_b.revision, seen_by_b.config));
    }
    for server in [a, b] {
        server.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_one_server_dies_the_other_goes_on_with_everything_exactly_once() {
    let cluster = Cluster::new();
    let (a, b) = both(&cluster).await;
    let mut expected = Vec::new();
    for n in 0..40 {
        let value = format!("{n:03}");
        produce(&b, n % 2, &value).await;
        expected.push(value);
        if n == 20 {
            cluster.kill(&a);
        }
    }
    let until = Instant::now() + LONG;
    while b.own_tasks("f").await != [0, 1] {
        assert!(Instant::now() < until, "what the dead server ran is not taken over");
    }
    assert_eq!(consumed(&b, 40).await, expected);
    let nothing = ConsumeOptions { timeout: Some(std::time::Duration::ZERO), ..ConsumeOptions::default() };
    assert!(b.client.consume("out", &nothing).await.unwrap().is_none(), "nothing came twice");
    let state = b.state("f").await;
    let counts: BTreeMap<_, _> = state.iter().map(|entry| (entry.key(), entry.value.len())).collect();
    assert_eq!((counts.len(), counts.values().copied().max()), (40, Some(1)), "and the state counts each once");
    assert_eq!(b.client.custom("f", 0, "x").await.unwrap(), "x");
    b.client.stop_function("f").await.unwrap();
    b.end().await;
    drop(a);
}
