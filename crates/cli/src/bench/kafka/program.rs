// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The program that is measured, as a process of its own.
//!
//! A program that is not ours is told by its environment what to do ([`Told`]), writes the line `ready` when it reads the input, and goes on
//! until it gets SIGTERM:
//!
//! | variable | |
//! | --- | --- |
//! | `BENCH_BOOTSTRAP` | the address of the cluster |
//! | `BENCH_INPUT`, `BENCH_OUTPUT` | the topics |
//! | `BENCH_PARTITIONS` | how many partitions each of them has |
//! | `BENCH_GROUP` | the group whose offsets it moves in its transactions; what it makes in the cluster begins with that name |
//! | `BENCH_WORKLOAD` | `pass-through`, `money` or `keyed-count` |
//! | `BENCH_COMMIT_INTERVAL_MS` | the age at which a transaction is committed |
//! | `BENCH_FOLDER` | an empty folder for its files |

mod process;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clap::ValueEnum;
use fnstream_api::{Client, Function, UpWait};
use fnstream_core::topic::TopicRef;

use super::COMMIT_INTERVAL_MS;
use super::cluster::Cluster;
use crate::bench::target::PATIENCE;
use crate::bench::{Args, Variant, artifact};
use crate::failure::{Failure, Result};

pub(super) use self::process::Running;

/// What a program says when it reads the input.
pub(super) const READY: &str = "ready";

/// How the internal topics of a server of ours begin.
const SERVER: &str = "function-stream-";

/// What is measured.
pub(super) struct Program {
    kind: Kind,
    name: String,
    workload: String,
    folder: PathBuf,
}

enum Kind {
    /// A server, and the function that it runs.
    Server { program: PathBuf, durability: String, artifact: Vec<u8> },
    /// A program that is told by its environment, by its words.
    Other { command: Vec<String>, copies: bool },
}

impl Program {
    pub(super) fn new(args: &Args, variant: Variant, folder: &Path) -> Result<Self> {
        let this = || match &args.program {
            // It runs in another folder.
            Some(program) => std::path::absolute(program),
            None => std::env::current_exe(),
        };
        let (name, kind) = match (&args.peer, variant) {
            (Some(peer), _) => {
                let (name, command) = split(peer)?;
                (name, Kind::Other { command, copies: false })
            }
            (None, Variant::Wasm) => {
                let value = args.durability.to_possible_value();
                let durability = value.map(|v| v.get_name().to_owned()).unwrap_or_default();
                (variant.name(), Kind::Server { program: this()?, durability, artifact: artifact::read(args)? })
            }
            (None, Variant::Copy) => {
                let command = ["bench", "--copy-loop"].map(str::to_owned).to_vec();
                let command = std::iter::once(this()?.to_string_lossy().into_owned()).chain(command).collect();
                (variant.name(), Kind::Other { command, copies: true })
            }
            (None, other) => {
                let why = format!("--variant {} is not for Kafka: it changes the embedded log", other.name());
                return Err(Failure::Usage(why));
            }
        };
        let workload = args.workload.to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default();
        Ok(Program { kind, name, workload, folder: folder.to_owned() })
    }

    /// What it is called in the report.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// When a commit to the local disk counts as durable, where that is ours to choose.
    pub(super) fn durability(&self) -> Option<String> {
        match &self.kind {
            Kind::Server { durability, .. } => Some(durability.clone()),
            Kind::Other { .. } => None,
        }
    }

    /// Whether its outputs are its inputs.
    pub(super) fn copies(&self) -> bool {
        matches!(self.kind, Kind::Other { copies: true, .. })
    }

    /// How the topics begin that it makes, if not with the name of its group.
    pub(super) fn prefix(&self) -> Option<&'static str> {
        matches!(self.kind, Kind::Server { .. }).then_some(SERVER)
    }

    /// Starts it; returns when it reads the input.
    pub(super) fn start(&self, cluster: &Cluster, running: &Running) -> Result {
        running.start(&mut self.command(cluster))?;
        match &self.kind {
            Kind::Other { .. } => running.line(|line| (line == READY).then(String::new)).map(drop),
            Kind::Server { artifact, .. } => {
                let address = running.line(address_in)?;
                cluster.runtime.block_on(run_function(&format!("http://{address}"), cluster, artifact))
            }
        }
    }

    /// Starts it once more on the same folder, without waiting; it goes on by itself.
    pub(super) fn start_again(&self, cluster: &Cluster, running: &Running) -> Result {
        running.start(&mut self.command(cluster))
    }

    fn command(&self, cluster: &Cluster) -> Command {
        match &self.kind {
            Kind::Other { command, .. } => {
                let mut process = Command::new(&command[0]);
                process.args(&command[1..]);
                self.told(cluster).give(&mut process);
                process
            }
            Kind::Server { program, durability, .. } => {
                let mut process = Command::new(program);
                process.args(["standalone", "--listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0", "--data-dir"]);
                process.arg(self.folder.join("data")).args(["--durability", durability]);
                for variable in ["RUST_LOG", "LISTEN_ADDR", "FUNCTION_STREAM_HOME", "FUNCTION_STREAM_CONF"] {
                    process.env_remove(variable);
                }
                process.current_dir(&self.folder);
                process
            }
        }
    }

    fn told(&self, cluster: &Cluster) -> Told {
        Told {
            bootstrap: cluster.bootstrap.clone(),
            input: cluster.input.clone(),
            output: cluster.output.clone(),
            partitions: cluster.partitions,
            group: cluster.name.clone(),
            workload: self.workload.clone(),
            commit_interval: Duration::from_millis(COMMIT_INTERVAL_MS),
            folder: self.folder.clone(),
        }
    }
}

