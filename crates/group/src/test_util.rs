// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What has to hold of the register, the artifacts and the peers over the logs of any broker; and logs in memory.
//!
//! A broker's tests call each of the functions with what makes fresh [`Logs`].

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fnstream_core::artifacts::Artifacts;
use fnstream_core::clock::SystemClock;
use fnstream_core::epoch::FunctionId;
use fnstream_core::metadata::Metadata;
use fnstream_core::peers::{Answered, PeerId, Peers, Question};
use fnstream_core::record::Position;
use fnstream_core::spec::{DesiredState, FunctionSpec};
use fnstream_core::test_util::mem_artifacts::MemArtifacts;
use fnstream_core::test_util::suites;
use fnstream_core::test_util::suites::artifacts::ArtifactsHarness;
use fnstream_core::test_util::suites::metadata::MetadataHarness;
use fnstream_core::test_util::suites::peers::PeersHarness;
use fnstream_core::{Error, ErrorCode, Result};
use parking_lot::{Condvar, Mutex};

use crate::log::{Entry, Failed, Follower, Log, Row};
use crate::{Exchange, GroupArtifacts, GroupPeers, Register, Removed};

/// Gives the logs of one group by their names, each time as to another process.
pub type Logs = Arc<dyn Fn(&str) -> Arc<dyn Log> + Send + Sync>;

/// How long something is waited for that has to come.
const PATIENCE: Duration = Duration::from_secs(60);

fn spec(name: String, replicas: u32) -> FunctionSpec {
    let inputs = vec![vec!["in".into()]];
    FunctionSpec { name, artifact: "ab".repeat(32), inputs, replicas, ..FunctionSpec::default() }
}

struct Registers {
    logs: Logs,
    register: Arc<Register>,
}

fn register(logs: &Logs, process: &str) -> Arc<Register> {
    Arc::new(Register::open(logs("functions"), process, Arc::new(SystemClock::new())).unwrap())
}

impl MetadataHarness for Registers {
    fn metadata(&self) -> Arc<dyn Metadata> {
        self.register.clone()
    }

    fn fork(&self, _of: FunctionId) -> FunctionId {
        self.register.take_id().unwrap()
    }

    fn reopen(&mut self) {
        self.register = register(&self.logs, "a");
    }
}

/// The contract of the register.
pub fn the_register_keeps_its_contract(fresh: &dyn Fn() -> Logs) {
    suites::run(suites::metadata::CHECKS, || {
        let logs = fresh();
        let register = register(&logs, "a");
        Box::new(Registers { logs, register })
    });
}

/// Each change is based on the latest, whichever process makes it, and all processes see the same in the end.
pub fn processes_that_change_the_register_at_once_lose_nothing(fresh: &dyn Fn() -> Logs) {
    const CHANGES: usize = 10;
    let logs = fresh();
    let open = |process: &str| register(&logs, process);
    let processes = [open("a"), open("b"), open("c")];
    processes[0].create(spec("shared".into(), 1), DesiredState::Running).unwrap();
    std::thread::scope(|scope| {
        for (number, register) in processes.iter().enumerate() {
            scope.spawn(move || {
                for change in 0..CHANGES {
                    register.create(spec(format!("f-{number}-{change}"), 1), DesiredState::Running).unwrap();
                    loop {
                        let entry = register.get("shared").unwrap().unwrap();
                        let next = spec("shared".into(), entry.spec.replicas + 1);
                        match register.update(next, DesiredState::Running, entry.revision, None) {
                            Ok(_) => break,
                            Err(error) => assert_eq!(error.code, ErrorCode::FunctionChanged, "{error}"),
                        }
                    }
                }
            });
        }
    });
    let late = open("d");
    for register in processes.iter().chain([&late]) {
        // Reading what is not there waits for what is.
        assert_eq!(register.get("nobody").unwrap(), None);
        let all = register.list().unwrap();
        assert_eq!(all.len(), 1 + 3 * CHANGES);
        let ids: std::collections::BTreeSet<_> = all.iter().map(|entry| entry.id).collect();
        assert_eq!(ids.len(), all.len(), "an id was given twice");
        let shared = all.iter().find(|entry| entry.spec.name == "shared").unwrap();
        assert_eq!((shared.revision as usize, shared.spec.replicas as usize), (1 + 3 * CHANGES, 1 + 3 * CHANGES));
    }
}

