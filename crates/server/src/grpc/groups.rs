// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The service of consumer groups: calls to operations, results to messages.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fnstream_api::GroupReset;
use fnstream_api::grpc::proto::consumer_group_service_server::ConsumerGroupService;
use fnstream_api::grpc::proto::{
    AcknowledgeEventsRequest, DeleteGroupRequest, DescribeGroupRequest, EventHeader, ExtendLeasesRequest,
    GiveBackEventsRequest, GroupDescription, GroupPartition, GroupResponse, GroupSummary, LeasedEvent,
    ListGroupsRequest, ListGroupsResponse, ResetGroupRequest, Response, SettleEventsResponse, SkippedEvents,
    StatusCode, TakeEventsRequest, TakeEventsResponse,
};
use fnstream_core::{Error, Result};
use tonic::{Request, Status};

use super::answer::{call, done};
use crate::app::{App, ResetTo, Settling, Skipped, Taken, TakenRecord, Taking};
use fnstream_core::units::counted;

/// See the module.
pub(super) struct Groups {
    app: Arc<App>,
}

impl Groups {
    pub(super) fn new(app: Arc<App>) -> Self {
        Groups { app }
    }

    /// Settles events; those that were refused make it a conflict, as in REST.
    async fn settle(
        &self,
        topic: &str,
        group: &str,
        receipts: &[String],
        settling: Settling,
    ) -> Result<SettleEventsResponse> {
        let settled = self.app.records.settle(topic, group, receipts, settling).await?;
        let result = match settled.lost() {
            Some(error) => Response::from(&error),
            None => done(StatusCode::Ok, counted(settled.done, "event")),
        };
        Ok(SettleEventsResponse { result: Some(result), done: settled.done as u64, refused: settled.refused })
    }
}

type Answer<T> = std::result::Result<tonic::Response<T>, Status>;

#[tonic::async_trait]
impl ConsumerGroupService for Groups {
    async fn take_events(&self, request: Request<TakeEventsRequest>) -> Answer<TakeEventsResponse> {
        let (_, extensions, request) = request.into_parts();
        let take = async { Ok(taken(self.app.records.take(taking(request)).await?)) };
        let refused = |error: &Error| TakeEventsResponse { result: failed(error), ..Default::default() };
        call(&self.app.net.budget, &extensions, take, refused).await
    }

    async fn acknowledge_events(&self, request: Request<AcknowledgeEventsRequest>) -> Answer<SettleEventsResponse> {
        let (_, extensions, request) = request.into_parts();
        let settle = self.settle(&request.topic, &request.group, &request.receipts, Settling::Acknowledge);
        call(&self.app.net.budget, &extensions, settle, unsettled).await
    }

    async fn give_back_events(&self, request: Request<GiveBackEventsRequest>) -> Answer<SettleEventsResponse> {
        let (_, extensions, request) = request.into_parts();
        let settling = Settling::GiveBack(Duration::from_millis(request.delay_ms));
        let settle = self.settle(&request.topic, &request.group, &request.receipts, settling);
        call(&self.app.net.budget, &extensions, settle, unsettled).await
    }

    async fn extend_leases(&self, request: Request<ExtendLeasesRequest>) -> Answer<SettleEventsResponse> {
        let (_, extensions, request) = request.into_parts();
        let settling = Settling::Extend(request.lease_ms.map_or(Taking::LEASE, Duration::from_millis));
        let settle = self.settle(&request.topic, &request.group, &request.receipts, settling);
        call(&self.app.net.budget, &extensions, settle, unsettled).await
    }

    async fn list_groups(&self, request: Request<ListGroupsRequest>) -> Answer<ListGroupsResponse> {
        let (_, extensions, request) = request.into_parts();
        let list = async {
            let _memory = self.app.net.for_list().await?;
            let groups = self.app.records.list_groups(&request.topic).await?;
            let result = done(StatusCode::Ok, counted(groups.len(), "group"));
            Ok(ListGroupsResponse { result: Some(result), groups: groups.into_iter().map(summary).collect() })
        };
        let refused = |error: &Error| ListGroupsResponse { result: failed(error), ..Default::default() };
        call(&self.app.net.budget, &extensions, list, refused).await
    }

