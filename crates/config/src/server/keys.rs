// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The keys of the server's file. Their defaults are in `defaults.yaml`, and a test compares.

use fnstream_core::budget;
use fnstream_core::spec::MAX_PARTITIONS;

use crate::key::{Key, Kind, Word};

const ONE_FOLDER: &str = "functions, events and state are kept together, in state_storage.base_dir";
const NO_NAMES: &str = "the server is known by its address";
const ONE_CODE_CACHE: &str = "compiled code is kept as the block 'wasm' says";
const OWN_SIZES: &str = "the store sizes its caches and files itself";

/// The keys of the whole file.
pub(crate) static SERVER: &[Key] = &[
    Key::new("service", &Kind::Block(SERVICE), "", "The gRPC interface, and how functions are run."),
    Key::new("rest", &Kind::Block(REST), "", "The REST interface."),
    Key::new(
        "network",
        &Kind::Block(NETWORK),
        "",
        "How many clients there may be at a time, and how long each may take.",
    ),
    Key::new("memory", &Kind::Block(MEMORY), "", "How much memory the server may use."),
    Key::new("logging", &Kind::Block(LOGGING), "", "What the server logs, and where."),
    Key::new("state_storage", &Kind::Block(STATE_STORAGE), "", "Where everything is kept."),
    Key::new(
        "retention",
        &Kind::Block(RETENTION),
        "",
        "What is dropped of topics that do not say otherwise, also of those that were made before. `client topic alter` gives a topic limits of its own.",
    ),
    Key::new("topics", &Kind::Block(TOPICS), "", "Topics that somebody names and that are not there."),
    Key::new(
        "kafka",
        &Kind::Block(KAFKA),
        "",
        "Topics that the server makes in clusters of Apache Kafka; and, for `function-stream server --backend kafka` alone, the cluster and \
         the group of processes.",
    ),
    Key::new("allow", &Kind::Block(ALLOW), "", "What clients may ask of the server's machine."),
    Key::new(
        "wasm",
        &Kind::Block(WASM),
        "",
        "The cache of compiled code, and the engines of functions given as source.",
    ),
    Key::new("python", &Kind::Block(PYTHON), "", "The engine of functions in Python."),
    Key::new("task_storage", &Kind::Block(TASK_STORAGE), "", "Accepted, without effect."),
    Key::new("stream_catalog", &Kind::Block(STREAM_CATALOG), "", "Accepted, without effect."),
    Key::new(
        "pulsar",
        &Kind::Block(PULSAR),
        "",
        "Topics that the server makes in clusters of Apache Pulsar; and, for `function-stream server` on Pulsar alone, the cluster and the \
         group of processes.",
    ),
];

/// A flag of the command line for each setting that has one.
pub(crate) static FLAGS: &[(&str, &str)] = &[
    ("service.workers", "--workers"),
    ("service.safe_start", "--safe-start"),
    ("memory.budget", "--memory"),
    ("service.allowed_hosts", "--allow-host"),
    ("service.allowed_origins", "--allow-origin"),
    ("rest.listen", "--listen"),
    ("rest.max_produce_size", "--max-produce-size"),
    ("rest.max_artifact_size", "--max-artifact-size"),
    ("logging.level", "--log-level"),
    ("state_storage.base_dir", "--data-dir"),
    ("state_storage.durability", "--durability"),
    ("state_storage.dirty_keys", "--state-dirty-keys"),
    ("retention.max_age", "--retention"),
    ("retention.max_bytes", "--retention-bytes"),
    ("kafka.bootstrap_servers", "--bootstrap"),
    ("kafka.group", "--group"),
    ("kafka.advertised", "--advertise"),
    ("pulsar.service_url", "--pulsar-url"),
    ("pulsar.group", "--group"),
    ("pulsar.advertised", "--advertise"),
    ("allow.archive_dirs", "--allow-archive-dir"),
    ("allow.files_dirs", "--allow-files-dir"),
    ("allow.backup_dirs", "--allow-backup-dir"),
    ("service.grpc", GRPC_FLAG),
    ("service.host", GRPC_FLAG),
    ("service.port", GRPC_FLAG),
];

/// Variables that do not follow the rule for their names.
pub(crate) static VARIABLES: &[(&str, &str)] = &[
    ("rest.listen", "LISTEN_ADDR"),
    ("pulsar.service_url", "PULSAR_URL"),
    ("service.grpc", GRPC_VARIABLE),
    ("service.host", GRPC_VARIABLE),
    ("service.port", GRPC_VARIABLE),
];

/// Gives `host:port`, or `none`, and so sets three settings at once.
pub(crate) const GRPC_FLAG: &str = "--grpc-listen";
/// The same as a variable.
pub(crate) const GRPC_VARIABLE: &str = "GRPC_LISTEN_ADDR";
/// The name of `GRPC_FLAG` in the flags that are passed in: no setting has this name.
pub const GRPC_LISTEN: &str = "service.listen";

