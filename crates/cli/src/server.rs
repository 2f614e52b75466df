// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `function-stream server`: a process of a group that shares its work, on a broker of its own standing.

use std::collections::BTreeMap;

use fnstream_config::server::{Flag, KafkaSettings};
use fnstream_core::ErrorCode;
use fnstream_server::KafkaGroup;

use crate::failure::{Failure, Result};
use crate::{settings, standalone};

/// Run a process of a server group on Apache Kafka: topics, functions and their state are kept there, and any number of
/// processes share the work. On Apache Pulsar, the default, it is not there yet: FS-1705.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The broker
    #[arg(long, value_name = "BROKER", default_value = "pulsar", value_parser = ["pulsar", "kafka"])]
    backend: String,
    /// Where the cluster of Kafka is found: host:port, with commas between several [default: localhost:9092]
    #[arg(long, value_name = "ADDRS")]
    bootstrap: Option<String>,
    /// Name of the group of processes: all that have it on one cluster share their work [default: function-stream]
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// host:port at which the other processes of the group reach this one [default: where it listens]
    #[arg(long, value_name = "ADDR")]
    advertise: Option<String>,
    #[command(flatten)]
    settings: settings::Args,
}

pub(crate) fn run(args: &Args) -> Result {
    if args.backend == "pulsar" {
        return Err(Failure::new(
            ErrorCode::ModeUnavailable,
            "server mode on Apache Pulsar is not part of this build; '--backend kafka' runs it on Apache Kafka",
        ));
    }
    let one = |path, value: &Option<String>| Flag { path, values: value.iter().cloned().collect() };
    let flags = vec![
        one("kafka.bootstrap_servers", &args.bootstrap),
        one("kafka.group", &args.group),
        one("kafka.advertised", &args.advertise),
    ];
    let loaded = settings::load_with(&args.settings, flags)?;
    let group = group(&loaded.settings.kafka)?;
    standalone::serve(loaded, Some(group))
}

fn group(settings: &KafkaSettings) -> Result<KafkaGroup> {
    let mut properties = BTreeMap::new();
    for given in &settings.properties {
        let Some((name, value)) = given.split_once('=') else {
            let message = format!("kafka.properties: '{}' is not a name, '=' and a value", given.escape_debug());
            return Err(Failure::new(ErrorCode::InvalidConfig, message));
        };
        properties.insert(name.trim().to_owned(), value.to_owned());
    }
    let KafkaSettings { bootstrap, group, advertised, session_timeout, .. } = settings.clone();
    Ok(KafkaGroup { bootstrap, properties, name: group, advertised, session_timeout })
}
