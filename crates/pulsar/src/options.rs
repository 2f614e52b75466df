// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What a connection to a cluster is made of.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use fnstream_core::spec::check_name;
use fnstream_core::topic::{Cluster, OWN_OPTIONS, Topic, masked};
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_pulsar_client::{Authentication, Client, Compression, TlsOptions};

use crate::{error, names, runtime};

/// The option that says where a partition begins that has no position: `earliest` or `latest`.
pub const INITIAL_POSITION: &str = "initial_position";
const ADMIN_URL: &str = "admin_url";
const AUTH_TOKEN: &str = "auth_token";
const AUTH_FILE: &str = "auth_file";
const TLS_CA_FILE: &str = "tls_ca_file";
const TLS_HOSTNAME_VERIFICATION: &str = "tls_hostname_verification";
/// The option that says how records are compressed.
pub const COMPRESSION: &str = "compression";

/// All options of clients, with what they say.
pub const OPTIONS: [(&str, &str); 7] = [
    (INITIAL_POSITION, "where a new subscription begins: earliest (the default) or latest"),
    (
        ADMIN_URL,
        "the address of Pulsar's REST interface, such as http://localhost:8080; by default port 8080 of the broker's host, or 8443 with TLS",
    ),
    (AUTH_TOKEN, "a token"),
    (AUTH_FILE, "a file that has the token; it is read again when the broker asks for a new one"),
    (TLS_CA_FILE, "a file of certificates (PEM) that the broker's is checked with; by default those of the system"),
    (TLS_HOSTNAME_VERIFICATION, "false to accept a certificate of another host"),
    (COMPRESSION, "how records are compressed that are written: none (the default), lz4, zlib, zstd or snappy"),
];

/// What a place is made of.
#[derive(Debug, Clone)]
pub struct Options {
    /// The cluster, as topics name it.
    pub cluster: Cluster,
    /// Its addresses, and how clients talk to it.
    pub properties: Properties,
    /// The name of this server, which no other server of the cluster has at the same time: names of internal topics, of subscriptions and
    /// of producers begin with it.
    pub server: String,
    /// What tells this process from others of the server that are there at the same time, and stays the same when it is started again.
    /// Empty if there are no others.
    pub process: String,
    /// Whether the processes of the server share its tasks.
    pub is_shared: bool,
    /// What tells the functions of this server from those that had their ids before. May be empty.
    pub incarnation: String,
    /// Tenant and namespace of topics that name none, such as `public/default`.
    pub namespace: String,
    /// Tenant and namespace of what the server keeps for itself, such as `public/function-stream`.
    pub internal: String,
}

impl Options {
    /// Refuses names that no topic can have.
    pub(crate) fn check(&self) -> Result<()> {
        check_name("server", &self.server)?;
        for namespace in [&self.namespace, &self.internal] {
            let parts: Vec<_> = namespace.split('/').collect();
            if parts.len() != 2 || parts.iter().any(|part| check_name("namespace", part).is_err()) {
                let message =
                    format!("'{}' is no namespace: it has the form TENANT/NAMESPACE", namespace.escape_debug());
                return Err(Error::new(ErrorCode::InvalidConfig, message));
            }
        }
        Ok(())
    }

    /// The name in full of a topic.
    pub(crate) fn name(&self, topic: &Topic) -> Result<String> {
        if topic.cluster != self.cluster {
            let message =
                format!("topic '{topic}' is of the cluster '{}', which this place does not serve", topic.cluster);
            return Err(Error::new(ErrorCode::ClusterUnknown, message));
        }
        names::full(&topic.name, &self.namespace)
    }

    /// The same of a topic that users and functions may write.
    pub(crate) fn writable(&self, topic: &Topic) -> Result<String> {
        let name = self.name(topic)?;
        if names::parts(&name).is_some_and(|(namespace, local)| namespace == self.internal || local.starts_with("__")) {
            let message = format!(
                "topic '{topic}' is one that Pulsar or the server keeps for itself: nobody else writes or changes it"
            );
            return Err(Error::new(ErrorCode::InvalidRequest, message));
        }
        Ok(name)
    }

    /// The name in full of an internal topic.
    pub(crate) fn own(&self, what: &str) -> String {
        format!("persistent://{}/{}.{what}", self.internal, self.server)
    }
}

