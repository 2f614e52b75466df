// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What Pulsar and its client answer, as errors of ours.

use std::fmt;

use fnstream_core::{Error, ErrorCode};
use fnstream_pulsar_client::Error as Failure;

/// A failure, with what was being done put before it.
pub(crate) fn of(doing: impl fmt::Display, failure: &Failure) -> Error {
    Error::new(code(failure), format!("{doing}: {failure}"))
}

/// The code that stands for a failure.
pub(crate) fn code(failure: &Failure) -> ErrorCode {
    match failure {
        Failure::AuthenticationFailed(_) => ErrorCode::BrokerLogin,
        Failure::AuthorizationFailed(_) => ErrorCode::BrokerForbidden,
        Failure::ProducerFenced(_) => ErrorCode::Fenced,
        Failure::TopicNotFound(_) => ErrorCode::TopicNotFound,
        Failure::SubscriptionNotFound(_) => ErrorCode::GroupNotFound,
        Failure::ConsumerBusy(_) => ErrorCode::GroupInUse,
        Failure::InvalidTopicName(_) => ErrorCode::InvalidName,
        Failure::MessageTooLarge { .. } => ErrorCode::RecordTooLarge,
        Failure::IncompatibleSchema(_) => ErrorCode::SchemaIncompatible,
        Failure::TopicTerminated(_) | Failure::NotAllowed(_) | Failure::InvalidMessage(_) => ErrorCode::CommitRejected,
        Failure::InvalidUrl(_) | Failure::InvalidOptions(_) => ErrorCode::InvalidConfig,
        Failure::Tls(_) | Failure::Protocol(_) | Failure::UnsupportedVersion(_) => ErrorCode::BrokerProtocol,
        Failure::Encrypted | Failure::Damaged(_) => ErrorCode::DataCorrupt,
        // What is left is about brokers that are away, load a topic or have too much to do.
        _ => ErrorCode::Unavailable,
    }
}
