// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What people get wrong about a cluster, and the exact words that they are told.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use fnstream_core::broker::Broker;
use fnstream_core::error::ErrorCode;
use fnstream_core::topic::{Cluster, Topic};
use fnstream_kafka::{Kafka, Options, Properties};

use crate::cluster::{Cluster as Clients, bootstrap, unique};

/// What looking up a topic is answered, with the address taken out.
fn refusal(bootstrap: &str, topic: &str, given: &[(&str, &str)]) -> (ErrorCode, String) {
    let given: BTreeMap<_, _> = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let properties = Properties::new(bootstrap, &given).unwrap();
    let (cluster, server) = (Cluster::own(), "server".to_owned());
    let options = Options {
        cluster,
        properties,
        server,
        namespace: String::new(),
        connection: String::new(),
        process: String::new(),
        sharing: None,
        incarnation: String::new(),
        replication: None,
        lanes: 1,
    };
    let kafka = Kafka::connect(options).unwrap();
    let error = kafka.partitions(&Topic::own(topic)).unwrap_err();
    let message = error.message.replace(bootstrap, "ADDRESS");
    // How long it took is told too.
    let message = message.split(" (after ").next().unwrap_or_default().to_owned();
    (error.code, message)
}

fn of(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: see scripts/kafka.sh env"))
}

#[test]
fn a_closed_port_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = listener.local_addr().unwrap().to_string();
    drop(listener);
    let (code, message) = refusal(&closed, "t", &[]);
    let expected = "looking up topic 't': ADDRESS/bootstrap: Connect to ipv4#ADDRESS failed: Connection refused";
    assert_eq!((code, message.as_str()), (ErrorCode::Unavailable, expected));
}

#[test]
fn a_port_of_something_else_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            use std::io::{Read, Write};
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 100]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let (code, message) = refusal(&address, "t", &[]);
    let expected = "looking up topic 't': ADDRESS/bootstrap: Receive failed: Invalid response size 1213486160 (0..100000000): \
                    increase receive.message.max.bytes";
    assert_eq!((code, message.as_str()), (ErrorCode::BrokerProtocol, expected));
}

#[test]
fn tls_to_a_plain_port_and_the_other_way_round_is_told() {
    let Some(bootstrap) = bootstrap() else { return };
    let (code, message) = refusal(&bootstrap, "t", &[("security.protocol", "ssl")]);
    let expected = "looking up topic 't': ssl://ADDRESS/bootstrap: SSL handshake failed: Disconnected: SSL connection closed by peer: \
                    connecting to a PLAINTEXT broker listener?";
    assert_eq!((code, message.as_str()), (ErrorCode::BrokerProtocol, expected));
    let begun = Instant::now();
    let (code, message) = refusal(&of("FNSTREAM_KAFKA_SSL"), "t", &[]);
    let expected = "looking up topic 't': ADDRESS/bootstrap: Disconnected: connection closed by peer: receive 0 after POLLIN: the \
                    broker is away, or the port is one of TLS, see security.protocol";
    // A proxy whose broker is away does the same, so it is tried again.
    assert_eq!((code, message.as_str()), (ErrorCode::Unavailable, expected));
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    let (code, message) = refusal(&of("FNSTREAM_KAFKA_SSL"), "t", &[("security.protocol", "ssl")]);
    let expected = "looking up topic 't': ssl://ADDRESS/bootstrap: SSL handshake failed: error:0A000086:SSL routines::certificate \
                    verify failed: broker certificate could not be verified, verify that ssl.ca.location is correctly configured \
                    or root CA certificates are installed (install ca-certificates package)";
    assert_eq!((code, message.as_str()), (ErrorCode::BrokerProtocol, expected));
}

#[test]
fn tls_with_the_right_ca_is_spoken() {
    let Some(_) = bootstrap() else { return };
    let given = [("security.protocol", "ssl"), ("ssl.ca.location", &of("FNSTREAM_KAFKA_CA"))];
    assert_eq!(refusal(&of("FNSTREAM_KAFKA_SSL"), "nowhere", &given).0, ErrorCode::TopicNotFound);
}

fn sasl<'a>(mechanism: &'a str, user: &'a str, password: &'a str) -> [(&'a str, &'a str); 4] {
    [
        ("security.protocol", "sasl_plaintext"),
        ("sasl.mechanism", mechanism),
        ("sasl.username", user),
        ("sasl.password", password),
    ]
}

#[test]
fn every_mechanism_lets_in_and_refuses() {
    let Some(_) = bootstrap() else { return };
    let address = of("FNSTREAM_KAFKA_SASL");
    let scram = "Authentication failed during authentication due to invalid credentials with SASL mechanism";
    for (mechanism, why) in [
        ("PLAIN", "Authentication failed: Invalid username or password".to_owned()),
        ("SCRAM-SHA-256", format!("{scram} SCRAM-SHA-256")),
        ("SCRAM-SHA-512", format!("{scram} SCRAM-SHA-512")),
    ] {
        let (code, message) = refusal(&address, "nowhere", &sasl(mechanism, "admin", "admin-secret"));
        assert_eq!(code, ErrorCode::TopicNotFound, "{mechanism}: {message}");
        let (code, message) = refusal(&address, "nowhere", &sasl(mechanism, "admin", "wrong"));
        let expected =
            format!("looking up topic 'nowhere': sasl_plaintext://ADDRESS/bootstrap: SASL authentication error: {why}");
        assert_eq!((code, message), (ErrorCode::BrokerLogin, expected), "{mechanism}");
    }
}

#[test]
fn rights_that_are_missing_are_told() {
    let Some(bootstrap) = bootstrap() else { return };
    let topic = unique();
    Clients::at(&bootstrap).create(&topic, 1);
    let (code, message) = refusal(&of("FNSTREAM_KAFKA_SASL"), &topic, &sasl("PLAIN", "guest", "guest-secret"));
    let message = message.replace(&topic, "TOPIC");
    let expected = "looking up topic 'TOPIC': TopicAuthorizationFailed (Broker: Topic authorization failed)";
    assert_eq!((code, message.as_str()), (ErrorCode::BrokerForbidden, expected));
}

#[test]
fn names_and_topics_that_are_not_there_are_told() {
    let Some(bootstrap) = bootstrap() else { return };
    let expected = "Kafka takes no topic of the name 'a/b': it may hold ASCII letters, digits, '.', '_' and '-'";
    assert_eq!(refusal(&bootstrap, "a/b", &[]), (ErrorCode::InvalidName, expected.to_owned()));
    let expected = "Kafka has no topic 'no-such-topic'";
    assert_eq!(refusal(&bootstrap, "no-such-topic", &[]), (ErrorCode::TopicNotFound, expected.to_owned()));
}
