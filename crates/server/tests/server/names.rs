// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Names that are no names, wherever a name is taken.

use crate::support::{Fixture, code};

#[tokio::test(flavor = "multi_thread")]
async fn odd_names_are_refused_and_reach_no_file() {
    let fixture = Fixture::new().await;
    let long = "x".repeat(300);
    let bad = [
        "%2e%2e%2fx",
        "..%2f..%2fetc%2fpasswd",
        "..",
        "%2e",
        ".hidden",
        "-n",
        "a%20b",
        "a%00b",
        "%c3%a4",
        "%ff",
        "a%0ab",
        &long,
    ];
    for name in bad {
        for (method, path) in [
            ("GET", "function"),
            ("DELETE", "function"),
            ("POST", "function"),
            ("GET", "topic"),
            ("POST", "topic"),
            ("DELETE", "topic"),
            ("GET", "consume"),
            ("PUT", "produce"),
        ] {
            let body = r#"{"archive":"a","inputs":["i"],"output":"o"}"#;
            let body = if matches!(path, "topic") { "" } else { body };
            let request = format!(
                "{method} /api/v1/{path}/{name} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            let (status, body) = fixture.raw(request.as_bytes());
            assert_eq!(status, 400, "{method} {path} {name}: {body}");
            assert!(matches!(code(&body).as_str(), "FS-1004" | "FS-1001"), "{method} {path} {name}: {body}");
        }
    }
    assert_eq!(fixture.client.list_topics().await.unwrap(), Vec::<String>::new());

    // The longest name that is allowed works everywhere.
    let longest = "x".repeat(255);
    fixture.client.create_topic(&longest, &Default::default()).await.unwrap();
    fixture.client.produce(&longest, "e", &Default::default()).await.unwrap();
    fixture.client.delete_topic(&longest).await.unwrap();
    fixture.server.shutdown().await.unwrap();
}
