// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Consumer groups over gRPC: the same groups as over REST.

use std::time::Duration;

use fnstream_api::grpc::proto::consumer_group_service_client::ConsumerGroupServiceClient;
use fnstream_api::grpc::proto::{
    AcknowledgeEventsRequest, DeleteGroupRequest, DescribeGroupRequest, ExtendLeasesRequest, GiveBackEventsRequest,
    LeasedEvent, ListGroupsRequest, ResetGroupRequest, Response, SettleEventsResponse, TakeEventsRequest,
    TakeEventsResponse,
};
use fnstream_api::{ProduceOptions, TakeOptions, TopicRequest};
use tonic::Request;
use tonic::transport::Channel;

use super::url;
use crate::support::{Fixture, LONG};

const LONG_MS: u64 = LONG.as_millis() as u64;

#[derive(Clone)]
struct Consumer(ConsumerGroupServiceClient<Channel>);

fn taking(max: u32) -> TakeEventsRequest {
    let (topic, group) = ("t".to_owned(), "g".to_owned());
    TakeEventsRequest { topic, group, max: Some(max), lease_ms: Some(10 * LONG_MS), ..Default::default() }
}

fn values(events: &[LeasedEvent]) -> Vec<&[u8]> {
    events.iter().map(|event| event.value.as_deref().unwrap()).collect()
}

fn receipts(events: &[LeasedEvent]) -> Vec<String> {
    events.iter().map(|event| event.receipt.clone()).collect()
}

#[track_caller]
fn done(result: &Option<Response>) {
    assert_eq!(result.as_ref().map(|result| result.status_code), Some(200), "{result:?}");
}

#[track_caller]
fn refused(result: &Option<Response>, status: i32, code: &str) {
    let result = result.as_ref().unwrap();
    assert_eq!((result.status_code, result.error_code.as_str()), (status, code), "{result:?}");
    assert!(result.message.contains(code) && !result.advice.is_empty(), "{result:?}");
}

impl Consumer {
    async fn of(fixture: &Fixture) -> Self {
        Consumer(ConsumerGroupServiceClient::connect(url(fixture)).await.unwrap())
    }

    async fn try_take(&self, request: TakeEventsRequest) -> TakeEventsResponse {
        self.0.clone().take_events(request).await.unwrap().into_inner()
    }

    async fn take(&self, request: TakeEventsRequest) -> Vec<LeasedEvent> {
        let taken = self.try_take(request).await;
        done(&taken.result);
        taken.events
    }

    async fn acknowledge(&self, receipts: Vec<String>) -> SettleEventsResponse {
        let request = AcknowledgeEventsRequest { topic: "t".into(), group: "g".into(), receipts };
        self.0.clone().acknowledge_events(request).await.unwrap().into_inner()
    }

    async fn give_back(&self, receipts: Vec<String>, delay: Duration) -> SettleEventsResponse {
        let delay_ms = delay.as_millis() as u64;
        let request = GiveBackEventsRequest { topic: "t".into(), group: "g".into(), receipts, delay_ms };
        self.0.clone().give_back_events(request).await.unwrap().into_inner()
    }

