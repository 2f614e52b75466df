// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What Kafka and its client answer, as errors of ours.

use std::fmt;

use fnstream_core::{Error, ErrorCode};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;

/// A failure of an operation, as the client tells it.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub code: Code,
    pub text: String,
    /// The same operation may be called again.
    pub is_retriable: bool,
    /// The client is beyond repair.
    pub is_fatal: bool,
    /// The transaction has to be aborted.
    pub requires_abort: bool,
}

/// What the client adds to a connection that ended when it guesses that TLS is the reason.
const HINTS: [&str; 2] = ["security.protocol", "broker listener?"];

/// What a line of the client's log says of a connection that ended before the broker had answered anything: a broker that waits for TLS
/// does so, and a proxy whose broker is away.
pub(crate) fn suspicion(line: &str) -> Option<String> {
    if !(line.contains("Disconnected") && line.contains("in state APIVERSION_QUERY")) {
        return None;
    }
    // Behind the name of the thread, and before how long it took.
    let text = line.split_once("]: ").map_or(line, |(_, text)| text);
    let text = text.split(" (after ").next().unwrap_or_default();
    Some(format!("{text}: the broker is away, or the port is one of TLS, see security.protocol"))
}

impl Failure {
    pub(crate) fn new(code: Code, text: impl Into<String>) -> Failure {
        Failure { code, text: text.into(), is_retriable: false, is_fatal: false, requires_abort: false }
    }

    pub(crate) fn of(code: Code) -> Failure {
        Failure::new(code, code.to_string())
    }

    /// As an error, with what was being done put before it.
    pub(crate) fn error(&self, doing: impl fmt::Display) -> Error {
        Error::new(self.error_code(), format!("{doing}: {}", self.text))
    }

    pub(crate) fn is_fenced(&self) -> bool {
        matches!(
            self.code,
            Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch | Code::TransactionCoordinatorFenced
        )
    }

    /// Whether it passes by itself.
    pub(crate) fn passes(&self) -> bool {
        self.is_retriable || self.error_code() == ErrorCode::Unavailable
    }

    /// The code that stands for it. The client tells some mistakes about a port apart in its text only.
    pub(crate) fn error_code(&self) -> ErrorCode {
        match self.code {
            Code::SSL => ErrorCode::BrokerProtocol,
            Code::BrokerTransportFailure if HINTS.iter().any(|hint| self.text.contains(hint)) => {
                ErrorCode::BrokerProtocol
            }
            Code::BadMessage | Code::BadCompression | Code::NotImplemented => ErrorCode::BrokerProtocol,
            Code::UnknownTopicOrPartition | Code::UnknownTopic => ErrorCode::TopicNotFound,
            Code::UnknownPartition => ErrorCode::PartitionNotFound,
            Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed => ErrorCode::BrokerForbidden,
            Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism
            | Code::IllegalSASLState => ErrorCode::BrokerLogin,
            Code::MessageSizeTooLarge
            | Code::InvalidMessageSize
            | Code::MessageBatchTooLarge
            | Code::InvalidRecord
            | Code::InvalidTimestamp => ErrorCode::CommitRejected,
            Code::InvalidTopic => ErrorCode::InvalidName,
            Code::TopicAlreadyExists => ErrorCode::TopicExists,
            Code::InvalidPartitions
            | Code::InvalidReplicationFactor
            | Code::InvalidConfig
            | Code::PolicyViolation
            | Code::InvalidArgument
            | Code::InvalidTransactionTimeout
            | Code::InvalidGroupId => ErrorCode::InvalidConfig,
            Code::UnsupportedFeature | Code::UnsupportedVersion => ErrorCode::TransactionsUnsupported,
            Code::UnknownMemberId
            | Code::IllegalGeneration
            | Code::FencedInstanceId
            | Code::StaleMemberEpoch
            | Code::RebalanceInProgress => ErrorCode::GroupInUse,
            Code::OffsetOutOfRange | Code::AutoOffsetReset => ErrorCode::PositionDropped,
            _ if self.is_fenced() => ErrorCode::Fenced,
            // What is left is about brokers that are away, elect, load or lack replicas.
            _ => ErrorCode::Unavailable,
        }
    }
}

/// The code in an answer of the safe layer, if it is one of the client or a broker.
pub(crate) fn code_of(error: &KafkaError) -> Option<Code> {
    match error {
        KafkaError::AdminOp(code) => Some(*code),
        error => error.rdkafka_error_code(),
    }
}

/// An answer of the safe layer.
pub(crate) fn failed(doing: impl fmt::Display, error: &KafkaError) -> Error {
    let failure = match code_of(error) {
        Some(code) => Failure::of(code),
        None => return unusable(error),
    };
    failure.error(doing)
}

/// A client that could not be made: a property that it does not know, or a file that it cannot read.
pub(crate) fn unusable(why: &dyn fmt::Display) -> Error {
    Error::new(ErrorCode::InvalidConfig, format!("the properties of the Kafka client: {why}"))
}
