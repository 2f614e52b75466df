// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The keys of a function's file.

use super::brokers;
use crate::key::{Key, Kind, Others, Tagged, Variant, Word};
use fnstream_core::spec::{MAX_GROUPS, MAX_PARTITIONS, MAX_RETRIES};

const ALWAYS_EXACT: &str = "state is committed with the events that caused it, at the end of each epoch";
const NO_POLLING: &str = "nothing here polls, sleeps or has queues to size";
const OWN_BATCHES: &str = "a batch is what waits when the function is ready, within a bound of the server";

/// The given keys, and those of the second generation that this one has no need of, wherever they stood.
macro_rules! with_idle {
    ($($key:expr),* $(,)?) => {
        &[
            $($key,)*
            Key::idle("max-batch-size", &Kind::Any, OWN_BATCHES),
            Key::idle("batch-consume-size", &Kind::Any, OWN_BATCHES),
            Key::idle("max-idle-count", &Kind::Any, NO_POLLING),
            Key::idle("idle-sleep-ms", &Kind::Any, NO_POLLING),
            Key::idle("poll-timeout-ms", &Kind::Any, NO_POLLING),
            Key::idle("sleep-when-full-ms", &Kind::Any, NO_POLLING),
            Key::idle("channel-capacity", &Kind::Any, NO_POLLING),
            Key::idle("control-*", &Kind::Any, NO_POLLING),
            Key::idle("use_builtin_event_serialization", &Kind::Any, "events are the bytes that were sent"),
            Key::idle("enable_checkpoint", &Kind::Any, ALWAYS_EXACT),
            Key::idle("checkpoint_interval_seconds", &Kind::Any, ALWAYS_EXACT),
        ]
    };
}

/// The keys of the whole file.
pub(crate) static FUNCTION: &[Key] = with_idle![
    Key::required(
        "name",
        &Kind::Text,
        "The function's name: 1 to 255 ASCII letters, digits, `.`, `_` and `-`; 251 at most if its dead letters go to `NAME.dlq`."
    ),
    Key::new(
        "archive",
        &Kind::Path,
        "",
        "The artifact that `client apply` uploads for it: a path, seen from the folder of this file, or `sha256:DIGEST`. Others who send \
         this file name the artifact themselves."
    ),
    Key::new("type", &Kind::Word(TYPES), "processor", "What the function is made of."),
    Key::required(
        "input-groups",
        &Kind::List(&GROUP, 1, MAX_GROUPS),
        "The input groups. The index of a group, from 0, is the source id that the function sees."
    )
    .or("inputs"),
    Key::required(
        "outputs",
        &Kind::List(&OUTPUT, 1, usize::MAX),
        "The outputs. The index of each, from 0, is the target id that the function emits to."
    ),
    Key::new("input-selector", &Kind::Word(SELECTORS), "round-robin", "Which input group is read next."),
    Key::new(
        "from",
        &Kind::Text,
        "earliest",
        "Where a new function begins in its inputs: `earliest`, `latest`, or a time in UTC such as `2026-01-31T08:00:00Z` or `time=MS` in milliseconds since the Unix epoch, that is at the \
         first event whose timestamp is not before it. One that is there stays where it is; `client seek` moves it."
    ),
    Key::new(
        "init_config",
        &Kind::Texts,
        "",
        "Given to the function at its start. Numbers and booleans become text as they are written."
    ),
    Key::new("processor-runtime", &Kind::Block(RUNTIME), "", "How the function is run."),
    Key::new(
        "replicas",
        &Kind::Number(1, MAX_PARTITIONS as u64),
        "1",
        "How many tasks may run at once; topics that have to be made get that many partitions."
    ),
    Key::new(
        "no-join",
        &Kind::Bool,
        "false",
        "Whether the function does not join its inputs. Else inputs of different numbers of partitions are refused (FS-1313): records \
         of one key would not meet in one task."
    ),
    Key::new("limits", &Kind::Block(LIMITS), "", "What one instance of the function may use."),
    Key::new(
        "on-error",
        &Kind::Either(&[Kind::Block(ON_ERROR), Kind::Word(ACTIONS)]),
        "dead-letter",
        "What becomes of an event that the function fails at: a word, or a block."
    ),
    Key::new("env", &Kind::Texts, "", "The environment variables that the function sees: these and no others."),
    Key::new(
        "files",
        &Kind::List(&Kind::Block(FILES), 0, 1024),
        "",
        "Folders of the server that the function may read: these and no others."
    ),
    Key::new("delivery", &Kind::Word(DELIVERIES), "exactly-once", "How often an event counts."),
    Key::new("schema", &Kind::Word(SCHEMAS), "bytes", "What events are checked against."),
];