/// Whatever process is there removes what is left.
pub fn what_is_left_of_a_removed_function_is_known_until_it_is_tidied(fresh: &dyn Fn() -> Logs) {
    let logs = fresh();
    let (a, b) = (register(&logs, "a"), register(&logs, "b"));
    let entry = a.create(spec("f".into(), 1), DesiredState::Running).unwrap();
    a.remove("f", 1).unwrap();
    assert_eq!(b.get("f").unwrap(), None);
    assert_eq!(b.name_of(entry.id).as_deref(), Some("f"));
    let refused = b.tidy(|_, _| Err(Error::new(ErrorCode::Unavailable, "not now")));
    assert_eq!(refused.unwrap_err().code, ErrorCode::Unavailable);
    b.tidy(|_, _| Ok(false)).unwrap();
    let removed = Removed { name: "f".into(), reads: entry.spec.reads().collect() };
    assert_eq!(a.removed(), [(entry.id, removed.clone())].into(), "it was too early");
    let mut tidied = Vec::new();
    b.tidy(|id, removed| {
        tidied.push((id, removed.clone()));
        Ok(true)
    })
    .unwrap();
    assert_eq!(tidied, [(entry.id, removed)]);
    assert_eq!(b.name_of(entry.id), None);
    a.tidy(|_, _| panic!("it was tidied already")).unwrap_or_else(|e| panic!("{e}"));
}

struct Shelf {
    logs: Logs,
    local: MemArtifacts,
    artifacts: Arc<GroupArtifacts>,
}

impl Shelf {
    fn open(logs: &Logs, process: &str, local: &MemArtifacts, grace: Duration) -> Arc<GroupArtifacts> {
        let (local, clock) = (Arc::new(local.clone()), Arc::new(SystemClock::new()));
        Arc::new(GroupArtifacts::open(logs("artifacts"), process, local, grace, clock).unwrap())
    }
}

impl ArtifactsHarness for Shelf {
    fn artifacts(&self) -> Arc<dyn Artifacts> {
        self.artifacts.clone()
    }

    fn damage(&self, digest: &str) {
        self.local.damage(digest);
    }

    fn reopen(&mut self) {
        self.local.kill();
        self.artifacts = Shelf::open(&self.logs, "a", &self.local, Duration::ZERO);
    }
}

/// The contract of artifacts.
pub fn artifacts_keep_their_contract(fresh: &dyn Fn() -> Logs) {
    // What is damaged on the disk is healed from the topic.
    let checks = suites::artifacts::CHECKS
        .iter()
        .filter(|check| check.name != "a_damaged_artifact_is_never_given_and_is_healed");
    for check in checks {
        suites::run::<dyn ArtifactsHarness>(std::slice::from_ref(check), || {
            let (logs, local) = (fresh(), MemArtifacts::default());
            let artifacts = Shelf::open(&logs, "a", &local, Duration::ZERO);
            Box::new(Shelf { logs, local, artifacts })
        });
    }
}

/// What one process was given all have, whatever their disks do.
pub fn an_artifact_reaches_every_process_and_heals_every_disk(fresh: &dyn Fn() -> Logs) {
    let logs = fresh();
    let open = |process: &str, local: &MemArtifacts, grace| Shelf::open(&logs, process, local, grace);
    let (here, there) = (MemArtifacts::default(), MemArtifacts::default());
    let hour = Duration::from_secs(3600);
    let (a, b) = (open("a", &here, hour), open("b", &there, hour));
    // More than one piece, and less than a whole one at the end.
    let bytes: Vec<u8> = (0..1_300_000u32).map(|n| (n % 251) as u8).collect();
    let digest = a.put(&bytes).unwrap().digest().to_owned();
    assert!(b.get(&digest).unwrap() == bytes, "other bytes");
    there.damage(&digest);
    assert!(b.get(&digest).unwrap() == bytes, "a disk that has changed them");
    assert_eq!(b.list().unwrap(), std::slice::from_ref(&digest));
    // Somebody may be about to use it.
    assert_eq!(b.sweep(&mut || Ok(Default::default())).unwrap(), 0);
    let hasty = open("c", &MemArtifacts::default(), Duration::ZERO);
    assert_eq!(hasty.sweep(&mut || Ok(Default::default())).unwrap(), 1);
    assert_eq!(a.list().unwrap(), Vec::<String>::new());
    assert_eq!(hasty.get(&digest).unwrap_err().code, ErrorCode::ArtifactNotFound);
}