const SERVICE: &[Key] = &[
    Key::new("host", &Kind::Text, "127.0.0.1", "Where the gRPC interface listens: the host."),
    Key::new(
        "port",
        &Kind::Number(0, 65535),
        "8080",
        "Where the gRPC interface listens: the port; 0 takes a free one.",
    ),
    Key::new(
        "grpc",
        &Kind::Bool,
        "true",
        "Whether gRPC has a port of its own; the port of REST serves it, too. The flag's word for no is `none`.",
    ),
    Key::new(
        "workers",
        &Kind::Number(1, 1024),
        "",
        "Threads that run functions; one for each core when it is not given.",
    ),
    Key::new(
        "worker_multiplier",
        &Kind::Number(1, 64),
        "1",
        "Threads that run functions, for each core; a number of `workers` goes before it.",
    ),
    Key::new(
        "safe_start",
        &Kind::Word(SAFE_STARTS),
        "auto",
        "Whether a start holds functions back (FS-1709). `client start` lets one run.",
    ),
    Key::new(
        "allowed_hosts",
        &Kind::List(&Kind::Text, 0, 1024),
        "[]",
        "Names without a port by which clients of both interfaces may also call the server; `*` is any. Another name is refused \
         (FS-1010).",
    ),
    Key::new(
        "allowed_origins",
        &Kind::List(&Kind::Text, 0, 1024),
        "[]",
        "Sites whose pages may use the server from a browser, such as `https://console.example.com`. Pages of others are \
         refused (FS-1011).",
    ),
    Key::new(
        "local_paths",
        &Kind::Bool,
        "true",
        "Whether a client on the server's machine may name any WebAssembly file of it as an artifact, as it may those in \
         `allow.archive_dirs`. A request that came through a proxy or from a browser may not.",
    ),
    Key::new("debug", &Kind::Bool, "false", "Log at the level `debug`, unless `logging.level` is given."),
    Key::idle("service_id", &Kind::Any, NO_NAMES),
    Key::idle("service_name", &Kind::Any, NO_NAMES),
    Key::idle("version", &Kind::Any, "the version is that of the program"),
];

const SAFE_STARTS: &[Word] = &[
    Word::new(
        "auto",
        "Those that were to start each time, after the server died three times in a row soon after its start.",
    ),
    Word::new("always", "All of them."),
    Word::new("never", "None."),
];

const REST: &[Key] = &[
    Key::new("listen", &Kind::Address, "localhost:7300", "Where the REST interface listens; port 0 takes a free one."),
    Key::new("max_produce_size", &Kind::Size(1), "16MiB", "The largest body of a produce request."),
    Key::new("max_artifact_size", &Kind::Size(1), "256MiB", "The largest artifact."),
];

const NETWORK: &[Key] = &[
    Key::new(
        "max_connections",
        &Kind::Number(16, 1 << 20),
        "",
        "Connections of both interfaces together. When it is not given, or more than open files leave, as many as these and \
         memory leave, and at most 12000.",
    ),
    Key::new(
        "max_waiting_consumers",
        &Kind::Number(1, 1 << 20),
        "",
        "Clients that wait for an event, or for a line of a log. At most nine in ten connections, and so many when it is not \
         given.",
    ),
    Key::new(
        "head_timeout",
        &Kind::Duration,
        "10s",
        "The longest from connecting to the first byte, and from the first byte of a request to the end of its head.",
    ),
    Key::new(
        "body_timeout",
        &Kind::Duration,
        "30s",
        "The longest that a request's body may make no progress, which is fewer than 1 KiB a second.",
    ),
    Key::new(
        "answer_timeout",
        &Kind::Duration,
        "30s",
        "The longest that a client may make no progress in reading its answer, which is fewer than 1 KiB a second.",
    ),
    Key::new("idle_timeout", &Kind::Duration, "2m", "The longest that a connection may have nothing to do."),
];

const MEMORY: &[Key] = &[Key::new(
    "budget",
    &Kind::SizeFrom(budget::LEAST),
    "",
    "The memory of the server in all: functions, compiling, requests, answers, caches. When it is not given, three quarters of \
     the limit of its control group, or half of the machine's memory if that is less, and never less than 384MiB.",
)];

const LOGGING: &[Key] = &[
    Key::new(
        "level",
        &Kind::LogFilter,
        "info",
        "`error`, `warn`, `info`, `debug`, `trace`, or a filter as in `RUST_LOG`, which goes before it.",
    ),
    Key::new("format", &Kind::Word(FORMATS), "text", "How an event is written."),
    Key::new("file_path", &Kind::Path, "", "The file that logs go to; standard error when it is not given."),
    Key::new(
        "max_file_size",
        &Kind::Size(1 << 20),
        "100MiB",
        "A file that would grow beyond this is put aside and a new one is begun. A number alone is MiB.",
    ),
    Key::new("max_files", &Kind::Number(1, 1000), "5", "How many files are kept, the one being written included."),
];

