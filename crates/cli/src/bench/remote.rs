// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A bench on a server, through its REST interface as any client would: topics and a function of its own are made and
//! removed again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use fnstream_api::{Client, ClientError, ConsumeOptions, Function, TopicRequest};
use fnstream_core::topic::TopicRef;
use fnstream_frame::Frame;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::target::{Outputs, PATIENCE, Target};
use super::{Args, artifact};
use crate::failure::{Failure, Result};

/// Requests that are under way at once.
const MAX_IN_FLIGHT: usize = 64;

/// Records of one consume request.
const MAX_RECORDS: u32 = 65_536;

/// A server that somebody else runs.
pub(super) struct Remote {
    runtime: Arc<Runtime>,
    client: Client,
    /// What everything that is made is called.
    name: String,
    function: Function,
    output: TopicRef,
    room: Arc<Semaphore>,
    sending: JoinSet<std::result::Result<(), ClientError>>,
    readers: AtomicU32,
}

impl Remote {
    pub(super) fn open(url: &str, args: &Args) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let client = Client::new(url)?;
        let name = format!("bench-{:016x}", rand::random::<u64>());
        let (input, output) = (format!("{name}-input"), format!("{name}-output"));
        let archive = runtime.block_on(async {
            let topic = TopicRequest { partitions: Some(args.partitions()), ..TopicRequest::default() };
            for name in [&input, &output] {
                client.create_topic(name, &topic).await?;
            }
            let artifact = artifact::read(args)?;
            Ok::<_, Failure>(format!("sha256:{}", client.upload_artifact(artifact).await?.digest))
        })?;
        let output = TopicRef::from(output);
        let function =
            Function { replicas: args.partitions(), ..Function::new(archive, vec![input.into()], output.clone()) };
        Ok(Remote {
            runtime: Arc::new(runtime),
            client,
            name,
            function,
            output,
            room: Arc::new(Semaphore::new(MAX_IN_FLIGHT)),
            sending: JoinSet::new(),
            readers: AtomicU32::new(0),
        })
    }

    fn reader(&self) -> Reader {
        let number = self.readers.fetch_add(1, Ordering::Relaxed);
        Reader {
            runtime: self.runtime.clone(),
            client: self.client.clone(),
            topic: self.output.to_string(),
            group: format!("{}-{number}", self.name),
        }
    }

    fn collect(done: std::result::Result<std::result::Result<(), ClientError>, tokio::task::JoinError>) -> Result {
        Ok(done.map_err(|e| Failure::Plain(e.to_string()))??)
    }
}

impl Target for Remote {
    fn send(&mut self, frame: Vec<u8>) -> Result {
        while let Some(done) = self.sending.try_join_next() {
            Self::collect(done)?;
        }
        let (client, topic, room) = (self.client.clone(), self.function.inputs[0].to_string(), self.room.clone());
        let permit = self.runtime.block_on(room.acquire_owned()).map_err(|e| Failure::Plain(e.to_string()))?;
        let request = async move {
            let done = client.produce_frame(&topic, frame).await.map(drop);
            drop(permit);
            done
        };
        self.sending.spawn_on(request, self.runtime.handle());
        Ok(())
    }

    fn flush(&mut self) -> Result {
        while let Some(done) = self.runtime.block_on(self.sending.join_next()) {
            Self::collect(done)?;
        }
        Ok(())
    }

    fn start_function(&mut self) -> Result {
        self.runtime.block_on(self.client.create_function(&self.name, &self.function))?;
        Ok(())
    }

    fn await_outputs(&mut self, count: u64) -> Result {
        let mut reader = self.reader();
        let mut read = 0;
        while read < count {
            let Some(bytes) = reader.next(PATIENCE)? else {
                return Err(Failure::Plain(format!("no output for {PATIENCE:?} after {read} of {count}")));
            };
            read += Frame::parse(&bytes).map_err(|e| Failure::Plain(e.to_string()))?.len() as u64;
        }
        Ok(())
    }

    fn outputs(&mut self) -> Result<Box<dyn Outputs>> {
        Ok(Box::new(self.reader()))
    }

    fn cpu(&self) -> Option<Duration> {
        None
    }

    fn copies(&self) -> bool {
        false
    }

    fn finish(&mut self) -> Result {
        self.runtime.block_on(async {
            self.client.delete_function(&self.name).await?;
            for topic in [&self.function.inputs[0], &self.output] {
                self.client.delete_topic(&topic.to_string()).await?;
            }
            Ok(())
        })
    }
}

/// Reads as a group of its own.
struct Reader {
    runtime: Arc<Runtime>,
    client: Client,
    topic: String,
    group: String,
}

impl Outputs for Reader {
    fn next(&mut self, patience: Duration) -> Result<Option<Bytes>> {
        let options =
            ConsumeOptions { timeout: Some(patience), group: Some(self.group.clone()), ..ConsumeOptions::default() };
        let read = self.runtime.block_on(self.client.consume_frame(&self.topic, &options, MAX_RECORDS))?;
        Ok(read.map(|(bytes, _)| bytes))
    }
}