/// Processes that reach each other within this one.
#[derive(Clone, Default)]
struct Direct(Arc<Mutex<HashMap<String, Arc<GroupPeers>>>>);

impl Exchange for Direct {
    fn ask(&self, address: &str, peer: &PeerId, question: Question, done: Answered) {
        let asked = self.0.lock().get(address).cloned();
        match asked.and_then(|asked| asked.desk()) {
            Some(desk) => desk.ask(question, done),
            None => done(Err(Error::new(ErrorCode::PeerUnavailable, format!("nobody is '{}'", peer.0)))),
        }
    }
}

struct Group {
    logs: Logs,
    direct: Direct,
}

impl PeersHarness for Group {
    fn join(&mut self, name: &str) -> Arc<dyn Peers> {
        let exchange = Arc::new(self.direct.clone());
        let log = (self.logs)("peers");
        let peers = Arc::new(GroupPeers::join(log, name, name, Duration::from_secs(4), exchange).unwrap());
        let others: Vec<_> = self.direct.0.lock().values().cloned().collect();
        self.direct.0.lock().insert(name.to_owned(), peers.clone());
        let until = Instant::now() + PATIENCE;
        while !others.iter().all(|other| other.alive().contains(&peers.me()) && peers.alive().contains(&other.me())) {
            assert!(Instant::now() < until, "a process is not seen");
            std::thread::yield_now();
        }
        peers
    }

    fn kill(&mut self, peer: &PeerId) {
        let found = self.direct.0.lock().extract_if(|_, peers| peers.me() == *peer).next();
        if let Some((_, peers)) = found {
            peers.leave();
        }
    }
}

/// The contract of peers.
pub fn processes_find_and_ask_each_other(fresh: &dyn Fn() -> Logs) {
    for check in suites::peers::CHECKS.iter().chain(suites::peers::GROUP_CHECKS) {
        suites::run::<dyn PeersHarness>(std::slice::from_ref(check), || {
            Box::new(Group { logs: fresh(), direct: Direct::default() })
        });
    }
}

/// What one writes after another has written is not there, and says so.
pub fn a_writer_that_was_fenced_writes_nothing(fresh: &dyn Fn() -> Logs) {
    let logs = fresh();
    let (a, b) = (logs("functions"), logs("functions"));
    let (seen, same) = (Arc::new(Seen::default()), Arc::new(Seen::default()));
    let _following = (a.follow(seen.clone()).unwrap(), b.follow(same.clone()).unwrap());
    let entry = |key: &str| vec![Entry { key: key.into(), value: Some(b"v".to_vec()), timestamp: Some(7) }];
    assert!(matches!(a.write(entry("early")), Err(Failed::Nothing(_))), "nobody has begun");
    a.fence().unwrap();
    let end = a.write(entry("one")).unwrap();
    a.fence().unwrap();
    b.fence().unwrap();
    let two = b.write(entry("two")).unwrap();
    // A client may take a while to hear of it; then it does not know.
    let refused = a.write(entry("late"));
    assert!(matches!(refused, Err(Failed::Fenced | Failed::Unknown(_))), "{refused:?}");
    a.lay([entry("x/1"), entry("x/2")].concat()).unwrap();
    a.fence().unwrap();
    let last = a.write(entry("three")).unwrap();
    assert!(end < two && two < last && b.end().unwrap() >= last);
    let wanted = ["one", "two", "x/1", "x/2", "three"];
    for follower in [&seen, &same] {
        follower.wait(last);
        assert_eq!(*follower.keys.lock(), wanted);
    }
    let late = Arc::new(Seen::default());
    let _following = logs("functions").follow(late.clone()).unwrap();
    late.wait(last);
    assert_eq!(*late.keys.lock(), wanted);
    let mut read = Vec::new();
    b.read(Position::START, last, &mut |row| {
        read.push((String::from_utf8_lossy(row.key).into_owned(), row.timestamp));
        Ok(())
    })
    .unwrap();
    let three = read.iter().find(|(key, _)| key == "three");
    assert!(three.is_some_and(|(_, timestamp)| b.is_compacted() || *timestamp == 7), "{read:?}");
}

