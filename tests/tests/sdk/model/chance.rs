// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What happens next, by chance: few keys, so that operations meet, and all kinds of values.

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// What happens to a task.
#[derive(Debug)]
pub(super) enum Round {
    /// A batch of records.
    Send(Vec<String>),
    /// Event time goes on.
    Watermark(u64),
    /// The machine's time goes on.
    Time(i64),
    /// The epoch ends.
    Checkpoint,
    /// The instance dies.
    Restart,
}

/// Whether a command may fail its record.
#[derive(Clone, Copy, PartialEq)]
enum May {
    Fail,
    /// It is carried out by a timer, which sets no timer that could set it again.
    NotFail,
}

/// The source of all rounds.
pub(super) struct Chance {
    rng: StdRng,
    /// How far the two times are.
    now: i64,
}

const KEYS: &[&str] = &["a", "b", "bb", "c", "é", "on", "~"];
const PARTS: &[&str] = &["p", "pp", "q"];
const OWNERS: &[&str] = &["-", "k", "kk", "l"];
const TIMERS: &[&str] = &["a", "b", "c"];
/// The key of a timer at which nothing is carried out.
const LAST: &str = "last";
const EDITS: &[&str] = &["delete-ahead", "delete-here", "put-behind"];

impl Chance {
    pub(super) fn new(rng: StdRng) -> Self {
        Chance { rng, now: 0 }
    }

    /// What happens next.
    pub(super) fn round(&mut self) -> Round {
        match self.rng.random_range(0..20) {
            0 | 1 => Round::Watermark(self.later().unsigned_abs()),
            2 => Round::Time(self.later()),
            3 | 4 => Round::Checkpoint,
            5 => Round::Restart,
            _ => {
                let records = self.rng.random_range(1..=12);
                Round::Send((0..records).map(|_| self.record()).collect())
            }
        }
    }

    fn later(&mut self) -> i64 {
        self.now += self.rng.random_range(0..20);
        self.now
    }

