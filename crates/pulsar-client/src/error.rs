// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What can go wrong: one variant per code of the broker, and those of the client itself.

use crate::proto::ServerError;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the client or of the broker.
///
/// It can be cloned, because one lost connection ends many pending calls.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The broker failed without a code of its own.
    #[error("broker error: {0}")]
    Unknown(String),
    /// The broker cannot reach its metadata.
    #[error("broker metadata error: {0}")]
    Metadata(String),
    /// The broker cannot read or write its storage.
    #[error("broker storage error: {0}")]
    Persistence(String),
    /// The broker does not accept the credentials.
    #[error("authentication failed: {0}")]
    AuthenticationFailed(String),
    /// The role may not do this.
    #[error("authorization failed: {0}")]
    AuthorizationFailed(String),
    /// The subscription has a consumer that admits no other.
    #[error("consumer busy: {0}")]
    ConsumerBusy(String),
    /// The broker does not own the topic (yet, or any longer).
    #[error("service not ready: {0}")]
    ServiceNotReady(String),
    /// The backlog of the topic has reached its quota.
    #[error("backlog quota exceeded: {0}")]
    QuotaExceeded(String),
    /// The checksum of a message is wrong.
    #[error("wrong checksum: {0}")]
    Checksum(String),
    /// The broker is too old, or finds the client too old.
    #[error("unsupported version: {0}")]
    UnsupportedVersion(String),
    /// The topic does not exist.
    #[error("topic not found: {0}")]
    TopicNotFound(String),
    /// The subscription does not exist.
    #[error("subscription not found: {0}")]
    SubscriptionNotFound(String),
    /// The broker does not know this consumer.
    #[error("consumer not found: {0}")]
    ConsumerNotFound(String),
    /// The broker is asked more than it admits.
    #[error("too many requests: {0}")]
    TooManyRequests(String),
    /// The topic takes no more messages.
    #[error("topic terminated: {0}")]
    TopicTerminated(String),
    /// A producer of this name is connected, or the topic has an exclusive producer.
    #[error("producer busy: {0}")]
    ProducerBusy(String),
    /// The broker does not accept the topic's name.
    #[error("invalid topic name: {0}")]
    InvalidTopicName(String),
    /// The schema does not fit the topic's.
    #[error("incompatible schema: {0}")]
    IncompatibleSchema(String),
    /// The broker cannot assign a share of the keys to this consumer.
    #[error("consumer cannot be assigned: {0}")]
    ConsumerAssign(String),
    /// A transaction failed; this client takes part in none.
    #[error("transaction error: {0}")]
    Transaction(String),
    /// The broker does not allow this here.
    #[error("not allowed: {0}")]
    NotAllowed(String),
    /// Another producer took the topic over for good.
    #[error("producer fenced: {0}")]
    ProducerFenced(String),

    /// A message, or a batch, is larger than the broker takes.
    #[error("message of {size} bytes is larger than the limit of {limit}")]
    MessageTooLarge {
        /// Its metadata and its payload, after compression.
        size: usize,
        /// What the broker takes.
        limit: usize,
    },
    /// A message cannot be sent in this form.
    #[error("invalid message: {0}")]
    InvalidMessage(String),
    /// The producer has as many messages pending as it may; see [`Producer::ready`](crate::Producer::ready).
    #[error("the producer's queue is full")]
    QueueFull,
    /// A received message is encrypted, which this client cannot undo.
    #[error("the message is encrypted")]
    Encrypted,
    /// A stored entry cannot be decoded.
    #[error("damaged entry: {0}")]
    Damaged(String),
    /// The service address is not one.
    #[error("invalid service address: {0}")]
    InvalidUrl(String),
    /// Options contradict each other or lack something.
    #[error("invalid options: {0}")]
    InvalidOptions(String),
    /// The network failed.
    #[error("{what}: {message}")]
    Io {
        /// What was attempted.
        what: &'static str,
        /// What the system said.
        message: String,
    },
    /// TLS failed: a certificate cannot be read or is not trusted.
    #[error("tls: {0}")]
    Tls(String),
    /// The other side does not speak the protocol.
    #[error("protocol violated: {0}")]
    Protocol(String),
    /// There was no answer in time.
    #[error("no answer in time to: {0}")]
    Timeout(&'static str),
    /// The connection ended before the answer; whether the broker did what it was asked is unknown.
    #[error("disconnected: {0}")]
    Disconnected(String),
    /// The producer, the consumer or the client is closed.
    #[error("closed")]
    Closed,
}

