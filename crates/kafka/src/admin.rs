// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Asking a cluster for what is seldom needed: topics, ends, the offsets of groups; and changing its topics.

mod topics;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use fnstream_core::units::counted;
use fnstream_core::{Error, ErrorCode, Result};
use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;

use crate::error::{Failure, code_of, failed, suspicion};
use crate::native::mark_of_first;
use crate::properties::{Properties, check_name};

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(15);

/// For so long a cluster that did not answer is asked with less patience: whoever comes next need not wait for as long.
const AWAY: Duration = Duration::from_secs(10);

/// After so many seconds without an answer a suspicion is told.
const CERTAIN: u64 = 3;

/// How long an answer is waited for that is only shown.
const GLANCE: Duration = Duration::from_secs(2);

/// So many clients for offsets of groups are kept. Each has threads and connections, and groups come and go with functions.
const GROUPS: usize = 4;

/// The cleanup policy of topics.
pub(crate) const POLICY: &str = "cleanup.policy";

/// Asks one cluster.
pub(crate) struct Admin {
    properties: Properties,
    admin: AdminClient<Telling>,
    client: BaseConsumer<Telling>,
    /// Clients that ask for the offsets of a group each: those of the groups that were asked for last, the latest at the end.
    groups: Mutex<VecDeque<(String, Arc<BaseConsumer<Telling>>)>>,
    why: Arc<Why>,
    /// When the cluster did not answer last, unless it has since.
    away: Mutex<Option<Instant>>,
}

/// The last thing that a client said by itself: what an operation that ran out of time was waiting for.
#[derive(Default)]
struct Why {
    told: Mutex<Option<Failure>>,
    /// See [`suspicion`].
    suspicion: Mutex<Option<String>>,
}

/// Keeps what a client says by itself.
#[derive(Clone)]
struct Telling(Arc<Why>);

impl ClientContext for Telling {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        tracing::debug!(?level, facility, "{line}");
        if let Some(suspicion) = suspicion(line) {
            *self.0.suspicion.lock() = Some(suspicion);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if let Some(code) = code_of(&error) {
            self.0.note(Failure::new(code, reason));
        }
    }
}

impl ConsumerContext for Telling {}

impl Why {
    /// What says the least gives way to what says more.
    fn note(&self, failure: Failure) {
        let says = |failure: &Failure| {
            let passes = failure.error_code() == ErrorCode::Unavailable;
            (!passes, failure.code != RDKafkaErrorCode::AllBrokersDown)
        };
        let mut kept = self.told.lock();
        if kept.as_ref().is_none_or(|kept| says(kept) <= says(&failure)) {
            *kept = Some(failure);
        }
    }

    fn get(&self) -> Option<Failure> {
        self.told.lock().clone()
    }

    /// What it may be if nothing better is known. A broker that is just being stopped ends connections in the same way, but cannot be
    /// connected to then.
    fn guess(&self) -> Option<String> {
        let told = self.told.lock();
        let knows = told.as_ref().is_some_and(|told| told.code != RDKafkaErrorCode::AllBrokersDown);
        self.suspicion.lock().clone().filter(|_| !knows)
    }

    fn forget(&self) {
        *self.told.lock() = None;
        *self.suspicion.lock() = None;
    }
}

/// A topic as the cluster has it.
pub(crate) struct Layout {
    pub partitions: u32,
    /// How many copies there are of the partition that has the fewest.
    pub copies: u32,
}

impl Admin {
    pub(crate) fn new(properties: &Properties) -> Result<Admin> {
        let why = Arc::new(Why::default());
        let telling = Telling(why.clone());
        let mut config = properties.asking("function-stream");
        // The ends of partitions include what is not decided yet.
        config.set("isolation.level", "read_uncommitted");
        let admin = AdminClient::from_config_and_context(&config, telling.clone());
        // It says what state a connection was in that has ended.
        config.set_log_level(RDKafkaLogLevel::Info);
        let client = BaseConsumer::from_config_and_context(&config, telling);
        let made = |e: KafkaError| failed("making a client of Kafka", &e);
        Ok(Admin {
            properties: properties.clone(),
            admin: admin.map_err(made)?,
            client: client.map_err(made)?,
            groups: Mutex::default(),
            why,
            away: Mutex::default(),
        })
    }

    /// The topic; `None` when the cluster does not have it.
    pub(crate) fn describe(&self, topic: &str) -> Result<Option<Layout>> {
        self.describe_within(topic, self.patience())
    }