const TYPES: &[Word] = &[Word::new("processor", "A WebAssembly artifact."), Word::new("python", "Source in Python.")];

const SELECTORS: &[Word] = &[
    Word::new("round-robin", "A batch of each group in turn."),
    Word::new("sequential", "All that a group has, then all that the next one has."),
    Word::new("priority", "Always the first group that has events."),
    Word::new("group-parallel", "Each group by tasks of its own, at the same time."),
];

const RUNTIME: &[Key] = with_idle![];

const GROUP: Kind = Kind::Either(&[Kind::List(&INPUT, 1, MAX_GROUPS), Kind::Block(GROUP_KEYS)]);

const GROUP_KEYS: &[Key] =
    with_idle![Key::required("inputs", &Kind::List(&INPUT, 1, MAX_GROUPS), "The inputs of the group.")];

const INPUT: Kind = Kind::Tagged(&Tagged {
    tag: "input-type",
    doc: "Where the events come from.",
    variants: &[
        Variant { word: "log", doc: "A topic of the embedded log.", keys: LOG_INPUT, others: Others::Refused },
        Variant {
            word: "kafka",
            doc: "A topic of Apache Kafka. All other keys are properties of the Kafka client.",
            keys: KAFKA_INPUT,
            others: Others::Passed(brokers::KAFKA_INPUT_REFUSED, brokers::KAFKA_PLAIN),
        },
        Variant { word: "pulsar", doc: "A topic of Apache Pulsar.", keys: PULSAR_INPUT, others: Others::Refused },
    ],
});

const OUTPUT: Kind = Kind::Tagged(&Tagged {
    tag: "output-type",
    doc: "Where the events go.",
    variants: &[
        Variant { word: "log", doc: "A topic of the embedded log.", keys: LOG_OUTPUT, others: Others::Refused },
        Variant {
            word: "kafka",
            doc: "A topic of Apache Kafka. All other keys are properties of the Kafka client.",
            keys: KAFKA_OUTPUT,
            others: Others::Passed(brokers::KAFKA_OUTPUT_REFUSED, brokers::KAFKA_PLAIN),
        },
        Variant { word: "pulsar", doc: "A topic of Apache Pulsar.", keys: PULSAR_OUTPUT, others: Others::Refused },
    ],
});

const LOG_TOPIC: Key = Key::required(
    "topic",
    &Kind::Text,
    "The topic: a name, which may be of the form `tenant/namespace/topic`. It is made when it does not exist.",
);
const TOPIC: Key = Key::required("topic", &Kind::Text, "The topic.");
const SCHEMA: Key = Key::new("schema", &Kind::Word(SCHEMAS), "bytes", "What its events are checked against.");
const WATERMARK: Key = Key::new(
    "watermark",
    &Kind::Either(&[Kind::Block(WATERMARKS), Kind::Word(STRATEGIES)]),
    "none",
    "What the timestamps of its events say of event time: a word, or a block.",
);
const SERVERS: Key = Key::required(
    "bootstrap_servers",
    &Kind::Text,
    "Brokers to begin with: `host:port`, several with commas between them.",
);
const PARTITION: Key =
    Key::new("partition", &Kind::Number(0, i32::MAX as u64), "all", "One partition of the topic, instead of all.");
const SERVICE: Key = Key::new(
    "service_url",
    &Kind::Text,
    "pulsar://localhost:6650",
    "The brokers: `pulsar://host:6650`, or `pulsar+ssl://host:6651` with TLS, several with commas between them.",
);
const ADMIN_URL: Key = Key::new(
    "admin_url",
    &Kind::Text,
    "port 8080 of the broker's host, or 8443 with TLS",
    "Pulsar's REST interface, such as `http://localhost:8080`, for making topics and turning deduplication on.",
);
const AUTH_TOKEN: Key = Key::new("auth_token", &Kind::Text, "", "A token that the broker asks for.");
const AUTH_FILE: Key = Key::new(
    "auth_file",
    &Kind::Path,
    "",
    "A file on the server that has the token; it is read again when the broker asks for a new one.",
);
const TLS_CA_FILE: Key = Key::new(
    "tls_ca_file",
    &Kind::Path,
    "the system's",
    "A file on the server with the certificates (PEM) that the broker's is checked with.",
);
const TLS_HOSTNAME: Key = Key::new(
    "tls_hostname_verification",
    &Kind::Bool,
    "true",
    "Whether the broker's certificate has to be made out to its host.",
);

