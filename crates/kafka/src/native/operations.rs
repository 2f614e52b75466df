// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Operations of administrators that the safe layer does not have: the ends of many partitions at once, single settings of a
//! topic, and the offsets of groups without a client for each group.

use std::ffi::{CString, c_int};
use std::ptr::null;

use rdkafka::ClientContext;
use rdkafka::bindings as sys;
use rdkafka::client::Client as SafeClient;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaErrorCode;
use sys::rd_kafka_admin_op_t as Op;

use super::client::{outcome, text};
use crate::error::Failure;

/// An offset of a partition, or why there is none.
pub(crate) type OffsetOf = ((String, u32), Result<i64, RDKafkaErrorCode>);

/// Which offset is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum End {
    /// The oldest.
    Earliest,
    /// The one that comes next; that of the oldest transaction that is not decided yet, if there is one.
    Latest,
}

/// Asks through a client that somebody polls or not: answers come through queues of their own.
pub(crate) struct Operations<'a, C: ClientContext> {
    client: &'a SafeClient<C>,
    timeout_ms: i32,
}

/// An answer.
struct Event(*mut sys::rd_kafka_event_t);

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: the event is ours.
        unsafe { sys::rd_kafka_event_destroy(self.0) };
    }
}

impl<'a, C: ClientContext> Operations<'a, C> {
    pub(crate) fn of(client: &'a SafeClient<C>, timeout_ms: i32) -> Self {
        Operations { client, timeout_ms }
    }

    /// The ends of partitions.
    pub(crate) fn ends(&self, partitions: &[(String, u32)], end: End) -> Result<Vec<OffsetOf>, Failure> {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for (topic, partition) in partitions {
            list.add_partition(topic, *partition as i32);
        }
        let spec = match end {
            End::Earliest => sys::rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_EARLIEST,
            End::Latest => sys::rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_LATEST,
        };
        // SAFETY: the list is ours, has as many elements as it says, and lives for the call, which copies it. The infos live as
        // long as the event.
        unsafe {
            let raw = &mut *list.ptr();
            for index in 0..raw.cnt as usize {
                (*raw.elems.add(index)).offset = spec as i64;
            }
            let committed = sys::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED;
            let answer = self.ask(Op::RD_KAFKA_ADMIN_OP_LISTOFFSETS, |client, options, queue| {
                outcome(sys::rd_kafka_AdminOptions_set_isolation_level(options, committed))?;
                sys::rd_kafka_ListOffsets(client, list.ptr(), options, queue);
                Ok(())
            })?;
            let mut count = 0;
            let result = sys::rd_kafka_event_ListOffsets_result(answer.0);
            let infos = sys::rd_kafka_ListOffsets_result_infos(result, &mut count);
            let of = |index| &*sys::rd_kafka_ListOffsetsResultInfo_topic_partition(*infos.add(index));
            Ok((0..count).map(|index| offset(of(index))).collect())
        }
    }

    /// Changes single settings of a topic; those without a value get that of the cluster's defaults.
    pub(crate) fn set(&self, topic: &str, settings: &[(&str, Option<&str>)]) -> Result<(), Failure> {
        let name = c_string(topic)?;
        let set = sys::rd_kafka_AlterConfigOpType_t::RD_KAFKA_ALTER_CONFIG_OP_TYPE_SET;
        let delete = sys::rd_kafka_AlterConfigOpType_t::RD_KAFKA_ALTER_CONFIG_OP_TYPE_DELETE;
        // SAFETY: the resource is ours until it is destroyed, and is copied by the call; names and values end with zeroes.
        unsafe {
            let kind = sys::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC;
            let mut resource = sys::rd_kafka_ConfigResource_new(kind, name.as_ptr());
            let added = settings.iter().try_for_each(|(setting, value)| {
                let (setting, value) = (c_string(setting)?, value.map(c_string).transpose()?);
                let how = if value.is_some() { set } else { delete };
                let value = value.as_ref().map_or(null(), |value| value.as_ptr());
                outcome(sys::rd_kafka_ConfigResource_add_incremental_config(resource, setting.as_ptr(), how, value))
            });
            let answer = added.and_then(|()| {
                self.ask(Op::RD_KAFKA_ADMIN_OP_INCREMENTALALTERCONFIGS, |client, options, queue| {
                    sys::rd_kafka_IncrementalAlterConfigs(client, &mut resource, 1, options, queue);
                    Ok(())
                })
            });
            sys::rd_kafka_ConfigResource_destroy(resource);
            let answer = answer?;
            let mut count = 0;
            let result = sys::rd_kafka_event_IncrementalAlterConfigs_result(answer.0);
            let resources = sys::rd_kafka_IncrementalAlterConfigs_result_resources(result, &mut count);
            (0..count).try_for_each(|index| {
                let resource = *resources.add(index);
                let code = sys::rd_kafka_ConfigResource_error(resource).into();
                let why = sys::rd_kafka_ConfigResource_error_string(resource);
                if code == RDKafkaErrorCode::NoError { Ok(()) } else { Err(Failure::new(code, text(why))) }
            })
        }
    }

