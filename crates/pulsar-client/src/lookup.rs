// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Questions to the service: which broker has a topic, and what is known about topics.

use std::sync::Arc;

use bytes::Bytes;

use crate::address::ServiceUrl;
use crate::client::{Inner, TopicsMode};
use crate::connection::Connection;
use crate::error::{Error, Result};
use crate::pool::Target;
use crate::proto::{
    Body, CommandGetOrCreateSchema, CommandGetSchema, CommandGetTopicsOfNamespace, CommandLookupTopic,
    CommandLookupTopicResponse, CommandPartitionedTopicMetadata, CommandTopicMigrated,
    command_get_topics_of_namespace::Mode, command_lookup_topic_response::LookupType,
    command_partitioned_topic_metadata_response,
};
use crate::schema::Schema;

/// How often a broker may point to another one.
const MAX_REDIRECTS: usize = 20;

/// Connects with the broker that has a topic. A topic that was migrated to another cluster is looked up there.
pub(crate) async fn broker_of(client: &Inner, topic: &str, migrated: Option<&ServiceUrl>) -> Result<Arc<Connection>> {
    let (mut connection, service_host) = client.pool.service(migrated.unwrap_or(&client.service)).await?;
    let tls = migrated.unwrap_or(&client.service).tls;
    let mut authoritative = false;
    for _ in 0..=MAX_REDIRECTS {
        let answer = ask(client, &connection, topic, authoritative).await?;
        match answer.response() {
            LookupType::Failed => {
                return Err(Error::of_server(answer.error() as i32, answer.message.unwrap_or_default()));
            }
            LookupType::Redirect => {
                authoritative = answer.authoritative();
                connection = client.pool.get(target(&answer, tls)?).await?;
            }
            LookupType::Connect if answer.proxy_through_service_url() => {
                let broker = target(&answer, tls)?;
                if broker.host == service_host {
                    // A broker that stands alone says so, too.
                    return client.pool.get(broker).await;
                }
                let proxied = Target { host: service_host, tls, proxy_to: Some(broker.host.to_string()) };
                return client.pool.get(proxied).await;
            }
            LookupType::Connect => return client.pool.get(target(&answer, tls)?).await,
        }
    }
    Err(Error::ServiceNotReady(format!("{topic} is passed on from broker to broker")))
}

async fn ask(
    client: &Inner,
    connection: &Arc<Connection>,
    topic: &str,
    authoritative: bool,
) -> Result<CommandLookupTopicResponse> {
    let make = |request_id| {
        Body::LookupTopic(CommandLookupTopic {
            topic: topic.to_owned(),
            request_id,
            authoritative: Some(authoritative),
            advertised_listener_name: client.options.listener_name.clone(),
        })
    };
    match connection.request("look up a topic", make).await? {
        Body::LookupTopicResponse(answer) => Ok(answer),
        _ => Err(unexpected()),
    }
}

fn target(answer: &CommandLookupTopicResponse, tls: bool) -> Result<Target> {
    let url = if tls { answer.broker_service_url_tls() } else { answer.broker_service_url() };
    let url = ServiceUrl::parse(url).map_err(|_| Error::Protocol(format!("the broker points to nowhere: {url:?}")))?;
    let ServiceUrl { tls, hosts } = url;
    let host = hosts.into_iter().next().ok_or_else(unexpected)?;
    Ok(Target { host, tls, proxy_to: None })
}

/// The other cluster that a topic was migrated to.
pub(crate) fn migrated_to(client: &Inner, migrated: &CommandTopicMigrated) -> Option<ServiceUrl> {
    let url = if client.service.tls { migrated.broker_service_url_tls() } else { migrated.broker_service_url() };
    ServiceUrl::parse(url).ok()
}

/// How many partitions a topic has, and whether the broker is sure that it exists.
pub(crate) async fn partitions(client: &Inner, topic: &str) -> Result<(u32, bool)> {
    let (connection, _) = client.pool.service(&client.service).await?;
    let sure = connection.features.supports_get_partitioned_metadata_without_auto_creation();
    let make = |request_id| {
        Body::PartitionMetadata(CommandPartitionedTopicMetadata {
            topic: topic.to_owned(),
            request_id,
            metadata_auto_creation_enabled: Some(false),
        })
    };
    match connection.request("ask for the partitions of a topic", make).await? {
        Body::PartitionMetadataResponse(answer) => match answer.response() {
            command_partitioned_topic_metadata_response::LookupType::Success => Ok((answer.partitions(), sure)),
            command_partitioned_topic_metadata_response::LookupType::Failed => {
                Err(Error::of_server(answer.error() as i32, answer.message.unwrap_or_default()))
            }
        },
        _ => Err(unexpected()),
    }
}

pub(crate) async fn topics(
    client: &Inner,
    namespace: &str,
    mode: TopicsMode,
    pattern: Option<&str>,
) -> Result<Vec<String>> {
    let (connection, _) = client.pool.service(&client.service).await?;
    let mode = match mode {
        TopicsMode::Persistent => Mode::Persistent,
        TopicsMode::NonPersistent => Mode::NonPersistent,
        TopicsMode::All => Mode::All,
    };
    let make = |request_id| {
        Body::GetTopicsOfNamespace(CommandGetTopicsOfNamespace {
            request_id,
            namespace: namespace.to_owned(),
            mode: Some(mode as i32),
            topics_pattern: pattern.map(str::to_owned),
        })
    };
    match connection.request("list the topics of a namespace", make).await? {
        Body::GetTopicsOfNamespaceResponse(answer) if pattern.is_some() && !answer.filtered() => {
            Err(Error::UnsupportedVersion("the broker does not apply the pattern".into()))
        }
        Body::GetTopicsOfNamespaceResponse(answer) => Ok(answer.topics),
        _ => Err(unexpected()),
    }
}

pub(crate) async fn get_schema(client: &Inner, topic: &str, version: Option<Bytes>) -> Result<Option<Schema>> {
    let (connection, _) = client.pool.service(&client.service).await?;
    let make =
        |request_id| Body::GetSchema(CommandGetSchema { request_id, topic: topic.to_owned(), schema_version: version });
    match connection.request("ask for a schema", make).await {
        Ok(Body::GetSchemaResponse(answer)) => Ok(answer.schema.map(Schema::of_wire)),
        // The broker's word for a topic without a schema, too.
        Err(Error::TopicNotFound(_)) => Ok(None),
        Ok(_) => Err(unexpected()),
        Err(error) => Err(error),
    }
}

pub(crate) async fn get_or_create_schema(client: &Inner, topic: &str, schema: &Schema) -> Result<Bytes> {
    // Unlike the other questions, this one is for the broker that has the topic.
    let connection = broker_of(client, topic, None).await?;
    let make = |request_id| {
        let schema = schema.to_wire();
        Body::GetOrCreateSchema(CommandGetOrCreateSchema { request_id, topic: topic.to_owned(), schema })
    };
    match connection.request("register a schema", make).await? {
        Body::GetOrCreateSchemaResponse(answer) => Ok(answer.schema_version.unwrap_or_default()),
        _ => Err(unexpected()),
    }
}

pub(crate) fn unexpected() -> Error {
    Error::Protocol("an answer of another kind than the question".into())
}
