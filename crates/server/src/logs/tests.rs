// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use fnstream_core::dir::Access;
use fnstream_core::test_util::clock::ManualClock;
use tempfile::TempDir;

use super::*;

struct Fixture {
    folder: TempDir,
    clock: Arc<ManualClock>,
    logs: Arc<FunctionLogs>,
}

impl Fixture {
    fn new() -> Self {
        Self::open(tempfile::tempdir().unwrap(), &["f", "g"])
    }

    fn open(folder: TempDir, functions: &[&str]) -> Self {
        let clock = Arc::new(ManualClock::new(1_700_000_000_000));
        let functions = functions.iter().map(|name| (*name).to_owned()).collect();
        let data = Arc::new(Dir::open(folder.path(), Access::Owner).unwrap());
        let logs = FunctionLogs::open(data, clock.clone(), functions).unwrap();
        Fixture { folder, clock, logs }
    }

    /// Ends, and begins again on the same folder.
    fn restart(self, functions: &[&str]) -> Self {
        self.logs.close();
        Self::open(self.folder, functions)
    }

    async fn tail(&self, name: &str) -> Vec<String> {
        let page = self.logs.read(name, Reading::Tail(usize::MAX)).await.unwrap();
        page.lines.into_iter().map(|line| line.text).collect()
    }

    fn say(&self, id: u32, name: &str, text: &str) {
        self.logs.write(LogLine { function: FunctionId(id), name, task: Some(0), speaker: Speaker::Stderr, text });
    }
}

#[tokio::test]
async fn what_was_written_before_is_read_with_who_and_when() {
    let fixture = Fixture::new();
    fixture.logs.note(FunctionId(1), "f", "started");
    fixture.clock.advance(Duration::from_secs(1));
    fixture.say(1, "f", "hello");
    fixture.say(2, "g", "not of f");
    let lines = fixture.logs.read("f", Reading::Tail(9)).await.unwrap().lines;
    let line = |ms, task, speaker: &str, text: &str| fnstream_api::LogLine {
        ms,
        task,
        speaker: speaker.into(),
        text: text.into(),
    };
    assert_eq!(
        lines,
        [line(1_700_000_000_000, None, "host", "started"), line(1_700_000_001_000, Some(0), "stderr", "hello")]
    );
}

#[tokio::test]
async fn a_log_outlives_the_process() {
    let fixture = Fixture::new();
    fixture.say(1, "f", "a");
    let fixture = fixture.restart(&["f"]);
    fixture.say(1, "f", "b");
    assert_eq!(fixture.tail("f").await, ["a", "b"]);
}

#[tokio::test]
async fn a_new_function_of_the_name_has_nothing_of_the_deleted_one() {
    let fixture = Fixture::new();
    fixture.say(1, "f", "old");
    fixture.logs.remove(FunctionId(1), "f");
    fixture.say(1, "f", "its task has not noticed yet");
    assert_eq!(fixture.tail("f").await, [""; 0]);
    fixture.say(2, "f", "new");
    fixture.say(1, "f", "nor yet");
    assert_eq!(fixture.tail("f").await, ["new"]);
}

#[tokio::test]
async fn a_deletion_that_was_cut_off_is_done_at_the_next_start() {
    let fixture = Fixture::new();
    fixture.say(1, "f", "a");
    fixture.say(2, "g", "b");
    let fixture = fixture.restart(&["g"]);
    assert_eq!((fixture.tail("f").await, fixture.tail("g").await), (vec![], vec!["b".to_owned()]));
}

#[tokio::test]
async fn a_flood_is_cut_and_says_how_much_is_missing() {
    let fixture = Fixture::new();
    for i in 0..6_000 {
        fixture.say(1, "f", &i.to_string());
    }
    let lines = fixture.tail("f").await;
    assert_eq!((lines.len(), lines[4_999].as_str(), lines[5_000].as_str()), (5_001, "4999", "1000 lines dropped"));
    assert_eq!(fixture.logs.lost(), 1_000);
    fixture.clock.advance(Duration::from_secs(1));
    fixture.say(1, "f", "after a second");
    assert_eq!(fixture.tail("f").await.last().unwrap(), "after a second");
    fixture.say(2, "g", "others are not touched");
    assert_eq!(fixture.tail("g").await, ["others are not touched"]);
}

