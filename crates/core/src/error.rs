// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Errors with a stable code, a cause, and whose turn it is to act.
//!
//! Every code has a page in `docs/errors/` that says what happened, why, and what to do. The table below is the only
//! place that maps a code to a fault, an HTTP status and an advice.

use std::borrow::Cow;
use std::fmt;

/// Result with the system's own error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Who has to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The caller asked for something that cannot be done: the same request fails again.
    User,
    /// Something outside this process (disk, broker, network): the same request may succeed later.
    External,
    /// A bug of ours.
    Internal,
}

macro_rules! codes {
    ($($variant:ident = $code:literal, $fault:ident, $http:literal, $what:literal, $advice:literal;)*) => {
        /// A stable code. Codes are never reused for another meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $(#[doc = $what] $variant,)*
        }

        impl ErrorCode {
            /// All codes, in order.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$variant,)*];

            /// The code as users see it, such as `FS-1001`.
            pub fn as_str(self) -> &'static str {
                match self { $(ErrorCode::$variant => $code,)* }
            }

            /// What happened, in general.
            pub fn summary(self) -> &'static str {
                match self { $(ErrorCode::$variant => $what,)* }
            }

            /// What to do about it.
            pub fn advice(self) -> &'static str {
                match self { $(ErrorCode::$variant => $advice,)* }
            }

            /// Who has to act.
            pub fn fault(self) -> Fault {
                match self { $(ErrorCode::$variant => Fault::$fault,)* }
            }

            /// The HTTP status that stands for it.
            pub fn http_status(self) -> u16 {
                match self { $(ErrorCode::$variant => $http,)* }
            }
        }
    };
}

