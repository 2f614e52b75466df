// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Reading partitions that are assigned by hand.

use std::collections::BTreeSet;
use std::ffi::{CString, c_char, c_int, c_void};
use std::ptr::{null, null_mut};
use std::sync::Arc;

use fnstream_core::Result;
use fnstream_frame::{FrameError, HeadersBuilder};
use rdkafka::bindings as sys;
use rdkafka::config::ClientConfig;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaType};

use super::Client;
use super::client::{outcome, text};
use crate::error::Failure;

/// How long an answer is waited for that only makes what follows faster.
const LOOK_UP_MS: i32 = 300;

/// Reads what is assigned to it, all partitions through one queue.
pub(crate) struct Consumer {
    queue: Queue,
    client: Arc<Client>,
    batch: Vec<*mut sys::rd_kafka_message_t>,
}

// SAFETY: the pointers in `batch` are of messages that no other thread has, and are taken out before a call returns.
unsafe impl Send for Consumer {}

/// Ends a consumer's wait from another thread.
#[derive(Clone)]
pub(crate) struct Interrupt {
    queue: Queue,
    /// The client must outlive its queue.
    _client: Arc<Client>,
}

struct QueuePtr(*mut sys::rd_kafka_queue_t);

// SAFETY: queues of librdkafka may be used from any thread.
unsafe impl Send for QueuePtr {}
// SAFETY: as above.
unsafe impl Sync for QueuePtr {}

impl Drop for QueuePtr {
    fn drop(&mut self) {
        // SAFETY: this is the last reference to a queue that is ours.
        unsafe { sys::rd_kafka_queue_destroy(self.0) };
    }
}

type Queue = Arc<QueuePtr>;

impl Interrupt {
    /// Of whoever waits for what comes to a consumer.
    pub(super) fn of(client: &Arc<Client>) -> Interrupt {
        // SAFETY: the client is a consumer, which outlives its queue.
        let queue = unsafe { Arc::new(QueuePtr(sys::rd_kafka_queue_get_consumer(client.ptr()))) };
        Interrupt { queue, _client: client.clone() }
    }

    /// Has the wait that is under way, or the next one, return.
    pub(crate) fn interrupt(&self) {
        // SAFETY: the client lives, and so does its queue.
        unsafe { sys::rd_kafka_queue_yield(self.queue.0) };
    }
}

/// What came out of a consumer's queue.
pub(crate) enum Consumed {
    /// A record.
    Record(Message),
    /// The end of a partition: the offset that comes next there.
    End { topic: String, partition: i32, offset: i64 },
    /// A partition that cannot be read.
    Failed { topic: String, partition: i32, failure: Failure },
    /// Something that concerns no partition.
    Trouble(Failure),
}

/// Names a partition of a consumer: a handle that stays the same while the partition is assigned, and a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Partition {
    topic: usize,
    pub(crate) number: i32,
}

impl Consumer {
    pub(crate) fn new(config: &ClientConfig, on_error: impl Fn(Failure) + Send + Sync + 'static) -> Result<Consumer> {
        let client = Arc::new(Client::new(RDKafkaType::RD_KAFKA_CONSUMER, config, on_error)?);
        // SAFETY: the client is a consumer that nobody uses yet.
        let queue = unsafe {
            sys::rd_kafka_poll_set_consumer(client.ptr());
            Arc::new(QueuePtr(sys::rd_kafka_queue_get_consumer(client.ptr())))
        };
        Ok(Consumer { queue, client, batch: Vec::new() })
    }

    pub(crate) fn interrupt(&self) -> Interrupt {
        Interrupt { queue: self.queue.clone(), _client: self.client.clone() }
    }

    /// Reads these partitions too, each from its offset on.
    pub(crate) fn assign(&self, partitions: &TopicPartitionList) -> Result<(), Failure> {
        // SAFETY: the list lives for the call, which copies it.
        unsafe { outcome(sys::rd_kafka_incremental_assign(self.client.ptr(), partitions.ptr()))? };
        // The client itself asks within a second who leads topics that it has not read before.
        let topics: BTreeSet<_> = partitions.elements().iter().map(|element| element.topic().to_owned()).collect();
        topics.iter().for_each(|topic| self.look_up(topic));
        Ok(())
    }

