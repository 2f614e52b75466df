// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What goes over the wire between a Function Stream server and its clients, and a client.
//!
//! Owns: the JSON models of the REST interface ([`function`], [`dead_letter`], [`job`], [`logs`], [`topic`], [`record`], [`event`], [`group`], [`status`], [`backup`], [`failure`]), how keys and
//! headers of a record travel in HTTP headers ([`header`]), durations and sizes in human units ([`units`]), what is wrong with a JSON text ([`json`]), the typed
//! [`Client`], and the gRPC interface with a client of its own ([`grpc`]). It must not know the engine, the store or how the server does its work.
//!
//! # Reading order
//!
//! The models as listed above, then [`client`], then [`grpc`].
//!
//! ```no_run
//! # async fn example() -> Result<(), fnstream_api::ClientError> {
//! use fnstream_api::{Client, ConsumeOptions, ProduceOptions};
//!
//! let client = Client::new("http://localhost:7300")?;
//! client.produce("example-input", r#"{"money":2}"#, &ProduceOptions::default()).await?;
//! let event = client.consume("example-output", &ConsumeOptions::default()).await?;
//! # let _ = event;
//! # Ok(())
//! # }
//! ```

pub mod backup;
pub mod client;
pub mod dead_letter;
pub mod event;
pub mod failure;
pub mod function;
pub mod group;
pub mod grpc;
pub mod header;
pub mod job;
pub mod json;
pub mod logs;
pub mod record;
pub mod request;
pub mod status;
pub mod topic;
pub mod trigger;
pub mod units;

pub use backup::{BackupEvent, BackupMade, BackupProgress, BackupRequest};
pub use client::{
    ApplyRequest, Client, ClientError, ConsumeOptions, Consumed, ConsumedBatch, Events, LogOptions, Page, PageOptions,
    ProduceOptions, Producer, ReadFrom, TakeOptions, UpWait,
};
pub use dead_letter::{
    DeadLetter, DeadLetterDrop, DeadLetterResult, DeadLetterSelection, DeadLetterTrial, DeadLetters, RecordHeader,
    TriedDeadLetter, TriedDeadLetters,
};
pub use event::JsonEvent;
pub use failure::ErrorBody;
pub use function::{
    Applied, ApplyOutcome, Emitted, FieldChange, FileGrant, Function, FunctionDescription, FunctionMemory,
    FunctionStatus, FunctionUpdate, Limits, Moved, OnError, OnErrorAction, PartitionDescription, Place,
    RevisionDescription, RollbackRequest, RolledBack, SeekRequest, Selector, Sought, Strategy, TaskDescription,
    TaskError, TaskStatus, Watermark,
};
pub use group::{
    Data, EventHeader, GroupDescription, GroupPartition, GroupReset, GroupSummary, LeasedEvent, LeasedEvents, Receipts,
    SettledEvents, SkippedEvents,
};
pub use job::{Job, JobKind, JobState};
pub use logs::{LogLine, LogPage};
pub use record::{AppendedRun, Produced, ProducerDescription};
pub use request::{ExecModule, ExecRequest};
pub use status::FunctionSummary;
pub use topic::{
    PartitionInfo, RetentionBy, TopicAltered, TopicChange, TopicDescription, TopicParts, TopicReference, TopicRequest,
    UploadedArtifact,
};
pub use trigger::{Trigger, Triggered, TriggeredError, TriggeredEvent, TriggeredKey, TriggeredLine};

/// Where a server listens when nothing else is said.
pub const DEFAULT_ADDRESS: &str = "localhost:7300";

/// Where a client looks for a server when nothing else is said.
pub const DEFAULT_URL: &str = "http://localhost:7300";