impl Error {
    /// Reports whether the same call may succeed later, without anyone changing what it asks for.
    pub fn is_retriable(&self) -> bool {
        match self {
            Error::Unknown(_)
            | Error::Metadata(_)
            | Error::Persistence(_)
            | Error::ConsumerBusy(_)
            | Error::ServiceNotReady(_)
            | Error::QuotaExceeded(_)
            | Error::Checksum(_)
            | Error::ConsumerNotFound(_)
            | Error::TooManyRequests(_)
            | Error::ProducerBusy(_)
            | Error::ConsumerAssign(_)
            | Error::QueueFull
            | Error::Io { .. }
            | Error::Protocol(_)
            | Error::Timeout(_)
            | Error::Disconnected(_) => true,
            Error::AuthenticationFailed(_)
            | Error::AuthorizationFailed(_)
            | Error::UnsupportedVersion(_)
            | Error::TopicNotFound(_)
            | Error::SubscriptionNotFound(_)
            | Error::TopicTerminated(_)
            | Error::InvalidTopicName(_)
            | Error::IncompatibleSchema(_)
            | Error::Transaction(_)
            | Error::NotAllowed(_)
            | Error::ProducerFenced(_)
            | Error::MessageTooLarge { .. }
            | Error::InvalidMessage(_)
            | Error::Encrypted
            | Error::Damaged(_)
            | Error::InvalidUrl(_)
            | Error::InvalidOptions(_)
            | Error::Tls(_)
            | Error::Closed => false,
        }
    }

    /// Reports whether somebody else is in the way: worth waiting for when it is an own earlier connection that the
    /// broker has not given up yet, and the caller's decision otherwise.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self, Error::ProducerBusy(_) | Error::ConsumerBusy(_))
    }

    pub(crate) fn io(what: &'static str, error: std::io::Error) -> Error {
        Error::Io { what, message: error.to_string() }
    }

    pub(crate) fn of_server(code: i32, message: impl Into<String>) -> Error {
        let message = message.into();
        let Ok(code) = ServerError::try_from(code) else { return Error::Unknown(format!("code {code}: {message}")) };
        match code {
            ServerError::UnknownError => Error::Unknown(message),
            ServerError::MetadataError => Error::Metadata(message),
            ServerError::PersistenceError => Error::Persistence(message),
            ServerError::AuthenticationError => Error::AuthenticationFailed(message),
            ServerError::AuthorizationError => Error::AuthorizationFailed(message),
            ServerError::ConsumerBusy => Error::ConsumerBusy(message),
            ServerError::ServiceNotReady => Error::ServiceNotReady(message),
            ServerError::ProducerBlockedQuotaExceededError | ServerError::ProducerBlockedQuotaExceededException => {
                Error::QuotaExceeded(message)
            }
            ServerError::ChecksumError => Error::Checksum(message),
            ServerError::UnsupportedVersionError => Error::UnsupportedVersion(message),
            ServerError::TopicNotFound => Error::TopicNotFound(message),
            ServerError::SubscriptionNotFound => Error::SubscriptionNotFound(message),
            ServerError::ConsumerNotFound => Error::ConsumerNotFound(message),
            ServerError::TooManyRequests => Error::TooManyRequests(message),
            ServerError::TopicTerminatedError => Error::TopicTerminated(message),
            ServerError::ProducerBusy => Error::ProducerBusy(message),
            ServerError::InvalidTopicName => Error::InvalidTopicName(message),
            ServerError::IncompatibleSchema => Error::IncompatibleSchema(message),
            ServerError::ConsumerAssignError => Error::ConsumerAssign(message),
            ServerError::TransactionCoordinatorNotFound
            | ServerError::InvalidTxnStatus
            | ServerError::TransactionConflict
            | ServerError::TransactionNotFound => Error::Transaction(message),
            ServerError::NotAllowedError => Error::NotAllowed(message),
            ServerError::ProducerFenced => Error::ProducerFenced(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_of_a_newer_broker_is_kept_in_the_text() {
        assert_eq!(Error::of_server(77, "odd").to_string(), "broker error: code 77: odd");
        assert!(Error::of_server(77, "odd").is_retriable());
    }

    #[test]
    fn what_ends_a_producer_for_good_is_not_retriable() {
        for code in [ServerError::ProducerFenced, ServerError::TopicTerminatedError, ServerError::TopicNotFound] {
            assert!(!Error::of_server(code as i32, "").is_retriable());
        }
        assert!(Error::of_server(ServerError::ProducerBusy as i32, "").is_retriable());
    }
}