/// Creates the function on a server, and waits until it is up.
async fn run_function(url: &str, cluster: &Cluster, artifact: &[u8]) -> Result {
    let client = Client::new(url)?.waiting(UpWait { time: PATIENCE, keep_failed: true });
    let Cluster { bootstrap, name, input, output, partitions, .. } = cluster;
    let topic = |text: String| text.parse::<TopicRef>().map_err(Failure::from);
    let input = topic(format!("{input}@kafka://{bootstrap}?group_id={name}"))?;
    let output = topic(format!("{output}@kafka://{bootstrap}"))?;
    let archive = format!("sha256:{}", client.upload_artifact(artifact.to_vec()).await?.digest);
    let function = Function { replicas: *partitions, ..Function::new(archive, vec![input], output) };
    client.create_function(name, &function).await?;
    Ok(())
}

/// Where a server listens, of the line of its log that says so.
fn address_in(line: &str) -> Option<String> {
    let (_, fields) = line.split_once(" listening ")?;
    fields.split(' ').find_map(|field| field.strip_prefix("address=")).map(str::to_owned)
}

/// The name of a peer, and the words of its command.
fn split(peer: &str) -> Result<(String, Vec<String>)> {
    let (name, command) = peer.split_once('=').unwrap_or_default();
    let command: Vec<_> = command.split_whitespace().map(str::to_owned).collect();
    if name.is_empty() || command.is_empty() {
        return Err(Failure::Usage("--peer is NAME=COMMAND, such as 'kafka-streams=java -jar peer.jar'".into()));
    }
    Ok((name.to_owned(), command))
}

/// What a program is told.
pub(super) struct Told {
    pub bootstrap: String,
    pub input: String,
    pub output: String,
    pub partitions: u32,
    pub group: String,
    pub workload: String,
    pub commit_interval: Duration,
    pub folder: PathBuf,
}

impl Told {
    fn give(&self, command: &mut Command) {
        command
            .env("BENCH_BOOTSTRAP", &self.bootstrap)
            .env("BENCH_INPUT", &self.input)
            .env("BENCH_OUTPUT", &self.output)
            .env("BENCH_PARTITIONS", self.partitions.to_string())
            .env("BENCH_GROUP", &self.group)
            .env("BENCH_WORKLOAD", &self.workload)
            .env("BENCH_COMMIT_INTERVAL_MS", self.commit_interval.as_millis().to_string())
            .env("BENCH_FOLDER", &self.folder);
    }

    pub(super) fn from_environment() -> Result<Told> {
        let text = |name: &str| {
            std::env::var(name)
                .map_err(|_| Failure::Usage(format!("{name} is not set: 'bench' starts the copy by itself")))
        };
        let number =
            |name: &str| text(name)?.parse::<u32>().map_err(|e| Failure::Usage(format!("{name} is no number: {e}")));
        Ok(Told {
            bootstrap: text("BENCH_BOOTSTRAP")?,
            input: text("BENCH_INPUT")?,
            output: text("BENCH_OUTPUT")?,
            partitions: number("BENCH_PARTITIONS")?,
            group: text("BENCH_GROUP")?,
            workload: text("BENCH_WORKLOAD")?,
            commit_interval: Duration::from_millis(number("BENCH_COMMIT_INTERVAL_MS")?.into()),
            folder: text("BENCH_FOLDER")?.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_has_a_name_and_a_command() {
        let (name, command) = split("streams=java -cp a.jar:b.jar Main").unwrap();
        assert_eq!((name.as_str(), command.len()), ("streams", 4));
        for wrong in ["", "java", "=java", "streams=", "streams= "] {
            assert!(matches!(split(wrong), Err(Failure::Usage(_))), "{wrong}");
        }
    }
}