/// The keys that a log has told.
#[derive(Default)]
struct Seen {
    keys: Mutex<Vec<String>>,
    next: Mutex<Position>,
    moved: Condvar,
}

impl Seen {
    fn wait(&self, end: Position) {
        let mut next = self.next.lock();
        while *next < end {
            assert!(!self.moved.wait_for(&mut next, PATIENCE).timed_out(), "at {next} of {end}");
        }
    }
}

impl Follower for Seen {
    fn take(&self, rows: &[Row<'_>], next: Position) {
        let told = rows.iter().filter(|row| row.key.first() != Some(&0));
        self.keys.lock().extend(told.map(|row| String::from_utf8_lossy(row.key).into_owned()));
        *self.next.lock() = next;
        self.moved.notify_all();
    }

    fn fail(&self, _error: Error) {}
}

/// However often a function is changed, who comes late reads little, and all that is needed.
pub fn a_log_keeps_what_is_needed_and_little_else(fresh: &dyn Fn() -> Logs) {
    const CHANGES: u32 = 600;
    let logs = fresh();
    let a = register(&logs, "a");
    for number in 0..20 {
        a.create(spec(format!("quiet-{number}"), 1), DesiredState::Running).unwrap();
    }
    a.create(spec("busy".into(), 1), DesiredState::Running).unwrap();
    for number in 0..CHANGES {
        a.update(spec("busy".into(), 1 + number % 7), DesiredState::Running, u64::from(number) + 1, None).unwrap();
    }
    let late = register(&logs, "late");
    let named = |register: &Register| -> Vec<_> {
        register.list().unwrap().into_iter().map(|entry| (entry.spec.name, entry.id, entry.revision)).collect()
    };
    assert_eq!(named(&late), named(&a));
    assert_eq!(late.list().unwrap().len(), 21);
    assert_eq!(late.incarnation(), a.incarnation());
}

/// A group of logs in memory. They are not compacted.
#[derive(Default)]
pub struct MemLogs(Mutex<HashMap<String, Arc<Mutex<Kept>>>>);

impl MemLogs {
    /// Logs of a new group.
    pub fn fresh() -> Logs {
        let all = MemLogs::default();
        Arc::new(move |name: &str| -> Arc<dyn Log> {
            let kept = all.0.lock().entry(name.to_owned()).or_default().clone();
            Arc::new(MemLog { name: name.to_owned(), kept, fence: Mutex::new(0) })
        })
    }
}

/// What a log has.
#[derive(Default)]
struct Kept {
    /// The position of the first.
    first: usize,
    entries: Vec<Entry>,
    followers: Vec<std::sync::Weak<dyn Follower>>,
    /// The last fence.
    fence: u64,
}

struct MemLog {
    name: String,
    kept: Arc<Mutex<Kept>>,
    /// The fence of this process.
    fence: Mutex<u64>,
}

fn at(index: usize) -> Position {
    Position(index as u128)
}

impl Kept {
    fn row(&self, index: usize) -> Row<'_> {
        let entry = &self.entries[index - self.first];
        let timestamp = entry.timestamp.unwrap_or_default();
        Row { position: at(index), timestamp, key: &entry.key, value: entry.value.as_deref() }
    }

    fn end(&self) -> usize {
        self.first + self.entries.len()
    }

    fn add(&mut self, mut entry: Entry) {
        use fnstream_core::clock::Clock;
        entry.timestamp.get_or_insert_with(|| SystemClock::new().unix_ms());
        self.entries.push(entry);
        let index = self.end() - 1;
        let followers: Vec<_> = self.followers.iter().filter_map(std::sync::Weak::upgrade).collect();
        followers.iter().for_each(|follower| follower.take(&[self.row(index)], at(index + 1)));
    }
}

