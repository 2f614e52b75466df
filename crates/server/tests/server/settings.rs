// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Limits, error policies and grants of functions.

use fnstream_api::units::Quantity;
use fnstream_api::{FileGrant, Function, FunctionStatus, Limits, OnError, OnErrorAction};

use crate::support::{Fixture, echo};

fn text(quantity: &Option<Quantity>) -> String {
    quantity.as_ref().map(Quantity::to_string).unwrap_or_default()
}

#[tokio::test]
async fn what_is_not_given_is_shown_with_its_default() {
    let fixture = Fixture::new().await;
    let function = fixture.function(echo(), "in", "out").await;
    let described = fixture.client.create_function("f", &function).await.unwrap();
    let limits = &described.limits;
    assert_eq!((text(&limits.memory), text(&limits.call_time)), ("256MiB".into(), "10s".into()));
    assert_eq!((limits.records_per_input, text(&limits.state)), (Some(10_000), "none".into()));
    let policy = &described.on_error;
    assert_eq!((policy.action, policy.retries), (Some(OnErrorAction::DeadLetter), Some(1)));
    assert_eq!(policy.dead_letter_topic.as_deref(), Some("f.dlq"));
    assert!(described.env.is_empty() && described.files.is_empty());
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_is_given_is_kept_over_a_restart() {
    let fixture = Fixture::new().await;
    let function = fixture.function(echo(), "in", "out").await;
    let mut limits = Limits::default();
    for (name, value) in [("memory", "64MiB"), ("call-time", "2500ms"), ("state", "1GiB")] {
        limits.set(name, value).unwrap();
    }
    let on_error = OnError { action: Some(OnErrorAction::Stop), retries: Some(4), ..OnError::default() };
    let env = [("REGION".to_owned(), "eu".to_owned())].into();
    let created = fixture.client.create_function("f", &Function { limits, on_error, env, ..function }).await.unwrap();
    assert_eq!((text(&created.limits.memory), text(&created.limits.call_time)), ("64MiB".into(), "2500ms".into()));
    assert_eq!((text(&created.limits.state), text(&created.limits.record)), ("1GiB".into(), "1MiB".into()));
    assert_eq!((created.on_error.action, created.on_error.retries), (Some(OnErrorAction::Stop), Some(4)));
    assert_eq!((created.on_error.dead_letter_topic.as_deref(), created.env["REGION"].as_str()), (None, "eu"));

    let fixture = fixture.restart().await;
    let described = fixture.client.describe_function("f").await.unwrap();
    assert_eq!((&described.limits, &described.on_error), (&created.limits, &created.on_error));
    assert_eq!(described.env, created.env);
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_folder_is_granted_only_where_the_server_allows_it() {
    let lists = tempfile::tempdir().unwrap();
    let open = lists.path().canonicalize().unwrap();
    let fixture = Fixture::with(|config| config.files_dirs = vec![open.clone()]).await;
    let function = fixture.function(echo(), "in", "out").await;
    let grant =
        |host: &std::path::Path| FileGrant { host: host.to_str().unwrap().into(), guest: Some("/lists".into()) };
    let outside = Function { files: vec![grant(fixture.folder.path())], ..function.clone() };
    let error = fixture.client.create_function("f", &outside).await.unwrap_err();
    assert_eq!(error.code(), "FS-1108", "{error}");
    assert_eq!(fixture.client.list_functions().await.unwrap(), Vec::<String>::new(), "nothing is left of it");
    let inside = Function { files: vec![grant(&open)], ..function };
    let created = fixture.client.create_function("f", &inside).await.unwrap();
    assert_eq!(created.files, inside.files);

    // The next start does not allow it any more.
    let fixture = fixture.restart().await;
    let described = fixture.described("f", |f| f.status != FunctionStatus::Starting).await;
    assert_eq!(described.status, FunctionStatus::Failed);
    assert_eq!(described.error.unwrap().code, "FS-1108");
    let error = fixture.client.start_function("f").await.unwrap_err();
    assert_eq!(error.code(), "FS-1108", "{error}");
    fixture.server.shutdown().await.unwrap();
}