#[tokio::test]
async fn who_waits_is_woken_by_a_line_and_by_the_deletion() {
    let fixture = Fixture::new();
    let mut waiting = fixture.logs.watch("f");
    fixture.say(1, "f", "a");
    waiting.changed().await.unwrap();
    fixture.logs.remove(FunctionId(1), "f");
    while waiting.changed().await.is_ok() {}
}

/// What a full disk is like from here: writing fails, and some time later it does not.
#[tokio::test]
async fn a_disk_that_takes_nothing_costs_lines_and_nothing_else() {
    let fixture = Fixture::new();
    let root = fixture.folder.path().join("logs");
    std::fs::write(&root, "in the way").unwrap();
    fixture.say(1, "f", "a");
    // What tells of the line that is missing is lost like it.
    assert!(fixture.logs.read("f", Reading::Tail(1)).await.is_err(), "it is not taken for an empty log");
    fixture.say(1, "f", "b");
    assert!(fixture.logs.read("f", Reading::Tail(1)).await.is_err());
    assert_eq!(fixture.logs.lost(), 2);
    std::fs::remove_file(&root).unwrap();
    fixture.say(1, "f", "c");
    assert_eq!(fixture.tail("f").await, ["2 lines dropped", "c"]);
}

/// A link in the place of a segment, of a log, or of the folder of all logs.
#[tokio::test]
async fn a_link_among_the_logs_is_neither_written_nor_read_nor_removed_through() {
    for place in ["logs/f/00000000000000000000.jsonl", "logs/f", "logs"] {
        let (fixture, theirs) = (Fixture::new(), tempfile::tempdir().unwrap());
        let (link, file) = (fixture.folder.path().join(place), theirs.path().join("file"));
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::fs::write(&file, "theirs").unwrap();
        let target = if place.ends_with("jsonl") { file.clone() } else { theirs.path().into() };
        std::os::unix::fs::symlink(target, &link).unwrap();
        fixture.say(1, "f", "a");
        let refused = fixture.logs.read("f", Reading::Tail(9)).await.unwrap_err();
        assert_eq!((refused.code, fixture.logs.lost()), (ErrorCode::StrangeFile, 1), "{place}: {refused}");
        assert!(refused.message.contains("is a symbolic link"), "{refused}");
        fixture.logs.remove(FunctionId(1), "f");
        let fixture = fixture.restart(&[]);
        fixture.logs.close();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "theirs", "{place}");
        assert_eq!(std::fs::read_dir(theirs.path()).unwrap().count(), 1, "{place}");
    }
}

#[tokio::test]
async fn what_was_moved_away_is_begun_anew_when_logs_are_opened_again() {
    let fixture = Fixture::new();
    fixture.say(1, "f", "a");
    assert_eq!(fixture.tail("f").await, ["a"]);
    let folder = fixture.folder.path().join("logs/f");
    std::fs::rename(&folder, fixture.folder.path().join("moved")).unwrap();
    fixture.logs.reopen();
    fixture.say(1, "f", "b");
    assert_eq!(fixture.tail("f").await, ["b"]);
    let begun = folder.join(format!("{:020}.jsonl", 0));
    assert!(std::fs::read_to_string(begun).unwrap().contains(r#""text":"b""#));
}

#[tokio::test]
async fn a_folder_that_is_removed_while_it_is_written_is_made_again() {
    let fixture = Fixture::new();
    fixture.say(1, "f", "a");
    assert_eq!(fixture.tail("f").await, ["a"]);
    std::fs::remove_dir_all(fixture.folder.path().join("logs/f")).unwrap();
    fixture.say(1, "f", "b");
    fixture.say(2, "g", "c");
    assert_eq!((fixture.tail("f").await, fixture.tail("g").await), (vec!["b".to_owned()], vec!["c".to_owned()]));
    assert_eq!(fixture.logs.lost(), 0);
}
