// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `function-stream server`: a process of a group that shares its work, on a broker of its own standing.

use std::collections::BTreeMap;

use fnstream_config::server::{Flag, ServerSettings};
use fnstream_core::ErrorCode;
use fnstream_server::{Group, SharedCluster};

use crate::failure::{Failure, Result};
use crate::{settings, standalone};

/// Run a process of a server group on Apache Pulsar or Apache Kafka: topics, functions and their state are kept there, and any
/// number of processes share the work.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The broker
    #[arg(long, value_name = "BROKER", default_value = "pulsar", value_parser = ["pulsar", "kafka"])]
    backend: String,
    /// Where the cluster of Pulsar is found: pulsar://host:port, with commas between several [env: PULSAR_URL] [default:
    /// pulsar://localhost:6650]
    #[arg(long, value_name = "URL")]
    pulsar_url: Option<String>,
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
    let is_kafka = args.backend == "kafka";
    let (other, given) = if is_kafka { ("--pulsar-url", &args.pulsar_url) } else { ("--bootstrap", &args.bootstrap) };
    if given.is_some() {
        let message = format!("{other} has no effect with '--backend {}'", args.backend);
        return Err(Failure::Usage(message));
    }
    let one = |path, value: &Option<String>| Flag { path, values: value.iter().cloned().collect() };
    let flags = match is_kafka {
        true => vec![
            one("kafka.bootstrap_servers", &args.bootstrap),
            one("kafka.group", &args.group),
            one("kafka.advertised", &args.advertise),
        ],
        false => vec![
            one("pulsar.service_url", &args.pulsar_url),
            one("pulsar.group", &args.group),
            one("pulsar.advertised", &args.advertise),
        ],
    };
    let loaded = settings::load_with(&args.settings, flags)?;
    let group = if is_kafka { on_kafka(&loaded.settings) } else { on_pulsar(&loaded.settings) }?;
    standalone::serve(loaded, Some(group))
}

fn on_kafka(settings: &ServerSettings) -> Result<Group> {
    let of = settings.kafka.clone();
    let properties = properties("kafka.properties", &of.properties)?;
    Ok(Group {
        cluster: SharedCluster::Kafka { bootstrap: of.bootstrap, properties },
        name: of.group,
        advertised: of.advertised,
        session_timeout: of.session_timeout,
    })
}

fn on_pulsar(settings: &ServerSettings) -> Result<Group> {
    let of = settings.pulsar.clone();
    let properties = properties("pulsar.properties", &of.properties)?;
    Ok(Group {
        cluster: SharedCluster::Pulsar {
            service_url: of.service_url,
            properties,
            namespace: of.namespace,
            internal_namespace: of.internal_namespace,
        },
        name: of.group,
        advertised: of.advertised,
        session_timeout: of.session_timeout,
    })
}

fn properties(setting: &str, given: &[String]) -> Result<BTreeMap<String, String>> {
    let mut properties = BTreeMap::new();
    for given in given {
        let Some((name, value)) = given.split_once('=') else {
            let message = format!("{setting}: '{}' is not a name, '=' and a value", given.escape_debug());
            return Err(Failure::new(ErrorCode::InvalidConfig, message));
        };
        properties.insert(name.trim().to_owned(), value.to_owned());
    }
    Ok(properties)
}