    /// The same for somebody who only looks on.
    pub(crate) fn glance(&self, topic: &str) -> Result<Option<Layout>> {
        self.describe_within(topic, self.patience().min(GLANCE))
    }

    fn describe_within(&self, topic: &str, patience: Duration) -> Result<Option<Layout>> {
        check_name(topic)?;
        let doing = format!("looking up topic '{topic}'");
        let metadata = self.patiently(&doing, patience, |wait| self.client.fetch_metadata(Some(topic), wait))?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let Some(found) = found else { return Ok(None) };
        match found.error().map(RDKafkaErrorCode::from) {
            None if !found.partitions().is_empty() => {
                let copies = found.partitions().iter().map(|partition| partition.replicas().len() as u32);
                Ok(Some(Layout {
                    partitions: found.partitions().len() as u32,
                    copies: copies.min().unwrap_or_default(),
                }))
            }
            None => Ok(None),
            Some(RDKafkaErrorCode::UnknownTopicOrPartition) => match self.is_known_to_controller(topic)? {
                true => Err(Error::new(ErrorCode::Unavailable, format!("{doing}: the broker does not know of it yet"))),
                false => Ok(None),
            },
            Some(code) => Err(Failure::of(code).error(doing)),
        }
    }

    /// Brokers learn of a topic a moment after the controller does, which refuses to make it once more.
    fn is_known_to_controller(&self, topic: &str) -> Result<bool> {
        let options = self.options().validate_only(true);
        let new = NewTopic::new(topic, 1, TopicReplication::Fixed(-1));
        let answer =
            block_on(self.admin.create_topics([&new], &options)).map_err(|e| self.failed("asking for a topic", &e))?;
        Ok(matches!(answer.first(), Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists)))))
    }

    /// Makes a topic; one that is there is [`ErrorCode::TopicExists`]. Without a replication the cluster's default decides.
    pub(crate) fn create(
        &self,
        topic: &str,
        partitions: u32,
        replication: Option<u16>,
        settings: &[(&str, &str)],
    ) -> Result<()> {
        check_name(topic)?;
        let copies = TopicReplication::Fixed(replication.map_or(-1, i32::from));
        let mut new = NewTopic::new(topic, partitions as i32, copies);
        for (name, value) in settings {
            new = new.set(name, value);
        }
        let copies =
            replication.map_or_else(String::new, |copies| format!(" in {}", counted(u32::from(copies), "copy")));
        let doing = format!("making topic '{topic}' of {partitions} partitions{copies}");
        let answer =
            block_on(self.admin.create_topics([&new], &self.options())).map_err(|e| self.failed(&doing, &e))?;
        each(&doing, &answer)
    }

    /// Makes a topic of our own, or looks whether it is as it has to be.
    pub(crate) fn have(
        &self,
        topic: &str,
        partitions: u32,
        replication: Option<u16>,
        settings: &[(&str, &str)],
    ) -> Result<()> {
        match self.create(topic, partitions, replication, settings) {
            Ok(()) => return Ok(()),
            Err(e) if e.code == ErrorCode::TopicExists => {}
            Err(e) => return Err(e),
        }
        self.check_settings(topic, settings)?;
        let Some(layout) = self.describe(topic)? else { return Ok(()) };
        if let Some(wanted) = replication.map(u32::from).filter(|wanted| layout.copies < *wanted) {
            let copies = layout.copies;
            tracing::warn!(topic, copies, wanted, "an internal topic has fewer copies than are asked for");
        }
        if layout.partitions < partitions {
            self.grow(topic, partitions)?;
        }
        Ok(())
    }

    /// Refuses a topic of our own that would lose what is in it.
    fn check_settings(&self, topic: &str, wanted: &[(&str, &str)]) -> Result<()> {
        let begun = Instant::now();
        let found = loop {
            let found = self.settings(topic)?;
            // Each of them has a default: a broker that tells none does not know yet what another process has just made. Each round is a
            // question to it.
            if wanted.iter().all(|(name, _)| found.contains_key(*name)) || begun.elapsed() > self.patience() {
                break found;
            }
        };
        let wrong = wanted.iter().filter(|(name, value)| found.get(*name).is_none_or(|found| found != value));
        let wrong: Vec<_> = wrong
            .map(|(name, value)| {
                let found = found.get(*name).map_or("not set", String::as_str);
                format!("{name} is {found} and has to be {value}")
            })
            .collect();
        if wrong.is_empty() {
            return Ok(());
        }
        let message = format!("the internal topic '{topic}' would lose data: {}", wrong.join(", "));
        Err(Error::new(ErrorCode::TopicPolicy, message))
    }

    /// Adds partitions, up to a number.
    pub(crate) fn grow(&self, topic: &str, partitions: u32) -> Result<()> {
        let doing = format!("growing topic '{topic}' to {partitions} partitions");
        let new = NewPartitions::new(topic, partitions as usize);
        each(
            &doing,
            &block_on(self.admin.create_partitions([&new], &self.options())).map_err(|e| self.failed(&doing, &e))?,
        )
    }

    /// Drops the records of a partition below an offset.
    pub(crate) fn delete_records(&self, topic: &str, partition: u32, below: i64) -> Result<()> {
        let doing = format!("dropping records of {topic}-{partition}");
        let mut list = TopicPartitionList::new();
        let added = list.add_partition_offset(topic, partition as i32, Offset::Offset(below));
        let answer = added.and_then(|()| block_on(self.admin.delete_records(&list, &self.options())));
        let answer = answer.map_err(|e| self.failed(&doing, &e))?;
        answer.elements().iter().try_for_each(|element| element.error()).map_err(|e| failed(&doing, &e))
    }

    /// The settings of a topic that are set, its own or by default.
    pub(crate) fn settings(&self, topic: &str) -> Result<BTreeMap<String, String>> {
        let doing = format!("reading the settings of topic '{topic}'");
        let answer = block_on(self.admin.describe_configs([&ResourceSpecifier::Topic(topic)], &self.options()));
        let mut settings = BTreeMap::new();
        for resource in answer.map_err(|e| self.failed(&doing, &e))? {
            let resource = resource.map_err(|code| Failure::of(code).error(&doing))?;
            settings.extend(resource.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))));
        }
        Ok(settings)
    }

    /// The oldest offset of a partition and the one that comes next.
    pub(crate) fn bounds(&self, topic: &str, partition: u32) -> Result<(i64, i64)> {
        let doing = format!("asking for the ends of {topic}-{partition}");
        let mut is_repeated = false;
        self.patiently(&doing, self.patience(), |wait| {
            // What the client knows of a topic that was just made is asked for anew.
            if std::mem::replace(&mut is_repeated, true) {
                self.client.fetch_metadata(Some(topic), wait)?;
            }
            self.client.fetch_watermarks(topic, partition as i32, wait)
        })
    }

    /// The offsets that a group has committed.
    pub(crate) fn committed(&self, group: &str, partitions: &[(String, u32)]) -> Result<HashMap<(String, u32), i64>> {
        let mut offsets = HashMap::new();
        for element in self.ask_committed(group, partitions)?.elements() {
            if let Offset::Offset(offset) = element.offset() {
                offsets.insert((element.topic().to_owned(), element.partition() as u32), offset);
            }
        }
        Ok(offsets)
    }

    /// The offset that a group has committed in a partition, and the bytes that were committed with it.
    pub(crate) fn offset_with_mark(&self, group: &str, topic: &str, partition: u32) -> Result<(Option<i64>, Vec<u8>)> {
        let found = self.ask_committed(group, &[(topic.to_owned(), partition)])?;
        let offset = found.find_partition(topic, partition as i32).map(|element| element.offset());
        let offset = if let Some(Offset::Offset(offset)) = offset { Some(offset) } else { None };
        Ok((offset, mark_of_first(&found)))
    }

    fn ask_committed(&self, group: &str, partitions: &[(String, u32)]) -> Result<TopicPartitionList> {
        let client = self.of_group(group)?;
        let mut list = TopicPartitionList::new();
        for (topic, partition) in partitions {
            list.add_partition(topic, *partition as i32);
        }
        let doing = format!("asking for the offsets of group '{group}'");
        let found = self.patiently(&doing, self.patience(), |wait| client.committed_offsets(list.clone(), wait))?;
        found.elements().iter().try_for_each(|element| element.error().map_err(|e| failed(&doing, &e)))?;
        Ok(found)
    }

    fn of_group(&self, group: &str) -> Result<Arc<BaseConsumer<Telling>>> {
        let mut groups = self.groups.lock();
        let known = groups.iter().position(|(name, _)| name == group).and_then(|at| groups.remove(at));
        let client = match known {
            Some((_, client)) => client,
            None => {
                let asking = self.properties.asking(group);
                let made = BaseConsumer::from_config_and_context(&asking, Telling(self.why.clone()));
                Arc::new(made.map_err(|e| failed("making a client of Kafka", &e))?)
            }
        };
        groups.push_back((group.to_owned(), client.clone()));
        let oldest = if groups.len() > GROUPS { groups.pop_front() } else { None };
        drop(groups);
        // Whoever comes after need not wait for its connections to end.
        drop(oldest);
        Ok(client)
    }

    /// Asks until there is an answer or patience is over. What is wrong with a connection for good is told at once: a login that
    /// is refused, a port of something else.
    fn patiently<T>(
        &self,
        doing: &str,
        patience: Duration,
        mut ask: impl FnMut(Duration) -> Result<T, KafkaError>,
    ) -> Result<T> {
        let mut left = patience.as_secs();
        loop {
            let error = match ask(Duration::from_secs(1)) {
                Ok(answer) => {
                    // What it has logged meanwhile is not kept.
                    self.client.poll(Duration::ZERO);
                    self.why.forget();
                    *self.away.lock() = None;
                    return Ok(answer);
                }
                Err(error) => error,
            };
            left -= 1;
            let is_new = code_of(&error).is_some_and(|code| NEW.contains(&code));
            let is_late = is_new || code_of(&error).is_some_and(|code| LATE.contains(&code));
            if is_new {
                // This answer comes at once.
                self.client.poll(Duration::from_millis(200));
            }
            let why = self.why().filter(|_| !is_new);
            if let Some(guess) =
                self.why.guess().filter(|_| is_late && !is_new && (left == 0 || patience.as_secs() - left >= CERTAIN))
            {
                *self.away.lock() = Some(Instant::now());
                return Err(Error::new(ErrorCode::Unavailable, format!("{doing}: {guess}")));
            }
            let is_over = left == 0 || why.as_ref().is_some_and(|why| why.error_code() != ErrorCode::Unavailable);
            if !is_late || is_over {
                if is_late && !is_new {
                    *self.away.lock() = Some(Instant::now());
                }
                return Err(why.filter(|_| is_late).map_or_else(|| failed(doing, &error), |why| why.error(doing)));
            }
        }
    }

    /// How long an answer is waited for.
    fn patience(&self) -> Duration {
        let is_away = self.away.lock().is_some_and(|since| since.elapsed() < AWAY);
        if is_away { Duration::from_secs(1) } else { PATIENCE }
    }

    fn options(&self) -> AdminOptions {
        let patience = Some(self.patience());
        AdminOptions::new().request_timeout(patience).operation_timeout(patience)
    }

    /// An operation that ran out of time says what the client found meanwhile.
    fn failed(&self, doing: &str, error: &KafkaError) -> Error {
        let is_late = code_of(error).is_some_and(|code| LATE.contains(&code));
        self.why().filter(|_| is_late).map_or_else(|| failed(doing, error), |why| why.error(doing))
    }

    /// What the client said by itself. It says so when it is polled, one thing at a time; it has no records.
    fn why(&self) -> Option<Failure> {
        for _ in 0..20 {
            let polled = self.client.poll(Duration::ZERO);
            debug_assert!(polled.is_none_or(|polled| polled.is_err()), "nothing is assigned");
        }
        self.why.get()
    }
}

/// Brokers learn of a topic a moment after it was made. Whether it is there at all is asked before.
const NEW: [RDKafkaErrorCode; 5] = [
    RDKafkaErrorCode::NotLeaderForPartition,
    RDKafkaErrorCode::UnknownPartition,
    RDKafkaErrorCode::UnknownTopic,
    RDKafkaErrorCode::UnknownTopicOrPartition,
    RDKafkaErrorCode::LeaderNotAvailable,
];

/// An answer did not come.
const LATE: [RDKafkaErrorCode; 3] =
    [RDKafkaErrorCode::OperationTimedOut, RDKafkaErrorCode::BrokerTransportFailure, RDKafkaErrorCode::AllBrokersDown];

fn each(doing: &str, answers: &[Result<String, (String, RDKafkaErrorCode)>]) -> Result<()> {
    for answer in answers {
        if let Err((_, code)) = answer {
            return Err(Failure::of(*code).error(doing));
        }
    }
    Ok(())
}

/// Waits for an answer: another thread of the client brings it.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(answer) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return answer;
        }
        std::thread::park();
    }
}
