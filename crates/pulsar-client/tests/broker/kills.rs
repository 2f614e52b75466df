// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A broker that is killed, and comes back with what it has on its disk.

use std::process::Command;
use std::sync::Arc;

use fnstream_pulsar_client::{Access, Client, Event, InitialPosition, SubscriptionType};

use crate::harness::{Namespace, PATIENCE, batch, runtime, variable};

/// A broker of its own, which the test may kill.
struct Private {
    folder: tempfile::TempDir,
}

impl Private {
    fn start() -> Private {
        let broker = Private { folder: tempfile::tempdir().unwrap() };
        broker.script("start");
        broker
    }

    /// Runs the project's script on it; gives what it prints.
    fn script(&self, command: &str) -> String {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/pulsar.sh");
        let ended = Command::new(script).args([command, "--at"]).arg(self.folder.path()).output().unwrap();
        assert!(ended.status.success(), "{command}: {}", String::from_utf8_lossy(&ended.stderr));
        String::from_utf8_lossy(&ended.stdout).trim().to_owned()
    }

    fn variable(&self, name: &str) -> String {
        let all = self.script("env");
        let line = all.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap().to_owned()
    }

    fn kill(&self) {
        let pid = std::fs::read_to_string(self.folder.path().join("pid")).unwrap();
        assert!(Command::new("kill").args(["-9", pid.trim()]).status().unwrap().success());
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        self.script("wipe");
    }
}

#[test]
fn what_was_sent_to_a_broker_that_is_killed_is_stored_once_and_received_in_order() {
    if variable("FNSTREAM_PULSAR").is_none() {
        return;
    }
    let broker = Arc::new(Private::start());
    let ns = Namespace::new(broker.variable("FNSTREAM_PULSAR"), broker.variable("FNSTREAM_PULSAR_ADMIN"));
    let test = async {
        ns.policy("deduplication", "true");
        let client: Client = ns.client();
        let topic = ns.topic("t");
        let access = Access::ExclusiveWithFencing;
        let producer = client.producer(&topic).name("p").access(access).create().await.unwrap();
        let consumer = client
            .consumer(&topic)
            .subscription("s")
            .subscription_type(SubscriptionType::Failover)
            .initial_position(InitialPosition::Earliest)
            .subscribe()
            .await
            .unwrap();
        let send = |number: u64| producer.send_batch(number * 2, batch(&["a", "b"]));
        for number in 0..50 {
            send(number).await.unwrap();
        }
        let mut pending: Vec<_> = (50..500).map(send).collect();
        // Part of it is acknowledged, and part of it on its way.
        pending.drain(..50).next_back().unwrap().await.unwrap();
        broker.kill();
        pending.extend((500..600).map(send));
        let again = broker.clone();
        tokio::task::spawn_blocking(move || again.script("start")).await.unwrap();
        for receipt in pending {
            receipt.await.unwrap();
        }
        assert_eq!(producer.last_sequence_id(), Some(1199));
        let (mut next, mut reconnected) = (0, false);
        while next < 1200 {
            match consumer.recv().await.unwrap() {
                Event::Messages(entry) => {
                    for message in &entry.messages {
                        // Again, perhaps, but nothing is left out.
                        assert!(message.sequence_id <= next, "{} instead of {next}", message.sequence_id);
                        next = next.max(message.sequence_id + 1);
                    }
                }
                Event::Reconnected => reconnected = true,
                _ => {}
            }
        }
        assert!(reconnected);
        let reader = client.reader(&topic).open().await.unwrap();
        for sequence_id in 0..1200 {
            assert_eq!(reader.next().await.unwrap().sequence_id, sequence_id);
        }
        assert!(!reader.has_more().await.unwrap());
    };
    // The broker takes its time to start.
    runtime().block_on(async { tokio::time::timeout(PATIENCE * 4, test).await.expect("the test takes too long") });
}