    /// Asks what a topic is. Whatever is wrong with it comes with what is read.
    fn look_up(&self, topic: &str) {
        let Ok(topic) = CString::new(topic) else { return };
        let mut metadata = null();
        // SAFETY: the name ends with a zero. Handle and answer are ours, and are given back.
        unsafe {
            let handle = sys::rd_kafka_topic_new(self.client.ptr(), topic.as_ptr(), null_mut());
            if handle.is_null() {
                return;
            }
            sys::rd_kafka_metadata(self.client.ptr(), 0, handle, &mut metadata, LOOK_UP_MS as c_int);
            if !metadata.is_null() {
                sys::rd_kafka_metadata_destroy(metadata);
            }
            sys::rd_kafka_topic_destroy(handle);
        }
    }

    /// Reads these partitions no more. What was fetched of them is dropped.
    pub(crate) fn unassign(&self, partitions: &TopicPartitionList) -> Result<(), Failure> {
        // SAFETY: as above.
        unsafe { outcome(sys::rd_kafka_incremental_unassign(self.client.ptr(), partitions.ptr())) }
    }

    pub(crate) fn pause(&self, partitions: &TopicPartitionList) {
        // SAFETY: as above. What is not assigned any more need not be paused.
        unsafe { sys::rd_kafka_pause_partitions(self.client.ptr(), partitions.ptr()) };
    }

    pub(crate) fn resume(&self, partitions: &TopicPartitionList) {
        // SAFETY: as above.
        unsafe { sys::rd_kafka_resume_partitions(self.client.ptr(), partitions.ptr()) };
    }

    /// Waits for at most `timeout_ms` until something is there, and takes at most `most` of it.
    pub(crate) fn consume(&mut self, timeout_ms: i32, most: usize, mut each: impl FnMut(Consumed)) -> usize {
        // A call for several waits until all of them are there.
        let first = self.take(timeout_ms, 1, &mut each);
        if first == 0 { 0 } else { first + self.take(0, most, &mut each) }
    }

    fn take(&mut self, timeout_ms: i32, most: usize, each: &mut impl FnMut(Consumed)) -> usize {
        self.batch.resize(most, null_mut());
        // SAFETY: there is room for `most` pointers.
        let count = unsafe {
            sys::rd_kafka_consume_batch_queue(self.queue.0, timeout_ms as c_int, self.batch.as_mut_ptr(), most)
        };
        let count = usize::try_from(count).unwrap_or(0);
        for ptr in self.batch.drain(..count) {
            each(Message { ptr, _client: self.client.clone() }.sort());
        }
        self.batch.clear();
        count
    }

    /// The oldest offset of a partition and the one that comes next, as the broker says now.
    pub(crate) fn bounds(&self, topic: &str, partition: i32, timeout_ms: i32) -> Result<(i64, i64), Failure> {
        let topic = CString::new(topic).map_err(|_| Failure::of(RDKafkaErrorCode::InvalidTopic))?;
        let (mut low, mut high) = (0, 0);
        // SAFETY: the name ends with a zero, and there is room for both answers.
        let code: RDKafkaErrorCode = unsafe {
            let (client, name) = (self.client.ptr(), topic.as_ptr());
            sys::rd_kafka_query_watermark_offsets(client, name, partition, &mut low, &mut high, timeout_ms as c_int)
                .into()
        };
        if code == RDKafkaErrorCode::NoError { Ok((low, high)) } else { Err(Failure::of(code)) }
    }

    /// The offset that comes next in a partition, as the last answer with records said.
    pub(crate) fn last_end(&self, topic: &str, partition: i32) -> Option<i64> {
        let topic = CString::new(topic).ok()?;
        let (mut low, mut high) = (0, 0);
        // SAFETY: the name ends with a zero, and there is room for both answers.
        unsafe {
            sys::rd_kafka_get_watermark_offsets(self.client.ptr(), topic.as_ptr(), partition, &mut low, &mut high)
        };
        (high >= 0).then_some(high)
    }