    /// The groups of the cluster.
    pub(crate) fn groups(&self) -> Result<Vec<String>, Failure> {
        // SAFETY: the listings live as long as the event.
        unsafe {
            let answer = self.ask(Op::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPS, |client, options, queue| {
                sys::rd_kafka_ListConsumerGroups(client, options, queue);
                Ok(())
            })?;
            let result = sys::rd_kafka_event_ListConsumerGroups_result(answer.0);
            let mut count = 0;
            let errors = sys::rd_kafka_ListConsumerGroups_result_errors(result, &mut count);
            if count > 0 {
                let error = *errors;
                let why = text(sys::rd_kafka_error_string(error));
                return Err(Failure::new(sys::rd_kafka_error_code(error).into(), why));
            }
            let found = sys::rd_kafka_ListConsumerGroups_result_valid(result, &mut count);
            let name = |index| text(sys::rd_kafka_ConsumerGroupListing_group_id(*found.add(index)));
            Ok((0..count).map(name).collect())
        }
    }

    /// The offsets that a group has committed, below zero where it has none.
    pub(crate) fn committed(&self, group: &str, partitions: &TopicPartitionList) -> Result<Vec<OffsetOf>, Failure> {
        let name = c_string(group)?;
        // SAFETY: the question is ours until it is destroyed, and is copied by the call, as is the list; the answer lives as
        // long as the event.
        unsafe {
            let mut question = sys::rd_kafka_ListConsumerGroupOffsets_new(name.as_ptr(), partitions.ptr());
            let answer = self.ask(Op::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS, |client, options, queue| {
                // What a transaction that is not decided yet has committed is waited for.
                outcome(sys::rd_kafka_AdminOptions_set_require_stable_offsets(options, 1))?;
                sys::rd_kafka_ListConsumerGroupOffsets(client, &mut question, 1, options, queue);
                Ok(())
            });
            sys::rd_kafka_ListConsumerGroupOffsets_destroy(question);
            let answer = answer?;
            let mut count = 0;
            let result = sys::rd_kafka_event_ListConsumerGroupOffsets_result(answer.0);
            of_group(sys::rd_kafka_ListConsumerGroupOffsets_result_groups(result, &mut count), count)
        }
    }

    /// Commits offsets of a group that has no members.
    pub(crate) fn commit(&self, group: &str, offsets: &TopicPartitionList) -> Result<(), Failure> {
        let name = c_string(group)?;
        // SAFETY: as above.
        let committed = unsafe {
            let mut question = sys::rd_kafka_AlterConsumerGroupOffsets_new(name.as_ptr(), offsets.ptr());
            let answer = self.ask(Op::RD_KAFKA_ADMIN_OP_ALTERCONSUMERGROUPOFFSETS, |client, options, queue| {
                sys::rd_kafka_AlterConsumerGroupOffsets(client, &mut question, 1, options, queue);
                Ok(())
            });
            sys::rd_kafka_AlterConsumerGroupOffsets_destroy(question);
            let answer = answer?;
            let mut count = 0;
            let result = sys::rd_kafka_event_AlterConsumerGroupOffsets_result(answer.0);
            of_group(sys::rd_kafka_AlterConsumerGroupOffsets_result_groups(result, &mut count), count)?
        };
        committed.into_iter().try_for_each(|(_, offset)| offset.map(drop).map_err(Failure::of))
    }