    async fn describe_group(&self, request: Request<DescribeGroupRequest>) -> Answer<GroupResponse> {
        let (_, extensions, request) = request.into_parts();
        let described = async {
            let group = self.app.records.describe_group(&request.topic, &request.group).await?;
            Ok(described(group, format!("group '{}'", request.group)))
        };
        call(&self.app.net.budget, &extensions, described, no_group).await
    }

    async fn reset_group(&self, request: Request<ResetGroupRequest>) -> Answer<GroupResponse> {
        let (_, extensions, request) = request.into_parts();
        let reset = async {
            let ResetGroupRequest { topic, group, to, position, time_ms, partition } = request;
            let to = ResetTo::try_from(&GroupReset { to, position, time_ms, partition })?;
            let described_now = self.app.records.reset_group(&topic, &group, to, partition).await?;
            Ok(described(described_now, format!("group '{group}' was moved")))
        };
        call(&self.app.net.budget, &extensions, reset, no_group).await
    }

    async fn delete_group(&self, request: Request<DeleteGroupRequest>) -> Answer<Response> {
        let (_, extensions, request) = request.into_parts();
        let deleted = async {
            self.app.records.delete_group(&request.topic, &request.group).await?;
            Ok(done(StatusCode::Ok, format!("group '{}' was deleted", request.group)))
        };
        call(&self.app.net.budget, &extensions, deleted, |error| Response::from(error)).await
    }
}

fn failed(error: &Error) -> Option<Response> {
    Some(Response::from(error))
}

fn unsettled(error: &Error) -> SettleEventsResponse {
    SettleEventsResponse { result: failed(error), ..Default::default() }
}

fn no_group(error: &Error) -> GroupResponse {
    GroupResponse { result: failed(error), group: None }
}

fn taking(request: TakeEventsRequest) -> Taking {
    let bytes = |bytes| usize::try_from(bytes).unwrap_or(usize::MAX);
    Taking {
        topic: request.topic,
        group: request.group,
        partition: request.partition,
        records: request.max.map_or(1, |max| max as usize),
        bytes: request.max_bytes.map_or(Taking::BYTES, bytes),
        wait: Duration::from_millis(request.wait_ms),
        lease: request.lease_ms.map_or(Taking::LEASE, Duration::from_millis),
        max_deliveries: request.max_deliveries,
    }
}

fn taken(taken: Taken) -> TakeEventsResponse {
    let skipped = |Skipped { partition, from, records }: Skipped| SkippedEvents {
        partition,
        from: from.to_string(),
        events: records,
    };
    TakeEventsResponse {
        result: Some(done(StatusCode::Ok, counted(taken.records.len(), "event"))),
        events: taken.records.into_iter().map(event).collect(),
        skipped: taken.skipped.into_iter().map(skipped).collect(),
    }
}

fn event(taken: TakenRecord) -> LeasedEvent {
    let TakenRecord { batch, index, receipt, deliveries } = taken;
    let record = batch.frame().record(index);
    let bytes = |part: &[u8]| if part.is_empty() { Bytes::new() } else { batch.bytes().slice_ref(part) };
    let header = |(name, value): (&str, &[u8])| EventHeader { name: name.to_owned(), value: bytes(value) };
    LeasedEvent {
        receipt,
        deliveries,
        partition: batch.from().partition,
        position: batch.position(index).to_string(),
        timestamp_ms: record.timestamp,
        key: record.key.map(bytes),
        headers: record.headers.iter().map(header).collect(),
        value: record.value.map(bytes),
    }
}

fn summary(group: fnstream_api::GroupSummary) -> GroupSummary {
    let fnstream_api::GroupSummary { name, acknowledges, lag, leased, returned } = group;
    GroupSummary { name, acknowledges, lag, leased, returned }
}

fn described(group: fnstream_api::GroupDescription, message: String) -> GroupResponse {
    let partition = |of: fnstream_api::GroupPartition| GroupPartition {
        partition: of.partition,
        position: of.position,
        end: of.end,
        lag: of.lag,
        leased: of.leased,
        returned: of.returned,
        oldest_ms: of.oldest_ms,
        is_full: of.is_full,
    };
    let group = GroupDescription {
        name: group.name,
        topic: group.topic,
        acknowledges: group.acknowledges,
        lag: group.lag,
        most_unacknowledged: group.most_unacknowledged,
        dead_letter_topic: group.dead_letter_topic,
        partitions: group.partitions.into_iter().map(partition).collect(),
    };
    GroupResponse { result: Some(done(StatusCode::Ok, message)), group: Some(group) }
}
