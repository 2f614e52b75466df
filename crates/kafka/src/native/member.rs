// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A member of a group of consumers that reads nothing: what falls to it are partitions as such.

use std::ffi::CString;
use std::ptr::null_mut;
use std::sync::Arc;
use std::time::Duration;

use fnstream_core::Result;
use rdkafka::bindings as sys;
use rdkafka::config::ClientConfig;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaType};

use super::client::{outcome, text};
use super::{Client, Interrupt};
use crate::error::Failure;

/// Partitions by topic and number.
pub(crate) type Partitions = Vec<(String, u32)>;

/// What a group says to a member.
#[derive(Debug)]
pub(crate) enum Told {
    /// These are the member's too, once it has agreed.
    Assigned(Partitions),
    /// These are to be given up; nobody else has them before the member has agreed.
    Revoked(Partitions),
    /// These are somebody else's already, perhaps.
    Lost(Partitions),
}

/// A member of a group. Whoever has it calls [`Member::poll`] again and again, or is taken for dead.
pub(crate) struct Member {
    client: Arc<Client>,
}

/// What proves to a transaction's coordinator which member commits.
pub(crate) struct Proof {
    ptr: *mut sys::rd_kafka_consumer_group_metadata_t,
}

// SAFETY: what it points to is not changed once it was made.
unsafe impl Send for Proof {}
// SAFETY: as above.
unsafe impl Sync for Proof {}

impl Proof {
    /// Of a group that has no members: its partitions are assigned by hand.
    pub(crate) fn without_members(group: &str) -> Result<Proof, Failure> {
        let group = CString::new(group).map_err(|_| Failure::new(RDKafkaErrorCode::InvalidGroupId, "a zero byte"))?;
        // SAFETY: the name is a text with a zero at its end.
        Ok(Proof { ptr: unsafe { sys::rd_kafka_consumer_group_metadata_new(group.as_ptr()) } })
    }

    pub(super) fn ptr(&self) -> *const sys::rd_kafka_consumer_group_metadata_t {
        self.ptr
    }
}

impl Drop for Proof {
    fn drop(&mut self) {
        // SAFETY: it is ours.
        unsafe { sys::rd_kafka_consumer_group_metadata_destroy(self.ptr) };
    }
}

impl Member {
    /// A client that is no member yet. `config` names the group.
    pub(crate) fn new(config: &ClientConfig, on_error: impl Fn(Failure) + Send + Sync + 'static) -> Result<Member> {
        let client = Arc::new(Client::new(RDKafkaType::RD_KAFKA_CONSUMER, config, on_error)?);
        // SAFETY: the client is a consumer that nobody uses yet.
        unsafe { sys::rd_kafka_poll_set_consumer(client.ptr()) };
        Ok(Member { client })
    }

    pub(crate) fn interrupt(&self) -> Interrupt {
        Interrupt::of(&self.client)
    }

    /// Wants a share of these topics, in place of those before. Of no topic: leaves the group.
    pub(crate) fn subscribe<'a>(&self, topics: impl IntoIterator<Item = &'a String>) -> Result<(), Failure> {
        let mut list = TopicPartitionList::new();
        for topic in topics {
            list.add_partition(topic, -1);
        }
        // SAFETY: the list lives for the call, which copies it.
        let code: RDKafkaErrorCode = unsafe {
            match list.count() {
                0 => sys::rd_kafka_unsubscribe(self.client.ptr()).into(),
                _ => sys::rd_kafka_subscribe(self.client.ptr(), list.ptr()).into(),
            }
        };
        if code == RDKafkaErrorCode::NoError { Ok(()) } else { Err(Failure::of(code)) }
    }

    /// Hears what the group says, if it says something within that time.
    pub(crate) fn poll(&self, wait: Duration) -> Option<Told> {
        let wait = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the client lives. What comes out is ours until it is destroyed.
        unsafe {
            let message = sys::rd_kafka_consumer_poll(self.client.ptr(), wait);
            if !message.is_null() {
                // Nothing is read: this is an error of a topic that is not there any more, which its function finds by itself.
                sys::rd_kafka_message_destroy(message);
            }
        }
        let mut told = self.client.events.rebalances.lock();
        (!told.is_empty()).then(|| told.remove(0))
    }

    /// Takes partitions that were assigned. They are not read.
    pub(crate) fn take(&self, partitions: &Partitions) -> Result<(), Failure> {
        let list = list(partitions);
        // SAFETY: the list lives for both calls, which copy it. What is paused is not fetched.
        unsafe {
            outcome(sys::rd_kafka_incremental_assign(self.client.ptr(), list.ptr()))?;
            sys::rd_kafka_pause_partitions(self.client.ptr(), list.ptr());
        }
        Ok(())
    }

    /// Gives up partitions that were revoked or lost.
    pub(crate) fn give_up(&self, partitions: &Partitions) -> Result<(), Failure> {
        // SAFETY: as above.
        unsafe { outcome(sys::rd_kafka_incremental_unassign(self.client.ptr(), list(partitions).ptr())) }
    }

    /// What it is in the group at this moment.
    pub(crate) fn proof(&self) -> Option<Proof> {
        // SAFETY: the client is a consumer with a group.
        let ptr = unsafe { sys::rd_kafka_consumer_group_metadata(self.client.ptr()) };
        (!ptr.is_null()).then_some(Proof { ptr })
    }
}

fn list(partitions: &Partitions) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for (topic, partition) in partitions {
        let mut element = list.add_partition(topic, *partition as i32);
        // Where it would be read from, if it were.
        let set = element.set_offset(rdkafka::topic_partition_list::Offset::End);
        debug_assert!(set.is_ok(), "the end is an offset");
    }
    list
}

/// Notes what a group says, for [`Member::poll`].
pub(super) unsafe extern "C" fn on_rebalance(
    client: *mut sys::rd_kafka_t,
    code: sys::rd_kafka_resp_err_t,
    partitions: *mut sys::rd_kafka_topic_partition_list_t,
    opaque: *mut std::ffi::c_void,
) {
    // SAFETY: librdkafka calls with the client's own opaque value, which `Client` keeps alive, and with a list that lives for the
    // call and has as many elements as it says.
    let (events, found, is_lost) = unsafe {
        let events = &*opaque.cast::<super::client::Events>();
        let list = &*partitions;
        let found: Partitions = (0..usize::try_from(list.cnt).unwrap_or(0))
            .map(|index| {
                let element = &*list.elems.add(index);
                (text(element.topic), element.partition as u32)
            })
            .collect();
        (events, found, sys::rd_kafka_assignment_lost(client) != 0)
    };
    let told = match code.into() {
        RDKafkaErrorCode::AssignPartitions => Told::Assigned(found),
        RDKafkaErrorCode::RevokePartitions if is_lost => Told::Lost(found),
        RDKafkaErrorCode::RevokePartitions => Told::Revoked(found),
        code => {
            // SAFETY: as librdkafka asks for an answer to what went wrong: nothing is assigned.
            unsafe { sys::rd_kafka_assign(client, null_mut()) };
            (events.on_error)(Failure::of(code));
            return;
        }
    };
    events.rebalances.lock().push(told);
    // The poll that is under way ends, so that it is heard at once.
    // SAFETY: the client lives.
    unsafe { sys::rd_kafka_yield(client) };
}