impl Log for MemLog {
    fn name(&self) -> &str {
        &self.name
    }

    fn follow(&self, follower: Arc<dyn Follower>) -> Result<Box<dyn Send + Sync>> {
        let mut kept = self.kept.lock();
        for index in kept.first..kept.end() {
            follower.take(&[kept.row(index)], at(index + 1));
        }
        kept.followers.push(Arc::downgrade(&follower));
        Ok(Box::new(follower))
    }

    fn end(&self) -> Result<Position> {
        Ok(at(self.kept.lock().end()))
    }

    fn fence(&self) -> Result<()> {
        let (mut kept, mut own) = (self.kept.lock(), self.fence.lock());
        kept.fence += 1;
        *own = kept.fence;
        Ok(())
    }

    fn write(&self, entries: Vec<Entry>) -> Result<Position, Failed> {
        let (mut kept, mut own) = (self.kept.lock(), self.fence.lock());
        match std::mem::take(&mut *own) {
            0 => Err(Failed::Nothing(Error::new(ErrorCode::Internal, "nothing was begun"))),
            fence if fence != kept.fence => Err(Failed::Fenced),
            _ => {
                entries.into_iter().for_each(|entry| kept.add(entry));
                Ok(at(kept.end()))
            }
        }
    }

    fn read(&self, from: Position, to: Position, visit: &mut dyn FnMut(Row<'_>) -> Result<()>) -> Result<()> {
        let kept = self.kept.lock();
        (from.0.max(kept.first as u128) as usize..to.0 as usize).try_for_each(|index| visit(kept.row(index)))
    }

    fn lay(&self, entries: Vec<Entry>) -> Result<()> {
        let mut kept = self.kept.lock();
        entries.into_iter().for_each(|entry| kept.add(entry));
        Ok(())
    }

    fn append(&self, key: &[u8], value: Option<&[u8]>) {
        self.kept.lock().add(Entry { key: key.to_vec(), value: value.map(<[u8]>::to_vec), timestamp: None });
    }

    fn flush(&self, _patience: Duration) {}

    fn is_compacted(&self) -> bool {
        false
    }

    fn drop_before(&self, position: Position) -> Result<()> {
        let mut kept = self.kept.lock();
        let count = (position.0 as usize).saturating_sub(kept.first);
        kept.entries.drain(..count);
        kept.first += count;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_register_keeps_its_contract() {
        super::the_register_keeps_its_contract(&MemLogs::fresh);
    }

    #[test]
    fn processes_that_change_the_register_at_once_lose_nothing() {
        super::processes_that_change_the_register_at_once_lose_nothing(&MemLogs::fresh);
    }

    #[test]
    fn what_is_left_of_a_removed_function_is_known_until_it_is_tidied() {
        super::what_is_left_of_a_removed_function_is_known_until_it_is_tidied(&MemLogs::fresh);
    }

    #[test]
    fn artifacts_keep_their_contract() {
        super::artifacts_keep_their_contract(&MemLogs::fresh);
        super::an_artifact_reaches_every_process_and_heals_every_disk(&MemLogs::fresh);
    }

    #[test]
    fn processes_find_and_ask_each_other() {
        super::processes_find_and_ask_each_other(&MemLogs::fresh);
    }

    #[test]
    fn a_writer_that_was_fenced_writes_nothing() {
        super::a_writer_that_was_fenced_writes_nothing(&MemLogs::fresh);
    }

    /// Of 20 functions that were made first and never changed, and one that was changed 600 times.
    #[test]
    fn a_log_keeps_what_is_needed_and_little_else() {
        let logs = MemLogs::fresh();
        super::a_log_keeps_what_is_needed_and_little_else(&|| logs.clone());
        let log = logs("functions");
        let counted = Arc::new(Count(Mutex::new(0)));
        drop(log.follow(counted.clone()));
        let count = *counted.0.lock();
        assert!(count < 2 * 24 + 2 * 100 + 10, "{count} records are kept of 24 that are needed");
    }

    struct Count(Mutex<usize>);

    impl Follower for Count {
        fn take(&self, rows: &[Row<'_>], _next: Position) {
            *self.0.lock() += rows.len();
        }

        fn fail(&self, _error: Error) {}
    }
}
