// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Producing in transactions.

use std::ffi::{CString, c_int, c_void};
use std::ptr::{null, null_mut};
use std::sync::Arc;

use fnstream_core::{Error, ErrorCode, Result};
use fnstream_frame::RecordRef;
use rdkafka::bindings as sys;
use rdkafka::config::ClientConfig;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaType};

use super::client::outcome;
use super::{Client, Proof};
use crate::error::Failure;

/// How long a connection is waited for before the coordinator is looked for.
const CONNECT_MS: i32 = 1_000;

/// What became of a record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delivery {
    /// What the record was produced with.
    pub token: usize,
    /// Where it is.
    pub offset: i64,
    /// Why it is nowhere.
    pub failed: Option<RDKafkaErrorCode>,
}

/// A producer of transactions.
pub(crate) struct Producer(Arc<Client>);

/// A topic that was looked up for producing.
pub(crate) struct TopicHandle {
    ptr: *mut sys::rd_kafka_topic_t,
    /// The client must outlive its topics.
    _client: Arc<Client>,
}

// SAFETY: handles of topics may be used from any thread.
unsafe impl Send for TopicHandle {}

impl Drop for TopicHandle {
    fn drop(&mut self) {
        // SAFETY: it is ours, and the client lives.
        unsafe { sys::rd_kafka_topic_destroy(self.ptr) };
    }
}

impl Producer {
    pub(crate) fn new(config: &ClientConfig, on_error: impl Fn(Failure) + Send + Sync + 'static) -> Result<Producer> {
        Ok(Producer(Arc::new(Client::new(RDKafkaType::RD_KAFKA_PRODUCER, config, on_error)?)))
    }

    pub(crate) fn topic(&self, name: &str) -> Result<TopicHandle> {
        let invalid =
            || Error::new(ErrorCode::InvalidName, format!("a topic cannot be called '{}'", name.escape_debug()));
        let text = CString::new(name).map_err(|_| invalid())?;
        // SAFETY: the name is a text with a zero at its end.
        let ptr = unsafe { sys::rd_kafka_topic_new(self.0.ptr(), text.as_ptr(), null_mut()) };
        if ptr.is_null() { Err(invalid()) } else { Ok(TopicHandle { ptr, _client: self.0.clone() }) }
    }

    /// Hands a record over, which is copied. What becomes of it comes with its token.
    pub(crate) fn produce(
        &self,
        topic: &TopicHandle,
        partition: i32,
        record: &RecordRef<'_>,
        token: usize,
    ) -> Result<(), RDKafkaErrorCode> {
        let start = |part: Option<&[u8]>| part.map_or(null(), |part| part.as_ptr().cast::<c_void>());
        let len = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len);
        // SAFETY: each argument has the type that librdkafka expects after its tag; a value that is not null is copied, as is
        // a key; the headers are librdkafka's once it has taken the record, and are destroyed if it has not.
        unsafe {
            let headers = if record.headers.is_empty() { null_mut() } else { sys::rd_kafka_headers_new(4) };
            for (name, value) in record.headers.iter() {
                let value_ptr = value.as_ptr().cast();
                sys::rd_kafka_header_add(
                    headers,
                    name.as_ptr().cast(),
                    name.len() as isize,
                    value_ptr,
                    value.len() as isize,
                );
            }
            let with_headers = match headers.is_null() {
                true => sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_END,
                false => sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_HEADERS,
            };
            let code: RDKafkaErrorCode = sys::rd_kafka_producev(
                self.0.ptr(),
                sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_RKT as c_int,
                topic.ptr,
                sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_PARTITION as c_int,
                partition as c_int,
                sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_MSGFLAGS as c_int,
                sys::RD_KAFKA_MSG_F_COPY as c_int,
                sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_VALUE as c_int,
                start(record.value),
                len(record.value),
                sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_KEY as c_int,
                start(record.key),
                len(record.key),
                sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_TIMESTAMP as c_int,
                record.timestamp,
                sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_OPAQUE as c_int,
                token as *mut c_void,
                with_headers as c_int,
                headers,
                sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_END as c_int,
            )
            .into();
            if code == RDKafkaErrorCode::NoError {
                return Ok(());
            }
            if !headers.is_null() {
                sys::rd_kafka_headers_destroy(headers);
            }
            Err(code)
        }
    }

    /// Asks what a topic is, so that the client knows it if it was made or has grown.
    pub(crate) fn look_up(&self, topic: &TopicHandle, timeout_ms: i32) {
        self.ask(topic.ptr, timeout_ms);
    }

    /// Asks for the brokers, and what a topic is that is not null.
    fn ask(&self, topic: *mut sys::rd_kafka_topic_t, timeout_ms: i32) {
        let mut metadata = null();
        // SAFETY: a topic that is not null is the client's; what is answered is destroyed.
        unsafe {
            sys::rd_kafka_metadata(self.0.ptr(), 0, topic, &mut metadata, timeout_ms as c_int);
            if !metadata.is_null() {
                sys::rd_kafka_metadata_destroy(metadata);
            }
        }
    }

    /// Calls callbacks for at most so long.
    pub(crate) fn poll(&self, timeout_ms: i32) {
        // SAFETY: the client lives.
        unsafe { sys::rd_kafka_poll(self.0.ptr(), timeout_ms as c_int) };
    }

    /// Sends what waits at once, for at most so long; answers whether all of it was answered.
    pub(crate) fn flush(&self, timeout_ms: i32) -> bool {
        // SAFETY: the client lives.
        unsafe {
            sys::rd_kafka_flush(self.0.ptr(), timeout_ms as c_int);
            sys::rd_kafka_outq_len(self.0.ptr()) == 0
        }
    }

    /// What became of records since the last call.
    pub(crate) fn take_deliveries(&self) -> Vec<Delivery> {
        std::mem::take(&mut *self.0.events.deliveries.lock())
    }

    /// Fences whoever produced under the transactional id before, and aborts what they left open.
    pub(crate) fn init_transactions(&self, timeout_ms: i32) -> Result<(), Failure> {
        // A client that is not connected yet when it looks for the coordinator looks again after half a second. Whether there is an
        // answer shows below.
        self.ask(null_mut(), timeout_ms.min(CONNECT_MS));
        // SAFETY: the client lives.
        unsafe { outcome(sys::rd_kafka_init_transactions(self.0.ptr(), timeout_ms as c_int)) }
    }

    pub(crate) fn begin(&self) -> Result<(), Failure> {
        // SAFETY: as above.
        unsafe { outcome(sys::rd_kafka_begin_transaction(self.0.ptr())) }
    }

    pub(crate) fn commit(&self, timeout_ms: i32) -> Result<(), Failure> {
        // SAFETY: as above.
        unsafe { outcome(sys::rd_kafka_commit_transaction(self.0.ptr(), timeout_ms as c_int)) }
    }

    pub(crate) fn abort(&self, timeout_ms: i32) -> Result<(), Failure> {
        // SAFETY: as above.
        unsafe { outcome(sys::rd_kafka_abort_transaction(self.0.ptr(), timeout_ms as c_int)) }
    }

    /// Makes offsets of a group part of the transaction, which is refused if the proof does not hold any more.
    pub(crate) fn send_offsets(
        &self,
        group: &Proof,
        offsets: &TopicPartitionList,
        timeout_ms: i32,
    ) -> Result<(), Failure> {
        // SAFETY: list and proof live for the call.
        unsafe {
            let (client, timeout) = (self.0.ptr(), timeout_ms as c_int);
            outcome(sys::rd_kafka_send_offsets_to_transaction(client, offsets.ptr(), group.ptr(), timeout))
        }
    }
}
