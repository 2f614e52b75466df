// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The namespaces and the topics of a bench.

use std::sync::Arc;
use std::time::Duration;

use fnstream_pulsar_client::Client;
use tokio::runtime::Runtime;

use super::admin::Admin;
use super::traffic;
use crate::bench::outside::{Cluster, Place, Sender, Server, Topics, unique};
use crate::bench::target::Outputs;
use crate::failure::Result;

/// How often progress is looked at: the broker pays for each look.
const STEP: Duration = Duration::from_millis(50);

/// An input topic and an output topic of one bench.
pub(super) struct PulsarCluster {
    place: Place,
    /// That of the topics, and that of what a server of ours keeps for itself.
    namespaces: [String; 2],
    unbatched: bool,
    admin: Admin,
    client: Client,
    /// The last: the client needs it until it is gone.
    runtime: Arc<Runtime>,
}

impl PulsarCluster {
    pub(super) fn open(
        runtime: Runtime,
        client: Client,
        admin: Admin,
        url: &str,
        partitions: u32,
        unbatched: bool,
    ) -> Result<Self> {
        let name = unique();
        let namespace = format!("public/{name}");
        let namespaces = [namespace.clone(), format!("{namespace}-server")];
        let place = place(url, &admin, name, &namespaces, partitions);
        let cluster = PulsarCluster { place, namespaces, unbatched, admin, client, runtime: Arc::new(runtime) };
        if let Err(error) = cluster.create() {
            // The first failure says why.
            drop(cluster.made().and_then(|made| cluster.remove(&made)));
            return Err(error);
        }
        Ok(cluster)
    }

    fn create(&self) -> Result {
        let Topics { input, output, partitions, .. } = &self.place.topics;
        self.runtime.block_on(async {
            self.admin.make_namespace(&self.namespaces[0]).await?;
            self.admin.make_topic(input, *partitions).await?;
            self.admin.make_topic(output, *partitions).await
        })
    }
}

fn place(url: &str, admin: &Admin, name: String, [topics, internal]: &[String; 2], partitions: u32) -> Place {
    let verb = ["server", "--pulsar-url", url, "--group", &name].map(str::to_owned).to_vec();
    let topics = Topics::new(name, partitions, |of| format!("{topics}/{of}"));
    let server = Server {
        verb,
        environment: vec![
            ("FUNCTION_STREAM_PULSAR_PROPERTIES", format!("admin_url={}", admin.url())),
            ("FUNCTION_STREAM_PULSAR_INTERNAL_NAMESPACE", internal.clone()),
        ],
        input: topics.input.clone(),
        output: topics.output.clone(),
    };
    let told = vec![("BENCH_URL", url.to_owned()), ("BENCH_ADMIN", admin.url().to_owned())];
    Place { topics, server, told, step: STEP }
}

impl Cluster for PulsarCluster {
    fn place(&self) -> &Place {
        &self.place
    }

    fn done(&self) -> Result<u64> {
        self.runtime.block_on(self.admin.given(&self.place.topics.output))
    }

    fn sender(&self) -> Result<Box<dyn Sender>> {
        let runtime = self.runtime.clone();
        Ok(Box::new(traffic::Sender::open(runtime, &self.client, &self.place.topics, self.unbatched)?))
    }

    fn reader(&self) -> Result<Box<dyn Outputs>> {
        Ok(Box::new(traffic::Reader::open(self.runtime.clone(), &self.client, &self.place.topics)?))
    }

    fn made(&self) -> Result<Vec<String>> {
        Ok(self.namespaces.to_vec())
    }

    fn remove(&self, made: &[String]) -> Result {
        self.runtime.block_on(async {
            // Nothing of it must connect again, which would make topics anew.
            self.client.close().await;
            let mut removed = Ok(());
            for namespace in made {
                removed = removed.and(self.admin.remove_namespace(namespace).await);
            }
            removed
        })
    }
}