    /// Whether the broker answers.
    pub(crate) fn is_reachable(&self, timeout_ms: i32) -> Result<(), Failure> {
        let mut metadata = null();
        // SAFETY: nothing but the brokers is asked for; what is answered is destroyed.
        let code: RDKafkaErrorCode = unsafe {
            let answer = sys::rd_kafka_metadata(self.client.ptr(), 0, null_mut(), &mut metadata, timeout_ms as c_int);
            if !metadata.is_null() {
                sys::rd_kafka_metadata_destroy(metadata);
            }
            answer.into()
        };
        if code == RDKafkaErrorCode::NoError { Ok(()) } else { Err(Failure::of(code)) }
    }
}

/// A record, as librdkafka holds it: dropping it lets its memory go.
pub(crate) struct Message {
    ptr: *mut sys::rd_kafka_message_t,
    /// The client must outlive its records.
    _client: Arc<Client>,
}

// SAFETY: a message is read only, and nobody else has it.
unsafe impl Send for Message {}

impl Message {
    fn raw(&self) -> &sys::rd_kafka_message_t {
        // SAFETY: it is there until this is dropped.
        unsafe { &*self.ptr }
    }

    fn sort(self) -> Consumed {
        let code: RDKafkaErrorCode = self.raw().err.into();
        if code == RDKafkaErrorCode::NoError {
            return Consumed::Record(self);
        }
        let (partition, offset) = (self.raw().partition, self.raw().offset);
        if code == RDKafkaErrorCode::PartitionEOF {
            return Consumed::End { topic: self.topic(), partition, offset };
        }
        // SAFETY: librdkafka gives a text of its own.
        let failure = Failure::new(code, unsafe { text(sys::rd_kafka_message_errstr(self.ptr)) });
        match self.raw().rkt.is_null() {
            true => Consumed::Trouble(failure),
            false => Consumed::Failed { topic: self.topic(), partition, failure },
        }
    }

    pub(crate) fn partition(&self) -> Partition {
        Partition { topic: self.raw().rkt as usize, number: self.raw().partition }
    }

    /// The name of the topic.
    pub(crate) fn topic(&self) -> String {
        // SAFETY: a record has a topic.
        unsafe { text(sys::rd_kafka_topic_name(self.raw().rkt)) }
    }

    pub(crate) fn offset(&self) -> i64 {
        self.raw().offset
    }

    pub(crate) fn key(&self) -> Option<&[u8]> {
        // SAFETY: key and length are of one buffer, which lives as long as the message.
        unsafe { bytes(self.raw().key, self.raw().key_len) }
    }

    pub(crate) fn value(&self) -> Option<&[u8]> {
        // SAFETY: as above.
        unsafe { bytes(self.raw().payload, self.raw().len) }
    }

    /// About how much memory it holds.
    pub(crate) fn weight(&self) -> usize {
        self.raw().key_len + self.raw().len + 128
    }

    pub(crate) fn timestamp(&self) -> i64 {
        // SAFETY: the sort of the timestamp is not asked for.
        unsafe { sys::rd_kafka_message_timestamp(self.ptr, null_mut()) }
    }

    /// The headers; a null value comes as an empty one, since that is what headers are here.
    pub(crate) fn headers(&self, into: &mut HeadersBuilder) -> Result<(), FrameError> {
        let mut headers = null_mut();
        // SAFETY: the headers live as long as the message, and name and value as long as they.
        unsafe {
            if sys::rd_kafka_message_headers(self.ptr, &mut headers)
                != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
            {
                return Ok(());
            }
            for index in 0.. {
                let (mut name, mut value, mut size): (*const c_char, *const c_void, usize) = (null(), null(), 0);
                if sys::rd_kafka_header_get_all(headers, index, &mut name, &mut value, &mut size)
                    != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
                {
                    break;
                }
                into.push(&text(name), bytes(value.cast_mut(), size).unwrap_or_default())?;
            }
        }
        Ok(())
    }
}

/// # Safety
/// `at` is null or points to `len` bytes that live for `'a`.
unsafe fn bytes<'a>(at: *mut c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: the caller says so.
    (!at.is_null()).then(|| unsafe { std::slice::from_raw_parts(at.cast::<u8>(), len) })
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: nobody else has it, and the client lives.
        unsafe { sys::rd_kafka_message_destroy(self.ptr) };
    }
}