const FORMATS: &[Word] = &[
    Word::new("text", "A line for each event."),
    Word::new("pretty", "Some lines for each event, for people."),
    Word::new("json", "A JSON object in a line for each event."),
];

const STATE_STORAGE: &[Key] = &[
    Key::new("base_dir", &Kind::Path, "data", "Where everything is kept: events, state, functions, artifacts."),
    Key::new("storage_type", &Kind::Word(STORAGE_TYPES), "rocksdb", "What state is kept in."),
    Key::new("access", &Kind::Word(ACCESSES), "owner", "Who may read it, beside the user that the server runs as."),
    Key::new("durability", &Kind::Word(DURABILITIES), "group", "When an event or a commit counts as durable."),
    Key::new(
        "dirty_keys",
        &Kind::Number(1, 1 << 32),
        "",
        "Keys of committed state that a task keeps in memory before they are written in bulk; the engine's own bound when \
         it is not given.",
    ),
    Key::new(
        "recovery_timeout",
        &Kind::Duration,
        "5m",
        "The longest that the server tries to recover from an error of the disk; then it ends with FS-1508. `0s` sets no limit.",
    ),
    Key::new("scrub", &Kind::Bool, "true", "Whether everything is read once a day to look for damage."),
    Key::new("scrub_rate", &Kind::Size(1), "8MiB", "How much of it is read a second."),
    Key::idle("rocksdb", &Kind::Any, OWN_SIZES),
];

const STORAGE_TYPES: &[Word] = &[
    Word::new("rocksdb", "The embedded store."),
    Word::idle("memory", "state is kept in base_dir, durably, with everything else"),
];

const ACCESSES: &[Word] = &[
    Word::new("owner", "Nobody: folders have the rights 0700, files 0600."),
    Word::new("group", "The group of the folder: folders have the rights 0750, files 0640."),
];

const DURABILITIES: &[Word] = &[
    Word::new("sync", "One synced write for each commit."),
    Word::new("group", "One synced write for all commits that wait."),
    Word::new("os", "When the operating system has it: survives a crash of the process, not of the machine."),
];

const RETENTION: &[Key] = &[
    Key::new(
        "max_age",
        &Kind::Duration,
        "",
        "Drop events older than this, counted from their arrival, or from their own timestamps in topics that ask for it.",
    ),
    Key::new("max_bytes", &Kind::Size(1), "", "Drop the oldest events of a partition as long as this much is left."),
];

const TOPICS: &[Key] = &[Key::new(
    "auto_create",
    &Kind::Word(AUTO_CREATE),
    "on",
    "Whether a topic is made that is not there. Otherwise whoever names it is refused (FS-1310).",
)
.or("auto-create")];

const AUTO_CREATE: &[Word] = &[
    Word::new(
        "on",
        "For a client that produces to it, and for a function that names it. A client that consumes waits for it.",
    ),
    Word::new("functions", "For functions alone."),
    Word::new(
        "off",
        "For nobody; only the topic of a function's dead letters that has the function's name is made with it.",
    ),
];

const ALLOW: &[Key] = &[
    Key::new(
        "archive_dirs",
        &Kind::List(&Kind::Path, 0, 1024),
        "[]",
        "Folders from which all clients, and SQL statements, may name files by their paths.",
    ),
    Key::new(
        "files_dirs",
        &Kind::List(&Kind::Path, 0, 1024),
        "[]",
        "Folders that functions may be granted to read, with those in them.",
    ),
    Key::new(
        "backup_dirs",
        &Kind::List(&Kind::Path, 0, 1024),
        "[]",
        "Folders in which all clients may have backups made, with those in them.",
    ),
];

const WASM: &[Key] = &[
    Key::new(
        "enable_cache",
        &Kind::Bool,
        "true",
        "Whether compiled code is kept on disk. Without it every start compiles all functions again.",
    ),
    Key::new(
        "cache_dir",
        &Kind::Path,
        "",
        "Where; the folder `cache` in `state_storage.base_dir` when it is not given. Servers that share one run as the same user. \
         If others may write to the folder, it is not used.",
    ),
    Key::new(
        "max_cache_size",
        &Kind::Size(1),
        "4GiB",
        "When compiled code takes more than this, what was used longest ago is removed; never what is in use.",
    ),
    Key::new(
        "engines_dir",
        &Kind::Path,
        "",
        "The folder with the engines that run functions given as source, such as `python.wasm`. Those that are not there are looked for \
         in the folder `engines` beside the program, and in `share/function-stream/engines` beside its folder.",
    ),
    Key::new(
        "max_compile_time",
        &Kind::Duration,
        "5m",
        "The processor time that compiling one artifact may take. By the clock it may take twenty times as long, and at \
         most half an hour.",
    ),
];