    fn of(&mut self, words: &[&'static str]) -> &'static str {
        words.choose(&mut self.rng).copied().unwrap_or_default()
    }

    /// One record in six fails, at its end more often than amidst.
    fn record(&mut self) -> String {
        let commands = self.rng.random_range(1..=6);
        let mut commands: Vec<_> = (0..commands).map(|_| self.command(May::Fail)).collect();
        match self.rng.random_range(0..30) {
            0..3 => commands.push("fail as told".into()),
            3 => commands.insert(0, "fail at once".into()),
            4 => commands.push("panic as told".into()),
            5 if self.rng.random_ratio(1, 12) => commands.push("die".into()),
            _ => {}
        }
        commands.join("\n")
    }

    fn command(&mut self, may: May) -> String {
        match self.rng.random_range(0..100) {
            0..30 => self.simple(may),
            30..50 => self.complex(),
            50..55 => self.walk(),
            55..65 => self.timer(may),
            65..70 => format!("emit {} {}", self.rng.random_range(0..2), self.text()),
            _ => self.typed(may),
        }
    }

    fn simple(&mut self, may: May) -> String {
        let (key, other) = (self.of(KEYS), self.of(KEYS));
        match self.rng.random_range(0..11) {
            0..3 => format!("put {key} {}", self.text()),
            3 if may == May::Fail => {
                let command = self.on_timer();
                format!("put on:{} {command}", self.of(TIMERS))
            }
            3 | 4 => format!("delete {key}"),
            5 => format!("merge-simple {key} {}", self.text()),
            6 => format!("list {key} {other}"),
            7 => format!("list-from {key}"),
            8 => format!("scan-range {key} {}", self.end(other)),
            9 if self.rng.random_ratio(1, 4) => format!("delete-range {} {}", key.min(other), key.max(other)),
            _ => format!("get {key}"),
        }
    }

    /// What is done when a timer fires, in one line.
    fn on_timer(&mut self) -> String {
        loop {
            let command = self.command(May::NotFail);
            if !command.contains('\n') {
                return command;
            }
        }
    }

    fn complex(&mut self) -> String {
        let (part, key, other) = (self.of(PARTS), self.of(KEYS), self.of(KEYS));
        match self.rng.random_range(0..11) {
            0..3 => format!("cput {part} {key} {}", self.text()),
            3 => format!("cdelete {part} {key}"),
            4 => format!("merge {part} {key} {}", self.text()),
            5 => format!("clist {part} {key} {other}"),
            6 => format!("clist-from {part} {key}"),
            7 => format!("cscan-range {part} {key} {}", self.end(other)),
            8 if self.rng.random_ratio(1, 3) => format!("cprefix {part} {}", self.of(&["", "b", "c"])),
            9 if self.rng.random_ratio(1, 3) => format!("cdelete-range {part} {} {}", key.min(other), key.max(other)),
            8..10 => format!("scan {part}"),
            _ => format!("cget {part} {key}"),
        }
    }

    /// A part of its own is filled, gone through and changed meanwhile.
    fn walk(&mut self) -> String {
        let count = if self.rng.random_ratio(1, 10) { 1_500 } else { self.rng.random_range(0..40) };
        let fill = format!("cprefix w \nfill w {count} {}", self.rng.random_range(0..200));
        let look = if count < 100 { "scan w" } else { "count w" };
        match self.rng.random_range(0..3) {
            0 => format!("{fill}\nwalk w put-ahead\nwalk w merge-ahead\n{look}"),
            _ => format!("{fill}\nwalk w {}\n{look}", self.of(EDITS)),
        }
    }

    fn timer(&mut self, may: May) -> String {
        let domain = self.of(&["event", "processing"]);
        let key = if may == May::Fail { self.of(TIMERS) } else { LAST };
        if self.rng.random_ratio(1, 4) {
            return format!("untimer {domain} {key}");
        }
        let at = self.now + self.rng.random_range(-10..60);
        format!("timer {domain} {at} {key}")
    }

    fn typed(&mut self, may: May) -> String {
        let (key, other) = (self.of(OWNERS), self.of(OWNERS));
        let number = self.integer();
        let small = self.rng.random_range(-3..12);
        let kind = self.of(&["value", "list", "numbers", "map", "queue", "mean", "greatest"]);
        let operation = match (kind, self.rng.random_range(0..10)) {
            (_, 0) => "clear".to_owned(),
            ("value", 1..6) => format!("set {}", self.text()),
            ("list", 1..5) => format!("add {}", self.text()),
            ("list", 5 | 6) => format!("{} {}", self.of(&["add-all", "set"]), self.of(&["x", "x y", "é ö x"])),
            ("numbers", 1..5) => format!("add {number}"),
            ("numbers", 5 | 6) => format!("{} {number} {small}", self.of(&["add-all", "set"])),
            ("map", 1..5) => format!("put {small} {}", self.text()),
            ("map", 5) => format!("delete {small}"),
            ("map", 6) => format!("get {small}"),
            ("map", 7) => format!("fill {} {}", self.rng.random_range(0..40), self.text()),
            ("map", 8) => "thin".to_owned(),
            ("queue", 1..5) => format!("add {number}"),
            ("queue", 5) => "peek".to_owned(),
            ("queue", 6 | 7) => "poll".to_owned(),
            ("mean", 1..6) => format!("add {number}"),
            ("mean", 6 | 7) => format!("merge {other}"),
            ("greatest", 1..7) if may == May::NotFail => format!("add {}", number.abs()),
            // One that is negative fails when there is one already.
            ("greatest", 1..7) => format!("add {}", if self.rng.random_ratio(1, 8) { small } else { number.abs() }),
            ("map" | "queue", _) => "all".to_owned(),
            _ => "get".to_owned(),
        };
        format!("state {kind} {key} {operation}")
    }

    /// An end of a range, or none.
    fn end(&mut self, key: &'static str) -> &'static str {
        if self.rng.random_ratio(1, 4) { "" } else { key }
    }

    /// Within what JSON has exactly, sums included.
    fn integer(&mut self) -> i64 {
        match self.rng.random_range(0..4) {
            0 => self.rng.random_range(-(1 << 40)..1 << 40),
            1 => self.of(&["0", "-1", "255", "256", "65536", "-32769", "2147483648"]).parse().unwrap_or_default(),
            _ => self.rng.random_range(-300..300),
        }
    }

    fn text(&mut self) -> String {
        match self.rng.random_range(0..12) {
            0 => String::new(),
            1 => "a b  c".to_owned(),
            2 => "größer 🌊 {\"x\":[1]}".to_owned(),
            3 if self.rng.random_ratio(1, 10) => "long".repeat(self.rng.random_range(1..20_000)),
            _ => format!("v{}", self.rng.random_range(0..1_000)),
        }
    }
}
