// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The program that is measured, as a process of its own: a server of ours with its function, or a program that is
//! [told](super::told) what to do.

mod process;

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;
use fnstream_api::{Client, Function, UpWait};
use fnstream_core::topic::TopicRef;

use super::told::{READY, tell};
use super::{Place, Topics};
use crate::bench::target::PATIENCE;
use crate::bench::{Args, Variant, artifact};
use crate::failure::{Failure, Result};

pub(super) use self::process::Running;

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
                let this = this()?.to_string_lossy().into_owned();
                let command = vec![this, "bench".into(), "--copy-loop".into(), args.backend.name()];
                (variant.name(), Kind::Other { command, copies: true })
            }
            (None, other) => {
                let (other, backend) = (other.name(), args.backend.name());
                let why = format!("--variant {other} is not for --backend {backend}: it changes the embedded log");
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

    /// Starts it; returns when it reads the input.
    pub(super) fn start(&self, place: &Place, running: &Running) -> Result {
        running.start(&mut self.command(place))?;
        match &self.kind {
            Kind::Other { .. } => running.line(|line| (line == READY).then(String::new)).map(drop),
            Kind::Server { artifact, .. } => {
                let address = running.line(address_in)?;
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(run_function(&format!("http://{address}"), place, artifact))
            }
        }
    }

    /// Starts it once more on the same folder, without waiting; it goes on by itself.
    pub(super) fn start_again(&self, place: &Place, running: &Running) -> Result {
        running.start(&mut self.command(place))
    }

    fn command(&self, place: &Place) -> Command {
        match &self.kind {
            Kind::Other { command, .. } => {
                let mut process = Command::new(&command[0]);
                process.args(&command[1..]);
                tell(&mut process, place, &self.workload, &self.folder);
                process
            }
            Kind::Server { program, durability, .. } => {
                let mut process = Command::new(program);
                process.args(&place.server.verb);
                process.args(["--listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0", "--data-dir"]);
                process.arg(self.folder.join("data")).args(["--durability", durability]);
                for variable in ["RUST_LOG", "LISTEN_ADDR", "FUNCTION_STREAM_HOME", "FUNCTION_STREAM_CONF"] {
                    process.env_remove(variable);
                }
                process.envs(place.server.environment.iter().map(|(name, value)| (name, value)));
                process.current_dir(&self.folder);
                process
            }
        }
    }
}

/// Creates the function on a server, and waits until it is up.
async fn run_function(url: &str, place: &Place, artifact: &[u8]) -> Result {
    let client = Client::new(url)?.waiting(UpWait { time: PATIENCE, keep_failed: true });
    let topic = |text: &String| text.parse::<TopicRef>().map_err(Failure::from);
    let (input, output) = (topic(&place.server.input)?, topic(&place.server.output)?);
    let archive = format!("sha256:{}", client.upload_artifact(artifact.to_vec()).await?.digest);
    let Topics { group, partitions, .. } = &place.topics;
    let function = Function { replicas: *partitions, ..Function::new(archive, vec![input], output) };
    client.create_function(group, &function).await?;
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
