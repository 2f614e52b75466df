// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Callers at the same time, in a hurry, or gone.

use std::time::{Duration, Instant};

use fnstream_api::grpc::proto::CreateFunctionRequest;
use tonic::{Code, Request};

use super::{Grpc, yaml};
use crate::support::{Fixture, LONG, echo};

#[tokio::test(flavor = "multi_thread")]
async fn of_creates_of_one_name_exactly_one_wins() {
    let fixture = Fixture::new().await;
    let grpc = Grpc::of(&fixture).await;
    let creates: Vec<_> = (0..16)
        .map(|number| {
            let grpc = grpc.clone();
            tokio::spawn(async move { grpc.create(yaml("f", &[&format!("in-{number}")], "out"), echo()).await })
        })
        .collect();
    let mut statuses = Vec::new();
    for create in creates {
        statuses.push(create.await.unwrap().status_code);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [[201].as_slice(), &[409; 15]].concat());
    assert_eq!(grpc.show(None).await.len(), 1);
    fixture.server.shutdown().await.unwrap();
}

fn create(config: String, timeout: Duration) -> Request<CreateFunctionRequest> {
    let request = CreateFunctionRequest {
        config_bytes: config.into(),
        function_bytes: echo().into(),
        ..CreateFunctionRequest::default()
    };
    let mut request = Request::new(request);
    request.set_timeout(timeout);
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_past_its_deadline_is_done_or_not_and_never_half() {
    let fixture = Fixture::new().await;
    let grpc = Grpc::of(&fixture).await;
    let (mut late, mut made) = (0, Vec::new());
    for number in 0u32..40 {
        // From one that nothing can meet to one that is met.
        let timeout = Duration::from_micros(1 << (number / 2));
        let name = format!("f{number}");
        match grpc.0.clone().create_function(create(yaml(&name, &["in"], "out"), timeout)).await {
            Ok(answer) => {
                assert_eq!(answer.into_inner().status_code, 201);
                made.push(name);
            }
            Err(status) => {
                // The client's own clock may run out before the server's answer is there.
                assert!([Code::DeadlineExceeded, Code::Cancelled].contains(&status.code()), "{status:?}");
                late += 1;
            }
        }
    }
    assert!(late > 0, "no deadline was short enough to pass");
    // Whatever is there runs, and whatever is not there can be made: nothing is stuck or left over.
    for number in 0..40 {
        let answer = grpc.create(yaml(&format!("f{number}"), &["in"], "out"), echo()).await;
        assert!([201, 409].contains(&answer.status_code), "{answer:?}");
    }
    for function in grpc.show(None).await {
        grpc.becomes(&function.name, "Running").await;
    }
    assert_eq!(grpc.show(None).await.len(), 40);
    assert_eq!(fixture.artifacts().len(), 1);
    fixture.server.shutdown().await.unwrap();
}

/// The server's own answer, which a client that keeps its deadline itself would not wait for.
#[tokio::test(flavor = "multi_thread")]
async fn the_server_says_that_the_deadline_passed() {
    let fixture = Fixture::new().await;
    let grpc = Grpc::of(&fixture).await;
    let mut request = create(yaml("f", &["in"], "out"), LONG);
    request.metadata_mut().insert("grpc-timeout", "0n".parse().unwrap());
    let status = grpc.0.clone().create_function(request).await.unwrap_err();
    assert!([Code::DeadlineExceeded, Code::Cancelled].contains(&status.code()), "{status:?}");
    assert!(grpc.show(None).await.is_empty(), "work not begun is not begun");
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_hangs_up_leaves_nothing_half() {
    let fixture = Fixture::new().await;
    for number in 0..20 {
        // A connection of its own each time, which goes with the call.
        let grpc = Grpc::of(&fixture).await;
        let mut client = grpc.0.clone();
        let call = tokio::spawn(async move { client.create_function(create(yaml("f", &["in"], "out"), LONG)).await });
        for _ in 0..number * 50 {
            tokio::task::yield_now().await;
        }
        call.abort();
        let _ = call.await;
        drop(grpc);
        let other = Grpc::of(&fixture).await;
        // After whatever is under way: operations on one name go one after the other.
        let answer = other.create(yaml("f", &["in"], "out"), echo()).await;
        assert!([201, 409].contains(&answer.status_code), "{answer:?}");
        let until = Instant::now() + LONG;
        while !other.show(None).await.is_empty() {
            other.drop_function("f").await;
            assert!(Instant::now() < until);
        }
    }
    fixture.server.shutdown().await.unwrap();
}