/// The addresses of a cluster and how its clients talk to it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Properties {
    service_url: String,
    given: BTreeMap<String, String>,
}

impl Properties {
    /// Takes the addresses (`pulsar://host:6650,host:6650` or `pulsar+ssl://…`) and options as users write them. Those of a topic
    /// reference that are not the client's ([`OWN_OPTIONS`]) are passed over.
    ///
    /// All that is wrong is told at once, as [`ErrorCode::InvalidConfig`].
    pub fn new(service_url: &str, given: &BTreeMap<String, String>) -> Result<Properties> {
        let given: BTreeMap<String, String> = given
            .iter()
            .filter(|(name, _)| !OWN_OPTIONS.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let mut problems: Vec<String> =
            given.iter().filter_map(|(name, value)| Some(format!("'{name}' {}", problem(name, value)?))).collect();
        if given.contains_key(AUTH_TOKEN) && given.contains_key(AUTH_FILE) {
            problems.push(format!("'{AUTH_TOKEN}' and '{AUTH_FILE}' are both given"));
        }
        match problems.is_empty() {
            true => Ok(Properties { service_url: service_url.to_owned(), given }),
            false => {
                let message = format!("the options of the Pulsar client: {}", problems.join("; "));
                Err(Error::new(ErrorCode::InvalidConfig, message))
            }
        }
    }

    /// These properties with others over them, such as the options of a topic reference.
    pub(crate) fn with(&self, given: &BTreeMap<String, String>) -> Result<Properties> {
        let over = Properties::new(&self.service_url, given)?;
        let mut all = self.given.clone();
        all.extend(over.given);
        Ok(Properties { service_url: over.service_url, given: all })
    }

    /// The addresses.
    pub fn service_url(&self) -> &str {
        &self.service_url
    }

    /// Whether a partition without a position begins at its end.
    pub(crate) fn begins_at_end(&self) -> bool {
        self.given.get(INITIAL_POSITION).is_some_and(|value| value == "latest")
    }

    /// How records are compressed.
    pub(crate) fn compression(&self) -> Compression {
        compression(&self.given).unwrap_or(Compression::None)
    }

    /// The address of the REST interface.
    pub(crate) fn admin_url(&self) -> String {
        if let Some(given) = self.given.get(ADMIN_URL) {
            return given.trim_end_matches('/').to_owned();
        }
        let (scheme, hosts) = self.service_url.split_once("://").unwrap_or(("pulsar", &self.service_url));
        let first = hosts.split(',').next().unwrap_or_default();
        let host = first.rsplit_once(':').map_or(first, |(host, _)| host);
        match scheme {
            "pulsar+ssl" => format!("https://{host}:8443"),
            _ => format!("http://{host}:8080"),
        }
    }

    /// The token that requests to the REST interface carry.
    pub(crate) fn token(&self) -> Result<Option<String>> {
        if let Some(token) = self.given.get(AUTH_TOKEN) {
            return Ok(Some(token.clone()));
        }
        let Some(file) = self.given.get(AUTH_FILE) else { return Ok(None) };
        let read = std::fs::read_to_string(file);
        let read = read.map_err(|e| Error::new(ErrorCode::BrokerLogin, format!("the token of '{file}': {e}")))?;
        Ok(Some(read.trim().to_owned()))
    }

    /// A client, which need not reach anybody.
    pub(crate) fn client(&self) -> Result<Client> {
        if !runtime::is_there() {
            return Err(fnstream_core::error::internal("no threads for clients of Pulsar"));
        }
        let mut builder = Client::builder(&self.service_url);
        if let Some(token) = self.given.get(AUTH_TOKEN) {
            builder = builder.authentication(Authentication::token(token.clone()));
        } else if let Some(file) = self.given.get(AUTH_FILE) {
            builder = builder.authentication(Authentication::token_file(file));
        }
        let made = runtime::enter(|| builder.tls(self.tls()).build());
        made.map_err(|e| error::of("connecting to Pulsar", &e))
    }

    /// Whom to trust.
    pub(crate) fn tls(&self) -> TlsOptions {
        TlsOptions {
            ca_file: self.given.get(TLS_CA_FILE).map(Into::into),
            hostname_verification: self.given.get(TLS_HOSTNAME_VERIFICATION).is_none_or(|value| value != "false"),
        }
    }

    /// The options whose values may be shown.
    pub(crate) fn shown(&self) -> BTreeMap<&str, &str> {
        masked(&self.given)
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Properties").field("service_url", &self.service_url).field("given", &self.shown()).finish()
    }
}

/// What is wrong with an option, to be put behind its name.
fn problem(name: &str, value: &str) -> Option<String> {
    let value_shown = value.escape_debug();
    match name {
        INITIAL_POSITION if !matches!(value, "earliest" | "latest") => {
            Some(format!("is 'earliest' or 'latest', not '{value_shown}'"))
        }
        TLS_HOSTNAME_VERIFICATION if bool::from_str(value).is_err() => {
            Some(format!("is 'true' or 'false', not '{value_shown}'"))
        }
        COMPRESSION if compression_of(value).is_none() => {
            Some(format!("is 'none', 'lz4', 'zlib', 'zstd' or 'snappy', not '{value_shown}'"))
        }
        ADMIN_URL if !["http://", "https://"].iter().any(|scheme| value.starts_with(scheme)) => {
            Some(format!("begins with 'http://' or 'https://', which '{value_shown}' does not"))
        }
        AUTH_TOKEN | AUTH_FILE | TLS_CA_FILE if value.is_empty() => Some("is empty".to_owned()),
        name if OPTIONS.iter().any(|(known, _)| *known == name) => None,
        _ => {
            let known: Vec<_> = OPTIONS.iter().map(|(name, _)| format!("'{name}'")).collect();
            Some(format!("is none of {}", known.join(", ")))
        }
    }
}

/// What options say of compression.
pub(crate) fn compression(given: &BTreeMap<String, String>) -> Option<Compression> {
    given.get(COMPRESSION).and_then(|name| compression_of(name))
}

fn compression_of(name: &str) -> Option<Compression> {
    Some(match name {
        "none" => Compression::None,
        "lz4" => Compression::Lz4,
        "zlib" => Compression::Zlib,
        "zstd" => Compression::Zstd,
        "snappy" => Compression::Snappy,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn all_that_is_wrong_with_options_is_told_at_once() {
        let wrong = given(&[("initial_position", "first"), ("compression", "gzip"), ("acks", "1"), ("auth_token", "")]);
        let error = Properties::new("pulsar://h:6650", &wrong).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidConfig);
        for part in [
            "'initial_position' is 'earliest' or 'latest', not 'first'",
            "'acks' is none of",
            "not 'gzip'",
            "'auth_token' is empty",
        ] {
            assert!(error.message.contains(part), "{part}: {error}");
        }
        assert!(Properties::new("pulsar://h:6650", &given(&[("group_id", "s"), ("compression", "lz4")])).is_ok());
    }

    #[test]
    fn the_rest_interface_is_at_the_brokers_host() {
        let of = |url, pairs: &[(&str, &str)]| Properties::new(url, &given(pairs)).unwrap().admin_url();
        assert_eq!(of("pulsar://b1:6650,b2:6650", &[]), "http://b1:8080");
        assert_eq!(of("pulsar://[::1]:6650", &[]), "http://[::1]:8080");
        assert_eq!(of("pulsar+ssl://b1:6651,b2:6651", &[]), "https://b1:8443");
        assert_eq!(of("pulsar://b1:6650", &[("admin_url", "http://web:80/")]), "http://web:80");
        assert_eq!(of("pulsar://b1:6650", &[("admin_url", "https://web")]), "https://web");
    }

    #[test]
    fn names_that_no_topic_can_have_are_refused() {
        let with = |server: &str, namespace: &str, internal: &str| Options {
            cluster: Cluster::own(),
            properties: Properties::new("pulsar://h:6650", &given(&[])).unwrap(),
            server: server.into(),
            process: String::new(),
            is_shared: false,
            incarnation: String::new(),
            namespace: namespace.into(),
            internal: internal.into(),
        };
        assert!(with("g", "a/b", "public/c-d.e").check().is_ok());
        assert_eq!(with("a/b", "a/b", "a/b").check().unwrap_err().code, ErrorCode::InvalidName);
        for (namespace, internal) in [("a", "a/b"), ("a/b", "a/b/c"), ("a/b", "a/"), ("a/b", "")] {
            let error = with("g", namespace, internal).check().unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidConfig, "{namespace} {internal}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let shown = format!("{:?}", Properties::new("pulsar://h:1", &given(&[("auth_token", "hunter2")])).unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