codes! {
    // 10xx: the request itself.
    InvalidRequest = "FS-1001", User, 400, "the request is not well formed", "correct the request as the message says; the API is described at /openapi.json";
    EmptyBody = "FS-1002", User, 400, "the request has no body", "send as the request's body what the path takes; the API is described at /openapi.json";
    BodyTooLarge = "FS-1003", User, 413, "the request is larger than the server accepts", "send something smaller, or raise the setting that the message names";
    InvalidName = "FS-1004", User, 400, "a name has a form that is not allowed", "use 1 to 255 ASCII letters, digits, '.', '_' and '-', beginning with a letter, digit or '_'; a topic may also be named tenant/namespace/topic, in parts of that form";
    NotFound = "FS-1005", User, 404, "nothing is served at this path", "see /openapi.json for the paths of this server";
    MethodNotAllowed = "FS-1006", User, 405, "the path does not take this method", "see /openapi.json for the methods of this path";
    InvalidSql = "FS-1007", User, 400, "the SQL text is not valid", "correct the text at the place that is marked; docs/sql.md has the statements";
    DeadlinePassed = "FS-1008", User, 408, "the caller's deadline passed", "look whether it was done, and give more time";
    RequestTooSlow = "FS-1009", User, 408, "the request's body stopped coming", "send it again over a better connection, or in smaller parts";
    HostRefused = "FS-1010", User, 403, "the request names a host that this server does not answer to", "use the address or the name that the server listens at, or add the name to its setting service.allowed_hosts";
    OriginRefused = "FS-1011", User, 403, "a page of another site asks", "use a client that is no browser, or add the page's origin to the server's setting service.allowed_origins";
    ContentTypeRefused = "FS-1012", User, 415, "the content type is not one that is taken here", "name the type of the body: application/json for JSON, application/octet-stream for bytes, application/grpc for gRPC";
    TargetTooLong = "FS-1013", User, 414, "the request's path with its query is too long", "ask for less at once, or send what is long in the body";
    HeadTooLarge = "FS-1014", User, 431, "the request has too many headers, or too large ones", "send fewer or shorter headers: event headers that do not fit in HTTP fit in a frame";
    EncodingRefused = "FS-1015", User, 415, "the body is compressed in a way that is not taken here", "send it as it is, or compressed with gzip, deflate or zstd where that is taken";
    // 11xx: functions.
    FunctionExists = "FS-1101", User, 409, "a function of this name exists", "choose another name, or delete the function first";
    FunctionNotFound = "FS-1102", User, 404, "there is no function of this name", "see 'function-stream client list' for the names";
    InvalidSpec = "FS-1103", User, 400, "the function's description is not valid", "correct the field that the message names";
    FunctionChanged = "FS-1104", User, 409, "the function was changed by someone else meanwhile", "look at the function again and repeat the change if it still applies";
    FunctionStopped = "FS-1105", User, 409, "the function is not running", "start the function first";
    RevisionNotFound = "FS-1106", User, 404, "the function has no revision of this number", "see 'function-stream client revisions' for those that are kept";
    RevisionStateGone = "FS-1107", User, 409, "the state of this revision is not kept", "roll back without the state, or to a revision that 'function-stream client revisions' shows with state";
    GrantRefused = "FS-1108", User, 403, "the server does not allow what the function asks to be granted", "have the server started with --allow-files-dir for the folder, or leave the grant out";
    NoDeadLetters = "FS-1109", User, 409, "the function keeps no dead letters", "give it the error policy 'dead-letter' with 'function-stream client update'";
    LanguageUnavailable = "FS-1111", User, 501, "this server has no engine for the function's language", "put the engine where the message says, as 'make build_all' and the packages do, or bring the engine along by 'function-stream build --component'";
    StateNotKept = "FS-1112", User, 501, "no state is kept with the revisions of this function", "roll back without the state";
    TimersSet = "FS-1113", User, 409, "the function has timers set, and the new artifact cannot take them", "give the new artifact a handler of timers, or have the present one delete its timers first";
    JobNotFound = "FS-1115", User, 404, "there is no job of this id", "see 'function-stream client dlq jobs' for those that are kept; a trial's results are kept for a shorter time than the job";
    JobUnderWay = "FS-1116", User, 409, "a job on dead letters is under way", "see it with 'function-stream client dlq jobs', and wait until it has ended";
    NotUp = "FS-1117", User, 422, "the function does not come up", "see what it wrote with 'function-stream client logs', then update it";
    NotUpYet = "FS-1118", External, 504, "the function is not up yet", "see with 'function-stream client status' what it waits for; it goes on coming up by itself";
    // 12xx: artifacts.
    ArtifactNotFound = "FS-1201", User, 400, "the artifact is neither uploaded nor a file that the server may read", "upload the artifact, or give a path on the server that it is allowed to read";
    ArtifactInvalid = "FS-1202", User, 400, "the artifact is not a valid WebAssembly module or component", "rebuild the artifact; the message has the place where it stops being valid";
    ArtifactUnsupported = "FS-1203", User, 400, "the artifact fits none of the kinds that can be run", "build it for one of the worlds in wit/ or as a WASI preview 1 module; the message says what does not fit";
    ArtifactCorrupt = "FS-1204", External, 500, "a stored artifact is missing or was changed on disk", "upload the artifact with 'function-stream client update', the same one or a newer one";
    CompileTimeout = "FS-1205", User, 400, "the artifact takes longer to compile than the server allows", "build it smaller, optimized and without generated bulk, or raise the server's setting wasm.max_compile_time";
    SourceInvalid = "FS-1206", User, 400, "the function's source cannot be loaded", "correct the source as the message says; docs/python.md and docs/javascript.md say what it may be";
    // 13xx: topics and positions.
    TopicNotFound = "FS-1301", User, 404, "there is no topic of this name", "create it with 'function-stream client topic create', or produce to it";
    TopicExists = "FS-1302", User, 409, "a topic of this name exists", "choose another name, or delete the topic first";
    TopicInUse = "FS-1303", User, 409, "a function reads or writes the topic", "delete the functions that use it first";
    PositionDropped = "FS-1304", User, 410, "the position was already dropped by retention", "read from 'earliest', or keep more with a larger retention";
    PositionLost = "FS-1317", User, 409, "the function's position in an input is gone", "update the input with 'on-lost-position' set to 'earliest' or 'latest'; or stop the function, move its group with the broker's tools, and start it";
    PositionUnknown = "FS-1305", User, 400, "the position is past the end of the partition", "read from 'latest', or from a position below the end";
    RecordTooLarge = "FS-1306", User, 413, "the record is larger than a topic accepts", "split the record, or raise the limit";
    PartitionNotFound = "FS-1307", User, 404, "the topic has no partition of this number", "see 'function-stream client topic describe'";
    DeadLetterNotFound = "FS-1308", User, 404, "there is no waiting dead letter of this number", "see 'function-stream client dlq ls' for those that wait";
    ClusterUnknown = "FS-1309", User, 400, "the topic is of a cluster that this server does not know", "use a topic of the server's own cluster: its name without '@' and what follows";
    TopicNotMade = "FS-1310", User, 404, "there is no topic of this name, and the server does not make it for whoever asked", "look whether the name is right; else create it with 'function-stream client topic create', or see the server's setting topics.auto_create";
    PartitionsShrink = "FS-1311", User, 409, "a topic cannot have fewer partitions than it has", "make another topic with fewer partitions, and copy the events with a function";
    KeysMove = "FS-1312", User, 409, "functions keep state by the keys of the topic, and more partitions move keys to other tasks", "see the page; repeat it with 'accept_moved_keys' set to true if that is fine";
    UnequalInputs = "FS-1313", User, 400, "the function's inputs have different numbers of partitions", "give them the same number with 'function-stream client topic alter'; or say with 'no-join' that the function does not join them";
    PartitionNeeded = "FS-1314", User, 400, "a position is of one partition, and the topic has several", "name the partition with 'partition'";
    SeveralHomes = "FS-1315", User, 400, "the function's outputs are in several clusters", "write to topics of one cluster, its dead letters included, and copy them to another one with a second function";
    OwnTopicsOnly = "FS-1316", User, 501, "this is not done with a topic of another cluster", "use a topic of the server's own cluster, or what the message names instead";
    SequenceGap = "FS-1330", User, 409, "events of a producer are missing before these", "ask the topic for the producer's next number, and send from there on";
    ProducerUnknown = "FS-1331", User, 404, "the topic does not know the producer", "begin at number 0 if nothing was sent yet; a producer that was forgotten has to find out what is there, and go on under another name";
    EventHeadTooLarge = "FS-1320", User, 422, "the event's key and headers do not fit into the head of an answer", "read it in a form that has them in the body: 'format=frame', or take it with acknowledgement";
    GroupAcknowledges = "FS-1321", User, 409, "the group is consumed with acknowledgement", "take from it with 'function-stream client consume --ack', use another group, or delete this one";
    LeaseLost = "FS-1322", User, 409, "the lease on a record has ended, and the record is not this consumer's any more", "do nothing: the record is, or will be, delivered again; ask for a longer lease, or extend it while you work";
    GroupNotFound = "FS-1323", User, 404, "the topic has no group of this name", "see 'function-stream client group list'";
    TooManyGroups = "FS-1324", User, 409, "there are as many groups with acknowledgement as there may be", "delete groups that are not needed with 'function-stream client group delete'";
    AcksUnavailable = "FS-1325", User, 501, "this server's topics do not keep acknowledgements", "use topics of the embedded log";
    NotAcknowledged = "FS-1326", User, 422, "a record was delivered as often as it may be and never acknowledged", "see the dead letter's headers for where it was, and the consumer's own log for why";
    LineInvalid = "FS-1340", User, 400, "a line is not an event in JSON", "write an object with a 'value' in each line, as 'function-stream client consume --json' prints them";
    StateTooLarge = "FS-1341", User, 413, "the state is too large to be copied for a trigger", "run the function over a part of its input with 'function-stream run --data-dir', or trigger one whose state is smaller";
    // 14xx: a function's own failures.
    GuestError = "FS-1401", User, 422, "the function returned an error", "see the message: it is the function's own";
    GuestTrap = "FS-1402", User, 422, "the function trapped", "see the backtrace; a trap is a bug of the function";
    GuestTimeout = "FS-1403", User, 422, "the function ran longer than its time limit", "make it faster, or raise its limit";
    GuestOutOfMemory = "FS-1404", User, 422, "the function asked for more memory than its limit", "use less, or raise its limit";
    GuestExit = "FS-1405", User, 422, "the function ended itself with a status other than 0", "see what it wrote to its standard error with 'function-stream client logs'";
    UnknownTarget = "FS-1406", User, 422, "the function emitted to an output that it does not have", "emit to a target id below the number of the function's outputs";
    GuestProtocol = "FS-1407", User, 422, "the function passed something malformed to the host", "rebuild it with a current SDK";
    StateKeyInvalid = "FS-1408", User, 422, "a state key or store name is not valid", "use store names of 1 to 255 bytes and the key form of the world";
    GuestPoisoned = "FS-1409", User, 422, "the instance failed before and cannot be called again", "nothing: the engine makes a new instance";
    OutputTooLarge = "FS-1410", User, 422, "the function emitted a record that is larger than its limit", "emit smaller records, or raise the limit 'record'";
    TooManyOutputs = "FS-1411", User, 422, "the function emitted more records than its limit", "emit fewer records for each input, or raise the limit 'records-per-input'";
    StateLimit = "FS-1412", User, 422, "the function's state would pass its limit", "delete state that is not needed, or raise the limit 'state'";
    Interrupted = "FS-1413", External, 503, "the function's call was interrupted because the function is being ended", "nothing: what the call did was not committed, and is done again when the function runs";
    FunctionBusy = "FS-1414", External, 503, "the function did not answer or end in time", "try again later; 'function-stream client status' shows what it is doing";
    TimersCircle = "FS-1415", User, 422, "timers of the function set timers that are due already, without end", "have the function set its timers for a time to come, or set them no more";
    GuestMemoryShort = "FS-1417", External, 503, "the server's memory for functions is used up", "nothing: it is tried again by itself; if it stays so, give the server more memory, or the functions that take most a lower limit 'memory'";
    CompileMemory = "FS-1418", User, 400, "compiling the artifact takes more memory than the server has for it", "build it smaller, optimized and without generated bulk, or give the server more memory with memory.budget";
    // 15xx: storage and brokers.
    Storage = "FS-1501", External, 503, "the data folder could not be read or written", "look at the disk: space, rights, health";
    StorageFull = "FS-1502", External, 507, "the disk of the data folder is full", "free space; the server goes on by itself";
    DataDirLocked = "FS-1503", User, 409, "another process uses the data folder", "stop the other process, or choose another folder with --data-dir";
    DataDirForeign = "FS-1504", User, 400, "the folder holds something that is not a Function Stream data folder", "choose an empty folder or one made by function-stream";
    DataDirNewer = "FS-1505", User, 400, "the data folder was written by a newer version", "run that version or a later one";
    DataCorrupt = "FS-1506", External, 500, "stored bytes are not what was written", "run 'function-stream check' while no server uses the folder: it says what is damaged and what can be done";
    StoreRecovering = "FS-1507", External, 503, "the store recovers from an error of the disk", "try again in a moment; if it stays so, cure what the message names: the server goes on by itself";
    StoreGaveUp = "FS-1508", External, 503, "the store could not recover in time", "cure what the message names, and start the server again";
    StrangeFile = "FS-1510", External, 500, "a symbolic link or a special file is in the place of a file of the server", "put the file or the folder itself there; see the page for what a link was good for";
    DataDirExposed = "FS-1511", User, 400, "everybody may write to the data folder", "take the right to write from others, or name a folder within it, which the server then makes";
    DataDirMissing = "FS-1512", User, 404, "there is no data folder at this path", "name the data folder of the server, with --data-dir or --config";
    BackupUnderWay = "FS-1520", User, 409, "a backup is being made already", "wait until it has ended";
    BackupPlace = "FS-1521", User, 400, "no backup can be made at this path", "name a folder that is not there yet, by its absolute path, in one that is there and outside of the data folder";
    BackupForbidden = "FS-1522", User, 403, "this caller may not have a backup made at this path", "ask on the server's own machine, or have the server started with --allow-backup-dir for a folder above the path";
    BackupUnwritable = "FS-1523", External, 503, "the backup could not be written", "look at the rights and the disk of the folder that the message names";
    BackupFull = "FS-1524", External, 507, "the disk of the backup is full", "free space there, or choose another disk; nothing was left of the backup";
    BackupDamaged = "FS-1525", External, 500, "the backup is damaged or incomplete", "use another backup; nothing was restored";
    BackupNewer = "FS-1526", User, 400, "the backup was made by a newer version", "restore it with that version or a later one";
    BackupMissing = "FS-1527", User, 404, "there is no backup at this path", "name the folder that 'function-stream client backup' made";
    BrokerForbidden = "FS-1531", User, 403, "the broker does not allow what is needed", "give the user of the connection the rights that the message names; docs/kafka.md lists all of them";
    BrokerLogin = "FS-1532", User, 403, "the broker refuses the credentials", "correct the user, the password or the mechanism (sasl.username, sasl.password, sasl.mechanism)";
    BrokerProtocol = "FS-1533", User, 400, "what listens at the broker's address does not speak as expected", "look whether the port is that of a Kafka listener, and whether security.protocol is the listener's";
    TransactionsUnsupported = "FS-1534", User, 501, "the broker does not support transactions", "use a broker of Apache Kafka 2.5 or later";
    TopicPolicy = "FS-1535", User, 409, "an internal topic has a setting that would lose data", "set the topic as the message says, or delete it if nothing in it is needed";
    GroupInUse = "FS-1536", User, 409, "the group of consumers is in use by somebody else", "stop the consumers of the group, or name another group with group_id";
    GroupShared = "FS-1537", User, 409, "another function reads the topic in the same group", "give each function a 'group_id' of its own, or stop the other one first";
    DeduplicationOff = "FS-1538", User, 409, "the broker does not drop repeats where an output goes", "run 'pulsar-admin namespaces set-deduplication --enable' for the namespace that the message names, or give the server the right to";
    SchemaIncompatible = "FS-1539", User, 409, "an output topic does not take a schema, or a record without one", "give the topic a compatibility strategy that allows the schema, or change the output's 'schema'; the function goes on by itself then";
    RestorePlace = "FS-1528", User, 409, "the folder to restore to is not empty", "name another folder, or repeat it with 'function-stream restore --replace', which keeps what is there in a folder of its own in it";
    // 16xx: commits.
    CommitRetriable = "FS-1601", External, 503, "a commit could not be made now", "nothing: the engine repeats it";
    CommitAborted = "FS-1602", External, 503, "a commit was aborted", "nothing: the engine replays from the last commit";
    Fenced = "FS-1603", External, 409, "a newer owner has taken the task over", "nothing: the newer owner goes on";
    CommitFatal = "FS-1604", External, 503, "the connection that commits was lost for good", "nothing: the engine opens the task anew";
    Cancelled = "FS-1605", External, 503, "what was being done is not needed any more", "nothing: whoever ended it knows";
    CommitRejected = "FS-1606", User, 413, "a topic does not take a record that the function emits", "have the function emit smaller records, or raise the topic's limit; until then the function's error policy decides";
    JobInterrupted = "FS-1607", External, 503, "a job was interrupted by the end of the server", "see with 'function-stream client dlq ls' what is left, and start it again for that";
    // 17xx: the server.
    ShuttingDown = "FS-1701", External, 503, "the server is shutting down", "repeat the request when it is back";
    AddressInUse = "FS-1702", User, 409, "the address to listen on cannot be used", "stop what listens there, or choose another with the flag that the message names";
    InvalidConfig = "FS-1703", User, 400, "the configuration is not valid", "correct the setting that the message names";
    Unavailable = "FS-1704", External, 503, "the server or the broker cannot be reached", "check that 'function-stream standalone' runs and that --service-url names it, or that the broker in the message can be reached";
    ModeUnavailable = "FS-1705", User, 501, "this server's mode has no such operation", "use the means of the cluster that the server keeps everything in";
    NotReady = "FS-1706", External, 503, "the server is not ready yet", "wait until its functions are started; 'function-stream client status' shows how far they are";
    PeerUnavailable = "FS-1707", External, 503, "another process of the server group cannot be reached", "try again; look whether all processes of the group run and reach each other";
    MemoryShort = "FS-1708", External, 503, "the server's memory for what was asked is taken by others", "try again in a moment; if it stays so, have fewer large requests at once, and read the answers";
    HeldBack = "FS-1709", User, 409, "the function is held back by a safe start", "start, stop, update or delete it; an orderly restart of the server lets all run that are held back";
    Unprotected = "FS-1710", User, 403, "the server is reachable from other machines and has no authentication", "let it listen at a loopback address, or let only those reach it who may do everything";
    StrangeAnswer = "FS-1711", External, 502, "what answered does not speak the interface of Function Stream", "check that --service-url names the server itself, with the port of REST, and that no proxy on the way answers in its place";
    ConnectionsFull = "FS-1721", External, 503, "all connections of the server are taken", "try again; close connections that are not needed, or raise network.max_connections and the limit of open files";
    WaitingFull = "FS-1722", External, 503, "too many consumers wait", "try again; have fewer wait, or raise network.max_waiting_consumers and the limit of open files";
    // 18xx: building.
    BuildFolder = "FS-1801", User, 400, "the folder holds nothing that can be built", "name the folder that has the program's go.mod or Cargo.toml, or its source in Python or JavaScript";
    BuildToolMissing = "FS-1802", User, 400, "a tool that the build needs is missing or too old", "install what the message names";
    BuildFailed = "FS-1803", User, 400, "the compiler refused the program", "correct the program as the compiler says";
    ScenarioInvalid = "FS-1804", User, 400, "a scenario file is not well formed", "correct the file as the message says; docs/developing.md has the form";
    // 19xx: bugs.
    Internal = "FS-1901", Internal, 500, "something that cannot happen has happened", "please report it with the server's log";
    Panicked = "FS-1902", Internal, 500, "a part of the server failed in a way that it should not", "please report it with the line of the server's log that names the place";
}