const LOG_INPUT: &[Key] = with_idle![LOG_TOPIC, WATERMARK, SCHEMA];
const LOG_OUTPUT: &[Key] = with_idle![LOG_TOPIC, SCHEMA];
const KAFKA_INPUT: &[Key] = with_idle![
    SERVERS,
    TOPIC,
    Key::required("group_id", &Kind::Text, "The consumer group whose offsets are committed."),
    PARTITION,
    Key::new(
        "on-lost-position",
        &Kind::Word(LOST_POSITIONS),
        "stop",
        "What becomes of the function if its position is gone: retention has dropped events that come next, or the topic was made anew."
    ),
    WATERMARK,
    SCHEMA,
];
const KAFKA_OUTPUT: &[Key] = with_idle![SERVERS, TOPIC, PARTITION, SCHEMA];
const PULSAR_INPUT: &[Key] = with_idle![
    SERVICE,
    Key::new("topic", &Kind::Text, "", "The topic. Either this or `topics_pattern` is given."),
    Key::new(
        "topics_pattern",
        &Kind::Text,
        "",
        "A regular expression for the names of topics, such as `orders-.*` or `tenant/namespace/orders-.*`, instead of one topic. Topics that match and are made while the function runs are read from their beginning."
    ),
    Key::new(
        "subscription",
        &Kind::Text,
        "the server's and the function's name",
        "The subscription that follows the function."
    ),
    PARTITION,
    Key::new(
        "initial_position",
        &Kind::Word(INITIAL_POSITIONS),
        "earliest",
        "Where the function begins if there is no subscription of this name yet."
    ),
    Key::new(
        "on-lost-position",
        &Kind::Word(LOST_POSITIONS),
        "stop",
        "What becomes of the function if its position is gone: events that come next were dropped, or the topic was made anew."
    ),
    ADMIN_URL,
    AUTH_TOKEN,
    AUTH_FILE,
    TLS_CA_FILE,
    TLS_HOSTNAME,
    WATERMARK,
    SCHEMA,
];
const PULSAR_OUTPUT: &[Key] = with_idle![
    SERVICE,
    TOPIC,
    PARTITION,
    Key::new("compression", &Kind::Word(COMPRESSIONS), "none", "How events are compressed."),
    ADMIN_URL,
    AUTH_TOKEN,
    AUTH_FILE,
    TLS_CA_FILE,
    TLS_HOSTNAME,
    Key::new("schema", &Kind::Word(PULSAR_SCHEMAS), "topic", "The schema that its events are written with."),
];

const WATERMARKS: &[Key] = &[
    Key::required("strategy", &Kind::Word(STRATEGIES), "What the timestamps say."),
    Key::new("delay", &Kind::Duration, "", "How late an event may come; for `bounded`, which must have it."),
    Key::new(
        "idle-timeout",
        &Kind::Duration,
        "",
        "A partition without an event for so long does not hold the others back, until it has one again.",
    ),
    Key::new(
        "idle-advance",
        &Kind::Duration,
        "",
        "When all inputs are idle, the watermark of this one counts as this much higher: the last window closes without another event. Needs `idle-timeout`.",
    ),
    Key::new(
        "max-ahead",
        &Kind::Duration,
        "",
        "An event whose timestamp is further ahead of the clock is processed, but does not move the watermark.",
    ),
];

const STRATEGIES: &[Word] = &[
    Word::new("none", "Nothing: the input takes no part in event time until a function emits a watermark to it."),
    Word::new("monotonic", "Timestamps never go back: the watermark is the latest one."),
    Word::new("bounded", "An event may come `delay` after one with a later timestamp."),
];