    /// Asks and waits for the answer.
    ///
    /// # Safety
    /// `ask` hands what it is given to the operation of `op`, once, and keeps none of it.
    unsafe fn ask(
        &self,
        op: Op,
        ask: impl FnOnce(
            *mut sys::rd_kafka_t,
            *mut sys::rd_kafka_AdminOptions_t,
            *mut sys::rd_kafka_queue_t,
        ) -> Result<(), Failure>,
    ) -> Result<Event, Failure> {
        let client = self.client.native_ptr();
        let mut why = [0; 512];
        // SAFETY: the client lives; options and queue are ours until they are destroyed. An operation ends within its timeout,
        // so that the queue has its answer a moment later.
        unsafe {
            let options = sys::rd_kafka_AdminOptions_new(client, op);
            let queue = sys::rd_kafka_queue_new(client);
            let timeout = self.timeout_ms as c_int;
            sys::rd_kafka_AdminOptions_set_request_timeout(options, timeout, why.as_mut_ptr(), why.len());
            let asked = ask(client, options, queue);
            let answer = asked.map(|()| sys::rd_kafka_queue_poll(queue, 2 * timeout));
            sys::rd_kafka_AdminOptions_destroy(options);
            sys::rd_kafka_queue_destroy(queue);
            let answer = answer?;
            if answer.is_null() {
                return Err(Failure::of(RDKafkaErrorCode::OperationTimedOut));
            }
            let answer = Event(answer);
            match sys::rd_kafka_event_error(answer.0).into() {
                RDKafkaErrorCode::NoError => Ok(answer),
                code => Err(Failure::new(code, text(sys::rd_kafka_event_error_string(answer.0)))),
            }
        }
    }
}

/// # Safety
/// The element is one of a list of librdkafka.
unsafe fn offset(element: &sys::rd_kafka_topic_partition_t) -> OffsetOf {
    // SAFETY: the name ends with a zero.
    let name = unsafe { text(element.topic) };
    let found = match element.err.into() {
        RDKafkaErrorCode::NoError => Ok(element.offset),
        code => Err(code),
    };
    ((name, element.partition as u32), found)
}

/// What was answered of the only group that was asked for.
///
/// # Safety
/// There are `count` answers, which live for the call.
unsafe fn of_group(answers: *mut *const sys::rd_kafka_group_result_t, count: usize) -> Result<Vec<OffsetOf>, Failure> {
    if count == 0 {
        return Err(Failure::of(RDKafkaErrorCode::BadMessage));
    }
    // SAFETY: there is one, whose error and partitions live as long as it does.
    unsafe {
        let error = sys::rd_kafka_group_result_error(*answers);
        if !error.is_null() {
            let why = text(sys::rd_kafka_error_string(error));
            return Err(Failure::new(sys::rd_kafka_error_code(error).into(), why));
        }
        let list = sys::rd_kafka_group_result_partitions(*answers);
        if list.is_null() {
            return Ok(Vec::new());
        }
        Ok((0..(*list).cnt as usize).map(|index| offset(&*(*list).elems.add(index))).collect())
    }
}

fn c_string(text: &str) -> Result<CString, Failure> {
    CString::new(text).map_err(|_| Failure::new(RDKafkaErrorCode::InvalidArgument, "a zero byte in a name"))
}

/// What was committed with the offset of the first partition of a list. The safe layer takes it for a text, which it need not be.
pub(crate) fn mark_of_first(list: &TopicPartitionList) -> Vec<u8> {
    // SAFETY: the list lives for the call, and has as many elements as it says; the first one's bytes are as many as are said.
    unsafe {
        let list = &*list.ptr();
        let first = (list.cnt > 0).then(|| &*list.elems);
        let bytes = first.filter(|first| !first.metadata.is_null());
        bytes
            .map_or_else(Vec::new, |of| std::slice::from_raw_parts(of.metadata.cast::<u8>(), of.metadata_size).to_vec())
    }
}