impl ErrorCode {
    /// After how many seconds a request that was refused so may be tried again, if what refuses it passes by itself.
    pub fn retry_after(self) -> Option<u16> {
        use ErrorCode::*;
        match self {
            // The time of a restart.
            ShuttingDown => Some(5),
            Interrupted | FunctionBusy | GuestMemoryShort | Storage | StoreRecovering | CommitRetriable
            | CommitAborted | CommitFatal | NotReady | PeerUnavailable | MemoryShort | ConnectionsFull
            | WaitingFull => Some(1),
            _ => None,
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A coded error: what happened here, on top of what its code says in general.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message} ({code})")]
pub struct Error {
    /// The stable code.
    pub code: ErrorCode,
    /// What happened here: lowercase, no final period.
    pub message: String,
    /// What to do here, if what the code says in general does not fit.
    pub advice: Option<Cow<'static, str>>,
}

impl Error {
    /// An error of that code.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Error { code, message: message.into(), advice: None }
    }

    /// The same error with what was being done put before its message.
    pub fn context(self, doing: impl fmt::Display) -> Self {
        Error { message: format!("{doing}: {}", self.message), ..self }
    }

    /// The same error with an advice of its own: one that names what is there, or that fits where the code's does not.
    pub fn advising(self, advice: impl Into<Cow<'static, str>>) -> Self {
        Error { advice: Some(advice.into()), ..self }
    }

    /// What to do about it.
    pub fn advice(&self) -> &str {
        self.advice.as_deref().unwrap_or(self.code.advice())
    }

    /// Whether the same attempt may succeed later without anybody changing it.
    pub fn is_retriable(&self) -> bool {
        self.code.fault() == Fault::External && self.code != ErrorCode::Fenced
    }
}

/// A bug of ours, found at run time.
pub fn internal(message: impl Into<String>) -> Error {
    Error::new(ErrorCode::Internal, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn what_is_unavailable_for_a_while_says_when_to_come_back() {
        // Those that end the process, or answer nobody who could try again, or stay until somebody has mended the cause.
        let no_use = [
            ErrorCode::StoreGaveUp,
            ErrorCode::Cancelled,
            ErrorCode::JobInterrupted,
            ErrorCode::Unavailable,
            ErrorCode::BackupUnwritable,
        ];
        for code in ErrorCode::ALL {
            let passes = matches!(code.http_status(), 429 | 503) && !no_use.contains(code);
            assert_eq!(code.retry_after().is_some(), passes, "{code}");
        }
    }

    #[test]
    fn an_advice_of_its_own_takes_the_place_of_the_codes() {
        let error = Error::new(ErrorCode::NotUp, "no").context("doing it");
        assert_eq!(error.advice(), ErrorCode::NotUp.advice());
        let error = error.advising("mend it").context("again");
        assert_eq!((error.advice(), &*error.message), ("mend it", "again: doing it: no"));
    }

    #[test]
    fn an_advice_holds_no_word_that_stands_for_another() {
        // Such as NAME or ID: whoever copies the command would have to know what to put there.
        let known = ["API", "ASCII", "HTTP", "JSON", "REST", "SDK", "WASI"];
        for code in ErrorCode::ALL {
            let words = code.advice().split(|c: char| !c.is_ascii_alphanumeric());
            let stand_in = words
                .filter(|word| word.len() > 1 && word.chars().all(|c| c.is_ascii_uppercase()))
                .find(|word| !known.contains(word));
            assert_eq!(stand_in, None, "{code}");
        }
    }

    #[test]
    fn codes_are_unique() {
        let distinct: HashSet<_> = ErrorCode::ALL.iter().map(|c| c.as_str()).collect();
        assert_eq!(distinct.len(), ErrorCode::ALL.len());
    }
}