    async fn extend(&self, receipts: Vec<String>, lease_ms: Option<u64>) -> SettleEventsResponse {
        let request = ExtendLeasesRequest { topic: "t".into(), group: "g".into(), receipts, lease_ms };
        self.0.clone().extend_leases(request).await.unwrap().into_inner()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_leased_acknowledged_given_back_and_kept_longer() {
    let fixture = Fixture::new().await;
    let consumer = Consumer::of(&fixture).await;
    let options = ProduceOptions {
        key: Some(vec![0xff]),
        headers: vec![("h".into(), b"1".to_vec())],
        timestamp: Some(7),
        ..ProduceOptions::default()
    };
    fixture.client.produce("t", "a", &options).await.unwrap();
    fixture.client.produce_null("t", &Default::default()).await.unwrap();
    let taken = consumer.take(taking(9)).await;
    let [a, null] = &taken[..] else { panic!("{taken:?}") };
    assert_eq!((a.value.as_deref(), a.key.as_deref()), (Some(&b"a"[..]), Some(&[0xff][..])));
    assert_eq!((a.position.as_str(), a.partition, a.timestamp_ms, a.deliveries), ("0", 0, 7, 1));
    assert_eq!((a.headers.len(), a.headers[0].name.as_str(), &a.headers[0].value[..]), (1, "h", &b"1"[..]));
    assert_eq!((&null.value, &null.key, null.position.as_str()), (&None, &None, "1"), "null is not empty");

    // What one gives back is given again, also to who waits for it over REST.
    let options = TakeOptions { wait: Some(LONG), ..TakeOptions::default() };
    let client = fixture.client.clone();
    let waiting = tokio::spawn(async move { client.take("t", "g", &options).await.unwrap().events });
    fixture.waiting("t", 1).await;
    let given = consumer.give_back(receipts(&taken[..1]), Duration::ZERO).await;
    done(&given.result);
    assert_eq!((given.done, given.refused.len()), (1, 0));
    let over_rest = waiting.await.unwrap();
    assert_eq!((over_rest[0].position.as_str(), over_rest[0].deliveries), ("0", 2));
    // Its first receipt counts no more, that of the other event does.
    let settled = consumer.acknowledge(receipts(&taken)).await;
    refused(&settled.result, 409, "FS-1322");
    assert_eq!((settled.done, settled.refused), (1, receipts(&taken[..1])));
    refused(&consumer.extend(receipts(&taken[..1]), None).await.result, 409, "FS-1322");
    done(&consumer.extend(vec![over_rest[0].receipt.clone()], Some(LONG_MS)).await.result);
    done(&consumer.acknowledge(vec![over_rest[0].receipt.clone()]).await.result);
    assert_eq!(fixture.client.describe_group("t", "g").await.unwrap().lag, Some(0));

    // A delay holds an event back, and who waits is woken by what comes.
    fixture.client.produce("t", "b", &Default::default()).await.unwrap();
    let taken = consumer.take(taking(9)).await;
    done(&consumer.give_back(receipts(&taken), 10 * LONG).await.result);
    assert_eq!(consumer.take(taking(9)).await, []);
    let waits = consumer.clone();
    let waiting = tokio::spawn(async move { waits.take(TakeEventsRequest { wait_ms: LONG_MS, ..taking(9) }).await });
    fixture.waiting("t", 1).await;
    fixture.client.produce("t", "c", &Default::default()).await.unwrap();
    assert_eq!(values(&waiting.await.unwrap()), [b"c"]);
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_ends_before_its_answer_takes_nothing_along() {
    let fixture = Fixture::new().await;
    fixture.client.create_topic("t", &TopicRequest::default()).await.unwrap();
    let consumer = Consumer::of(&fixture).await;
    let mut late = Request::new(TakeEventsRequest { wait_ms: LONG_MS, ..taking(1) });
    late.set_timeout(Duration::from_millis(50));
    let status = consumer.0.clone().take_events(late).await.unwrap_err();
    assert!(matches!(status.code(), tonic::Code::DeadlineExceeded | tonic::Code::Cancelled), "{status:?}");
    let gone = consumer.clone();
    let gone = tokio::spawn(async move { gone.take(TakeEventsRequest { wait_ms: LONG_MS, ..taking(1) }).await });
    fixture.waiting("t", 1).await;
    gone.abort();
    fixture.waiting("t", 0).await;
    fixture.client.produce("t", "a", &Default::default()).await.unwrap();
    let taken = consumer.take(taking(1)).await;
    assert_eq!((values(&taken), taken[0].deliveries), (vec![&b"a"[..]], 1));
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_are_listed_described_moved_and_deleted() {
    let fixture = Fixture::new().await;
    let client = &fixture.client;
    let topic = TopicRequest { partitions: Some(2), ..TopicRequest::default() };
    client.create_topic("t", &topic).await.unwrap();
    for (value, timestamp) in [("a", 100), ("b", 200), ("c", 300)] {
        let options = ProduceOptions { partition: Some(1), timestamp: Some(timestamp), ..Default::default() };
        client.produce("t", value, &options).await.unwrap();
    }
    let consumer = Consumer::of(&fixture).await;
    assert_eq!(values(&consumer.take(taking(1)).await), [b"a"]);
    let mut groups = consumer.0.clone();
    let listed = groups.list_groups(ListGroupsRequest { topic: "t".into() }).await.unwrap().into_inner();
    done(&listed.result);
    let of = &listed.groups[0];
    assert_eq!((listed.groups.len(), of.name.as_str(), of.acknowledges), (1, "g", true));
    assert_eq!((of.lag, of.leased, of.returned), (Some(3), 1, 0));

    let named = || DescribeGroupRequest { topic: "t".into(), group: "g".into() };
    let described = groups.describe_group(named()).await.unwrap().into_inner();
    done(&described.result);
    let group = described.group.unwrap();
    let rest = client.describe_group("t", "g").await.unwrap();
    assert_eq!((group.name, group.topic, group.lag), (rest.name, rest.topic, rest.lag));
    assert_eq!(
        (group.dead_letter_topic, group.most_unacknowledged),
        (rest.dead_letter_topic, rest.most_unacknowledged)
    );
    let (of, is) = (&group.partitions[1], &rest.partitions[1]);
    assert_eq!((of.partition, &of.position, &of.end, of.lag), (1, &is.position, &is.end, is.lag));
    assert_eq!((of.leased, of.returned, of.oldest_ms, of.is_full), (1, 0, Some(100), false));

    let to = ResetGroupRequest { topic: "t".into(), group: "g".into(), ..Default::default() };
    for (to, expected) in [
        (ResetGroupRequest { time_ms: Some(150), ..to.clone() }, &["b", "c"][..]),
        (ResetGroupRequest { position: Some("2".into()), partition: Some(1), ..to.clone() }, &["c"]),
        (ResetGroupRequest { to: Some("latest".into()), ..to.clone() }, &[]),
        (ResetGroupRequest { to: Some("earliest".into()), ..to.clone() }, &["a", "b", "c"]),
    ] {
        let moved = groups.reset_group(to).await.unwrap().into_inner();
        done(&moved.result);
        assert_eq!(moved.group.unwrap().lag, Some(expected.len() as u64));
        let expected: Vec<_> = expected.iter().map(|value| value.as_bytes()).collect();
        assert_eq!(values(&consumer.take(taking(9)).await), expected);
    }
    for (to, status, code) in [
        (to.clone(), 400, "FS-1001"),
        (ResetGroupRequest { to: Some("nowhere".into()), ..to.clone() }, 400, "FS-1001"),
        (ResetGroupRequest { position: Some("9".into()), partition: Some(1), ..to.clone() }, 400, "FS-1305"),
        (ResetGroupRequest { topic: "none".into(), to: Some("latest".into()), ..to.clone() }, 404, "FS-1301"),
    ] {
        let moved = groups.reset_group(to).await.unwrap().into_inner();
        refused(&moved.result, status, code);
        assert_eq!(moved.group, None);
    }
    let gone = DeleteGroupRequest { topic: "t".into(), group: "g".into() };
    let deleted = groups.delete_group(gone.clone()).await.unwrap().into_inner();
    assert_eq!((deleted.status_code, deleted.message.as_str()), (200, "group 'g' was deleted"));
    refused(&Some(groups.delete_group(gone).await.unwrap().into_inner()), 404, "FS-1323");
    refused(&groups.describe_group(named()).await.unwrap().into_inner().result, 404, "FS-1323");
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_well_formed_is_refused_with_the_codes_of_rest() {
    let fixture = Fixture::new().await;
    fixture.client.produce("t", "a", &Default::default()).await.unwrap();
    let consumer = Consumer::of(&fixture).await;
    for (request, status, code) in [
        (taking(0), 400, "FS-1001"),
        (taking(10_001), 400, "FS-1001"),
        (TakeEventsRequest { lease_ms: Some(0), ..taking(1) }, 400, "FS-1001"),
        (TakeEventsRequest { max_bytes: Some(0), ..taking(1) }, 400, "FS-1001"),
        (TakeEventsRequest { max_deliveries: Some(0), ..taking(1) }, 400, "FS-1001"),
        (TakeEventsRequest { wait_ms: 3_600_001, ..taking(1) }, 400, "FS-1001"),
        (TakeEventsRequest { partition: Some(7), ..taking(1) }, 404, "FS-1307"),
        (TakeEventsRequest { group: ".g".into(), ..taking(1) }, 400, "FS-1004"),
    ] {
        let told = format!("{request:?}");
        let taken = consumer.try_take(request).await;
        assert_eq!(
            (taken.result.as_ref().map(|result| result.status_code), taken.events.len()),
            (Some(status), 0),
            "{told}"
        );
        refused(&taken.result, status, code);
    }
    refused(&consumer.acknowledge(vec!["x".into()]).await.result, 400, "FS-1001");
    refused(&consumer.acknowledge(Vec::new()).await.result, 400, "FS-1001");
    let receipts_of_nobody = vec!["A".repeat(48)];
    let request =
        AcknowledgeEventsRequest { topic: "t".into(), group: "nobody".into(), receipts: receipts_of_nobody.clone() };
    let unknown = consumer.0.clone().acknowledge_events(request).await.unwrap().into_inner();
    refused(&unknown.result, 404, "FS-1323");
    refused(&consumer.acknowledge(receipts_of_nobody).await.result, 409, "FS-1322");
    let taken = consumer.take(TakeEventsRequest { topic: "t".into(), group: "g".into(), ..Default::default() }).await;
    assert_eq!(values(&taken), [b"a"], "by default one, without waiting");
    refused(&consumer.give_back(receipts(&taken), Duration::from_secs(8 * 86_400)).await.result, 400, "FS-1001");
    refused(&consumer.extend(receipts(&taken), Some(0)).await.result, 400, "FS-1001");
    done(&consumer.extend(receipts(&taken), None).await.result);
    fixture.server.shutdown().await.unwrap();
}