const LIMITS: &[Key] = &[
    Key::new(
        "memory",
        &Kind::Size(1),
        "256MiB",
        "Linear memory and tables of an instance. At most what the server has for all functions; the default is at most seven eighths of that.",
    ),
    Key::new(
        "call-time",
        &Kind::Duration,
        "10s",
        "Processor time of one call: of an event, or of a batch where the function takes batches. A call that waits \
         is ended after twenty times as long by the clock.",
    ),
    Key::new(
        "start-time",
        &Kind::Duration,
        "60s",
        "Processor time of making an instance and of its `init`. One that waits is ended after twenty times as long by the clock.",
    ),
    Key::new("record", &Kind::Size(1), "1MiB", "Key, headers and value of one emitted event."),
    Key::new(
        "records-per-input",
        &Kind::Number(1, u64::MAX),
        "10000",
        "Events emitted for each event that a call was given.",
    ),
    Key::new(
        "state",
        &Kind::Either(&[Kind::Word(&[Word::new("none", "Without a bound.")]), Kind::Size(1)]),
        "none",
        "Keys and values of a task's state; keeping it costs a read for each write.",
    ),
];

const ON_ERROR: &[Key] = &[
    Key::new("action", &Kind::Word(ACTIONS), "dead-letter", "What is done in the end."),
    Key::new("retries", &Kind::Number(0, MAX_RETRIES as u64), "1", "How often the event is tried again before that."),
    Key::new("backoff", &Kind::Duration, "0ms", "The wait before the first retry; it doubles with each further one."),
    Key::new("max-backoff", &Kind::Duration, "10s", "The longest wait."),
    Key::new(
        "dead-letter-topic",
        &Kind::Text,
        "the name with `.dlq`",
        "Where dead letters go. Those that wait in another topic are not seen while this one is named.",
    ),
];

const ACTIONS: &[Word] = &[
    Word::new("dead-letter", "It goes to a topic, with the reason, and the function goes on."),
    Word::new("skip", "It is consumed and forgotten, and the function goes on."),
    Word::new("stop", "The function stays before it until it is started anew or updated."),
];

const FILES: &[Key] = &[
    Key::required(
        "host",
        &Kind::Path,
        "Where it is on the server: an absolute path within a folder that the server allows.",
    ),
    Key::new("guest", &Kind::Path, "the same", "Where the function finds it: an absolute path."),
];

const INITIAL_POSITIONS: &[Word] =
    &[Word::new("earliest", "At the oldest event."), Word::new("latest", "At the end: only events that come later.")];

const COMPRESSIONS: &[Word] = &[
    Word::new("none", "Not at all."),
    Word::new("lz4", "With LZ4."),
    Word::new("zlib", "With zlib."),
    Word::new("zstd", "With Zstandard."),
    Word::new("snappy", "With Snappy."),
];

const LOST_POSITIONS: &[Word] = &[
    Word::new("stop", "It stops, and says which position it was (FS-1317)."),
    Word::new("earliest", "It goes on at the oldest event, and says what it missed."),
    Word::new("latest", "It goes on at the end, and says what it missed."),
];

const DELIVERIES: &[Word] = &[
    Word::new("exactly-once", "Input, state and output are committed in one step."),
    Word::refused("at-least-once", "it is not available; 'exactly-once' costs little here, since commits are shared"),
    Word::refused("at-most-once", "it is not available; 'exactly-once' costs little here, since commits are shared"),
];

const PULSAR_SCHEMAS: &[Word] = &[
    Word::new("topic", "The latest one of the topic, if it has any."),
    Word::new(
        "input",
        "The one that the event was read with, which is registered for the topic. The function has to pass the headers on.",
    ),
    Word::new("none", "None."),
    Word::new("bytes", "The same."),
    Word::refused("json", "schemas are those of Pulsar's registry: name 'topic' or 'input'"),
    Word::refused("avro", "schemas are those of Pulsar's registry: name 'topic' or 'input'"),
    Word::refused("protobuf", "schemas are those of Pulsar's registry: name 'topic' or 'input'"),
];

const SCHEMAS: &[Word] = &[
    Word::new("bytes", "Nothing: an event is bytes."),
    Word::new("none", "The same."),
    Word::refused("json", "schemas are not available yet"),
    Word::refused("avro", "schemas are not available yet"),
    Word::refused("protobuf", "schemas are not available yet"),
];