const PYTHON: &[Key] = &[
    Key::new(
        "wasm_path",
        &Kind::Path,
        "",
        "The engine's file; `python.wasm` in `wasm.engines_dir` or beside the program when it is not given.",
    ),
    Key::idle("cache_dir", &Kind::Any, ONE_CODE_CACHE),
    Key::idle("enable_cache", &Kind::Any, ONE_CODE_CACHE),
];

const TASK_STORAGE: &[Key] = &[
    Key::idle("storage_type", &Kind::Any, ONE_FOLDER),
    Key::idle("db_path", &Kind::Any, ONE_FOLDER),
    Key::idle("rocksdb", &Kind::Any, OWN_SIZES),
];

const STREAM_CATALOG: &[Key] =
    &[Key::idle("persist", &Kind::Any, ONE_FOLDER), Key::idle("db_path", &Kind::Any, ONE_FOLDER)];

const KAFKA: &[Key] = &[
    Key::new(
        "replication",
        &Kind::Number(1, i16::MAX as u64),
        "",
        "How many copies each topic has that the server makes, also those that it keeps for its functions; the cluster's default unless a number is given.",
    ),
    Key::new(
        "partitions",
        &Kind::Number(1, MAX_PARTITIONS as u64),
        "",
        "How many partitions a topic has that is made for a function's input or output, or for a client; as many as the function has replicas, and one for a client, unless a number is given.",
    ),
    Key::new(
        "bootstrap_servers",
        &Kind::Text,
        "localhost:9092",
        "Where the cluster is found: `host:port`, with commas between several.",
    ),
    Key::new(
        "group",
        &Kind::Text,
        "function-stream",
        "The name of the group of processes. Its own topics, consumer groups and transactional ids begin with it, so groups of one \
         cluster need different names, of which none begins with another one and a dot.",
    ),
    Key::new(
        "advertised",
        &Kind::Text,
        "",
        "`host:port` at which the other processes of the group reach the REST interface of this one. When it is not given: the address \
         that it listens at, or, if these are all of the machine, the one that leads to the cluster.",
    ),
    Key::new(
        "session_timeout",
        &Kind::Duration,
        "10s",
        "A process that is not heard of for so long has lost its tasks to the others. The broker bounds it: 6 s to 30 min by default.",
    ),
    Key::new(
        "properties",
        &Kind::List(&Kind::Text, 0, 256),
        "[]",
        "Properties of librdkafka for the connection, such as `security.protocol=SASL_SSL`: a name, `=` and a value each.",
    ),
];

const PULSAR: &[Key] = &[
    Key::new(
        "service_url",
        &Kind::Text,
        "pulsar://localhost:6650",
        "Where the cluster is found: `pulsar://host:port`, with commas between several `host:port`; `pulsar+ssl://` with TLS.",
    ),
    Key::new(
        "group",
        &Kind::Text,
        "function-stream",
        "The name of the group of processes. Its own topics, subscriptions and producers begin with it, so groups of one cluster need \
         different names, of which none begins with another one and a dot.",
    ),
    Key::new(
        "advertised",
        &Kind::Text,
        "",
        "`host:port` at which the other processes of the group reach the REST interface of this one. When it is not given: the address \
         that it listens at, or, if these are all of the machine, the one that leads to the cluster.",
    ),
    Key::new(
        "session_timeout",
        &Kind::Duration,
        "10s",
        "A process that is not heard of for so long is shown as gone. Its tasks move as soon as the broker misses its connection: at once \
         when the process ends, within a minute when its machine does not answer any more.",
    ),
    Key::new(
        "namespace",
        &Kind::Text,
        "public/default",
        "The tenant and namespace of topics that are named without one, such as `orders`.",
    ),
    Key::new(
        "internal_namespace",
        &Kind::Text,
        "public/function-stream",
        "The tenant and namespace of the topics that the group keeps for itself. It is made if it is not there and that is allowed.",
    ),
    Key::new(
        "partitions",
        &Kind::Number(1, MAX_PARTITIONS as u64),
        "",
        "How many partitions a topic has that is made for a function's input or output, or for a client; as many as the function has replicas, and one for a client, unless a number is given.",
    ),
    Key::new(
        "properties",
        &Kind::List(&Kind::Text, 0, 256),
        "[]",
        "Options of the client, such as `auth_token=…` or `admin_url=http://localhost:8080`: a name, `=` and a value each; docs/pulsar.md \
         has all of them.",
    ),
];
